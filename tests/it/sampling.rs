//! The nights of a month share the reading of everything, and what each has found out is remembered.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::Ordering;

use brackup::db::Db;
use brackup::monitor::{Quiet, Tally};
use brackup::verify::{self, Part, Seen};

use crate::support::{Nas, Program, Tree, code, noise, settle, stderr};

const DAY: i64 = 86_400;
/// Some time in 2027.
const BEGINNING: i64 = 1_800_000_000;

/// What a night has read, what it says of all, and how many problems it told.
struct Night {
    read: BTreeSet<String>,
    seen: Option<Seen>,
    problems: usize,
}

/// Verifies a part on a day. Ends behind so many chunks, if it is to.
fn night(nas: &Nas, part: Part, day: i64, stop_behind: Option<usize>) -> Night {
    let (quiet, db) = (Quiet::default(), Db::open(&nas.state).unwrap());
    let identity = db.target_identity("disk").unwrap().unwrap();
    let (target, now) = (nas.target(), BEGINNING + day * DAY);
    let memory = Some((&db, &*identity));
    let options = verify::Options { target: &target, memory, spool: &nas.state, part, clock: &|| now };
    db.begin_run().unwrap();
    let mut read = BTreeSet::new();
    let seen = verify::objects(&options, &Tally::new(&quiet), &nas.stop, &mut |known| {
        if known.is_new && known.name.tells_contents() {
            read.insert(known.name.to_string());
        }
        if stop_behind == Some(read.len()) {
            nas.stop.store(true, Ordering::Relaxed);
        }
    });
    nas.stop.store(false, Ordering::Relaxed);
    db.end_run().unwrap();
    Night { read, seen: seen.unwrap(), problems: quiet.problems().len() }
}

fn sample(percent: f64) -> Part {
    Part { percent: Some(percent), ..Part::default() }
}

fn older_than(days: i64) -> Part {
    Part { older_than_seconds: Some(days * DAY), ..Part::default() }
}

/// A backup of about twelve chunks.
fn backed_up() -> (Nas, Tree) {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 12 << 20));
    settle();
    nas.backup(&tree);
    (nas, tree)
}

fn all(nas: &Nas) -> BTreeSet<String> {
    nas.files(".chunk").iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn four_nights_of_a_quarter_read_everything_once() {
    let (nas, _tree) = backed_up();
    let all = all(&nas);
    let nights: Vec<_> = (0..4).map(|day| night(&nas, sample(25.0), day, None)).collect();
    let sizes: Vec<_> = nights.iter().map(|night| night.read.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>().max(all.len()), all.len().div_ceil(4) * 4, "{sizes:?} of {}", all.len());
    assert_eq!(nights.iter().flat_map(|night| night.read.clone()).collect::<BTreeSet<_>>(), all);
    let first = nights[0].seen.unwrap();
    assert_eq!((first.chunks, first.read), (all.len() as u64, sizes[0] as u64));
    assert_eq!((first.never, first.oldest), (first.chunks - first.read, Some(BEGINNING)));
    let last = nights[3].seen.unwrap();
    assert_eq!((last.never, last.oldest), (0, Some(BEGINNING)));
    // Then it begins with those of the first night.
    let fifth = night(&nas, sample(25.0), 4, None);
    assert!(fifth.read.len() == sizes[0] && fifth.read.is_superset(&nights[0].read), "{:?}", fifth.read);
    assert!(nights.iter().all(|night| night.problems == 0));
}

#[test]
fn what_was_looked_at_not_long_ago_is_left() {
    let (nas, tree) = backed_up();
    let old = all(&nas);
    assert_eq!(night(&nas, older_than(30), 0, None).read, old);
    tree.file("b", noise(2, 2 << 20));
    settle();
    nas.backup(&tree);
    let new: BTreeSet<_> = all(&nas).difference(&old).cloned().collect();
    assert_eq!(night(&nas, older_than(30), 29, None).read, new, "what was never looked at");
    assert_eq!(night(&nas, older_than(30), 30, None).read, old);
    assert_eq!(night(&nas, older_than(30), 30, None).read, BTreeSet::new());
    // Both: the oldest of these, at most the share.
    let both = Part { percent: Some(50.0), ..older_than(30) };
    let share = all(&nas).len().div_ceil(2);
    assert_eq!(night(&nas, both, 59, None).read, new);
    assert!(night(&nas, both, 60, None).read.is_subset(&old));
    assert_eq!(night(&nas, both, 90, None).read.len(), share);
    // A clock that was ahead, and is right again: it counts as never.
    assert_eq!(night(&nas, Part::default(), 4000, None).read, all(&nas));
    assert_eq!(night(&nas, older_than(30), 91, None).read, all(&nas));
}

#[test]
fn a_night_that_is_cut_off_counts() {
    let (nas, _tree) = backed_up();
    let first = night(&nas, older_than(30), 0, Some(5));
    assert_eq!((first.read.len(), first.seen), (5, None));
    let second = night(&nas, older_than(30), 1, None);
    assert_eq!(second.read, all(&nas).difference(&first.read).cloned().collect());
}

#[test]
fn damage_is_remembered_and_what_is_gone_is_forgotten() {
    let (nas, tree) = backed_up();
    let checks = || {
        let db = Db::open(&nas.state).unwrap();
        let identity = db.target_identity("disk").unwrap().unwrap();
        let mut checks = brackup::db::Checks::open(&db, &identity);
        let of = |path: std::path::PathBuf| {
            let key = brackup::digest::Sha1::parse(path.file_stem().unwrap().to_str().unwrap()).unwrap();
            (path, checks.of(&key).unwrap().map(|check| check.is_whole))
        };
        nas.files(".chunk").into_iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let chunks = nas.files(".chunk");
    let mut bytes = fs::read(&chunks[3]).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&chunks[3], &bytes).unwrap();
    assert_eq!(night(&nas, sample(100.0), 0, None).problems, 1);
    assert_eq!(checks().iter().filter(|(_, is_whole)| **is_whole == Some(false)).count(), 1);
    assert_eq!(checks()[&chunks[3]], Some(false));
    // The next backup stores anew what lay in it.
    let name = nas.backup(&tree).name();
    tree.snapshot().assert_same(&nas.restore(&name).snapshot());
    fs::remove_file(&chunks[3]).unwrap();
    // It is needed by the first backup, and missing.
    assert_eq!(night(&nas, older_than(30), 1, None).problems, 1);
    fs::write(&chunks[3], &bytes).unwrap();
    assert_eq!(checks()[&chunks[3]], None, "another object of its name is another object");
}

#[test]
fn the_program_says_what_is_known_of_each_object() {
    let tree = Tree::new();
    tree.file("a", noise(1, 4 << 20));
    settle();
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let lines = |arguments: &[&str]| {
        let output = program.run(&[&["verify", "disk", "--json"], arguments].concat());
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let sampled = lines(&["--sample", "25%"]);
    let (sum, objects) = sampled.split_last().unwrap();
    let count = |objects: &[serde_json::Value], field: &str, value: serde_json::Value| {
        objects.iter().filter(|object| object[field] == value).count() as u64
    };
    let chunks = sum["chunks"].as_u64().unwrap();
    assert_eq!(objects.len() as u64, chunks + 1, "and a metafile");
    let read = sum["chunks_read"].as_u64().unwrap();
    assert!(read == chunks.div_ceil(4) && read < chunks, "{sum}");
    assert_eq!(count(objects, "is_new", true.into()), read + 1);
    assert_eq!(count(objects, "is_whole", true.into()), read + 1);
    assert_eq!(count(objects, "at", serde_json::Value::Null), chunks - read);
    assert_eq!(sum["chunks_never_read"], chunks - read);
    assert!(sum["oldest_reading"].as_str().is_some_and(|at| at.ends_with('Z')), "{sum}");
    let rest = lines(&["--older-than", "30d"]);
    assert_eq!(rest.last().unwrap()["chunks_read"], chunks - read);
    let told = String::from_utf8(program.run(&["verify", "--sample=1%"]).stdout).unwrap();
    assert!(
        told.contains(&format!("\nread 1 chunk of {chunks}, 0 were never read; the oldest reading is of ")),
        "{told}"
    );
    // What can't be meant.
    let refused = |arguments: &[&str], exit: i32, text: &str| {
        let output = program.run(arguments);
        assert!(code(&output) == Some(exit) && stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
    };
    refused(&["verify", "disk", "--sample", "5"], 2, "--sample is \"5\", expected a share like 5%");
    refused(&["verify", "disk", "--older-than", "soon"], 2, "expected a time like 7d");
    let key = program.key.to_str().unwrap();
    refused(&["verify", "disk", "--sample", "5%", "--key", key], 2, "read without a key");
    fs::remove_file(program.home().join("state/brackup.db")).unwrap();
    refused(&["verify", "disk", "--sample", "5%"], 1, "when what was read there is not known");
    let without = lines(&[]);
    let (sum, objects) = without.split_last().unwrap();
    assert_eq!((count(objects, "is_whole", true.into()), &sum["chunks_read"]), (chunks + 1, &chunks.into()));
}
