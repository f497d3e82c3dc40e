//! The policy that docs/TARGETS.md gives a box, where a server knows policies.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::conformance::conforms;
use super::s3::{bucket, open_by};
use crate::support::{MiniStack, Owned, Program, Snapshot, Tree, aws, code, noise, stderr};

#[test]
fn a_box_may_add_and_a_thief_of_it_may_not_destroy() {
    let Some(server) = MiniStack::start() else { return };
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TARGETS.md")).unwrap();
    let policy = docs.split("```json").nth(1).unwrap().split("```").next().unwrap();
    for name in ["brackup-nas", "other"] {
        server.owner(&["bucket", name]);
    }
    let keys = server.owner(&["user", "box", policy]);
    let (id, secret) = keys.split_once(' ').unwrap();

    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 11_000_000));
    let program = Program::new(&tree.root);
    let endpoint = server.endpoint();
    program.set_target(&format!(
        "type = S3\nbucket = brackup-nas\nbackup_prefix = home/\npart_size = 5MB\nendpoint = {endpoint}\n\
         aws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
    ));
    for arguments in [&["--from=tree", "--to=disk"][..], &["--from=tree", "--to=disk"], &["verify", "disk", "--no-key"]]
    {
        let output = program.run(arguments);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    let output = program.run(&["list", "disk"]);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let meta = format!("home/{}.meta", listed.split_whitespace().find(|word| word.starts_with("tree-")).unwrap());

    let thief = |words: &[&str]| aws(&endpoint, id, secret, words);
    assert_eq!(thief(&["try", "get", "brackup-nas", &meta]), "200");
    for words in [
        ["try", "delete", "brackup-nas", meta.as_str()],
        ["try", "delete", "brackup-nas", "home/brackup-target.id"],
        ["try", "put", "brackup-nas", "elsewhere"],
        ["try", "policy", "brackup-nas", ""],
        ["try", "versioning", "brackup-nas", ""],
        ["try", "lifecycle", "brackup-nas", ""],
        ["try", "get", "other", "x"],
    ] {
        assert_eq!(thief(&words), "403", "{words:?}");
    }
    let to = program.home().join("back");
    let key = program.key.to_str().unwrap();
    let output = program.run(&["restore", "tree:latest", "--from", "disk", "--to", to.to_str().unwrap(), "--key", key]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&Snapshot::of(&to));
}

#[test]
fn ministack_keeps_objects() {
    let Some(server) = MiniStack::start() else { return };
    let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let keys = server.owner(&["user", "owner", all]);
    let (id, secret) = keys.split_once(' ').unwrap();
    let spool = TempDir::new().unwrap();
    server.owner(&["bucket", "plain"]);
    let place = bucket(&server.endpoint(), "plain", "nas/");
    let target = open_by(place, (id, secret), &spool);
    let (access_key, secret_key) = MiniStack::OWNER;
    let place = Owned { endpoint: server.endpoint(), access_key, secret_key, bucket: "plain", prefix: "nas/" };
    conforms(&target, &place);
}
