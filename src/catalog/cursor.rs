//! The chunks of a listing beside something else that is sorted by key: which of them it asks for, and which it passes over.

use super::Error;
use super::listing::{Chunks, Listing};
use crate::digest::Key;

/// One chunk of a listing after the other. Keys are asked for in ascending order.
#[derive(Debug)]
pub struct Cursor<'l> {
    chunks: Chunks<'l>,
    head: Option<(Key, u64)>,
    /// Whether the head was asked for.
    is_met: bool,
}

impl<'l> Cursor<'l> {
    /// Before the first.
    pub fn over(listing: &'l Listing) -> Result<Self, Error> {
        let mut chunks = listing.chunks();
        let head = chunks.next().transpose()?;
        Ok(Self { chunks, head, is_met: false })
    }

    /// The next chunk before this key, or before the end, that nobody asked for, with its length.
    pub fn passed(&mut self, until: Option<&Key>) -> Result<Option<(Key, u64)>, Error> {
        while let Some(head) = self.head.filter(|(head, _)| until.is_none_or(|until| head.0 < until.0)) {
            let is_met = self.is_met;
            (self.head, self.is_met) = (self.chunks.next().transpose()?, false);
            if !is_met {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The length of a chunk, if the listing has it. What lies before it is passed over.
    pub fn at(&mut self, key: &Key) -> Result<Option<u64>, Error> {
        while self.passed(Some(key))?.is_some() {}
        let found = self.head.filter(|(head, _)| head == key).map(|(_, bytes)| bytes);
        self.is_met |= found.is_some();
        Ok(found)
    }
}
