//! Stores that older versions wrote: each is restored with each of its keys, and is what expected.txt says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::program::TestBox;
use super::tree::{assert_same, describe};

/// None is ever removed.
pub(crate) const ARCHIVES: &[&str] = &["v1-aes-one", "v1-chacha-two", "v1-pruned"];

/// One folder below tests/archives.
pub(crate) struct Archive(PathBuf);

impl Archive {
    pub(crate) fn of(name: &str) -> Self {
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives").join(name))
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The names of its key files.
    pub(crate) fn keys(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut keys: Vec<_> = names.filter(|name| name.ends_with(".key")).collect();
        keys.sort();
        assert!(!keys.is_empty(), "{} has no key", self.0.display());
        keys
    }

    /// A box for restoring, with a copy of a key: git keeps no mode of 0600, and other modes are refused.
    pub(crate) fn test_box(&self, key: &str) -> TestBox {
        let passphrase = fs::read_to_string(self.0.join("passphrase.txt")).unwrap_or_default();
        let test_box = TestBox::new().with("BRACKUP_PASSPHRASE", &passphrase);
        fs::copy(self.0.join(key), test_box.path("secret.key")).unwrap();
        fs::set_permissions(test_box.path("secret.key"), fs::Permissions::from_mode(0o600)).unwrap();
        test_box
    }

    /// What is expected of each backup.
    pub(crate) fn expected(&self) -> Vec<(String, Vec<String>)> {
        let text = fs::read_to_string(self.0.join("expected.txt")).unwrap();
        let mut backups: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(name) => backups.push((name.to_owned(), Vec::new())),
                None => backups.last_mut().unwrap().1.push(line.to_owned()),
            }
        }
        assert!(backups.iter().all(|(_, lines)| !lines.is_empty()), "an empty backup");
        backups
    }
}

#[test]
fn the_list_is_what_there_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ARCHIVES);
}

#[test]
fn each_is_read_for_ever() {
    for name in ARCHIVES {
        let archive = Archive::of(name);
        for key in archive.keys() {
            let test_box = archive.test_box(&key);
            let from = format!("filesystem:{}", archive.store().display());
            let opening = ["--from", &from, "--key", "secret.key"];
            for (backup, expected) in archive.expected() {
                let arguments = [&["restore", &backup, "--to", &backup][..], &opening].concat();
                let restored = test_box.brackup(arguments).is(0);
                assert!(!restored.err.contains("first time"), "{name}: the key file names the box\n{}", restored.err);
                assert_same(&format!("{name}, {key}, {backup}"), &describe(&test_box.path(&backup)), &expected);
            }
            let verified = test_box.brackup(["verify", &from, "--key", "secret.key"]).is(0);
            assert!(verified.out.contains("no problem"), "{name}: {}", verified.out);
        }
    }
}
