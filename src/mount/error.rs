//! Why backups can't be mounted, or one of them not be entered.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::catalog;
use crate::metafile;

/// Why backups can't be mounted, or one of them not be entered.
#[derive(Debug)]
pub enum Error {
    /// The backup, the target, the keys.
    Catalog(catalog::Error),
    /// More entries than numbers of inodes.
    Large,
    /// The directory, or the kernel.
    Mount(PathBuf, io::Error),
    /// The index of a backup.
    Spool(io::Error),
    /// An index is not what was written.
    SpoolDamaged,
    /// It was ended from outside.
    Stopped,
    /// It stays mounted, without anybody behind it.
    Unmount(PathBuf, io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Mount(_, error)
                if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Some("name an empty directory that is there")
            }
            Self::Mount(..) => Some(
                "the directory must be there, the kernel must know FUSE (`modprobe fuse`), and who is not root needs fusermount3 (package fuse3)",
            ),
            Self::Spool(_) => Some("set TMPDIR to a folder with some space"),
            Self::Unmount(..) => Some("`umount -l` takes it away"),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Large => f.write_str("it has more entries than can be mounted"),
            Self::Mount(path, _) => write!(f, "can't mount at {}", path.display()),
            Self::Spool(_) => f.write_str("can't use a temporary file"),
            Self::SpoolDamaged => f.write_str("a temporary file is not as it was written"),
            Self::Stopped => f.write_str("interrupted"),
            Self::Unmount(path, _) => write!(f, "can't unmount {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Catalog(error) => error.source(),
            Self::Mount(_, error) | Self::Spool(error) | Self::Unmount(_, error) => Some(error),
            _ => None,
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        Self::Catalog(error)
    }
}

impl From<metafile::Error> for Error {
    fn from(error: metafile::Error) -> Self {
        Self::Catalog(error.into())
    }
}
