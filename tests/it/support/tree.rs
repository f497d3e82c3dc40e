//! A tree in a temporary folder, and everything that can be known of one, to be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use sha2::Digest as _;
use tempfile::TempDir;

/// A tree to back up, or one that was restored.
pub(crate) struct Tree {
    _temporary: TempDir,
    pub(crate) root: PathBuf,
}

impl Tree {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let tree = Self::absent();
        fs::create_dir(&tree.root).unwrap();
        tree
    }

    /// One that is not there yet: for a restore to make.
    pub(crate) fn absent() -> Self {
        let temporary = TempDir::new().unwrap();
        let root = temporary.path().join("tree");
        Self { _temporary: temporary, root }
    }

    /// One of some files, over several chunks, that may be backed up.
    pub(crate) fn of_eleven_files() -> Self {
        let tree = Self::new();
        for number in 0..10 {
            tree.file(format!("dir/{number}"), noise(number, 1 << 20));
        }
        tree.file("text", "text");
        settle();
        tree
    }

    pub(crate) fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.root.join(name.as_ref())
    }

    /// A file, with the directories above it.
    pub(crate) fn file(&self, name: impl AsRef<OsStr>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// A file of `size` bytes that is all hole but for `data`.
    pub(crate) fn sparse(&self, name: &str, size: u64, data: &[(u64, &[u8])]) -> PathBuf {
        let path = self.file(name, b"");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        data.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
        path
    }

    pub(crate) fn directory(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn symlink(&self, name: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> PathBuf {
        let path = self.at(name);
        std::os::unix::fs::symlink(target.as_ref(), &path).unwrap();
        path
    }

    pub(crate) fn link(&self, first: impl AsRef<OsStr>, second: impl AsRef<OsStr>) {
        fs::hard_link(self.at(first), self.at(second)).unwrap();
    }

    pub(crate) fn fifo(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.at(name);
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o640)).unwrap();
        path
    }

    pub(crate) fn mode(&self, name: impl AsRef<OsStr>, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// All that can be known of it now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.root)
    }
}

/// Sets an mtime, of a link itself if it is one.
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    // How wide these are depends on the machine; `TimeSpec::seconds` refuses times after 2038 on 32 bits.
    let time = TimeSpec::new(seconds as _, nanoseconds as _);
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Waits until what was written before is older than the clock's grain, so that a stat cache may trust it (I3).
pub(crate) fn settle() {
    let end = SystemTime::now() + Duration::from_millis(40);
    while SystemTime::now() < end {
        std::thread::yield_now();
    }
}

/// Bytes that do not compress and are always the same for a seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// All entries of a tree by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<Vec<u8>, Facts>);

/// All that can be restored of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) size: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) node: u64,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the inode, if it has several.
    pub(crate) same_as: Option<Vec<u8>>,
    /// Allocated bytes; compared with some slack.
    pub(crate) allocated: u64,
}

impl Snapshot {
    pub(crate) fn of(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut inodes = BTreeMap::<(u64, u64), Vec<Vec<u8>>>::new();
        let open = |path: &Path| Rc::new(File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}")));
        let mut pending = vec![(open(root.parent().unwrap()), root.file_name().unwrap().to_owned(), Vec::new())];
        // Relative to open directories, a level at a time: paths may be longer than the kernel takes.
        while let Some((above, name, path)) = pending.pop() {
            let place = Path::new("/proc/self/fd").join(above.as_raw_fd().to_string()).join(&name);
            let stat = fs::symlink_metadata(&place).unwrap();
            if stat.nlink() > 1 && !stat.is_dir() {
                inodes.entry((stat.dev(), stat.ino())).or_default().push(path.clone());
            }
            if stat.is_dir() {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let opened: OwnedFd = openat(&*above, name.as_os_str(), flags, Mode::empty()).unwrap();
                let directory = Rc::new(File::from(opened));
                let listed = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
                for entry in fs::read_dir(listed).unwrap() {
                    let name = entry.unwrap().file_name();
                    let below = [&path[..], if path.is_empty() { b"" } else { b"/" }, name.as_bytes()].concat();
                    pending.push((directory.clone(), name, below));
                }
            }
            entries.insert(path, Facts::of(&place, &stat));
        }
        for (_, mut paths) in inodes {
            paths.sort();
            for path in &paths {
                entries.get_mut(path).unwrap().same_as = Some(paths[0].clone());
            }
        }
        Self(entries)
    }

    /// Fails with the first differences.
    pub(crate) fn assert_same(&self, restored: &Self) {
        let mut differences = Vec::new();
        for path in self.0.keys().chain(restored.0.keys().filter(|path| !self.0.contains_key(*path))) {
            let (before, after) = (self.0.get(path), restored.0.get(path));
            if !before.zip(after).is_some_and(|(before, after)| before.is_same(after)) {
                differences.push(format!("{}\n  was {before:?}\n  is  {after:?}", String::from_utf8_lossy(path)));
            }
        }
        let count = differences.len();
        assert!(count == 0, "{count} differences:\n{}", differences[..count.min(4)].join("\n"));
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        assert!(self.0.remove(path.as_bytes()).is_some(), "{path} is not there");
        self
    }
}

impl Facts {
    fn of(path: &Path, stat: &fs::Metadata) -> Self {
        let kind = stat.file_type();
        let contents = match kind {
            _ if kind.is_file() => digest(path),
            _ if kind.is_symlink() => fs::read_link(path).unwrap().into_os_string().into_vec(),
            _ => Vec::new(),
        };
        let tests: [(bool, char); 7] = [
            (kind.is_file(), 'f'),
            (kind.is_dir(), 'd'),
            (kind.is_symlink(), 'l'),
            (kind.is_fifo(), 'p'),
            (kind.is_char_device(), 'c'),
            (kind.is_block_device(), 'b'),
            (kind.is_socket(), 's'),
        ];
        let names = xattr::list(path).into_iter().flatten();
        Self {
            kind: tests.iter().find(|(is, _)| *is).unwrap().1,
            mode: stat.mode() & 0o7777,
            owner: (stat.uid(), stat.gid()),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            size: if kind.is_file() { stat.size() } else { 0 },
            contents,
            node: stat.rdev(),
            xattrs: names.map(|name| (name.as_bytes().to_vec(), xattr::get(path, &name).unwrap().unwrap())).collect(),
            same_as: None,
            allocated: if kind.is_file() { stat.blocks() * 512 } else { 0 },
        }
    }

    /// The same, and no more allocated than it was, but for what a file system rounds to.
    fn is_same(&self, other: &Self) -> bool {
        let slack = 64 * 1024 + self.allocated / 8;
        let other_allocated = Self { allocated: self.allocated, ..other.clone() };
        *self == other_allocated && (self.allocated >= self.size || other.allocated <= self.allocated + slack)
    }
}

fn digest(path: &Path) -> Vec<u8> {
    // A fifo or an unreadable file never comes here; a test that has one leaves it out.
    let Ok(mut file) = File::open(path) else { return b"unreadable".to_vec() };
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => return sha256.finalize().to_vec(),
            got => sha256.update(&buffer[..got]),
        }
    }
}
