//! Why a step could not be measured.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{db, seal, source, target};

/// Why a step could not be measured.
#[derive(Debug)]
pub enum Error {
    /// zstd would not.
    Compression(io::Error),
    /// The database that was made for it.
    Database(db::Error),
    /// Sealing.
    Seal(seal::Error),
    /// The source as a whole.
    Source(source::Error),
    /// The folder for temporary files.
    Spool(PathBuf, io::Error),
    /// The target.
    Target(target::Error),
}

impl Error {
    /// Whether nothing is wrong but that it was to end.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Target(error) if error.kind == target::ErrorKind::Stopped)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Source(_) => Some("is it mounted? see `path` of the source in the configuration"),
            Self::Spool(..) => Some("$TMPDIR names another folder for temporary files"),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression(_) => f.write_str("can't compress"),
            Self::Database(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Source(source) => write!(f, "can't read {}", source.path.display()),
            Self::Spool(path, _) => write!(f, "can't use {}", path.display()),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Compression(error) | Self::Spool(_, error) => Some(error),
            Self::Database(error) => error.source(),
            Self::Seal(error) => error.source(),
            Self::Source(error) => Some(&error.source),
            Self::Target(error) => error.source(),
        }
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}

impl From<seal::Error> for Error {
    fn from(error: seal::Error) -> Self {
        Self::Seal(error)
    }
}

impl From<source::Error> for Error {
    fn from(error: source::Error) -> Self {
        Self::Source(error)
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}
