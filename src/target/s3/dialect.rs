//! What a server that speaks S3 has turned out not to know. It says so at the first object, before a byte of it is kept.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Digest as _;

use super::answer::Refusal;
use crate::digest::Sha1;
use crate::target::error::Error;
use crate::target::upload::{Payload, read_through};

/// What is asked of a server until it says that it does not know it.
#[derive(Debug, Default)]
pub(super) struct Dialect {
    /// No checksums of AWS's: Backblaze B2.
    is_without_checksums: AtomicBool,
    /// No requests with a condition: Backblaze B2. Names are asked for first, wherever that matters.
    is_without_conditions: AtomicBool,
}

impl Dialect {
    /// Whether this refusal says something new of the server: then it is asked again, in other words.
    pub(super) fn learns(&self, refusal: &Refusal) -> bool {
        let names = |header: &str| refusal.message.to_ascii_lowercase().contains(header);
        match (refusal.status, refusal.code.as_str()) {
            (400 | 501, "InvalidArgument" | "InvalidRequest" | "NotImplemented") if names("x-amz-checksum") => {
                !self.is_without_checksums.swap(true, Ordering::Relaxed)
            }
            // A header that is not named is this one (B2, 2026), and if it was not, the other.
            (400, "InvalidArgument" | "InvalidRequest") if names("if-none-match") => {
                !self.is_without_conditions.swap(true, Ordering::Relaxed)
            }
            (501, "NotImplemented") => {
                !self.is_without_conditions.swap(true, Ordering::Relaxed)
                    || !self.is_without_checksums.swap(true, Ordering::Relaxed)
            }
            _ => false,
        }
    }

    /// That no object may have the name yet, where a server can be told.
    pub(super) fn condition(&self) -> Option<(&'static str, String)> {
        (!self.is_without_conditions.load(Ordering::Relaxed)).then(|| ("if-none-match", "*".into()))
    }

    /// Whether AWS's checksums may be asked for.
    pub(super) fn has_checksums(&self) -> bool {
        !self.is_without_checksums.load(Ordering::Relaxed)
    }

    /// What the server is to hold a body against, with which it stores nothing else. RFC 1864 is what the oldest of them know.
    pub(super) fn checksum(&self, body: Payload<'_>, sha1: Sha1, what: &str) -> Result<(&'static str, String), Error> {
        if self.has_checksums() {
            return Ok(("x-amz-checksum-sha1", BASE64.encode(sha1.0)));
        }
        let mut hasher = md5::Md5::new();
        read_through(&mut *body.reader(), |bytes| hasher.update(bytes))
            .map_err(|error| Error::io(format!("{what}: can't read the spool"), error))?;
        Ok(("content-md5", BASE64.encode(hasher.finalize())))
    }
}
