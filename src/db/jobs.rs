//! The last run of each job: what the scheduler needs to know after a restart. Losing it makes a job run once more.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Db, Error};
use crate::outcome::Outcome;

/// The last run of a job. Times are in seconds since 1970, by the clock of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// When it began.
    pub began: i64,
    /// How it ended; nothing while it runs, and if it was cut off.
    pub end: Option<JobEnd>,
    /// How many runs have begun since one ended, with this one.
    pub tries: u32,
}

/// The end of a run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// When.
    pub at: i64,
    /// How. Interrupted: it was parked.
    pub outcome: Outcome,
}

impl JobRun {
    /// A run that begins now, after the last one.
    pub fn begin(now: i64, last: Option<&Self>) -> Self {
        let cut_off = last.filter(|last| last.end.is_none());
        Self { began: now, end: None, tries: cut_off.map_or(0, |last| last.tries).saturating_add(1) }
    }
}

impl Db {
    /// The last runs of all jobs that ever ran, by the name of the job.
    pub fn job_runs(&self) -> Result<BTreeMap<String, JobRun>, Error> {
        let mut statement = self.prepare("SELECT name, began, ended, outcome, tries FROM jobs")?;
        let mut rows = statement.rows([])?;
        let mut runs = BTreeMap::new();
        let read = |row: &rusqlite::Row<'_>| {
            let (ended, outcome) = (row.get::<_, Option<i64>>(2)?, row.get::<_, Option<u8>>(3)?);
            let outcome = outcome.and_then(Outcome::of_code).unwrap_or(Outcome::Failed);
            let end = ended.map(|at| JobEnd { at, outcome });
            Ok((row.get::<_, String>(0)?, JobRun { began: row.get(1)?, end, tries: row.get(4)? }))
        };
        while let Some((name, run)) = rows.next(read)? {
            runs.insert(name, run);
        }
        Ok(runs)
    }

    /// Remembers the last run of a job. Not in the middle of a backup, which may be undone.
    pub fn remember_job_run(&self, name: &str, run: &JobRun) -> Result<(), Error> {
        self.remember_good_run(name, run)?;
        let end = run.end.map(|end| (end.at, end.outcome.code())).unzip();
        let sql = "INSERT OR REPLACE INTO jobs(name, began, ended, outcome, tries) VALUES(?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, params![name, run.began, end.0, end.1, run.tries])
    }

    /// Remembers of a job that it never ran.
    pub fn forget_job_run(&self, name: &str) -> Result<(), Error> {
        self.execute("DELETE FROM jobs WHERE name = ?1", [name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_of_each_job_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let first = JobRun::begin(1_795_570_200, None);
        let ended = JobRun { end: Some(JobEnd { at: 1_795_570_300, outcome: Outcome::DoneWithProblems }), ..first };
        {
            let db = Db::open(folder.path()).unwrap();
            assert!(db.job_runs().unwrap().is_empty());
            db.remember_job_run("nightly", &first).unwrap();
            db.remember_job_run("weekly", &first).unwrap();
            db.remember_job_run("nightly", &ended).unwrap();
        }
        let runs = Db::open(folder.path()).unwrap().job_runs().unwrap();
        assert_eq!(runs.into_iter().collect::<Vec<_>>(), [("nightly".into(), ended), ("weekly".into(), first)]);
    }

    #[test]
    fn runs_without_an_end_are_counted() {
        let first = JobRun::begin(1, None);
        let second = JobRun::begin(2, Some(&first));
        let parked = JobRun { end: Some(JobEnd { at: 3, outcome: Outcome::Interrupted }), ..second };
        assert_eq!((first.tries, second.tries, JobRun::begin(4, Some(&parked)).tries), (1, 2, 1));
    }

    #[test]
    fn a_database_of_before_gets_the_table() {
        let folder = tempfile::tempdir().unwrap();
        {
            let db = Db::open(folder.path()).unwrap();
            db.remember_target("disk", "id").unwrap();
            db.execute_batch("DROP TABLE jobs").unwrap();
        }
        let db = Db::open(folder.path()).unwrap();
        assert_eq!((db.warning(), db.job_runs().unwrap().len()), (None, 0));
        assert_eq!(db.target_identity("disk").unwrap().as_deref(), Some("id"), "nothing else is lost");
    }
}
