//! What was made, held by a descriptor: its metadata is set on it, and never on what lies under its name by now.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, fstatat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};
use xattr::FileExt as _;

use super::error::Error;
use super::place::Made;
use crate::entry::{Kind, Stat, Time};
use crate::source::stat_of;

/// Something that was made, and certainly that.
pub(super) enum Handle<'a> {
    /// A file or a directory.
    Open(&'a File),
    /// A fifo or a device: to open it would have an effect, so only the place of its inode is held (O_PATH).
    Node(OwnedFd),
    /// A link, held likewise. The kernel sets its attributes and times by name only.
    Link(OwnedFd, &'a Made),
}

impl<'a> Handle<'a> {
    /// Takes hold of a link, fifo or device, and checks that it is the one that was made.
    pub(super) fn hold(made: &'a Made, wanted: &Stat) -> Result<Self, Error> {
        let (directory, name) = made.place();
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let held = openat(directory, name, flags, Mode::empty()).map_err(Error::call("can't look at what was made"))?;
        let there = stat_of_held(held.as_fd()).map_err(Error::call("can't look at what was made"))?;
        let is_device = matches!(wanted.kind, Kind::CharDevice | Kind::BlockDevice);
        // Another name means another's inode: what was made has one name, a temporary one.
        if there.kind != wanted.kind || there.links > 1 || (is_device && there.node != wanted.node) {
            return Err(Error::OtherKind("something else was put in its place while it was restored"));
        }
        Ok(if wanted.kind == Kind::Symlink { Self::Link(held, made) } else { Self::Node(held) })
    }

    /// What it is now.
    pub(super) fn stat(&self) -> nix::Result<Stat> {
        stat_of_held(self.fd())
    }

    pub(super) fn set_owner(&self, user: Option<Uid>, group: Option<Gid>) -> nix::Result<()> {
        fchownat(self.fd(), "", user, group, AtFlags::AT_EMPTY_PATH)
    }

    /// A link has no mode of its own.
    pub(super) fn set_mode(&self, mode: Mode) -> nix::Result<()> {
        match self {
            Self::Open(file) => fchmod(file, mode),
            Self::Node(held) => fchmodat(AT_FDCWD, &by_descriptor(held), mode, FchmodatFlags::FollowSymlink),
            Self::Link(..) => Ok(()),
        }
    }

    pub(super) fn set_times(&self, mtime: Time) -> nix::Result<()> {
        let time = TimeSpec::new(mtime.seconds as _, mtime.nanoseconds as _);
        match self {
            Self::Open(file) => futimens(file, &time, &time),
            Self::Node(held) => utimensat(AT_FDCWD, &by_descriptor(held), &time, &time, UtimensatFlags::FollowSymlink),
            Self::Link(_, made) => {
                let (directory, name) = made.place();
                utimensat(directory, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            }
        }
    }

    pub(super) fn set_xattr(&self, name: &OsStr, value: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(file) => file.set_xattr(name, value),
            Self::Node(held) => xattr::set_deref(by_descriptor(held), name, value),
            Self::Link(_, made) => xattr::set(made.proc_path(), name, value),
        }
    }

    /// Whether it has an ACL of that name; a link has none.
    pub(super) fn has_xattr(&self, name: &str) -> io::Result<bool> {
        let value = match self {
            Self::Open(file) => file.get_xattr(name),
            Self::Node(held) => xattr::get_deref(by_descriptor(held), name),
            Self::Link(..) => return Ok(false),
        };
        value.map(|value| value.is_some())
    }

    /// A link has no ACL.
    pub(super) fn remove_xattr(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Open(file) => file.remove_xattr(name),
            Self::Node(held) => xattr::remove_deref(by_descriptor(held), name),
            Self::Link(..) => Ok(()),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Open(file) => file.as_fd(),
            Self::Node(held) | Self::Link(held, _) => held.as_fd(),
        }
    }
}

/// A path that leads to the inode that is held and to no other, for calls that take no descriptor of this kind.
fn by_descriptor(held: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(held.as_raw_fd().to_string())
}

/// Not fstat(): before Linux 3.6 that takes no O_PATH descriptor. The second flag means nothing here, but with the first alone some C
/// libraries call fstat() after all.
fn stat_of_held(held: BorrowedFd<'_>) -> nix::Result<Stat> {
    fstatat(held, "", AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| stat_of(&stat))
}
