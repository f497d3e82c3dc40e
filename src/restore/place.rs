//! The destination. Every name is made and opened relative to an open directory, name by name from the destination down, and
//! never through a link: whatever a metafile says, and whatever is swapped in under way, nothing is written outside.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::conflict::Conflict;
use super::error::Error;
use crate::entry::{Kind, Stat};
use crate::limits::OPEN_DIRECTORIES_MAX;
use crate::metafile::Found;
use crate::relpath::RelPath;
use crate::source::stat_of;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The destination, and the directory in it that was used last.
pub(super) struct Place {
    root: Rc<OwnedFd>,
    /// The names from the root to the current directory, and the directories that are still open.
    open: Vec<(Vec<u8>, Option<Rc<OwnedFd>>)>,
    dry_run: bool,
    made_root: bool,
    /// What temporary names begin with.
    prefix: String,
}

/// Something made under a temporary name.
pub(super) struct Made {
    directory: Rc<OwnedFd>,
    name: Vec<u8>,
    file: Option<File>,
    is_named: bool,
}

impl Place {
    /// Opens the destination, and makes it if it is not there.
    pub(super) fn open(destination: &Path, dry_run: bool) -> Result<Self, Error> {
        let existing = if dry_run && !destination.exists() { Path::new("/") } else { destination };
        let made_root = !existing.exists();
        if made_root {
            use std::os::unix::fs::DirBuilderExt as _;
            let made = std::fs::DirBuilder::new().mode(0o700).create(existing);
            made.map_err(Error::destination("can't make the folder to restore to", existing))?;
        }
        let flags = DIRECTORY.difference(OFlag::O_NOFOLLOW);
        let root = nix::fcntl::open(existing, flags, Mode::empty())
            .map_err(|errno| Error::destination("can't open the folder to restore to", existing)(errno.into()))?;
        // In a dry run that has no destination nothing is looked for there either.
        let dry_run = dry_run && existing != destination;
        let prefix = format!(".brackup-{}-", std::process::id());
        Ok(Self { root: Rc::new(root), open: Vec::new(), dry_run, made_root, prefix })
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        nix::unistd::syncfs(&self.root).map_err(Error::call("can't make what was restored durable"))
    }

    /// Makes a directory whose parents are there, 0700 until it is complete. False: it was there.
    pub(super) fn make_directory(&mut self, path: &RelPath, conflict: Conflict) -> Result<bool, Error> {
        let Some((parent, name)) = path.split_last() else { return Ok(self.made_root) };
        if self.dry_run {
            return Ok(true);
        }
        let parent = self.directory(parent)?;
        let name = OsStr::from_bytes(name);
        match mkdirat(parent, name, Mode::S_IRWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => {
                let there = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(Error::call("can't look at what is in its place"))?;
                if stat_of(&there).kind == Kind::Directory {
                    return Ok(false);
                }
                if !conflict.replaces() {
                    return Err(Error::OtherKind("something that is no directory is in its place"));
                }
                unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                    .map_err(Error::call("can't remove what is in its place"))?;
                mkdirat(parent, name, Mode::S_IRWXU).map_err(Error::call("can't make the directory"))?;
                Ok(true)
            }
            Err(errno) => Err(Error::call("can't make the directory")(errno)),
        }
    }

    /// The directory at a path, which is there.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Error> {
        self.shared_directory(path).map(|directory| directory.as_fd())
    }

    fn shared_directory(&mut self, path: &[u8]) -> Result<&Rc<OwnedFd>, Error> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let shared = self.open.iter().zip(&names).take_while(|((open, _), name)| open == *name).count();
        self.open.truncate(shared);
        // From the deepest directory that is open, or from the root.
        let mut from = self.open.iter().rposition(|(_, directory)| directory.is_some()).map_or(0, |at| at + 1);
        if from < self.open.len() && names.len() == shared {
            // The last one itself was closed: go through those above it again.
            from = from.min(shared);
        }
        while from < names.len() {
            let above = if from == 0 { Some(&self.root) } else { self.open[from - 1].1.as_ref() };
            let above = above.ok_or_else(|| Error::call("can't open the directory")(Errno::ESTALE))?;
            let opened = openat(above, OsStr::from_bytes(names[from]), DIRECTORY, Mode::empty());
            let opened = opened.map_err(Error::call("can't open the directory it goes to"))?;
            match self.open.get_mut(from) {
                Some((_, directory)) => *directory = Some(Rc::new(opened)),
                None => self.open.push((names[from].to_vec(), Some(Rc::new(opened)))),
            }
            from += 1;
            if let Some(far) = from.checked_sub(OPEN_DIRECTORIES_MAX) {
                self.open[far].1 = None;
            }
        }
        let last = self.open.last().and_then(|(_, directory)| directory.as_ref());
        Ok(last.unwrap_or(&self.root))
    }

    /// What is at a path, not following it.
    pub(super) fn stat(&mut self, path: &RelPath) -> Result<Option<Stat>, Error> {
        let Some((parent, name)) = path.split_last() else { return Ok(None) };
        if self.dry_run {
            return Ok(None);
        }
        match fstatat(self.directory(parent)?, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::call("can't look at what is in its place")(errno)),
        }
    }

    /// Opens a regular file at a path to read it.
    pub(super) fn open_file(&mut self, path: &RelPath) -> Result<File, Error> {
        let (parent, name) = path.split_last().unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let opened = openat(self.directory(parent)?, OsStr::from_bytes(name), flags, Mode::empty());
        opened.map(File::from).map_err(Error::call("can't read what is in its place"))
    }

    /// The target of a link at a path.
    pub(super) fn read_link(&mut self, path: &RelPath) -> Result<Vec<u8>, Error> {
        let (parent, name) = path.split_last().unwrap_or_default();
        let target = readlinkat(self.directory(parent)?, OsStr::from_bytes(name));
        target.map(OsStringExt::into_vec).map_err(Error::call("can't read the link in its place"))
    }

    /// A new file for the contents of `path`, readable by nobody else.
    pub(super) fn make_file(&mut self, path: &RelPath) -> Result<Made, Error> {
        let (parent, _) = path.split_last().unwrap_or_default();
        let mut made = self.temporary(parent)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&made.directory, OsStr::from_bytes(&made.name), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        made.file = Some(file.map_err(Error::call("can't make the file"))?.into());
        Ok(made)
    }

    /// A link, fifo or device.
    pub(super) fn make_node(&mut self, found: &Found) -> Result<Made, Error> {
        let (parent, _) = found.path.split_last().unwrap_or_default();
        let made = self.temporary(parent)?;
        let name = OsStr::from_bytes(&made.name);
        let stat = &found.entry.stat;
        let node = |kind| {
            mknodat(
                &made.directory,
                name,
                kind,
                Mode::S_IRUSR | Mode::S_IWUSR,
                makedev(stat.node.0.into(), stat.node.1.into()),
            )
        };
        match stat.kind {
            Kind::Symlink => symlinkat(OsStr::from_bytes(&found.entry.target), &made.directory, name),
            Kind::Fifo => node(SFlag::S_IFIFO),
            Kind::CharDevice => node(SFlag::S_IFCHR),
            Kind::BlockDevice => node(SFlag::S_IFBLK),
            _ => Err(Errno::EINVAL),
        }
        .map_err(Error::call("can't make it"))?;
        Ok(made)
    }

    /// Makes `found` another name of `first`, if that is there and is the same. Whether it did.
    pub(super) fn link(&mut self, first: &RelPath, found: &Found) -> Result<bool, Error> {
        let (first_parent, first_name) = first.split_last().unwrap_or_default();
        let is_same = |there: &Stat| {
            let stat = &found.entry.stat;
            (there.kind, there.size, there.mtime) == (stat.kind, stat.size, stat.mtime)
        };
        let Ok(there) = self.stat(first) else { return Ok(false) };
        if !there.is_some_and(|there| is_same(&there)) {
            return Ok(false);
        }
        let first_directory = Rc::clone(self.shared_directory(first_parent)?);
        let (parent, _) = found.path.split_last().unwrap_or_default();
        let made = self.temporary(parent)?;
        let (from, to) = (OsStr::from_bytes(first_name), OsStr::from_bytes(&made.name));
        match linkat(&first_directory, from, &made.directory, to, LinkatFlags::empty()) {
            Ok(()) => self.name(made, found).map(|()| true),
            // A file system without links: it becomes a file of its own.
            Err(_) => Ok(false),
        }
    }

    /// Gives what was made its name, in place of what is there.
    pub(super) fn name(&mut self, mut made: Made, found: &Found) -> Result<(), Error> {
        let (_, name) = found.path.split_last().unwrap_or_default();
        let renamed =
            renameat(&made.directory, OsStr::from_bytes(&made.name), &made.directory, OsStr::from_bytes(name));
        renamed.map_err(Error::call("can't give it its name"))?;
        // Two names of one inode: then a rename does nothing, and the temporary name is still there to be removed.
        made.is_named = found.hardlink.is_none();
        Ok(())
    }

    fn temporary(&mut self, parent: &[u8]) -> Result<Made, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = Rc::clone(self.shared_directory(parent)?);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number}.partial", self.prefix).into_bytes();
        Ok(Made { directory, name, file: None, is_named: false })
    }
}

impl Made {
    /// The open file, if it is one.
    pub(super) fn open_file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The directory it lies in, and its name there for now.
    pub(super) fn place(&self) -> (BorrowedFd<'_>, &OsStr) {
        (self.directory.as_fd(), OsStr::from_bytes(&self.name))
    }

    /// A path to it for calls that know no directory.
    pub(super) fn proc_path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(OsStr::from_bytes(&self.name))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = unlinkat(&self.directory, OsStr::from_bytes(&self.name), UnlinkatFlags::NoRemoveDir);
        }
    }
}
