//! Generated trees: whatever a tree holds, two versions of it come back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use brackup::backup::Padding;
use brackup::seal::{Identity, Suite};
use nix::sys::stat::Mode;
use proptest::prelude::*;

use crate::round_trip::{CHUNK, SEGMENT};
use crate::support::{Nas, Tree, noise, set_mtime, settle};

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

/// Fewer where a CPU is emulated.
fn cases() -> u32 {
    const MOST: u32 = 48;
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).map_or(MOST, |cases: u32| cases.min(MOST))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

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
