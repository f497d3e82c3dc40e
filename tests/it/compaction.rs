//! Chunks of which little is used are given up: what lies in them is stored anew from the disk, and nothing is lost for it.

use std::fs;

use brackup::gc::Compaction;
use brackup::monitor::{Counter, Quiet, Severity};
use brackup::policy::Policy;

use crate::support::{Mount, Nas, Program, Tree, code, noise, settle, stderr, when_root};

const FILE_BYTES: usize = 100_000;

const UNDER_30: Compaction = Compaction { under_percent: 30, max_bytes: 100 << 20, pads_to_chunk: false };

fn write(tree: &Tree, name: &str, seed: u64) {
    tree.file(name, noise(seed, FILE_BYTES));
}

/// Nine files of one chunk, of which the second night has two.
fn two_nights(nas: &Nas, tree: &Tree) -> [String; 2] {
    (0..9).for_each(|number| write(tree, &format!("file {number}"), number));
    settle();
    let first = nas.backup(tree).name();
    (2..9).for_each(|number| fs::remove_file(tree.root.join(format!("file {number}"))).unwrap());
    settle();
    [first, nas.backup(tree).name()]
}

fn compact(nas: &Nas, compaction: Compaction) -> brackup::gc::Report {
    let (told, report) = nas.try_compact(&nas.target(), 0, None, Some(compaction)).unwrap();
    assert_eq!(told, []);
    report
}

fn keep_newest(nas: &Nas) {
    nas.try_prune(&nas.target(), &Policy { last: Some(1), ..Policy::default() }).unwrap();
}

#[test]
fn a_chunk_of_which_little_is_used_goes_with_the_last_backup_that_needs_it() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let [first, second] = two_nights(&nas, &tree);
    assert_eq!(compact(&nas, Compaction { under_percent: 20, ..UNDER_30 }).retired.chunks, 0, "two ninths are more");
    let report = compact(&nas, UNDER_30);
    assert_eq!((report.retired.chunks, report.deleted.chunks), (1, 0));
    let two_files = 2 * FILE_BYTES as u64;
    assert!((two_files..two_files + 1000).contains(&report.again_bytes), "{report:?}");
    assert_eq!(compact(&nas, UNDER_30).retired.chunks, 0, "it is retired already");
    let old = nas.files(".chunk");
    let third = nas.backup(&tree);
    assert_eq!((third.of(Counter::ReadBytes), third.of(Counter::UnchangedFiles)), (two_files, 0));
    assert_eq!((third.of(Counter::Chunks), &*third.told), (1, &[][..]));
    for name in [&first, &second, &third.name()] {
        nas.restore(name);
    }
    let fourth = nas.backup(&tree);
    assert_eq!((fourth.of(Counter::ReadBytes), fourth.of(Counter::UnchangedFiles)), (0, 2), "once is enough");
    assert_eq!(compact(&nas, UNDER_30).retired.chunks, 0);
    keep_newest(&nas);
    assert_eq!(compact(&nas, UNDER_30).deleted.chunks, 1);
    assert!(!old[0].exists() && nas.files(".chunk").len() == 1);
    tree.snapshot().assert_same(&nas.restore(&fourth.name()).snapshot());
    assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
}

#[test]
fn another_name_of_a_retired_file_is_no_other_file() {
    let (nas, tree) = (Nas::new(), Tree::new());
    (0..9).for_each(|number| write(&tree, &format!("file {number}"), number));
    fs::hard_link(tree.root.join("file 1"), tree.root.join("file 1 again")).unwrap();
    settle();
    nas.backup(&tree);
    (2..9).for_each(|number| fs::remove_file(tree.root.join(format!("file {number}"))).unwrap());
    settle();
    nas.backup(&tree);
    assert_eq!(compact(&nas, UNDER_30).retired.chunks, 0, "both names count");
    assert_eq!(compact(&nas, Compaction { under_percent: 50, ..UNDER_30 }).retired.chunks, 1);
    // Behind the links in the walk.
    write(&tree, "letter", 20);
    settle();
    let done = nas.backup(&tree);
    assert_eq!(done.told, []);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
}

#[test]
fn one_night_gives_up_no_more_than_it_may() {
    let (nas, tree) = (Nas::new(), Tree::new());
    (0..36).for_each(|number| write(&tree, &format!("file {number:02}"), number));
    settle();
    nas.backup(&tree);
    let chunks = nas.files(".chunk").len();
    (0..36)
        .filter(|number| number % 9 > 1)
        .for_each(|number| fs::remove_file(tree.root.join(format!("file {number:02}"))).unwrap());
    settle();
    nas.backup(&tree);
    let most = Compaction { max_bytes: 450_000, ..UNDER_30 };
    let report = compact(&nas, most);
    assert!(report.retired.chunks >= 1 && report.again_bytes <= most.max_bytes, "{report:?}");
    assert!((report.retired.chunks as usize) < chunks, "{report:?}");
    let third = nas.backup(&tree);
    assert!(third.of(Counter::ReadBytes) <= most.max_bytes, "{third:?}");
    assert!(compact(&nas, most).retired.chunks >= 1, "the others in another night");
    tree.snapshot().assert_same(&nas.restore(&nas.backup(&tree).name()).snapshot());
}

#[test]
fn what_other_sources_use_counts_and_so_does_what_was_not_counted() {
    let (mut nas, tree) = (Nas::new(), Tree::new());
    let [_, newest] = two_nights(&nas, &tree);
    // As it is with a backup of a version before this one.
    let db = rusqlite_at(&nas);
    db.execute("DELETE FROM uses WHERE chunk = 0", []).unwrap();
    drop(db);
    let (told, report) = nas.try_compact(&nas.target(), 0, None, Some(UNDER_30)).unwrap();
    assert_eq!(report.retired.chunks, 0);
    assert!(
        told.len() == 1 && told[0].severity == Severity::Notice && told[0].what.contains("is not counted"),
        "{told:?}"
    );
    nas.backup(&tree);
    // Another source has the files that this one has no more.
    let other = Tree::new();
    (1..9).for_each(|number| write(&other, &format!("file {number}"), number));
    settle();
    nas.root = "other";
    nas.backup(&other);
    assert_eq!(compact(&nas, UNDER_30).retired.chunks, 0);
    nas.root = "tree";
    tree.snapshot().assert_same(&nas.restore(&newest).snapshot());
}

fn rusqlite_at(nas: &Nas) -> rusqlite::Connection {
    rusqlite::Connection::open(nas.state.join("brackup.db")).unwrap()
}

#[test]
fn the_program_retires_where_backups_are_pruned_and_a_dry_run_says_so() {
    let tree = Tree::new();
    (0..9).for_each(|number| write(&tree, &format!("file {number}"), number));
    settle();
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    (2..9).for_each(|number| fs::remove_file(tree.root.join(format!("file {number}"))).unwrap());
    settle();
    assert_eq!(code(&program.backup()), Some(0));
    let collected = |arguments: &[&str]| {
        let output = program.run(&[&["gc", "disk", "--json"], arguments].concat());
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (told["retired"]["chunks"].as_u64().unwrap(), told["again_bytes"].as_u64().unwrap())
    };
    assert_eq!(collected(&[]), (0, 0), "nothing is ever pruned here");
    let dry = collected(&["-n", "--compact-under=30%"]);
    assert!(dry.0 == 1 && dry.1 >= 2 * FILE_BYTES as u64, "{dry:?}");
    assert_eq!(collected(&["--compact-under=30%", "--compact-max=100k"]), (0, 0));
    let folder = program.folder.display();
    program.set_target(&format!("type = Filesystem\npath = {folder}\nkeep_last = 1\ncompact_under = 0%"));
    assert_eq!(collected(&[]), (0, 0));
    program.set_target(&format!("type = Filesystem\npath = {folder}\nkeep_last = 1"));
    let text = program.run(&["gc", "disk", "-n"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("retired  1 chunk, ")
            && text.contains(" of which the next backup stores 195.")
            && text.contains("KiB anew"),
        "{text}"
    );
    assert_eq!(collected(&[]), dry);
    let backup = program.run(&["--from=tree", "--to=disk", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&backup.stdout).unwrap();
    assert_eq!((&told["chunks_stored"], &told["read_bytes"]), (&1.into(), &200_000.into()), "{told}");
    for wrong in ["--compact-under=30", "--compact-max=much"] {
        assert_eq!(code(&program.run(&["gc", "disk", wrong])), Some(2), "{wrong}");
    }
}

/// A disk that fails while its files are to be stored anew: the good copy stays.
#[test]
fn a_file_that_can_t_be_read_any_more_stays_as_it_was_stored() {
    if !when_root("a disk that fails") {
        return;
    }
    for (harm, expected) in [
        (Mount::break_file as fn(&Mount, &str), "can't be read: "),
        (Mount::rot_file, "has other contents than were stored, and neither its size nor its times say so"),
    ] {
        let (nas, disk, quiet) = (Nas::new(), Mount::old_disk(), Quiet::default());
        let path = |name: &str| disk.at.join(name);
        (0..3).for_each(|number| fs::write(path(&format!("file{number}")), noise(number, 3 * FILE_BYTES)).unwrap());
        fs::write(path("small"), "small").unwrap();
        settle();
        nas.try_backup(&disk.at, &nas.target(), &quiet).unwrap();
        (0..3)
            .filter(|number| *number != 1)
            .for_each(|number| fs::remove_file(path(&format!("file{number}"))).unwrap());
        settle();
        nas.try_backup(&disk.at, &nas.target(), &quiet).unwrap();
        assert_eq!(compact(&nas, Compaction { under_percent: 50, ..UNDER_30 }).retired.chunks, 1);
        harm(&disk, "file1");
        let done = nas.try_backup(&disk.at, &nas.target(), &quiet).unwrap();
        let problems: Vec<_> = done.told.iter().filter(|told| told.severity == Severity::Problem).collect();
        assert!(
            problems.len() == 1 && problems[0].subject == "file1" && problems[0].what.contains(expected),
            "{:?}",
            done.told
        );
        let restored = nas.restore(&done.name());
        assert!(fs::read(restored.root.join("file1")).unwrap() == noise(1, 3 * FILE_BYTES), "the good copy");
        assert_eq!(fs::read(restored.root.join("small")).unwrap(), b"small");
        // Chunks go; this one does not.
        keep_newest(&nas);
        compact(&nas, UNDER_30);
        nas.restore(&done.name());
        let again = nas.try_backup(&disk.at, &nas.target(), &quiet).unwrap();
        assert_eq!(again.told.iter().filter(|told| told.severity == Severity::Problem).count(), 1, "{:?}", again.told);
        nas.restore(&again.name());
    }
}
