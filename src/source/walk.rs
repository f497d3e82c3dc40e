//! The walk: every entry of a tree in the order of its path, `/` below every other byte, which is depth first.
//!
//! A directory is read whole (its names sorted and perhaps spilled), then its entries are looked at one by one. Only so many
//! directories stay open; others are opened again through `..` of their child, and only if that is still the same directory.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};

use super::names::{Gathering, Names};
use super::{Error, stat_of};
use crate::entry::{Kind, Stat};
use crate::limits;
use crate::monitor::Tally;
use crate::relpath::RelPath;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What a walk leaves out, and where it may put what does not fit in memory.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct WalkOptions<'a> {
    /// Whether a path (with its being a directory) is to be left out.
    pub ignores: &'a dyn Fn(&[u8], bool) -> bool,
    /// Device and inode of directories to leave out: the target, the state.
    pub excluded: &'a [(u64, u64)],
    /// Whether to stay on the root's file system.
    pub one_filesystem: bool,
    /// For the names of very large directories.
    pub spool: &'a Path,
}

/// A walk under way.
pub struct Walk<'a> {
    options: WalkOptions<'a>,
    root: PathBuf,
    root_device: u64,
    frames: Vec<Frame>,
    path: RelPath,
    name: Vec<u8>,
    stat: Stat,
    told: Told,
    held: usize,
}

/// What was told last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Root,
    /// To be gone into next.
    Directory,
    Entry,
}

struct Frame {
    names: Names,
    directory: Option<OwnedFd>,
    device: u64,
    inode: u64,
}

/// An entry that was met.
#[derive(Debug)]
pub struct Met<'w> {
    /// Relative to the root.
    pub path: &'w RelPath,
    /// What lstat() said.
    pub stat: &'w Stat,
    pub(super) directory: BorrowedFd<'w>,
    pub(super) name: &'w [u8],
}

impl<'a> Walk<'a> {
    /// Opens the root directory.
    pub fn open(root: &Path, options: WalkOptions<'a>) -> Result<Self, Error> {
        let failed = |errno: Errno| Error { path: root.into(), source: errno.into() };
        // The root itself may be a link: it is what the owner wrote.
        let flags = DIRECTORY.difference(OFlag::O_NOFOLLOW);
        let directory = nix::fcntl::open(root, flags, Mode::empty()).map_err(failed)?;
        let stat = stat_of(&fstat(&directory).map_err(failed)?);
        let mut walk = Self {
            options,
            root: root.into(),
            root_device: stat.device,
            frames: Vec::new(),
            path: RelPath::root(),
            name: b".".to_vec(),
            stat,
            told: Told::Nothing,
            held: 0,
        };
        let names = walk.read_names(&directory).map_err(failed)?;
        walk.push(names, directory);
        Ok(walk)
    }

    /// The next entry. What can't be looked at is told to the tally and left out (I10); only the root's loss ends the walk.
    pub fn next(&mut self, tally: &Tally<'_>) -> Result<Option<Met<'_>>, Error> {
        match std::mem::replace(&mut self.told, Told::Entry) {
            Told::Nothing => {
                self.told = Told::Root;
                return Ok(Some(self.met()?));
            }
            Told::Root => {}
            Told::Directory => self.enter(tally)?,
            Told::Entry => self.path.pop(),
        }
        loop {
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let next = frame.names.next(&mut self.name);
            match next {
                Err(error) => return Err(self.lost(error)),
                Ok(None) => self.leave()?,
                Ok(Some(kind)) => {
                    self.path.push(&self.name);
                    if self.look(kind, tally)? {
                        return Ok(Some(self.met()?));
                    }
                    self.path.pop();
                }
            }
        }
    }

    /// Looks at the entry that `path` names; whether it is to be told of.
    fn look(&mut self, kind: u8, tally: &Tally<'_>) -> Result<bool, Error> {
        const DT_DIR: u8 = 4;
        const DT_UNKNOWN: u8 = 0;
        if kind != DT_UNKNOWN && (self.options.ignores)(self.path.as_bytes(), kind == DT_DIR) {
            return Ok(false);
        }
        let directory = self.directory()?;
        match fstatat(directory, OsStr::from_bytes(&self.name), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => self.stat = stat_of(&stat),
            Err(Errno::ENOENT) => {
                tally.notice(self.path.escaped(), "vanished during the backup");
                return Ok(false);
            }
            Err(errno) => {
                tally.problem(self.path.escaped(), format!("can't be looked at: {}", errno.desc()));
                return Ok(false);
            }
        }
        let is_directory = self.stat.kind == Kind::Directory;
        if kind == DT_UNKNOWN && (self.options.ignores)(self.path.as_bytes(), is_directory) {
            return Ok(false);
        }
        if is_directory && self.options.excluded.contains(&(self.stat.device, self.stat.inode)) {
            tally.notice(self.path.escaped(), "is where this box keeps backups or its state: left out");
            return Ok(false);
        }
        if !is_directory || (self.options.one_filesystem && self.stat.device != self.root_device) {
            return Ok(true);
        }
        self.told = Told::Directory;
        if self.frames.len() >= limits::DEPTH_MAX || self.path.as_bytes().len() + 256 > limits::PATH_BYTES_MAX {
            tally.problem(self.path.escaped(), "is nested too deep: what is below it is left out");
            self.told = Told::Entry;
        }
        Ok(true)
    }

    /// Goes into the directory that was just told of.
    fn enter(&mut self, tally: &Tally<'_>) -> Result<(), Error> {
        let opened = openat(self.directory()?, OsStr::from_bytes(&self.name), DIRECTORY, Mode::empty())
            .and_then(|directory| self.read_names(&directory).map(|names| (names, directory)));
        match opened {
            Ok((names, directory)) => {
                self.push(names, directory);
                if let Some(far) = self.frames.len().checked_sub(limits::OPEN_DIRECTORIES_MAX)
                    && far > 0
                {
                    self.frames[far].directory = None;
                }
            }
            Err(errno) => {
                if errno == Errno::ENOENT {
                    tally.notice(self.path.escaped(), "vanished during the backup");
                } else {
                    tally.problem(self.path.escaped(), format!("what is in it can't be read: {}", errno.desc()));
                }
                self.path.pop();
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(left) = self.frames.pop() else { return Ok(()) };
        self.held -= left.names.held();
        self.path.pop();
        if let Some(parent) = self.frames.last_mut()
            && parent.directory.is_none()
        {
            let up = left.directory.and_then(|child| openat(&child, "..", DIRECTORY, Mode::empty()).ok());
            let same = |directory: &OwnedFd| {
                fstat(directory)
                    .map(|stat| stat_of(&stat))
                    .is_ok_and(|stat| (stat.device, stat.inode) == (parent.device, parent.inode))
            };
            parent.directory = up.filter(same);
            if parent.directory.is_none() {
                self.reopen()?;
            }
        }
        Ok(())
    }

    /// Opens the current directory again from the root down: it was moved while we were below it.
    fn reopen(&mut self) -> Result<(), Error> {
        let lost = |errno: Errno| Error {
            path: self.root.join(OsStr::from_bytes(self.path.as_bytes())),
            source: errno.into(),
        };
        let flags = DIRECTORY.difference(OFlag::O_NOFOLLOW);
        let mut directory = nix::fcntl::open(&self.root, flags, Mode::empty()).map_err(lost)?;
        for name in self.path.names() {
            directory = openat(&directory, OsStr::from_bytes(name), DIRECTORY, Mode::empty()).map_err(lost)?;
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.directory = Some(directory);
        }
        Ok(())
    }

    fn read_names(&self, directory: &OwnedFd) -> nix::Result<Names> {
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32));
        let mut listing = Dir::from_fd(directory.try_clone().map_err(errno)?)?;
        let budget = limits::NAMES_BYTES_MAX.saturating_sub(self.held).max(16 * 1024);
        let mut gathering = Gathering::default();
        for entry in listing.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let kind = entry.file_type().map_or(0, |kind| if kind == nix::dir::Type::Directory { 4 } else { 8 });
                gathering.push(kind, name, budget, self.options.spool).map_err(errno)?;
            }
        }
        gathering.finish(self.options.spool).map_err(errno)
    }

    fn push(&mut self, names: Names, directory: OwnedFd) {
        self.held += names.held();
        let (device, inode) = (self.stat.device, self.stat.inode);
        self.frames.push(Frame { names, directory: Some(directory), device, inode });
    }

    fn directory(&self) -> Result<BorrowedFd<'_>, Error> {
        let directory = self.frames.last().and_then(|frame| frame.directory.as_ref());
        directory.map(|fd| fd.as_fd()).ok_or_else(|| self.lost(Errno::ESTALE.into()))
    }

    fn met(&self) -> Result<Met<'_>, Error> {
        Ok(Met { path: &self.path, stat: &self.stat, directory: self.directory()?, name: &self.name })
    }

    fn lost(&self, source: std::io::Error) -> Error {
        Error { path: self.root.join(OsStr::from_bytes(self.path.as_bytes())), source }
    }
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Walk(at {})", self.path)
    }
}

impl Met<'_> {
    /// The name for a system call.
    pub(super) fn c_name(&self) -> nix::Result<CString> {
        CString::new(self.name).map_err(|_| Errno::EINVAL)
    }
}
