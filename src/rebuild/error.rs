//! Why no inventory came to be.

use std::fmt;

use crate::{catalog, db, target};

/// Why no inventory came to be.
#[derive(Debug)]
pub enum Error {
    /// A backup, or the listing.
    Catalog(catalog::Error),
    /// The inventory itself.
    Database(db::Error),
    /// It was ended from outside.
    Stopped,
    /// The target.
    Target(target::Error),
}

impl Error {
    /// Whether it is the backup that can't be read, and others may.
    pub fn is_of_one_backup(&self) -> bool {
        matches!(
            self,
            Self::Catalog(catalog::Error::Object { .. } | catalog::Error::Metafile(_) | catalog::Error::Contents(_))
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Database(_) => f.write_str("can't write the inventory"),
            Self::Stopped => f.write_str("interrupted"),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Catalog(error) => error.source(),
            Self::Database(error) => Some(error),
            Self::Target(error) => error.source(),
            Self::Stopped => None,
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
