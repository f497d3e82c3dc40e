//! Why somebody could not be told.

use std::fmt;

use crate::monitor::one_line;
use crate::target::ErrorKind;

/// What went wrong, in one line without secrets.
#[derive(Debug)]
pub struct Error {
    pub(super) what: String,
    pub(super) may_pass: bool,
}

impl Error {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), may_pass: false }
    }

    /// Whether another try may do better.
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

impl From<crate::config::Error> for Error {
    fn from(error: crate::config::Error) -> Self {
        Self::new(one_line(&error))
    }
}

impl From<crate::target::Error> for Error {
    fn from(error: crate::target::Error) -> Self {
        Self { what: one_line(&error), may_pass: error.kind == ErrorKind::Unreachable }
    }
}
