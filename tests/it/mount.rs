//! `brackup mount`: what is seen through the kernel is what was backed up. For root, and where there is /dev/fuse.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufRead as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::cli::has_keys;
use crate::random::{SEGMENT, fill_with_files, text};
use crate::support::servers::is_there;
use crate::support::{Mount, Program, Service, Snapshot, Tree, code, noise, set_mtime, settle, stderr, when_root};

/// Whether this can be tested here; says so if not.
pub(crate) fn can_mount() -> bool {
    when_root("mounting") && is_there(Path::new("/dev/fuse"), "FUSE")
}

/// The target of a program, mounted in its home; taken away when this goes.
pub(crate) struct Mounted {
    service: Option<Service>,
    pub(crate) at: PathBuf,
}

impl Mounted {
    pub(crate) fn new(program: &Program) -> Self {
        Self::by(program, |arguments| program.command(arguments), |service| drop(service.says("mounted at")))
    }

    /// Started by another command, and waited for otherwise.
    pub(crate) fn by(
        program: &Program,
        command: impl FnOnce(&[&str]) -> Command,
        until: impl FnOnce(&mut Service),
    ) -> Self {
        let at = program.home().join("mounted");
        fs::create_dir_all(&at).unwrap();
        let arguments = ["mount", "disk", at.to_str().unwrap(), "--key", program.key.to_str().unwrap()];
        let mut service = Service::start(command(&arguments));
        until(&mut service);
        Self { service: Some(service), at }
    }

    /// The folder of a backup, entered.
    pub(crate) fn backup(&self, name: &str) -> PathBuf {
        let folder = self.at.join("tree").join(name);
        fs::read_dir(&folder).unwrap();
        folder
    }

    pub(crate) fn says(&mut self, text: &str) {
        self.service.as_mut().unwrap().says(text);
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(1) == self.at.to_str())
    }

    /// Ends it; gives its exit code and all that it told.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        self.service.as_ref().unwrap().signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has ended, of which nothing may be left.
    fn wait(mut self) -> (Option<i32>, String) {
        let ended = self.service.take().unwrap().wait();
        assert!(!self.is_mounted(), "still mounted");
        ended
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted() {
            let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
        }
    }
}

/// Names of the backups, oldest first.
fn backups(program: &Program) -> Vec<String> {
    let listed = program.run(&["list", "disk"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn what_is_mounted_is_what_was_backed_up() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    fill_with_files(&tree);
    tree.file(format!("{}deep", "d/".repeat(100)), b"down");
    tree.file("d/d/e", b"beside");
    tree.file("d-d", b"sorts between");
    for number in 0..3000 {
        tree.file(format!("many/{number:x}"), []);
    }
    tree.file("setuid", b"#!");
    tree.mode("setuid", 0o6755);
    tree.mode("d", 0o1777);
    tree.symlink("link", "d/d");
    tree.symlink("dangling", OsStr::from_bytes(b"/nowhere/\xff\n"));
    tree.fifo("fifo");
    tree.link("parts", "d/parts again");
    tree.link("link", "link again");
    tree.file(OsStr::from_bytes(b"latin \xe9\xff"), b"name");
    tree.file(OsStr::from_bytes(b"control \x01\x7f\n\t'\"\\x41"), b"name");
    xattr::set(tree.at("empty"), "user.binary", &[0, 1, 255]).unwrap();
    xattr::set(tree.at("empty"), "user.large", &noise(7, 3000)).unwrap();
    xattr::set(tree.at("d"), "user.of a directory", b"").unwrap();
    std::os::unix::fs::chown(tree.at("small"), Some(12_345), Some(4_000_000_000)).unwrap();
    let device = nix::sys::stat::makedev(259, 300);
    nix::sys::stat::mknod(&tree.at("device"), nix::sys::stat::SFlag::S_IFBLK, nix::sys::stat::Mode::S_IRUSR, device)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket")).unwrap();
    set_mtime(&tree.at("empty"), -2, 999_999_999);
    set_mtime(&tree.at("link"), 5_000_000_000, 1);
    let program = Program::new(&tree.root);
    let before = tree.snapshot();
    assert_eq!(code(&program.backup()), Some(0));
    tree.file("small", b"newer");
    let after = tree.snapshot();
    assert_eq!(code(&program.backup()), Some(0));

    let names = backups(&program);
    let mounted = Mounted::new(&program);
    let mut listed: Vec<_> =
        fs::read_dir(mounted.at.join("tree")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    listed.sort();
    assert_eq!(listed, ["latest", &names[0], &names[1]]);
    assert_eq!(fs::read_link(mounted.at.join("tree/latest")).unwrap(), Path::new(&names[1]));
    before.assert_same(&Snapshot::of(&mounted.backup(&names[0])));
    after.assert_same(&Snapshot::of(&mounted.backup(&names[1])));
    let folder = mounted.backup("latest");
    assert_eq!(fs::read(folder.join("small")).unwrap(), b"newer");
    assert_eq!(fs::metadata(folder.join("parts")).unwrap().nlink(), 2);
    assert_eq!(fs::symlink_metadata(folder.join("nothing")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let (ended, log) = mounted.end();
    assert_eq!(ended, Some(0), "{log}");
    assert!(!log.contains("problem"), "{log}");
}

/// What can't be read is an error. Whatever is read is right.
#[test]
fn damage_is_an_error_where_it_is_and_nowhere_else() {
    if !can_mount() {
        return;
    }
    for (name, contents) in [("noise", noise(1, 3_000_000)), ("text", text(400_000))] {
        let tree = Tree::new();
        tree.file(name, &contents);
        let program = Program::new(&tree.root);
        assert_eq!(code(&program.backup()), Some(0));
        tree.file("other", noise(3, 100_000));
        assert_eq!(code(&program.backup()), Some(0));
        let old = &backups(&program)[0];
        flip_largest_chunk(&program.folder);
        let mut mounted = Mounted::new(&program);
        let folder = mounted.backup(old);
        let file = File::open(folder.join(name)).unwrap();
        let mut failed = 0;
        for at in (0..contents.len() as u64).step_by(SEGMENT as usize) {
            let mut block = vec![0; 4096.min(contents.len() - at as usize)];
            match file.read_exact_at(&mut block, at) {
                Ok(()) => assert!(block == contents[at as usize..][..block.len()], "{name} at {at}"),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32), "{name} at {at}");
                    failed += 1;
                }
            }
        }
        let blocks = contents.len().div_ceil(SEGMENT as usize);
        if name == "noise" {
            assert!((1..=2).contains(&failed), "{failed} of {blocks}");
        } else {
            assert!((1..blocks - 1).contains(&failed), "{failed} of {blocks}");
        }
        mounted.says(&format!("problem: {old}: {name}: "));
        assert_eq!(fs::read(mounted.backup("latest").join("other")).unwrap(), noise(3, 100_000));
        assert_eq!(mounted.end().0, Some(0));
    }
}

/// Of chunks of one size the first by name.
fn flip_largest_chunk(folder: &Path) {
    let chunks = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let chunks = chunks.filter(|path| path.extension() == Some(OsStr::new("chunk")));
    let chunk = chunks.max_by_key(|path| (fs::metadata(path).unwrap().len(), path.clone())).unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&chunk).unwrap();
    fs::write(&chunk, bytes).unwrap();
}

#[test]
fn a_file_that_was_not_backed_up_whole_is_no_empty_file() {
    if !can_mount() {
        return;
    }
    let (disk, tree) = (Mount::old_disk(), Tree::new());
    for name in ["a", "broken"] {
        fs::write(disk.at.join(name), noise(1, 200_000)).unwrap();
    }
    disk.break_file("broken");
    settle();
    let program = Program::to(&disk.at, &tree.at("target"));
    assert_eq!(code(&program.backup()), Some(3));
    let mut mounted = Mounted::new(&program);
    let folder = mounted.backup("latest");
    let error = fs::read(folder.join("broken")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    mounted.says("broken: its contents are not in this backup: can't be read");
    assert_eq!(fs::read(folder.join("a")).unwrap(), noise(1, 200_000));
}

#[test]
fn a_backup_that_does_not_open_does_not_hide_the_others() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    tree.file("a", b"a");
    let program = Program::new(&tree.root);
    (0..2).for_each(|_| assert_eq!(code(&program.backup()), Some(0)));
    let names = backups(&program);
    let metafile = program.folder.join(format!("{}.meta", names[1]));
    let mut bytes = fs::read(&metafile).unwrap();
    bytes[300] ^= 1;
    fs::remove_file(&metafile).unwrap();
    fs::write(&metafile, bytes).unwrap();
    let mut mounted = Mounted::new(&program);
    let error = fs::read_dir(mounted.at.join("tree/latest")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    mounted.says(&format!("problem: {}: ", names[1]));
    assert_eq!(fs::read(mounted.backup(&names[0]).join("a")).unwrap(), b"a");
}

#[test]
fn nothing_is_mounted_with_a_key_that_does_not_fit() {
    let tree = Tree::new();
    tree.file("a", b"a");
    let (program, other) = (Program::new(&tree.root), Program::new(&tree.root));
    assert_eq!(code(&program.backup()), Some(0));
    let at = tree.directory("mounted");
    let output = program.run(&["mount", "disk", at.to_str().unwrap(), "--key", other.key.to_str().unwrap()]);
    assert_eq!(code(&output), Some(12), "{}", stderr(&output));
    let output = program.run(&["mount", "disk", at.to_str().unwrap()]);
    assert_eq!(code(&output), Some(12), "{}", stderr(&output));
    assert!(stderr(&output).contains("--key FILE"));
}

#[test]
fn a_mount_point_that_is_none_is_told() {
    let tree = Tree::new();
    let file = tree.file("a", b"a");
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    for (at, expected) in [(tree.at("nothing"), 1), (file, 2)] {
        let output = program.run(&["mount", "disk", at.to_str().unwrap(), "--key", program.key.to_str().unwrap()]);
        assert_eq!(code(&output), Some(expected), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
    }
}

#[test]
fn nothing_can_be_written_and_nothing_is_left() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    tree.file("a", b"a");
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    fs::create_dir(program.home().join("mounted")).unwrap();
    let before = names(program.home());
    let mounted = Mounted::new(&program);
    let (at, folder) = (mounted.at.clone(), mounted.backup("latest"));
    let read_only = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    };
    read_only(fs::write(folder.join("b"), b"b"));
    read_only(File::options().append(true).open(folder.join("a")).map(drop));
    read_only(fs::remove_file(folder.join("a")));
    read_only(fs::create_dir(at.join("new")));
    assert_eq!(mounted.end().0, Some(0));
    assert!(names(&at).is_empty());
    let after: Vec<_> = names(program.home()).into_iter().filter(|name| name != "keys").collect();
    assert_eq!(after, before.into_iter().filter(|name| name != "keys").collect::<Vec<_>>());
}

#[test]
fn a_program_is_told_when_it_is_mounted() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    tree.file("a", b"a");
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let mut line = String::new();
    let mounted = Mounted::by(
        &program,
        |arguments| program.command(&[arguments, &["--json", "-v"]].concat()),
        |service| {
            service.stdout().read_line(&mut line).unwrap();
        },
    );
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    has_keys(&told, &["at", "backups", "command"]);
    assert_eq!(told["backups"], 1);
    assert_eq!(fs::read(mounted.backup("latest").join("a")).unwrap(), b"a");
    assert_eq!(mounted.end().0, Some(0));
}

#[test]
fn it_ends_when_it_is_unmounted_and_when_somebody_is_in_it() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    tree.file("a", noise(1, 300_000));
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let mounted = Mounted::new(&program);
    let unmounted = Command::new("umount").arg(&mounted.at).output().unwrap();
    assert!(unmounted.status.success(), "{}", stderr(&unmounted));
    let (ended, log) = mounted.wait();
    assert_eq!(ended, Some(0), "{log}");

    let mounted = Mounted::new(&program);
    let file = File::open(mounted.backup("latest").join("a")).unwrap();
    mounted.service.as_ref().unwrap().signal(Signal::SIGINT);
    let at = mounted.at.clone();
    let (ended, log) = mounted.wait();
    assert_eq!(ended, Some(0), "{log}");
    assert!(names(&at).is_empty());
    assert!(file.read_at(&mut [0; 10], 200_000).is_err(), "there is nobody to answer");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
