//! Garage: a server of S3 that has its own mind about names that are taken, and about checksums.

use std::path::Path;

use brackup::digest::Sha1;
use brackup::target::{ErrorKind, ObjectName, S3, Target as _, Way};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms, meta_name, object};
use super::s3::{access_key, bucket};
use crate::support::{Garage, Owned, Place as _, Program, Snapshot, Tree, aws, code, noise, stderr};

#[test]
fn garage_keeps_backups() {
    let Some(garage) = Garage::start() else { return };
    let (id, secret) = Garage::KEYS;
    for name in ["plain", "parts", "home"] {
        aws(&garage.endpoint(), id, secret, &["bucket", name]);
    }
    let spool = TempDir::new().unwrap();
    let owned =
        |bucket| Owned { endpoint: garage.endpoint(), access_key: id, secret_key: secret, bucket, prefix: "nas/" };
    let far = |name: &str| {
        let place = bucket(&garage.endpoint(), name, "nas/");
        S3::open(place, access_key(id, secret), spool.path().into(), Way::default()).unwrap()
    };
    conforms(&far("plain"), &owned("plain"));

    let target = far("parts");
    target.identify(None).unwrap();
    let finished = object(&target, 11_000_000);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    assert_eq!(ObjectName::Chunk(Sha1::of(&owned("parts").read(&name.to_string()).unwrap())), name);
    target.put(&meta_name(90), object(&target, 11_000_000)).unwrap();
    assert_eq!(target.put(&meta_name(90), object(&target, 11_000_000)).unwrap_err().kind, ErrorKind::Exists);
    the_program_backs_up_and_restores(&garage);
}

fn the_program_backs_up_and_restores(garage: &Garage) {
    let (id, secret) = Garage::KEYS;
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 3_000_000));
    let program = Program::new(&tree.root);
    program.set_target(&format!(
        "type = S3\nbucket = home\nbackup_prefix = nas/\nendpoint = {}\naws_access_key_id = {id}\n\
         aws_secret_access_key = {secret}\n",
        garage.endpoint()
    ));
    let to = program.home().join("back");
    let to = to.to_str().unwrap();
    let key = program.key.to_str().unwrap();
    for arguments in [
        &["target", "check", "disk"][..],
        &["--from=tree", "--to=disk"],
        &["--from=tree", "--to=disk"],
        &["verify", "disk", "--no-key"],
        &["prune", "disk", "--keep-last=1"],
        &["gc", "disk", "--grace=0s"],
        &["gc", "disk", "--grace=0s"],
        &["fsck", "disk"],
        &["restore", "tree:latest", "--to", to, "--key", key],
    ] {
        let output = program.run(arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", stderr(&output));
    }
    tree.snapshot().assert_same(&Snapshot::of(Path::new(to)));
}
