//! How much of each chunk the newest backup of each chain uses, and the chunks of which that is too little: they are retired. Nothing new is
//! built on one, so that it goes when the last backup goes that needs it.

use rusqlite::params;

use super::chunks::{ChunkRow, StoredChunk, number};
use super::{Db, Error};
use crate::blob::ChunkNo;

/// Came after the others, as the jobs did. Row 0 of a chain says of which backup its rows are.
pub(super) const TABLES: &str =
    "CREATE TABLE IF NOT EXISTS uses(chain INTEGER, chunk INTEGER, bytes INTEGER NOT NULL, PRIMARY KEY(chain, chunk)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retired(target TEXT, chunk INTEGER, PRIMARY KEY(target, chunk)) WITHOUT ROWID;";
/// Of one backup, until it is whole: a night as any other then writes nothing.
const COUNTED: &str = "CREATE TEMP TABLE IF NOT EXISTS counted(chunk INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)";
const RECENT: usize = 1024;
/// Chunks that are retired in one night at most.
const RETIRED_MAX: usize = 4096;
/// Of what is smaller the seal itself is most, and it would be retired again and again.
const SEALED_BYTES_MIN: i64 = 16 * 1024;

/// Counts what one backup uses.
#[derive(Debug)]
pub(super) struct Uses<'db> {
    db: &'db Db,
    recent: Vec<(ChunkNo, u64)>,
}

impl<'db> Uses<'db> {
    pub(super) fn begin(db: &'db Db) -> Result<Self, Error> {
        db.execute_batch(COUNTED)?;
        db.execute("DELETE FROM counted", [])?;
        Ok(Self { db, recent: vec![(ChunkNo(0), 0); RECENT] })
    }

    /// So many bytes of this chunk.
    pub(super) fn add(&mut self, chunk: ChunkNo, bytes: u64) -> Result<(), Error> {
        let slot = (chunk.0 % RECENT as u64) as usize;
        if self.recent[slot].0 != chunk {
            self.write(slot)?;
            self.recent[slot].0 = chunk;
        }
        self.recent[slot].1 = self.recent[slot].1.saturating_add(bytes);
        Ok(())
    }

    fn write(&mut self, slot: usize) -> Result<(), Error> {
        let (chunk, bytes) = std::mem::replace(&mut self.recent[slot], (ChunkNo(0), 0));
        if bytes == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO counted(chunk, bytes) VALUES(?1, ?2) ON CONFLICT(chunk) DO UPDATE SET bytes = bytes + excluded.bytes";
        self.db.execute(sql, params![number(chunk), i64::try_from(bytes).unwrap_or(i64::MAX)])
    }

    /// All of it was counted: this is what the newest backup of the chain uses.
    pub(super) fn end(&mut self, chain: i64, sequence: i64) -> Result<(), Error> {
        for slot in 0..RECENT {
            self.write(slot)?;
        }
        let sql =
            "DELETE FROM uses WHERE chain = ?1 AND NOT EXISTS (SELECT 1 FROM counted WHERE counted.chunk = uses.chunk)";
        self.db.execute(sql, [chain])?;
        let sql = "INSERT OR REPLACE INTO uses(chain, chunk, bytes) SELECT ?1, chunk, bytes FROM counted WHERE NOT EXISTS (
                     SELECT 1 FROM uses WHERE uses.chain = ?1 AND uses.chunk = counted.chunk AND uses.bytes = counted.bytes)";
        self.db.execute(sql, [chain])?;
        self.db.execute("INSERT OR REPLACE INTO uses(chain, chunk, bytes) VALUES(?1, 0, ?2)", [chain, sequence])?;
        self.db.execute("DELETE FROM counted", [])
    }
}

impl Db {
    /// Whether it is known how much the backup of this number, the newest of its chain, uses of each chunk.
    pub fn is_counted(&self, target_identity: &str, root: &str, signer: &str, sequence: u64) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM uses JOIN chains ON chains.id = chain WHERE chunk = 0 AND bytes = ?4 AND target = ?1 AND root = ?2 AND signer = ?3";
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        Ok(self.prepare(sql)?.row(params![target_identity, root, signer, sequence], |_| Ok(()))?.is_some())
    }

    /// Bytes of retired chunks that the newest backups still use: what the next ones are to store anew.
    pub fn retired_and_used(&self, target_identity: &str) -> Result<u64, Error> {
        let sql = "SELECT ifnull(sum(uses.bytes), 0) FROM retired JOIN uses ON uses.chunk = retired.chunk JOIN chains ON chains.id = chain
                   WHERE retired.target = ?1 AND chains.target = ?1";
        let bytes = self.prepare(sql)?.row([target_identity], |row| row.get::<_, i64>(0))?;
        Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    /// Chunks of which the newest backups together use less than a share, though something, and how many bytes: the least used first. `present` ones
    /// only, and none that is retired.
    pub fn little_used(&self, target_identity: &str, percent: u8) -> Result<Vec<(StoredChunk, u64)>, Error> {
        let sql = "SELECT id, key, chunks.bytes, checksum, used FROM (
                     SELECT chunk, sum(uses.bytes) AS used FROM uses JOIN chains ON chains.id = chain
                     WHERE chains.target = ?1 AND chunk > 0 GROUP BY chunk) AS newest
                   JOIN chunks ON id = newest.chunk JOIN presence ON presence.target = ?1 AND presence.chunk = id
                   WHERE key IS NOT NULL AND used * 100 < chunks.bytes * ?2 AND chunks.bytes >= ?4
                     AND NOT EXISTS (SELECT 1 FROM retired WHERE retired.target = ?1 AND retired.chunk = id)
                   ORDER BY used * 1000 / chunks.bytes, id LIMIT ?3";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(params![target_identity, percent, RETIRED_MAX as i64, SEALED_BYTES_MIN])?;
        let mut little = Vec::new();
        let read = |row: &rusqlite::Row<'_>| Ok((ChunkRow::read(row)?, row.get::<_, i64>(4)?));
        while let Some((row, used)) = rows.next(read)? {
            little.push((self.sound_chunk(&row)?, u64::try_from(used).unwrap_or(0)));
        }
        Ok(little)
    }

    /// From now on what lies in it is stored anew by a backup that meets it. Backups that need it are as they were.
    pub fn retire(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO retired(target, chunk) VALUES(?1, ?2)";
        self.execute(sql, params![target_identity, number(chunk)])
    }
}
