//! What was backed up comes back: everything a tree can hold, every border of pieces and chunks, every way to seal.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use brackup::backup::Padding;
use brackup::monitor::Counter;
use brackup::restore::Conflict;
use brackup::seal::Identity;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknod};

use crate::support::{Done, Event, Nas, Program, Tree, Watch, code, noise, set_mtime, settle, stderr, when_root};

pub(crate) const SEGMENT: usize = 64 << 10;
pub(crate) const CHUNK: usize = 1 << 20;

/// Backs up and restores, and compares everything.
pub(crate) fn comes_back(nas: &Nas, tree: &Tree) -> Done {
    let before = tree.snapshot();
    let done = nas.backup(tree);
    before.assert_same(&nas.restore(&done.name()).snapshot());
    done
}

// ---- generated trees ----

#[test]
fn everything_about_an_entry_comes_back() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("empty", b"");
    tree.file("dir/sub/file", b"contents");
    tree.file("setuid", b"#!");
    tree.mode("setuid", 0o6755);
    tree.mode("dir", 0o1777);
    tree.symlink("link", "dir/sub");
    tree.symlink("dangling", OsStr::from_bytes(b"/nowhere/\xff\n"));
    tree.fifo("fifo");
    tree.link("setuid", "dir/again");
    tree.link("link", "link again");
    tree.link("fifo", "fifo again");
    tree.sparse("sparse", 10 << 20, &[(0, b"begin"), (5 << 20, b"middle")]);
    tree.sparse("all hole", 3 << 20, &[]);
    tree.sparse("hole at the end", 3 << 20, &[(0, &noise(1, 100_000))]);
    tree.file(OsStr::from_bytes(b"latin \xe9\xff"), b"name");
    tree.file(OsStr::from_bytes(b"control \x01\x7f\n\t'\"\\x41"), b"name");
    xattr::set(tree.at("empty"), "user.binary", &[0, 1, 255]).unwrap();
    xattr::set(tree.at("dir"), "user.of a directory", b"").unwrap();
    set_mtime(&tree.at("empty"), -2, 999_999_999);
    set_mtime(&tree.at("link"), 5_000_000_000, 1);
    set_mtime(&tree.at("fifo"), 1, 2);
    set_mtime(&tree.at("dir"), 1_234_567_890, 123_456_789);
    assert_eq!(tree.snapshot().0[&b"link again"[..]].same_as.as_deref(), Some(&b"link"[..]));
    comes_back(&nas, &tree);
}

#[test]
fn what_only_root_may_have_comes_back() {
    if !when_root("devices, owners, trusted attributes") {
        return;
    }
    let (nas, tree) = (Nas::new(), Tree::new());
    for (name, kind, major) in [("null", SFlag::S_IFCHR, 1), ("loop", SFlag::S_IFBLK, 7), ("big", SFlag::S_IFBLK, 259)]
    {
        mknod(&tree.at(name), kind, Mode::from_bits_truncate(0o660), makedev(major, 300)).unwrap();
    }
    tree.file("owned", b"setuid of another");
    std::os::unix::fs::chown(tree.at("owned"), Some(12_345), Some(54_321)).unwrap();
    tree.mode("owned", 0o6750);
    std::os::unix::fs::lchown(tree.symlink("link", "owned"), Some(7), Some(8)).unwrap();
    std::os::unix::fs::chown(tree.directory("dir"), Some(4_000_000_000), Some(1)).unwrap();
    for name in ["owned", "link", "dir", "null"] {
        xattr::set(tree.at(name), "trusted.brackup", name.as_bytes()).unwrap();
    }
    // user::rw- user:12345:r-- group::r-- mask::r-- other::--- as the kernel has it.
    let acl = [
        &2_u32.to_le_bytes()[..],
        &[1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0x39, 0x30, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    xattr::set(tree.file("acl", b"acl"), "system.posix_acl_access", &acl).unwrap();
    xattr::set(tree.at("dir"), "system.posix_acl_default", &acl).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(tree.file("capable", b"#!"), "security.capability", &capability).unwrap();
    assert!(tree.snapshot().0[&b"capable"[..]].xattrs.contains_key(&b"security.capability"[..]));
    comes_back(&nas, &tree);
}

#[test]
fn a_socket_is_noted_and_not_restored() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket")).unwrap();
    let before = tree.snapshot();
    let done = nas.backup(&tree);
    assert_eq!(done.of(Counter::OtherEntries), 2, "the root and the socket");
    before.without("socket").assert_same(&nas.restore(&done.name()).snapshot());
}

#[test]
fn the_two_shattered_files_stay_two() {
    let folder = std::env::var_os("BRACKUP_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata/sha1-collisions"),
        PathBuf::from,
    );
    let names = ["shattered-1.pdf", "shattered-2.pdf", "sha-mbles-1.bin", "sha-mbles-2.bin"];
    let Ok(files) = names.iter().map(|name| fs::read(folder.join(name))).collect::<Result<Vec<_>, _>>() else {
        return eprintln!("NOT TESTED: no SHA-1 collisions in {} (set $BRACKUP_TESTDATA)", folder.display());
    };
    for pair in files.chunks(2) {
        assert_eq!(brackup::digest::Sha1::of(&pair[0]), brackup::digest::Sha1::of(&pair[1]));
        assert_ne!(pair[0], pair[1]);
    }
    let (nas, tree) = (Nas::new(), Tree::new());
    names.iter().zip(&files).for_each(|(name, bytes)| drop(tree.file(name, bytes)));
    comes_back(&nas, &tree);
}

// ---- very long, very deep, very many ----

/// Directories one in the other, made relative to each other since no path to them would be taken.
fn nest(tree: &Tree, name: &str, levels: usize) -> OwnedFd {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = nix::fcntl::open(&tree.root, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&directory, name, Mode::S_IRWXU).unwrap();
        directory = openat(&directory, name, flags, Mode::empty()).unwrap();
    }
    directory
}

fn inside(directory: &OwnedFd, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let bottom = nest(&tree, &"long".repeat(60), 30);
    fs::write(inside(&bottom, "file"), b"7200 bytes of path").unwrap();
    fs::hard_link(inside(&bottom, "file"), inside(&bottom, "link")).unwrap();
    std::os::unix::fs::symlink("file", inside(&bottom, "symlink")).unwrap();
    xattr::set(inside(&bottom, "file"), "user.deep", b"down").unwrap();
    settle();
    comes_back(&nas, &tree);
    assert_eq!(comes_back(&nas, &tree).of(Counter::UnchangedFiles), 2);
}

#[test]
fn two_thousand_levels_deep() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let bottom = nest(&tree, "d", 2000);
    fs::write(inside(&bottom, "file"), b"bottom").unwrap();
    tree.file("d/d/d/beside", b"on the way up");
    tree.file("e", b"behind");
    comes_back(&nas, &tree);
}

#[test]
fn a_deep_tree_takes_memory_by_its_depth_and_not_by_all_its_paths() {
    let tree = Tree::new();
    nest(&tree, &"n".repeat(60), 2000);
    let (program, to) = (Program::new(&tree.root), Tree::absent());
    assert_eq!(code(&program.backup()), Some(0));
    let restore = program.command(&["restore", "tree:latest", "--to", to.root.to_str().unwrap(), "--from", "disk"]);
    let mut limited = Command::new("sh");
    // The paths of all levels are 122 MB.
    limited.args(["-c", "ulimit -d 65536 && exec \"$@\"", "sh"]).arg(restore.get_program()).args(restore.get_args());
    limited.arg("--key").arg(&program.key).env_clear().current_dir(program.home());
    let output = limited.envs(restore.get_envs().filter_map(|(name, value)| Some((name, value?)))).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn fifty_thousand_names_in_one_directory() {
    let (nas, tree) = (Nas::new(), Tree::new());
    for number in 0..50_000_u32 {
        File::create(tree.at(format!("name {:08x}", number.wrapping_mul(2_654_435_761)))).unwrap();
    }
    tree.file("name 80000000/in the middle", b"a directory among them");
    comes_back(&nas, &tree);
}

#[test]
fn a_file_with_more_items_than_a_document_holds() {
    let (nas, tree) = (Nas::new(), Tree::new());
    // Data and holes by turns, a piece each: 2,600 items. Every piece is another.
    let pieces: Vec<_> = (0..1300_u64).map(|number| (number * 2 * SEGMENT as u64, noise(number, 16))).collect();
    let data: Vec<_> = pieces.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    let path = tree.sparse("holed", 2600 * SEGMENT as u64 + 5, &data);
    tree.link("holed", "its other name");
    tree.file("z", b"behind");
    settle();
    let first = comes_back(&nas, &tree);
    assert_eq!(first.of(Counter::UnchangedFiles), 0);
    let second = comes_back(&nas, &tree);
    assert_eq!((second.of(Counter::UnchangedFiles), second.of(Counter::Chunks)), (3, 0), "parts come from the cache");
    File::options().write(true).open(&path).unwrap().write_at(b"changed", 2000 * SEGMENT as u64).unwrap();
    settle();
    let third = comes_back(&nas, &tree);
    assert_eq!((third.of(Counter::UnchangedFiles), third.of(Counter::Chunks)), (1, 1), "one piece is new");
    fs::write(&path, b"small now").unwrap();
    settle();
    comes_back(&nas, &tree);
    assert_eq!(comes_back(&nas, &tree).of(Counter::UnchangedFiles), 3, "no part is left over");
}

#[test]
fn what_is_there_is_asked_for_before_many_items_are_fetched() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let pieces: Vec<_> = (0..600_u64).map(|number| (number * 2 * SEGMENT as u64, noise(number, 16))).collect();
    let data: Vec<_> = pieces.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    tree.sparse("holed", 1200 * SEGMENT as u64, &data);
    let name = nas.backup(&tree).name();
    for (conflict, expected) in [(Conflict::Abort, "is there already"), (Conflict::Skip, "")] {
        let there = Tree::new();
        there.file("holed", b"mine");
        let fetched = AtomicUsize::new(0);
        let watch = Watch(|event: Event<'_>| {
            if matches!(event, Event::Count(Counter::ReadBytes)) {
                fetched.fetch_add(1, Ordering::Relaxed);
            }
        });
        let told = nas.restore_watched(&name, &there.root, conflict, &watch);
        assert_eq!(told.as_ref().map_or(1, Vec::len), usize::from(conflict == Conflict::Abort), "{told:?}");
        assert!(told.err().is_none_or(|error| error.to_string().contains(expected)));
        assert_eq!(fetched.into_inner(), 0, "{conflict:?}");
        assert_eq!(fs::read(there.at("holed")).unwrap(), b"mine");
    }
}

#[test]
fn a_file_is_restored_as_an_image_if_it_is_the_source() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let contents = [noise(1, CHUNK + 5), vec![0; CHUNK], noise(2, SEGMENT)].concat();
    let path = tree.file("disk.img", &contents);
    for _ in 0..2 {
        let done = nas.try_backup(&path, &nas.target(), &Watch(|_: Event<'_>| {})).unwrap();
        let restored = nas.restore(&done.name());
        assert_eq!(fs::read(restored.at("disk.img")).unwrap(), contents);
        assert_eq!(restored.snapshot().0.len(), 2);
    }
}

// ---- what is stored ----

#[test]
fn an_unchanged_tree_is_not_read_and_a_copy_is_not_stored() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 3 * CHUNK + 100));
    settle();
    let first = comes_back(&nas, &tree);
    assert!(first.of(Counter::Chunks) == 4, "{first:?}");
    assert_eq!(comes_back(&nas, &tree).of(Counter::ReadBytes), 0);
    tree.file("copy", noise(1, 3 * CHUNK + 100));
    let copied = comes_back(&nas, &tree);
    assert_eq!((copied.of(Counter::Chunks), copied.of(Counter::UnchangedFiles)), (0, 1));
    fs::remove_file(tree.at("a")).unwrap();
    comes_back(&nas, &tree);
}

#[test]
fn other_recipients_get_objects_of_their_own() {
    let (mut nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 1000));
    settle();
    let first = nas.backup(&tree);
    let other = Identity::generate().unwrap();
    nas.recipients = vec![other.recipient().clone()];
    let second = nas.backup(&tree);
    assert_eq!(second.of(Counter::Chunks), 1, "what the new key can't open is stored anew");
    assert!(nas.open(&nas.target(), &second.name()).unwrap().documents(&nas.identities).is_err());
    nas.identities = vec![other];
    tree.snapshot().assert_same(&nas.restore(&second.name()).snapshot());
    assert!(nas.open(&nas.target(), &first.name()).unwrap().documents(&nas.identities).is_err());
}

#[test]
fn a_padded_chunk_has_a_padded_length() {
    for (padding, length) in [(Padding::None, 70_000), (Padding::Padme, 71_680), (Padding::Chunk, 1 << 20)] {
        let (mut nas, tree) = (Nas::new(), Tree::new());
        nas.padding = padding;
        tree.file("a", noise(1, 70_000));
        comes_back(&nas, &tree);
        let stored = fs::metadata(&nas.files(".chunk")[0]).unwrap().len();
        assert_eq!(stored, brackup::seal::sealed_length(1, length), "{padding:?}");
    }
}

#[test]
fn no_chunk_is_larger_than_it_may_be_and_nothing_shows_through() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let words = b"a very secret sentence ".repeat(100);
    for number in 0..300 {
        tree.file(format!("dir/secret name {number}"), [&noise(number, 9000)[..], &words].concat());
    }
    comes_back(&nas, &tree);
    let most = brackup::seal::sealed_length(1, nas.chunk_bytes);
    assert_eq!(nas.files(".chunk").len(), 3);
    for path in nas.files("") {
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() as u64 <= most, "{path:?}");
        for secret in [&b"secret"[..], &noise(7, 16)] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{path:?}");
        }
    }
}

// ---- I3 and I10: files that change, go, or can't be read ----
