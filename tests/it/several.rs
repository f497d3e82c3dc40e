//! `--to` more than once: read and sealed once, stored to each; and `--from` more than once, where one has what another lacks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Program, Tree, code, noise, settle, stderr};

/// A box with two disks.
pub(crate) struct Box {
    pub(crate) program: Program,
    tree: Tree,
    pub(crate) second: PathBuf,
}

impl Box {
    pub(crate) fn new() -> Self {
        let tree = Tree::new();
        tree.file("always", noise(1, 2_500_000));
        settle();
        let program = Program::new(&tree.root);
        let mounts = program.home().join("mounts");
        fs::create_dir(&mounts).unwrap();
        let second = mounts.join("second");
        let config = program.home().join(".brackup.conf");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{text}[TARGET:second]\ntype = Filesystem\npath = {}\n", second.display())).unwrap();
        Self { program, tree, second }
    }

    pub(crate) fn night(&self, seed: u64) {
        self.tree.file(format!("night {seed}"), noise(seed, 300_000));
        settle();
    }

    pub(crate) fn link(&self, file: &str, name: &str) {
        self.tree.link(file, name);
        settle();
    }

    /// Backs up to both; what was told, and the exit code.
    pub(crate) fn back_up(&self) -> (Value, Option<i32>, String) {
        let output = self.program.run(&["--from=tree", "--to=disk", "--to=second", "--json"]);
        let told = stderr(&output);
        (serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}")), code(&output), told)
    }

    pub(crate) fn names(&self, folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".meta") || name.ends_with(".chunk")).collect();
        names.sort();
        names
    }

    pub(crate) fn are_the_same(&self) {
        let names = self.names(&self.program.folder);
        assert_eq!(names, self.names(&self.second));
        for name in names {
            assert!(
                fs::read(self.program.folder.join(&name)).unwrap() == fs::read(self.second.join(&name)).unwrap(),
                "{name}"
            );
        }
    }

    /// The newest of each restores, no chain has a gap or a fork, and nothing lacks.
    pub(crate) fn is_well(&self) {
        self.restores();
        for target in ["disk", "second"] {
            let verified = self.program.run(&["verify", target, "--json"]);
            let last = verified.stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
            let told: Value = serde_json::from_slice(last).unwrap();
            assert_eq!(
                (&told["problems"], &told["notices"]),
                (&0.into(), &0.into()),
                "{target}: {}",
                stderr(&verified)
            );
            let collected = self.program.run(&["gc", target, "-n", "--grace=0s", "--json"]);
            let told: Value = serde_json::from_slice(&collected.stdout).unwrap();
            assert_eq!(told["missing"]["chunks"], 0, "{told}");
        }
    }

    pub(crate) fn restores(&self) {
        for target in ["disk", "second"] {
            let to = Tree::absent();
            let (key, root) = (self.program.key.to_str().unwrap(), to.root.to_str().unwrap());
            let restored = self.program.run(&["restore", "tree:latest", "--from", target, "--key", key, "--to", root]);
            assert_eq!(code(&restored), Some(0), "{target}: {}", stderr(&restored));
            self.tree.snapshot().assert_same(&to.snapshot());
        }
    }
}

#[test]
fn a_backup_to_two_targets_is_sealed_once() {
    let both = Box::new();
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""));
    let [disk, second] = [&told["targets"][0], &told["targets"][1]];
    assert_eq!((&disk["target"], &disk["complete"], &second["complete"]), (&"disk".into(), &true.into(), &true.into()));
    assert_eq!((&disk["backup"], &disk["stored"]["chunks_stored"]), (&second["backup"], &second["copied"]["chunks"]));
    both.are_the_same();
    both.night(2);
    let (told, exit, _) = both.back_up();
    assert_eq!((exit, &told["targets"][1]["copied"]["chunks"]), (Some(0), &1.into()));
    both.are_the_same();
    both.is_well();
    let text = both.program.run(&["--from=tree", "--to=disk", "--to=second"]);
    let text = String::from_utf8(text.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("disk: backup tree-") && lines[1].starts_with("second: backup tree-"),
        "{text}"
    );
    let twice = both.program.run(&["--from=tree", "--to=disk", "--to=disk"]);
    assert!(code(&twice) == Some(2) && stderr(&twice).contains("names disk twice"), "{}", stderr(&twice));
    let before = both.names(&both.second);
    let dry = both.program.run(&["--from=tree", "--to=disk", "--to=second", "-n", "--json"]);
    let told: Value = serde_json::from_slice(&dry.stdout).unwrap_or_else(|_| panic!("{}", stderr(&dry)));
    assert_eq!((code(&dry), &told["dry_run"], told["targets"].as_array().unwrap().len()), (Some(0), &true.into(), 2));
    assert_eq!(both.names(&both.second), before);
}

#[test]
fn a_target_that_was_away_gets_what_it_missed() {
    let both = Box::new();
    both.back_up();
    let (mounts, away) = (both.second.parent().unwrap(), both.program.home().join("away"));
    fs::rename(mounts, &away).unwrap();
    for night in 2..4 {
        both.night(night);
        let (told, exit, talk) = both.back_up();
        assert_eq!(
            (exit, &told["targets"][0]["complete"], &told["targets"][1]["complete"]),
            (Some(3), &true.into(), &false.into())
        );
        assert!(talk.contains("second: no new backup there: "), "{talk}");
        assert!(!mounts.exists(), "nothing is made where a disk is mounted");
    }
    fs::rename(&away, mounts).unwrap();
    both.night(4);
    let (_, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""));
    both.are_the_same();
    both.is_well();
}

#[test]
fn what_keeps_up_does_not_wait_for_what_lags() {
    let both = Box::new();
    let (config, third) = (both.program.home().join(".brackup.conf"), both.program.home().join("third"));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[TARGET:third]\ntype = Filesystem\npath = {}\n", third.display())).unwrap();
    let back_up = || code(&both.program.run(&["--from=tree", "--to=disk", "--to=second", "--to=third"]));
    let newest = |folder: &Path| {
        let name = both.names(folder).into_iter().rfind(|name| name.ends_with(".meta")).unwrap();
        (fs::metadata(folder.join(&name)).unwrap().modified().unwrap(), name)
    };
    assert_eq!(back_up(), Some(0));
    let (mounts, away) = (both.second.parent().unwrap(), both.program.home().join("away"));
    fs::rename(mounts, &away).unwrap();
    // So much that a clock which ticks coarsely shows which was first.
    both.tree.file("large", noise(2, 60_000_000));
    both.night(2);
    assert_eq!(back_up(), Some(3));
    fs::rename(&away, mounts).unwrap();
    both.night(3);
    assert_eq!(back_up(), Some(0));
    let [second, third] = [&both.second, &third].map(|folder| newest(folder));
    assert!(second.1 == third.1 && third.0 < second.0, "{second:?} {third:?}");
    both.is_well();
}

#[test]
fn another_target_leads_while_the_first_is_away_and_nothing_is_read_anew() {
    let both = Box::new();
    both.back_up();
    let (folder, away) = (&both.program.folder, both.program.home().join("away"));
    fs::rename(folder, &away).unwrap();
    fs::write(folder, "a file").unwrap();
    both.night(2);
    let (told, exit, _) = both.back_up();
    assert_eq!(exit, Some(3), "{told}");
    let stored = &told["targets"][1]["stored"];
    assert_eq!((&stored["read_bytes"], &stored["unchanged_files"]), (&300_000.into(), &1.into()), "{told}");
    fs::remove_file(folder).unwrap();
    fs::rename(&away, folder).unwrap();
    both.night(3);
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""), "{told}");
    assert_eq!(told["targets"][0]["stored"]["read_bytes"], 300_000, "{told}");
    both.are_the_same();
    both.is_well();
}

#[test]
fn a_target_that_joins_late_costs_no_second_copy() {
    let both = Box::new();
    assert_eq!(code(&both.program.run(&["--from=tree", "--to=second"])), Some(0));
    both.night(2);
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""), "{told}");
    both.night(3);
    let (told, exit, _) = both.back_up();
    let stored = &told["targets"][0]["stored"];
    assert_eq!(
        (exit, &stored["read_bytes"], &stored["chunks_stored"]),
        (Some(0), &300_000.into(), &1.into()),
        "{told}"
    );
    // What was there before it joined is no backup of it: a note says so.
    both.restores();
}

#[test]
fn a_backup_to_one_of_several_alone_reads_nothing_anew() {
    let both = Box::new();
    // As quickstart does, to somewhere else first.
    let aside = format!("--to=filesystem:{}", both.program.home().join("aside").display());
    assert_eq!(code(&both.program.run(&["--from=tree", &aside])), Some(0));
    both.back_up();
    both.back_up();
    for to in ["disk", "second"] {
        let output = both.program.run(&["--from=tree", "--to", to, "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&told["read_bytes"], &told["chunks_stored"]), (&0.into(), &0.into()), "{to}: {told}");
    }
}

#[test]
fn a_target_that_was_away_while_its_newest_was_pruned_gets_what_it_missed() {
    let both = Box::new();
    both.back_up();
    let (mounts, away) = (both.second.parent().unwrap(), both.program.home().join("away"));
    fs::rename(mounts, &away).unwrap();
    both.night(2);
    both.back_up();
    assert_eq!(code(&both.program.run(&["prune", "disk", "--keep-last=1"])), Some(0));
    fs::rename(&away, mounts).unwrap();
    both.night(3);
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""), "{told}");
    assert!(told["targets"][1]["stored"].is_null() && told["targets"][1]["copied"]["chunks"] == 2, "{told}");
    both.is_well();
}

#[test]
fn a_target_that_has_backups_of_its_own_goes_on_with_those() {
    let both = Box::new();
    for to in ["disk", "second"] {
        assert_eq!(code(&both.program.run(&["--from=tree", "--to", to])), Some(0));
    }
    both.night(2);
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""), "{told}");
    assert!(told["targets"][1]["stored"]["chunks_stored"] == 1 && told["targets"][1]["copied"].is_null(), "{told}");
    both.is_well();
}

#[test]
fn a_box_without_memory_goes_on_with_both() {
    let both = Box::new();
    both.back_up();
    fs::remove_dir_all(both.program.home().join("state")).unwrap();
    both.night(2);
    let (told, exit, _) = both.back_up();
    assert_eq!(exit, Some(0), "{told}");
    both.are_the_same();
    // Of the disk that is not there, and was known, nothing is made in its place.
    fs::remove_dir_all(both.program.home().join("state")).unwrap();
    fs::remove_dir_all(&both.second).unwrap();
    both.night(3);
    let (told, exit, _) = both.back_up();
    assert_eq!((exit, &told["targets"][1]["complete"]), (Some(3), &false.into()), "{told}");
    assert!(!both.second.exists());
}

#[test]
fn a_restore_takes_from_the_next_target_what_one_lacks() {
    let both = Box::new();
    both.night(2);
    both.back_up();
    let chunks: Vec<_> = both.names(&both.program.folder).into_iter().filter(|name| name.ends_with(".chunk")).collect();
    assert!(chunks.len() >= 3, "{chunks:?}");
    let place = |name: &String| both.program.folder.join(name);
    let mut bytes = fs::read(place(&chunks[0])).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place(&chunks[0]), &bytes).unwrap();
    fs::remove_file(place(&chunks[1])).unwrap();
    // Its header still opens, and says nothing of its length.
    let cut = fs::read(place(&chunks[2])).unwrap();
    fs::write(place(&chunks[2]), &cut[..cut.len() / 2]).unwrap();
    let key = both.program.key.to_str().unwrap();
    let restore = |from: &[&str]| {
        let to = Tree::absent();
        let froms = from.iter().flat_map(|from| ["--from", from]).collect::<Vec<_>>();
        let words = ["restore", "-v", "tree:latest", "--key", key, "--to", to.root.to_str().unwrap()];
        let output = both.program.run(&[&words[..], &froms].concat());
        (code(&output), stderr(&output), to)
    };
    assert_eq!(restore(&["disk"]).0, Some(3));
    let (exit, told, to) = restore(&["disk", "second"]);
    assert_eq!(exit, Some(0), "{told}");
    for chunk in &chunks[..3] {
        let line = told.lines().find(|line| line.contains(chunk)).unwrap_or_else(|| panic!("{chunk}: {told}"));
        assert!(line.contains(&format!("is read from filesystem:{}: ", both.second.display())), "{line}");
    }
    both.tree.snapshot().assert_same(&to.snapshot());
    // The metafile too, and the whole target.
    let metafile = both.names(&both.program.folder).into_iter().find(|name| name.ends_with(".meta")).unwrap();
    fs::write(place(&metafile), "").unwrap();
    let (exit, told, to) = restore(&["disk", "second"]);
    assert_eq!(exit, Some(0), "{told}");
    both.tree.snapshot().assert_same(&to.snapshot());
    fs::remove_dir_all(&both.program.folder).unwrap();
    let (exit, told, to) = restore(&["disk", "second"]);
    assert_eq!(exit, Some(0), "{told}");
    both.tree.snapshot().assert_same(&to.snapshot());
    let printed = both.program.run(&["cat", "tree:latest", "night 2", "--from=disk", "--from=second", "--key", key]);
    assert_eq!((code(&printed), printed.stdout.len()), (Some(0), 300_000), "{}", stderr(&printed));
}
