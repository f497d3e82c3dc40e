//! `tls_ca` and `tls_pin`: which server is the right one.

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::surroundings::Surroundings;
use super::values::{Values, text};
use crate::provider::{Endpoint, Pin, Trust};

/// Both are of TLS: where there is none they would be a promise that nobody keeps.
pub(super) fn check(values: &Values<'_>, endpoint: &Endpoint, findings: &mut Findings) {
    for key in ["tls_ca", "tls_pin"] {
        if let Some(entry) = values.all(key).next().filter(|_| !endpoint.is_tls()) {
            let error = Error::new(ErrorKind::BadValue, format!("{key} is there, and {endpoint} has no TLS"));
            findings.wrong(entry.line, error.expected("https://, or neither tls_ca nor tls_pin"));
        }
    }
}

/// One of them or neither.
pub(super) fn read(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Trust {
    let file = values.path("tls_ca", around, findings);
    let pin = values.read("tls_pin", findings, |value| {
        Pin::parse(text(value)?).ok_or_else(|| "sha256// and the digest of the server's public key in base64".into())
    });
    match (file, pin) {
        (None, None) => Trust::System,
        (Some(file), None) => Trust::File(file),
        (None, Some(pin)) => Trust::Pin(pin),
        (Some(_), Some(_)) => {
            let line = values.all("tls_pin").next().map_or(0, |entry| entry.line);
            let error = Error::new(ErrorKind::BadValue, "tls_pin and tls_ca are both there");
            findings.wrong(line, error.expected("one of them: with a pin nothing else of a certificate counts"));
            Trust::System
        }
    }
}
