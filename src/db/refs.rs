//! Which chunks each backup needs: for a chunk, ranges of numbers in a chain of backups. A chunk that a thousand nights need is one row.
//!
//! A range may run over numbers of backups that are gone: only those that are there count.

use std::collections::BTreeMap;

use rusqlite::params;

use super::backups::signed;
use super::chunks::{ChunkRow, number};
use super::{Db, Error, Remembered};
use crate::blob::ChunkNo;
use crate::digest::Key;

const RECENT: usize = 256;

/// Writes down what one backup needs.
#[derive(Debug)]
pub(super) struct Refs<'db> {
    db: &'db Db,
    chain: i64,
    sequence: i64,
    /// The number of the backup before, 0 for none.
    before: i64,
    recent: Vec<Option<ChunkNo>>,
    digest: RefsDigest,
}

/// How many chunks a backup needs, and which: so that a row that has rotted is noticed before anything is deleted for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RefsDigest {
    pub(super) chunks: i64,
    pub(super) sum: i64,
}

impl RefsDigest {
    pub(super) fn add(&mut self, chunk: i64, times: i64) {
        self.chunks += times;
        self.sum = self.sum.wrapping_add(scrambled(chunk).wrapping_mul(times));
    }
}

impl<'db> Refs<'db> {
    pub(super) fn new(db: &'db Db, chain: i64, sequence: i64, before: i64) -> Self {
        Self { db, chain, sequence, before, recent: vec![None; RECENT], digest: RefsDigest::default() }
    }

    /// The backup needs this chunk.
    pub(super) fn add(&mut self, chunk: ChunkNo) -> Result<(), Error> {
        let slot = (chunk.0 % RECENT as u64) as usize;
        if self.recent[slot] == Some(chunk) {
            return Ok(());
        }
        self.recent[slot] = Some(chunk);
        let chunk = number(chunk);
        let newest = "SELECT first, last FROM refs WHERE chunk = ?1 AND chain = ?2 ORDER BY first DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        match self.db.prepare(newest)?.row(params![chunk, self.chain], read)? {
            Some((_, last)) if last >= self.sequence => return Ok(()),
            Some((first, last)) if self.before > 0 && last >= self.before => {
                let sql = "UPDATE refs SET last = ?4 WHERE chunk = ?1 AND chain = ?2 AND first = ?3";
                self.db.execute(sql, params![chunk, self.chain, first, self.sequence])?;
            }
            _ => {
                let sql = "INSERT INTO refs(chunk, chain, first, last) VALUES(?1, ?2, ?3, ?3)";
                self.db.execute(sql, params![chunk, self.chain, self.sequence])?;
            }
        }
        self.digest.add(chunk, 1);
        Ok(())
    }

    pub(super) fn digest(&self) -> RefsDigest {
        self.digest
    }
}

impl Db {
    /// Forgets that a backup was begun: what it alone needed, and where it made ranges longer. `before` is as it was then.
    pub(super) fn forget_refs(&self, chain: i64, sequence: i64, before: i64) -> Result<(), Error> {
        self.execute("DELETE FROM refs WHERE chain = ?1 AND first = ?2", params![chain, sequence])?;
        let sql = "UPDATE refs SET last = ?3 WHERE chain = ?1 AND last = ?2";
        self.execute(sql, params![chain, sequence, before])
    }

    /// Removes ranges in which no backup is any more.
    pub fn sweep_refs(&self) -> Result<(), Error> {
        let sql = "DELETE FROM refs WHERE NOT EXISTS (
                     SELECT 1 FROM backups WHERE backups.chain = refs.chain AND sequence BETWEEN first AND last)";
        self.execute(sql, [])
    }

    /// Calls back with each chunk that backups of this box need at a target, sorted by key, once.
    pub fn each_needed<E: From<Error>>(
        &self,
        target_identity: &str,
        mut each: impl FnMut(Key, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let present = self.present(target_identity)?;
        let sql = "SELECT id, key, bytes, checksum, chain, first, last FROM chunks INDEXED BY chunks_by_key
                   CROSS JOIN refs ON chunk = id WHERE key IS NOT NULL ORDER BY key, id";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([])?;
        let read = |row: &rusqlite::Row<'_>| Ok((ChunkRow::read(row)?, row.get(4)?, row.get(5)?, row.get(6)?));
        let mut told = None;
        while let Some((row, chain, first, last)) = rows.next(read)? {
            let stored = self.sound_chunk(&row)?;
            if present.has_any(chain, first, last) && told.replace(stored.chunk) != Some(stored.chunk) {
                each(stored.key, stored.bytes)?;
            }
        }
        Ok(())
    }

    /// Whether what each backup at a target needs is what it needed when it was made. If not, the database is damaged.
    pub fn check_refs(&self, target_identity: &str) -> Result<(), Error> {
        let present = self.present(target_identity)?;
        // What begins at a backup and what ends there; the sums along the chain are what each needs.
        let mut steps: BTreeMap<i64, Vec<RefsDigest>> = present
            .0
            .iter()
            .map(|(chain, sequences)| (*chain, vec![RefsDigest::default(); sequences.len() + 1]))
            .collect();
        let mut statement = self.prepare("SELECT chunk, chain, first, last FROM refs")?;
        let mut rows = statement.rows([])?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?, row.get(3)?));
        while let Some((chunk, chain, first, last)) = rows.next(read)? {
            let (Some(sequences), Some(steps)) = (present.0.get(&chain), steps.get_mut(&chain)) else { continue };
            steps[begin(sequences, first)].add(chunk, 1);
            steps[end(sequences, last).max(begin(sequences, first))].add(chunk, -1);
        }
        for (chain, sequences) in &present.0 {
            let mut there = RefsDigest::default();
            for (step, sequence) in steps[chain].iter().zip(sequences) {
                there.chunks += step.chunks;
                there.sum = there.sum.wrapping_add(step.sum);
                if self.refs_digest(*chain, *sequence)? != Some(there) {
                    return Err(self.rotten());
                }
            }
        }
        Ok(())
    }
}

/// Index of the first number that is not below `first`.
pub(super) fn begin(sequences: &[i64], first: i64) -> usize {
    sequences.partition_point(|sequence| *sequence < first)
}

/// Index behind the last number that is not above `last`.
pub(super) fn end(sequences: &[i64], last: i64) -> usize {
    sequences.partition_point(|sequence| *sequence <= last)
}

/// The numbers of the backups of a target that count: all that are not removed, pending ones too; in order, by chain.
#[derive(Debug)]
pub struct Present(pub(super) BTreeMap<i64, Vec<i64>>);

impl Present {
    /// These alone.
    pub fn of<'r>(backups: impl IntoIterator<Item = &'r Remembered>) -> Self {
        let mut sequences = BTreeMap::<i64, Vec<i64>>::new();
        for backup in backups {
            sequences.entry(backup.chain).or_default().push(signed(backup.link.sequence));
        }
        sequences.values_mut().for_each(|sequences| sequences.sort_unstable());
        Self(sequences)
    }

    /// The same of a range, if there is one.
    pub(super) fn has_any_of(&self, range: Option<(i64, i64, i64)>) -> bool {
        range.is_some_and(|(chain, first, last)| self.has_any(chain, first, last))
    }

    /// Whether there is one in a range of a chain.
    pub(super) fn has_any(&self, chain: i64, first: i64, last: i64) -> bool {
        self.0.get(&chain).is_some_and(|sequences| begin(sequences, first) < end(sequences, last))
    }
}

/// A range in three columns from this one on; none where an outer join found none.
pub(super) fn range(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<(i64, i64, i64)>> {
    let chain = row.get::<_, Option<i64>>(at)?;
    chain.map(|chain| Ok((chain, row.get(at + 1)?, row.get(at + 2)?))).transpose()
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): sums of what it gives are not those of neighbours.
fn scrambled(chunk: i64) -> i64 {
    let mut mixed = chunk as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as i64
}
