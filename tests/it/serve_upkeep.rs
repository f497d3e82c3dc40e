//! What a job of `brackup serve` does at a target that has got its backups.

use std::fs;

use brackup::db::{Db, Deed, JobEnd, JobRun};
use brackup::outcome::Outcome;
use brackup::target::{Filesystem, Target as _};

use crate::serve::{NIGHTLY, add, comes_back, has_ended_well, serve, small_tree, with_jobs};
use crate::support::{Program, Tree};

/// A box with a job that does this besides its backups, at a target that keeps one of them.
fn with_upkeep(tree: &Tree, upkeep: &str) -> Program {
    let program = with_jobs(tree, "");
    let config = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap().replace("[TARGET:disk]\n", "[TARGET:disk]\nkeep_last = 1\n");
    fs::write(config, text).unwrap();
    add(&program, &format!("{NIGHTLY}{upkeep}"));
    program
}

/// Runs the job as if a night had gone by; gives the log.
fn night(program: &Program) -> String {
    let state = program.home().join("state");
    if state.join("brackup.db").exists() {
        let db = Db::open(&state).unwrap();
        let ran = db.job_runs().unwrap()["nightly"];
        let end = ran.end.map(|end| JobEnd { at: end.at - 86_400, ..end });
        db.remember_job_run("nightly", &JobRun { began: ran.began - 86_400, end, tries: 1 }).unwrap();
    }
    let mut service = serve(program);
    service.says("waiting: next is job nightly");
    has_ended_well(service)
}

fn outcome(program: &Program) -> Option<Outcome> {
    let db = Db::open(&program.home().join("state")).unwrap();
    db.job_runs().unwrap()["nightly"].end.map(|end| end.outcome)
}

/// What the status knows of it: how it ended, problems, and of which source.
fn shown(program: &Program, what: Deed) -> Vec<(Outcome, u64, String)> {
    let past = Db::open(&program.home().join("state")).unwrap().past().unwrap();
    let past = past.into_iter().filter(|past| past.what == what && past.target == "disk");
    past.map(|past| (past.outcome, past.problems, past.source)).collect()
}

/// What came of it the last time.
fn last(program: &Program, what: &str) -> Option<Outcome> {
    let db = Db::open(&program.home().join("state")).unwrap();
    let name = format!("disk {}", Filesystem::at(&program.folder).describe());
    db.last_upkeep(&name, what).unwrap().map(|end| end.outcome)
}

#[test]
fn behind_a_backup_of_nothing_nothing_goes() {
    let tree = small_tree();
    let program = with_upkeep(&tree, "prune = yes\n");
    night(&program);
    let kept = fs::read_dir(&program.folder).unwrap().count();
    // Its disk is not mounted.
    fs::rename(&tree.root, program.home().join("unmounted")).unwrap();
    fs::create_dir(&tree.root).unwrap();
    for _ in 0..3 {
        let log = night(&program);
        assert!(log.contains("is it mounted?") && log.contains("no target is looked after"), "{log}");
        assert!(!log.contains("prune at disk"), "{log}");
    }
    assert!(fs::read_dir(&program.folder).unwrap().count() > kept, "the good one is there still");
    fs::remove_dir(&tree.root).unwrap();
    fs::rename(program.home().join("unmounted"), &tree.root).unwrap();
    let log = night(&program);
    assert!(log.contains("prune at disk: done: 1 backup kept, 4 removed"), "{log}");
    comes_back(&program, &tree);
}

#[test]
fn old_backups_go_and_what_is_stored_is_read() {
    let tree = small_tree();
    let program = with_upkeep(&tree, "prune = yes\ngc = weekly\nverify = 100%\n");
    let log = night(&program);
    assert!(log.contains("brackup: job nightly: prune at disk: done: 1 backup kept, 0 removed"), "{log}");
    assert!(log.contains("brackup: job nightly: gc at disk: done: deleted 0 chunks, 0 B; found 0 to go"), "{log}");
    assert!(log.contains("brackup: job nightly: verify at disk: done: read 1 chunk of 1, 0 were never read"), "{log}");
    assert_eq!(
        ["prune", "gc", "verify", "restore_test"].map(|what| last(&program, what).is_some()),
        [true, true, true, false]
    );
    tree.file("another", "Dear all");
    let log = night(&program);
    assert!(log.contains("prune at disk: done: 1 backup kept, 1 removed"), "{log}");
    assert!(log.contains("verify at disk: done: read 2 chunks of 2"), "{log}");
    assert!(!log.contains("gc at disk"), "once a week: {log}");
    assert_eq!(outcome(&program), Some(Outcome::Done));
    let well = |what| shown(&program, what).iter().filter(|(outcome, ..)| *outcome == Outcome::Done).count();
    assert_eq!([Deed::Prune, Deed::Gc, Deed::Verify].map(well), [2, 1, 2]);
    comes_back(&program, &tree);
}

#[test]
fn what_is_found_is_told_like_a_problem_of_the_run() {
    let tree = small_tree();
    let program = with_upkeep(&tree, "verify = 100%\n");
    night(&program);
    let files = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
    let chunk = files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "chunk")).unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&chunk, bytes).unwrap();
    let log = night(&program);
    assert!(log.contains("brackup: problem: job nightly: "), "{log}");
    assert!(
        log.contains("brackup: warning: job nightly: verify at disk: done with 1 problem: read 1 chunk of 1"),
        "{log}"
    );
    assert_eq!(
        (outcome(&program), last(&program, "verify")),
        (Some(Outcome::DoneWithProblems), Some(Outcome::DoneWithProblems))
    );
    let all = String::new();
    assert_eq!(shown(&program, Deed::Verify), [(Outcome::Done, 0, all.clone()), (Outcome::DoneWithProblems, 1, all)]);
}

#[test]
fn a_restore_is_tested_with_the_key_of_the_job() {
    let tree = small_tree();
    let program = with_upkeep(&tree, "");
    let config = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    let with_key = |key: &std::path::Path| {
        fs::write(&config, format!("{text}restore_test = monthly\nrestore_key = {}\n", key.display())).unwrap();
    };
    with_key(&program.home().join("nowhere"));
    let log = night(&program);
    assert!(log.contains("brackup: error: job nightly: restore_test at disk: failed: "), "{log}");
    assert_eq!((outcome(&program), last(&program, "restore_test")), (Some(Outcome::DoneWithProblems), None));
    with_key(&program.key);
    let log = night(&program);
    let done = "restore_test at disk: done: restored 1 file, 9 B of 1 backup; of these on the disk 1 the same";
    assert!(log.contains(done), "{log}");
    assert_eq!((outcome(&program), last(&program, "restore_test")), (Some(Outcome::Done), Some(Outcome::Done)));
    assert!(!night(&program).contains("restore_test"), "once a month");
    let of = |outcome| (outcome, 0, "tree".to_owned());
    assert_eq!(shown(&program, Deed::RestoreTest), [of(Outcome::Failed), of(Outcome::Done)]);
}

#[test]
fn a_target_without_its_backup_is_left_alone() {
    let tree = small_tree();
    let program = with_upkeep(&tree, "prune = yes\nverify = 100%\n");
    night(&program);
    fs::rename(&tree.root, tree.root.with_extension("away")).unwrap();
    let log = night(&program);
    fs::rename(tree.root.with_extension("away"), &tree.root).unwrap();
    assert!(log.contains("brackup: error: job nightly: tree to disk: failed: "), "{log}");
    assert!(!log.contains("prune at disk") && !log.contains("verify at disk"), "{log}");
    assert_eq!(outcome(&program), Some(Outcome::Failed));
}
