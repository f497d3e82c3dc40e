//! What the last runs were, at the start.

use std::sync::Arc;
use std::time::Duration;

use brackup::outcome::Outcome;
use brackup::scheduler::Runs;

use super::orders::WAITING;
use super::work::Answer;
use super::{RETRY, Service, shown, task};
use crate::term::{self, Failure};

impl Service {
    pub(super) fn recall(&mut self) -> Option<Duration> {
        let (config, board, alerts) = (self.config.clone(), self.board.clone(), self.alerts.clone());
        self.work(None, Arc::default(), None, move || {
            let recalled = task::recall(&config, &alerts);
            shown::read(&config, &board, None);
            Answer::Recalled(recalled)
        })
    }

    pub(super) fn recalled(&mut self, runs: Result<Runs, Failure>) {
        let is_locked = runs.as_ref().is_err_and(|failure| failure.outcome == Outcome::Locked);
        self.board.change(|report| report.waiting = is_locked.then(|| WAITING.to_owned()));
        if !is_locked {
            self.locked.remove("");
        }
        match runs {
            Ok(runs) => {
                self.had_state = !runs.is_empty();
                self.runs = Some(runs);
            }
            Err(failure) if is_locked => {
                self.recall_from = self.began.elapsed() + RETRY;
                self.locked_again(String::new(), &format!("{}: waiting for it", failure.message));
            }
            Err(failure) => {
                let what = "what the last runs were is not known; each job runs now";
                term::warning(&format!("{}: {what}", failure.message));
                self.runs = Some(Runs::new());
            }
        }
    }
}
