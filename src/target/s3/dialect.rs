//! What a server that speaks S3 has turned out not to know. It says so at the first object, before a byte of it is kept.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::Ask;
use super::refusal::Refusal;
use crate::digest::Sha1Hasher;
use crate::target::error::{Error, ErrorKind};
use crate::target::stage::Finished;
use crate::target::upload::Payload;

const CONDITION: &str = "if-none-match";
/// What headers of checksums begin with.
const CHECKSUM: &str = "x-amz-checksum";
/// The one that is sent.
pub(super) const SHA1: &str = "x-amz-checksum-sha1";

/// What is asked of a server until it says that it does not know it.
#[derive(Debug, Default)]
pub(super) struct Dialect {
    /// No checksums of AWS's: Backblaze B2; or they are passed over, as by Garage 1.
    is_without_checksums: AtomicBool,
    /// No requests with a condition: Backblaze B2. Names are asked for first, wherever that matters.
    is_without_conditions: AtomicBool,
    /// No uploads in parts.
    is_without_parts: AtomicBool,
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

    /// Whether an object may go in parts.
    pub(super) fn has_parts(&self) -> bool {
        !self.is_without_parts.load(Ordering::Relaxed)
    }

    /// An upload in parts could not be begun: this refusal may say that the server knows none. Then it is not the checksum that it did not know.
    pub(super) fn may_have_no_parts(&self, refusal: &Refusal, had_checksums: bool) {
        if matches!(refusal.status, 405 | 501) {
            self.is_without_parts.store(true, Ordering::Relaxed);
            if had_checksums {
                self.is_without_checksums.store(false, Ordering::Relaxed);
            }
        }
    }

    /// What the server is to hold all of an object against, with which it stores nothing else: that it has been sealed so, and not what the spool
    /// says by now.
    pub(super) fn checksum(&self, finished: &Finished, what: &str) -> Result<(&'static str, String), Error> {
        if self.has_checksums() {
            return Ok((SHA1, BASE64.encode(finished.sha1().0)));
        }
        let mut read = Sha1Hasher::default();
        let checksum = self.checksum_of_part(Payload::of(finished), &mut read, what)?;
        is_as_sealed(finished, read, what)?;
        Ok(checksum)
    }

    /// The same for a part. RFC 1864 is what the oldest servers know. What is read goes into the digest of the whole.
    pub(super) fn checksum_of_part(
        &self,
        part: Payload<'_>,
        whole: &mut Sha1Hasher,
        what: &str,
    ) -> Result<(&'static str, String), Error> {
        let beside = &mut |bytes: &[u8]| whole.update(bytes);
        Ok(match self.has_checksums() {
            true => (SHA1, BASE64.encode(part.digest_beside::<sha1::Sha1>(what, beside)?)),
            false => ("content-md5", BASE64.encode(part.digest_beside::<md5::Md5>(what, beside)?)),
        })
    }

    /// An answer to a body that was stored says nothing of its checksum: it may not have been looked at. From now on another is sent, which all know.
    pub(super) fn says_nothing(&self) {
        self.is_without_checksums.store(true, Ordering::Relaxed);
    }
}

/// What was read in the spool is what was sealed.
pub(super) fn is_as_sealed(finished: &Finished, read: Sha1Hasher, what: &str) -> Result<(), Error> {
    if read.finish() == finished.sha1() {
        return Ok(());
    }
    let why = format!("{what}: the spool has other bytes than those that were written to it");
    Err(Error::new(ErrorKind::Corrupt, why).advise("is the disk of spool_dir failing, or the memory of this box?"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::target::spool::Spool;

    #[test]
    fn what_the_spool_has_lost_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let finished = Spool::in_folder(folder.path().into()).finished(b"some bytes").unwrap();
        let dialect = Dialect::default();
        dialect.says_nothing();
        assert_eq!(dialect.checksum(&finished, "x").unwrap().0, "content-md5");
        finished.file.write_all_at(b"S", 0).unwrap();
        assert_eq!(dialect.checksum(&finished, "x").unwrap_err().kind, ErrorKind::Corrupt);
        let mut whole = Sha1Hasher::default();
        let part = Payload::File { finished: &finished, offset: 0, length: 4 };
        dialect.checksum_of_part(part, &mut whole, "x").unwrap();
        let part = Payload::File { finished: &finished, offset: 4, length: 6 };
        dialect.checksum_of_part(part, &mut whole, "x").unwrap();
        assert!(is_as_sealed(&finished, whole, "x").is_err());
    }
}
