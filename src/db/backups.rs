//! Backups that this box made, the chain of their signatures, and the chunks that each needs: what gc, prune and verify
//! need to know without any secret key.

use rusqlite::{OptionalExtension as _, params};

use super::chunks::number;
use super::{Db, Error};
use crate::blob::ChunkNo;
use crate::digest::{Key, Sha1};

/// A backup being recorded: its refs are written as the metafile is, and count only when it is complete.
#[derive(Debug)]
pub struct Backup<'db> {
    db: &'db Db,
    id: i64,
    recent: Vec<Option<ChunkNo>>,
    chunks: u64,
}

/// The newest link of a chain of signed backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number.
    pub sequence: u64,
    /// The digest of its footer.
    pub footer: [u8; 32],
}

const RECENT: usize = 256;

impl<'db> Backup<'db> {
    /// Begins to record a backup.
    pub fn create(db: &'db Db, target_identity: &str, root: &str, signer: &str) -> Result<Self, Error> {
        let sql = "INSERT INTO backups(target, name, root, signer, sequence, footer, created, complete)
                   VALUES(?1, '', ?2, ?3, 0, x'', 0, 0)";
        db.execute(sql, params![target_identity, root, signer])?;
        Ok(Self { db, id: db.connection.last_insert_rowid(), recent: vec![None; RECENT], chunks: 0 })
    }

    /// The backup needs this chunk.
    pub fn refer(&mut self, chunk: ChunkNo) -> Result<(), Error> {
        let slot = (chunk.0 % RECENT as u64) as usize;
        if self.recent[slot] == Some(chunk) {
            return Ok(());
        }
        self.recent[slot] = Some(chunk);
        let sql = "INSERT OR IGNORE INTO refs(backup, chunk) VALUES(?1, ?2)";
        let mut statement = self.db.prepare(sql)?;
        let inserted = statement.execute(params![self.id, number(chunk)]).map_err(Error::query)?;
        self.chunks += inserted as u64;
        Ok(())
    }

    /// How many different chunks it needs.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Its metafile has been stored.
    pub fn finish(self, name: &str, created: i64, head: ChainHead, entries: u64, bytes: u64) -> Result<(), Error> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sql = "UPDATE backups SET name = ?2, created = ?3, sequence = ?4, footer = ?5, entries = ?6, bytes = ?7, complete = 1
                   WHERE id = ?1";
        let (sequence, entries, bytes) = (signed(head.sequence), signed(entries), signed(bytes));
        self.db.execute(sql, params![self.id, name, created, sequence, &head.footer[..], entries, bytes])
    }
}

impl Db {
    /// The newest backup of a root that this box remembers having signed and stored at a target.
    pub fn chain_head(&self, target_identity: &str, root: &str, signer: &str) -> Result<Option<ChainHead>, Error> {
        let sql =
            "SELECT sequence, footer FROM backups WHERE root = ?1 AND signer = ?2 AND target = ?3 AND complete = 1
                   ORDER BY sequence DESC LIMIT 1";
        let row: Option<(i64, [u8; 32])> = self
            .prepare(sql)?
            .query_row(params![root, signer, target_identity], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(Error::query)?;
        Ok(row.map(|(sequence, footer)| ChainHead { sequence: u64::try_from(sequence).unwrap_or(0), footer }))
    }

    /// Calls back with each chunk that backups of this box need at a target, sorted by key, once.
    pub fn each_needed(
        &self,
        target_identity: &str,
        mut each: impl FnMut(Key, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = "SELECT key, bytes FROM chunks WHERE key IS NOT NULL AND EXISTS (
                     SELECT 1 FROM refs JOIN backups ON backups.id = backup
                     WHERE chunk = chunks.id AND target = ?1 AND complete = 1) ORDER BY key";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params![target_identity]).map_err(Error::query)?;
        while let Some(row) = rows.next().map_err(Error::query)? {
            let key = Sha1(row.get(0).map_err(Error::query)?);
            let bytes: i64 = row.get(1).map_err(Error::query)?;
            each(key, u64::try_from(bytes).unwrap_or(0))?;
        }
        Ok(())
    }
}
