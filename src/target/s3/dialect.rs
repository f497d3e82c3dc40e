//! What a server that speaks S3 has turned out not to know. It says so at the first object, before a byte of it is kept.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::answer::Refusal;
use super::client::Ask;
use crate::digest::Sha1;
use crate::target::error::Error;
use crate::target::upload::Payload;

const CONDITION: &str = "if-none-match";
/// What headers of checksums begin with.
const CHECKSUM: &str = "x-amz-checksum";
/// The one that is sent.
pub(super) const SHA1: &str = "x-amz-checksum-sha1";

/// What is asked of a server until it says that it does not know it.
#[derive(Debug, Default)]
pub(super) struct Dialect {
    /// No checksums of AWS's: Backblaze B2.
    is_without_checksums: AtomicBool,
    /// No requests with a condition: Backblaze B2. Names are asked for first, wherever that matters.
    is_without_conditions: AtomicBool,
}

impl Dialect {
    /// Whether this refusal says of something that was asked that the server does not know it: then it is asked again, in other words.
    /// What was not asked taught nothing, and what another thread has learned meanwhile counts for this request too.
    pub(super) fn learns(&self, ask: &Ask<'_>, refusal: &Refusal) -> bool {
        let names = |header: &str| refusal.message.to_ascii_lowercase().contains(header);
        let asked = |header: &str| ask.headers.iter().any(|(name, _)| name.starts_with(header));
        let (checksum, condition) = (asked(CHECKSUM), asked(CONDITION));
        let unknown = match (refusal.status, refusal.code.as_str()) {
            (400 | 501, "InvalidArgument" | "InvalidRequest" | "NotImplemented") if checksum && names(CHECKSUM) => {
                &self.is_without_checksums
            }
            (400 | 501, "InvalidArgument" | "InvalidRequest" | "NotImplemented") if condition && names(CONDITION) => {
                &self.is_without_conditions
            }
            // A header that is not named is the condition (B2, 2026), and if there was none, the other.
            (501, "NotImplemented") if condition => &self.is_without_conditions,
            (501, "NotImplemented") if checksum => &self.is_without_checksums,
            _ => return false,
        };
        unknown.store(true, Ordering::Relaxed);
        true
    }

    /// That no object may have the name yet, where a server can be told.
    pub(super) fn condition(&self) -> Option<(&'static str, String)> {
        (!self.is_without_conditions.load(Ordering::Relaxed)).then(|| (CONDITION, "*".into()))
    }

    /// Whether AWS's checksums may be asked for.
    pub(super) fn has_checksums(&self) -> bool {
        !self.is_without_checksums.load(Ordering::Relaxed)
    }

    /// What the server is to hold a body against, with which it stores nothing else. RFC 1864 is what the oldest of them know.
    /// `sha1`: if it is known.
    pub(super) fn checksum(
        &self,
        body: Payload<'_>,
        sha1: Option<Sha1>,
        what: &str,
    ) -> Result<(&'static str, String), Error> {
        Ok(match sha1 {
            _ if !self.has_checksums() => ("content-md5", BASE64.encode(body.digest::<md5::Md5>(what)?)),
            Some(sha1) => (SHA1, BASE64.encode(sha1.0)),
            None => (SHA1, BASE64.encode(body.digest::<sha1::Sha1>(what)?)),
        })
    }
}
