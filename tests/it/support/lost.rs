//! A box that has lost its memory, or is about to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use brackup::db::Db;
use serde_json::Value;

use super::program::{Program, code, stderr};
use super::tree::{Snapshot, Tree, noise, settle};

/// A home, its tree, and what each of its backups was made of.
pub(crate) struct Lost {
    pub(crate) program: Program,
    pub(crate) tree: Tree,
    pub(crate) made: Vec<(String, Snapshot)>,
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

impl Lost {
    /// With nothing backed up yet.
    pub(crate) fn with(tree: Tree) -> Self {
        Self { program: Program::new(&tree.root), tree, made: Vec::new() }
    }

    /// Three nights, each with something of its own.
    pub(crate) fn after_three_nights() -> Self {
        let tree = Tree::new();
        tree.file("large", noise(1, 2_700_000));
        tree.file("text", "all work and no play\n".repeat(20_000));
        tree.file("d/small", "some words");
        tree.file("d/empty", "");
        tree.sparse("d/sparse", 900_000, &[(300_000, b"in the middle")]);
        tree.link("d/small", "linked");
        tree.symlink("d/link", "small");
        let mut lost = Self::with(tree);
        for night in 0..3 {
            lost.tree.file("changing", noise(10 + night, 1_500_000));
            lost.back_up();
        }
        lost
    }

    pub(crate) fn back_up(&mut self) -> Value {
        settle();
        let output = self.program.run(&["--from=tree", "--to=disk", "--json"]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let said = json(&output);
        self.made.push((said["backup"].as_str().unwrap().to_owned(), self.tree.snapshot()));
        said
    }

    /// The firmware is new.
    pub(crate) fn lose(&self) {
        fs::remove_dir_all(self.program.home().join("state")).unwrap();
    }

    pub(crate) fn lose_key(&self) {
        fs::remove_dir_all(self.program.home().join("keys")).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.program.home().join(name)
    }

    pub(crate) fn rebuild(&self, name: &str) -> Output {
        let (out, key) = (self.file(name), self.program.key.to_str().unwrap());
        self.program.run(&["rebuild", "disk", "--key", key, "--out", out.to_str().unwrap(), "--json"])
    }

    pub(crate) fn rebuilt(&self, name: &str) -> PathBuf {
        let output = self.rebuild(name);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        assert_eq!(json(&output)["backups"], self.made.len());
        self.file(name)
    }

    pub(crate) fn import(&self, file: &Path, more: &[&str]) -> Output {
        self.program.run(&[&["import", file.to_str().unwrap(), "disk", "--json"], more].concat())
    }

    pub(crate) fn imported(&self, file: &Path) -> Value {
        let output = self.import(file, &[]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        self.assert_sound();
        json(&output)
    }

    /// What the database says that each backup needs is what it says that it said.
    pub(crate) fn assert_sound(&self) {
        let db = Db::open(&self.program.home().join("state")).unwrap();
        for identity in db.target_identities().unwrap() {
            db.check_refs(&identity).unwrap();
        }
    }

    #[track_caller]
    pub(crate) fn gc(&self) -> Value {
        let output = self.program.run(&["gc", "disk", "--grace=0s", "--json"]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        json(&output)
    }

    pub(crate) fn gc_refuses(&self, why: &str) {
        let output = self.program.run(&["gc", "disk", "--grace=0s"]);
        assert!(code(&output) == Some(1) && stderr(&output).contains(why), "{}", stderr(&output));
    }

    /// Every backup that is there restores, byte for byte, and all that is needed is there.
    pub(crate) fn assert_all_restore(&self) {
        let list = self.program.run(&["list", "disk"]);
        let listed = String::from_utf8_lossy(&list.stdout).into_owned();
        let mut restored = 0;
        for (name, snapshot) in self.made.iter().filter(|(name, _)| listed.contains(&**name)) {
            let to = Tree::absent();
            let (key, root) = (self.program.key.to_str().unwrap(), to.root.to_str().unwrap());
            let output = self.program.run(&["restore", name, "--from=disk", "--key", key, "--to", root]);
            assert_eq!(code(&output), Some(0), "{name}: {}", stderr(&output));
            snapshot.assert_same(&to.snapshot());
            restored += 1;
        }
        assert_eq!(restored, listed.lines().count());
        let verified = self.program.run(&["verify", "disk"]);
        assert_eq!(code(&verified), Some(0), "{}", stderr(&verified));
    }

    pub(crate) fn signers(&self) -> Vec<String> {
        let list = self.program.run(&["list", "disk", "--json"]);
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let signer = |line| serde_json::from_str::<Value>(line).unwrap()["signer"].as_str().unwrap().to_owned();
        list.lines().map(signer).collect()
    }

    /// Writes into the secret key file whose signatures are good.
    pub(crate) fn trust_all(&self) {
        let lines: String = self.signers().iter().map(|signer| format!("box: {signer}\n")).collect();
        let key = fs::read_to_string(&self.program.key).unwrap();
        fs::write(&self.program.key, format!("{lines}{key}")).unwrap();
    }

    pub(crate) fn chunks(&self) -> usize {
        let files = fs::read_dir(&self.program.folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "chunk")).count()
    }
}
