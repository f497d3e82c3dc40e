//! Why nothing is looked at, or repaired.

use std::fmt;

use crate::{catalog, db, target};

/// Why nothing, or no more, is looked at.
#[derive(Debug)]
pub enum Error {
    /// The listing, or a file that it lies in.
    Catalog(catalog::Error),
    /// The local database.
    Database(db::Error),
    /// More than a tenth of what this box has stored is not listed: nothing is repaired.
    Short {
        /// Chunks that are not.
        missing: u64,
        /// Of so many.
        all: u64,
    },
    /// It was ended from outside.
    Stopped,
    /// The target, or the one that good objects come from.
    Target(target::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint().map(Into::into),
            Self::Database(error) => error.hint().map(Into::into),
            Self::Short { missing, .. } => Some(format!(
                "is the disk whole, and is all of it there? if you know that they are gone, --force {missing}"
            )),
            Self::Stopped => None,
            Self::Target(error) => error.hint().map(Into::into),
        }
    }

    /// Whether the local database is damaged.
    pub(super) fn is_corruption(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_corruption())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Short { missing, all } => write!(
                f,
                "{missing} of the {all} chunks that this box has stored are not listed as they were stored: nothing is repaired"
            ),
            Self::Stopped => f.write_str("interrupted"),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Catalog(error) => error.source(),
            Self::Database(error) => error.source(),
            Self::Target(error) => error.source(),
            Self::Short { .. } | Self::Stopped => None,
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
