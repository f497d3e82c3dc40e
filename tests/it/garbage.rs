//! Chunks that nothing needs go, and nothing else does: at every moment whatever is listed restores (I9).

use std::fs;
use std::time::{Duration, SystemTime};

use brackup::blob::Amount;
use brackup::gc::Error;
use brackup::policy::Policy;
use brackup::target::{ObjectName, Target};

use crate::support::{Call, Fault, How, May, Nas, Program, Recording, Tree, code, noise, settle, stderr};

const DAY: i64 = 86_400;

/// The target when its clock shows this.
fn at(target: &dyn Target, time: SystemTime) -> Fault<'_> {
    Fault::over(target, 0, How::Shows(time))
}

fn keep_last(count: u32) -> Policy {
    Policy { last: Some(count), ..Policy::default() }
}

/// Makes a file of a chunk and a half, which no other shares.
fn change(tree: &Tree, name: &str, seed: u64) {
    tree.file(name, noise(seed, 1_500_000));
    settle();
}

/// A home in which three backups were made, and only the newest is left.
fn pruned_program() -> (Program, Tree) {
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    for seed in 0..3 {
        change(&tree, "changing", seed);
        assert_eq!(code(&program.backup()), Some(0));
    }
    assert_eq!(code(&program.run(&["prune", "disk", "--keep-last=1"])), Some(0));
    (program, tree)
}

fn collected(program: &Program, arguments: &[&str]) -> serde_json::Value {
    let output = program.run(&[&["gc", "disk", "--json"], arguments].concat());
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_program_collects_when_the_grace_of_the_target_has_ended() {
    let (program, tree) = pruned_program();
    let chunks = || {
        fs::read_dir(&program.folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "chunk"))
            .count()
    };
    let all = chunks();
    let dry = collected(&program, &["-n", "--grace=0s"]);
    assert!(dry["due"]["chunks"].as_u64() >= Some(2) && dry["deleted"]["chunks"] == 0, "{dry}");
    let marked = collected(&program, &[]);
    assert_eq!((&marked["marked"], &marked["due"]["chunks"]), (&dry["garbage"], &0.into()), "a dry run marks nothing");
    assert!(marked["next_due"].as_str().is_some());
    assert_eq!(chunks(), all);
    program.set_target(&format!("type = Filesystem\npath = {}\ngrace = 0s", program.folder.display()));
    let output = program.run(&["gc"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.lines().last().unwrap().starts_with("deleted  "), "{told}");
    assert_eq!(chunks() as u64, all as u64 - dry["due"]["chunks"].as_u64().unwrap());
    let to = Tree::absent();
    assert_eq!(code(&program.restore(&to.root)), Some(0));
    tree.snapshot().assert_same(&to.snapshot());
}

#[test]
fn the_program_says_why_it_deletes_nothing() {
    let (program, _tree) = pruned_program();
    let told = |exit| {
        let output = program.run(&["gc", "disk", "--grace=0s"]);
        assert_eq!(code(&output), Some(exit), "{}", stderr(&output));
        stderr(&output)
    };
    let chunks = program.home().join("aside");
    fs::create_dir(&chunks).unwrap();
    let moved: Vec<_> = fs::read_dir(&program.folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "chunk"))
        .collect();
    moved.iter().for_each(|entry| fs::rename(entry.path(), chunks.join(entry.file_name())).unwrap());
    let short = told(1);
    assert!(
        short.contains("are not listed as they were stored: nothing is deleted")
            && short.contains(&format!("--force {}", moved.len())),
        "{short}"
    );
    moved.iter().for_each(|entry| fs::rename(chunks.join(entry.file_name()), entry.path()).unwrap());
    let database = program.home().join("state/brackup.db");
    fs::rename(&database, program.home().join("aside.db")).unwrap();
    assert!(told(1).contains("does not remember to have stored anything"));
    // A new memory knows what is stored from now on.
    assert_eq!(code(&program.backup()), Some(0));
    let forgotten = told(1);
    assert!(forgotten.contains("1 of this box's backups are there that it does not remember: tree-"), "{forgotten}");
    assert!(program.run(&["gc", "disk", "--grace", "soon"]).status.code() == Some(2));
}

/// Three backups, each with a file that the next does not have.
fn three_nights() -> (Nas, Tree, Vec<String>) {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("always", noise(1, 1_500_000));
    let night = |number| {
        change(&tree, "changing", number);
        nas.backup(&tree).name()
    };
    let made = (10..13).map(night).collect();
    (nas, tree, made)
}

/// Everything that is listed is whole, and known to this box.
fn is_well(nas: &Nas) {
    assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
    nas.assert_all_remembered();
}

#[test]
fn what_nothing_needs_goes_when_its_grace_has_ended() {
    let (nas, tree, _) = three_nights();
    let target = nas.target();
    let all = nas.files(".chunk").len();
    let (told, report) = nas.try_gc(&target, 0, None).unwrap();
    assert_eq!((told, report.garbage, report.deleted), (vec![], Amount::default(), Amount::default()));
    assert_eq!(report.needed.chunks as usize, all);
    nas.try_prune(&target, &keep_last(1)).unwrap();
    let now = SystemTime::now();
    let later = |days: u64| at(&target, now + Duration::from_secs(days * DAY as u64));
    let (_, first) = nas.try_gc(&later(0), 7 * DAY, None).unwrap();
    assert!(
        first.garbage.chunks >= 2 && first.marked == first.garbage && first.deleted == Amount::default(),
        "{first:?}"
    );
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert_eq!(first.next_due, Some(seconds(now) + 7 * DAY));
    let (_, second) = nas.try_gc(&later(6), 7 * DAY, None).unwrap();
    assert_eq!((second.garbage, second.marked, second.deleted), (first.garbage, Amount::default(), Amount::default()));
    assert_eq!(nas.files(".chunk").len(), all);
    let (_, third) = nas.try_gc(&later(8), 7 * DAY, None).unwrap();
    assert_eq!((third.deleted, third.next_due), (first.garbage, None));
    nas.assert_nothing_else_is_there();
    is_well(&nas);
    // What was in them is stored anew when it is there again.
    change(&tree, "changing", 10);
    let done = nas.backup(&tree);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    is_well(&nas);
}

#[test]
fn a_backup_that_meets_a_candidate_rescues_it() {
    let (nas, tree, _) = three_nights();
    let target = nas.target();
    nas.try_prune(&target, &keep_last(1)).unwrap();
    let (_, marked) = nas.try_gc(&target, 7 * DAY, None).unwrap();
    change(&tree, "changing", 11);
    let recording = Recording::over(&target);
    nas.try_backup(&tree.root, &recording, &brackup::monitor::Quiet::default()).unwrap();
    assert!(recording.chunk_bytes() < 200_000, "it is still there, and used: {}", recording.chunk_bytes());
    let (_, report) = nas.try_gc(&target, 0, None).unwrap();
    let (deleted, marked) = (report.deleted.chunks, marked.marked.chunks);
    assert!(deleted >= 1 && deleted < marked, "{deleted} of {marked}");
    nas.assert_nothing_else_is_there();
    is_well(&nas);
}

#[test]
fn a_clock_that_goes_back_makes_a_chunk_stay_longer() {
    let (nas, _tree, _) = three_nights();
    let target = nas.target();
    nas.try_prune(&target, &keep_last(1)).unwrap();
    let now = SystemTime::now();
    let ahead = at(&target, now + Duration::from_secs(900 * DAY as u64));
    nas.try_gc(&ahead, 7 * DAY, None).unwrap();
    let (_, report) = nas.try_gc(&at(&target, now), 7 * DAY, None).unwrap();
    assert_eq!((report.marked, report.deleted), (report.garbage, Amount::default()));
    let week = at(&target, now + Duration::from_secs(8 * DAY as u64));
    let (_, report) = nas.try_gc(&week, 7 * DAY, None).unwrap();
    assert_eq!(report.deleted, report.garbage);
}

#[test]
fn what_another_box_has_there_is_not_touched() {
    let (nas, tree, _) = three_nights();
    let mut other = Nas::new();
    other.folder = nas.folder.clone();
    tree.file("of the other", noise(77, 3_000_000));
    settle();
    let foreign = other.backup(&tree).name();
    // And what is nobody's: a chunk that a crash left, or that was put there.
    let stray = nas.folder.join("0123456789abcdef0123456789abcdef01234567.chunk");
    fs::write(&stray, "of nobody").unwrap();
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let (told, report) = nas.try_gc(&nas.target(), 0, None).unwrap();
    assert_eq!(told, []);
    assert!(report.deleted.chunks >= 2 && report.unknown.chunks >= 4, "{report:?}");
    assert!(stray.exists());
    tree.snapshot().assert_same(&other.restore(&foreign).snapshot());
    // Its metafile is looked at once.
    let (folder, name) = (nas.target(), ObjectName::parse(&format!("{foreign}.meta")).unwrap());
    let recording = Recording::over(&folder);
    nas.try_gc(&recording, 0, None).unwrap();
    assert!(!recording.calls().contains(&Call::Get(name)), "{:?}", recording.calls());
}

#[test]
fn a_backup_that_is_not_remembered_stops_it() {
    let (nas, tree, made) = three_nights();
    // The memory goes, and with it what the three need; the chain goes on.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    nas.backup(&tree);
    nas.backup(&tree);
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let chunks = nas.files(".chunk");
    let error = nas.try_gc(&nas.target(), 0, None).unwrap_err();
    let Error::Forgotten(names) = &error else { panic!("{error}") };
    assert_eq!(*names, made);
    assert_eq!(nas.files(".chunk"), chunks);
    // One whose footer is broken may be anybody's.
    let (nas, _tree, made) = three_nights();
    let copy = format!("{}99", &made[0][..made[0].len() - 2]);
    fs::write(nas.folder.join(format!("{copy}.meta")), "broken").unwrap();
    let error = nas.try_gc(&nas.target(), 0, None).unwrap_err();
    assert!(error.hint().unwrap().contains("fsck TARGET --repair"), "a way out is named");
    assert!(matches!(error, Error::Unreadable(names) if names == [copy]));
    nas.try_fsck(&nas.target(), May { repair: true, ..May::default() }).unwrap();
    nas.try_gc(&nas.target(), 0, None).unwrap();
}

#[test]
fn a_listing_that_is_short_stops_it() {
    let (nas, _tree, _) = three_nights();
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let folder = nas.target();
    let blind = Fault::over(&folder, 0, How::ListsNoChunks);
    let all = nas.files(".chunk");
    let error = nas.try_gc(&blind, 0, None).unwrap_err();
    assert!(matches!(error, Error::Short { missing, all: of } if missing == of && of == all.len() as u64), "{error}");
    assert!(error.hint().unwrap().contains(&format!("--force {}", all.len())));
    assert!(nas.try_gc(&blind, 0, Some(all.len() as u64 - 1)).is_err(), "the number must be the right one");
    assert_eq!(nas.files(".chunk"), all);
    // A mark that was made before it was refused does not count.
    let (_, report) = nas.try_gc(&folder, 7 * DAY, None).unwrap();
    assert_eq!(report.marked, report.garbage);
    fs::remove_file(&all[0]).unwrap();
    fs::remove_file(&all[1]).unwrap();
    assert!(matches!(nas.try_gc(&folder, 7 * DAY, None), Err(Error::Short { missing: 2, .. })));
    let (told, report) = nas.try_gc(&folder, 7 * DAY, Some(2)).unwrap();
    assert_eq!((told.len(), report.missing.chunks), (1, 2), "{told:?}");
}

#[test]
fn a_chunk_with_another_length_is_left() {
    let (nas, _tree, _) = three_nights();
    let before = nas.files(".chunk");
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let needed = nas.chunks_of(&nas.backups()[0].to_string());
    let garbage = before.iter().find(|path| !needed.contains(path.file_name().unwrap().to_str().unwrap())).unwrap();
    fs::write(garbage, "something else").unwrap();
    assert!(matches!(nas.try_gc(&nas.target(), 0, None), Err(Error::Short { missing: 1, .. })));
    let (_, report) = nas.try_gc(&nas.target(), 0, Some(1)).unwrap();
    assert!(report.odd.chunks == 1 && report.deleted.chunks >= 1 && garbage.exists(), "{report:?}");
}

/// A first backup that takes weeks of nights: nothing refers to its chunks until it is done.
#[test]
fn what_an_unfinished_backup_uses_every_night_stays() {
    use crate::support::{Event, Watch};
    use std::sync::atomic::Ordering;
    let (nas, tree) = (Nas::new(), Tree::new());
    for number in 0..4 {
        tree.file(format!("{number}"), noise(number, 1_500_000));
    }
    settle();
    let target = nas.target();
    let interrupted = |at: &'static str| {
        let stopping = Watch(|event: Event<'_>| {
            if matches!(event, Event::At(path) if path == at) {
                nas.stop.store(true, Ordering::Relaxed);
            }
        });
        let done = nas.try_backup(&tree.root, &target, &stopping).unwrap();
        assert!(done.report.interrupted);
        nas.stop.store(false, Ordering::Relaxed);
    };
    interrupted("1");
    let stored = nas.files(".chunk").len();
    assert!(stored >= 2);
    let now = SystemTime::now();
    for night in 0..20 {
        let (_, report) =
            nas.try_gc(&at(&target, now + Duration::from_secs(night * DAY as u64)), 7 * DAY, None).unwrap();
        assert_eq!((report.deleted, report.garbage.chunks), (Amount::default(), stored as u64), "night {night}");
        interrupted("1");
    }
    // It is given up, and its chunks go.
    let week = at(&target, now + Duration::from_secs(30 * DAY as u64));
    nas.try_gc(&week, 7 * DAY, None).unwrap();
    let later = at(&target, now + Duration::from_secs(40 * DAY as u64));
    assert_eq!(nas.try_gc(&later, 7 * DAY, None).unwrap().1.deleted.chunks, stored as u64);
}

#[test]
fn a_clock_that_is_not_set_stops_it() {
    let (nas, _tree, _) = three_nights();
    let unset = SystemTime::UNIX_EPOCH + Duration::from_secs(300);
    let error = nas.try_gc(&at(&nas.target(), unset), 0, None).unwrap_err();
    assert!(matches!(error, Error::Clock(_)), "{error}");
}

/// A night with half the disk: what was forgotten then is this box's all the same when it is back.
#[test]
fn what_was_away_for_a_night_is_collected_when_it_is_back() {
    let (nas, tree, _) = three_nights();
    let aside = nas.state.join("aside");
    fs::create_dir(&aside).unwrap();
    let all = nas.files(".chunk");
    let away: Vec<_> = all.iter().step_by(2).map(|path| (path, aside.join(path.file_name().unwrap()))).collect();
    away.iter().for_each(|(path, to)| fs::rename(path, to).unwrap());
    assert!(nas.backup(&tree).told.iter().any(|told| told.what.contains("are gone")));
    // What older backups need is missing still, though the box does not believe it to be there any more.
    let error = nas.try_gc(&nas.target(), 0, None).unwrap_err();
    assert!(matches!(error, Error::Short { .. }), "{error}");
    away.iter().for_each(|(path, to)| fs::rename(to, path).unwrap());
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let (told, report) = nas.try_gc(&nas.target(), 0, None).unwrap();
    assert_eq!((told, report.unknown), (vec![], Amount::default()), "{report:?}");
    nas.assert_nothing_else_is_there();
    is_well(&nas);
}

/// What verify found to be damaged is garbage like any other, and must not come to be trusted because it could not be deleted.
#[test]
fn a_damaged_chunk_that_could_not_be_deleted_is_not_used_again() {
    let (nas, tree, _) = three_nights();
    let before = nas.files(".chunk");
    nas.try_prune(&nas.target(), &keep_last(1)).unwrap();
    let needed = nas.chunks_of(&nas.backups()[0].to_string());
    let garbage = before.iter().filter(|path| !needed.contains(path.file_name().unwrap().to_str().unwrap()));
    for path in garbage {
        let mut bytes = fs::read(path).unwrap();
        bytes[100_000] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    assert!(!nas.verify().unwrap().is_empty());
    let folder = nas.target();
    let (_, report) = nas.try_gc(&Fault::over(&folder, 0, How::Denies), 0, None).unwrap();
    assert!(report.due.chunks >= 2 && report.deleted == Amount::default(), "{report:?}");
    change(&tree, "changing", 11);
    let done = nas.backup(&tree);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    nas.try_gc(&folder, 0, None).unwrap();
    nas.assert_nothing_else_is_there();
    is_well(&nas);
}

#[test]
fn a_target_that_lets_nothing_be_deleted_loses_nothing() {
    let (nas, tree, _) = three_nights();
    let folder = nas.target();
    nas.try_prune(&folder, &keep_last(1)).unwrap();
    let denied = Fault::over(&folder, 0, How::Denies);
    let (told, report) = nas.try_gc(&denied, 0, None).unwrap();
    assert_eq!((told.len() as u64, report.deleted), (report.due.chunks, Amount::default()));
    // What could not be deleted is used again.
    change(&tree, "changing", 11);
    let recording = Recording::over(&folder);
    nas.try_backup(&tree.root, &recording, &brackup::monitor::Quiet::default()).unwrap();
    assert!(recording.chunk_bytes() < 200_000, "{}", recording.chunk_bytes());
    is_well(&nas);
}
