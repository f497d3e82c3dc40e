//! What a system does to those who use it: disks that are full, read-only, gone, another one, damaged or without power, and runs that
//! meet. The real thing each time, so most of it is for root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brackup::fsutil::Lock;
use brackup::monitor::{Counter, Quiet};
use brackup::restore::Conflict;

use crate::support::{Event, Mount, Nas, Program, Snapshot, Tree, Watch, code, fill, noise, settle, stderr, when_root};

/// Some files, over several chunks.
fn tree() -> Tree {
    let tree = Tree::new();
    for number in 0..10 {
        tree.file(format!("dir/{number}"), noise(number, 1 << 20));
    }
    tree.file("text", "text");
    settle();
    tree
}

/// Failed with this code, saying this; and a hint, if there is one to give.
#[track_caller]
fn says(output: &Output, exit: i32, error: &str, hint: &str) {
    let told = stderr(output);
    assert_eq!(code(output), Some(exit), "{told}");
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    assert!(line("brackup: error: ").contains(error), "expected {error:?} in:\n{told}");
    assert!(line("brackup: hint: ").contains(hint), "expected {hint:?} in:\n{told}");
}

/// Backs up, restores and compares.
#[track_caller]
fn comes_back(program: &Program, tree: &Tree) -> Output {
    let backed_up = program.run(&["--from=tree", "--to=disk", "--json"]);
    assert_eq!(code(&backed_up), Some(0), "{}", stderr(&backed_up));
    let to = Tree::absent();
    let restored = program.restore(&to.root);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    tree.snapshot().assert_same(&to.snapshot());
    backed_up
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
    let (tree, disk) = (tree(), Mount::memory(6 << 20));
    let program = Program::to(&tree.root, &disk.at.join("target"));
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    let stored = names(&program.folder);
    assert!(stored.iter().any(|name| name.ends_with(".chunk")), "{stored:?}");
    assert!(!stored.iter().any(|name| name.ends_with(".partial") || name.ends_with(".meta")), "{stored:?}");
    // Again without room: nothing gets worse.
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    disk.remount("size=64m");
    let done: serde_json::Value = serde_json::from_slice(&comes_back(&program, &tree).stdout).unwrap();
    assert!(done["stored_bytes"].as_u64().unwrap() < 8 << 20, "what was stored is used: {done}");
}

#[test]
fn a_full_target_at_its_very_first_use() {
    if !when_root("a full target") {
        return;
    }
    let (tree, disk) = (tree(), Mount::memory(1 << 20));
    let filler = fill(&disk.at);
    let program = Program::to(&tree.root, &disk.at.join("target"));
    says(&program.backup(), 1, "No space left on device", "free some space on the target");
    fs::remove_file(filler).unwrap();
    disk.remount("size=64m");
    comes_back(&program, &tree);
}

#[test]
fn a_full_disk_of_the_state_fails_and_costs_nothing_but_time() {
    if !when_root("a full disk") {
        return;
    }
    let (tree, disk) = (tree(), Mount::memory(1 << 20));
    let program = Program::new(&tree.root);
    comes_back(&program, &tree);
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
    assert_eq!(code(&with_state(&["verify", "disk"])), Some(0));
    comes_back(&program, &tree);
}

#[test]
fn a_full_destination_stops_a_restore_which_goes_on_when_there_is_room() {
    if !when_root("a full destination") {
        return;
    }
    let (tree, disk) = (tree(), Mount::memory(6 << 20));
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let to = disk.at.join("tree");
    says(&program.restore(&to), 1, "No space left on device", "go on with --conflict identical");
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
    let (tree, disk) = (tree(), Mount::memory(64 << 20));
    let program = Program::to(&tree.root, &disk.at.join("target"));
    comes_back(&program, &tree);
    disk.remount("ro");
    tree.file("new", "new");
    says(&program.backup(), 1, "Read-only file system", "mounted read-only");
    // Reading is possible.
    assert_eq!(code(&program.run(&["verify", "disk"])), Some(0));
    assert_eq!(code(&program.restore(&Tree::absent().root)), Some(0));
    disk.remount("rw");
    settle();
    comes_back(&program, &tree);
}

#[test]
fn a_target_that_is_not_mounted_is_not_written_to() {
    let (tree, above) = (tree(), Tree::new());
    let program = Program::to(&tree.root, &above.directory("mounted").join("target"));
    comes_back(&program, &tree);
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
    comes_back(&program, &tree);
}

#[test]
fn a_target_of_another_id_is_not_written_to() {
    let (tree, above) = (tree(), Tree::new());
    let program = Program::to(&tree.root, &above.at("target"));
    comes_back(&program, &tree);
    fs::rename(above.at("target"), above.at("elsewhere")).unwrap();
    let other = Program::to(&tree.root, &above.at("target"));
    comes_back(&other, &tree);
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
        let stored = AtomicU64::new(0);
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
    let tree = tree();
    let program = Program::new(&tree.root);
    comes_back(&program, &tree);
    // What another process does while it runs.
    let held = Lock::take(&program.home().join("state/lock")).unwrap().unwrap();
    says(&program.backup(), 11, "another run of brackup uses", "wait until it has ended");
    says(&program.run(&["verify", "disk"]), 11, "another run of brackup uses", "wait until it has ended");
    // Who restores needs nothing of the box.
    assert_eq!(code(&program.restore(&Tree::absent().root)), Some(0));
    drop(held);
    comes_back(&program, &tree);
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
    let done: serde_json::Value = serde_json::from_slice(&comes_back(&program, &tree).stdout).unwrap();
    assert!(done["stored_bytes"].as_u64().unwrap() < 239 << 20, "what was stored is used: {done}");
}

/// A disk that was set back to an older state has the id that it had: what is gone from it is noticed, and stored anew (I1).
#[test]
fn a_target_that_was_set_back_gets_anew_what_it_lacks() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 2 << 20));
    settle();
    nas.backup(&tree);
    let older = nas.copy();
    tree.file("b", noise(2, 2 << 20));
    settle();
    nas.backup(&tree);
    fs::remove_dir_all(&nas.folder).unwrap();
    fs::rename(&older.folder, &nas.folder).unwrap();
    tree.file("c", "c");
    settle();
    let done = nas.backup(&tree);
    assert!(done.told.iter().any(|told| told.what.contains("are gone")), "{:?}", done.told);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    assert_eq!(nas.backup(&tree).told, [], "once");
}

#[test]
fn names_follow_the_chain_whatever_the_clock_says() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", "first");
    // A backup that was made with the clock at a day to come.
    let name = nas.backup(&tree).name();
    let ahead = format!("tree-2999{}", &name[9..]);
    rename_backup(&nas, &name, &ahead);
    tree.file("a", "second");
    let done = nas.backup(&tree);
    assert!(done.name() > ahead && done.name().starts_with("tree-2999"), "{}", done.name());
    assert!(done.told.iter().any(|told| told.what.contains("clock")), "{:?}", done.told);
    let latest = brackup::catalog::find(&nas.target(), "tree:latest", None).unwrap().0;
    assert_eq!(latest.to_string(), done.name());
    // The same when nothing is remembered.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    assert!(nas.backup(&tree).name() > done.name());
    assert_eq!(nas.verify().unwrap(), []);
}

/// Makes a stored backup one of another name, as this box would have made it.
fn rename_backup(nas: &Nas, from: &str, to: &str) {
    let [old, new] = [from, to].map(|name| nas.folder.join(format!("{name}.meta")));
    let bytes = fs::read(&old).unwrap();
    let text = brackup::seal::split_footer(&bytes).unwrap();
    let envelope = &bytes[..bytes.len() - text.len() - brackup::seal::Footer::MARK_BYTES];
    let (mut footer, _) = brackup::seal::Footer::parse(text).unwrap();
    footer.backup = to.into();
    let mut renamed = envelope.to_vec();
    let key = nas.box_key().unwrap();
    let append = |sealed: brackup::blob::Sealed<'_>| {
        renamed.extend_from_slice(sealed.as_bytes());
        Ok::<_, brackup::seal::Error>(())
    };
    brackup::seal::append_footer(&footer, &key, append).unwrap();
    fs::write(new, renamed).unwrap();
    fs::remove_file(old).unwrap();
    // The database remembers the old name.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
}

#[test]
fn a_target_is_known_by_its_id_under_any_name() {
    let tree = tree();
    let program = Program::new(&tree.root);
    comes_back(&program, &tree);
    for chunk in fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path()) {
        if chunk.extension().is_some_and(|end| end == "chunk") {
            fs::remove_file(chunk).unwrap();
        }
    }
    let url = format!("filesystem:{}/", program.folder.display());
    for target in ["disk", &url] {
        let verified = program.run(&["verify", target]);
        assert_eq!(code(&verified), Some(3), "{target}: {}", stderr(&verified));
        assert!(stderr(&verified).contains("is missing, and backups of this box need it"), "{}", stderr(&verified));
    }
    // Without any memory: that there are fewer chunks than one backup needs.
    fs::remove_file(program.home().join("state/brackup.db")).unwrap();
    let verified = program.run(&["verify", "disk"]);
    assert_eq!(code(&verified), Some(3), "{}", stderr(&verified));
    assert!(stderr(&verified).contains("does not remember"), "{}", stderr(&verified));
    // The next backup stores all of it again.
    comes_back(&program, &tree);
}

/// What stands in the way of another command does not stand in the way of a restore.
#[test]
fn a_broken_configuration_does_not_keep_from_restoring() {
    let tree = tree();
    let program = Program::new(&tree.root);
    comes_back(&program, &tree);
    fs::write(program.home().join(".brackup.conf"), "nonsense\n").unwrap();
    let (to, url) = (Tree::absent(), format!("filesystem:{}", program.folder.display()));
    let (to_text, key) = (to.root.to_str().unwrap(), program.key.to_str().unwrap());
    let restored = program.run(&["restore", "tree:latest", "--from", &url, "--to", to_text, "--key", key]);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    assert!(stderr(&restored).contains("warning: ~/.brackup.conf:1"), "{}", stderr(&restored));
    tree.snapshot().assert_same(&to.snapshot());

/// A backup of files that others own, of a setuid one and a setgid one.
fn owned_by_others() -> (Tree, Program) {
    let tree = Tree::new();
    for (name, uid, gid, mode) in [("a", 65_534, 0, 0o2755), ("b", 7, 65_534, 0o6755), ("c", 7, 7, 0o640)] {
        std::os::unix::fs::chown(tree.file(name, name), Some(uid), Some(gid)).unwrap();
        tree.mode(name, mode);
    }
    std::os::unix::fs::chown(tree.fifo("fifo"), Some(7), Some(7)).unwrap();
    tree.mode("fifo", 0o620);
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    (tree, program)
}

#[test]
fn owners_that_root_can_not_set_are_told_and_cost_no_contents() {
    if !when_root("root without all of its rights") {
        return;
    }
    let (_source, program) = owned_by_others();
    let key = program.key.to_str().unwrap();
    // In a user namespace numbers that are not mapped are no numbers; without the capability nobody is given anything.
    for without in [&["unshare", "--user", "--map-root-user"][..], &["setpriv", "--bounding-set=-chown"]] {
        let to = Tree::absent();
        let mut command = Command::new(without[0]);
        command.args(&without[1..]).arg(env!("CARGO_BIN_EXE_brackup"));
        command.args(["restore", "tree:latest", "--to", to.root.to_str().unwrap(), "--key", key, "--from", "disk"]);
        command.envs(program.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().unwrap();
        let told = stderr(&output);
        assert_eq!(code(&output), Some(3), "{without:?}: {told}");
        for name in ["a", "b", "c", "fifo"] {
            assert!(told.contains(&format!("problem: {name}: its owner can't be set")), "{without:?}: {told}");
        }
        let restored = to.snapshot().0;
        let modes = ["a", "b", "c", "fifo"].map(|name| restored[name.as_bytes()].mode);
        assert_eq!(modes, [0o755, 0o755, 0o640, 0o620], "{without:?}");
        assert_eq!(fs::read(to.at("c")).unwrap(), b"c");
    }
}

#[test]
fn owners_that_a_user_may_not_set_are_said_once_and_set_ids_fall() {
    if !when_root("another user") {
        return;
    }
    let (_source, program) = owned_by_others();
    let (to, key) = (program.home().join("to"), program.key.to_str().unwrap());
    let restore = ["restore", "tree:latest", "--to", to.to_str().unwrap(), "--key", key, "--from", "disk", "-v"];
    let mut command = program.command_as_nobody(&restore);
    for path in fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path()) {
        std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
    }
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), Some(0), "{told}");
    assert_eq!(told.matches("can't be set").count(), 1, "{told}");
    assert!(told.contains("note: a: its owner or group can't be set"), "{told}");
    let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["a", "b", "c"].map(mode), [0o755, 0o755, 0o640]);
}

#[test]
fn a_folder_that_gives_access_to_what_is_made_in_it_gives_none_to_what_is_restored() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("dir/file", b"for the group");
    tree.mode("dir/file", 0o660);
    tree.mode("dir", 0o770);
    tree.fifo("fifo");
    let name = nas.backup(&tree).name();
    let open = Tree::new();
    // user::rwx user:12345:rwx group::rwx mask::rwx other::rwx as the kernel has it.
    let entries: [(u8, u32); 5] = [(1, u32::MAX), (2, 12_345), (4, u32::MAX), (16, u32::MAX), (32, u32::MAX)];
    let acl = entries.iter().flat_map(|(tag, id)| [&[*tag, 0, 7, 0][..], &id.to_le_bytes()].concat());
    let acl: Vec<u8> = 2_u32.to_le_bytes().into_iter().chain(acl).collect();
    xattr::set(&open.root, "system.posix_acl_default", &acl).unwrap();
    let to = open.at("new");
    assert_eq!(nas.try_restore(&name, &to, Conflict::Abort).unwrap(), []);
    tree.snapshot().assert_same(&Snapshot::of(&to));
}
