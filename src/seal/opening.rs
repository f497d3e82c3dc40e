//! The body of an object, backwards: any segment alone, or all of them in order.

use std::io::{self, Read};

use ring::aead::{Aad, LessSafeKey, UnboundKey};
use zeroize::Zeroize as _;

use super::envelope::{Header, Role, segments};
use super::error::Fault;
use super::key::Identity;
use super::sealing::nonce;
use crate::limits::{HEADER_BYTES_MAX, SEGMENT_BYTES, TAG_BYTES};

/// An object whose header has been opened: any of its segments can be.
pub struct Opening {
    key: LessSafeKey,
    header_bytes: u64,
    body_bytes: u64,
}

impl Opening {
    /// Opens the header of an object of `object_bytes` bytes that begins with `head`.
    pub fn open(head: &[u8], object_bytes: u64, role: Role, identities: &[Identity]) -> Result<Self, Fault> {
        let header = Header::parse(head)?;
        if header.role != role {
            return Err(Fault::Header);
        }
        let body_key = header.unwrap(identities)?;
        let key = UnboundKey::new(header.suite.algorithm(), &body_key[..]).map_err(|_| Fault::Header)?;
        let header_bytes = header.len() as u64;
        let body_bytes = object_bytes.checked_sub(header_bytes).ok_or(Fault::Damaged)?;
        let opening = Self { key: LessSafeKey::new(key), header_bytes, body_bytes };
        // A last segment shorter than a tag, or an empty one behind others, is no body.
        let sealed_segment = (SEGMENT_BYTES + TAG_BYTES) as u64;
        let rest = body_bytes % sealed_segment;
        let is_short = rest != 0 && rest <= TAG_BYTES as u64 && body_bytes != TAG_BYTES as u64;
        if body_bytes == 0 || is_short { Err(Fault::Damaged) } else { Ok(opening) }
    }

    /// Length of the payload, padding included.
    pub fn payload_bytes(&self) -> u64 {
        self.body_bytes - TAG_BYTES as u64 * self.segments()
    }

    /// Number of segments.
    pub fn segments(&self) -> u64 {
        self.body_bytes.div_ceil((SEGMENT_BYTES + TAG_BYTES) as u64)
    }

    /// Where the sealed bytes of a segment lie in the object: offset and length.
    pub fn place(&self, index: u64) -> (u64, usize) {
        let sealed_segment = (SEGMENT_BYTES + TAG_BYTES) as u64;
        let offset = index * sealed_segment;
        let length = self.body_bytes.saturating_sub(offset).min(sealed_segment);
        (self.header_bytes + offset, length as usize)
    }

    /// Opens the sealed bytes of segment `index` in place.
    pub fn segment<'b>(&self, index: u64, sealed: &'b mut [u8]) -> Result<&'b mut [u8], Fault> {
        let last = index + 1 == self.segments();
        self.key.open_in_place(nonce(index, last), Aad::empty(), sealed).map_err(|_| Fault::Damaged)
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opening({} segments)", self.segments())
    }
}

/// Reads the payload of a whole object in order, one segment at a time.
pub struct Opener<R> {
    opening: Opening,
    source: R,
    segment: Vec<u8>,
    opened: std::ops::Range<usize>,
    next: u64,
}

impl<R: Read> Opener<R> {
    /// Reads and opens the header of an object of exactly `object_bytes` bytes.
    pub fn open(mut source: R, object_bytes: u64, role: Role, identities: &[Identity]) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEADER_BYTES_MAX);
        source.by_ref().take(12).read_to_end(&mut head)?;
        if let Some(recipients) = head.get(10) {
            // As much as the header says, so that the body is left in the source.
            let rest = u64::from(*recipients).min(crate::limits::RECIPIENTS_MAX as u64) * 84 + 32;
            source.by_ref().take(rest).read_to_end(&mut head)?;
        }
        let opening = Opening::open(&head, object_bytes, role, identities).map_err(io::Error::other)?;
        debug_assert!(segments(opening.payload_bytes()) == opening.segments());
        Ok(Self { opening, source, segment: Vec::new(), opened: 0..0, next: 0 })
    }

    /// The source, for what lies behind the object, and to see that it is at its end.
    pub fn into_inner(mut self) -> R
    where
        R: Default,
    {
        std::mem::take(&mut self.source)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let (_, length) = self.opening.place(self.next);
        self.segment.resize(length, 0);
        self.source.read_exact(&mut self.segment).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other(Fault::Damaged),
            _ => error,
        })?;
        let opened = self.opening.segment(self.next, &mut self.segment).map_err(io::Error::other)?;
        self.opened = 0..opened.len();
        self.next += 1;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.opened.is_empty() && self.next < self.opening.segments() {
            self.next_segment()?;
        }
        let length = self.opened.len().min(into.len());
        let from = self.opened.start;
        into[..length].copy_from_slice(&self.segment[from..from + length]);
        self.opened.start += length;
        Ok(length)
    }
}

impl<R> Drop for Opener<R> {
    fn drop(&mut self) {
        self.segment.zeroize();
    }
}

impl<R> std::fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener(segment {} of {})", self.next, self.opening.segments())
    }
}
