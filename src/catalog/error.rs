//! Why something on a target can't be read.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::seal::Fault;
use crate::{metafile, target};

/// Why something on a target can't be read.
#[derive(Debug)]
pub enum Error {
    /// What was read is not what the metafile says.
    Contents(&'static str),
    /// The signer contradicts what is pinned.
    ForeignSigner {
        /// The backup.
        name: String,
        /// Who signed it.
        signer: String,
    },
    /// A metafile that is a file here.
    Local {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The documents of a metafile.
    Metafile(metafile::Error),
    /// No backup of that name.
    NoSuchBackup {
        /// As it was asked for.
        text: String,
        /// Where.
        place: String,
        /// What there is.
        there: String,
    },
    /// An object does not open.
    Object {
        /// Its name.
        name: String,
        /// Why.
        fault: Fault,
    },
    /// A local file to read a metafile from.
    Spool(io::Error),
    /// The target.
    Target(target::Error),
}

impl Error {
    /// Whether another key might do.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Object { fault: Fault::NoKey | Fault::WrongKey, .. })
    }

    /// Whether the target is gone, of which nothing follows for what is stored there.
    pub fn is_unreachable(&self) -> bool {
        use target::ErrorKind::{Refused, Unreachable};
        matches!(self, Self::Target(error) if matches!(error.kind, Refused | Unreachable))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::ForeignSigner { .. } => Some(
                "another box wrote it, or this one with a new key, or somebody who has the public key; if you know that box, add a line `box: ` and its public key to your copy of the secret key file (docs/RESTORE.md); only as the last resort, --accept-unsigned goes on all the same",
            ),
            Self::NoSuchBackup { .. } => Some("`brackup list TARGET` shows what is there"),
            Self::Object { fault: Fault::NoKey | Fault::WrongKey, .. } => {
                Some("give the secret key file of one of the recipients with --key or $BRACKUP_KEY")
            }
            Self::Object { fault: Fault::Signature, .. } => {
                Some("its signature can't be checked; if you must, --accept-unsigned goes on without")
            }
            Self::Object { name, fault: Fault::Commitment | Fault::Damaged | Fault::Header | Fault::NotBrackup }
                if name.ends_with(".meta") =>
            {
                Some("take the backup before it: `brackup list TARGET` shows them")
            }
            Self::Spool(_) => Some("set TMPDIR to a folder with some space"),
            Self::Target(error) => error.hint(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contents(what) => f.write_str(what),
            Self::ForeignSigner { name, signer } => {
                write!(f, "{name} is signed by {signer}, which is not a trusted box")
            }
            Self::Local { path, .. } => write!(f, "can't read {}", path.display()),
            Self::Metafile(error) => error.fmt(f),
            Self::NoSuchBackup { text, place, there } => write!(f, "no backup {text} at {place}; {there}"),
            Self::Object { name, fault } => write!(f, "{name} can't be used: {fault}"),
            Self::Spool(_) => f.write_str("can't use a temporary file"),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Metafile(error) => error.source(),
            Self::Local { source: error, .. } | Self::Spool(error) => Some(error),
            Self::Target(error) => error.source(),
            _ => None,
        }
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

impl From<metafile::Error> for Error {
    fn from(error: metafile::Error) -> Self {
        Self::Metafile(error)
    }
}
