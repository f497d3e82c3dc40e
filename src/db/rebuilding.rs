//! The other side of an import: an inventory as it is written, where the secret key is.
//!
//! Until all backups are read the length of a chunk is how much of its payload they use; then [`Rebuilding::measure`] puts the length of
//! the object in its place.

use rusqlite::params;

use super::inventory::TARGET;
use super::{Db, Error, StatCache};
use crate::blob::ChunkNo;
use crate::digest::{Key, Sha1};

/// Chunks that are found without a query: a walk in order meets the same ones again and again.
const SLOTS: usize = 1024;
/// Chunks that are measured together.
const TOGETHER: usize = 512;

/// An inventory being written.
#[derive(Debug)]
pub struct Rebuilding<'db> {
    db: &'db Db,
    identity: String,
    slots: Vec<Option<(Key, i64, u64)>>,
}

impl<'db> Rebuilding<'db> {
    /// Of the target with this id, in a new database.
    pub fn create(db: &'db Db, target_identity: &str) -> Result<Self, Error> {
        db.begin_run()?;
        db.remember_target(TARGET, target_identity)?;
        db.commit()?;
        Ok(Self { db, identity: target_identity.into(), slots: vec![None; SLOTS] })
    }

    /// The number of the chunk with this name, of whose payload so many bytes are used.
    pub fn chunk(&mut self, key: &Key, used: u64) -> Result<ChunkNo, Error> {
        let slot = usize::from(u16::from_le_bytes([key.0[0], key.0[1]])) % SLOTS;
        let found = match self.slots[slot].filter(|(cached, ..)| cached == key) {
            Some((_, id, known)) => (id, known),
            None => self.find(key)?,
        };
        let (id, known) = found;
        if used > known {
            self.db.size_chunk(id, key, i64::try_from(used).unwrap_or(i64::MAX))?;
        }
        self.slots[slot] = Some((*key, id, used.max(known)));
        Ok(ChunkNo(u64::try_from(id).unwrap_or(0)))
    }

    fn find(&self, key: &Key) -> Result<(i64, u64), Error> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)));
        let found = self.db.prepare("SELECT id, bytes FROM chunks WHERE key = ?1")?.row([&key.0[..]], read)?;
        found.map_or_else(|| Ok((self.db.add_chunk(key, 0)?, 0)), Ok)
    }

    /// Where it is to be written what is known of the files of the newest backup of a chain.
    pub fn hints(&self, root: &str, signer: &str, recipients_tag: &[u8; 16]) -> Result<StatCache<'db>, Error> {
        let source = self.db.source(root, signer, recipients_tag)?;
        Ok(StatCache::open(self.db, source))
    }

    /// Half a backup is none.
    pub fn undo(&mut self) -> Result<(), Error> {
        self.slots.fill(None);
        self.db.abandon_run()?;
        self.db.begin_run()
    }

    /// Asks, in the order of their names, how long each chunk is, and tells how much of its payload is used. One without a length is not there.
    pub fn measure<E: From<Error>>(
        &self,
        mut length: impl FnMut(&Key, u64) -> Result<Option<u64>, E>,
    ) -> Result<(), E> {
        let mut last = Vec::new();
        loop {
            let some = self.chunks_behind(&last)?;
            let Some((_, newest, _)) = some.last() else { return Ok(()) };
            last = newest.0.to_vec();
            for (id, key, used) in some {
                let length = length(&key, used)?.map(|length| i64::try_from(length).unwrap_or(i64::MAX));
                self.db.size_chunk(id, &key, length.unwrap_or(0))?;
                if length.is_some() {
                    let sql = "INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)";
                    self.db.execute(sql, params![self.identity, id])?;
                }
            }
        }
    }

    fn chunks_behind(&self, last: &[u8]) -> Result<Vec<(i64, Key, u64)>, Error> {
        let sql = "SELECT id, key, bytes FROM chunks WHERE key > ?1 ORDER BY key LIMIT ?2";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, Sha1(row.get(1)?), u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0)))
        };
        let mut statement = self.db.prepare(sql)?;
        let (mut rows, mut chunks) = (statement.rows(params![last, TOGETHER as i64])?, Vec::new());
        while let Some(chunk) = rows.next(read)? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}
