//! Why nothing, or no more, is deleted.

use std::fmt;

use crate::date::Utc;
use crate::{catalog, db, target};

/// How many backups are named.
const NAMED_MAX: usize = 3;

/// Why nothing, or no more, is deleted.
#[derive(Debug)]
pub enum Error {
    /// The listing, or a file that it lies in.
    Catalog(catalog::Error),
    /// The target's clock is not set.
    Clock(Utc),
    /// The local database.
    Database(db::Error),
    /// Backups of this box are there that it does not remember: nobody knows what they need.
    Forgotten(Vec<String>),
    /// Metafiles of roots of this box that it does not remember, and that nobody can tell whose they are.
    Unreadable(Vec<String>),
    /// More than a tenth of what this box has stored is not listed.
    Short {
        /// Chunks that are not.
        missing: u64,
        /// Of so many.
        all: u64,
    },
    /// It was ended from outside, before anything was deleted.
    Stopped,
    /// The target.
    Target(target::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint().map(Into::into),
            Self::Clock(_) => Some("wait until the clock of whoever keeps the target is set".into()),
            Self::Database(error) => error.hint().map(Into::into),
            Self::Forgotten(_) => Some(
                "it has lost its database since: nothing is deleted by a box that does not know what is needed (docs/RETENTION.md)".into(),
            ),
            Self::Unreadable(_) => Some(
                "`brackup fsck TARGET --repair` moves to quarantine what is no metafile at all, and with --from-target brings a good one; if none is left anywhere, restore with --accept-unsigned what of it still can be, and move it away from there by hand".into(),
            ),
            Self::Short { missing, .. } => {
                Some(format!("is the disk whole, and is all of it there? if you know that they are gone, --force {missing}"))
            }
            Self::Stopped => None,
            Self::Target(error) => error.hint().map(Into::into),
        }
    }
}

fn some(names: &[String]) -> String {
    let some = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX { some + ", …" } else { some }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Clock(now) => {
                write!(f, "the target's clock shows {now}, and was not set: nothing is marked or deleted")
            }
            Self::Database(error) => error.fmt(f),
            Self::Forgotten(names) => {
                let count = names.len();
                write!(f, "{count} of this box's backups are there that it does not remember: {}", some(names))
            }
            Self::Unreadable(names) => {
                write!(f, "{} metafiles are damaged and may be this box's: {}", names.len(), some(names))
            }
            Self::Short { missing, all } => {
                write!(
                    f,
                    "{missing} of the {all} chunks that this box has stored are not listed as they were stored: nothing is deleted"
                )
            }
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
            Self::Clock(_) | Self::Forgotten(_) | Self::Unreadable(_) | Self::Short { .. } | Self::Stopped => None,
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
