//! Files that change, vanish or can't be read under way (I3, I4, I10), and what is left out.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use brackup::monitor::{Counter, Quiet, Severity};
use brackup::restore::Conflict;
use nix::sys::stat::Mode;

use crate::round_trip::{CHUNK, SEGMENT, comes_back};
use crate::support::{
    Done, Event, Mount, Nas, Program, Recording, Tree, Watch, code, noise, set_mtime, settle, stderr, when_root,
};

#[test]
fn a_racily_clean_file_is_read_again() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let path = tree.file("a", b"one");
    set_mtime(&path, i64::from(u32::MAX), 0);
    settle();
    // Its mtime lies ahead: at no time can the cache know that it will not change again under it.
    assert_eq!(
        (comes_back(&nas, &tree).of(Counter::ReadBytes), comes_back(&nas, &tree).of(Counter::ReadBytes)),
        (3, 3)
    );
    set_mtime(&path, 1_000_000_000, 0);
    // That ctime counts too is held beside the code: here it would be a race against the clock.
    settle();
    let (later, latest) = (nas.backup(&tree), nas.backup(&tree));
    assert_eq!([later, latest].map(|done| done.of(Counter::ReadBytes)), [3, 0]);
}

/// Backs up `a` (four chunks of noise), and calls `act` when `reads` pieces of it have been read; then restores.
fn meddled(tree: &Tree, nas: &Nas, reads: usize, act: impl Fn() + Send + Sync) -> (Done, Tree) {
    let (seen, is_a) = (AtomicUsize::new(0), AtomicBool::new(false));
    let watch = Watch(|event: Event<'_>| match event {
        Event::At(path) => {
            is_a.store(path == "a", Ordering::Relaxed);
            if path == "a" && reads == 0 && seen.swap(1, Ordering::Relaxed) == 0 {
                act();
            }
        }
        Event::Count(Counter::ReadBytes) if is_a.load(Ordering::Relaxed) && reads > 0 => {
            if seen.fetch_add(1, Ordering::Relaxed) + 1 == reads {
                act();
            }
        }
        Event::Count(_) => {}
    });
    let done = nas.try_backup(&tree.root, &nas.target(), &watch).unwrap();
    let restored = Tree::absent();
    nas.try_restore(&done.name(), &restored.root, Conflict::Abort).unwrap();
    assert_eq!(fs::read(restored.at("z")).unwrap(), b"behind", "the run goes on");
    (done, restored)
}

fn meddle_with() -> (Nas, Tree) {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 2 * CHUNK));
    tree.file("z", b"behind");
    settle();
    (nas, tree)
}

/// The next backup has the file as it is then, whatever happened in this one.
fn next_is_right(nas: &Nas, tree: &Tree) {
    settle();
    comes_back(nas, tree);
}

#[test]
fn a_file_changed_while_it_is_read_is_stored_as_read_and_read_again() {
    let (nas, tree) = meddle_with();
    let path = tree.at("a");
    let (done, restored) = meddled(&tree, &nas, 5, || {
        File::options().write(true).open(&path).unwrap().write_at(b"CHANGED", 10 * SEGMENT as u64).unwrap();
    });
    assert!(done.told.iter().any(|told| told.severity == Severity::Notice && told.what.contains("changed")));
    assert_eq!(fs::read(restored.at("a")).unwrap(), fs::read(&path).unwrap());
    assert_eq!(nas.backup(&tree).of(Counter::ReadBytes), 2 * CHUNK as u64, "I3: what changed is not trusted");
    next_is_right(&nas, &tree);
}

#[test]
fn a_file_truncated_while_it_is_read_has_what_was_read() {
    let (nas, tree) = meddle_with();
    let path = tree.at("a");
    let (done, restored) = meddled(&tree, &nas, 5, || {
        File::options().write(true).open(&path).unwrap().set_len(10 * SEGMENT as u64 + 9).unwrap();
    });
    assert_eq!(done.report.counts.notices, 1);
    assert_eq!(fs::read(restored.at("a")).unwrap(), noise(1, 10 * SEGMENT + 9));
    next_is_right(&nas, &tree);
}

#[test]
fn a_file_that_grows_while_it_is_read_has_its_first_length() {
    let (nas, tree) = meddle_with();
    let path = tree.at("a");
    let (done, restored) =
        meddled(&tree, &nas, 5, || File::options().write(true).open(&path).unwrap().set_len(9 << 20).unwrap());
    assert_eq!(done.report.counts.notices, 1);
    assert_eq!(fs::read(restored.at("a")).unwrap(), noise(1, 2 * CHUNK));
    next_is_right(&nas, &tree);
}

#[test]
fn a_file_replaced_before_it_is_read_is_never_a_mixture() {
    for reads in [0, 5] {
        let (nas, tree) = meddle_with();
        tree.file("new", noise(2, 2 * CHUNK));
        let (path, new) = (tree.at("a"), tree.at("new"));
        let (done, restored) = meddled(&tree, &nas, reads, || fs::rename(&new, &path).unwrap());
        assert_eq!(fs::read(restored.at("a")).unwrap(), noise(if reads == 0 { 2 } else { 1 }, 2 * CHUNK));
        assert_eq!(done.report.counts.problems, 0);
        next_is_right(&nas, &tree);
    }
}

#[test]
fn a_file_replaced_by_something_else_is_told() {
    let swaps: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
        |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
    ];
    for (number, swap) in swaps.into_iter().enumerate() {
        let (nas, tree) = meddle_with();
        let path = tree.at("a");
        let (done, restored) = meddled(&tree, &nas, 0, || {
            fs::remove_file(&path).unwrap();
            swap(&path);
        });
        assert!(!done.told.is_empty(), "{number}");
        assert!(!restored.at("a").exists(), "neither what a link points to nor an empty file: {number}");
        next_is_right(&nas, &tree);
    }
}

#[test]
fn a_file_that_vanishes_is_left_out_and_said() {
    let (nas, tree) = meddle_with();
    let path = tree.at("a");
    let (done, restored) = meddled(&tree, &nas, 0, || fs::remove_file(&path).unwrap());
    assert!(done.told.iter().any(|told| told.subject == "a" && told.what.contains("vanished")), "{:?}", done.told);
    assert!(!restored.at("a").exists());
    next_is_right(&nas, &tree);
    // Read to its end although its name is gone.
    let (nas, tree) = meddle_with();
    let path = tree.at("a");
    let (_, restored) = meddled(&tree, &nas, 5, || fs::remove_file(&path).unwrap());
    assert_eq!(fs::read(restored.at("a")).unwrap(), noise(1, 2 * CHUNK));
}

#[test]
fn a_name_that_vanishes_between_listing_and_looking_is_said() {
    let (mut nas, tree) = meddle_with();
    let path = tree.at("a");
    nas.ignores = Box::new(move |name, _| {
        if name == b"a" {
            let _ = fs::remove_file(&path);
        }
        false
    });
    let done = nas.backup(&tree);
    assert!(done.told.iter().any(|told| told.subject == "a" && told.what.contains("vanished")), "{:?}", done.told);
    tree.snapshot().without("").assert_same(&nas.restore(&done.name()).snapshot().without(""));
}

#[test]
fn a_directory_that_is_moved_away_from_above_the_walk_costs_what_is_left_in_it_only() {
    // More levels than are kept open, each with a file that comes behind the levels below. At the bottom of it, level 60 is moved
    // out of the tree and removed; if `lower` says so, level 70 was taken out of that before.
    for lower in [false, true] {
        let (mut nas, tree, elsewhere) = (Nas::new(), Tree::new(), Tree::new());
        let level = |number: usize| ["d"; 130][..number].join("/");
        for number in 0..=130 {
            tree.file(Path::new(&level(number)).join("z"), format!("{number}"));
        }
        let (root, away) = (tree.root.clone(), elsewhere.root.clone());
        let (bottom, level_60, level_70) = (level(130) + "/z", level(60), level(70));
        nas.ignores = Box::new(move |path, _| {
            if path == bottom.as_bytes() {
                if lower {
                    fs::rename(root.join(&level_70), away.join("70")).unwrap();
                }
                fs::rename(root.join(&level_60), away.join("60")).unwrap();
                fs::remove_dir_all(away.join("60")).unwrap();
            }
            false
        });
        let done = nas.backup(&tree);
        let restored = Tree::absent();
        nas.try_restore(&done.name(), &restored.root, Conflict::Abort).unwrap();
        let has = |number: usize| restored.at(level(number)).join("z").exists();
        assert!((0..60).all(has) && !(60..70).any(has), "{lower}: what is behind it is there");
        assert_eq!(has(130), lower, "level 70 is open");
        let moved = done.told.iter().filter(|told| told.severity == Severity::Problem && told.what.contains("moved"));
        let subjects: Vec<_> = moved.map(|told| told.subject.clone()).collect();
        assert_eq!(subjects, if lower { vec![level(60)] } else { vec![] });
    }
}

#[test]
fn other_names_of_a_file_that_vanished_stay_one_file() {
    let (nas, tree) = meddle_with();
    tree.link("a", "b");
    tree.link("a", "c");
    let path = tree.at("a");
    let (_, restored) = meddled(&tree, &nas, 0, || fs::remove_file(&path).unwrap());
    // The root's time is that of before the file went.
    tree.snapshot().without("").assert_same(&restored.snapshot().without(""));
}

#[test]
fn a_backup_leaves_no_trace_in_access_times() {
    use std::os::unix::fs::MetadataExt as _;
    let (nas, tree) = (Nas::new(), Tree::new());
    let paths = [tree.file("dir/below/file", b"read"), tree.at("dir/below"), tree.at("dir"), tree.root.clone()];
    // Older than the last change: a read would be written down even where access times are kept seldom.
    paths.iter().for_each(|path| set_mtime(path, 1_000_000_000, 0));
    nas.backup(&tree);
    assert_eq!(paths.map(|path| fs::metadata(path).unwrap().atime()), [1_000_000_000; 4]);
}

#[test]
fn what_is_ignored_is_not_there() {
    let (mut nas, tree) = (Nas::new(), Tree::new());
    tree.file("keep/file", b"keep");
    tree.file("cache/file", b"cache");
    nas.ignores = Box::new(|name, is_directory| name == b"cache" && is_directory);
    let restored = nas.restore(&nas.backup(&tree).name());
    assert!(restored.at("keep/file").exists() && !restored.at("cache").exists());
}

#[test]
fn the_target_inside_the_source_is_not_backed_up() {
    let (mut nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 1000));
    nas.folder = tree.directory("target");
    let done = nas.backup(&tree);
    assert!(done.told.iter().any(|told| told.subject == "target"), "{:?}", done.told);
    let restored = nas.restore(&done.name());
    assert!(restored.at("a").exists() && !restored.at("target").exists());
}

#[test]
fn an_unreadable_file_is_counted_listed_and_told_by_the_exit_code() {
    let tree = Tree::new();
    tree.file("closed", b"secret");
    tree.file("open", b"public");
    tree.file("shut/file", b"secret");
    fs::set_permissions(tree.root.parent().unwrap(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    tree.mode("closed", 0);
    tree.mode("shut", 0);
    let program = Program::new(&tree.root);
    let arguments = ["--from=tree", "--to=disk"];
    let is_root = nix::unistd::Uid::effective().is_root();
    let run = || if is_root { program.command_as_nobody(&arguments) } else { program.command(&arguments) };
    // Twice: a problem is not forgotten because nothing changed.
    for _ in 0..2 {
        let output = run().output().unwrap();
        let told = stderr(&output);
        assert_eq!(code(&output), Some(3), "{told}");
        assert!(told.contains("closed: can't be read") && told.contains("shut: what is in it can't be read"), "{told}");
    }
    let to = program.home().join("restored");
    let restored = program.restore(&to);
    assert_eq!(code(&restored), Some(3), "{}", stderr(&restored));
    assert_eq!(fs::read(to.join("open")).unwrap(), b"public");
    assert!(!to.join("closed").exists(), "no empty file in its place");
    tree.mode("shut", 0o700);
}

#[test]
fn attributes_that_could_not_be_read_are_tried_and_told_again() {
    if !when_root("attributes beyond any limit") {
        return;
    }
    let (nas, memory) = (Nas::new(), Mount::memory(8 << 20));
    let path = memory.at.join("laden");
    fs::write(&path, b"contents").unwrap();
    for number in 0..3 {
        xattr::set(&path, format!("trusted.{number}"), &[1; 60 << 10]).unwrap();
    }
    settle();
    for night in 0..2 {
        let done = nas.try_backup(&memory.at, &nas.target(), &Quiet::default()).unwrap();
        assert!(done.told.iter().any(|told| told.what.contains("128 KiB")), "{night}: {:?}", done.told);
        assert_eq!(done.report.counts.problems, 1, "{night}");
    }
    xattr::remove(&path, "trusted.0").unwrap();
    let done = nas.try_backup(&memory.at, &nas.target(), &Quiet::default()).unwrap();
    assert_eq!(done.told, [], "few enough now");
}

#[test]
fn a_second_version_stores_what_changed() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let path = tree.file("big", noise(1, 8 * CHUNK));
    settle();
    comes_back(&nas, &tree);
    File::options().write(true).open(&path).unwrap().write_at(b"x", 3 * CHUNK as u64 + 7).unwrap();
    let (folder, quiet) = (nas.target(), Watch(|_: Event<'_>| {}));
    let recording = Recording::over(&folder);
    nas.try_backup(&tree.root, &recording, &quiet).unwrap();
    let stored = recording.chunk_bytes();
    assert!((64 << 10..80 << 10).contains(&stored), "one piece, and what seals it: {stored}");
}
