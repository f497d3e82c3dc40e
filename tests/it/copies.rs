//! What is copied is the same, is whole, and is known: chunks before their metafile, at every moment and wherever it is cut off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brackup::copy::{self, Error, Memory, Options, Report, Which};
use brackup::db::Db;
use brackup::monitor::{Problem, Quiet, Severity, Tally};
use brackup::target::{BackupName, Filesystem, ObjectName, Target};

use crate::support::{Call, Fault, How, Nas, Program, Recording, Tree, code, noise, settle, stderr};

/// Three backups, each with a file that the next does not have, and a folder beside the target that is to be one too.
fn three_nights() -> (Nas, Tree, Vec<String>, PathBuf) {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("always", noise(1, 1_500_000));
    let night = |seed| {
        tree.file("changing", noise(seed, 1_500_000));
        settle();
        nas.backup(&tree).name()
    };
    let made = (10..13).map(night).collect();
    let second = nas.folder.with_file_name("second");
    (nas, tree, made, second)
}

/// Copies as the program does; what was told, and what came of it.
fn try_copy(
    nas: &Nas,
    from: &dyn Target,
    to: &dyn Target,
    which: Which<'_>,
    force: bool,
) -> (Vec<Problem>, Result<Report, Error>) {
    let (quiet, db) = (Quiet::default(), Db::open(&nas.state).unwrap());
    let from_identity = db.target_identity("disk").unwrap().unwrap();
    let to_identity = to.identify(None).unwrap();
    db.begin_run().unwrap();
    db.remember_target("second", &to_identity).unwrap();
    let options = Options {
        from,
        to,
        memory: Some(Memory { db: &db, from: &from_identity, to: &to_identity }),
        which,
        spool: &nas.state,
        connections: 2,
        force,
        dry_run: false,
        is_new: false,
        lock: None,
    };
    let copied = copy::run(&options, &Tally::new(&quiet), &nas.stop);
    db.end_run().unwrap();
    (quiet.problems(), copied)
}

fn copy_all(nas: &Nas, to: &Path) -> Report {
    let (told, report) = try_copy(nas, &nas.target(), &Filesystem::at(to), Which::All, false);
    assert_eq!(told, []);
    report.unwrap()
}

fn objects(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files
        .filter(|path| ObjectName::parse(&name(path)).is_some())
        .map(|path| (name(&path), fs::read(&path).unwrap()))
        .collect()
}

/// The same box, as it would be with the other folder as its target.
fn at(nas: &Nas, folder: &Path) -> Nas {
    let mut there = nas.copy();
    there.folder = folder.into();
    there
}

/// From now on it is the other folder that the box prunes and collects at.
fn turn(nas: &mut Nas, name: &'static str, folder: &Path) {
    (nas.target_name, nas.folder) = (name, folder.into());
}

/// Every backup that is listed there restores, and what it needs is remembered: gc finds nothing to object to, and nothing of no use.
fn is_well(nas: &Nas, folder: &Path) {
    let there = at(nas, folder);
    assert_eq!(there.verify_with_key().unwrap(), []);
    let db = Db::open(&nas.state).unwrap();
    let identity = Filesystem::at(folder).identify(None).unwrap();
    db.check_refs(&identity).unwrap();
    for name in there.backups() {
        assert!(db.remembers(&identity, &name.to_string()).unwrap(), "{name}");
        for chunk in there.chunks_of(&name.to_string()) {
            let ObjectName::Chunk(key) = ObjectName::parse(&chunk).unwrap() else { panic!("{chunk}") };
            let mut is_needed = false;
            db.each_needed(&identity, |needed, _| {
                is_needed |= needed == key;
                Ok::<_, brackup::db::Error>(())
            })
            .unwrap();
            assert!(is_needed, "{name} needs {chunk}");
        }
    }
}

#[test]
fn a_copy_is_the_same_and_the_next_one_brings_what_is_new() {
    let (nas, tree, made, second) = three_nights();
    let first = copy_all(&nas, &second);
    assert_eq!(first.backups.iter().map(ToString::to_string).collect::<Vec<_>>(), made);
    assert_eq!(objects(&nas.folder), objects(&second));
    assert_eq!((first.copied, first.there.chunks), (first.lacking, 0));
    is_well(&nas, &second);
    let recording = Filesystem::at(&second);
    let recording = Recording::over(&recording);
    let (_, again) = try_copy(&nas, &nas.target(), &recording, Which::All, false);
    let again = again.unwrap();
    assert_eq!((again.copied.chunks, again.there, again.backups_there), (0, first.copied, 3));
    let reads = recording.calls().iter().filter(|call| matches!(call, Call::Get(_) | Call::Stat(_))).count();
    assert_eq!(reads, 0, "what is known to be there is not looked at");
    tree.file("changing", noise(13, 1_500_000));
    settle();
    let newest = nas.backup(&tree).name();
    let next = copy_all(&nas, &second);
    assert_eq!((next.backups.len(), next.there), (1, first.copied));
    assert_eq!(objects(&nas.folder), objects(&second));
    tree.snapshot().assert_same(&at(&nas, &second).restore(&newest).snapshot());
    is_well(&nas, &second);
}

#[test]
fn wherever_a_copy_is_cut_off_nothing_is_listed_that_lacks_something() {
    let (nas, _tree, made, _) = three_nights();
    for call in 1.. {
        let box_ = nas.copy();
        let second = box_.folder.with_file_name("second");
        let target = Filesystem::at(&second);
        target.identify(None).unwrap();
        let fault = Fault::over(&target, call, How::Stop);
        let source = box_.target();
        let (quiet, db) = (Quiet::default(), Db::open(&box_.state).unwrap());
        let (from, to) = (db.target_identity("disk").unwrap().unwrap(), target.identify(None).unwrap());
        let options = Options {
            from: &source,
            to: &fault,
            memory: Some(Memory { db: &db, from: &from, to: &to }),
            which: Which::All,
            spool: &box_.state,
            connections: 1,
            force: false,
            dry_run: false,
            is_new: false,
            lock: None,
        };
        db.begin_run().unwrap();
        db.remember_target("second", &to).unwrap();
        let copied = copy::run(&options, &Tally::new(&quiet), &box_.stop);
        // A power cut: what was not committed is gone.
        drop(db);
        let there = at(&box_, &second);
        for name in there.backups() {
            for chunk in there.chunks_of(&name.to_string()) {
                assert!(second.join(&chunk).exists(), "call {call}: {name} needs {chunk}");
            }
        }
        copy_all(&box_, &second);
        assert_eq!(there.backups().len(), made.len(), "call {call}");
        assert_eq!(objects(&box_.folder), objects(&second));
        is_well(&box_, &second);
        if copied.is_ok() {
            assert!(call > 10, "there were {call} calls");
            return;
        }
    }
}

#[test]
fn chunks_come_before_the_metafile_that_needs_them() {
    let (nas, _tree, made, second) = three_nights();
    let target = Filesystem::at(&second);
    let recording = Recording::over(&target);
    try_copy(&nas, &nas.target(), &recording, Which::All, false).1.unwrap();
    let stored: Vec<_> = recording
        .calls()
        .into_iter()
        .filter_map(|call| if let Call::Stored(name) = call { Some(name.tells_contents()) } else { None })
        .collect();
    let metafiles = stored.iter().rev().take_while(|is_chunk| !**is_chunk).count();
    assert_eq!((metafiles, stored.iter().filter(|is_chunk| !**is_chunk).count()), (made.len(), made.len()));
}

#[test]
fn backups_are_copied_by_name_in_any_order() {
    let (nas, tree, made, second) = three_nights();
    for (index, chosen) in [2, 0, 1].into_iter().enumerate() {
        let is_meant = |name: &BackupName| name.to_string() == made[chosen];
        let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::Own(&is_meant), false);
        assert_eq!((told, report.unwrap().backups.len()), (vec![], 1));
        assert_eq!(at(&nas, &second).backups().len(), index + 1);
        let there = at(&nas, &second);
        let needed: usize = there
            .backups()
            .iter()
            .flat_map(|name| there.chunks_of(&name.to_string()))
            .collect::<std::collections::BTreeSet<_>>()
            .len();
        assert_eq!(there.files(".chunk").len(), needed, "nothing else is there");
        is_well(&nas, &second);
    }
    tree.snapshot().assert_same(&at(&nas, &second).restore(&made[2]).snapshot());
    assert_eq!(objects(&nas.folder), objects(&second));
}

#[test]
fn a_backup_between_two_that_need_what_it_does_not() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let night = |seed| {
        tree.file("changing", noise(seed, 1_500_000));
        settle();
        nas.backup(&tree).name()
    };
    let made: Vec<_> = [10, 11, 10].into_iter().map(night).collect();
    let second = nas.folder.with_file_name("second");
    for chosen in [0, 2, 1] {
        let is_meant = |name: &BackupName| name.to_string() == made[chosen];
        let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::Own(&is_meant), false);
        assert_eq!((told, report.unwrap().backups.len()), (vec![], 1));
        is_well(&nas, &second);
    }
}

#[test]
fn what_is_damaged_is_not_copied_nor_is_what_needs_it() {
    let (nas, _tree, made, second) = three_nights();
    let only_first: Vec<_> = nas.chunks_of(&made[0]).difference(&nas.chunks_of(&made[2])).cloned().collect();
    let victim = nas.folder.join(only_first.iter().find(|chunk| !nas.chunks_of(&made[1]).contains(*chunk)).unwrap());
    let mut bytes = fs::read(&victim).unwrap();
    bytes[70_000] ^= 1;
    fs::write(&victim, bytes).unwrap();
    let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::All, false);
    let names: Vec<_> = report.unwrap().backups.iter().map(ToString::to_string).collect();
    assert_eq!(names, made[1..]);
    let words: Vec<_> = told.iter().map(|problem| (problem.severity, &*problem.what)).collect();
    assert!(words.iter().all(|(severity, _)| *severity == Severity::Problem), "{words:?}");
    assert!(words.len() == 2 && words[0].1.contains("is not copied: ") && words[1].1.contains("--force"), "{words:?}");
    is_well(&nas, &second);
    let (_, forced) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::All, true);
    assert_eq!(forced.unwrap().backups.len(), 1);
    assert_eq!(at(&nas, &second).backups().len(), 3);
    // A metafile too.
    let third = nas.folder.with_file_name("third");
    let metafile = nas.folder.join(format!("{}.meta", made[1]));
    let mut bytes = fs::read(&metafile).unwrap();
    bytes[100] ^= 1;
    fs::write(&metafile, bytes).unwrap();
    let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&third), Which::All, true);
    assert_eq!(report.unwrap().backups.len(), 2);
    assert!(told.iter().any(|problem| problem.subject.starts_with(&made[1])), "{told:?}");
    assert!(!third.join(format!("{}.meta", made[1])).exists());
}

#[test]
fn what_was_removed_there_is_not_brought_back() {
    let (mut nas, tree, made, second) = three_nights();
    let first = nas.folder.clone();
    copy_all(&nas, &second);
    turn(&mut nas, "second", &second);
    let policy = brackup::policy::Policy { last: Some(1), ..Default::default() };
    nas.try_prune(&nas.target(), &policy).unwrap();
    let (told, report) = nas.try_gc(&nas.target(), 0, None).unwrap();
    assert_eq!(told, []);
    assert!(report.deleted.chunks >= 2, "{report:?}");
    turn(&mut nas, "disk", &first);
    tree.file("changing", noise(14, 1_500_000));
    settle();
    let newest = nas.backup(&tree).name();
    let report = copy_all(&nas, &second);
    assert_eq!((report.removed_there, report.backups.len(), report.backups_there), (2, 1, 1));
    let there: Vec<_> = at(&nas, &second).backups().iter().map(ToString::to_string).collect();
    assert_eq!(there, [made[2].clone(), newest]);
    turn(&mut nas, "second", &second);
    let garbage = nas.try_gc(&nas.target(), 0, None).unwrap().1.garbage;
    assert_eq!(garbage.chunks, 0, "no chunk came that nothing there needs");
    is_well(&nas, &second);
}

#[test]
fn what_was_found_damaged_there_does_not_count_as_there() {
    let (mut nas, tree, _, second) = three_nights();
    let first = nas.folder.clone();
    copy_all(&nas, &second);
    let victim = second.join(nas.chunks_of(&nas.backups().last().unwrap().to_string()).into_iter().next().unwrap());
    let mut bytes = fs::read(&victim).unwrap();
    bytes[70_000] ^= 1;
    fs::write(&victim, bytes).unwrap();
    turn(&mut nas, "second", &second);
    assert_eq!(nas.verify().unwrap().len(), 1);
    turn(&mut nas, "disk", &first);
    tree.file("changing", noise(15, 200_000));
    settle();
    let newest = nas.backup(&tree).name();
    let needs_it = nas.chunks_of(&newest).contains(victim.file_name().unwrap().to_str().unwrap());
    let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::All, false);
    assert!(told.iter().any(|problem| problem.what.contains("is damaged there")), "{told:?}");
    assert_eq!(report.unwrap().backups.len(), usize::from(!needs_it));
}

#[test]
fn a_metafile_whose_answer_was_lost_counts() {
    let (nas, _tree, made, second) = three_nights();
    let target = Filesystem::at(&second);
    let (told, report) = try_copy(&nas, &nas.target(), &Fault::over(&target, 0, How::Doubts), Which::All, false);
    assert_eq!((told, report.unwrap().backups.len()), (vec![], made.len()));
    is_well(&nas, &second);
}

#[test]
fn a_backup_that_this_box_signed_and_has_forgotten_is_not_copied() {
    let (nas, tree, made, second) = three_nights();
    // As after a crash that the database did not survive, and with chunks that are known all the same.
    let db = rusqlite::Connection::open(nas.state.join("brackup.db")).unwrap();
    db.execute("DELETE FROM backups WHERE name = ?1", [&made[1]]).unwrap();
    drop(db);
    let (told, report) = try_copy(&nas, &nas.target(), &Filesystem::at(&second), Which::All, false);
    assert!(
        told.len() == 1 && told[0].subject == made[1] && told[0].what.contains("does not know what it needs"),
        "{told:?}"
    );
    assert_eq!(report.unwrap().backups.len(), 2);
    let there = at(&nas, &second);
    assert_eq!(there.verify_with_key().unwrap(), []);
    tree.snapshot().assert_same(&there.restore(&made[2]).snapshot());
}

#[test]
fn a_box_that_knows_nothing_copies_all_and_only_all() {
    let tree = Tree::new();
    tree.file("file", noise(5, 3_000_000));
    settle();
    let laptop = Program::new(&tree.root);
    assert_eq!(code(&laptop.backup()), Some(0));
    let nas = Program::new(&tree.root);
    let (from, to) =
        (format!("filesystem:{}", laptop.folder.display()), format!("filesystem:{}", nas.folder.display()));
    let run = |more: &[&str]| nas.run(&[&["copy", "--from-target", &from, "--to-target", &to], more].concat());
    let named = run(&["tree:latest"]);
    assert_eq!(code(&named), Some(3));
    assert!(stderr(&named).contains("this box does not know what it needs"), "{}", stderr(&named));
    fs::remove_dir_all(&nas.folder).unwrap();
    let dry = run(&["-n"]);
    assert!(!nas.folder.exists() && code(&dry) == Some(0), "{}", stderr(&dry));
    let would = String::from_utf8(dry.stdout).unwrap();
    assert!(would.starts_with("would copy 1 backup in ") && would.contains("; 0 backups and 0 chunks were"), "{would}");
    fs::write(&nas.folder, "a file").unwrap();
    assert_eq!(code(&run(&["-n"])), Some(10), "what is no folder can't be made");
    fs::remove_file(&nas.folder).unwrap();
    let to_far = format!("{to}/below");
    let far = nas.run(&["copy", "--from-target", &from, "--to-target", &to_far, "-n"]);
    assert_eq!(code(&far), Some(10), "{}", stderr(&far));
    let copied = run(&["--json"]);
    assert_eq!(code(&copied), Some(0), "{}", stderr(&copied));
    let told: serde_json::Value = serde_json::from_slice(&copied.stdout).unwrap();
    assert_eq!(told["backups"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(objects(&laptop.folder), objects(&nas.folder));
    assert!(!nas.home().join("state/brackup.db").exists() && !nas.home().join("keys").exists());
    let again = String::from_utf8(run(&[]).stdout).unwrap();
    assert!(again.starts_with("copied 0 backups in 0 chunks, 0 B; 1 backup and "), "{again}");
    // Another one of the same name and length, and one that is damaged there.
    let metafile = fs::read_dir(&nas.folder).unwrap().map(|entry| entry.unwrap().path());
    let metafile = metafile.into_iter().find(|path| path.extension().is_some_and(|end| end == "meta")).unwrap();
    let good = fs::read(&metafile).unwrap();
    let mut damaged = good.clone();
    let end = damaged.len() - 30;
    damaged[end] ^= 1;
    fs::write(&metafile, &damaged).unwrap();
    let unlike = run(&[]);
    assert!(code(&unlike) == Some(3) && stderr(&unlike).contains("can't be compared"), "{}", stderr(&unlike));
    assert_eq!(fs::read(&metafile).unwrap(), damaged);
    fs::write(&metafile, &good).unwrap();
    let same = nas.run(&["copy", "--from-target", &from, "--to-target", &from]);
    assert_eq!(code(&same), Some(2), "{}", stderr(&same));
    let to = Tree::absent();
    let key = laptop.key.to_str().unwrap();
    let second = format!("filesystem:{}", nas.folder.display());
    let restored =
        nas.run(&["restore", "tree:latest", "--from", &second, "--key", key, "--to", to.root.to_str().unwrap()]);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    tree.snapshot().assert_same(&to.snapshot());
}
