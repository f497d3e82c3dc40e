//! What is backed up: a tree walked in order without ever following a link out of it, or a block device as one image.
//!
//! Everything is opened relative to a directory that is held open, so that names can be as long and as deep as they like and a
//! link swapped in under way leads nowhere. Nothing here decides what is stored.

mod ahead;
mod mp3;
mod names;
mod owners;
mod read;
mod spool;
mod walk;

pub use ahead::WalkAhead;
pub use mp3::Seams;
pub use owners::Owners;
pub use read::{Contents, Span, XattrError, is_racy};
pub use walk::{Met, Walk, WalkOptions};

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::sys::stat::{FileStat, SFlag};

use crate::entry::{Kind, Stat, Time};

/// The source as a whole can't be read.
#[derive(Debug)]
pub struct Error {
    /// The root, or what lies below it.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't back up {}", self.path.display())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What stat() said, in our types, which are the same on every platform.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "the C types differ by platform"
)]
pub fn stat_of(stat: &FileStat) -> Stat {
    let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Symlink,
        SFlag::S_IFIFO => Kind::Fifo,
        SFlag::S_IFCHR => Kind::CharDevice,
        SFlag::S_IFBLK => Kind::BlockDevice,
        SFlag::S_IFSOCK => Kind::Socket,
        _ => Kind::File,
    };
    let size = if kind == Kind::File { stat.st_size as u64 } else { 0 };
    let is_node = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    let device = stat.st_rdev as u64;
    let node = (nix::sys::stat::major(device as _) as u32, nix::sys::stat::minor(device as _) as u32);
    Stat {
        kind,
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size,
        mtime: Time { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 },
        ctime: Time { seconds: stat.st_ctime as i64, nanoseconds: stat.st_ctime_nsec as u32 },
        mode: stat.st_mode as u32 & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        links: stat.st_nlink as u64,
        node: if is_node { node } else { (0, 0) },
        sparse: (stat.st_blocks as u64).saturating_mul(512) < size,
    }
}
