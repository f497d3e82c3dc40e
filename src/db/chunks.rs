//! Chunks by number: which are stored, under which key, at which target. The one place that decides whether a row that
//! names a chunk counts (I2).

use rusqlite::params;

use super::checksum::checksum;
use super::{Db, Error};
use crate::blob::{ChunkNo, Item};
use crate::digest::{Key, Sha1};

/// Slots of the cache in front of the table: a walk in order meets the same chunks again and again.
const SLOTS: usize = 1024;

/// A chunk that the target has.
#[derive(Clone, Copy)]
struct Known {
    key: Key,
    is_retired: bool,
}

/// The chunks of a box as one target has them.
pub struct Chunks<'db> {
    db: &'db Db,
    target: String,
    slots: Vec<Option<(ChunkNo, Option<Known>)>>,
    /// Chunks from this number on are being made by this run: it ends only when they are stored.
    first_new: u64,
}

impl<'db> Chunks<'db> {
    /// As the target with this identity has them.
    pub fn open(db: &'db Db, target_identity: &str) -> Result<Self, Error> {
        let first_new = db.number("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'chunks'), 0) + 1")?;
        let first_new = u64::try_from(first_new).unwrap_or(1);
        Ok(Self { db, target: target_identity.into(), slots: vec![None; SLOTS], first_new })
    }

    /// A new chunk that is not stored yet. Its number was never used before.
    pub fn create(&mut self) -> Result<ChunkNo, Error> {
        self.db.execute("INSERT INTO chunks(key, bytes) VALUES(NULL, 0)", [])?;
        Ok(ChunkNo(u64::try_from(self.db.connection.last_insert_rowid()).unwrap_or(0)))
    }

    /// Its put has returned: from now on rows that name it count.
    pub fn stored(&mut self, chunk: ChunkNo, key: &Key, sealed_bytes: u64) -> Result<(), Error> {
        let number = number(chunk);
        let bytes = i64::try_from(sealed_bytes).unwrap_or(i64::MAX);
        let sql = "UPDATE chunks SET key = ?2, bytes = ?3, checksum = ?4 WHERE id = ?1";
        self.db.execute(sql, params![number, &key.0[..], bytes, row_checksum(number, key, bytes)])?;
        self.db
            .execute("INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)", params![self.target, number])?;
        self.slots[slot(chunk)] = Some((chunk, Some(Known { key: *key, is_retired: false })));
        Ok(())
    }

    /// Whether a piece that lies in this chunk need not be stored again.
    pub fn is_usable(&mut self, chunk: ChunkNo) -> Result<bool, Error> {
        Ok(self.is_new(chunk) || self.known(chunk)?.is_some_and(|known| !known.is_retired))
    }

    /// Whether all chunks that items name are usable.
    pub fn have(&mut self, items: &[Item<ChunkNo>]) -> Result<bool, Error> {
        for item in items {
            if let Item::Extent { chunk, .. } = item
                && !self.is_usable(*chunk)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the target has all chunks that items name, retired ones too.
    pub fn have_at_all(&mut self, items: &[Item<ChunkNo>]) -> Result<bool, Error> {
        for item in items {
            if let Item::Extent { chunk, .. } = item
                && !self.is_new(*chunk)
                && self.known(*chunk)?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this run made it.
    pub fn is_new(&self, chunk: ChunkNo) -> bool {
        chunk.0 >= self.first_new
    }

    /// The key of a chunk that this target has.
    pub fn key(&mut self, chunk: ChunkNo) -> Result<Option<Key>, Error> {
        Ok(self.known(chunk)?.map(|known| known.key))
    }

    fn known(&mut self, chunk: ChunkNo) -> Result<Option<Known>, Error> {
        if let Some((cached, known)) = self.slots[slot(chunk)]
            && cached == chunk
        {
            return Ok(known);
        }
        let sql = "SELECT key, bytes, checksum, since, retired.chunk FROM chunks JOIN presence ON presence.chunk = id
                   LEFT JOIN candidates ON candidates.target = ?2 AND candidates.chunk = id
                   LEFT JOIN retired ON retired.target = ?2 AND retired.chunk = id
                   WHERE id = ?1 AND presence.target = ?2 AND key IS NOT NULL";
        let read = |row: &rusqlite::Row<'_>| {
            let sealed = (Sha1(row.get(0)?), row.get::<_, i64>(1)?, row.get::<_, u32>(2)?);
            Ok((sealed, row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?.is_some()))
        };
        let row = self.db.prepare(sql)?.row(params![number(chunk), self.target], read)?;
        // Whoever uses it takes its mark: also a run that is not finished for weeks, and whose backup needs it in the end.
        if matches!(row, Some((_, Some(_), _))) {
            self.db.unmark(&self.target, chunk)?;
        }
        let row = row.map(|((key, bytes, sum), _, is_retired)| (Known { key, is_retired }, bytes, sum));
        // A row that has rotted names another chunk, or none: what lies in it is stored anew.
        let is_sound = |known: &Known, bytes, sum| row_checksum(number(chunk), &known.key, bytes) == sum;
        let known = row.filter(|(known, bytes, sum)| is_sound(known, *bytes, *sum)).map(|(known, ..)| known);
        self.slots[slot(chunk)] = Some((chunk, known));
        Ok(known)
    }
}

impl Db {
    /// Calls back with each chunk that a target is believed to have: number, key, sealed length.
    pub fn each_present<E: From<Error>>(
        &self,
        target_identity: &str,
        mut each: impl FnMut(ChunkNo, Key, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT id, key, bytes FROM presence JOIN chunks ON chunk = id WHERE target = ?1 AND key IS NOT NULL
                   ORDER BY chunk";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(params![target_identity])?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, Sha1(row.get(1)?), row.get::<_, i64>(2)?));
        while let Some((id, key, bytes)) = rows.next(read)? {
            each(ChunkNo(u64::try_from(id).unwrap_or(0)), key, u64::try_from(bytes).unwrap_or(0))?;
        }
        Ok(())
    }

    /// A target does not have a chunk any more.
    pub fn forget_presence(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        self.execute("DELETE FROM presence WHERE target = ?1 AND chunk = ?2", params![target_identity, number(chunk)])
    }

    /// A target has a chunk that it was once given: it has been read since, and is whole.
    pub fn believe(&self, target_identity: &str, chunk: ChunkNo) -> Result<(), Error> {
        self.unmark(target_identity, chunk)?;
        let sql = "INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)";
        self.execute(sql, params![target_identity, number(chunk)])
    }

    /// The sealed length of a chunk, of which an inventory did not know it.
    pub fn measured(&self, stored: &StoredChunk, sealed_bytes: u64) -> Result<(), Error> {
        self.size_chunk(number(stored.chunk), &stored.key, i64::try_from(sealed_bytes).unwrap_or(i64::MAX))
    }

    /// Whether this box has ever stored a chunk of this name, anywhere.
    pub fn knows_chunk(&self, key: &Key) -> Result<bool, Error> {
        Ok(self.prepare("SELECT 1 FROM chunks WHERE key = ?1")?.row([&key.0[..]], |_| Ok(()))?.is_some())
    }

    /// A chunk is not whole at a target: what lies in it is to be stored again.
    pub fn forget_chunk(&self, target_identity: &str, key: &Key) -> Result<(), Error> {
        let sql = "DELETE FROM presence WHERE target = ?1 AND chunk IN (SELECT id FROM chunks WHERE key = ?2)";
        self.execute(sql, params![target_identity, &key.0[..]])
    }
}

impl std::fmt::Debug for Chunks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunks(of {})", self.target)
    }
}

/// A chunk that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// Its number here.
    pub chunk: ChunkNo,
    /// Its name.
    pub key: Key,
    /// Its sealed length; 0 if it came with an inventory that did not know it.
    pub bytes: u64,
}

/// A chunk as its row says, which may have rotted.
pub(super) struct ChunkRow {
    id: i64,
    key: Key,
    bytes: i64,
    checksum: u32,
}

impl ChunkRow {
    /// Of a query whose first columns are id, key, bytes and checksum.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, key: Sha1(row.get(1)?), bytes: row.get(2)?, checksum: row.get(3)? })
    }
}

impl Db {
    /// What a row says, if it has not rotted.
    pub(super) fn sound_chunk(&self, row: &ChunkRow) -> Result<StoredChunk, Error> {
        if row_checksum(row.id, &row.key, row.bytes) != row.checksum {
            return Err(self.rotten());
        }
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(StoredChunk { chunk: ChunkNo(unsigned(row.id)), key: row.key, bytes: unsigned(row.bytes) })
    }
}

/// Of a row of a chunk that is stored.
pub(super) fn row_checksum(id: i64, key: &Key, bytes: i64) -> u32 {
    checksum(&[&id.to_le_bytes(), &key.0, &bytes.to_le_bytes()])
}

pub(super) fn number(chunk: ChunkNo) -> i64 {
    i64::try_from(chunk.0).unwrap_or(i64::MAX)
}

fn slot(chunk: ChunkNo) -> usize {
    (chunk.0 % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_counts_when_it_is_stored_and_for_its_target_only() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        let mut chunks = Chunks::open(&db, "one").unwrap();
        let (stored, lost) = (chunks.create().unwrap(), chunks.create().unwrap());
        chunks.stored(stored, &Sha1([1; 20]), 5).unwrap();
        assert!(chunks.is_usable(stored).unwrap() && chunks.is_usable(lost).unwrap());
        db.end_run().unwrap();

        db.begin_run().unwrap();
        let mut chunks = Chunks::open(&db, "one").unwrap();
        assert!(chunks.is_usable(stored).unwrap());
        assert!(!chunks.is_usable(lost).unwrap(), "a run that was cut off stored nothing under this number");
        assert!(!Chunks::open(&db, "two").unwrap().is_usable(stored).unwrap());
        let next = chunks.create().unwrap();
        assert!(next > lost, "a number is never used again");
    }
}
