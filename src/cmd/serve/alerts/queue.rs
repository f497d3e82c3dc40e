//! What waits to be told, a queue for each alert: a thread that ends with its queue tells it, and tries again later what may get through then.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brackup::alert::{self, Event, Original};
use brackup::config::{AlertKind, AlertOptions, AlertType, Config, HookSettings};
use brackup::monitor::one_line;
use brackup::thread;

use super::{AGAIN_UNTOLD, Alerts, LOOK, State};
use crate::term;

/// Events that wait for one alert. The oldest goes first when there is one more: it is told how it is now.
pub(super) const WAITING_MAX: usize = 16;
/// How often something is tried. The last one is ten hours after the first.
const TRIES: u32 = 7;

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Letter>,
    /// What did not get through and may do so later: after which look, by the clock that never leaps.
    pub(super) later: VecDeque<(Duration, Letter)>,
    /// A thread is at it.
    pub(super) is_served: bool,
    /// Of which kinds it was told that they did not go through.
    pub(super) failing: BTreeSet<AlertKind>,
}

/// What is to be told, and how.
pub(super) struct Letter {
    pub(super) what: What,
    /// How often that was tried.
    tries: u32,
}

pub(super) enum What {
    Alert(AlertOptions, Event),
    /// As the original told it.
    Original(HookSettings, Original),
}

/// Why it was not told.
pub(super) struct Untold {
    pub(super) why: String,
    /// Another try may do better.
    pub(super) may_pass: bool,
}

impl Letter {
    pub(super) fn alert(alert: &AlertOptions, event: Event) -> Self {
        Self { what: What::Alert(alert.clone(), event), tries: 0 }
    }

    pub(super) fn original(hook: &HookSettings, original: Original) -> Self {
        Self { what: What::Original(hook.clone(), original), tries: 0 }
    }

    fn kind(&self) -> AlertKind {
        match &self.what {
            What::Alert(_, event) => event.kind,
            What::Original(..) => AlertKind::Success,
        }
    }

    fn send(&self, stop: &Arc<AtomicBool>) -> Result<(), alert::Error> {
        match &self.what {
            What::Alert(alert, event) => alert::send(alert, event, alert::WITHIN, stop),
            What::Original(hook, original) => alert::tell_original(hook, original, alert::WITHIN, stop),
        }
    }

    /// Whether a later one about the same makes it wrong: a check shows what it heard last.
    fn is_outdone_by(&self, other: &Self) -> bool {
        let (What::Alert(alert, event), What::Alert(_, other)) = (&self.what, &other.what) else { return false };
        matches!(alert.how, AlertType::HealthChecks(_)) && event.job == other.job && other.kind != AlertKind::Start
    }
}

impl Alerts {
    /// What did not get through, and has waited for long enough.
    pub(super) fn try_again(&self, state: &mut State) {
        let uptime = state.uptime;
        let mut due = Vec::new();
        for (name, queue) in &mut state.queues {
            let count = queue.later.partition_point(|(after, _)| *after <= uptime);
            due.extend(queue.later.drain(..count).map(|(_, letter)| (name.clone(), letter)));
        }
        due.into_iter().for_each(|(name, letter)| self.push(state, name, letter));
    }

    /// What waits is told as the configuration is now: an address may have been wrong.
    pub(in crate::cmd::serve) fn changed(&self, before: &Config, config: &Config) {
        let mut state = self.state();
        for (name, queue) in &mut state.queues {
            let now = config.alerts.iter().find(|alert| alert.name == *name);
            let mut is_left = |letter: &mut Letter| match (&mut letter.what, now) {
                (What::Alert(alert, event), Some(now)) => {
                    alert.clone_from(now);
                    now.is_of(&event.job) && config.jobs.iter().any(|job| job.name == event.job)
                }
                (What::Alert(..), None) => false,
                (What::Original(..), _) => !config.jobs.is_empty(),
            };
            queue.waiting.retain_mut(&mut is_left);
            queue.later.retain_mut(|(_, letter)| is_left(letter));
        }
        // What went to another address was told to nobody.
        let of = |config: &Config, name: &str| config.alerts.iter().find(|alert| alert.name == name).cloned();
        state.told.retain(|(alert, _), _| of(before, alert) == of(config, alert));
    }

    pub(super) fn push(&self, state: &mut State, name: String, letter: Letter) {
        let queue = state.queues.entry(name.clone()).or_default();
        queue.later.retain(|(_, before)| !before.is_outdone_by(&letter));
        if queue.waiting.len() == WAITING_MAX {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(letter);
        if queue.is_served {
            return;
        }
        let alerts = self.clone();
        // What the system's resolver of names takes is not ours to choose.
        match thread::named("alert").stack_size(thread::LINE_STACK_BYTES).spawn(move || alerts.serve(&name)) {
            Ok(_) => queue.is_served = true,
            Err(error) => term::warning(&format!("can't start a thread for alerts: {error}")),
        }
    }

    /// Tells what waits in one queue, until nothing does.
    fn serve(&self, name: &str) {
        while let Some(letter) = self.next(name) {
            let untold = |error: alert::Error| Untold { why: one_line(&error), may_pass: error.may_pass() };
            let told = letter.send(&self.stop).map_err(untold);
            self.told(name, letter, told);
        }
    }

    fn next(&self, name: &str) -> Option<Letter> {
        let mut state = self.state();
        let queue = state.queues.get_mut(name)?;
        let next = queue.waiting.pop_front().filter(|_| !self.stop.load(Ordering::Relaxed));
        queue.is_served = next.is_some();
        next
    }

    /// Says once that a kind does not go through, and once that it does again.
    pub(super) fn told(&self, name: &str, letter: Letter, told: Result<(), Untold>) {
        let (mut state, kind) = (self.state(), letter.kind());
        let queue = state.queues.entry(name.into()).or_default();
        match told {
            Ok(()) if queue.failing.remove(&kind) => term::note(&format!("alert {name}: {kind} goes through again")),
            Ok(()) => {}
            Err(Untold { why, may_pass }) => {
                if queue.failing.insert(kind) {
                    let text = format!("alert {name}: {kind} could not be told: {why}");
                    term::warning(&format!("{text}; this is said once"));
                }
                Self::not_told(&mut state, name, letter, may_pass);
            }
        }
    }

    /// That a job is overdue is told as it is then; of what happened the same letter goes out later, if another try may do better.
    fn not_told(state: &mut State, name: &str, mut letter: Letter, may_pass: bool) {
        let uptime = state.uptime;
        if let What::Alert(alert, Event { kind: AlertKind::Overdue, job, .. }) = &letter.what {
            // If it is no longer so, nobody is told again.
            if let Some(until) = state.told.get_mut(&(alert.name.clone(), job.clone())).filter(|_| may_pass) {
                *until = uptime + AGAIN_UNTOLD;
            }
            return;
        }
        letter.tries += 1;
        let Some(queue) = state.queues.get_mut(name) else { return };
        // That a job began is of no interest later, and what is known of it by now counts for more.
        let is_old = letter.kind() == AlertKind::Start || queue.waiting.iter().any(|newer| letter.is_outdone_by(newer));
        if !may_pass || letter.tries == TRIES || is_old {
            return;
        }
        if queue.later.len() == WAITING_MAX {
            queue.later.pop_front();
        }
        let after = uptime + LOOK * (1 << (letter.tries - 1));
        let place = queue.later.partition_point(|(other, _)| *other <= after);
        queue.later.insert(place, (after, letter));
    }
}
