//! Secrets of a section: in it, or in a file that it names. None is shown, whatever is wrong.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::ini::Entry;
use super::surroundings::Surroundings;
use super::values::Values;
use crate::fsutil;
use crate::limits::KEY_FILE_BYTES_MAX;

/// Where a section has a secret.
pub(super) enum Place<'v, 'a> {
    Here(&'v Entry<'a>),
    File(PathBuf),
    Elsewhere,
}

/// Where the secret `key` is, or the file `file_key` with it. Nothing if that is wrong.
pub(super) fn place<'v, 'a>(
    values: &'v Values<'a>,
    key: &'v str,
    file_key: &'v str,
    around: &Surroundings,
    findings: &mut Findings,
) -> Option<Place<'v, 'a>> {
    let file = values.path(file_key, around, findings);
    match (values.all(key).next(), values.has(file_key)) {
        (None, false) => Some(Place::Elsewhere),
        (None, true) => file.map(Place::File),
        (Some(entry), false) => Some(Place::Here(entry)),
        (Some(entry), true) => {
            both(entry, key, file_key, findings);
            None
        }
    }
}

/// One is too many.
pub(super) fn both(entry: &Entry<'_>, key: &str, file_key: &str, findings: &mut Findings) {
    let error = Error::new(ErrorKind::BadValue, format!("{key} and {file_key} are both there"));
    findings.wrong(entry.line, error.expected("one of them"));
}

/// A file with nothing but a secret, which is a `what`.
pub(super) fn read(file: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = fsutil::read_small(file, KEY_FILE_BYTES_MAX).map(Zeroizing::new);
    bytes.map_err(|error| {
        let found = format!("can't read the {what} in {}", file.display());
        Error::new(ErrorKind::Unreadable, found).with_source(error)
    })
}
