//! What was done in the past nights, for each source at each target: what the status page and `brackup status` show. Losing it loses a picture.

use rusqlite::params;

use super::{Db, Error};
use crate::outcome::Outcome;

/// Came after the others, as the jobs did.
pub(super) const TABLE: &str =
    "past(id INTEGER PRIMARY KEY, what INTEGER NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, began INTEGER NOT NULL,
  ended INTEGER NOT NULL, outcome INTEGER NOT NULL, backup TEXT, files INTEGER NOT NULL, bytes INTEGER NOT NULL,
  stored INTEGER NOT NULL, problems INTEGER NOT NULL, words TEXT NOT NULL)";
/// Of each thing that is done, for each source at each target.
const KEPT: usize = 45;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A backup.
    Backup,
    /// Objects were read.
    Verify,
    /// Files were restored and compared.
    RestoreTest,
    /// Backups that no rule keeps were removed.
    Prune,
    /// Chunks that no backup needs were collected.
    Gc,
    /// What the owner has done behind the backups.
    Post,
    /// All that was at another target was copied there. Its source is the name of that.
    Copy,
}

impl Deed {
    /// In the order in which they came: a row has the place of its kind.
    const ALL: [Self; 7] =
        [Self::Backup, Self::Verify, Self::RestoreTest, Self::Prune, Self::Gc, Self::Post, Self::Copy];
}

/// One time that something was done, or tried. Times are in seconds since 1970, by the clock of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// What.
    pub what: Deed,
    /// The name of the source; empty: all that is at the target.
    pub source: String,
    /// The name of the target.
    pub target: String,
    /// When it began.
    pub began: i64,
    /// When it ended.
    pub ended: i64,
    /// How.
    pub outcome: Outcome,
    /// The backup that was made or read.
    pub backup: Option<String>,
    /// Files that were met, or compared; of a copy, backups that are at both then.
    pub files: u64,
    /// Their bytes; of a copy, sealed ones of the chunks.
    pub bytes: u64,
    /// Sealed bytes that were stored, or read.
    pub stored: u64,
    /// What was told as a problem.
    pub problems: u64,
    /// What went wrong, in words; with names of files in it, maybe.
    pub words: String,
}

impl Past {
    /// Whether a backup came of it; of a copy, whether all was copied.
    pub fn is_good(&self) -> bool {
        if self.what == Deed::Copy {
            return self.outcome == Outcome::Done;
        }
        self.backup.is_some() && matches!(self.outcome, Outcome::Done | Outcome::DoneWithProblems)
    }
}

impl Db {
    /// Remembers one, and forgets those that are too old for any picture. Not in the middle of a backup, which may be undone.
    pub fn remember_past(&self, past: &Past) -> Result<(), Error> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let sql = "INSERT INTO past(what, source, target, began, ended, outcome, backup, files, bytes, stored, problems, words)
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let Past { source, target, began, ended, backup, words, .. } = past;
        let (what, outcome) = (past.what as u8, past.outcome.code());
        let [files, bytes, stored, problems] = [past.files, past.bytes, past.stored, past.problems].map(number);
        let row = params![what, source, target, began, ended, outcome, backup, files, bytes, stored, problems, words];
        self.execute(sql, row)?;
        let sql = "DELETE FROM past WHERE what = ?1 AND source = ?2 AND target = ?3 AND id NOT IN (
                     SELECT id FROM past WHERE what = ?1 AND source = ?2 AND target = ?3 ORDER BY id DESC LIMIT ?4)
                   AND id NOT IN (SELECT max(id) FROM past WHERE what = ?1 AND source = ?2 AND target = ?3 AND outcome IN (0, 3))";
        self.execute(sql, params![what, source, target, KEPT as i64])
    }

    /// All that is remembered, the oldest first.
    pub fn past(&self) -> Result<Vec<Past>, Error> {
        let sql = "SELECT what, source, target, began, ended, outcome, backup, files, bytes, stored, problems, words FROM past ORDER BY id";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([])?;
        let mut all = Vec::new();
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        while let Some(past) = rows.next(|row| {
            Ok(Past {
                what: Deed::ALL.get(usize::from(row.get::<_, u8>(0)?)).copied().unwrap_or(Deed::Post),
                source: row.get(1)?,
                target: row.get(2)?,
                began: row.get(3)?,
                ended: row.get(4)?,
                outcome: Outcome::of_code(row.get(5)?).unwrap_or(Outcome::Failed),
                backup: row.get(6)?,
                files: number(row.get(7)?),
                bytes: number(row.get(8)?),
                stored: number(row.get(9)?),
                problems: number(row.get(10)?),
                words: row.get(11)?,
            })
        })? {
            all.push(past);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn night(began: i64, outcome: Outcome) -> Past {
        let backup = (outcome == Outcome::Done).then(|| format!("tree-{began}"));
        let (source, target, words) = ("tree".into(), "disk".into(), "how it went".into());
        let (files, bytes, stored, problems) = (3, 1 << 40, 5, u64::from(outcome == Outcome::Failed));
        Past {
            what: Deed::Backup,
            source,
            target,
            began,
            ended: began + 9,
            outcome,
            backup,
            files,
            bytes,
            stored,
            problems,
            words,
        }
    }

    #[test]
    fn nights_are_remembered_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        let other = Past { target: "usb".into(), ..night(1, Outcome::Done) };
        let verified = Past { what: Deed::Verify, source: String::new(), ..night(2, Outcome::Done) };
        db.remember_past(&other).unwrap();
        db.remember_past(&verified).unwrap();
        // The last good one stays, however long ago it was.
        db.remember_past(&night(3, Outcome::Done)).unwrap();
        (4..100).for_each(|began| db.remember_past(&night(began, Outcome::Failed)).unwrap());
        drop(db);
        let past = Db::open(folder.path()).unwrap().past().unwrap();
        assert_eq!(past.len(), 3 + KEPT);
        assert_eq!(past[..3], [other, verified, night(3, Outcome::Done)]);
        assert_eq!(past.last(), Some(&night(99, Outcome::Failed)));
    }

    #[test]
    fn each_kind_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        Deed::ALL.iter().for_each(|what| db.remember_past(&Past { what: *what, ..night(1, Outcome::Done) }).unwrap());
        assert_eq!(db.past().unwrap().iter().map(|past| past.what).collect::<Vec<_>>(), Deed::ALL);
        // Of a later version: it is shown as something that was done beside.
        db.execute_batch("UPDATE past SET what = 200 WHERE what = 0").unwrap();
        assert_eq!(db.past().unwrap()[0].what, Deed::Post);
    }

    #[test]
    fn a_database_of_before_gets_the_table() {
        let folder = tempfile::tempdir().unwrap();
        {
            let db = Db::open(folder.path()).unwrap();
            db.remember_target("disk", "id").unwrap();
            db.execute_batch("DROP TABLE past").unwrap();
        }
        let db = Db::open(folder.path()).unwrap();
        assert_eq!((db.warning(), db.past().unwrap().len()), (None, 0));
        assert_eq!(db.target_identity("disk").unwrap().as_deref(), Some("id"), "nothing else is lost");
    }
}
