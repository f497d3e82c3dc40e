//! What can go wrong at a target, by what a caller can do about it.

use std::fmt;
use std::io;

/// What a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What is stored is not what was stored.
    Corrupt,
    /// No permission, read-only.
    Denied,
    /// A metafile of this name is there already.
    Exists,
    /// No space left, quota.
    Full,
    /// The object is surely not there.
    NotFound,
    /// The target has another id than the one that this box remembers, or none.
    OtherTarget,
    /// Whoever is there does not take us, or we don't take him: a login, a certificate, a host key, a clock.
    Refused,
    /// The run was told to stop.
    Stopped,
    /// Not there, not mounted, not answering.
    Unreachable,
    /// Anything else.
    Io,
}

/// Something went wrong at a target.
#[derive(Debug)]
pub struct Error {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What was tried, on what.
    pub what: String,
    /// What the system said.
    pub source: Option<io::Error>,
    /// What to do about it, where that is known better than by the kind.
    pub advice: Option<String>,
}

impl Error {
    /// An error of the system, with what was tried. One that a target's reader wrapped keeps its kind and its advice.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        if let Some(inner) = source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return Self { kind: inner.kind, what: what.into(), advice: inner.advice.clone(), source: Some(source) };
        }
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self { kind, what: what.into(), source: Some(source), advice: None }
    }

    /// An error that the system did not say.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None, advice: None }
    }

    /// Another kind than what the system said.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Whether it is of the way there, and says nothing of what was asked for.
    pub fn is_of_the_way(&self) -> bool {
        matches!(self.kind, ErrorKind::Refused | ErrorKind::Unreachable | ErrorKind::Stopped)
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        if self.advice.is_some() {
            return self.advice.as_deref();
        }
        Some(match self.kind {
            ErrorKind::Corrupt => {
                "a copy of the target has the right one; if there is none, remove it: a new id is made at the next backup under another name of the target"
            }
            ErrorKind::Denied => {
                "check the owner and the mode of the target's folder, and that it is not mounted read-only"
            }
            ErrorKind::Full => "free some space on the target; what was stored is used by the next run",
            ErrorKind::OtherTarget => {
                "is the right disk mounted? if the target was replaced on purpose, give it another name in the configuration; if only its brackup-target.id is gone, put that back"
            }
            ErrorKind::Unreachable => "is the disk mounted? is the path right?",
            ErrorKind::Exists => {
                "another box has taken this name: the next run takes the next one. Boxes that back up sources of one name to one place need a folder each"
            }
            ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Stopped | ErrorKind::Io => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
