//! What was backed up comes back: everything a tree can hold, every border of pieces and chunks, every way to seal.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use brackup::backup::Padding;
use brackup::monitor::{Counter, Severity};
use brackup::restore::Conflict;
use brackup::seal::{Identity, Suite};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknod};
use proptest::prelude::*;

use crate::support::{
    Done, Event, Nas, Program, Recording, Tree, Watch, code, noise, set_mtime, settle, stderr, when_root,
};

const SEGMENT: usize = 64 << 10;
const CHUNK: usize = 1 << 20;

/// Backs up and restores, and compares everything.
fn comes_back(nas: &Nas, tree: &Tree) -> Done {
    let before = tree.snapshot();
    let done = nas.backup(tree);
    before.assert_same(&nas.restore(&done.name()).snapshot());
    done
}

// ---- generated trees ----

/// What a generated entry is.
#[derive(Clone, Debug)]
enum Seed {
    File { contents: Contents, size: usize },
    Directory,
    Symlink(Vec<u8>),
    Link(usize),
    Fifo,
    Sparse { size: u64, at: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Contents {
    Noise(u64),
    Zeros,
    Text,
}

#[derive(Clone, Debug)]
struct Generated {
    name: Vec<u8>,
    /// In which of the directories before it.
    above: usize,
    seed: Seed,
    mode: u32,
    mtime: (i64, i64),
    xattr: Option<(Vec<u8>, Vec<u8>)>,
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let awkward: [&[u8]; 12] = [
        b".hidden",
        b"with space",
        b" lead",
        b"it's",
        b"\"quoted\"",
        b"back\\slash",
        b"\\x41",
        b"new\nline",
        b"\xff\xfe",
        b"caf\xc3\xa9",
        b"---",
        b"~",
    ];
    let any = prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), 1..=255_u8], 1..12)
        .prop_filter("a name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    prop_oneof![prop::sample::select(awkward.to_vec()).prop_map(<[u8]>::to_vec), any]
}

fn seeds() -> impl Strategy<Value = Seed> {
    let borders = [0, 1, SEGMENT, 3 * SEGMENT, CHUNK, 2 * CHUNK];
    let size = (prop::sample::select(borders.to_vec()), 0..3_usize, 0..5000_usize)
        .prop_map(|(border, near, small)| if near == 2 { small } else { (border + near).saturating_sub(1) });
    let contents = prop_oneof![(0..4_u64).prop_map(Contents::Noise), Just(Contents::Zeros), Just(Contents::Text)];
    prop_oneof![
        6 => (contents, size).prop_map(|(contents, size)| Seed::File { contents, size }),
        3 => Just(Seed::Directory),
        1 => names().prop_map(Seed::Symlink),
        2 => (0..100_usize).prop_map(Seed::Link),
        1 => Just(Seed::Fifo),
        1 => (1..4_000_000_u64, 0..4_000_000_u64).prop_map(|(size, at)| Seed::Sparse { size, at: at % size }),
    ]
}

fn trees() -> impl Strategy<Value = Vec<Generated>> {
    let mtimes = (
        prop_oneof![Just(-2_000_000_000_i64), Just(-1), Just(0), Just(5_000_000_000), 0..2_000_000_000_i64],
        0..1_000_000_000_i64,
    );
    let modes = prop_oneof![Just(0o644), Just(0o4755), Just(0o2711), Just(0o1777), Just(0o400), Just(0o700)];
    let xattr = prop::option::weighted(
        0.2,
        (prop::sample::select(vec!["user.a", "user.'b", "user.\u{e9}"]), prop::collection::vec(any::<u8>(), 0..200)),
    );
    let entry =
        (names(), 0..100_usize, seeds(), modes, mtimes, xattr).prop_map(|(name, above, seed, mode, mtime, xattr)| {
            let xattr = xattr.map(|(name, value)| (name.as_bytes().to_vec(), value));
            Generated { name, above, seed, mode, mtime, xattr }
        });
    prop::collection::vec(entry, 0..24)
}

/// Makes the entries; names that are taken are left out.
fn plant(tree: &Tree, entries: &[Generated]) -> Vec<PathBuf> {
    let (mut directories, mut files, mut made) = (vec![tree.root.clone()], Vec::new(), Vec::new());
    for entry in entries {
        let path = directories[entry.above % directories.len()].join(OsStr::from_bytes(&entry.name));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match &entry.seed {
            Seed::File { contents, size } => fs::write(&path, contents.bytes(*size)).unwrap(),
            Seed::Directory => fs::create_dir(&path).unwrap(),
            Seed::Symlink(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), &path).unwrap(),
            Seed::Link(_) if files.is_empty() => continue,
            Seed::Link(of) => fs::hard_link(&files[of % files.len()], &path).unwrap(),
            Seed::Fifo => nix::unistd::mkfifo(&path, Mode::S_IRUSR).unwrap(),
            Seed::Sparse { size, at } => {
                let file = File::create(&path).unwrap();
                file.set_len(*size).unwrap();
                file.write_at(b"data", *at).unwrap();
            }
        }
        match entry.seed {
            Seed::Directory => directories.push(path.clone()),
            Seed::File { .. } | Seed::Sparse { .. } => files.push(path.clone()),
            _ => {}
        }
        made.push((path, entry));
    }
    // From the last to the first: what is made in a directory changes its times.
    for (path, entry) in made.iter().rev() {
        if !path.is_symlink() {
            if let (Some((name, value)), false) = (&entry.xattr, matches!(entry.seed, Seed::Fifo)) {
                xattr::set(path, OsStr::from_bytes(name), value).unwrap();
            }
            // Directories of a user who is not root must stay readable.
            let mode = if path.is_dir() { entry.mode | 0o700 } else { entry.mode | 0o600 };
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        set_mtime(path, entry.mtime.0, entry.mtime.1);
    }
    made.into_iter().map(|(path, _)| path).collect()
}

impl Contents {
    fn bytes(self, size: usize) -> Vec<u8> {
        match self {
            Self::Noise(seed) => noise(seed, size),
            Self::Zeros => vec![0; size],
            Self::Text => b"all work and no play makes jack a dull boy\n".iter().copied().cycle().take(size).collect(),
        }
    }
}

/// Changes, takes away and adds, by `choice`.
fn change(tree: &Tree, made: &[PathBuf], choice: u64) {
    for (at, path) in made.iter().enumerate() {
        match (choice >> (at % 32 * 2)) & 3 {
            0 if path.is_file() && !path.is_symlink() => {
                let file = File::options().write(true).open(path).unwrap();
                let middle = file.metadata().unwrap().len() / 2;
                file.write_at(b"changed", middle).unwrap();
            }
            1 if fs::symlink_metadata(path).is_ok_and(|there| !there.is_dir()) => fs::remove_file(path).unwrap(),
            2 if fs::symlink_metadata(path).is_ok() => set_mtime(path, choice as i64 % 1_000_000_000, 7),
            _ => {}
        }
    }
    tree.file("new in the second", noise(choice, 70_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_in_both_versions(
        first in trees(),
        choice in any::<u64>(),
        (recipients, reader) in (1..=3_usize, 0..3_usize),
        (is_aes, compression) in (any::<bool>(), prop::option::of(Just(1))),
        padding in prop_oneof![Just(Padding::Padme), Just(Padding::Chunk), Just(Padding::None)],
        settled in any::<bool>(),
    ) {
        let mut nas = Nas::with_recipients(recipients);
        nas.suite = if is_aes { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 };
        (nas.padding, nas.compression) = (padding, compression);
        let tree = Tree::new();
        let made = plant(&tree, &first);
        if settled {
            settle();
        }
        let (before, one) = (tree.snapshot(), nas.backup(&tree));
        change(&tree, &made, choice);
        let (after, two) = (tree.snapshot(), nas.backup(&tree));
        // Any one of the recipients reads all of it.
        let reader: Identity = nas.identities.swap_remove(reader % recipients);
        nas.identities = vec![reader];
        before.assert_same(&nas.restore(&one.name()).snapshot());
        after.assert_same(&nas.restore(&two.name()).snapshot());
        assert_eq!((nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![]));
    }
}

// ---- everything that an entry can be and have ----

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
    // ctime is now: a change within the clock's grain would not show.
    let now = nas.backup(&tree);
    settle();
    let (later, latest) = (nas.backup(&tree), nas.backup(&tree));
    assert_eq!([now, later, latest].map(|done| done.of(Counter::ReadBytes)), [3, 3, 0]);
}

/// Backs up `a` (four chunks of noise), and calls `act` when `reads` pieces of it have been read; then restores.
fn meddled(tree: &Tree, nas: &Nas, reads: u64, act: impl Fn() + Send + Sync) -> (Done, Tree) {
    let (seen, is_a) = (AtomicU64::new(0), AtomicBool::new(false));
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
