//! Known pieces: keyed digest to the items that hold it.
//!
//! Digests are random, so each row lies on another page. New ones are gathered and written as sorted batches behind each
//! other (`fresh`), and batches are merged into the large table in one sweep over its pages. A filter of
//! fixed size answers "surely new" without any query; it is filled only when a run asks often enough to pay for the scan.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::params;

use super::statement::blob;
use super::{Db, Error, checksum};
use crate::digest::PieceDigest;

/// New pieces that are gathered in memory.
const BATCH_ROWS: usize = 2048;
/// Batches that a look-up goes through at most.
const BATCHES: i64 = 32;
/// Look-ups without a filter: below this the scan that fills it would cost more than it saves.
const LOOKUPS_WITHOUT_FILTER: u32 = 2048;
const FILTER_BYTES: usize = 512 * 1024;

/// The known pieces of a box.
pub struct Blobs<'db> {
    db: &'db Db,
    batch: BTreeMap<PieceDigest, Range<usize>>,
    items: Vec<u8>,
    filter: Option<Filter>,
    lookups: u32,
    first_batch: i64,
    next_batch: i64,
}

impl<'db> Blobs<'db> {
    /// As the last run left them.
    pub fn open(db: &'db Db) -> Result<Self, Error> {
        let first_batch = db.number("SELECT ifnull(min(batch), 0) FROM fresh")?;
        let next_batch = db.number("SELECT ifnull(max(batch) + 1, 0) FROM fresh")?;
        let is_empty = next_batch == 0 && db.number("SELECT count(*) FROM (SELECT 1 FROM blobs LIMIT 1)")? == 0;
        let filter = is_empty.then(Filter::new);
        let (batch, items) = (BTreeMap::new(), Vec::new());
        Ok(Self { db, batch, items, filter, lookups: 0, first_batch, next_batch })
    }

    /// The items of a piece if it is known, in the form of [`crate::entry::read_items`]. Whether their chunks are there is not said here.
    pub fn look_up(&mut self, digest: &PieceDigest) -> Result<Option<Vec<u8>>, Error> {
        if self.filter.is_none() {
            self.lookups += 1;
            if self.lookups > LOOKUPS_WITHOUT_FILTER {
                self.fill_filter()?;
            }
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.may_have(digest)) {
            return Ok(None);
        }
        if let Some(range) = self.batch.get(digest) {
            return Ok(checksum::open(&[&digest.0], &self.items[range.clone()]).map(<[u8]>::to_vec));
        }
        for batch in (self.first_batch..self.next_batch).rev() {
            let sql = "SELECT items FROM fresh WHERE batch = ?1 AND digest = ?2";
            if let Some(items) = self.query(sql, params![batch, &digest.0[..]], digest)? {
                return Ok(Some(items));
            }
        }
        self.query("SELECT items FROM blobs WHERE digest = ?1", params![&digest.0[..]], digest)
    }

    /// Remembers a piece.
    pub fn insert(&mut self, digest: &PieceDigest, items: &[u8]) -> Result<(), Error> {
        let start = self.items.len();
        checksum::seal(&[&digest.0], items, &mut self.items);
        self.batch.insert(*digest, start..self.items.len());
        if let Some(filter) = &mut self.filter {
            filter.insert(digest);
        }
        if self.batch.len() >= BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is pending, so that a commit takes it in.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO fresh(batch, digest, items) VALUES(?1, ?2, ?3)";
        let mut insert = self.db.prepare(sql)?;
        for (digest, range) in std::mem::take(&mut self.batch) {
            insert.execute(params![self.next_batch, &digest.0[..], &self.items[range]])?;
        }
        drop(insert);
        self.items.clear();
        self.next_batch += 1;
        if self.next_batch - self.first_batch >= BATCHES { self.merge() } else { Ok(()) }
    }

    /// Ends a run: few enough batches stay as they are.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()
    }

    /// Moves all batches into the large table, in the order of its pages: a 256th of them at a time, so that what is sorted is small.
    fn merge(&mut self) -> Result<(), Error> {
        let range = "SELECT digest, items FROM fresh WHERE batch = ?1 AND digest >= ?2 AND digest < ?3";
        let mut select = self.db.prepare(range)?;
        let sql = "INSERT OR REPLACE INTO blobs(digest, items) VALUES(?1, ?2)";
        let mut insert = self.db.prepare(sql)?;
        for first in 0..=255_u8 {
            let from = vec![first];
            let to = first.checked_add(1).map_or_else(|| vec![255; 21], |next| vec![next]);
            let mut part = BTreeMap::<Vec<u8>, Vec<u8>>::new();
            for batch in self.first_batch..self.next_batch {
                let mut rows = select.rows(params![batch, from, to])?;
                while let Some((digest, items)) = rows.next(|row| Ok((row.get(0)?, row.get(1)?)))? {
                    part.insert(digest, items);
                }
            }
            for (digest, items) in &part {
                insert.execute(params![digest, items])?;
            }
        }
        self.first_batch = self.next_batch;
        self.db.execute("DELETE FROM fresh", [])
    }

    fn fill_filter(&mut self) -> Result<(), Error> {
        let mut filter = Filter::new();
        for sql in ["SELECT digest FROM blobs", "SELECT digest FROM fresh"] {
            let mut statement = self.db.prepare(sql)?;
            let mut rows = statement.rows([])?;
            let mut insert = |row: &rusqlite::Row<'_>| {
                if let Ok(digest) = blob(row, 0)?.try_into() {
                    filter.insert(&PieceDigest(digest));
                }
                Ok(())
            };
            while rows.next(&mut insert)?.is_some() {}
        }
        self.batch.keys().for_each(|digest| filter.insert(digest));
        self.filter = Some(filter);
        Ok(())
    }

    /// A row that has rotted is none: the piece is stored anew.
    fn query(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        digest: &PieceDigest,
    ) -> Result<Option<Vec<u8>>, Error> {
        let read = |row: &rusqlite::Row<'_>| Ok(checksum::open(&[&digest.0], blob(row, 0)?).map(<[u8]>::to_vec));
        Ok(self.db.prepare(sql)?.row(parameters, read)?.flatten())
    }
}

impl std::fmt::Debug for Blobs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blobs({} pending)", self.batch.len())
    }
}

/// A Bloom filter of 4 million bits, four a digest: at half a million pieces one "maybe" in fifty is wrong and costs a few queries.
struct Filter(Vec<u8>);

impl Filter {
    fn new() -> Self {
        Self(vec![0; FILTER_BYTES])
    }

    fn insert(&mut self, digest: &PieceDigest) {
        for (byte, bit) in Self::bits(digest) {
            self.0[byte] |= bit;
        }
    }

    fn may_have(&self, digest: &PieceDigest) -> bool {
        Self::bits(digest).all(|(byte, bit)| self.0[byte] & bit != 0)
    }

    /// The digest is random already: its bytes are the hash functions.
    fn bits(digest: &PieceDigest) -> impl Iterator<Item = (usize, u8)> {
        digest.0[..16].chunks_exact(4).map(|four| {
            let number = four.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
            ((number >> 3) % FILTER_BYTES, 1 << (number & 7))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> PieceDigest {
        crate::digest::PieceKey::derive(&[7; 32], "t", &[]).digest(&number.to_le_bytes())
    }

    #[test]
    fn every_piece_is_found_again_through_batches_merges_and_runs() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        let count = (BATCH_ROWS as u32) * 18 + 100;
        let mut blobs = Blobs::open(&db).unwrap();
        for number in 0..count {
            assert_eq!(blobs.look_up(&digest(number)).unwrap(), None);
            blobs.insert(&digest(number), &number.to_le_bytes()).unwrap();
        }
        for number in (0..count).step_by(997) {
            assert_eq!(blobs.look_up(&digest(number)).unwrap(), Some(number.to_le_bytes().to_vec()));
        }
        blobs.finish().unwrap();
        let mut blobs = Blobs::open(&db).unwrap();
        // More look-ups than go without a filter, known and unknown ones.
        for number in (0..count + 5000).step_by(13) {
            let known = (number < count).then(|| number.to_le_bytes().to_vec());
            assert_eq!(blobs.look_up(&digest(number)).unwrap(), known, "{number}");
        }
    }
}
