//! Why a request is refused: a status for programs, words for people.

use hyper::StatusCode;

use crate::target::{self, ErrorKind};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) words: String,
    /// What the owner of this box is told beside it: an error with paths of this box.
    pub(super) inside: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), inside: None }
    }

    /// Of the folder or its disk.
    pub(super) fn of(error: &target::Error) -> Self {
        let (status, words) = match error.kind {
            ErrorKind::Exists => (StatusCode::PRECONDITION_FAILED, "it is there already"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "there is no such object"),
            ErrorKind::Full => (StatusCode::INSUFFICIENT_STORAGE, "the disk is full"),
            ErrorKind::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, "the folder of this host is not there"),
            ErrorKind::Denied => (StatusCode::SERVICE_UNAVAILABLE, "the folder of this host can't be written to"),
            ErrorKind::Corrupt => (StatusCode::UNPROCESSABLE_ENTITY, "it is no id of a target"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "the disk fails"),
        };
        let is_ours = !matches!(error.kind, ErrorKind::Exists | ErrorKind::NotFound | ErrorKind::Corrupt);
        let inside = is_ours.then(|| crate::monitor::one_line(error));
        Self { status, words: words.into(), inside }
    }
}

impl From<target::Error> for Refusal {
    fn from(error: target::Error) -> Self {
        Self::of(&error)
    }
}
