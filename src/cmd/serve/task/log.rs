//! What a run of a job meets, in the log.

use std::sync::atomic::{AtomicU32, Ordering};

use brackup::monitor::{Counter, Monitor, Phase, Problem, Severity};
use brackup::relpath::RelPath;

use crate::term;

/// Problems of one backup that go to the log, and notices. The others are counted.
const PROBLEMS_LOGGED_MAX: u32 = 100;

/// A monitor that logs problems.
pub(super) struct Log<'a> {
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

impl<'a> Log<'a> {
    pub(super) fn of(job: &'a str, is_quiet: bool) -> Self {
        Self { job, problems: 0.into(), notices: 0.into(), is_quiet }
    }

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
        let log = Log::of("nightly", false);
        let of = |severity| Problem { severity, subject: "file".into(), what: "changed".into() };
        let lines: Vec<_> = (0..500).filter_map(|_| log.line(&of(Severity::Notice))).collect();
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[100], "there are more notes, which are counted and not listed");
        assert_eq!(log.line(&of(Severity::Problem)).as_deref(), Some("file: changed"));
    }
}
