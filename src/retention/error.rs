//! Why backups can't be removed.

use std::fmt;

use crate::{db, target};

/// Why backups can't be removed. What is wrong with single ones goes to the tally.
#[derive(Debug)]
pub enum Error {
    /// The local database.
    Database(db::Error),
    /// The target.
    Target(target::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.hint(),
            Self::Target(error) => error.hint(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => error.source(),
            Self::Target(error) => error.source(),
        }
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
