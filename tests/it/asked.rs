//! What somebody is asked about goes, and nothing else does.

use std::cell::Cell;
use std::fs;

use brackup::blob::Amount;
use brackup::db::Db;
use brackup::gc::{self, Report};
use brackup::monitor::{Quiet, Tally};
use brackup::policy::Policy;

use crate::support::{Nas, Tree, noise, settle};

/// Collects without grace; whoever is asked does this.
fn collect(nas: &Nas, may_delete: &dyn Fn(Amount) -> bool) -> Report {
    let (quiet, db, target) = (Quiet::default(), Db::open(&nas.state).unwrap(), nas.target());
    let identity = db.target_identity("disk").unwrap().unwrap();
    db.begin_run().unwrap();
    let options = gc::Options {
        target: &target,
        db: &db,
        identity: &identity,
        signer: nas.box_key().unwrap().public(),
        spool: &nas.state,
        grace_seconds: 0,
        compaction: None,
        force: Some(1),
        dry_run: false,
        may_delete: Some(may_delete),
    };
    let report = gc::run(&options, &Tally::new(&quiet), &nas.stop).unwrap();
    db.end_run().unwrap();
    report
}

#[test]
fn what_somebody_is_asked_about_goes_and_nothing_else() {
    let (nas, tree) = (Nas::new(), Tree::new());
    for night in 0..3 {
        tree.file("changing", noise(night, 1_500_000));
        settle();
        nas.backup(&tree);
    }
    nas.try_prune(&nas.target(), &Policy { last: Some(1), ..Policy::default() }).unwrap();
    let needed = nas.chunks_of(&nas.backups()[0].to_string());
    let is_garbage = |path: &std::path::PathBuf| !needed.contains(path.file_name().unwrap().to_str().unwrap());
    let garbage: Vec<_> = nas.files(".chunk").into_iter().filter(is_garbage).collect();
    assert!(garbage.len() >= 3, "{garbage:?}");
    let asked = Cell::new(Amount::default());
    let refuse = |due| {
        asked.set(due);
        false
    };
    let refused = collect(&nas, &refuse);
    assert_eq!((asked.get(), refused.due, refused.deleted.chunks), (refused.due, refused.marked, 0));
    // One is away, and comes back while somebody thinks about it.
    let away = garbage[0].with_extension("away");
    fs::rename(&garbage[0], &away).unwrap();
    let agree = |due| {
        asked.set(due);
        fs::rename(&away, &garbage[0]).unwrap();
        true
    };
    let agreed = collect(&nas, &agree);
    assert_eq!((agreed.marked.chunks, agreed.deleted), (0, asked.get()), "what was refused stayed marked");
    assert_eq!(agreed.deleted.chunks as usize, garbage.len() - 1);
    assert!(garbage[0].exists() && !garbage[1].exists());
}
