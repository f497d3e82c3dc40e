//! Owners, modes and access lists that a destination can't have, or gives unasked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use brackup::restore::Conflict;

use crate::support::{Nas, Program, Snapshot, Tree, code, stderr, when_root};

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

#[test]
fn a_run_by_hand_of_root_does_not_lock_out_the_service() {
    if !when_root("a state that is somebody else's") {
        return;
    }
    let tree = Tree::new();
    tree.file("a", "a");
    let program = Program::new(&tree.root);
    // Below folders that are root's alone: else somebody could put others in their places.
    let below = tempfile::tempdir_in("/run").unwrap();
    let state = below.path().join("state");
    fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(7), Some(8)).unwrap();
    let by_hand = |arguments: &[&str]| {
        let output = program.command(arguments).env("BRACKUP_STATE_DIR", &state).output().unwrap();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    };
    for dry in [true, false, false] {
        let mut arguments = vec!["--from", "tree", "--to", "disk"];
        arguments.extend(dry.then_some("-n"));
        by_hand(&arguments);
        let made = Snapshot::of(&state);
        let others: Vec<_> = made
            .0
            .iter()
            .filter(|(_, facts)| facts.owner != (7, 8))
            .map(|(path, _)| String::from_utf8_lossy(path))
            .collect();
        // Another target's line: the file is written anew.
        fs::write(state.join("brackup.db.puts"), "another da39a3ee5e6b4b0d3255bfef95601890afd80709\n").unwrap();
        assert!(made.0.len() > 3 && others.is_empty(), "{others:?}");
    }
    // A folder that somebody could move is none of which root gives anything away.
    fs::set_permissions(below.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::remove_dir_all(state.join("spool")).unwrap();
    fs::remove_file(state.join("lock")).unwrap();
    by_hand(&["--from", "tree", "--to", "disk"]);
    let made = Snapshot::of(&state);
    for name in ["lock", "spool"] {
        assert_eq!(made.0[name.as_bytes()].owner, (0, 0), "{name}");
    }
    // A link that lies in its place is not followed to somebody else's.
    let mine = tree.file("mine", "mine");
    for name in ["lock", "brackup.db", "brackup.db.puts"] {
        let _ = fs::remove_file(state.join(name));
        std::os::unix::fs::symlink(&mine, state.join(name)).unwrap();
    }
    let _ = program.command(&["--from", "tree", "--to", "disk"]).env("BRACKUP_STATE_DIR", &state).output().unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(&mine).unwrap()), 0);
}
