//! When each job last ended well, which is not its last run: without it nobody knows after a restart how long there was no good backup.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Db, Error, JobRun};
use crate::outcome::Outcome;

/// Came after the others, as the jobs did.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS good_runs(name TEXT PRIMARY KEY, at INTEGER NOT NULL, is_good INTEGER NOT NULL) WITHOUT ROWID;";

/// Since when a job has had no good run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// In seconds since 1970, by the clock of the box.
    pub at: i64,
    /// A good run ended then. Else the first run began then, and none was good.
    pub is_good: bool,
}

impl JobRun {
    /// When it ended, if every backup of it was made.
    pub fn good(&self) -> Option<i64> {
        let is_good = |outcome| matches!(outcome, Outcome::Done | Outcome::DoneWithProblems);
        self.end.filter(|end| is_good(end.outcome)).map(|end| end.at)
    }
}

impl Db {
    /// Of all jobs that ever ran, by the name of the job.
    pub fn good_runs(&self) -> Result<BTreeMap<String, Since>, Error> {
        let mut good = BTreeMap::new();
        // A database of before knows of the last run alone.
        for (name, run) in self.job_runs()? {
            let (at, is_good) = run.good().map_or((run.began, false), |at| (at, true));
            good.insert(name, Since { at, is_good });
        }
        let mut statement = self.prepare("SELECT name, at, is_good FROM good_runs")?;
        let mut rows = statement.rows([])?;
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, Since { at: row.get(1)?, is_good: row.get(2)? }));
        while let Some((name, since)) = rows.next(read)? {
            good.insert(name, since);
        }
        Ok(good)
    }

    /// A job that may never come to a run is known from now on: what is overdue must not begin anew with each start.
    pub fn remember_first_sight(&self, name: &str, at: i64) -> Result<(), Error> {
        self.execute("INSERT OR IGNORE INTO good_runs(name, at, is_good) VALUES(?1, ?2, 0)", params![name, at])
    }

    /// What a run says of it: a good one that it was good, any other that there was a first one. Before the run itself is remembered: the
    /// one of before may be all that a database of before knows.
    pub(super) fn remember_good_run(&self, name: &str, run: &JobRun) -> Result<(), Error> {
        match run.good() {
            Some(at) => {
                self.execute("INSERT OR REPLACE INTO good_runs(name, at, is_good) VALUES(?1, ?2, 1)", params![name, at])
            }
            None => {
                let sql = "INSERT OR IGNORE INTO good_runs(name, at, is_good)
                     SELECT ?1, coalesce(max(ended), ?2), max(ended) IS NOT NULL FROM jobs WHERE name = ?1 AND outcome IN (0, 3)";
                self.execute(sql, params![name, run.began])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::JobEnd;
    use super::*;

    fn run(began: i64, outcome: Outcome) -> JobRun {
        JobRun { began, end: Some(JobEnd { at: began + 10, outcome }), tries: 1 }
    }

    #[test]
    fn the_last_good_run_outlives_bad_ones() {
        let folder = tempfile::tempdir().unwrap();
        {
            let db = Db::open(folder.path()).unwrap();
            for (began, outcome) in [
                (100, Outcome::Failed),
                (200, Outcome::Done),
                (300, Outcome::DoneWithProblems),
                (400, Outcome::Failed),
                (500, Outcome::Interrupted),
            ] {
                db.remember_job_run("nightly", &run(began, outcome)).unwrap();
            }
            db.remember_job_run("never", &run(100, Outcome::Failed)).unwrap();
            db.remember_job_run("never", &run(200, Outcome::NoSuchTarget)).unwrap();
        }
        let good = Db::open(folder.path()).unwrap().good_runs().unwrap();
        assert_eq!(good["nightly"], Since { at: 310, is_good: true });
        assert_eq!(good["never"], Since { at: 100, is_good: false });
    }

    #[test]
    fn a_database_of_before_knows_the_last_run() {
        let folder = tempfile::tempdir().unwrap();
        {
            let db = Db::open(folder.path()).unwrap();
            db.remember_job_run("good", &run(100, Outcome::Done)).unwrap();
            db.remember_job_run("bad", &run(100, Outcome::Failed)).unwrap();
            db.execute_batch("DROP TABLE good_runs").unwrap();
        }
        let db = Db::open(folder.path()).unwrap();
        assert_eq!(db.warning(), None);
        let good = db.good_runs().unwrap();
        assert_eq!((good["good"], good["bad"]), (Since { at: 110, is_good: true }, Since { at: 100, is_good: false }));
        db.remember_job_run("good", &run(200, Outcome::Failed)).unwrap();
        db.remember_job_run("bad", &run(200, Outcome::Failed)).unwrap();
        let good = db.good_runs().unwrap();
        assert_eq!(good["good"], Since { at: 110, is_good: true }, "a bad run hides none");
        assert_eq!(good["bad"], Since { at: 200, is_good: false });
    }
}
