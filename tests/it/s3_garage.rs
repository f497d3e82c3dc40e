//! Garage: a server of S3 that has its own mind about names that are taken, and about checksums.

use std::path::Path;

use brackup::digest::Sha1;
use brackup::provider::{Bucket, Lock, LockMode};
use brackup::target::{ErrorKind, ObjectName, S3, Target as _};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms_without_conditions, listed, meta_name, object};
use super::s3::{bucket, open_by};
use crate::support::{
    Direction, Faulty, Garage, Harm, Owned, Place as _, Program, Snapshot, Tree, aws, code, noise, stderr,
};

fn at(name: &str, port: u16) -> Bucket {
    bucket(&format!("http://127.0.0.1:{port}"), name, "nas/")
}

fn open(place: Bucket, spool: &TempDir) -> S3 {
    open_by(place, Garage::KEYS, spool)
}

fn owned<'n>(garage: &Garage, bucket: &'n str) -> Owned<'n> {
    let (access_key, secret_key) = Garage::KEYS;
    Owned { endpoint: garage.endpoint(), access_key, secret_key, bucket, prefix: "nas/" }
}

#[test]
fn garage_keeps_backups() {
    let Some(garage) = Garage::start() else { return };
    let (id, secret) = Garage::KEYS;
    for name in ["plain", "parts", "home", "plain-too"] {
        aws(&garage.endpoint(), id, secret, &["bucket", name]);
    }
    let spool = TempDir::new().unwrap();
    conforms_without_conditions(&open(at("plain", garage.port()), &spool), &owned(&garage, "plain"));

    let target = open(at("parts", garage.port()), &spool);
    target.identify(None).unwrap();
    let finished = object(&target, 11_000_000);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    assert_eq!(ObjectName::Chunk(Sha1::of(&owned(&garage, "parts").read(&name.to_string()).unwrap())), name);
    target.put(&meta_name(90), object(&target, 11_000_000)).unwrap();
    assert_eq!(target.put(&meta_name(90), object(&target, 11_000_000)).unwrap_err().kind, ErrorKind::Exists);

    a_lock_that_is_passed_over_is_none(&garage);
    a_body_that_is_garbled_on_its_way_is_not_stored(&garage);
    the_program_backs_up_and_restores(&garage);
}

/// Whoever asks: only an owner of the bucket is told that there is no Object Lock.
fn a_lock_that_is_passed_over_is_none(garage: &Garage) {
    let spool = TempDir::new().unwrap();
    for keys in [Garage::KEYS, garage.guest()] {
        let lock = Some(Lock { days: 1, mode: LockMode::Governance });
        let place = Bucket { lock, ..at(Garage::FIRST, garage.port()) };
        let error = open_by(place, keys, &spool).identify(None).unwrap_err();
        assert!(error.kind == ErrorKind::Denied && error.to_string().contains("Object Lock"), "{error}");
    }
    assert_eq!(listed(&open(at(Garage::FIRST, garage.port()), &spool)), []);
    assert_eq!(owned(garage, Garage::FIRST).read("brackup-target.id"), None);
}

/// It holds what comes against its signature.
fn a_body_that_is_garbled_on_its_way_is_not_stored(garage: &Garage) {
    let wire = Faulty::before(garage.port());
    let spool = TempDir::new().unwrap();
    let target = open(at("plain-too", wire.port()), &spool);
    target.identify(None).unwrap();
    for bytes in [100_000, 11_000_000] {
        let finished = object(&target, bytes);
        let name = chunk_name(&finished);
        wire.arm(Some((Harm::Garbage, Direction::ToServer, 50_000)));
        target.put(&name, finished).unwrap();
        assert!(!wire.is_armed(), "{bytes}");
        assert_eq!(ObjectName::Chunk(Sha1::of(&owned(garage, "plain-too").read(&name.to_string()).unwrap())), name);
    }
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
