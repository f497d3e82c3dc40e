//! What the program writes, read by a program that shares no code with it: tests/interop/unbrackup.py.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archives::{ARCHIVES, Archive};
use super::program::{Ran, TestBox, make_tree};
use super::tree::{assert_same, describe};

/// A python with the packages of tests/interop/requirements.txt. Never skipped: a format that only its writer reads is worth little.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop-venv").join("bin/python");
    let python = std::env::var_os("BRACKUP_PYTHON").map_or(venv, PathBuf::from);
    let check = Command::new(&python).args(["-c", "import cryptography, yaml, zstandard"]).output();
    let is_ready = check.is_ok_and(|check| check.status.success());
    assert!(is_ready, "{} is not there or lacks the packages of the second reader: run tests/setup", python.display());
    python
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

fn unbrackup(test_box: &TestBox, store: &Path, backup: &str, to: &str) -> Ran {
    let mut command = Command::new(python());
    command.arg(script("unbrackup.py")).args(["--key", "secret.key"]).arg(store).args([backup, to]);
    test_box.surround(&mut command);
    Ran::of(&command.output().unwrap())
}

/// Owners, devices, ACLs, holes: what the lines of a description do not say.
fn more_of(top: &Path, lines: &[String]) -> Vec<String> {
    let more = lines.iter().filter_map(|line| {
        let path = top.join(line.split('\t').nth(5)?);
        // An escaped name is not looked up: those entries are as any other.
        let stat = fs::symlink_metadata(&path).ok()?;
        let acl = xattr::get(&path, "system.posix_acl_access").ok().flatten();
        // Written zeros become holes too.
        let has_holes = path.ends_with("zeros") || stat.len() > 1 << 20 && stat.blocks() * 512 < stat.len() / 2;
        Some(format!(
            "{} {}:{} {:x} {acl:?} {has_holes}",
            path.strip_prefix(top).ok()?.display(),
            stat.uid(),
            stat.gid(),
            stat.rdev()
        ))
    });
    more.collect()
}

/// What tests/archives/tree.sh can't have: contents over several chunks, more items than a document holds, what only root can make.
fn add_to_tree(tree: &Path) {
    let noise = noise(3 << 20);
    fs::write(tree.join("several-chunks"), &noise).unwrap();
    for size in [65535, 65536, 65537, 131_072, (1 << 20) - 1, (1 << 20) + 1] {
        fs::write(tree.join(format!("size-{size}")), &noise[..size]).unwrap();
    }
    let parts = File::create(tree.join("many-holes")).unwrap();
    // A byte, then a hole, more often than a document has items.
    for at in 0..700 {
        parts.write_all_at(&[1 + (at % 250) as u8], at * 131_072).unwrap();
    }
    parts.set_len(700 * 131_072 + 5).unwrap();
    let many = tree.join("many");
    fs::create_dir(&many).unwrap();
    for at in 0..500 {
        fs::write(many.join(format!("{at}")), format!("file {at}\n").repeat(at)).unwrap();
    }
    symlink("x".repeat(4000), tree.join("long-link")).unwrap();
    std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    run("setfacl", &["-m", "u:12345:rw,g:23456:r"], &tree.join("it's"));
    if fs::metadata(tree).unwrap().uid() == 0 {
        fs::write(tree.join("setuid"), "not mine").unwrap();
        run("chown", &["12345:23456"], &tree.join("setuid"));
        run("chmod", &["6755"], &tree.join("setuid"));
        // In a container even root may not: then there is none in the tree.
        let _ = Command::new("mknod").arg(tree.join("null")).args(["c", "1", "3"]).output();
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: run tests/setup"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Bytes that do not compress (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn two_versions(cipher: &str, options: &str, own: &str) {
    let test_box = TestBox::ready(cipher);
    let config = fs::read_to_string(test_box.path("brackup.conf")).unwrap();
    let config =
        config.replace("chunk_size", &format!("{options}chunk_size")).replace("[BOX]\n", &format!("[BOX]\n{own}"));
    test_box.configure(&config);
    let tree = test_box.path("tree");
    let mut versions = Vec::new();
    for version in [1, 2] {
        make_tree(version, &tree);
        if version == 1 {
            add_to_tree(&tree);
        } else {
            File::options()
                .write(true)
                .open(tree.join("several-chunks"))
                .unwrap()
                .write_all_at(b"!", 1_500_000)
                .unwrap();
            fs::rename(tree.join("many"), tree.join("moved")).unwrap();
        }
        let lines = describe(&tree);
        let more = more_of(&tree, &lines);
        versions.push((test_box.backup(), lines, more));
    }
    for (backup, lines, more) in versions {
        let restored = unbrackup(&test_box, &test_box.path("store"), &backup, &backup).is(0);
        assert!(restored.out.contains("signed by the box"), "{}", restored.out);
        assert_eq!(restored.err, "", "{backup}");
        let found = describe(&test_box.path(&backup));
        assert_same(&format!("{cipher}, {backup}"), &found, &lines);
        assert_same(&format!("{cipher}, {backup}, owners"), &more_of(&test_box.path(&backup), &found), &more);
    }
}

#[test]
fn the_second_reader_restores_chacha_with_all_defaults() {
    two_versions("chacha20-poly1305", "", "");
}

#[test]
fn the_second_reader_restores_aes_in_small_pieces_uncompressed_and_padded() {
    two_versions("aes-256-gcm", "compress = none\npadding = chunk\n", "piece_size = 64k\n");
}

#[test]
fn the_second_reader_restores_many_items_compressed() {
    two_versions("aes-256-gcm", "compress = zstd:3\npadding = none\n", "piece_size = 64k\n");
}

#[test]
fn the_second_reader_reads_the_archives() {
    for name in ARCHIVES {
        let archive = Archive::of(name);
        for key in archive.keys() {
            let test_box = archive.test_box(&key);
            for (backup, expected) in archive.expected() {
                unbrackup(&test_box, &archive.store(), &backup, &backup).is(0);
                assert_same(&format!("{name}, {key}, {backup}"), &describe(&test_box.path(&backup)), &expected);
            }
        }
    }
}

#[test]
fn the_second_reader_agrees_with_the_vectors() {
    let output =
        Command::new(python()).arg(script("test_vectors.py")).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{}{}", Ran::of(&output).out, Ran::of(&output).err);
}
