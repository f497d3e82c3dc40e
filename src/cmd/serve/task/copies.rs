//! What lies at other targets, whoever stored it, is copied on to those of the job, as `brackup copy` does it.

use std::sync::atomic::Ordering;

use brackup::copy::{Report, Which};
use brackup::db::{Deed, Past};
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::status::Progress;

use super::super::super::copy::{self, Between};
use super::super::super::open::State;
use super::super::super::past::{self, Overheard};
use super::backups::{rank, worse};
use super::log::Log;
use super::{Task, now};
use crate::term::{self, Failure};

impl Task {
    /// Each to each, whatever comes of it; gives the worst that came. A failure: there is nothing else to do, and nothing was there.
    pub(super) fn copies(&self, state: &State) -> Result<Outcome, Failure> {
        let (mut worst, mut absent, mut is_all_absent) = (Outcome::Done, None, self.job.from.is_empty());
        let (mut nights, mut good) = (Vec::new(), self.job.to.iter().map(|to| &**to).collect::<Vec<_>>());
        for (from, to) in self.job.copies() {
            if self.stop.load(Ordering::Relaxed) {
                worst = Outcome::Interrupted;
                break;
            }
            let pair = format!("copy of {from} to {to}: ");
            let (came, past) = self.copied(from, to, state);
            nights.push(past);
            // A night in which a backup stayed behind is none that is good: somebody is to hear of it after three.
            let left_out = came.as_ref().is_ok_and(|(report, _)| report.left_out > 0);
            let outcome = match came {
                Err(failure) if failure.outcome == Outcome::NoSuchTarget && is_all_absent => {
                    let message = format!("{pair}{}", failure.message);
                    absent.get_or_insert(Failure { message, ..failure });
                    Outcome::NoSuchTarget
                }
                Err(failure) => {
                    self.alerts.why(&format!("{pair}{}", failure.message));
                    self.failed(&pair, failure)
                }
                Ok((report, problems)) => self.tell_copy(&pair, &report, problems),
            };
            is_all_absent &= outcome == Outcome::NoSuchTarget;
            worst = worse(worst, if left_out { worse(outcome, Outcome::Failed) } else { outcome });
            if rank(outcome) > rank(Outcome::DoneWithProblems) {
                good.retain(|good| *good != to);
            }
        }
        match absent {
            // As with backups: it is tried again, and was no night.
            Some(failure) if is_all_absent => return Err(failure),
            Some(failure) => drop(self.failed("", failure)),
            None => {}
        }
        nights.iter().for_each(|past| past::remember(state, past));
        // Where there are backups too they are looked after already: what takes longest comes last.
        Ok(if self.job.from.is_empty() { self.kept_up(state, &good, worst) } else { worst })
    }

    /// What came of it, and problems; and that for who looks later.
    fn copied(&self, from: &str, to: &str, state: &State) -> (Result<(Report, u64), Failure>, Past) {
        let began = now();
        let name = format!("{}: copy of {from} to {to}", self.job.name);
        let log = Log::of(&name, self.is_quiet);
        let heard = Overheard::of(&log);
        let (job, what) = (self.job.name.clone(), format!("Copying {from} to {to}"));
        let progress = Progress { job, what, began, ..Progress::default() };
        let (came, counts) = self.board.during(progress, &heard, |monitor| {
            let tally = Tally::new(monitor);
            (self.copy(from, to, state, &tally), tally.sums())
        });
        let is_parked = self.stop.load(Ordering::Relaxed);
        // A way that was told to end has failed for nothing else.
        let came = came.or_else(|failure| match failure.outcome {
            Outcome::Interrupted if is_parked => Ok(Report { interrupted: true, ..Report::default() }),
            _ => Err(failure),
        });
        let (outcome, words, files, bytes) = match &came {
            Err(failure) => (failure.outcome, past::shortened(&failure.message), 0, 0),
            Ok(report) => {
                let problems = Outcome::of_problems(counts.problems);
                let outcome = if report.interrupted { Outcome::Interrupted } else { problems };
                let backups = report.backups_there + report.backups.len() as u64;
                (outcome, heard.words(), backups, report.there.bytes + report.copied.bytes)
            }
        };
        let past = past::upkeep(Deed::Copy, to, outcome, &counts, words);
        let past = Past { source: from.into(), began, files, bytes, ..past };
        (came.map(|report| (report, counts.problems)), past)
    }

    fn copy(&self, from: &str, to: &str, state: &State, tally: &Tally<'_>) -> Result<Report, Failure> {
        let (from, to, db) = (self.target(from)?, self.target(to)?, state.database()?);
        let between = Between { from: &from, to: &to, own: &self.config.own, db: Some(&db) };
        between.copy(Which::All, (false, false), tally, &self.stop)
    }

    fn tell_copy(&self, pair: &str, report: &Report, problems: u64) -> Outcome {
        let amounts = copy::amounts(report, false);
        if report.interrupted {
            self.say(pair, &format!("parked; the next run goes on: copied {amounts}"));
            return Outcome::Interrupted;
        }
        if problems == 0 {
            self.say(pair, &format!("done: copied {amounts}"));
        } else {
            let problems = term::plural(problems, "problem", "problems");
            self.alerts.why(&format!("{pair}{problems}"));
            term::warning(&format!("job {}: {pair}done with {problems}: copied {amounts}", self.job.name));
        }
        Outcome::of_problems(problems)
    }
}
