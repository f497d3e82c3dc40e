//! The body of an object, forwards: payload bytes in, sealed segments out, one segment buffer.
//!
//! Nothing that was sealed is ever rewound: the counter only goes up, under a key that is this object's own.

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize as _;

use super::envelope::{Role, Suite, create};
use super::error::Error;
use super::key::Recipient;
use crate::blob::Sealed;
use crate::limits::{SEGMENT_BYTES, TAG_BYTES};

/// One object being sealed.
pub struct Sealing {
    key: LessSafeKey,
    segment: Vec<u8>,
    index: u64,
}

impl Sealing {
    /// Begins an object: its header goes to `out` at once.
    pub fn create<E: From<Error>>(
        suite: Suite,
        role: Role,
        recipients: &[Recipient],
        mut out: impl FnMut(Sealed<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (header, body_key) = create(suite, role, recipients)?;
        out(Sealed::by_the_envelope(&header))?;
        let key = UnboundKey::new(suite.algorithm(), &body_key[..]).map_err(|_| Error::Crypto("AEAD key"))?;
        Ok(Self { key: LessSafeKey::new(key), segment: Vec::with_capacity(SEGMENT_BYTES + TAG_BYTES), index: 0 })
    }

    /// Takes payload bytes; each segment goes to `out` when it is full and known not to be the last.
    pub fn write<E: From<Error>>(
        &mut self,
        mut bytes: &[u8],
        mut out: impl FnMut(Sealed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.segment.len() == SEGMENT_BYTES {
                self.seal(false, &mut out)?;
            }
            let room = SEGMENT_BYTES - self.segment.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.segment.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Takes `length` zero bytes: padding.
    pub fn pad<E: From<Error>>(
        &mut self,
        mut length: u64,
        mut out: impl FnMut(Sealed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while length > 0 {
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write(&ZEROS[..now], &mut out)?;
            length -= now as u64;
        }
        Ok(())
    }

    /// Ends the object with the segment that is marked as the last.
    pub fn finish<E: From<Error>>(mut self, out: impl FnMut(Sealed<'_>) -> Result<(), E>) -> Result<(), E> {
        self.seal(true, out)
    }

    fn seal<E: From<Error>>(&mut self, last: bool, mut out: impl FnMut(Sealed<'_>) -> Result<(), E>) -> Result<(), E> {
        let nonce = nonce(self.index, last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.segment)
            .map_err(|_| Error::Crypto("sealing a segment"))?;
        out(Sealed::by_the_envelope(&self.segment))?;
        self.segment.clear();
        self.index += 1;
        Ok(())
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.segment.zeroize();
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealing(segment {})", self.index)
    }
}

/// Counter of 11 bytes, then the flag: no two segments of an object share one, and a key is never used twice.
pub(super) fn nonce(index: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}
