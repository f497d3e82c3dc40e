//! Where the service writes what it knows, and where those who look find it, and leave what they want done.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::running::Live;
use super::{Pair, Progress, Report, Running};
use crate::monitor::Monitor;

/// Orders that wait. Who presses a button more often is not heard more often.
const ORDERS_MAX: usize = 8;

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To run a job now.
    Run(String),
    /// To verify what a job has stored, now.
    Verify(String),
    /// To park what runs, and to begin nothing for an hour.
    Pause,
    /// To go on, before that hour is over.
    Resume,
    /// To park what runs, and to go on at its next time.
    Stop,
}

type Wake = Box<dyn Fn() + Send + Sync>;
type Shown = Box<dyn Fn(i64) -> String + Send + Sync>;

/// See the module.
pub struct Board(Mutex<Inner>);

struct Inner {
    report: Report,
    live: Option<(Progress, Arc<Live>)>,
    orders: VecDeque<Order>,
    wake: Wake,
    shown: Shown,
}

impl Board {
    /// An empty one. `wake` is called when an order is left.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (wake, shown) = (Box::new(wake), Box::new(|time: i64| time.to_string()));
        Self(Mutex::new(Inner { report: Report::default(), live: None, orders: VecDeque::new(), wake, shown }))
    }

    /// Changes what is shown.
    pub fn change(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.inner().report);
    }

    /// How a time is shown, on the clock of the place.
    pub fn show_times(&self, shown: impl Fn(i64) -> String + Send + Sync + 'static) {
        self.inner().shown = Box::new(shown);
    }

    /// A time on the clock of the place: `2026-11-26 02:30:00`.
    pub fn shown(&self, time: i64) -> String {
        (self.inner().shown)(time)
    }

    /// What is to be seen now.
    pub fn report(&self, now: i64) -> Report {
        let inner = self.inner();
        let running = inner.live.as_ref().map(|(progress, live)| {
            let mut progress = progress.clone();
            live.show(&mut progress);
            progress
        });
        let waiting = inner.report.waiting.clone().filter(|_| running.is_none());
        Report { now, running, waiting, ..inner.report.clone() }
    }

    /// Does something that is to be seen while it goes on.
    pub fn during<T>(&self, progress: Progress, inner: &dyn Monitor, act: impl FnOnce(&Running<'_>) -> T) -> T {
        let live = Arc::<Live>::default();
        self.inner().live = Some((progress, live.clone()));
        let done = act(&live.monitor(inner));
        self.inner().live = None;
        done
    }

    /// Bytes of the files of a source, as far as the last good backup knows; 0: it is not known.
    pub fn last_bytes(&self, source: &str) -> u64 {
        let inner = self.inner();
        let pairs = inner.report.pairs.iter().filter(|pair| pair.source == source);
        let known = pairs.filter_map(Pair::last_good).filter(|past| past.bytes > 0);
        known.max_by_key(|past| past.ended).map_or(0, |past| past.bytes)
    }

    /// Leaves an order; whether there was room for it.
    pub fn order(&self, order: Order) -> bool {
        let mut inner = self.inner();
        let has_room = inner.orders.len() < ORDERS_MAX;
        if has_room {
            inner.orders.push_back(order);
            (inner.wake)();
        }
        has_room
    }

    /// Takes the oldest order.
    pub fn next_order(&self) -> Option<Order> {
        self.inner().orders.pop_front()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere does not make wrong what is shown.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::monitor::{Counter, Phase, Problem, Quiet, Severity};
    use crate::relpath::RelPath;

    #[test]
    fn a_run_is_seen_while_it_goes_on_and_not_after() {
        let board = Board::new(|| {});
        let quiet = Quiet::default();
        let progress = Progress { job: "nightly".into(), expected_bytes: 200, began: 100, ..Progress::default() };
        let seen = board.during(progress, &quiet, |running| {
            running.count(Counter::FileBytes, 50);
            running.at(Phase::Backup, &RelPath::parse(b"before/anybody/looks").unwrap());
            assert_eq!(board.report(110).running.unwrap().path, "");
            running.at(Phase::Backup, &RelPath::parse(b"a/file").unwrap());
            for severity in [Severity::Notice, Severity::Problem] {
                running.problem(Problem { severity, subject: "a/file".into(), what: "can't be read".into() });
            }
            board.report(110).running.unwrap()
        });
        assert_eq!(
            (seen.path.as_str(), seen.percent(), seen.rate(110), seen.left(110)),
            ("a/file", Some(25), 5, Some(30))
        );
        assert_eq!((seen.problems_told, seen.problems), (1, vec!["a/file: can't be read".to_owned()]));
        assert_eq!(quiet.problems().len(), 2, "all of it is passed on");
        assert!(board.report(120).running.is_none());
    }

    #[test]
    fn what_is_copied_as_it_is_has_its_percents_too() {
        let (board, quiet) = (Board::new(|| {}), Quiet::default());
        let seen = board.during(Progress { began: 100, ..Progress::default() }, &quiet, |running| {
            running.count(Counter::ExpectedBytes, 200);
            running.count(Counter::StoredBytes, 50);
            board.report(110).running.unwrap()
        });
        assert_eq!((seen.percent(), seen.rate(110), seen.left(110)), (Some(25), 5, Some(30)));
    }

    #[test]
    fn orders_are_few_and_ring() {
        let rings = Arc::new(AtomicUsize::new(0));
        let heard = rings.clone();
        let board = Board::new(move || {
            heard.fetch_add(1, Ordering::Relaxed);
        });
        let left = (0..20).filter(|_| board.order(Order::Pause)).count();
        assert_eq!((left, rings.load(Ordering::Relaxed)), (ORDERS_MAX, ORDERS_MAX));
        assert_eq!(board.next_order(), Some(Order::Pause));
        assert!(board.order(Order::Run("nightly".into())));
    }
}
