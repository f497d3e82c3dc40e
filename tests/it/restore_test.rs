//! `brackup restore-test`: what can't be restored is found, what differs on the disk is told, and nothing is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::AtomicBool;

use brackup::restore;
use brackup::seal::{Identity, SecretFile};
use serde_json::Value;

use crate::cli::has_keys;
use crate::support::{Nas, Program, Tree, code, noise, set_mtime, stderr};

fn test(program: &Program, arguments: &[&str]) -> Output {
    let key = program.key.to_str().unwrap();
    let before = everything(program.home());
    let output = program.run(&[&["restore-test", "--json", "--key", key], arguments].concat());
    assert_eq!(everything(program.home()), before, "something is left");
    output
}

/// Names in the home, but for what is remembered.
fn everything(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "keys" && name != "state").collect();
    names.sort();
    names
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

#[track_caller]
fn says(output: &Output, expected: &[(&str, u64)]) {
    let value = json(output);
    for (key, count) in expected {
        assert_eq!(value[*key], *count, "{key}: {value} {}", stderr(output));
    }
}

fn ready() -> (Tree, Program) {
    let tree = Tree::new();
    tree.file("dir/text", "text ".repeat(1000));
    tree.file("dir/deep/noise", noise(1, 2_500_000));
    tree.file("small", b"small");
    tree.file("empty", b"");
    tree.symlink("link", "small");
    tree.mode("dir/deep", 0o500);
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    (tree, program)
}

#[test]
fn what_has_not_changed_is_the_same() {
    let (_tree, program) = ready();
    let output = test(&program, &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    says(&output, &[("backups", 1), ("files", 3), ("same", 3), ("changed", 0), ("gone", 0), ("problems", 0)]);
    let counts = ["backups", "files", "bytes", "same", "differ", "changed", "gone", "left_out", "problems", "notices"];
    has_keys(&json(&output), &[&counts[..], &["command", "interrupted", "seconds"]].concat());
    let output = test(&program, &["--files", "2", "--source", "tree"]);
    says(&output, &[("files", 2), ("same", 2)]);
    let words = program.run(&["restore-test", "--key", program.key.to_str().unwrap()]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("3 the same, 0 changed since, 0 not there: no problem"), "{words}");
}

#[test]
fn what_has_changed_since_is_no_problem() {
    let (tree, program) = ready();
    tree.file("dir/text", "text ".repeat(2000));
    fs::remove_file(tree.at("small")).unwrap();
    let output = test(&program, &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    says(&output, &[("files", 3), ("same", 1), ("changed", 1), ("gone", 1), ("differ", 0)]);
    // The newest backup is meant.
    assert_eq!(code(&program.backup()), Some(0));
    says(&test(&program, &[]), &[("backups", 1), ("files", 2), ("same", 2)]);
}

#[test]
fn other_contents_behind_the_same_size_and_time_are_told() {
    let (tree, program) = ready();
    let path = tree.at("dir/deep/noise");
    let before = fs::metadata(&path).unwrap();
    let mut rotten = fs::read(&path).unwrap();
    rotten[2_000_000] ^= 1;
    fs::write(&path, rotten).unwrap();
    set_mtime(&path, before.mtime(), before.mtime_nsec());
    let output = test(&program, &[]);
    assert_eq!(code(&output), Some(3), "{}", stderr(&output));
    says(&output, &[("files", 3), ("same", 2), ("differ", 1), ("problems", 1)]);
    assert!(
        stderr(&output).contains("problem: dir/deep/noise: is restored as it was backed up"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_damaged_chunk_is_found() {
    let (_tree, program) = ready();
    let chunks = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
    for chunk in chunks.filter(|path| path.extension().is_some_and(|end| end == "chunk")) {
        let mut bytes = fs::read(&chunk).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&chunk).unwrap();
        fs::write(&chunk, bytes).unwrap();
    }
    let output = test(&program, &["--files", "1000"]);
    assert_eq!(code(&output), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("problem: dir/deep/noise: "), "{}", stderr(&output));
    assert!(json(&output)["problems"].as_u64() >= Some(1));
}

#[test]
fn a_file_of_many_items_is_restored_too() {
    let tree = Tree::new();
    let pieces: Vec<_> = (0..1300_u64).map(|number| ((number * 2) << 16, noise(number, 16))).collect();
    let data: Vec<_> = pieces.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    tree.sparse("holed", 2600 << 16, &data);
    tree.link("holed", "its other name");
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let output = test(&program, &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    says(&output, &[("files", 2), ("same", 2)]);
}

#[test]
fn each_source_has_its_turn_and_a_damaged_backup_hides_no_other() {
    let (tree, program) = ready();
    let config = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    let section = text[text.find("[SOURCE:tree]").unwrap()..].replace("[SOURCE:tree]", "[SOURCE:again]");
    fs::write(&config, format!("{text}{section}")).unwrap();
    assert_eq!(code(&program.run(&["--from=again", "--to=disk"])), Some(0));
    says(&test(&program, &[]), &[("backups", 2), ("files", 6), ("same", 6)]);
    says(&test(&program, &["--source", "again"]), &[("backups", 1), ("files", 3)]);
    let metafiles = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
    let again = metafiles.filter(|path| path.to_str().unwrap().contains("again-")).max().unwrap();
    let mut bytes = fs::read(&again).unwrap();
    bytes[300] ^= 1;
    fs::remove_file(&again).unwrap();
    fs::write(&again, bytes).unwrap();
    let output = test(&program, &[]);
    assert_eq!(code(&output), Some(3), "{}", stderr(&output));
    says(&output, &[("backups", 2), ("files", 3), ("problems", 1)]);
    drop(tree);
}

#[test]
fn what_another_machine_backed_up_is_restored_and_not_compared() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", b"a");
    nas.backup(&tree);
    let program = Program::to(&tree.root, &nas.folder);
    let key = program.home().join("other.key");
    let identity = Identity::parse(&nas.identities[0].to_text()).unwrap();
    SecretFile { identity, boxes: Vec::new() }.create(&key, "for a test", None).unwrap();
    let output = program.run(&["restore-test", "--json", "--key", key.to_str().unwrap()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    says(&output, &[("files", 1), ("same", 0), ("gone", 1), ("notices", 1)]);
}

#[test]
fn what_it_needs_is_said() {
    let (_tree, program) = ready();
    let output = program.run(&["restore-test"]);
    assert_eq!(code(&output), Some(12), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: give the secret key file with --key FILE"), "{}", stderr(&output));
    for files in ["0", "10001", "many"] {
        let output = test(&program, &["--files", files]);
        assert_eq!(code(&output), Some(2), "{files}: {}", stderr(&output));
    }
    let output = test(&program, &["--source", "nothing"]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no backup of nothing at"), "{}", stderr(&output));
}

#[test]
fn every_file_has_its_chance() {
    let (nas, tree) = (Nas::new(), Tree::new());
    for name in 0..5 {
        tree.file(name.to_string(), b"x");
    }
    let name = nas.backup(&tree).name();
    let backup = nas.open(&nas.target(), &name).unwrap();
    let mut times = BTreeMap::<String, u32>::new();
    for _ in 0..500 {
        let drawn = restore::draw(&backup, &nas.identities, 2, &AtomicBool::new(false)).unwrap();
        assert_eq!(drawn.len(), 2);
        assert_ne!(drawn[0].path, drawn[1].path);
        drawn.iter().for_each(|drawn| *times.entry(drawn.path.escaped()).or_default() += 1);
    }
    // 200 each is what is expected: 120 is as far off as a die falls once in 10^12 times.
    assert!(times.len() == 5 && times.values().all(|times| *times > 120), "{times:?}");
}
