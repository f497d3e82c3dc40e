//! Why a run failed as a whole. What was stored before is used by the next run.

use std::fmt;
use std::path::PathBuf;

use crate::{db, seal, source, target};

/// Why a run failed.
#[derive(Debug)]
pub enum Error {
    /// The compressor.
    Compression(std::io::Error),
    /// The local database.
    Database(db::Error),
    /// Sealing, keys.
    Seal(seal::Error),
    /// The source as a whole.
    Source(source::Error),
    /// The spool directory.
    Spool(PathBuf, std::io::Error),
    /// The file beside the database in which stands what is about to be stored.
    State(std::io::Error),
    /// A thread of the line is gone without a word.
    Stopped,
    /// The target.
    Target(target::Error),
    /// A thread can't be started.
    Thread(std::io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Seal(error) => error.hint(),
            Self::Source(_) => Some("check `path` of the source: is it there, is it mounted, may this user read it?"),
            Self::Spool(..) => {
                Some("see [BOX] spool_dir in the configuration: it needs a writable folder on a disk with some space")
            }
            Self::State(_) => {
                Some("see [BOX] state_dir in the configuration: it needs a writable folder on a disk with some space")
            }
            Self::Compression(_) | Self::Stopped => None,
            Self::Target(error) => error.hint(),
            Self::Thread(_) => Some("the box is short of memory, or this user may not have more threads"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression(_) => f.write_str("a piece can't be compressed"),
            Self::Database(error) => error.fmt(f),
            Self::Seal(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Spool(path, _) => write!(f, "can't use the spool directory {}", path.display()),
            Self::State(_) => f.write_str("can't write down in state_dir what is about to be stored"),
            Self::Stopped => f.write_str("a part of the program ended unexpectedly"),
            Self::Target(error) => error.fmt(f),
            Self::Thread(_) => f.write_str("can't start a thread"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => error.source(),
            Self::Seal(error) => error.source(),
            Self::Source(error) => error.source(),
            Self::Compression(error) | Self::Spool(_, error) | Self::State(error) | Self::Thread(error) => Some(error),
            Self::Stopped => None,
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
