//! Backups and chunks that are at one target and come to be at another: what is needed of them, and that they are there too.

use rusqlite::params;

use super::backups::{SELECT, row_checksum, signed};
use super::chunks::{ChunkRow, StoredChunk, number};
use super::refs::{Present, range};
use super::{ChainHead, Db, Error, Remembered};
use crate::blob::ChunkNo;
use crate::digest::Key;

/// The numbers around one in a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbours {
    before: Option<i64>,
    after: Option<i64>,
}

impl Db {
    /// Calls back with each chunk of this box, wherever it is, sorted by key, and whether one of these backups needs it.
    pub fn each_known<E: From<Error>>(
        &self,
        wanted: &Present,
        mut each: impl FnMut(StoredChunk, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT id, key, bytes, checksum, chain, first, last FROM chunks INDEXED BY chunks_by_key
                   LEFT JOIN refs ON refs.chunk = id WHERE key IS NOT NULL ORDER BY key, id";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([])?;
        let read = |row: &rusqlite::Row<'_>| Ok((ChunkRow::read(row)?, range(row, 4)?));
        // A chunk comes once for each of its ranges.
        let mut known: Option<(StoredChunk, bool)> = None;
        while let Some((row, range)) = rows.next(read)? {
            let stored = self.sound_chunk(&row)?;
            let is_needed = wanted.has_any_of(range);
            match &mut known {
                Some((known, is_wanted)) if *known == stored => *is_wanted |= is_needed,
                _ => {
                    let before = known.replace((stored, is_needed));
                    before.map_or(Ok(()), |(stored, is_wanted)| each(stored, is_wanted))?;
                }
            }
        }
        known.map_or(Ok(()), |(stored, is_wanted)| each(stored, is_wanted))
    }

    /// Whether a backup needs a chunk.
    pub fn needs(&self, backup: &Remembered, key: &Key) -> Result<bool, Error> {
        let sql =
            "SELECT 1 FROM chunks JOIN refs ON chunk = id WHERE key = ?1 AND chain = ?2 AND ?3 BETWEEN first AND last";
        let sequence = signed(backup.link.sequence);
        Ok(self.prepare(sql)?.row(params![&key.0[..], backup.chain, sequence], |_| Ok(()))?.is_some())
    }

    /// A chunk of this box is at a target, which was seen just now. Should it have been about to be deleted there, it stays.
    pub fn is_there_too(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        self.unmark(target_identity, chunk)?;
        let sql = "INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)";
        self.execute(sql, params![target_identity, number(chunk)])
    }

    /// The metafile of a backup is about to be stored at another target: from now on the backup is pending there, and needs what it needs.
    /// Nothing if its number is that of another backup there.
    pub fn expect_copy(&self, backup: &Remembered, target_identity: &str) -> Result<Option<Remembered>, Error> {
        let sql = "SELECT root, signer FROM chains WHERE id = ?1";
        let chain = self.prepare(sql)?.row([backup.chain], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let (root, signer): (String, String) = chain.ok_or_else(|| self.rotten())?;
        let chain = self.chain(target_identity, &root, &signer)?;
        let sequence = signed(backup.link.sequence);
        if let Some(known) = self.remembered_as(chain, sequence)? {
            return Ok(Some(known).filter(|known| known.link == backup.link));
        }
        self.copy_refs(backup.chain, chain, sequence)?;
        let sql = "INSERT INTO backups(chain, sequence, name, footer, created, entries, bytes, chunks, sum, complete, checksum)
                   SELECT ?2, sequence, name, footer, created, entries, bytes, chunks, sum, 0, ?3 FROM backups WHERE id = ?1";
        let digest = self.refs_digest(backup.chain, sequence)?.ok_or_else(|| self.rotten())?;
        let checksum = row_checksum(chain, sequence, &backup.link, backup.created, digest);
        self.execute(sql, params![backup.id, chain, checksum])?;
        self.commit()?;
        self.remembered_as(chain, sequence)?.ok_or_else(|| self.rotten()).map(Some)
    }

    /// Whether a link of a chain is one of a target's too.
    pub fn remembers_link(&self, target_identity: &str, head: &ChainHead) -> Result<bool, Error> {
        let sql =
            "SELECT 1 FROM backups JOIN chains ON chains.id = chain WHERE name = ?2 AND target = ?1 AND footer = ?3";
        Ok(self.prepare(sql)?.row(params![target_identity, head.backup, &head.footer[..]], |_| Ok(()))?.is_some())
    }

    /// What a backup of one chain needs, for another chain.
    fn copy_refs(&self, from: i64, to: i64, sequence: i64) -> Result<(), Error> {
        let near = self.make_room(to, sequence)?;
        if let (Some(before), None) = (near.before, near.after) {
            let sql = "UPDATE refs SET last = ?3 WHERE chain = ?2 AND last = ?4 AND EXISTS (
                         SELECT 1 FROM refs AS of WHERE of.chunk = refs.chunk AND of.chain = ?1 AND ?3 BETWEEN of.first AND of.last)";
            self.execute(sql, [from, to, sequence, before])?;
        }
        let sql = "INSERT INTO refs(chunk, chain, first, last) SELECT chunk, ?2, ?3, ?3 FROM refs AS of
                   WHERE chain = ?1 AND ?3 BETWEEN first AND last AND NOT EXISTS (
                     SELECT 1 FROM refs AS there WHERE there.chunk = of.chunk AND there.chain = ?2 AND there.last = ?3)";
        self.execute(sql, [from, to, sequence])
    }

    /// Takes a number out of all ranges of a chain that run over it: no backup has it yet, and not all around it need the same as it.
    pub(super) fn make_room(&self, chain: i64, sequence: i64) -> Result<Neighbours, Error> {
        let near = self.neighbours(chain, sequence)?;
        if let Some(after) = near.after {
            let sql = "INSERT OR IGNORE INTO refs(chunk, chain, first, last) SELECT chunk, chain, ?3, last FROM refs
                       WHERE chain = ?1 AND first <= ?2 AND last >= ?3";
            self.execute(sql, [chain, sequence, after])?;
        }
        if let Some(before) = near.before {
            let sql = "UPDATE refs SET last = ?3 WHERE chain = ?1 AND first <= ?3 AND last >= ?2";
            self.execute(sql, [chain, sequence, before])?;
        }
        let sql = "DELETE FROM refs WHERE chain = ?1 AND first <= ?2 AND last >= ?2";
        self.execute(sql, [chain, sequence])?;
        Ok(near)
    }

    fn neighbours(&self, chain: i64, sequence: i64) -> Result<Neighbours, Error> {
        let sql = "SELECT (SELECT max(sequence) FROM backups WHERE chain = ?1 AND sequence < ?2),
                          (SELECT min(sequence) FROM backups WHERE chain = ?1 AND sequence > ?2)";
        let near = self
            .prepare(sql)?
            .row([chain, sequence], |row| Ok(Neighbours { before: row.get(0)?, after: row.get(1)? }))?;
        near.ok_or_else(|| self.rotten())
    }

    /// All keys that ever signed what this box remembers, at whatever target.
    pub fn known_signers(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.prepare("SELECT DISTINCT signer FROM chains")?;
        let (mut rows, mut signers) = (statement.rows([])?, Vec::new());
        while let Some(signer) = rows.next(|row| row.get(0))? {
            signers.push(signer);
        }
        Ok(signers)
    }

    /// The number of a chain, which need not have been there.
    pub(super) fn chain(&self, target_identity: &str, root: &str, signer: &str) -> Result<i64, Error> {
        let sql = "INSERT OR IGNORE INTO chains(target, root, signer) VALUES(?1, ?2, ?3)";
        self.execute(sql, [target_identity, root, signer])?;
        let sql = "SELECT id FROM chains WHERE target = ?1 AND root = ?2 AND signer = ?3";
        let chain = self.prepare(sql)?.row([target_identity, root, signer], |row| row.get(0))?;
        chain.ok_or_else(|| self.failed(rusqlite::Error::QueryReturnedNoRows))
    }

    /// The backup of this number in a chain, pending ones too.
    pub(super) fn remembered_as(&self, chain: i64, sequence: i64) -> Result<Option<Remembered>, Error> {
        let sql = format!("{SELECT} WHERE chain = ?1 AND sequence = ?2");
        Ok(self.all_remembered(&sql, params![chain, sequence])?.pop())
    }

    /// The id of a target under which something is cached of a source, and which has this link of a chain too: what is known there is of the same
    /// chunks.
    pub fn known_with(&self, name: &str, head: &ChainHead) -> Result<Option<String>, Error> {
        for identity in self.known_under(name)? {
            if self.remembers_link(&identity, head)? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }

    /// The ids of targets under which something is cached of a source.
    pub fn known_under(&self, name: &str) -> Result<Vec<String>, Error> {
        let sql = "SELECT target FROM sources WHERE name = ?1 AND target IN (SELECT identity FROM targets)
                   AND EXISTS (SELECT 1 FROM files WHERE source = sources.id) ORDER BY id DESC";
        let mut statement = self.prepare(sql)?;
        let (mut rows, mut under) = (statement.rows([name])?, Vec::new());
        while let Some(identity) = rows.next(|row| row.get(0))? {
            under.push(identity);
        }
        Ok(under)
    }
}
