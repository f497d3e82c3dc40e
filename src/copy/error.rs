//! Why a copy ended.

use std::{fmt, io};

use crate::{catalog, db, target};

/// Why a copy as a whole failed. What is wrong with single objects goes to the tally.
#[derive(Debug)]
pub enum Error {
    /// What is read, or a file that a listing lies in.
    Catalog(catalog::Error),
    /// The local database.
    Database(db::Error),
    /// The target.
    Target(target::Error),
    /// A thread could not be started.
    Thread(io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Database(error) => error.hint(),
            Self::Target(error) => error.hint(),
            Self::Thread(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
            Self::Thread(_) => f.write_str("can't start a thread"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Catalog(error) => error.source(),
            Self::Database(error) => error.source(),
            Self::Target(error) => error.source(),
            Self::Thread(error) => Some(error),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        Self::Catalog(error)
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}
