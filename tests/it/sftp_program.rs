//! The program with a target on a server of SFTP.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use brackup::provider::SshFolder;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::sftp::partials;
use crate::support::{Cut, Cutter, Program, Snapshot, Sshd, Tree, code, noise, set_mtime, stderr, target_at};

/// With a configuration whose target is this one.
fn program(tree: &Tree, at: &SshFolder) -> Program {
    let program = Program::new(&tree.root);
    program.set_target(&target_at(at));
    program
}

/// A program that was told to back up and has begun to store.
fn storing(program: &Program, folder: &Path) -> Child {
    let mut child = program.command(&["--from=tree", "--to=disk"]).process_group(0).spawn().unwrap();
    // Of a chunk: what is smaller, such as the target's id, may get its name at any moment, whatever becomes of the client.
    let is_large = |entry: fs::DirEntry| {
        let is_partial = entry.file_name().to_string_lossy().ends_with(".partial");
        is_partial && entry.metadata().is_ok_and(|there| there.len() > 64 * 1024)
    };
    while !fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_large))) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it stored anything");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[test]
fn the_program_backs_up_verifies_and_restores() {
    let Some(server) = Sshd::start() else { return };
    let temporary = TempDir::new().unwrap();
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 3_000_000));
    let at = server.at(&temporary.path().join("target"));
    let program = program(&tree, &at);
    for _ in 0..2 {
        let output = program.backup();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    let count = || fs::read_dir(temporary.path().join("target")).unwrap().count();
    let before = count();
    let output = program.run(&["target", "check", "disk"]);
    assert_eq!(count(), before, "it leaves nothing");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 7, "{said}{}", stderr(&output));
    for arguments in [&["verify", "disk", "--no-key"][..], &["config", "check"]] {
        let output = program.run(arguments);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }

    // A new machine: the address, the key to the server and that of the server, the secret key.
    fs::remove_file(program.home().join(".brackup.conf")).unwrap();
    let to = program.home().join("back");
    let from = format!("sftp://{}@127.0.0.1:{}{}", at.user.unwrap(), server.port(), at.path.display());
    let key = program.key.to_str().unwrap();
    let arguments =
        ["restore", "tree:latest", "--from", &from, "--to", to.to_str().unwrap(), "--key", key, "--accept-unsigned"];
    let known_hosts = program.home().join("known_hosts");
    fs::copy(at.known_hosts.unwrap(), &known_hosts).unwrap();
    let ssh = format!(
        "ssh -i {} -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null",
        server.file("client").display(),
        known_hosts.display()
    );
    let output = program.command(&arguments).env("BRACKUP_SSH", &ssh).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(Snapshot::of(&to), Snapshot::of(&tree.root));

    fs::write(&known_hosts, "").unwrap();
    let output = program.command(&["list", &from]).env("BRACKUP_SSH", ssh).output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), Some(1), "{told}");
    assert!(
        told.contains("brackup: error: can't list sftp://") && told.contains("brackup: hint: `ssh-keyscan"),
        "{told}"
    );
    let output = program.run(&["list", "sftp://me:hush@127.0.0.1/b"]);
    assert!(code(&output) == Some(2) && !stderr(&output).contains("hush"), "{}", stderr(&output));
    assert_eq!(server.clients(), 0);
}

#[test]
fn ctrl_c_in_an_upload_ends_it_and_leaves_nothing_behind() {
    let Some(server) = Sshd::start() else { return };
    let temporary = TempDir::new().unwrap();
    let tree = Tree::new();
    tree.file("text", "text");
    let cutter = Cutter::before(server.port());
    let program = program(&tree, &server.at_port(cutter.port(), temporary.path()));
    assert_eq!(code(&program.backup()), Some(0));
    tree.file("noise", noise(9, 40_000_000));
    cutter.cut(&[Cut::Slow; 8]);
    let child = storing(&program, temporary.path());
    // As a terminal does it: to all that it knows to belong to it.
    killpg(pid(&child), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(code(&output), Some(130), "{told}");
    assert!(told.contains("interrupted; what was stored is used by the next run"), "{told}");
    assert_eq!((partials(temporary.path()), server.clients()), (0, 0));
    cutter.cut(&[]);
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn what_a_kill_left_behind_is_swept() {
    let Some(server) = Sshd::start() else { return };
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path();
    let tree = Tree::new();
    tree.file("noise", noise(9, 3_000_000));
    let cutter = Cutter::before(server.port());
    let program = program(&tree, &server.at_port(cutter.port(), folder));
    cutter.cut(&[Cut::Hold(500_000); 8]);
    let mut child = storing(&program, folder);
    kill(pid(&child), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    cutter.cut(&[]);
    let left = partials(folder);
    assert!(left > 0);
    // What it was about to become, a ssh, has its lock for a moment yet.
    let mut output = program.backup();
    for _ in 0..100 {
        if code(&output) != Some(11) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        output = program.backup();
    }
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(partials(folder), left, "they are too young");
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            set_mtime(&entry.path(), 1_000_000_000, 0);
        }
    }
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(partials(folder), 0);
    assert_eq!(code(&program.run(&["verify", "disk", "--no-key"])), Some(0));
}
