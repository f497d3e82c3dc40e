//! What is done on a thread of its own, because it may touch a disk that sleeps: recalling the last runs, and running a job.

mod around;
mod backups;
mod command;
mod copies;
mod log;
mod nice;
mod upkeep;

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::{Config, JobOptions};
use brackup::db::{Deed, JobEnd, JobRun, Past, Since};
use brackup::limits::CLOCK_SECONDS_MIN;
use brackup::outcome::Outcome;
use brackup::scheduler::Runs;
use brackup::status::{Board, Pair};

use super::super::open::{self, State};
use super::super::pair;
use super::super::past::{self, Run};
use super::alerts::Alerts;
use crate::term::{self, Failure};
pub(super) use past::now;

/// What this box remembers of its jobs. No database is made where there is none.
pub(super) fn recall(config: &Config, alerts: &Alerts) -> Result<Runs, Failure> {
    if !open::has_database(&config.own) {
        return Ok(Runs::new());
    }
    let state = State::lock(&config.own)?;
    let db = state.database()?;
    let (mut good, at) = (db.good_runs()?, now());
    for JobOptions { name, .. } in config.jobs.iter().filter(|_| at >= CLOCK_SECONDS_MIN) {
        let Entry::Vacant(unseen) = good.entry(name.clone()) else { continue };
        if let Err(error) = db.remember_first_sight(name, at) {
            term::warning(&format!("since when job {name} is there can't be remembered: {error}"));
        }
        unseen.insert(Since { at, is_good: false });
    }
    alerts.recalled(good);
    Ok(db.job_runs()?)
}

/// A run of a job.
pub(super) struct Task {
    pub(super) config: Arc<Config>,
    pub(super) board: Arc<Board>,
    pub(super) job: JobOptions,
    pub(super) last: Option<JobRun>,
    pub(super) alerts: Alerts,
    /// It is to park.
    pub(super) stop: Arc<AtomicBool>,
    /// The service ends.
    pub(super) ends: Arc<AtomicBool>,
    pub(super) is_quiet: bool,
    /// Somebody wants it now.
    pub(super) is_asked_for: bool,
    /// It makes no backup.
    pub(super) only_verifies: bool,
    /// This process has seen the state: it must be there.
    pub(super) had_state: bool,
    /// If a disk is not there it is not the end: the job will be tried again.
    pub(super) may_wait: bool,
    /// That a disk is not there was told.
    pub(super) is_told: bool,
}

/// What came of a run.
pub(super) enum Ran {
    /// It ended.
    Ended(JobRun),
    /// It ended in another process.
    Elsewhere(JobRun),
    /// No backup was made: something was verified, or could not be.
    Verified,
    /// Another run holds the lock.
    Locked,
    /// A disk that it needs is not there; nothing was done.
    Absent,
}

impl Task {
    /// Makes the job's backups.
    pub(super) fn run(&self) -> Ran {
        nice::be(self.job.nice, self.job.is_idle);
        if self.only_verifies {
            match self.has_state().and_then(|()| State::lock(&self.config.own)) {
                Ok(state) => self.verify_now(&state),
                Err(failure) if failure.outcome == Outcome::Locked => return Ran::Locked,
                Err(failure) => drop(self.failed("verify: ", failure)),
            }
            return Ran::Verified;
        }
        let state = match self.look().and_then(|()| State::lock(&self.config.own)) {
            Err(failure) if failure.outcome == Outcome::Locked => return Ran::Locked,
            Err(failure) => return self.absent(None, failure),
            Ok(state) => state,
        };
        let last = self.recalled(&state);
        if let Some(run) = last.filter(|run| !self.is_asked_for && run.end.is_some() && last != self.last) {
            return Ran::Elsewhere(run);
        }
        let mut run = JobRun::begin(now(), last.as_ref());
        self.say("", "begins");
        self.alerts.began(&self.config, &self.job.name, run.began, self.is_told);
        self.remember(&state, &run);
        match self.with_commands(&state) {
            Err(failure) => self.absent(Some((&state, last)), failure),
            Ok(outcome) => {
                run.end = Some(JobEnd { at: now(), outcome });
                self.remember(&state, &run);
                Ran::Ended(run)
            }
        }
    }

    /// What this process has seen must be there still.
    fn has_state(&self) -> Result<(), Failure> {
        let own = &self.config.own;
        if !self.had_state || open::has_database(own) {
            return Ok(());
        }
        let message = format!("what this box remembers is no longer in {}", own.state_dir.display());
        Err(Failure::new(Outcome::NoSuchTarget, message)
            .hint("is its disk mounted? If it is another one now, SIGHUP or a new start goes on with it"))
    }

    /// Whether the disks are there, as far as it can be known before anything is made on them. What else is wrong is for the run to tell.
    fn look(&self) -> Result<(), Failure> {
        self.has_state()?;
        let looked: Vec<_> = self.job.pairs().map(|(from, to)| self.with_pair(from, to, |pair| pair.look())).collect();
        let is_absent = |failure: &Failure| failure.outcome == Outcome::NoSuchTarget;
        let all_absent = looked.iter().all(|looked| looked.as_ref().is_err_and(is_absent));
        match looked.into_iter().filter_map(Result::err).find(is_absent) {
            Some(failure) if self.may_wait || all_absent => Err(failure),
            _ => Ok(()),
        }
    }

    /// Nothing was done: it can be tried again, unless that has been done for long enough.
    fn absent(&self, state: Option<(&State, Option<JobRun>)>, failure: Failure) -> Ran {
        if !self.may_wait {
            self.write_down(state.map(|(state, _)| state), &failure);
            let run = JobRun::begin(now(), self.last.as_ref());
            let run = JobRun { end: Some(JobEnd { at: now(), outcome: self.failed("", failure) }), ..run };
            if let Some((state, _)) = state {
                self.remember(state, &run);
            }
            return Ran::Ended(run);
        }
        if !self.is_told {
            self.failed("", failure);
            self.say("", "it is tried again every few minutes");
        }
        if let Some((state, last)) = state {
            match last {
                Some(last) => self.remember(state, &last),
                None => drop(state.database().and_then(|db| Ok(db.forget_job_run(&self.job.name)?))),
            }
        }
        Ran::Absent
    }

    /// A night without a backup, since nothing was there that it needs. The place where that is remembered may be gone too.
    pub(super) fn write_down(&self, state: Option<&State>, failure: &Failure) {
        let night = |what, (from, to): (&str, &str)| Past { what, ..Run::begin(from).failed(to, failure) };
        let backups = self.job.pairs().map(|pair| night(Deed::Backup, pair));
        let nights: Vec<_> = backups.chain(self.job.copies().map(|copy| night(Deed::Copy, copy))).collect();
        self.board.change(|report| {
            for past in &nights {
                let is_of_it = |pair: &&mut Pair| {
                    (pair.deed(), &pair.source, &pair.target) == (past.what, &past.source, &past.target)
                };
                report.pairs.iter_mut().filter(is_of_it).for_each(|pair| pair.past.push(past.clone()));
            }
        });
        let write = |state: &State| nights.iter().for_each(|past| past::remember(state, past));
        match state {
            Some(state) => write(state),
            None if open::has_database(&self.config.own) => {
                drop(State::lock(&self.config.own).map(|state| write(&state)));
            }
            None => {}
        }
    }

    /// What the database says of the last run by now; what this process knows where it says nothing.
    fn recalled(&self, state: &State) -> Option<JobRun> {
        let runs = state.database().and_then(|db| Ok(db.job_runs()?)).ok();
        runs.and_then(|runs| runs.get(&self.job.name).copied()).or(self.last)
    }

    fn with_pair<T>(
        &self,
        from: &str,
        to: &str,
        act: impl FnOnce(&pair::Pair<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let config = &self.config;
        let target = self.target(to)?;
        act(&pair::Pair::new(config.source(from)?, &target, &config.own)?)
    }

    fn failed(&self, pair: &str, failure: Failure) -> Outcome {
        let outcome = failure.outcome;
        if pair.is_empty() {
            self.alerts.why(&failure.message);
        }
        let message = format!("job {}: {pair}failed: {}", self.job.name, failure.message);
        term::error(&Failure { message, ..failure });
        outcome
    }

    fn say(&self, pair: &str, text: &str) {
        if !self.is_quiet {
            term::note(&format!("job {}: {pair}{text}", self.job.name));
        }
    }

    /// What can't be remembered costs a run more, after a restart.
    fn remember(&self, state: &State, run: &JobRun) {
        let remembered = state.database().and_then(|db| Ok(db.remember_job_run(&self.job.name, run)?));
        if let Err(failure) = remembered {
            term::warning(&format!("job {}: this run can't be remembered: {}", self.job.name, failure.message));
        }
    }
}
