//! Chunks that no backup needs: since when that is so, and which of them are being deleted.
//!
//! A chunk that goes leaves in steps, each durable before the next: its presence (from then on nothing is built on it), the object, its
//! rows. Cut off anywhere, the next run finds the ones that are going and goes on.

use rusqlite::params;

use super::chunks::{ChunkRow, StoredChunk, number};
use super::refs::{Present, range};
use super::{Db, Error};
use crate::blob::ChunkNo;

/// A chunk that this box has stored at a target, or has stored somewhere and believes to be nowhere: a name that nobody else could give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub stored: StoredChunk,
    /// Whether a backup needs it that is remembered at this target.
    pub is_needed: bool,
    /// Whether it is believed to be there.
    pub is_believed: bool,
    /// Since when it is known that none does, by the clock of the target: seconds since 1970.
    pub since: Option<i64>,
}

impl Db {
    /// Calls back with each chunk that this box has stored at a target, or that its backups there need, and with those of which it believes that
    /// no target has them any more, sorted by key.
    pub fn each_held<E: From<Error>>(
        &self,
        target_identity: &str,
        mut each: impl FnMut(Held) -> Result<(), E>,
    ) -> Result<(), E> {
        let present = self.present(target_identity)?;
        let sql = "SELECT id, key, bytes, checksum, since, chain, first, last, presence.chunk FROM chunks INDEXED BY chunks_by_key
                   LEFT JOIN presence ON presence.target = ?1 AND presence.chunk = id
                   LEFT JOIN candidates ON candidates.target = ?1 AND candidates.chunk = id LEFT JOIN refs ON refs.chunk = id
                   WHERE key IS NOT NULL AND (presence.chunk IS NOT NULL OR NOT EXISTS (
                     SELECT 1 FROM presence WHERE target IN (SELECT identity FROM targets) AND chunk = id) OR EXISTS (
                     SELECT 1 FROM refs JOIN chains ON chains.id = chain WHERE chunk = chunks.id AND target = ?1)) ORDER BY key, id";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([target_identity])?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok((ChunkRow::read(row)?, row.get(4)?, range(row, 5)?, row.get::<_, Option<i64>>(8)?.is_some()))
        };
        // A chunk comes once for each of its ranges.
        let mut held: Option<Held> = None;
        while let Some((row, since, range, is_believed)) = rows.next(read)? {
            let stored = self.sound_chunk(&row)?;
            let is_needed = present.has_any_of(range);
            match &mut held {
                Some(held) if held.stored == stored => held.is_needed |= is_needed,
                _ => {
                    held.replace(Held { stored, is_needed, is_believed, since }).map_or(Ok(()), &mut each)?;
                }
            }
        }
        held.map_or(Ok(()), each)
    }

    /// No backup needs it, since then by the clock of the target.
    pub fn mark(&self, target_identity: &str, chunk: ChunkNo, since: i64) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO candidates(target, chunk, since, is_going) VALUES(?1, ?2, ?3, 0)";
        self.execute(sql, params![target_identity, number(chunk), since])
    }

    /// It stays.
    pub fn unmark(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        self.execute("DELETE FROM candidates WHERE target = ?1 AND chunk = ?2", params![target_identity, number(chunk)])
    }

    /// Some of the chunks behind this one that are marked since then or longer, and are still not needed by the backups that are there.
    pub fn due(
        &self,
        target_identity: &str,
        present: &Present,
        until: i64,
        after: ChunkNo,
        most: usize,
    ) -> Result<Vec<StoredChunk>, Error> {
        let sql = "SELECT id, key, bytes, checksum FROM candidates JOIN chunks ON id = candidates.chunk
                   WHERE candidates.target = ?1 AND candidates.chunk > ?3 AND is_going = 0 AND since <= ?2
                   ORDER BY candidates.chunk LIMIT ?4";
        let due = self.all_going(sql, params![target_identity, until, number(after), most as i64])?;
        let mut ranges = self.prepare("SELECT chain, first, last FROM refs WHERE chunk = ?1")?;
        let mut going = Vec::new();
        for candidate in due {
            let (mut is_needed, mut rows) = (false, ranges.rows([number(candidate.chunk)])?);
            while let Some((chain, first, last)) =
                rows.next(|row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?)))?
            {
                is_needed |= present.has_any(chain, first, last);
            }
            if is_needed {
                // What was marked just now is looked at twice: nothing that is needed goes for one mistake.
                return Err(self.rotten());
            }
            going.push(candidate);
        }
        Ok(going)
    }

    /// How many are marked since then or longer, or going already, and their bytes; and since when the first of the others is.
    pub fn marked(&self, target_identity: &str, until: i64) -> Result<((u64, u64), Option<i64>), Error> {
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        let sql = "SELECT count(*), ifnull(sum(bytes), 0) FROM candidates JOIN chunks ON id = candidates.chunk
                   WHERE candidates.target = ?1 AND (is_going <> 0 OR since <= ?2)";
        let due = self
            .prepare(sql)?
            .row(params![target_identity, until], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?;
        let sql = "SELECT min(since) FROM candidates WHERE target = ?1 AND is_going = 0 AND since > ?2";
        let first = self.prepare(sql)?.row(params![target_identity, until], |row| row.get::<_, Option<i64>>(0))?;
        Ok((due.unwrap_or_default(), first.flatten()))
    }

    /// From now on nothing is built on it at this target.
    pub fn let_go(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        // 2: it was believed to be there and whole. One that was not, say because it is damaged, must not come to be so by this.
        let sql = "UPDATE candidates SET is_going = 1 + EXISTS (
                     SELECT 1 FROM presence WHERE presence.target = ?1 AND presence.chunk = ?2) WHERE target = ?1 AND chunk = ?2";
        self.execute(sql, params![target_identity, number(chunk)])?;
        self.forget_presence(target_identity, chunk)
    }

    /// It could not be deleted, and is as it was.
    pub fn take_back(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO presence(target, chunk)
                   SELECT target, chunk FROM candidates WHERE target = ?1 AND chunk = ?2 AND is_going = 2";
        self.execute(sql, params![target_identity, number(chunk)])?;
        let sql = "UPDATE candidates SET is_going = 0 WHERE target = ?1 AND chunk = ?2";
        self.execute(sql, params![target_identity, number(chunk)])
    }

    /// Chunks of which it is not known whether they are deleted: a run was cut off.
    pub fn going(&self, target_identity: &str) -> Result<Vec<StoredChunk>, Error> {
        let sql = "SELECT id, key, bytes, checksum FROM candidates JOIN chunks ON id = candidates.chunk
                   WHERE candidates.target = ?1 AND is_going <> 0";
        self.all_going(sql, [target_identity])
    }

    /// The object is deleted.
    pub fn gone(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        self.unmark(target_identity, chunk)?;
        let sql = "DELETE FROM retired WHERE target = ?1 AND chunk = ?2";
        self.execute(sql, params![target_identity, number(chunk)])?;
        // Its number is never used again: what names it counts for nothing.
        // Both tables have the target first: without it each look would go through all of them.
        let sql = "DELETE FROM chunks WHERE id = ?1
                   AND NOT EXISTS (SELECT 1 FROM presence WHERE target IN (SELECT identity FROM targets) AND chunk = ?1)
                   AND NOT EXISTS (SELECT 1 FROM candidates WHERE target IN (SELECT identity FROM targets) AND chunk = ?1)
                   AND NOT EXISTS (SELECT 1 FROM refs WHERE chunk = ?1)";
        self.execute(sql, [number(chunk)])
    }

    /// Whether a metafile of this name was seen to be another box's.
    pub fn is_stranger(&self, target_identity: &str, name: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM strangers WHERE target = ?1 AND name = ?2";
        Ok(self.prepare(sql)?.row([target_identity, name], |_| Ok(()))?.is_some())
    }

    /// It is another box's: an object never changes.
    pub fn remember_stranger(&self, target_identity: &str, name: &str) -> Result<(), Error> {
        self.execute("INSERT OR IGNORE INTO strangers(target, name) VALUES(?1, ?2)", [target_identity, name])
    }

    fn all_going(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<StoredChunk>, Error> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(parameters)?;
        let mut going = Vec::new();
        while let Some(row) = rows.next(ChunkRow::read)? {
            going.push(self.sound_chunk(&row)?);
        }
        Ok(going)
    }
}
