//! Names of chunks that are about to be stored, a line each in a file beside the database, durable before the put begins. A run that is cut
//! off may have stored chunks that the database never heard of; without their names they would lie at the target for ever, since nobody
//! deletes what he does not know.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::params;

use super::chunks::row_checksum;
use super::{Db, Error};
use crate::digest::{Key, Sha1};
use crate::fsutil;

const FILE: &str = "brackup.db.puts";
const BYTES_MAX: u64 = 1024 * 1024;
/// When the file has so many lines (of 74 bytes), those that the database has are dropped.
const LINES_MAX: usize = 1024;

/// What is being stored at one target.
#[derive(Debug)]
pub struct Puts {
    path: PathBuf,
    identity: String,
    open: Mutex<Open>,
    /// Of runs that were cut off.
    left: Vec<Key>,
    /// Lines of other targets.
    others: String,
}

#[derive(Debug)]
struct Open {
    file: File,
    lines: usize,
    /// Begun, and not in the database yet.
    begun: BTreeSet<[u8; 20]>,
}

impl Puts {
    fn open(path: &Path, identity: &str) -> io::Result<Self> {
        // What can't be read, or is larger than it gets, is none: it costs space at the target, and no backup.
        let text = fsutil::read_small(path, BYTES_MAX).unwrap_or_default();
        let (mut left, mut others) = (Vec::new(), String::new());
        // What was cut off in the middle of a line was not stored.
        for line in String::from_utf8_lossy(&text).split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let fields = line.trim_end().split_once(' ').and_then(|(target, key)| Some((target, Sha1::parse(key)?)));
            match fields {
                Some((target, key)) if target == identity => left.push(key),
                Some(_) => others.push_str(line),
                None => {}
            }
        }
        let open = Mutex::new(Open { file: append_to(path)?, lines: left.len(), begun: BTreeSet::new() });
        Ok(Self { path: path.into(), identity: identity.into(), open, left, others })
    }

    /// Names of chunks that earlier runs have begun to store, and may have stored without being able to write that down.
    pub fn left(&self) -> &[Key] {
        &self.left
    }

    /// This one is about to be stored.
    pub fn begin(&self, key: &Key) -> io::Result<()> {
        let mut open = self.lock();
        open.begun.insert(key.0);
        open.lines += 1;
        open.file.write_all(self.line(&key.0).as_bytes())?;
        open.file.sync_data()
    }

    /// This one is in the database, not durably yet.
    pub fn recorded(&self, key: &Key) {
        self.lock().begun.remove(&key.0);
    }

    /// What is in the database is there durably.
    pub fn committed(&self) -> io::Result<()> {
        let mut open = self.lock();
        if open.lines >= LINES_MAX { self.rewrite(&mut open) } else { Ok(()) }
    }

    /// What earlier runs have left is in the database, durably, or not at the target; and so is what this one has begun, but for what failed.
    pub fn end(&self) -> io::Result<()> {
        let mut open = self.lock();
        if open.lines == 0 { Ok(()) } else { self.rewrite(&mut open) }
    }

    /// With what may not be in the database.
    fn rewrite(&self, open: &mut Open) -> io::Result<()> {
        let lines: String = open.begun.iter().map(|key| self.line(key)).collect();
        if self.others.is_empty() && lines.is_empty() {
            open.file.set_len(0)?;
        } else {
            fsutil::replace_shared(&self.path, format!("{}{lines}", self.others).as_bytes())?;
            open.file = append_to(&self.path)?;
        }
        open.lines = open.begun.len();
        Ok(())
    }

    fn line(&self, key: &[u8; 20]) -> String {
        format!("{} {}\n", self.identity, Sha1(*key))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A line that was half written is none.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    let file = fsutil::open_shared(path, OpenOptions::new().append(true))?;
    if is_new {
        fsutil::sync_directory(path.parent().unwrap_or_else(|| Path::new("/")))?;
    }
    Ok(file)
}

impl Db {
    /// What was, and is to be, stored at a target.
    pub fn puts(&self, target_identity: &str) -> Result<Puts, Error> {
        let path = self.path.with_file_name(FILE);
        Puts::open(&path, target_identity).map_err(|error| Error::io(format!("can't use {}", path.display()), error))
    }

    /// Whether a chunk of this name is in the database.
    pub fn knows(&self, key: &Key) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM chunks WHERE key = ?1";
        Ok(self.prepare(sql)?.row([&key.0[..]], |_| Ok(()))?.is_some())
    }

    /// A chunk that this box has stored, and of whose contents it does not know anything any more.
    pub fn adopt(&self, target_identity: &str, key: &Key, sealed_bytes: u64) -> Result<(), Error> {
        let id = self.add_chunk(key, i64::try_from(sealed_bytes).unwrap_or(i64::MAX))?;
        self.execute("INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)", params![target_identity, id])
    }

    /// A chunk with a name, under a number that was never used.
    pub(super) fn add_chunk(&self, key: &Key, bytes: i64) -> Result<i64, Error> {
        self.execute("INSERT INTO chunks(key, bytes) VALUES(?1, ?2)", params![&key.0[..], bytes])?;
        let id = self.connection.last_insert_rowid();
        self.size_chunk(id, key, bytes).map(|()| id)
    }

    /// Its sealed length.
    pub(super) fn size_chunk(&self, id: i64, key: &Key, bytes: i64) -> Result<(), Error> {
        let sql = "UPDATE chunks SET bytes = ?2, checksum = ?3 WHERE id = ?1";
        self.execute(sql, params![id, bytes, row_checksum(id, key, bytes)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_again_by_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let open = |identity: &str| Puts::open(&path, identity).unwrap();
        let [one, two, three] = [1, 2, 3].map(|number| Sha1([number; 20]));
        let first = open("a");
        assert_eq!(first.left(), []);
        first.begin(&one).unwrap();
        open("b").begin(&two).unwrap();
        first.begin(&three).unwrap();
        assert_eq!((open("a").left(), open("b").left()), (&[one, three][..], &[two][..]));
        // A power cut in the middle of a line.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(open("a").left(), [one]);
        let again = open("a");
        again.begin(&two).unwrap();
        again.recorded(&two);
        again.end().unwrap();
        assert_eq!((open("a").left(), open("b").left()), (&[][..], &[two][..]));
        again.begin(&three).unwrap();
        open("b").end().unwrap();
        assert_eq!((open("a").left(), open("b").left()), (&[three][..], &[][..]));
    }

    #[test]
    fn the_file_stays_small_and_keeps_what_is_not_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let puts = Puts::open(&path, "a").unwrap();
        let key = |number: usize| Sha1::of(&number.to_le_bytes());
        for number in 0..3 * LINES_MAX {
            puts.begin(&key(number)).unwrap();
            if number != 5 {
                puts.recorded(&key(number));
            }
            puts.committed().unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < LINES_MAX as u64 * 80);
        assert!(Puts::open(&path, "a").unwrap().left().contains(&key(5)));
    }
}
