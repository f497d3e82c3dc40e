//! The stat cache as a sorted stream that runs beside the walk: one range scan for all files of a source, no query a
//! file, no row written for an unchanged one. A row that the walk steps over is of a file that is gone.
//!
//! Keys are [`crate::relpath::RelPath::sort_key`]s and must be asked for in ascending order. A row has the record of its entry
//! (part 0) or more items of a file with very many (parts 1, 2 …).

use std::ops::Range;

use rusqlite::params;

use super::statement::blob;
use super::{Db, Error, checksum};

const READ_ROWS: usize = 512;
const READ_BYTES: usize = 64 * 1024;
const WRITE_ROWS: usize = 512;
const WRITE_BYTES: usize = 64 * 1024;

/// The cached rows of one source, in step with a walk.
pub struct StatCache<'db> {
    db: &'db Db,
    source: i64,
    rows: Rows,
    at: usize,
    is_read_out: bool,
    /// The key that was last asked for, and whether it has rows.
    current: Vec<u8>,
    has_rows: bool,
    writes: Writes,
}

impl<'db> StatCache<'db> {
    /// At the beginning of a source.
    pub fn open(db: &'db Db, source: i64) -> Self {
        Self {
            db,
            source,
            rows: Rows::default(),
            at: 0,
            is_read_out: false,
            current: Vec::new(),
            has_rows: false,
            writes: Writes::default(),
        }
    }

    /// Whether nothing is cached: everything will have to be read.
    pub fn is_empty(&mut self) -> Result<bool, Error> {
        Ok(!self.fill()?)
    }

    /// The record of the entry with this key. Rows before it are deleted.
    pub fn look_up(&mut self, key: &[u8]) -> Result<Option<&[u8]>, Error> {
        while self.fill()? && self.rows.key(self.at) < key {
            self.step_over()?;
        }
        self.current.clear();
        self.current.extend_from_slice(key);
        self.has_rows = self.fill()? && self.rows.key(self.at) == key;
        if self.has_rows && self.rows.part(self.at) == 0 {
            self.at += 1;
            return Ok(Some(self.rows.record(self.at - 1)));
        }
        Ok(None)
    }

    /// The next further row of the entry that was just looked up.
    pub fn next_part(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.fill()? && self.rows.key(self.at) == self.current {
            self.at += 1;
            // A part without items has rotted.
            return Ok(Some(self.rows.record(self.at - 1)).filter(|record| !record.is_empty()));
        }
        Ok(None)
    }

    /// Deletes what is cached of the entry that was just looked up: it has changed.
    pub fn forget(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.has_rows) {
            let key = std::mem::take(&mut self.current);
            self.writes.delete(&key);
            self.current = key;
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Adds a row, of an entry that was looked up.
    pub fn put(&mut self, key: &[u8], part: u32, record: &[u8]) -> Result<(), Error> {
        self.writes.put(key, part, record);
        self.flush_if_full()
    }

    /// Writes what is pending, so that a commit takes it in.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.writes.apply(self.db, self.source)
    }

    /// Ends the walk: rows behind its end are deleted, and what is pending is written.
    pub fn finish(mut self) -> Result<(), Error> {
        while self.fill()? {
            self.step_over()?;
        }
        self.flush()
    }

    fn step_over(&mut self) -> Result<(), Error> {
        // Unread parts of the current entry belong to it, whatever became of it.
        if self.rows.key(self.at) != self.current {
            let range = self.rows.keys[self.at].clone();
            self.writes.delete(&self.rows.bytes[range]);
            self.flush_if_full()?;
        }
        self.at += 1;
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.writes.is_full() { self.flush() } else { Ok(()) }
    }

    /// Whether there is a row at `at`, having read on if needed.
    fn fill(&mut self) -> Result<bool, Error> {
        if self.at < self.rows.len() {
            return Ok(true);
        }
        if self.is_read_out {
            return Ok(false);
        }
        self.at = 0;
        self.is_read_out = !self.rows.read(self.db, self.source)?;
        Ok(self.rows.len() > 0)
    }
}

impl std::fmt::Debug for StatCache<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatCache(source {})", self.source)
    }
}

/// A batch of rows as they were read, in one buffer.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    keys: Vec<Range<usize>>,
    parts: Vec<u32>,
    records: Vec<Range<usize>>,
    /// Where the next batch begins: the last key and part.
    last: Option<(Vec<u8>, u32)>,
}

impl Rows {
    fn len(&self) -> usize {
        self.parts.len()
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.bytes[self.keys[at].clone()]
    }

    fn part(&self, at: usize) -> u32 {
        self.parts[at]
    }

    fn record(&self, at: usize) -> &[u8] {
        &self.bytes[self.records[at].clone()]
    }

    /// Reads the next batch; whether there may be more behind it.
    fn read(&mut self, db: &Db, source: i64) -> Result<bool, Error> {
        self.bytes.clear();
        self.keys.clear();
        self.parts.clear();
        self.records.clear();
        let (key, part) = self.last.take().map_or((Vec::new(), -1), |(key, part)| (key, i64::from(part)));
        let sql =
            "SELECT path, part, record FROM files WHERE source = ?1 AND (path, part) > (?2, ?3) ORDER BY path, part";
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.rows(params![source, key, part])?;
        while self.len() < READ_ROWS && self.bytes.len() < READ_BYTES {
            let mut take = |row: &rusqlite::Row<'_>| {
                let (key, part) = (blob(row, 0)?, row.get::<_, u32>(1)?);
                // A row that has rotted is read as an empty record, which no entry has.
                let record = checksum::open(&[key, &part.to_le_bytes()], blob(row, 2)?).unwrap_or_default();
                self.keys.push(push(&mut self.bytes, key));
                self.parts.push(part);
                self.records.push(push(&mut self.bytes, record));
                Ok(())
            };
            if rows.next(&mut take)?.is_none() {
                return Ok(false);
            }
        }
        let at = self.len() - 1;
        self.last = Some((self.key(at).to_vec(), self.part(at)));
        Ok(true)
    }
}

/// A key, and the part and the record that are to stand there; without them it is deleted.
type Row = (Range<usize>, Option<(u32, Range<usize>)>);

/// Deletions and insertions that wait for a batch, in order.
#[derive(Default)]
struct Writes {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

impl Writes {
    fn delete(&mut self, key: &[u8]) {
        let key = push(&mut self.bytes, key);
        self.rows.push((key, None));
    }

    fn put(&mut self, key: &[u8], part: u32, record: &[u8]) {
        let place = push(&mut self.bytes, key);
        let start = self.bytes.len();
        checksum::seal(&[key, &part.to_le_bytes()], record, &mut self.bytes);
        self.rows.push((place, Some((part, start..self.bytes.len()))));
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= WRITE_ROWS || self.bytes.len() >= WRITE_BYTES
    }

    fn apply(&mut self, db: &Db, source: i64) -> Result<(), Error> {
        let prepare = |sql| db.prepare(sql);
        let mut delete = prepare("DELETE FROM files WHERE source = ?1 AND path = ?2")?;
        let mut put = prepare("INSERT OR REPLACE INTO files(source, path, part, record) VALUES(?1, ?2, ?3, ?4)")?;
        for (key, row) in &self.rows {
            let key = &self.bytes[key.clone()];
            match row {
                None => delete.execute(params![source, key])?,
                Some((part, record)) => put.execute(params![source, key, part, &self.bytes[record.clone()]])?,
            };
        }
        self.bytes.clear();
        self.rows.clear();
        Ok(())
    }
}

fn push(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(more);
    start..bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        (folder, db)
    }

    fn all(db: &Db) -> Vec<(Vec<u8>, u32)> {
        let mut statement = db.connection.prepare("SELECT path, part FROM files ORDER BY path, part").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn a_walk_finds_its_rows_and_deletes_those_it_steps_over() {
        let (_folder, db) = database();
        let mut cache = StatCache::open(&db, 1);
        for number in 0..2000_u32 {
            assert_eq!(cache.look_up(&number.to_be_bytes()).unwrap(), None);
            cache.put(&number.to_be_bytes(), 0, &[1]).unwrap();
        }
        cache.finish().unwrap();
        let mut cache = StatCache::open(&db, 1);
        for number in (0..1500_u32).filter(|number| number % 3 != 0) {
            assert_eq!(cache.look_up(&number.to_be_bytes()).unwrap(), Some(&[1][..]), "{number}");
        }
        cache.finish().unwrap();
        assert_eq!(all(&db).len(), 1000);
    }

    #[test]
    fn parts_come_with_their_entry_and_go_with_it() {
        let (_folder, db) = database();
        let mut cache = StatCache::open(&db, 1);
        for key in [b"a", b"b", b"c"] {
            assert_eq!(cache.look_up(key).unwrap(), None);
            for part in [1, 2, 0] {
                cache.put(key, part, &[key[0], part as u8]).unwrap();
            }
        }
        cache.finish().unwrap();
        let mut cache = StatCache::open(&db, 1);
        // a: looked up and kept without reading its parts. b: read whole, then forgotten and written anew with fewer. c: gone.
        assert_eq!(cache.look_up(b"a").unwrap(), Some(&[b'a', 0][..]));
        assert_eq!(cache.look_up(b"b").unwrap(), Some(&[b'b', 0][..]));
        assert_eq!(cache.next_part().unwrap(), Some(&[b'b', 1][..]));
        assert_eq!(cache.next_part().unwrap(), Some(&[b'b', 2][..]));
        assert_eq!(cache.next_part().unwrap(), None);
        cache.forget().unwrap();
        cache.put(b"b", 0, &[9]).unwrap();
        cache.finish().unwrap();
        let key = |letter: u8, part| (vec![letter], part);
        assert_eq!(all(&db), [key(b'a', 0), key(b'a', 1), key(b'a', 2), key(b'b', 0)]);
    }

    #[test]
    fn a_part_without_its_entry_is_no_record() {
        let (_folder, db) = database();
        let mut cache = StatCache::open(&db, 1);
        cache.put(b"a", 1, &[1]).unwrap();
        cache.finish().unwrap();
        let mut cache = StatCache::open(&db, 1);
        assert_eq!(cache.look_up(b"a").unwrap(), None);
        cache.forget().unwrap();
        cache.finish().unwrap();
        assert_eq!(all(&db), []);
    }
}
