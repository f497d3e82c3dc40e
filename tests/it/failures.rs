//! What a system does to those who use it: disks that are full, read-only, gone, another one, damaged or without power, and runs that
//! meet. The real thing each time, so most of it is for root.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brackup::fsutil::Lock;
use brackup::monitor::{Counter, Quiet};

use crate::support::{Event, Mount, Nas, Program, Snapshot, Tree, Watch, code, fill, noise, settle, stderr, when_root};

/// Failed with this code, saying this; and a hint, if there is one to give.
#[track_caller]
fn says(output: &Output, exit: i32, error: &str, hint: &str) {
    let told = stderr(output);
    assert_eq!(code(output), Some(exit), "{told}");
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    assert!(line("brackup: error: ").contains(error), "expected {error:?} in:\n{told}");
    assert!(line("brackup: hint: ").contains(hint), "expected {hint:?} in:\n{told}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_full_target_fails_and_the_next_run_uses_what_was_stored() {
    if !when_root("a full target") {
        return;
    }
    let (tree, disk) = (Tree::of_eleven_files(), Mount::memory(6 << 20));
    let program = Program::to(&tree.root, &disk.at.join("target"));
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    let stored = names(&program.folder);
    assert!(stored.iter().any(|name| name.ends_with(".chunk")), "{stored:?}");
    assert!(!stored.iter().any(|name| name.ends_with(".partial") || name.ends_with(".meta")), "{stored:?}");
    // Again without room: nothing gets worse.
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    disk.remount("size=64m");
    let done: serde_json::Value = serde_json::from_slice(&program.comes_back(&tree).stdout).unwrap();
    assert!(done["stored_bytes"].as_u64().unwrap() < 8 << 20, "what was stored is used: {done}");
}

#[test]
fn a_full_target_at_its_very_first_use() {
    if !when_root("a full target") {
        return;
    }
    let (tree, disk) = (Tree::of_eleven_files(), Mount::memory(1 << 20));
    let filler = fill(&disk.at);
    let program = Program::to(&tree.root, &disk.at.join("target"));
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    fs::remove_file(filler).unwrap();
    disk.remount("size=64m");
    program.comes_back(&tree);
}

#[test]
fn a_full_disk_of_the_state_fails_and_costs_nothing_but_time() {
    if !when_root("a full disk") {
        return;
    }
    let (tree, disk) = (Tree::of_eleven_files(), Mount::memory(1 << 20));
    let program = Program::new(&tree.root);
    program.comes_back(&tree);
    let state = disk.at.join("state");
    fs::create_dir(&state).unwrap();
    let filler = fill(&disk.at);
    let with_state = |arguments: &[&str]| program.command(arguments).env("BRACKUP_STATE_DIR", &state).output().unwrap();
    let backup = ["--from=tree", "--to=disk"];
    says(&with_state(&backup), 1, "", "state_dir");
    // It is full in the middle of a run.
    fs::File::options().write(true).open(&filler).unwrap().set_len(900 << 10).unwrap();
    let _ = with_state(&backup);
    fs::remove_file(filler).unwrap();
    let done = with_state(&backup);
    assert_eq!(code(&done), Some(0), "{}", stderr(&done));
    assert!(!names(&state).iter().any(|name| name.contains("damaged")), "full is not damaged: {:?}", names(&state));
    assert_eq!(code(&with_state(&["verify", "disk"])), Some(0));
    program.comes_back(&tree);
}

#[test]
fn a_full_destination_stops_a_restore_which_goes_on_when_there_is_room() {
    if !when_root("a full destination") {
        return;
    }
    let (tree, disk) = (Tree::of_eleven_files(), Mount::memory(6 << 20));
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let to = disk.at.join("tree");
    let failed = program.restore(&to);
    says(&failed, 1, "No space left on device", "go on with --conflict identical");
    says(&failed, 1, &format!("error: {}/", to.display()), "");
    assert!(!names(&to.join("dir")).iter().any(|name| name.ends_with(".partial")));
    disk.remount("size=64m");
    let (to_text, key) = (to.to_str().unwrap(), program.key.to_str().unwrap());
    let arguments = ["restore", "tree:latest", "--to", to_text, "--key", key, "--conflict", "identical"];
    let restored = program.run(&arguments);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    tree.snapshot().assert_same(&Snapshot::of(&to));
}

#[test]
fn a_read_only_target_is_said_to_be_so() {
    if !when_root("a read-only target") {
        return;
    }
    let (tree, disk) = (Tree::of_eleven_files(), Mount::memory(64 << 20));
    let program = Program::to(&tree.root, &disk.at.join("target"));
    program.comes_back(&tree);
    disk.remount("ro");
    tree.file("new", "new");
    says(&program.backup(), 1, "Read-only file system", "mounted read-only");
    // Reading is possible.
    assert_eq!(code(&program.run(&["verify", "disk"])), Some(0));
    assert_eq!(code(&program.restore(&Tree::absent().root)), Some(0));
    disk.remount("rw");
    settle();
    program.comes_back(&tree);
}

#[test]
fn a_target_that_is_not_mounted_is_not_written_to() {
    let (tree, above) = (Tree::of_eleven_files(), Tree::new());
    let program = Program::to(&tree.root, &above.directory("mounted").join("target"));
    program.comes_back(&tree);
    // The folder of the mount, empty; and not even that.
    fs::rename(above.at("mounted"), above.at("elsewhere")).unwrap();
    says(&program.backup(), 10, "target", "mounted");
    fs::create_dir(above.at("mounted")).unwrap();
    says(&program.backup(), 10, "is not there", "is the right disk mounted?");
    says(&program.run(&["verify", "disk"]), 10, "is not there", "is the right disk mounted?");
    fs::create_dir(above.at("mounted/target")).unwrap();
    says(&program.backup(), 10, "is not there", "is the right disk mounted?");
    assert_eq!(names(&above.at("mounted/target")), Vec::<String>::new());
    fs::remove_dir_all(above.at("mounted")).unwrap();
    fs::rename(above.at("elsewhere"), above.at("mounted")).unwrap();
    program.comes_back(&tree);
}

#[test]
fn a_target_of_another_id_is_not_written_to() {
    let (tree, above) = (Tree::of_eleven_files(), Tree::new());
    let program = Program::to(&tree.root, &above.at("target"));
    program.comes_back(&tree);
    fs::rename(above.at("target"), above.at("elsewhere")).unwrap();
    let other = Program::to(&tree.root, &above.at("target"));
    other.comes_back(&tree);
    let before = names(&above.at("target"));
    says(&program.backup(), 10, "another id", "another name");
    says(&program.run(&["verify", "disk"]), 10, "another id", "another name");
    assert_eq!(names(&above.at("target")), before);
}

/// I10, I4: a read that fails in the middle.
#[test]
fn a_file_on_a_damaged_disk_is_told_and_the_others_are_backed_up() {
    if !when_root("a damaged disk") {
        return;
    }
    let (disk, tree) = (Mount::old_disk(), Tree::new());
    for name in ["a", "broken", "c"] {
        fs::write(disk.at.join(name), noise(1, 200_000)).unwrap();
    }
    disk.break_file("broken");
    settle();
    let program = Program::to(&disk.at, &tree.at("target"));
    for _ in 0..2 {
        let output = program.backup();
        let told = stderr(&output);
        assert_eq!(code(&output), Some(3), "{told}");
        assert!(told.contains("problem: broken: can't be read: Input/output error"), "{told}");
    }
    let to = Tree::absent();
    let restored = program.restore(&to.root);
    assert_eq!(code(&restored), Some(3), "{}", stderr(&restored));
    assert_eq!(names(&to.root), ["a", "c", "lost+found"], "no half of a file");
    assert_eq!(fs::read(to.at("c")).unwrap(), noise(1, 200_000));
}

/// I10: an image too.
#[test]
fn an_image_with_an_unreadable_place_is_told_and_nothing_is_restored_of_it() {
    if !when_root("a damaged disk") {
        return;
    }
    let (disk, tree) = (Mount::old_disk(), Tree::new());
    fs::write(disk.at.join("broken"), noise(1, 200_000)).unwrap();
    disk.break_file("broken");
    let program = Program::to(&disk.at.join("broken"), &tree.at("target"));
    for _ in 0..2 {
        let output = program.backup();
        let told = stderr(&output);
        assert_eq!(code(&output), Some(3), "{told}");
        assert!(told.contains("problem: broken: can't be read: Input/output error"), "{told}");
    }
    let to = Tree::absent();
    let restored = program.restore(&to.root);
    assert_eq!(code(&restored), Some(3), "{}", stderr(&restored));
    assert!(names(&to.root).is_empty(), "no half of an image");
}

/// I8: names that do not fit in memory need no descriptor for each directory.
#[test]
fn a_deep_tree_of_large_directories_needs_few_descriptors() {
    let tree = Tree::new();
    let mut path = tree.root.clone();
    for _ in 0..130 {
        for number in 0..66 {
            fs::File::create(path.join(format!("{number:0>250}"))).unwrap();
        }
        // Behind the others: when the walk goes down, nothing but the names is held of what is above.
        path.push("z");
        fs::create_dir(&path).unwrap();
    }
    let program = Program::new(&tree.root);
    let mut command = program.command(&["--from=tree", "--to=disk", "--dry-run"]);
    command.arg("--quiet");
    let mut limited = std::process::Command::new("prlimit");
    limited.arg("--nofile=128").arg(command.get_program()).args(command.get_args()).env_clear();
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(program.home());
    let output = limited.output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
}

/// I1, I2, I7 as they are meant: the target's disk loses what was not made durable, at every chunk that was stored and at the end.
#[test]
fn a_target_without_power_has_all_that_was_said_to_be_stored() {
    if !when_root("a power cut") {
        return;
    }
    let tree = Tree::new();
    let mut cut_after = 0;
    loop {
        cut_after += 1;
        let (disk, mut nas) = (Mount::disk(), Nas::new());
        nas.folder = disk.at.join("target");
        tree.file("big", noise(1, 3 << 20));
        settle();
        nas.backup(&tree);
        tree.file("big", noise(2, 5 << 20));
        settle();
        let stored = AtomicUsize::new(0);
        let watch = Watch(|event: Event<'_>| {
            let is_chunk = matches!(event, Event::Count(Counter::Chunks));
            if is_chunk && stored.fetch_add(1, Ordering::Relaxed) + 1 == cut_after {
                disk.cut_power();
            }
        });
        let done = nas.try_backup(&tree.root, &nas.target(), &watch);
        let is_over = stored.load(Ordering::Relaxed) < cut_after;
        assert_eq!(done.is_ok(), is_over, "{cut_after}: {done:?}");
        if is_over {
            disk.cut_power();
        }
        disk.unmount();
        disk.mount_image();
        for name in nas.backups() {
            nas.restore(&name.to_string());
        }
        assert_eq!(nas.backups().len(), if is_over { 2 } else { 1 });
        let next = nas.try_backup(&tree.root, &nas.target(), &Quiet::default()).unwrap();
        tree.snapshot().assert_same(&nas.restore(&next.name()).snapshot());
        assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]), "{cut_after}");
        if is_over {
            break;
        }
    }
    assert!(cut_after > 4, "a cut in the middle of it");
}

#[test]
fn runs_that_meet_do_not_meet_at_the_database() {
    let tree = Tree::of_eleven_files();
    let program = Program::new(&tree.root);
    program.comes_back(&tree);
    // What another process does while it runs.
    let held = Lock::take(&program.home().join("state/lock")).unwrap().unwrap();
    says(&program.backup(), 11, "another run of brackup uses", "wait until it has ended");
    says(&program.run(&["verify", "disk"]), 11, "another run of brackup uses", "wait until it has ended");
    // Who restores needs nothing of the box.
    assert_eq!(code(&program.restore(&Tree::absent().root)), Some(0));
    drop(held);
    program.comes_back(&tree);
}

#[test]
fn ctrl_c_ends_a_run_cleanly_and_the_next_uses_what_was_stored() {
    let tree = Tree::new();
    for number in 0..60 {
        tree.file(format!("{number}"), noise(number, 4 << 20));
    }
    settle();
    let program = Program::new(&tree.root);
    let mut child = program.command(&["--from=tree", "--to=disk"]).stderr(Stdio::piped()).spawn().unwrap();
    // When a first chunk is there, whatever the speed of the machine.
    while fs::read_dir(&program.folder).map_or(0, |folder| folder.count()) < 4 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let signalled = nix::sys::signal::kill(pid, nix::sys::signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert!(signalled.is_ok() && code(&output) == Some(130), "{:?}: {}", code(&output), stderr(&output));
    let stored = names(&program.folder);
    assert!(!stored.iter().any(|name| name.ends_with(".partial") || name.ends_with(".meta")), "{stored:?}");
    let done: serde_json::Value = serde_json::from_slice(&program.comes_back(&tree).stdout).unwrap();
    assert!(done["stored_bytes"].as_u64().unwrap() < 239 << 20, "what was stored is used: {done}");
}

/// What stands in the way of another command does not stand in the way of a restore.
#[test]
fn a_broken_configuration_does_not_keep_from_restoring() {
    let tree = Tree::of_eleven_files();
    let program = Program::new(&tree.root);
    program.comes_back(&tree);
    fs::write(program.home().join(".brackup.conf"), "nonsense\n").unwrap();
    let (to, url) = (Tree::absent(), format!("filesystem:{}", program.folder.display()));
    let (to_text, key) = (to.root.to_str().unwrap(), program.key.to_str().unwrap());
    let restored = program.run(&["restore", "tree:latest", "--from", &url, "--to", to_text, "--key", key]);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    assert!(stderr(&restored).contains("warning: ~/.brackup.conf:1"), "{}", stderr(&restored));
    tree.snapshot().assert_same(&to.snapshot());
}

/// SQLite ends its transaction by itself when the disk is full in the middle of it: that is no damage.
#[test]
fn a_database_that_grows_into_a_full_disk_is_not_thrown_away() {
    if !when_root("a full disk") {
        return;
    }
    let (tree, disk) = (Tree::new(), Mount::memory(8 << 20));
    let more = |from: u64| (from..from + 8000).for_each(|n| drop(tree.file(format!("{from}/{n}"), n.to_le_bytes())));
    more(0);
    settle();
    let program = Program::new(&tree.root);
    let state = disk.at.join("state");
    let run = || {
        let mut command = program.command(&["--from=tree", "--to=disk", "--json"]);
        command.env("BRACKUP_STATE_DIR", &state).env("BRACKUP_SPOOL_DIR", program.home()).output().unwrap()
    };
    assert_eq!(code(&run()), Some(0));
    more(8000);
    settle();
    let filler = fill(&disk.at);
    let full = fs::metadata(&filler).unwrap().len();
    fs::File::options().write(true).open(&filler).unwrap().set_len(full - (100 << 10)).unwrap();
    for _ in 0..2 {
        says(&run(), 1, "full", "state_dir");
    }
    fs::remove_file(filler).unwrap();
    let done = run();
    assert_eq!(code(&done), Some(0), "{}", stderr(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(report["unchanged_files"].as_u64().unwrap() >= 8000, "what was known is still known: {report}");
    assert!(!names(&state).iter().any(|name| name.contains("damaged")), "{:?}", names(&state));
}
