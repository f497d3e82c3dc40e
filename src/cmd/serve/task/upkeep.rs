//! What a job does at a target that has got its backups: prune, gc, verify, a test of a restore.
//!
//! The backups are there, whatever comes of it: what goes wrong is a problem of the run, and what is parked is due with the next one.

use std::sync::atomic::Ordering;

use brackup::config::Every;
use brackup::db::{Deed, JobEnd, Past};
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::status::Progress;

use super::super::super::memory::Memory;
use super::super::super::open::State;
use super::super::super::past::{self, Overheard};
use super::super::super::provider::NamedTarget;
use super::super::super::{gc, prune, verify};
use super::log::Log;
use super::{Task, now};
use crate::term::{self, Failure};

/// A run a day is never a day apart to the second.
const SLACK_SECONDS: i64 = 43_200;

/// What can be done, by its key in the configuration.
const CHORES: [&str; 4] = ["prune", "gc", "verify", "restore_test"];
/// Of what is at a target, where somebody wants it verified now and the job says nothing of it.
const VERIFIED_PERCENT: f64 = 5.0;

impl Task {
    /// All that is due at these targets; whether all was well.
    pub(super) fn upkeep(&self, state: &State, targets: &[&str]) -> bool {
        let mut is_well = true;
        // What takes long comes last, everywhere: it must not keep a target from being pruned.
        for what in CHORES {
            for to in targets {
                if self.stop.load(Ordering::Relaxed) {
                    return is_well;
                }
                is_well &= self.chore(what, to, state).unwrap_or_else(|failure| {
                    self.failed(&format!("{what} at {to}: "), failure);
                    false
                });
            }
        }
        is_well
    }

    /// Verifies what is at each target, since somebody wants that now.
    pub(super) fn verify_now(&self, state: &State) {
        for to in &self.job.to {
            if let Err(failure) = self.chore("verify", to, state) {
                self.failed(&format!("verify at {to}: "), failure);
            }
        }
    }

    fn verify_percent(&self) -> Option<f64> {
        self.job.upkeep.verify_percent.or_else(|| self.only_verifies.then_some(VERIFIED_PERCENT))
    }

    /// One of them, if it is due; whether all was well.
    fn chore(&self, what: &str, to: &str, state: &State) -> Result<bool, Failure> {
        let upkeep = &self.job.upkeep;
        let every = match what {
            "prune" => upkeep.prune.then_some(None),
            "gc" => upkeep.gc.map(Some),
            "verify" => self.verify_percent().map(|_| None),
            _ => upkeep.restore_test.map(Some),
        };
        let Some(every) = every else { return Ok(true) };
        let target = self.target(to)?;
        // The configuration's check has said so.
        if matches!(what, "prune" | "gc") && target.target.may_delete().is_err() {
            return Ok(true);
        }
        let remembered_as = target.remembered_as();
        let last = state.database()?.last_upkeep(&remembered_as, what)?;
        if every.is_some_and(|every| !is_due(every, last, now())) {
            return Ok(true);
        }
        let at_target = format!("{what} at {to}: ");
        let name = format!("{}: {what} at {to}", self.job.name);
        let log = Log::of(&name, self.is_quiet);
        let (heard, began) = (Overheard::of(&log), now());
        let (job, doing) = (self.job.name.clone(), format!("Looking after {to}: {what}"));
        let progress = Progress { job, what: doing, began, ..Progress::default() };
        let (done, counts) = self.board.during(progress, &heard, |monitor| {
            let tally = Tally::new(monitor);
            (self.done(what, target, state, &tally), tally.sums())
        });
        if !self.stop.load(Ordering::Relaxed) {
            let words = done.as_ref().map_or_else(|failure| past::shortened(&failure.message), |_| heard.words());
            let outcome =
                done.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::of_problems(counts.problems));
            self.write_past(Past { began, ..past::upkeep(deed(what), to, outcome, &counts, words) }, state);
        }
        let done = done?;
        if self.stop.load(Ordering::Relaxed) {
            let so_far = if done.is_empty() { done } else { format!(": {done}") };
            self.say(&at_target, &format!("parked; the next run goes on{so_far}"));
            return Ok(true);
        }
        let problems = counts.problems;
        let outcome = Outcome::of_problems(problems);
        state.database()?.remember_upkeep(&remembered_as, what, JobEnd { at: now(), outcome })?;
        if problems == 0 {
            self.say(&at_target, &format!("done: {done}"));
        } else {
            let problems = term::plural(problems, "problem", "problems");
            self.alerts.why(&format!("{at_target}{problems}"));
            term::warning(&format!("job {}: {at_target}done with {problems}: {done}", self.job.name));
        }
        Ok(problems == 0)
    }

    /// What the page shows of it. A test is one of the sources of the job.
    fn write_past(&self, past: Past, state: &State) {
        if past.what != Deed::RestoreTest {
            return past::remember(state, &past);
        }
        for source in &self.job.from {
            past::remember(state, &Past { source: source.clone(), ..past.clone() });
        }
    }

    /// Does it; what was done, in words.
    fn done(&self, what: &str, target: NamedTarget, state: &State, tally: &Tally<'_>) -> Result<String, Failure> {
        let (config, stop) = (&self.config, &*self.stop);
        if what == "restore_test" {
            return self.restore_test(target, tally);
        }
        let memory = || Memory::of(state, &config.own, &target);
        let chunks = |count| term::plural(count, "chunk", "chunks");
        Ok(match (what, self.verify_percent()) {
            ("prune", _) => {
                let (kept, removed) = prune::by_rules(&target, config, &memory()?, tally, stop)?;
                match kept + removed {
                    0 => "no rule is for what is there: all of it is left".into(),
                    _ => format!("{} kept, {removed} removed", term::plural(kept, "backup", "backups")),
                }
            }
            ("verify", Some(percent)) => {
                let seen = verify::share(percent, &target, &config.own, &state.database()?, tally, stop)?;
                seen.map_or_else(String::new, |seen| {
                    format!("read {} of {}, {} were never read", chunks(seen.read), seen.chunks, seen.never)
                })
            }
            _ => {
                let report = gc::at(&target, config, &memory()?, tally, stop)?;
                let (deleted, marked) = (report.deleted, report.marked);
                format!(
                    "deleted {}, {}; found {} to go",
                    chunks(deleted.chunks),
                    term::bytes(deleted.bytes),
                    marked.chunks
                )
            }
        })
    }

    #[cfg(feature = "restore-test")]
    fn restore_test(&self, target: NamedTarget, tally: &Tally<'_>) -> Result<String, Failure> {
        let (key, own) = (&self.job.upkeep.restore_key, &self.config.own);
        let restored =
            super::super::super::restore_test::of_sources(&self.job.from, target, key, own, tally, &self.stop)?;
        Ok(format!("restored {restored}"))
    }

    /// The configuration has refused it.
    #[cfg(not(feature = "restore-test"))]
    fn restore_test(&self, _: NamedTarget, _: &Tally<'_>) -> Result<String, Failure> {
        Err(Failure::usage("this program was built without restore_test"))
    }
}

fn deed(what: &str) -> Deed {
    match what {
        "prune" => Deed::Prune,
        "gc" => Deed::Gc,
        "verify" => Deed::Verify,
        _ => Deed::RestoreTest,
    }
}

/// Whether it is time again. A clock that was ahead when it was done counts for nothing.
fn is_due(every: Every, last: Option<JobEnd>, now: i64) -> bool {
    let since = |last: JobEnd| now.saturating_sub(last.at);
    last.is_none_or(|last| since(last) >= every.seconds() - SLACK_SECONDS || since(last) < -SLACK_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_weekly_is_due_after_a_week_of_nights() {
        const DAY: i64 = 86_400;
        let last = Some(JobEnd { at: 100 * DAY, outcome: Outcome::Done });
        let due = |every, days: i64, minutes: i64| is_due(every, last, (100 + days) * DAY + minutes * 60);
        assert!(is_due(Every::Monthly, None, 0));
        // The run before took longer than this one.
        assert_eq!([(0, 30), (1, -60)].map(|(days, minutes)| due(Every::Daily, days, minutes)), [false, true]);
        assert_eq!([6, 7].map(|days| due(Every::Weekly, days, -60)), [false, true]);
        assert_eq!([29, 30].map(|days| due(Every::Monthly, days, -60)), [false, true]);
        assert!(due(Every::Monthly, -2, 0), "the clock was ahead");
    }
}
