//! The object that tells targets apart: FORMAT.md section 2.

use super::error::{Error, ErrorKind};
use crate::digest::{hex, unhex};

/// Its name.
pub(crate) const ID_FILE: &str = "brackup-target.id";
/// The most that is read of it.
pub(crate) const ID_BYTES_MAX: u64 = 4096;
const HEAD: &str = "brackup target 1\nid: ";

/// A new id and the object that holds it.
pub(super) fn generate() -> Result<(String, String), Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Io, "no random numbers for the target's id"))?;
    let id = hex(&bytes);
    let text = format!("{HEAD}{id}\n");
    Ok((id, text))
}

/// The id in such an object.
pub(super) fn parse(bytes: &[u8], place: &str) -> Result<String, Error> {
    let text = String::from_utf8_lossy(bytes);
    let id = text.strip_prefix(HEAD).map(str::trim_end).filter(|id| unhex::<16>(id).is_some());
    id.map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, format!("{}/{ID_FILE} is malformed", place.trim_end_matches('/')))
    })
}

/// Holds what was found against what this box remembers. Nothing: it has none yet, and may be given one. `is_there`: the place itself is.
pub(super) fn check(
    found: Option<String>,
    expected: Option<&str>,
    place: &str,
    is_there: bool,
) -> Result<Option<String>, Error> {
    let other = |what: &str| Err(Error::new(ErrorKind::OtherTarget, format!("{place}: {what}")));
    match (found, expected) {
        (Some(found), Some(expected)) if found != expected => {
            other("the target has another id than the one this box has backed up to")
        }
        (None, Some(expected)) if is_there => other(&format!(
            "the target that this box has backed up to is not there, or only its {ID_FILE}, which had the lines `{}` and `id: {expected}`",
            HEAD.lines().next().unwrap_or_default()
        )),
        (None, Some(_)) => other("the target that this box has backed up to is not there"),
        (found, _) => Ok(found),
    }
}
