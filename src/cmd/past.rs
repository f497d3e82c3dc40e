//! What came of a backup, a verification or a test, written down for who looks later.

use std::sync::{Mutex, PoisonError};

use brackup::date::Utc;
use brackup::db::{Deed, Past};
use brackup::monitor::{Counter, Counts, Monitor, Phase, Problem, Severity};
use brackup::outcome::Outcome;
use brackup::relpath::RelPath;
use brackup::target::BackupName;

use super::open::State;
use super::pair::Done;
use crate::term::{self, Failure};

/// Problems that are written down. The others are counted.
const LINES_MAX: usize = 12;
/// Of one.
const CHARS_MAX: usize = 300;

/// Passes on what it is told, and keeps the first problems.
pub(crate) struct Overheard<'a> {
    inner: &'a dyn Monitor,
    lines: Mutex<Vec<String>>,
}

impl<'a> Overheard<'a> {
    pub(crate) fn of(inner: &'a dyn Monitor) -> Self {
        Self { inner, lines: Mutex::default() }
    }

    /// One problem a line.
    pub(crate) fn words(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Monitor for Overheard<'_> {
    fn count(&self, counter: Counter, by: u64) {
        self.inner.count(counter, by);
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        self.inner.at(phase, path);
    }

    fn problem(&self, problem: Problem) {
        if problem.severity == Severity::Problem {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() < LINES_MAX {
                lines.push(shortened(&format!("{}: {}", problem.subject, problem.what)));
            }
        }
        self.inner.problem(problem);
    }
}

/// A run of a source, of which something came at each target.
pub(crate) struct Run<'a> {
    source: &'a str,
    began: i64,
}

impl<'a> Run<'a> {
    pub(crate) fn begin(source: &'a str) -> Self {
        Self { source, began: now() }
    }

    /// It was backed up to this one, or parked there.
    pub(crate) fn backed_up(&self, target: &str, done: &Done, words: String) -> Past {
        let of = |counter| done.report.counts.of(counter);
        Past {
            backup: done.report.backup.as_ref().map(ToString::to_string),
            files: of(Counter::Files),
            bytes: of(Counter::FileBytes),
            stored: of(Counter::StoredBytes),
            problems: done.report.counts.problems,
            words,
            ..self.ended(target, done.outcome())
        }
    }

    /// What was backed up to another one has come here too.
    pub(crate) fn copied(&self, target: &str, name: &BackupName, stored: u64, problems: u64) -> Past {
        let ended = self.ended(target, Outcome::of_problems(problems));
        Past { backup: Some(name.to_string()), stored, problems, ..ended }
    }

    pub(crate) fn failed(&self, target: &str, failure: &Failure) -> Past {
        Past { words: shortened(&failure.message), ..self.ended(target, failure.outcome) }
    }

    pub(crate) fn parked(&self, target: &str) -> Past {
        self.ended(target, Outcome::Interrupted)
    }

    fn ended(&self, target: &str, outcome: Outcome) -> Past {
        let Self { source, began } = *self;
        let (source, target, words) = (source.to_owned(), target.to_owned(), String::new());
        let (backup, files, bytes, stored, problems) = (None, 0, 0, 0, 0);
        let (what, ended) = (Deed::Backup, now());
        Past { what, source, target, began, ended, outcome, backup, files, bytes, stored, problems, words }
    }
}

/// What was done at a target with all that is there. It began now, if nobody says otherwise.
pub(crate) fn upkeep(what: Deed, target: &str, outcome: Outcome, counts: &Counts, words: String) -> Past {
    let of = |counter| counts.of(counter);
    Past {
        what,
        files: of(Counter::Files),
        bytes: of(Counter::FileBytes),
        stored: of(Counter::StoredBytes),
        problems: counts.problems,
        words,
        ..Run::begin("").ended(target, outcome)
    }
}

/// Writes it down. What can't be costs a picture and no more.
pub(crate) fn remember(state: &State, past: &Past) {
    written(state.database().and_then(|db| Ok(db.remember_past(past)?)));
}

/// The same, where somebody else has the database.
pub(crate) fn written(written: Result<(), Failure>) {
    if let Err(failure) = written {
        term::warning(&format!("what came of it can't be remembered for the status: {}", failure.message));
    }
}

/// In one line, not longer than a page can show.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(CHARS_MAX).collect()
}

/// By the clock of the box, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Utc::now().to_unix()
}
