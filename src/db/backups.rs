//! Backups that this box made, the chain of their signatures, and the chunks that each needs: what gc, prune and verify
//! need to know without any secret key.

use rusqlite::params;

use super::checksum::checksum;
use super::chunks::{number, row_checksum};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The name of the backup.
    pub backup: String,
    /// Its number.
    pub sequence: u64,
    /// The digest of its footer.
    pub footer: [u8; 32],
}

/// What this box remembers of one root at a target, by who signed.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The root.
    pub root: String,
    /// The public key of the box, as text.
    pub signer: String,
    /// Its newest link.
    pub head: ChainHead,
    /// Whether that is the newest backup of the root, and not one from before the box had another key.
    pub is_current: bool,
}

const RECENT: usize = 256;

impl<'db> Backup<'db> {
    /// Begins to record a backup.
    pub fn create(db: &'db Db, target_identity: &str, root: &str, signer: &str) -> Result<Self, Error> {
        let sql = "INSERT INTO backups(target, name, root, signer, sequence, footer, created, complete, checksum)
                   VALUES(?1, '', ?2, ?3, 0, x'', 0, 0, 0)";
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
        let inserted = self.db.prepare(sql)?.execute(params![self.id, number(chunk)])?;
        self.chunks += inserted as u64;
        Ok(())
    }

    /// How many different chunks it needs.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Its metafile has been stored.
    pub fn finish(self, created: i64, head: &ChainHead, entries: u64, bytes: u64) -> Result<(), Error> {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sql = "UPDATE backups SET name = ?2, created = ?3, sequence = ?4, footer = ?5, entries = ?6, bytes = ?7, complete = 1,
                   checksum = ?8 WHERE id = ?1";
        let (sequence, entries, bytes) = (signed(head.sequence), signed(entries), signed(bytes));
        let sum = head_checksum(sequence, &head.footer);
        self.db.execute(sql, params![self.id, head.backup, created, sequence, &head.footer[..], entries, bytes, sum])
    }
}

impl Db {
    /// The newest backup of a root that this box remembers having signed and stored at a target.
    pub fn chain_head(&self, target_identity: &str, root: &str, signer: &str) -> Result<Option<ChainHead>, Error> {
        let sql =
            "SELECT sequence, footer, checksum, name FROM backups WHERE root = ?1 AND signer = ?2 AND target = ?3 AND complete = 1
                   ORDER BY sequence DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, u32>(2)?, row.get(3)?))
        };
        let row = self.prepare(sql)?.row(params![root, signer, target_identity], read)?;
        if row.as_ref().is_some_and(|(sequence, footer, sum, _)| head_checksum(*sequence, footer) != *sum) {
            return Err(self.rotten());
        }
        Ok(row.map(|(sequence, footer, _, backup)| {
            let sequence = u64::try_from(sequence).unwrap_or(0);
            ChainHead { backup, sequence, footer }
        }))
    }

    /// The chains of all roots that this box has backed up to a target; there is one for each root and key of the box.
    pub fn chains(&self, target_identity: &str) -> Result<Vec<Chain>, Error> {
        let sql = "SELECT root, signer FROM backups WHERE target = ?1 AND complete = 1
                   GROUP BY root, signer ORDER BY root, max(id) DESC";
        let mut names: Vec<(String, String)> = Vec::new();
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(params![target_identity])?;
        while let Some(name) = rows.next(|row| Ok((row.get(0)?, row.get(1)?)))? {
            names.push(name);
        }
        let mut chains: Vec<Chain> = Vec::new();
        for (root, signer) in names {
            let Some(head) = self.chain_head(target_identity, &root, &signer)? else { continue };
            let is_current = chains.last().is_none_or(|newer| newer.root != root);
            chains.push(Chain { root, signer, head, is_current });
        }
        Ok(chains)
    }

    /// Calls back with each chunk that backups of this box need at a target, sorted by key, once.
    pub fn each_needed<E: From<Error>>(
        &self,
        target_identity: &str,
        mut each: impl FnMut(Key, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT id, key, bytes, checksum FROM chunks WHERE key IS NOT NULL AND EXISTS (
                     SELECT 1 FROM refs JOIN backups ON backups.id = backup
                     WHERE chunk = chunks.id AND target = ?1 AND complete = 1) ORDER BY key";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(params![target_identity])?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, Sha1(row.get(1)?), row.get::<_, i64>(2)?, row.get::<_, u32>(3)?))
        };
        while let Some((id, key, bytes, checksum)) = rows.next(read)? {
            if row_checksum(id, &key, bytes) != checksum {
                return Err(self.rotten().into());
            }
            each(key, u64::try_from(bytes).unwrap_or(0))?;
        }
        Ok(())
    }
}

fn head_checksum(sequence: i64, footer: &[u8; 32]) -> u32 {
    checksum(&[&sequence.to_le_bytes(), footer])
}
