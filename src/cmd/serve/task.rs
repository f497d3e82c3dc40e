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
use crate::term::{self, Failure};

/// Problems of one backup that go to the log. The others are counted.
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
}

impl Task {
    /// Makes the job's backups; nothing if another run holds the lock.
    pub(super) fn run(&self) -> Option<JobRun> {
        let mut run = JobRun::begin(now(), self.last.as_ref());
        let ended = |outcome| Some(JobEnd { at: now(), outcome });
        match State::lock(&self.config.own) {
            Err(failure) if failure.outcome == Outcome::Locked => return None,
            Err(failure) => run.end = ended(self.failed("", failure)),
            Ok(state) => {
                self.say("", "begins");
                self.remember(&state, &run);
                run.end = ended(self.pairs(&state));
                self.remember(&state, &run);
            }
        }
        Some(run)
    }

    /// One after the other, whatever comes of each; gives the worst that came.
    fn pairs(&self, state: &State) -> Outcome {
        let mut worst = Outcome::Done;
        for (from, to) in self.job.pairs() {
            if self.stop.load(Ordering::Relaxed) {
                return Outcome::Interrupted;
            }
            let pair = format!("{from} to {to}: ");
            let outcome = match self.pair(from, to, state) {
                Ok(done) => self.tell(&pair, &done),
                Err(failure) => self.failed(&pair, failure),
            };
            worst = if rank(outcome) > rank(worst) { outcome } else { worst };
        }
        worst
    }

    fn pair(&self, from: &str, to: &str, state: &State) -> Result<Done, Failure> {
        let config = &self.config;
        let target = open::named_target(config.target(to)?.clone())?;
        let pair = Pair::new(config.source(from)?, &target, &config.own)?;
        let monitor = Log { job: &self.job.name, problems: AtomicU32::new(0), is_quiet: self.is_quiet };
        pair.back_up(state, false, Watcher { monitor: &monitor, wants_totals: false }, &self.stop)
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
    is_quiet: bool,
}

impl Monitor for Log<'_> {
    fn count(&self, _: Counter, _: u64) {}

    fn at(&self, _: Phase, _: &RelPath) {}

    fn problem(&self, problem: Problem) {
        let is_notice = problem.severity == Severity::Notice;
        if is_notice && self.is_quiet {
            return;
        }
        let word = if is_notice { "note" } else { "problem" };
        let text = match self.problems.fetch_add(1, Ordering::Relaxed) {
            before if before < PROBLEMS_LOGGED_MAX => format!("{}: {}", problem.subject, problem.what),
            PROBLEMS_LOGGED_MAX => "there are more, which are counted and not listed".to_owned(),
            _ => return,
        };
        term::say(format_args!("brackup: {word}: job {}: {}", self.job, term::safe(&text)));
    }
}
