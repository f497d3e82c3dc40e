//! The walk: every entry of a tree in the order of its path, `/` below every other byte, which is depth first.
//!
//! A directory is read whole (its names sorted and perhaps spilled), then its entries are looked at one by one. Only so many
//! directories stay open, the root and those nearest; others are opened again through `..` of their child, or by their path from the
//! root, and only if that is still the same directory. What is left in one that was moved away is told and left out (I10).

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{fstat, fstatat};

use super::names::{Gathering, Names};
use super::read::{Ahead, open_unnoticed};
use super::spool::Spool;
use super::{Error, stat_of};
use crate::entry::{Kind, Stat};
use crate::limits;
use crate::monitor::Tally;
use crate::relpath::RelPath;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The longest name that Linux file systems have.
const NAME_BYTES_MAX: usize = 255;

/// What a walk leaves out, and where it may put what does not fit in memory.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct WalkOptions<'a> {
    /// Whether a path (with its being a directory) is to be left out.
    pub ignores: &'a (dyn Fn(&[u8], bool) -> bool + Sync),
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
    /// The directory that was told of last, ready to be gone into.
    next: Option<Frame>,
    spool: Spool<'a>,
    /// Bytes that the names of all frames hold.
    held: usize,
}

/// What was told last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Root,
    Entry,
}

struct Frame {
    names: Names,
    /// Bytes that they held when they were last looked at.
    held: usize,
    /// Where what they have in the spool file begins.
    spooled: u64,
    directory: Option<Arc<OwnedFd>>,
    /// Device and inode.
    identity: (u64, u64),
}

/// An entry that was met.
#[derive(Debug)]
pub struct Met {
    /// Relative to the root.
    pub path: RelPath,
    /// What lstat() said.
    pub stat: Stat,
    /// When it was looked at: it is read after this.
    pub looked_at: SystemTime,
    /// Why what is in a directory could not be read; it was told already.
    pub problem: Option<String>,
    pub(super) directory: Arc<OwnedFd>,
    /// Its contents, if they were read ahead.
    pub(super) ahead: Option<Box<Ahead>>,
}

impl<'a> Walk<'a> {
    /// Opens the root directory.
    pub fn open(root: &Path, options: WalkOptions<'a>) -> Result<Self, Error> {
        let failed = |errno: Errno| Error { path: root.into(), source: errno.into() };
        // The root itself may be a link: it is what the owner wrote.
        let flags = DIRECTORY.difference(OFlag::O_NOFOLLOW);
        let directory = open_unnoticed(AT_FDCWD, root, flags).map_err(failed)?;
        let stat = stat_of(&fstat(&directory).map_err(failed)?);
        let mut walk = Self {
            spool: Spool::in_folder(options.spool),
            options,
            root: root.into(),
            root_device: stat.device,
            frames: Vec::new(),
            path: RelPath::root(),
            name: b".".to_vec(),
            stat,
            told: Told::Nothing,
            next: None,
            held: 0,
        };
        let root = walk.read(directory).map_err(failed)?;
        walk.enter(root);
        Ok(walk)
    }

    /// The next entry. What can't be looked at is told to the tally and left out (I10); only the root's loss ends the walk.
    pub fn next(&mut self, tally: &Tally<'_>) -> Result<Option<Met>, Error> {
        match std::mem::replace(&mut self.told, Told::Entry) {
            Told::Nothing => {
                self.told = Told::Root;
                return self.met(None).map(Some);
            }
            Told::Root => {}
            Told::Entry => match self.next.take() {
                Some(frame) => self.enter(frame),
                None => self.path.pop(),
            },
        }
        loop {
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let next = frame.names.next(&mut self.name, &self.spool);
            match next {
                Err(error) => return Err(self.lost(error)),
                Ok(None) => self.leave(tally),
                Ok(Some(kind)) => {
                    self.path.push(&self.name);
                    if self.look(kind, tally)? {
                        let problem = self.open_next(tally)?;
                        return self.met(problem).map(Some);
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
        Ok(true)
    }

    /// If the entry that is to be told of is a directory to go into, opens it and reads its names. What went wrong is told.
    fn open_next(&mut self, tally: &Tally<'_>) -> Result<Option<String>, Error> {
        let is_elsewhere = self.options.one_filesystem && self.stat.device != self.root_device;
        if self.stat.kind != Kind::Directory || is_elsewhere {
            return Ok(None);
        }
        let is_too_deep = self.frames.len() >= limits::DEPTH_MAX
            || self.path.as_bytes().len() + NAME_BYTES_MAX > limits::PATH_BYTES_MAX;
        let opened = if is_too_deep {
            Err(Errno::ENAMETOOLONG)
        } else {
            open_unnoticed(self.directory()?, OsStr::from_bytes(&self.name), DIRECTORY)
                .and_then(|directory| self.read(directory))
        };
        match opened {
            Ok(next) => {
                self.next = Some(next);
                Ok(None)
            }
            Err(errno) => {
                let problem = format!("what is in it can't be read: {}", errno.desc());
                tally.problem(self.path.escaped(), problem.clone());
                Ok(Some(problem))
            }
        }
    }

    /// Goes into the directory that was just told of.
    fn enter(&mut self, frame: Frame) {
        if self.held + frame.held > limits::NAMES_BYTES_MAX
            && let Some(parent) = self.frames.last_mut()
        {
            parent.names.rest();
            self.weigh();
        }
        self.held += frame.held;
        self.frames.push(frame);
        if let Some(far) = self.frames.len().checked_sub(limits::OPEN_DIRECTORIES_MAX)
            && far > 0
        {
            self.frames[far].directory = None;
        }
    }

    /// Sees what the names of the current directory hold now.
    fn weigh(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            let held = frame.names.held();
            self.held = self.held - frame.held + held;
            frame.held = held;
        }
    }

    /// Goes back up to where the walk can go on.
    fn leave(&mut self, tally: &Tally<'_>) {
        let Some(left) = self.pop() else { return };
        let Some(parent) = self.frames.last_mut() else { return };
        if parent.directory.is_none() {
            let up = left.directory.and_then(|child| open_unnoticed(&child, "..", DIRECTORY).ok());
            parent.directory = up.filter(|up| identity(up) == Ok(parent.identity)).map(Arc::new);
            if parent.directory.is_none() {
                self.find_again(tally);
            }
        }
    }

    /// A directory above was moved or removed while we were below it. Goes on in the lowest one that is still where it was; the
    /// root, which is always open, at the worst.
    fn find_again(&mut self, tally: &Tally<'_>) {
        let mut directory = self.frames.first().and_then(|root| root.directory.clone());
        let (mut found, mut found_directory) = (0, directory.clone());
        for (level, (frame, name)) in self.frames.iter().skip(1).zip(self.path.names()).enumerate() {
            let below = directory.and_then(|above| open_unnoticed(&above, OsStr::from_bytes(name), DIRECTORY).ok());
            directory = below.map(Arc::new);
            let Some(below) = &directory else { break };
            if identity(below) == Ok(frame.identity) {
                (found, found_directory) = (level + 1, directory.clone());
            }
        }
        let mut is_left = false;
        while self.frames.len() > found + 1 {
            is_left |= self.frames.last().is_some_and(|frame| !frame.names.is_at_end());
            if self.frames.len() == found + 2 && is_left {
                let what = "was moved during the backup: what was left to do in it is not in this backup";
                tally.problem(self.path.escaped(), what);
            }
            self.pop();
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.directory = found_directory;
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop()?;
        self.held -= frame.held;
        self.spool.give_back(frame.spooled);
        self.path.pop();
        Some(frame)
    }

    /// A directory with its names.
    fn read(&mut self, directory: OwnedFd) -> nix::Result<Frame> {
        self.weigh();
        let spooled = self.spool.end();
        let names = self.read_names(&directory)?;
        let (held, identity) = (names.held(), identity(&directory)?);
        Ok(Frame { names, held, spooled, identity, directory: Some(Arc::new(directory)) })
    }

    fn read_names(&mut self, directory: &OwnedFd) -> nix::Result<Names> {
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32));
        let mut listing = Dir::from_fd(directory.try_clone().map_err(errno)?)?;
        let mut gathering = Gathering::within(limits::NAMES_BYTES_MAX.saturating_sub(self.held));
        for entry in listing.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let kind = entry.file_type().map_or(0, |kind| if kind == nix::dir::Type::Directory { 4 } else { 8 });
                gathering.push(kind, name, &mut self.spool).map_err(errno)?;
            }
        }
        gathering.finish(&mut self.spool).map_err(errno)
    }

    fn directory(&self) -> Result<&Arc<OwnedFd>, Error> {
        let directory = self.frames.last().and_then(|frame| frame.directory.as_ref());
        directory.ok_or_else(|| self.lost(Errno::ESTALE.into()))
    }

    fn met(&self, problem: Option<String>) -> Result<Met, Error> {
        let directory = self.directory()?.clone();
        let looked_at = SystemTime::now();
        Ok(Met { path: self.path.clone(), stat: self.stat.clone(), looked_at, problem, directory, ahead: None })
    }

    fn lost(&self, source: std::io::Error) -> Error {
        Error { path: self.root.join(OsStr::from_bytes(self.path.as_bytes())), source }
    }
}

fn identity(directory: &OwnedFd) -> nix::Result<(u64, u64)> {
    let stat = stat_of(&fstat(directory)?);
    Ok((stat.device, stat.inode))
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Walk(at {})", self.path)
    }
}

impl Met {
    /// Its name in the directory that holds it.
    pub(super) fn name(&self) -> &[u8] {
        self.path.split_last().map_or(b".", |(_, name)| name)
    }

    /// The name for a system call.
    pub(super) fn c_name(&self) -> nix::Result<CString> {
        CString::new(self.name()).map_err(|_| Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Quiet;

    #[test]
    fn the_names_of_all_levels_together_keep_to_the_budget() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("root");
        let mut path = root.clone();
        for _ in 0..80 {
            path.push("d");
            std::fs::create_dir_all(&path).unwrap();
            for number in 0..66 {
                std::fs::File::create(path.join(format!("{number:0>200}"))).unwrap();
            }
        }
        let options =
            WalkOptions { ignores: &|_, _| false, excluded: &[], one_filesystem: false, spool: temporary.path() };
        let mut walk = Walk::open(&root, options).unwrap();
        let (quiet, mut met, mut most) = (Quiet::default(), 0, 0);
        let tally = Tally::new(&quiet);
        while walk.next(&tally).unwrap().is_some() {
            met += 1;
            most = most.max(walk.frames.iter().map(|frame| frame.names.held()).sum());
        }
        assert_eq!((met, walk.held, walk.spool.end()), (1 + 80 * 67, 0, 0));
        assert!(most <= limits::NAMES_BYTES_MAX + 80 * 128 + 4096, "{most}");
    }
}
