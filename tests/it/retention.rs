//! Backups that go, and that nothing else goes with them (I9): whatever is listed restores, at every moment.

use std::fs;

use brackup::db::Db;
use brackup::monitor::{Quiet, Tally};
use brackup::policy::Policy;
use brackup::target::ObjectName;
use brackup::verify;

use crate::support::{Call, Fault, How, Nas, Program, Recording, Tree, code, noise, settle, stderr};

fn keep_last(count: u32) -> Policy {
    Policy { last: Some(count), ..Policy::default() }
}

/// Some nights, each with a file of its own and a change in another.
fn nights(nas: &Nas, tree: &Tree, count: u64) -> Vec<String> {
    let night = |number| {
        tree.file("same", noise(number, 1 << 20));
        tree.file(format!("of/{number}"), noise(100 + number, 100_000));
        settle();
        nas.backup(tree).name()
    };
    (0..count).map(night).collect()
}

/// What the chain of signatures tells, problems and notes.
fn chain_tells(nas: &Nas) -> Vec<String> {
    let (quiet, db) = (Quiet::default(), Db::open(&nas.state).unwrap());
    let identity = db.target_identity("disk").unwrap().unwrap();
    let chains = db.chains(&identity).unwrap();
    verify::chain(&nas.target(), &chains, &Tally::new(&quiet)).unwrap();
    quiet.problems().into_iter().map(|told| format!("{}: {}", told.subject, told.what)).collect()
}

fn names(nas: &Nas) -> Vec<String> {
    nas.backups().iter().map(ToString::to_string).collect()
}

/// Everything that is listed is whole, and known to this box.
fn is_well(nas: &Nas) {
    assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
    assert_eq!(chain_tells(nas), [""; 0]);
    for name in names(nas) {
        nas.restore(&name);
    }
    nas.assert_all_remembered();
}

#[test]
fn what_no_rule_keeps_goes_and_a_tombstone_says_so() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let made = nights(&nas, &tree, 5);
    let (told, removed) = nas.try_prune(&nas.target(), &keep_last(2)).unwrap();
    assert_eq!((told, &removed[..]), (vec![], &made[..3]));
    assert_eq!(names(&nas), made[3..]);
    assert_eq!(nas.files(".tombstone").len(), 3);
    is_well(&nas);
    // The chain goes on, also where nothing is remembered and the newest name is that of a tombstone.
    let next = nights(&nas, &tree, 1);
    is_well(&nas);
    tree.snapshot().assert_same(&nas.restore(&next[0]).snapshot());
    let again = nas.try_prune(&nas.target(), &keep_last(3)).unwrap();
    assert_eq!(again, (vec![], vec![]), "nothing more to do");
    let error = nas.open(&nas.target(), &removed[0]).unwrap_err().to_string();
    assert!(error.contains("has been pruned"), "{error}");
    // Without tombstones the gap is told.
    nas.files(".tombstone").iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(chain_tells(&nas), [format!("{}: numbers 1 to 3 of its chain are not here", made[3])]);
}

#[test]
fn a_box_that_forgot_all_takes_up_the_chain_at_a_tombstone() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let made = nights(&nas, &tree, 3);
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    // The newest was removed by a hand that left a tombstone: prune never does that.
    let stone = nas.folder.join(format!("{}.tombstone", made[1]));
    assert!(stone.exists());
    fs::remove_file(nas.folder.join(format!("{}.meta", made[2]))).unwrap();
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    let next = nas.backup(&tree).name();
    assert!(next > made[1], "no name is given twice");
    assert_eq!(chain_tells(&nas), [""; 0], "number 3 follows number 2, whose tombstone is there");
}

/// Cuts a removal of three backups off at every call to the target, then at every call to the database.
#[test]
fn a_removal_that_is_cut_off_anywhere_loses_nothing_and_is_gone_on_with() {
    let tree = Tree::new();
    let before = Nas::new();
    let made = nights(&before, &tree, 4);
    let go_on = |nas: &Nas| {
        let listed = names(nas);
        assert!(listed.ends_with(&made[3..]));
        assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
        assert_eq!(chain_tells(nas), [""; 0]);
        listed.iter().for_each(|name| drop(nas.restore(name)));
        let (told, _) = nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
        assert_eq!(told, []);
        assert_eq!((names(nas), nas.files(".tombstone").len()), (made[3..].to_vec(), 3));
        is_well(nas);
    };
    for how in [How::Stop, How::Once(std::io::ErrorKind::Other)] {
        let mut number = 0;
        loop {
            number += 1;
            let nas = before.copy();
            let folder = nas.target();
            let fault = Fault::over(&folder, number, how.clone());
            let failed = nas.try_prune(&fault, &keep_last(1)).is_err();
            if fault.calls() < number {
                assert!(!failed && number > 12, "{number} calls are all there are");
                break;
            }
            assert!(failed, "call {number}: {:?}", fault.failed());
            go_on(&nas);
        }
    }
    let mut calls = 0;
    loop {
        let mut nas = before.copy();
        nas.db_calls = Some(calls);
        let failed = nas.try_prune(&nas.target(), &keep_last(1)).is_err();
        nas.db_calls = None;
        go_on(&nas);
        if !failed {
            assert!(calls > 10, "{calls} calls are all there are");
            break;
        }
        calls += 1;
    }
}

#[test]
fn a_metafile_goes_only_when_its_tombstone_is_there() {
    let (nas, tree) = (Nas::new(), Tree::new());
    nights(&nas, &tree, 4);
    let folder = nas.target();
    let recording = Recording::over(&folder);
    nas.try_prune(&recording, &keep_last(1)).unwrap();
    let calls = recording.calls();
    let mut deleted = 0;
    for (at, call) in calls.iter().enumerate() {
        let Call::Delete(object) = call else { continue };
        let ObjectName::Metafile(name) = object else { panic!("{object} was deleted") };
        assert!(calls[..at].contains(&Call::Stored(ObjectName::Tombstone(name.clone()))), "{name}");
        deleted += 1;
    }
    assert_eq!(deleted, 3);
}

#[test]
fn what_this_box_did_not_store_or_does_not_remember_is_left() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let made = nights(&nas, &tree, 3);
    // A backup of another box, of the same root.
    let other = Nas::new();
    let foreign = other.backup(&tree).name();
    let foreign = format!("{}77", &foreign[..foreign.len() - 2]);
    let from = other.files(".meta").remove(0);
    fs::copy(&from, nas.folder.join(format!("{foreign}.meta"))).unwrap();
    // One whose metafile is another one than this box stored.
    fs::copy(nas.folder.join(format!("{}.meta", made[1])), nas.folder.join(format!("{}.meta", made[0]))).unwrap();
    let (told, removed) = nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    assert_eq!(removed, [made[1].clone()]);
    let told: Vec<_> = told.iter().map(|told| format!("{}: {}", told.subject, told.what)).collect();
    assert_eq!(
        told,
        [
            "tree: 1 of its backups are another box's, or this box has forgotten them: they are left".to_owned(),
            format!("{}: what is there is not what this box stored: it is left", made[0]),
        ]
    );
    assert_eq!(names(&nas), [made[0].clone(), made[2].clone(), foreign]);
    // And all of them by a box that has forgotten them.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    let next = nights(&nas, &tree, 1);
    let (_, removed) = nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    assert_eq!((removed, names(&nas).len()), (vec![], 4), "{next:?}");
}

/// Somebody who can write and remove at the target must not be able to say in the name of this box what was removed.
#[test]
fn a_tombstone_that_is_not_its_own_explains_nothing() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let made = nights(&nas, &tree, 3);
    let stone = nas.folder.join(format!("{}.tombstone", made[0]));
    let meta = nas.folder.join(format!("{}.meta", made[0]));
    // That of another backup, which the box has signed.
    nas.try_prune(&nas.copy().target(), &keep_last(9)).unwrap();
    let copy = nas.copy();
    copy.try_prune(&copy.target(), &keep_last(1)).unwrap();
    fs::copy(copy.folder.join(format!("{}.tombstone", made[1])), &stone).unwrap();
    fs::remove_file(&meta).unwrap();
    let (told, _) = nas.try_prune(&nas.target(), &keep_last(2)).unwrap();
    assert!(told[0].what.contains("is remembered and not there"), "{told:?}");
    let problems = nas.verify().unwrap();
    assert!(problems.iter().any(|problem| problem.subject == format!("{}.tombstone", made[0])), "{problems:?}");
    assert_eq!(chain_tells(&nas), [format!("{}: number 1 of its chain is not here", made[1])]);
}

/// As a power cut leaves one where there are no hard links.
#[test]
fn a_tombstone_that_is_none_is_made_anew() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let made = nights(&nas, &tree, 3);
    fs::write(nas.folder.join(format!("{}.tombstone", made[0])), "").unwrap();
    let (told, removed) = nas.try_prune(&nas.target(), &keep_last(2)).unwrap();
    assert_eq!((told, removed), (vec![], made[..1].to_vec()));
    is_well(&nas);
}

fn program() -> (Program, Tree, Vec<String>) {
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    let night = |number: u64| {
        tree.file("file", noise(number, 10_000));
        settle();
        let output = program.backup();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let told = String::from_utf8(output.stdout).unwrap();
        told.strip_prefix("backup ").unwrap().split(':').next().unwrap().to_owned()
    };
    let made = (0..4).map(night).collect();
    (program, tree, made)
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_program_prunes_by_the_configuration_and_by_flags() {
    let (program, _tree, made) = program();
    let place = program.folder.display().to_string();
    // Nothing says what stays.
    let output = program.run(&["prune", "disk"]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("no rule says which backups stay"), "{}", stderr(&output));
    program.set_target(&format!("type = Filesystem\npath = {place}\nkeep_last = 3"));
    let output = program.run(&["prune", "disk", "-n"]);
    let told = stdout(&output);
    assert!(told.contains(&format!("remove  {}", made[0])) && told.contains(&format!("keep    {}", made[1])), "{told}");
    assert!(
        told.contains("newest, keep_last") && told.ends_with("dry run: 3 backups to stay, 1 backup to go\n"),
        "{told}"
    );
    // A pin; one rule by a flag, the other from the configuration.
    let output = program.run(&["pin", &made[0]]);
    assert_eq!(stdout(&output), format!("{} is pinned: no rule removes it\n", made[0]));
    let output = program.run(&["prune", "disk", "--keep-backups=1", "--json", "-n"]);
    let rows: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept: Vec<_> = rows[..4].iter().map(|row| (row["kept"].as_bool().unwrap(), row["rules"].to_string())).collect();
    let rules = |kept, rules: &str| (kept, rules.to_owned());
    let expected = [
        rules(true, r#"["pinned"]"#),
        rules(false, "[]"),
        rules(false, "[]"),
        rules(true, r#"["newest","keep_last"]"#),
    ];
    assert_eq!(kept, expected);
    assert_eq!((rows[4]["to_remove"].as_u64(), rows[4]["removed"].as_u64()), (Some(2), Some(0)));
    // It does what it said.
    let output = program.run(&["prune", "--keep-last", "1"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let listed = stdout(&program.run(&["list", "disk"]));
    let listed: Vec<_> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(listed, [&made[0], &made[3]]);
    let output = program.run(&["unpin", &made[0]]);
    assert_eq!(stdout(&output), format!("{} is pinned no more\n", made[0]));
    let output = program.run(&["prune", "--keep-last", "1"]);
    assert_eq!(
        stdout(&output).lines().next().map(|line| line.starts_with(&format!("removed {}", made[0]))),
        Some(true)
    );
    let output = program.run(&["verify", "disk"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn rules_of_a_source_go_before_those_of_the_target() {
    let (program, _tree, made) = program();
    let config = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("chunk_size", "keep_last = 2\nchunk_size").replace("type =", "keep_last = 4\ntype ="),
    )
    .unwrap();
    let told = stdout(&program.run(&["prune", "-n"]));
    assert_eq!(told.matches("remove ").count(), 2, "{told}");
    let output = program.run(&["prune", "-n", "--source", "other"]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("this box has no backup of other at"), "{}", stderr(&output));
    assert_eq!(stdout(&program.run(&["list", "disk"])).lines().count(), made.len());
}

#[test]
fn nothing_is_removed_on_doubt() {
    let (program, _tree, made) = program();
    let prune = || program.run(&["prune", "disk", "--keep-last=1"]);
    let all_are_there = |what: &str| {
        let listed = stdout(&program.run(&["list", &format!("filesystem:{}", program.folder.display())]));
        assert_eq!(listed.lines().count(), made.len(), "{what}");
    };
    // Another target in the place of this one.
    let id = program.folder.join("brackup-target.id");
    let text = fs::read_to_string(&id).unwrap();
    let another = text.trim_end().strip_suffix(|_: char| true).unwrap();
    fs::write(&id, format!("{another}{}\n", if text.trim_end().ends_with('0') { '1' } else { '0' })).unwrap();
    assert_eq!(code(&prune()), Some(10));
    fs::write(&id, text).unwrap();
    all_are_there("another target");
    // Pins that can't be read.
    let pins = program.home().join("keys/pins");
    fs::write(&pins, "nonsense\n").unwrap();
    let output = prune();
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("what is pinned is not known"), "{}", stderr(&output));
    fs::remove_file(&pins).unwrap();
    all_are_there("odd pins");
    // A key that is gone, a memory that is gone.
    for lost in ["keys/box.key", "state/brackup.db"] {
        let (path, aside) = (program.home().join(lost), program.home().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let output = prune();
        assert_eq!(code(&output), Some(1), "{lost}: {}", stderr(&output));
        assert!(stderr(&output).contains("does not remember"), "{lost}: {}", stderr(&output));
        assert!(!path.exists(), "{lost}");
        fs::rename(&aside, &path).unwrap();
        all_are_there(lost);
    }
    assert_eq!(code(&prune()), Some(0));
}
