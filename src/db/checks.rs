//! When each chunk of a target was read for the last time, and whether it was whole: so that the nights of a month can share the reading.
//!
//! A row that is lost, or has rotted, costs one reading.

use std::time::{Duration, Instant};

use rusqlite::params;

use super::statement::blob;
use super::{Db, Error};
use crate::digest::{Key, Sha1};

/// Came after the others, as the jobs did.
pub(super) const TABLE: &str =
    "checks(target TEXT, key BLOB, at INTEGER, is_whole INTEGER, PRIMARY KEY(target, key)) WITHOUT ROWID";
/// Rows that are read together.
const TOGETHER: usize = 256;
/// What was found out is durable after so long, however the run ends.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// What is known of a chunk from reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When, by the clock of the box: seconds since 1970.
    pub at: i64,
    /// Whether its SHA-1 was its name.
    pub is_whole: bool,
}

impl Check {
    /// When it was looked at; a time that is yet to come is that of a wrong clock, and counts as never.
    pub fn looked_at(self, now: i64) -> Option<i64> {
        Some(self.at).filter(|at| *at <= now)
    }
}

/// The checks of a target, in the order of keys, beside a listing in the same order.
#[derive(Debug)]
pub struct Checks<'db> {
    db: &'db Db,
    target: String,
    /// The last first.
    page: Vec<(Key, Check)>,
    /// The last key that was read; nothing: none was. At the end all were.
    last: Option<Key>,
    is_end: bool,
    forgets: bool,
    committed: Instant,
}

impl<'db> Checks<'db> {
    /// To look only.
    pub fn open(db: &'db Db, target_identity: &str) -> Self {
        let target = target_identity.into();
        let (page, committed) = (Vec::new(), Instant::now());
        Self { db, target, page, last: None, is_end: false, forgets: false, committed }
    }

    /// In a run: rows that are passed over are of objects that are gone, and go.
    pub fn open_to_write(db: &'db Db, target_identity: &str) -> Self {
        Self { forgets: true, ..Self::open(db, target_identity) }
    }

    /// What is remembered of an object. Each call asks for a key behind that of the one before.
    pub fn of(&mut self, key: &Key) -> Result<Option<Check>, Error> {
        loop {
            if self.page.is_empty() && !self.is_end {
                self.read_on()?;
            }
            let Some((next, check)) = self.page.last().copied().filter(|(next, _)| next.0 <= key.0) else {
                return Ok(None);
            };
            self.page.pop();
            if next == *key {
                return Ok(Some(check));
            }
            if self.forgets {
                self.forget(&next)?;
            }
        }
    }

    /// There are no objects behind the last one.
    pub fn finish(mut self) -> Result<(), Error> {
        self.of(&Sha1([0xff; 20])).map(drop)
    }

    /// It was read now. Every few seconds what is remembered becomes durable.
    pub fn remember(&mut self, key: &Key, check: Check) -> Result<(), Error> {
        // One that nobody asked for, since a listing lacked it, must not be passed over later.
        self.of(key)?;
        let sql = "INSERT OR REPLACE INTO checks(target, key, at, is_whole) VALUES(?1, ?2, ?3, ?4)";
        self.db.execute(sql, params![self.target, &key.0[..], check.at, check.is_whole])?;
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.db.commit()?;
            self.committed = Instant::now();
        }
        Ok(())
    }

    /// It is not there any more.
    pub fn forget(&self, key: &Key) -> Result<(), Error> {
        self.db.execute("DELETE FROM checks WHERE target = ?1 AND key = ?2", params![self.target, &key.0[..]])
    }

    fn read_on(&mut self) -> Result<(), Error> {
        let after = self.last.as_ref().map_or(&[][..], |last| &last.0);
        let sql = "SELECT key, at, is_whole FROM checks WHERE target = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.rows(params![self.target, after, TOGETHER as i64])?;
        let read = |row: &rusqlite::Row<'_>| {
            let key = <[u8; 20]>::try_from(blob(row, 0)?).ok();
            Ok((key.map(Sha1), Check { at: row.get(1)?, is_whole: row.get(2)? }))
        };
        self.is_end = true;
        while let Some((key, check)) = rows.next(read)? {
            // A key of another length is none.
            let Some(key) = key else { continue };
            (self.last, self.is_end) = (Some(key), false);
            self.page.push((key, check));
        }
        self.page.reverse();
        Ok(())
    }
}

impl Db {
    /// Whether the last reading of a chunk at a target showed that it was not whole.
    pub fn was_damaged(&self, target_identity: &str, key: &Key) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM checks WHERE target = ?1 AND key = ?2 AND is_whole = 0";
        Ok(self.prepare(sql)?.row(params![target_identity, &key.0[..]], |_| Ok(()))?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&number.to_be_bytes());
        Sha1(key)
    }

    #[test]
    fn what_was_read_is_remembered_and_what_is_gone_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        let check = |number: u32| Check { at: i64::from(number), is_whole: !number.is_multiple_of(3) };
        let mut checks = Checks::open_to_write(&db, "t");
        Checks::open_to_write(&db, "other").remember(&key(1), check(1)).unwrap();
        for number in 0..1000 {
            assert_eq!(checks.of(&key(number)).unwrap(), None);
            checks.remember(&key(number), check(number)).unwrap();
        }
        checks.finish().unwrap();
        // Every fourth is still there, and one that is new.
        for mut checks in [Checks::open(&db, "t"), Checks::open_to_write(&db, "t"), Checks::open(&db, "t")] {
            for number in (2..900).step_by(4) {
                assert_eq!(checks.of(&key(number)).unwrap(), Some(check(number)), "{number}");
            }
            assert_eq!(checks.of(&key(5000)).unwrap(), None);
            checks.finish().unwrap();
        }
        assert_eq!(db.number("SELECT count(*) FROM checks WHERE target = 't'").unwrap(), 225);
        assert_eq!(db.number("SELECT count(*) FROM checks").unwrap(), 226);
    }

    #[test]
    fn what_a_listing_lacked_and_was_read_all_the_same_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        let whole = Check { at: 1, is_whole: true };
        let damaged = Check { at: 2, is_whole: false };
        for _ in 0..2 {
            let mut checks = Checks::open_to_write(&db, "t");
            for number in 0..10 {
                if number != 5 && number != 9 {
                    checks.of(&key(number)).unwrap();
                    checks.remember(&key(number), whole).unwrap();
                } else {
                    checks.remember(&key(number), damaged).unwrap();
                }
            }
            checks.finish().unwrap();
        }
        assert_eq!(db.number("SELECT count(*) FROM checks").unwrap(), 10);
        assert!(db.was_damaged("t", &key(5)).unwrap() && db.was_damaged("t", &key(9)).unwrap());
    }

    #[test]
    fn a_time_that_is_yet_to_come_counts_as_never() {
        let check = Check { at: 100, is_whole: true };
        assert_eq!((check.looked_at(100), check.looked_at(99)), (Some(100), None));
    }
}
