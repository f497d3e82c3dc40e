//! Runs that are cut off anywhere (I1, I2, I7): the next one succeeds, every backup that is listed restores, and what was
//! stored is used.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Duration;

use brackup::monitor::Quiet;
use brackup::target::ObjectName;

use crate::support::{Call, Fault, How, Nas, Program, Recording, Tree, code, noise, set_mtime, settle, stderr};

/// Some small files and one over five chunks, old enough to be trusted.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("big", noise(1, 5 << 20));
    for number in 0..20 {
        tree.file(format!("dir/{number}"), noise(100 + number, 10_000));
    }
    tree.link("big", "dir/link");
    settle();
    tree
}

/// The version before, and a change, so that there is something to lose.
fn with_a_first_version(nas: &Nas, tree: &Tree) {
    nas.backup(tree);
    tree.file("big", noise(2, 5 << 20));
    settle();
}

/// After a run that was cut off: what is there is whole, and the next run succeeds and leaves nothing behind.
fn recovers(nas: &Nas, tree: &Tree) {
    for name in nas.backups() {
        nas.restore(&name.to_string());
    }
    let done = nas.backup(tree);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
    assert_eq!(nas.files(".partial"), Vec::<std::path::PathBuf>::new());
    nas.assert_all_remembered();
}

/// I1: each metafile is put only after every chunk that it names was.
fn metafiles_are_last(nas: &Nas, calls: &[Call]) {
    let of_before = |name: &str, before: &[Call]| {
        let stored = |call: &Call| matches!(call, Call::Stored(object) if object.to_string() == name);
        before.iter().any(stored)
    };
    let earlier: Vec<_> = nas.files(".chunk").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    for (at, call) in calls.iter().enumerate() {
        let Call::Put(ObjectName::Metafile(name), _) = call else { continue };
        for chunk in nas.chunks_of(&name.to_string()) {
            let is_old = !calls.iter().any(|call| matches!(call, Call::Put(object, _) if object.to_string() == chunk));
            let is_there = earlier.iter().any(|there| *there == *chunk);
            assert!((is_old && is_there) || of_before(&chunk, &calls[..at]), "{chunk} was not stored before {name}");
        }
    }
}

#[test]
fn a_metafile_is_put_after_all_that_it_names() {
    let (nas, tree) = (Nas::new(), tree());
    let folder = nas.target();
    let recording = Recording::over(&folder);
    for seed in 0..3 {
        tree.file("big", noise(seed, 5 << 20));
        nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
    }
    let calls = recording.calls();
    let metafiles = |call: &&Call| matches!(call, Call::Put(ObjectName::Metafile(_), _));
    assert_eq!(calls.iter().filter(metafiles).count(), 3);
    metafiles_are_last(&nas, &calls);
}

/// Cuts a second backup off at every call, in this way.
fn cut_off_at_every_call(how: impl Fn(&Nas) -> How) {
    let tree = tree();
    let mut number = 0;
    loop {
        number += 1;
        let nas = Nas::new();
        nas.backup(&tree);
        tree.file("big", noise(1000 + number as u64, 2 << 20));
        settle();
        let folder = nas.target();
        let recording = Recording::over(&folder);
        let fault = Fault::over(&recording, number, how(&nas));
        let failed = nas.try_backup(&tree.root, &fault, &Quiet::default()).is_err();
        metafiles_are_last(&nas, &recording.calls());
        if fault.calls() < number {
            assert!(!failed && number > 10, "{number} calls are all there are");
            break;
        }
        // Where the chain of signatures stands is remembered too: there the next run can do without the target's answer.
        assert!(failed || fault.failed() == Some("get".into()), "call {number}");
        recovers(&nas, &tree);
    }
}

#[test]
fn a_disk_that_goes_at_any_call() {
    cut_off_at_every_call(|_| How::Stop);
}

#[test]
fn a_call_that_fails_for_want_of_space() {
    cut_off_at_every_call(|_| How::Once(std::io::ErrorKind::StorageFull));
}

#[test]
fn a_call_that_fails_with_an_error_of_the_disk() {
    cut_off_at_every_call(|_| How::Once(std::io::ErrorKind::Other));
}

#[test]
fn an_object_that_is_torn_is_never_used() {
    let tree = tree();
    for number in 1..20 {
        let nas = Nas::new();
        with_a_first_version(&nas, &tree);
        let folder = nas.target();
        let fault = Fault::over(&folder, number, How::Torn(nas.folder.clone()));
        assert_eq!(nas.try_backup(&tree.root, &fault, &Quiet::default()).is_err(), fault.calls() >= number);
        let done = nas.backup(&tree);
        tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
        let torn = nas.verify().unwrap();
        assert!(torn.len() <= 1, "the torn object, and nothing that is needed: {torn:?}");
        assert!(torn.iter().all(|problem| !nas.chunks_of(&done.name()).contains(&problem.subject)), "{torn:?}");
    }
}

#[test]
fn what_was_stored_by_a_run_that_failed_is_used() {
    let (nas, tree) = (Nas::new(), tree());
    let folder = nas.target();
    // Every chunk but the last, with its stage, has been stored.
    let fault = Fault::over(&folder, 10, How::Stop);
    assert!(nas.try_backup(&tree.root, &fault, &Quiet::default()).is_err());
    let (stored, all) = (nas.files(".chunk").len() as u64, 6);
    assert!((2..all).contains(&stored), "{stored}");
    let recording = Recording::over(&folder);
    let done = nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
    let rest = (all - stored) << 20;
    assert!(recording.chunk_bytes() < rest + (100 << 10), "{stored} stored, then {} bytes", recording.chunk_bytes());
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    use crate::support::{Event, Watch};
    use brackup::monitor::Counter;
    use std::sync::atomic::Ordering;
    let (nas, tree) = (Nas::new(), tree());
    let stopping = Watch(|event: Event<'_>| {
        if matches!(event, Event::At("dir/1")) {
            nas.stop.store(true, Ordering::Relaxed);
        }
    });
    let done = nas.try_backup(&tree.root, &nas.target(), &stopping).unwrap();
    assert!(done.report.interrupted && done.report.backup.is_none() && nas.backups().is_empty());
    nas.stop.store(false, Ordering::Relaxed);
    let next = nas.backup(&tree);
    assert!(next.of(Counter::UnchangedFiles) >= 1 && next.of(Counter::StoredBytes) < 300_000, "{next:?}");
    recovers(&nas, &tree);
}

#[test]
fn a_database_that_goes_at_any_call() {
    let tree = tree();
    let mut calls = 0;
    loop {
        let mut nas = Nas::new();
        with_a_first_version(&nas, &tree);
        nas.db_calls = Some(calls);
        let folder = nas.target();
        let recording = Recording::over(&folder);
        let failed = nas.try_backup(&tree.root, &recording, &Quiet::default()).is_err();
        metafiles_are_last(&nas, &recording.calls());
        nas.db_calls = None;
        recovers(&nas, &tree);
        if !failed {
            assert!(calls > 50, "{calls} calls are all there are");
            break;
        }
        // All of the first and then some: the middle is a loop over the same few statements.
        calls += if calls < 20 { 1 } else { 3 };
    }
}

#[test]
fn what_a_crash_left_at_the_target_is_swept_when_it_is_old() {
    let (nas, tree) = (Nas::new(), tree());
    nas.backup(&tree);
    let left = nas.folder.join(".stage-1-1.partial");
    fs::write(&left, b"half of a chunk").unwrap();
    nas.backup(&tree);
    assert!(left.exists(), "another box may be writing it now");
    set_mtime(&left, 1_000_000_000, 0);
    recovers(&nas, &tree);
}

/// Kills a run when it has made its `count`th object, staged or stored.
fn kill_after(program: &Program, mut child: Child, count: usize) -> bool {
    loop {
        let made = fs::read_dir(&program.folder).into_iter().flatten().count();
        if made >= count {
            child.kill().unwrap();
        }
        match child.try_wait().unwrap() {
            Some(status) => return status.signal() == Some(9),
            None if made >= count => return child.wait().unwrap().signal() == Some(9),
            None => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

#[test]
fn kill_9_at_any_time() {
    let tree = tree();
    tree.file("bigger", noise(3, 12 << 20));
    let program = Program::new(&tree.root);
    let mut killed = 0;
    for round in 0..15 {
        // Always something new to store, and always one object more than is there.
        tree.file("dir/new", noise(500 + round, 6 << 20));
        let there = fs::read_dir(&program.folder).into_iter().flatten().count();
        let child = program.command(&["--from=tree", "--to=disk"]).spawn().unwrap();
        killed += u32::from(kill_after(&program, child, there + 1 + round as usize % 5));
    }
    assert!(killed >= 8, "only {killed} of 15 were killed in time");
    let last = program.backup();
    assert_eq!(code(&last), Some(0), "{}", stderr(&last));
    let restored = Tree::absent();
    let output = program.restore(&restored.root);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&restored.snapshot());
    // Whatever is listed was finished, whatever was left is nobody's and goes when it is old.
    let key = program.key.to_str().unwrap();
    for arguments in [&["verify", "disk"][..], &["verify", "disk", "--key", key]] {
        let verified = program.run(arguments);
        assert_eq!(code(&verified), Some(0), "{}", stderr(&verified));
    }
    for entry in fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.to_str().unwrap().ends_with(".partial") {
            set_mtime(&entry, 1_000_000_000, 0);
        }
    }
    assert_eq!(code(&program.backup()), Some(0));
    // Nor is any chunk of those runs left for ever.
    let collected = program.run(&["gc", "disk", "--grace=0s", "--json"]);
    assert_eq!(code(&collected), Some(0), "{}", stderr(&collected));
    let report: serde_json::Value = serde_json::from_slice(&collected.stdout).unwrap();
    assert_eq!((&report["unknown"]["chunks"], &report["due"]), (&0.into(), &report["deleted"]), "{report}");
    assert_eq!(code(&program.run(&["verify", "disk", "--key", key])), Some(0));
    let is_partial = |entry: fs::DirEntry| entry.file_name().to_str().unwrap().ends_with(".partial");
    assert!(!fs::read_dir(&program.folder).unwrap().any(|entry| is_partial(entry.unwrap())));
}
