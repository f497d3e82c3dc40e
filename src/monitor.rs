//! What a run tells while it goes on: counts, where it is, and what went wrong.
//!
//! A problem does not stop a run (invariant I10): it is told here, counted, and changes the exit code.
//! Implementations: the terminal, JSON lines, the log of a job, tests; the status page comes later.

use std::sync::Mutex;

use crate::relpath::RelPath;

/// What is counted. The last word of each is its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Directories, links, devices and so on, met or restored.
    OtherEntries,
    /// Regular files met, restored or verified.
    Files,
    /// Files whose contents the stat cache knew.
    UnchangedFiles,
    /// Sum of the sizes of files that are done with.
    FileBytes,
    /// Bytes that were read from the source or fetched from the target.
    ReadBytes,
    /// Chunks that were stored or verified.
    Chunks,
    /// Sealed bytes that were stored or verified.
    StoredBytes,
    /// Files and bytes that a run expects to meet, where it knows.
    ExpectedFiles,
    /// See [`Counter::ExpectedFiles`].
    ExpectedBytes,
}

/// How many counters there are.
pub const COUNTERS: usize = Counter::ExpectedBytes as usize + 1;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Walking and reading the source.
    Backup,
    /// Writing and storing the metafile.
    Metafile,
    /// Writing files.
    Restore,
    /// Reading objects or files to check them.
    Verify,
    /// Deleting objects.
    Delete,
    /// Bringing objects to another target.
    Copy,
}

/// How bad a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth a line: a file vanished or changed under way. The exit code stays 0.
    Notice,
    /// Something is missing from the result. Exit code 3.
    Problem,
}

/// Something that happened to one entry or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The path (escaped) or the name of the object.
    pub subject: String,
    /// What happened, in words.
    pub what: String,
}

/// Receives what a run tells. Implementations must be quick: the run waits.
pub trait Monitor: Send + Sync {
    /// `by` more of `counter`.
    fn count(&self, counter: Counter, by: u64);
    /// The run has come to `path`.
    fn at(&self, phase: Phase, path: &RelPath);
    /// Something went wrong, or is worth a line.
    fn problem(&self, problem: Problem);
}

/// Tells a [`Monitor`] and keeps what the end of the run needs: the counts, and the number of problems.
pub struct Tally<'a> {
    monitor: &'a dyn Monitor,
    counts: Mutex<Counts>,
}

/// Sums at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By counter.
    pub by: [u64; COUNTERS],
    /// Of severity problem.
    pub problems: u64,
    /// Of severity notice.
    pub notices: u64,
}

impl Counts {
    /// The sum of one counter.
    pub fn of(&self, counter: Counter) -> u64 {
        self.by[counter as usize]
    }
}

impl<'a> Tally<'a> {
    /// A tally at zero.
    pub fn new(monitor: &'a dyn Monitor) -> Self {
        Self { monitor, counts: Mutex::default() }
    }

    /// Counts, here and at the monitor.
    pub fn count(&self, counter: Counter, by: u64) {
        self.counts().by[counter as usize] += by;
        self.monitor.count(counter, by);
    }

    /// Passes on where the run is.
    pub fn at(&self, phase: Phase, path: &RelPath) {
        self.monitor.at(phase, path);
    }

    /// Something is missing from the result.
    pub fn problem(&self, subject: impl Into<String>, what: impl Into<String>) {
        self.counts().problems += 1;
        self.tell(Severity::Problem, subject.into(), what.into());
    }

    /// Worth a line and no more.
    pub fn notice(&self, subject: impl Into<String>, what: impl Into<String>) {
        self.counts().notices += 1;
        self.tell(Severity::Notice, subject.into(), what.into());
    }

    /// The sums so far.
    pub fn sums(&self) -> Counts {
        *self.counts()
    }

    fn tell(&self, severity: Severity, subject: String, what: String) {
        self.monitor.problem(Problem { severity, subject, what });
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        // A panic elsewhere does not make a sum wrong.
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tally<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sums().fmt(f)
    }
}

/// An error and all that lies below it in one line, as problems are told.
pub fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// A monitor that keeps the problems and nothing else: for tests and for `-q`.
#[derive(Debug, Default)]
pub struct Quiet {
    problems: Mutex<Vec<Problem>>,
}

impl Quiet {
    /// What was told so far; at most a thousand are kept.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Monitor for Quiet {
    fn count(&self, _: Counter, _: u64) {}
    fn at(&self, _: Phase, _: &RelPath) {}
    fn problem(&self, problem: Problem) {
        let mut problems = self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if problems.len() < 1000 {
            problems.push(problem);
        }
    }
}
