//! What a job does from its `pre` to its `post`.

use std::ffi::OsString;
use std::sync::atomic::Ordering;
use std::time::Duration;

use brackup::db::{Deed, Past};
use brackup::monitor::{Counts, Quiet};
use brackup::outcome::Outcome;
use brackup::status::Progress;

use super::super::super::open::State;
use super::super::super::past;
use super::backups::{rank, worse};
use super::command::Around;
use super::{Task, now};
use crate::term::{self, Failure};

/// How long `post` may go on when the service ends: it has something to clean up.
const POST_PATIENCE: Duration = Duration::from_secs(3);

impl Task {
    /// `pre`, the backups and copies, `post`. Without what `pre` does there is no backup; `post` is always run, since a part of that may be there.
    pub(super) fn with_commands(&self, state: &State) -> Result<Outcome, Failure> {
        let (came, word) = match self.pre() {
            Ok(()) => {
                let came = self.backups(state).and_then(|came| Ok(worse(came, self.copies(state)?)));
                let word = came.as_ref().map_or("failed", |outcome| word(*outcome));
                (came, word)
            }
            Err(_) if self.stop.load(Ordering::Relaxed) => {
                self.say("", "parked before its backups began");
                (Ok(Outcome::Interrupted), "parked")
            }
            Err(failure) => {
                self.alerts.why(&format!("skipped: {}", failure.message));
                self.write_down(Some(state), &failure);
                let message = format!("job {}: skipped: {}", self.job.name, failure.message);
                term::error(&Failure { message, ..failure });
                (Ok(Outcome::Failed), "skipped")
            }
        };
        let post = self.post(word);
        // One that the end of the service has ended says nothing.
        if self.job.post.is_some() && !self.ends.load(Ordering::Relaxed) {
            let outcome = post.as_ref().map_or_else(|failure| failure.outcome, |()| Outcome::Done);
            let words = post.as_ref().map_or_else(|failure| past::shortened(&failure.message), |()| String::new());
            for (from, to) in self.job.pairs().chain(self.job.copies()) {
                let past = past::upkeep(Deed::Post, to, outcome, &Counts::default(), words.clone());
                past::remember(state, &Past { source: from.to_owned(), ..past });
            }
        }
        let Err(failure) = post else { return came };
        let outcome = self.failed("", failure);
        came.map(|came| if rank(outcome) > rank(came) { Outcome::DoneWithProblems } else { came })
    }

    fn pre(&self) -> Result<(), Failure> {
        let Some(command) = &self.job.pre else { return Ok(()) };
        let patience = Duration::ZERO;
        let pre = Around { job: &self.job.name, what: "pre", command, patience, is_quiet: self.is_quiet };
        self.during(pre.what, || pre.run(&self.environment(), &self.stop))
    }

    fn post(&self, outcome: &str) -> Result<(), Failure> {
        let Some(command) = &self.job.post else { return Ok(()) };
        let patience = POST_PATIENCE;
        let post = Around { job: &self.job.name, what: "post", command, patience, is_quiet: self.is_quiet };
        let mut environment = self.environment();
        environment.push(("BRACKUP_OUTCOME", outcome.into()));
        // A window that closes leaves it its time.
        self.during(post.what, || post.run(&environment, &self.ends))
    }

    /// Seen by who looks, and what can be stopped.
    fn during(&self, what: &str, act: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let (job, what) = (self.job.name.clone(), format!("Running `{what}` of {}", self.job.name));
        let progress = Progress { job, what, began: now(), ..Progress::default() };
        self.board.during(progress, &Quiet::default(), |_| act())
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("BRACKUP_JOB", self.job.name.clone().into()),
            ("BRACKUP_FROM", self.job.from.join(" ").into()),
            ("BRACKUP_COPY_FROM", self.job.copy_from.join(" ").into()),
            ("BRACKUP_TO", self.job.to.join(" ").into()),
            ("BRACKUP_CONF", self.config.file.clone().into()),
        ]
    }
}

/// As `post` is told it.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::DoneWithProblems => "problems",
        Outcome::Interrupted => "parked",
        _ => "failed",
    }
}
