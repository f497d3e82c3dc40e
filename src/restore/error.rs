//! Why an entry, or a whole restore, failed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::{catalog, metafile};

const READ_ONLY: &str = "what is restored to is mounted read-only; mount it read-write, or restore to another place";

/// Why an entry, or a whole restore, failed.
#[derive(Debug)]
pub enum Error {
    /// What ends a restore, with the path that it was at.
    At(String, Box<Self>),
    /// The backup, the target, the keys.
    Catalog(catalog::Error),
    /// What was restored is not what was backed up.
    Digest,
    /// The folder to restore to.
    Destination(&'static str, PathBuf, io::Error),
    /// Something is in its place, and the conflict rule is to stop.
    Exists(String),
    /// It was ended from outside.
    Interrupted,
    /// The local file system.
    Io(&'static str, io::Error),
    /// The contents were not backed up.
    NotInBackup(String),
    /// Something else than a directory is where one has to be, or a directory where a file has to be.
    OtherKind(&'static str),
}

impl Error {
    /// An error of a system call.
    pub(super) fn call(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Io(what, errno.into())
    }

    /// An error of the standard library.
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io(what, error)
    }

    /// An error with the folder to restore to.
    pub(super) fn destination(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Destination(what, path.into(), error)
    }

    /// With the path, unless it says it itself.
    pub(super) fn at(self, path: impl FnOnce() -> String) -> Self {
        match self {
            Self::Io(..) => Self::At(path(), Box::new(self)),
            other => other,
        }
    }

    /// Whether going on with the next entry makes no sense.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::At(..) | Self::Destination(..) | Self::Exists(_) | Self::Interrupted => true,
            Self::Io(_, error) => {
                use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
                matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            }
            // Each file would wait for its own time-outs.
            Self::Catalog(error) => error.is_unreachable(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::At(_, error) => error.hint(),
            Self::Catalog(error) => error.hint(),
            Self::Destination(_, _, error) => match error.kind() {
                io::ErrorKind::NotFound => Some("the folder above it must be there"),
                io::ErrorKind::NotADirectory => Some("name a folder with --to, in one that is there"),
                io::ErrorKind::PermissionDenied => Some("name a folder with --to where you may write"),
                io::ErrorKind::ReadOnlyFilesystem => Some(READ_ONLY),
                _ => None,
            },
            Self::Exists(_) => {
                Some("restore to an empty folder, or say what to do with --conflict skip|overwrite|update|identical")
            }
            Self::Io(_, error) if error.kind() == io::ErrorKind::StorageFull => {
                Some("free some space, then go on with --conflict identical")
            }
            Self::Io(_, error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Some(READ_ONLY),
            _ => None,
        }
    }

    /// Whether another key might do.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Catalog(error) if error.is_wrong_key())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(path, error) => write!(f, "{path}: {error}"),
            Self::Catalog(error) => error.fmt(f),
            Self::Destination(what, path, _) => write!(f, "{what} {}", path.display()),
            Self::Digest => f.write_str("what was restored is not what was backed up: its digest differs"),
            Self::Exists(path) => write!(f, "{path} is there already"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Io(what, _) => f.write_str(what),
            Self::NotInBackup(problem) => write!(f, "its contents are not in this backup: {problem}"),
            Self::OtherKind(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::At(_, error) => error.source(),
            Self::Catalog(error) => error.source(),
            Self::Destination(_, _, error) | Self::Io(_, error) => Some(error),
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
