//! When a job last looked after a target: what is done once a week or once a month, and what came of it. Losing it makes it be done once
//! more.

use rusqlite::params;

use super::jobs::JobEnd;
use super::{Db, Error};
use crate::outcome::Outcome;

/// Came after the others; one that is not there is empty.
pub(super) const TABLE: &str = "upkeep(target TEXT, what TEXT, at INTEGER NOT NULL, outcome INTEGER NOT NULL,
  PRIMARY KEY(target, what)) WITHOUT ROWID";

impl Db {
    /// The last time that it was done at a target: `prune`, `gc`, `verify` or `restore_test`.
    pub fn last_upkeep(&self, target: &str, what: &str) -> Result<Option<JobEnd>, Error> {
        let read = |row: &rusqlite::Row<'_>| {
            let outcome = Outcome::of_code(row.get(1)?).unwrap_or(Outcome::Failed);
            Ok(JobEnd { at: row.get(0)?, outcome })
        };
        self.prepare("SELECT at, outcome FROM upkeep WHERE target = ?1 AND what = ?2")?.row([target, what], read)
    }

    /// Remembers that it was done.
    pub fn remember_upkeep(&self, target: &str, what: &str, end: JobEnd) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO upkeep(target, what, at, outcome) VALUES(?1, ?2, ?3, ?4)";
        self.execute(sql, params![target, what, end.at, end.outcome.code()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_is_remembered_for_each_target() {
        let folder = tempfile::tempdir().unwrap();
        let end = |at, outcome| JobEnd { at, outcome };
        {
            let db = Db::open(folder.path()).unwrap();
            // As in a database of before.
            db.execute_batch("DROP TABLE upkeep").unwrap();
        }
        let db = Db::open(folder.path()).unwrap();
        assert_eq!((db.warning(), db.last_upkeep("disk", "gc").unwrap()), (None, None));
        db.remember_upkeep("disk", "gc", end(1, Outcome::Done)).unwrap();
        db.remember_upkeep("disk", "gc", end(2, Outcome::DoneWithProblems)).unwrap();
        db.remember_upkeep("usb", "gc", end(3, Outcome::Done)).unwrap();
        drop(db);
        let db = Db::open(folder.path()).unwrap();
        assert_eq!(db.last_upkeep("disk", "gc").unwrap(), Some(end(2, Outcome::DoneWithProblems)));
        assert_eq!(db.last_upkeep("usb", "gc").unwrap(), Some(end(3, Outcome::Done)));
        assert_eq!(db.last_upkeep("disk", "verify").unwrap(), None);
    }
}
