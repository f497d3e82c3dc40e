//! What is done on a thread of its own, because it may touch a disk that sleeps: recalling the last runs, and running a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

use brackup::config::{BoxOptions, Config, JobOptions};
use brackup::date::Utc;
use brackup::db::{JobEnd, JobRun};
use brackup::monitor::{Counter, Monitor, Phase, Problem, Severity};
use brackup::outcome::Outcome;
use brackup::relpath::RelPath;
use brackup::scheduler::Runs;

use super::super::open::{self, State};
use super::super::pair::{Done, Pair, Watcher};
use super::super::provider;
use crate::term::{self, Failure};

/// Problems of one backup that go to the log, and notices. The others are counted.
const PROBLEMS_LOGGED_MAX: u32 = 100;

/// What this box remembers of its jobs. Nothing is made that is not there.
pub(super) fn recall(own: &BoxOptions) -> Result<Runs, Failure> {
    if !open::has_database(own) {
        return Ok(Runs::new());
    }
    Ok(State::lock(own)?.database()?.job_runs()?)
}

/// A run of a job.
pub(super) struct Task {
    pub(super) config: Arc<Config>,
    pub(super) job: JobOptions,
    pub(super) last: Option<JobRun>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) is_quiet: bool,
    /// This process has seen the state: it must be there.
    pub(super) had_state: bool,
    /// If a disk is not there it is not the end: the job will be tried again.
    pub(super) may_wait: bool,
    /// That a disk is not there was told.
    pub(super) is_told: bool,
}

/// What came of a run.
pub(super) enum Ran {
    /// It ended, here or in another process.
    Ended(JobRun),
    /// Another run holds the lock.
    Locked,
    /// A disk that it needs is not there; nothing was done.
    Absent,
}

impl Task {
    /// Makes the job's backups.
    pub(super) fn run(&self) -> Ran {
        let state = match self.look().and_then(|()| State::lock(&self.config.own)) {
            Err(failure) if failure.outcome == Outcome::Locked => return Ran::Locked,
            Err(failure) => return self.absent(None, failure),
            Ok(state) => state,
        };
        let last = self.recalled(&state);
        if let Some(run) = last.filter(|run| run.end.is_some() && last != self.last) {
            // Another process has run it meanwhile.
            return Ran::Ended(run);
        }
        let mut run = JobRun::begin(now(), last.as_ref());
        self.say("", "begins");
        self.remember(&state, &run);
        match self.pairs(&state) {
            Err(failure) => self.absent(Some((&state, last)), failure),
            Ok(outcome) => {
                run.end = Some(JobEnd { at: now(), outcome });
                self.remember(&state, &run);
                Ran::Ended(run)
            }
        }
    }

    /// Whether the disks are there, as far as it can be known before anything is made on them. What else is wrong is for the run to tell.
    fn look(&self) -> Result<(), Failure> {
        let own = &self.config.own;
        if self.may_wait && self.had_state && !open::has_database(own) {
            let message = format!("what this box remembers is no longer in {}", own.state_dir.display());
            return Err(Failure::new(Outcome::NoSuchTarget, message).hint("is its disk mounted?"));
        }
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

    /// One after the other, whatever comes of each; gives the worst that came. A failure: no target was there.
    fn pairs(&self, state: &State) -> Result<Outcome, Failure> {
        let (mut worst, mut absent) = (Outcome::Done, None);
        let mut is_all_absent = true;
        for (from, to) in self.job.pairs() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Interrupted);
            }
            let pair = format!("{from} to {to}: ");
            let outcome = match self.pair(from, to, state) {
                Err(failure) if failure.outcome == Outcome::NoSuchTarget && is_all_absent => {
                    let message = format!("{pair}{}", failure.message);
                    absent.get_or_insert(Failure { message, ..failure });
                    Outcome::NoSuchTarget
                }
                Ok(done) => self.tell(&pair, &done),
                Err(failure) => self.failed(&pair, failure),
            };
            is_all_absent &= outcome == Outcome::NoSuchTarget;
            worst = if rank(outcome) > rank(worst) { outcome } else { worst };
        }
        match absent {
            Some(failure) if is_all_absent => Err(failure),
            Some(failure) => {
                self.failed("", failure);
                Ok(worst)
            }
            None => Ok(worst),
        }
    }

    /// What the database says of the last run by now; what this process knows where it says nothing.
    fn recalled(&self, state: &State) -> Option<JobRun> {
        let runs = state.database().and_then(|db| Ok(db.job_runs()?)).ok();
        runs.and_then(|runs| runs.get(&self.job.name).copied()).or(self.last)
    }

    fn pair(&self, from: &str, to: &str, state: &State) -> Result<Done, Failure> {
        let monitor = Log { job: &self.job.name, problems: 0.into(), notices: 0.into(), is_quiet: self.is_quiet };
        let watcher = Watcher { monitor: &monitor, wants_totals: false };
        self.with_pair(from, to, |pair| pair.back_up(state, None, false, watcher, &self.stop))
    }

    fn with_pair<T>(
        &self,
        from: &str,
        to: &str,
        act: impl FnOnce(&Pair<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let config = &self.config;
        let target = provider::open(config.target(to)?.clone(), || (&config.own).into(), &self.stop)?;
        act(&Pair::new(config.source(from)?, &target, &config.own)?)
    }

    fn tell(&self, pair: &str, done: &Done) -> Outcome {
        let outcome = done.outcome();
        match (&done.report.backup, done.report.counts.problems) {
            (None, _) => {
                let how = "parked; what was stored is used by the next run";
                self.say(pair, &format!("{how}: {}", done.amounts()));
            }
            (Some(name), 0) => self.say(pair, &format!("done: {name}: {}", done.amounts())),
            (Some(name), problems) => {
                let problems = term::plural(problems, "problem", "problems");
                let text = format!("{pair}done with {problems}: {name}: {}", done.amounts());
                term::warning(&format!("job {}: {text}", self.job.name));
            }
        }
        outcome
    }

    fn failed(&self, pair: &str, failure: Failure) -> Outcome {
        let outcome = failure.outcome;
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

/// By the clock of the box, in seconds since 1970.
pub(super) fn now() -> i64 {
    Utc::from_system(SystemTime::now()).to_unix()
}

/// How bad it is for a whole job.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::DoneWithProblems => 1,
        Outcome::Interrupted => 3,
        _ => 2,
    }
}

/// A monitor that logs problems.
struct Log<'a> {
    job: &'a str,
    problems: AtomicU32,
    notices: AtomicU32,
    is_quiet: bool,
}

impl Monitor for Log<'_> {
    fn count(&self, _: Counter, _: u64) {}

    fn at(&self, _: Phase, _: &RelPath) {}

    fn problem(&self, problem: Problem) {
        if let Some(text) = self.line(&problem) {
            term::say(format_args!("brackup: {}: job {}: {}", word(&problem), self.job, term::safe(&text)));
        }
    }
}

impl Log<'_> {
    /// What is logged of it, if anything is. Each kind is counted for itself: a thousand files that changed while they were read must not
    /// hide one that could not be.
    fn line(&self, problem: &Problem) -> Option<String> {
        let logged = match problem.severity {
            Severity::Notice if self.is_quiet => return None,
            Severity::Notice => &self.notices,
            _ => &self.problems,
        };
        match logged.fetch_add(1, Ordering::Relaxed) {
            before if before < PROBLEMS_LOGGED_MAX => Some(format!("{}: {}", problem.subject, problem.what)),
            PROBLEMS_LOGGED_MAX => Some(format!("there are more {}s, which are counted and not listed", word(problem))),
            _ => None,
        }
    }
}

fn word(problem: &Problem) -> &'static str {
    if problem.severity == Severity::Notice { "note" } else { "problem" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_notices_do_not_hide_a_problem() {
        let log = Log { job: "nightly", problems: 0.into(), notices: 0.into(), is_quiet: false };
        let of = |severity| Problem { severity, subject: "file".into(), what: "changed".into() };
        let lines: Vec<_> = (0..500).filter_map(|_| log.line(&of(Severity::Notice))).collect();
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[100], "there are more notes, which are counted and not listed");
        assert_eq!(log.line(&of(Severity::Problem)).as_deref(), Some("file: changed"));
    }
}
