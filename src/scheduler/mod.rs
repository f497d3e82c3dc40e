//! What is due, and how long to sleep: decided from plain values, done by whoever asks.
//!
//! A job is due if a time of its schedule has come since its last run ended: so what was missed is made up for once, and what passes while
//! it runs is not. One that never ran, or was parked, or cut off, is due at once. What is due outside its window waits for it. No clock
//! is read here and nothing is waited for.

mod zone;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{JobOptions, Schedule};
use crate::db::JobRun;
use crate::limits::CLOCK_SECONDS_MIN;
use crate::outcome::Outcome;

pub use zone::Zone;

/// How long nobody looks at the clock. It may be set meanwhile, and a box that was suspended has slept longer than it knows.
pub const WATCH: Duration = Duration::from_secs(300);
/// The same while the clock is doubted: it is about to be set.
pub const WATCH_DOUBTED: Duration = Duration::from_secs(30);
/// How long a clock that is behind the last run is waited for. Then it is taken for right: somebody has set it back.
pub const PATIENCE: Duration = Duration::from_secs(3600);
/// A clock is corrected by less than this without being doubted.
const CORRECTION_SECONDS: i64 = 86_400;
/// A run that is cut off so many times in a row waits for its next time: it may be what brings the box down.
const TRIES_MAX: u32 = 3;

/// The last runs by the name of the job.
pub type Runs = BTreeMap<String, JobRun>;

/// What the clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970. It may be wrong, and may leap.
    pub unix: i64,
    /// Since some moment that stays the same; it only goes forward.
    pub uptime: Duration,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Run the job of this number.
    Run(usize),
    /// Nothing, for this reason, and ask again after so long at the latest; nothing: not until the jobs are others.
    Sleep(Why, Option<Duration>),
}

/// Why nothing is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are no jobs.
    NoJobs,
    /// The clock shows a time before this version was made.
    ClockNotSet,
    /// The clock shows a time long before the last run, which was at this time.
    ClockBehind(i64),
    /// What is due is held back.
    Held,
    /// Nothing is due before this time, when the job of this number is.
    Next(usize, i64),
}

/// What has to be remembered from one plan to the next.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// Until when by the uptime, by the name of the job.
    held: BTreeMap<String, Duration>,
    behind_since: Option<Duration>,
}

impl Scheduler {
    /// What to do now. Of several jobs that are due, the one that has been for the longest.
    pub fn plan(&mut self, jobs: &[JobOptions], runs: &Runs, zone: &Zone, now: Now) -> Plan {
        if jobs.is_empty() {
            return Plan::Sleep(Why::NoJobs, None);
        }
        if now.unix < CLOCK_SECONDS_MIN {
            return Plan::Sleep(Why::ClockNotSet, Some(WATCH_DOUBTED));
        }
        if let Some(newest) = self.behind(jobs, runs, now) {
            return Plan::Sleep(Why::ClockBehind(newest), Some(WATCH_DOUBTED));
        }
        self.held.retain(|_, until| *until > now.uptime);
        let due = |job: &JobOptions| due_since(job, runs.get(&job.name), zone, now.unix);
        let dues = jobs.iter().enumerate().filter_map(|(number, job)| due(job).map(|since| (since, number)));
        let dues = dues.filter(|(_, number)| is_open(&jobs[*number], zone, now.unix));
        let (held, free): (Vec<_>, Vec<_>) = dues.partition(|(_, number)| self.held.contains_key(&jobs[*number].name));
        if let Some((_, number)) = free.into_iter().min() {
            return Plan::Run(number);
        }
        let nexts =
            jobs.iter().enumerate().map(|(number, job)| (next(job, runs.get(&job.name), zone, now.unix), number));
        let (at, number) = nexts.min().unwrap_or_default();
        let until_next = Duration::from_secs(at.saturating_sub(now.unix).unsigned_abs());
        let until_free = self.held.values().map(|until| until.saturating_sub(now.uptime)).min();
        let sleep = until_next.min(WATCH).min(until_free.unwrap_or(WATCH));
        let why = if held.is_empty() { Why::Next(number, at) } else { Why::Held };
        Plan::Sleep(why, Some(sleep))
    }

    /// A job is not run before this uptime, due or not.
    pub fn hold(&mut self, job: &str, until: Duration) {
        self.held.insert(job.to_owned(), until);
    }

    /// Whether a job is held at this uptime.
    pub fn is_held(&self, job: &str, uptime: Duration) -> bool {
        self.held.get(job).is_some_and(|until| *until > uptime)
    }

    /// A job is not held any more.
    pub fn free(&mut self, job: &str) {
        self.held.remove(job);
    }

    /// No job is held any more.
    pub fn free_all(&mut self) {
        self.held.clear();
    }

    /// The time of the last run, if the clock is behind it and has not been waited for long enough.
    fn behind(&mut self, jobs: &[JobOptions], runs: &Runs, now: Now) -> Option<i64> {
        let newest = jobs.iter().filter_map(|job| runs.get(&job.name)).map(newest).max()?;
        if !is_ahead(newest, now.unix) {
            self.behind_since = None;
            return None;
        }
        let since = *self.behind_since.get_or_insert(now.uptime);
        (now.uptime.saturating_sub(since) < PATIENCE).then_some(newest)
    }
}

/// When the job will be due, if it is not; when its window opens, if it is.
pub fn next(job: &JobOptions, last: Option<&JobRun>, zone: &Zone, now: i64) -> i64 {
    let served = last.and_then(served_until).filter(|served| !is_ahead(*served, now));
    let due = match due_since(job, last, zone, now) {
        Some(_) if !is_open(job, zone, now) => now,
        _ => zone.next(&job.at, served.map_or(now, |served| served.max(now))),
    };
    in_window(job, zone, due)
}

/// When a job that is due at this time may run.
pub fn in_window(job: &JobOptions, zone: &Zone, due: i64) -> i64 {
    match job.window {
        Some(window) if !is_open(job, zone, due) => zone.next(&Schedule::daily(window.opens), due),
        _ => due,
    }
}

/// Until when a job that runs may go on: the end of its window, if it has one. `now` or before: it is to be parked.
pub fn closes(job: &JobOptions, zone: &Zone, now: i64) -> Option<i64> {
    let window = job.window?;
    if !is_open(job, zone, now) {
        return Some(now);
    }
    Some(zone.next(&Schedule::daily(window.closes), now))
}

/// Whether the job may run now.
fn is_open(job: &JobOptions, zone: &Zone, now: i64) -> bool {
    job.window.is_none_or(|window| window.has(zone.minute_of_day(now)))
}

/// Since when a job that is due may run; nothing: it is not due, or its window is closed.
pub fn may_run_since(job: &JobOptions, last: Option<&JobRun>, zone: &Zone, now: i64) -> Option<i64> {
    let due = due_since(job, last, zone, now).filter(|_| is_open(job, zone, now))?;
    Some(job.window.map_or(due, |window| due.max(zone.last(&Schedule::daily(window.opens), now))))
}

/// Since when the job is due.
fn due_since(job: &JobOptions, last: Option<&JobRun>, zone: &Zone, now: i64) -> Option<i64> {
    let time = zone.last(&job.at, now);
    match last.and_then(served_until) {
        Some(served) if time <= served && !is_ahead(served, now) => None,
        _ => Some(time),
    }
}

/// Up to when a run has done what was due; nothing: it is to go on.
fn served_until(run: &JobRun) -> Option<i64> {
    match run.end {
        Some(end) if end.outcome == Outcome::Interrupted => None,
        Some(end) => Some(end.at),
        None => (run.tries >= TRIES_MAX).then_some(run.began),
    }
}

fn newest(run: &JobRun) -> i64 {
    run.end.map_or(run.began, |end| end.at)
}

fn is_ahead(time: i64, now: i64) -> bool {
    time.saturating_sub(now) > CORRECTION_SECONDS
}

#[cfg(test)]
mod tests;
