//! What a run has come to: counted by the threads of the run, read by whoever looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::monitor::{COUNTERS, Counter, Monitor, Phase, Problem, Severity};
use crate::relpath::RelPath;

/// Problems that are kept to be shown.
const PROBLEMS_MAX: usize = 20;
/// Of a path, or of what is told of one.
const CHARS_MAX: usize = 300;

/// A run that goes on. What it is told it also passes on.
pub struct Running<'a> {
    live: &'a Live,
    inner: &'a dyn Monitor,
}

/// Counters of a run.
#[derive(Default)]
pub(super) struct Live {
    seen: Mutex<Seen>,
    /// Somebody has looked since the run last said where it is.
    is_watched: AtomicBool,
}

#[derive(Clone, Default)]
struct Seen {
    counts: [u64; COUNTERS],
    phase: Option<Phase>,
    path: String,
    problems: Vec<String>,
    told: u64,
}

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The job.
    pub job: String,
    /// What is done of it: `photos to raid`.
    pub what: String,
    /// Since when.
    pub began: i64,
    /// What it is at.
    pub phase: Option<Phase>,
    /// Where it is. Only for who may see names of files.
    pub path: String,
    /// By counter.
    pub counts: [u64; COUNTERS],
    /// Bytes that there were the last time; 0: not known.
    pub expected_bytes: u64,
    /// What went wrong so far, the first few. Likewise.
    pub problems: Vec<String>,
    /// How much did in all.
    pub problems_told: u64,
}

impl Progress {
    /// The sum of one counter.
    pub fn of(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Bytes, and how many there are, if that is known: of files, or of what is read or copied as it is.
    fn done_of_all(&self) -> (u64, u64) {
        match (self.of(Counter::FileBytes), self.expected_bytes) {
            (0, 0) => (self.of(Counter::StoredBytes), self.of(Counter::ExpectedBytes)),
            of_files => of_files,
        }
    }

    /// Whether files are counted: what is verified or copied is taken as it lies there.
    pub fn is_of_files(&self) -> bool {
        self.of(Counter::Files) + self.of(Counter::FileBytes) > 0 || self.of(Counter::StoredBytes) == 0
    }

    /// How much of it is done, in percent; nothing: not known.
    pub fn percent(&self) -> Option<u64> {
        let (done, all) = self.done_of_all();
        // What grew since the last time is not there before it ends.
        (all > 0).then(|| (done.saturating_mul(100) / all).min(99))
    }

    /// Bytes in a second so far.
    pub fn rate(&self, now: i64) -> u64 {
        let seconds = u64::try_from(now - self.began).unwrap_or(0).max(1);
        self.done_of_all().0 / seconds
    }

    /// Seconds that are left, if it goes on like this.
    pub fn left(&self, now: i64) -> Option<u64> {
        let (rate, (done, all)) = (self.rate(now), self.done_of_all());
        let left = all.checked_sub(done).filter(|left| *left > 0)?;
        (rate > 0 && now - self.began >= 5).then(|| left / rate)
    }
}

impl Live {
    pub(super) fn monitor<'a>(&'a self, inner: &'a dyn Monitor) -> Running<'a> {
        Running { live: self, inner }
    }

    pub(super) fn show(&self, progress: &mut Progress) {
        self.is_watched.store(true, Ordering::Relaxed);
        let Seen { counts, phase, path, problems, told } = self.seen().clone();
        *progress = Progress { counts, phase, path, problems, problems_told: told, ..std::mem::take(progress) };
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere does not make it wrong.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Running<'_> {
    fn count(&self, counter: Counter, by: u64) {
        self.live.seen().counts[counter as usize] += by;
        self.inner.count(counter, by);
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        // A million paths that nobody sees would be a million copies.
        if self.live.is_watched.swap(false, Ordering::Relaxed) {
            let mut seen = self.live.seen();
            seen.phase = Some(phase);
            seen.path = path.escaped().chars().take(CHARS_MAX).collect();
        }
        self.inner.at(phase, path);
    }

    fn problem(&self, problem: Problem) {
        if problem.severity == Severity::Problem {
            let mut seen = self.live.seen();
            seen.told += 1;
            if seen.problems.len() < PROBLEMS_MAX {
                let text = format!("{}: {}", problem.subject, problem.what).chars().take(CHARS_MAX).collect();
                seen.problems.push(text);
            }
        }
        self.inner.problem(problem);
    }
}

impl std::fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}
