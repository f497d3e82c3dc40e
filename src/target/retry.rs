//! Trying again: what a network does to a request now and then is no reason to give up a night's backup.
//!
//! One policy for all providers that are reached over a network: exponential back-off with jitter (AWS Architecture Blog, "Exponential
//! Backoff And Jitter", the kind called equal jitter), a server's own wish (RFC 9110, Retry-After) within a bound, and a budget for the
//! whole run, so that a provider that is down does not hold a box all night. What will not pass is not tried again.

use std::sync::Mutex;
use std::time::Duration;

use super::error::{Error, ErrorKind};
use super::way::Way;
use crate::limits::{RETRY_AFTER_SECONDS_MAX, RETRY_BUDGET_SECONDS, RETRY_TRIES};

const FIRST_WAIT: Duration = Duration::from_millis(500);
/// What a line or a server drops now and then passes at once: the second try has a part of that wait.
const SECOND_TRY: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What one try came to if it was not what was wanted.
#[derive(Debug)]
pub(super) enum Failed {
    /// It may pass. The server may have said when to come again.
    ForNow(Error, Option<Duration>),
    /// It will be the same next time.
    ForGood(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::ForGood(error)
    }
}

/// The policy, and what is left of the run's budget.
#[derive(Debug)]
pub(super) struct Retry {
    first_wait: Duration,
    budget: Mutex<Duration>,
    way: Way,
}

impl Retry {
    /// A new run.
    pub(super) fn new(way: Way) -> Self {
        Self { first_wait: FIRST_WAIT, budget: Mutex::new(Duration::from_secs(RETRY_BUDGET_SECONDS)), way }
    }

    /// Another wait from which the others are counted.
    pub(super) fn beginning_with(self, first_wait: Duration) -> Self {
        Self { first_wait, ..self }
    }

    /// Calls until it succeeds, fails for good, or there have been enough tries. The function is told how many came before.
    pub(super) fn run<T>(&self, attempt: impl FnMut(u32) -> Result<T, Failed>) -> Result<T, Error> {
        self.go_on(|| 0, attempt)
    }

    /// The same for what goes on where it was: tries are counted from the last one that got farther than those before.
    pub(super) fn go_on<T>(
        &self,
        so_far: impl Fn() -> u64,
        mut attempt: impl FnMut(u32) -> Result<T, Failed>,
    ) -> Result<T, Error> {
        let (mut tried, mut farthest) = (0, so_far());
        // What is begun after that has one try, and is told what came of it.
        let was_stopped = self.way.is_stopped();
        loop {
            let (error, wish) = match attempt(tried) {
                Ok(done) => return Ok(done),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error, wish)) => (error, wish),
            };
            if so_far() > farthest {
                (tried, farthest) = (0, so_far());
            }
            tried += 1;
            if tried >= RETRY_TRIES || !self.wait(tried, wish) {
                let error = error.after_tries(tried);
                let is_stopped = !was_stopped && self.way.is_stopped();
                return Err(if is_stopped { error.of_kind(ErrorKind::Stopped) } else { error });
            }
        }
    }

    /// Waits before the next try. False: not any more, the run is to stop or its budget is spent.
    pub(super) fn wait(&self, tried: u32, wish: Option<Duration>) -> bool {
        let wait = wait_for(self.first_wait, tried, wish, chance());
        {
            let Ok(mut budget) = self.budget.lock() else { return false };
            let Some(left) = budget.checked_sub(wait) else { return false };
            *budget = left;
        }
        self.way.wait(wait)
    }
}

/// The wait before the next try. `chance`: from 0 to 1.
fn wait_for(first: Duration, tried: u32, wish: Option<Duration>, chance: f64) -> Duration {
    let full = match (tried, wish) {
        (1, None) => first / SECOND_TRY,
        _ => first.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(LONGEST_WAIT),
    };
    let wish = wish.unwrap_or_default().min(Duration::from_secs(RETRY_AFTER_SECONDS_MAX));
    // Nor do those come back together whom a server has told the same time.
    wish.max(full / 2) + full.mul_f64(chance / 2.0)
}

/// From 0 to 1. Boxes that were cut off together must not come back together; without randomness they do, which is no error.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

impl Error {
    fn after_tries(mut self, tries: u32) -> Self {
        if tries > 1 {
            self.what = format!("{}, {tries} times", self.what);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn retry() -> Retry {
        Retry { first_wait: Duration::from_micros(10), ..Retry::new(Way::default()) }
    }

    fn error(what: &str) -> Error {
        Error::new(ErrorKind::Io, what)
    }

    #[test]
    fn waits_double_within_bounds_and_by_chance_and_as_the_server_wishes() {
        let wait = |tried, wish: Option<u64>, chance| {
            wait_for(FIRST_WAIT, tried, wish.map(Duration::from_secs), chance).as_millis()
        };
        for (tried, least, most) in
            [(1, 50, 100), (2, 500, 1000), (3, 1000, 2000), (6, 8000, 16_000), (40, 15_000, 30_000)]
        {
            assert_eq!([wait(tried, None, 0.0), wait(tried, None, 1.0)], [least, most]);
            assert_eq!(wait(tried, None, 0.5), (least + most) / 2);
        }
        // No sooner than it says, and not for as long as it likes.
        assert_eq!([wait(1, Some(7), 0.0), wait(1, Some(7), 1.0), wait(6, Some(7), 0.0)], [7000, 7250, 8000]);
        assert_eq!(wait(1, Some(86_400), 0.0), 120_000);
        // Who is busy and does not say for how long.
        assert_eq!([wait(1, Some(0), 0.0), wait(1, Some(0), 1.0)], [250, 500]);
        let chances: std::collections::BTreeSet<_> = (0..100).map(|_| chance().to_bits()).collect();
        assert!(chances.len() > 90 && chances.iter().all(|chance| (0.0..=1.0).contains(&f64::from_bits(*chance))));
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let mut calls = Vec::new();
        let done = retry().run(|tried| {
            calls.push(tried);
            if tried < 3 { Err(Failed::ForNow(error("slow down"), None)) } else { Ok(tried) }
        });
        assert_eq!((done.unwrap(), calls), (3, vec![0, 1, 2, 3]));
        let mut calls = 0;
        let failed = retry().run(|_| {
            calls += 1;
            Err::<(), _>(Failed::ForGood(error("no such bucket")))
        });
        assert_eq!((failed.unwrap_err().to_string().as_str(), calls), ("no such bucket", 1));
    }

    #[test]
    fn there_is_an_end() {
        let mut calls = 0;
        let failed = retry().run(|_| {
            calls += 1;
            Err::<(), _>(Failed::ForNow(error("no answer"), None))
        });
        assert_eq!(calls, RETRY_TRIES);
        assert_eq!(failed.unwrap_err().to_string(), format!("no answer, {RETRY_TRIES} times"));
    }

    #[test]
    fn what_gets_farther_begins_to_count_anew() {
        let (calls, reached) = (Cell::new(0), Cell::new(0));
        let attempt = |_| {
            calls.set(calls.get() + 1);
            // Stands still from the tenth call on.
            reached.set(calls.get().min(10));
            Err::<(), _>(Failed::ForNow(error("cut"), None))
        };
        let failed = retry().go_on(|| u64::from(reached.get()), attempt);
        assert!(failed.is_err());
        assert_eq!(calls.get(), 10 + RETRY_TRIES - 1);
    }

    #[test]
    fn a_run_has_one_budget() {
        let retry = Retry { budget: Mutex::new(Duration::from_secs(1)), ..retry() };
        // More than what is left is not waited for at all.
        assert!(!retry.wait(1, Some(Duration::from_secs(2))));
        assert!(retry.wait(1, None));
        assert!(*retry.budget.lock().unwrap() < Duration::from_secs(1));
    }

    #[test]
    fn a_signal_ends_the_waiting() {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let retry = Retry::new(Way::until(stop.clone()));
        for kind in [ErrorKind::Stopped, ErrorKind::Io] {
            let mut calls = 0;
            let failed = retry.run(|_| {
                calls += 1;
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                Err::<(), _>(Failed::ForNow(error("no answer"), Some(Duration::from_secs(100))))
            });
            assert_eq!((failed.unwrap_err().kind, calls), (kind, 1));
        }
    }
}
