//! Who is told of the jobs: what happened goes to queues, one of each alert, and threads that end with their queue tell it. Nobody waits
//! for them, and no disk is touched here: when each job was last good is in memory.

mod queue;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use brackup::alert::{Event, Part};
use brackup::config::{AlertKind, Config, JobOptions};
use brackup::db::{JobRun, Since};
use brackup::outcome::Outcome;
use brackup::scheduler::{Now, Plan, Why, Zone};

use self::queue::{Letter, Queue};
use super::super::alert::{self as words, hostname};
use super::work::Work;
use super::{Service, task};
use crate::term;

/// What is overdue is told again after this; after this if it did not get through.
const AGAIN: Duration = Duration::from_secs(86_400);
const AGAIN_UNTOLD: Duration = Duration::from_secs(3600);
/// Between two looks at what is overdue while a job runs. And what did not get through is tried again after this, after twice as long, and so on.
const LOOK: Duration = Duration::from_secs(600);
/// A job is overdue at the soonest after so long, and so long behind the time at which its next good run was to come.
const OVERDUE_SECONDS_MIN: i64 = 3 * DAY_SECONDS;
const OVERDUE_SECONDS_BEHIND: i64 = 2 * DAY_SECONDS;
/// How long what was just told may be on its way when the program ends: hundredths of a second.
const PARTING: u32 = 100;
/// A command that was told to end has ended after this.
const KILLING: u32 = 30;

/// The alerts of a service. Copies are the same ones.
#[derive(Clone, Default)]
pub(super) struct Alerts {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    /// By name of the alert.
    queues: BTreeMap<String, Queue>,
    /// By name of the job.
    since: BTreeMap<String, Since>,
    /// The job that runs, and when it began.
    running: Option<(String, i64)>,
    /// What came of its backups so far, and why there are none.
    parts: Vec<Part>,
    why: Option<String>,
    /// Until when (by the clock that never leaps) an alert is not told again that a job is overdue. By the names of both.
    told: BTreeMap<(String, String), Duration>,
    /// By that clock, at the last look.
    uptime: Duration,
}

const DAY_SECONDS: i64 = 86_400;

impl State {
    /// How long a job has not ended well, from when on that is too long by its schedule, and that in words.
    fn age(&mut self, job: &JobOptions, now: i64, zone: &Zone) -> (i64, i64, String) {
        let (schedule, leaves, job) = (&job.at, job.leaves(), &*job.name);
        let since = self.since.entry(job.into()).or_insert(Since { at: now, is_good: false });
        if since.at - now > DAY_SECONDS {
            // Of a clock that was wrong.
            *since = Since { at: now, is_good: false };
        }
        let since = *since;
        // A first backup may take a week; one that hangs is overdue too.
        let running = self.running.as_ref().filter(|(name, _)| name == job).map(|(_, began)| *began);
        let age = now - running.map_or(since.at, |began| began.max(since.at));
        let what = if since.is_good { "no good" } else { "not one good" };
        let ago = Duration::from_secs(u64::try_from(now - since.at).unwrap_or(0));
        let next = zone.next(schedule, since.at).saturating_sub(since.at);
        let after = if running.is_some() { 0 } else { next.saturating_add(OVERDUE_SECONDS_BEHIND) };
        let after = after.max(OVERDUE_SECONDS_MIN);
        (age, after, format!("{what} {leaves} since {}, for {}", zone.shown(since.at), days(ago)))
    }
}

impl Service {
    /// Whether something is overdue, while nothing runs.
    pub(super) fn look_at(&self, plan: Plan, now: Now) {
        let at = match plan {
            Plan::Sleep(Why::Held | Why::Next(..), _) => Some(now.unix),
            Plan::Sleep(Why::ClockNotSet, _) => None,
            // Somebody has paused it.
            Plan::Run(_) if self.asked.is_paused(now.uptime) => Some(now.unix),
            _ => return,
        };
        self.alerts.look(&self.config, &self.zone, at, now.uptime);
    }

    /// The same while something runs: a job runs by a clock that is set.
    pub(super) fn look_during(&self, work: &Work) {
        if work.job.is_some() {
            self.alerts.look(&self.config, &self.zone, Some(task::now()), self.began.elapsed());
        }
    }
}

impl Alerts {
    /// What the database knows.
    pub(super) fn recalled(&self, since: BTreeMap<String, Since>) {
        let mut state = self.state();
        for (job, since) in since {
            state.since.insert(job, since);
        }
    }

    /// A run begins. `is_again`: it is one more try of one that was told.
    pub(super) fn began(&self, config: &Config, job: &str, at: i64, is_again: bool) {
        let mut state = self.state();
        state.parts.clear();
        state.running = Some((job.into(), at));
        state.since.entry(job.into()).or_insert(Since { at, is_good: false });
        if !is_again {
            self.tell(&mut state, config, &event(AlertKind::Start, job, at, format!("job {job} begins")));
        }
    }

    /// What came of one of its backups. Source and path are filled in.
    pub(super) fn part(&self, config: &Config, from: &str, part: Part) {
        let Ok(source) = config.source(from) else { return };
        let part = Part { source: from.into(), path: source.path.display().to_string(), ..part };
        let mut state = self.state();
        if let (Some(hook), Some(_)) = (&source.webhook, &part.backup) {
            let original = words::original(from, &part.target, part.stats.unwrap_or_default());
            let letter = Letter::original(hook, original);
            self.push(&mut state, format!("webhook_url of {from}"), letter);
        }
        state.parts.push(part);
    }

    /// Why the run as a whole failed.
    pub(super) fn why(&self, why: &str) {
        self.state().why = Some(why.into());
    }

    /// It ended. Another process may have run it: that is told there.
    pub(super) fn ended(&self, config: &Config, job: &str, run: &JobRun, is_ours: bool) {
        let mut state = self.state();
        state.running = None;
        let (parts, why) = (std::mem::take(&mut state.parts), state.why.take());
        if let Some(at) = run.good() {
            state.since.insert(job.into(), Since { at, is_good: true });
        }
        let Some(end) = run.end.filter(|_| is_ours) else { return };
        let (kind, how) = match end.outcome {
            Outcome::Done => (AlertKind::Success, "done"),
            Outcome::DoneWithProblems => (AlertKind::Problems, "done with problems"),
            // It goes on after the next start, and ends then.
            Outcome::Interrupted => return,
            _ => (AlertKind::Failure, "failed"),
        };
        let of_part = |part: &Part| format!("{} to {}: {}", part.source, part.target, part.message);
        let is_bad = |part: &&Part| kind == AlertKind::Failure && part.backup.is_none();
        let why = why.or_else(|| parts.iter().find(is_bad).map(of_part));
        let message = why.map_or_else(|| format!("job {job}: {how}"), |why| format!("job {job}: {how}: {why}"));
        let event = Event { outcome: Some(end.outcome), parts, ..event(kind, job, end.at, message) };
        self.tell(&mut state, config, &event);
        if run.good().is_some() {
            self.all_clear(&mut state, config, &event);
        }
    }

    /// It did not come to a run, and is tried again.
    pub(super) fn is_absent(&self) {
        let mut state = self.state();
        state.running = None;
        state.parts.clear();
        state.why = None;
    }

    /// Who was told that it is overdue is told that it no longer is, whatever else it wants to hear.
    fn all_clear(&self, state: &mut State, config: &Config, event: &Event) {
        for alert in config.alerts.iter().filter(|alert| alert.is_of(&event.job)) {
            let was_told = state.told.remove(&(alert.name.clone(), event.job.clone())).is_some();
            if was_told && !alert.on.contains(&event.kind) {
                let job = config.jobs.iter().find(|job| job.name == event.job);
                let leaves = job.map_or("run", JobOptions::leaves);
                let message = format!("job {}: there is a good {leaves} again", event.job);
                let event = Event { kind: AlertKind::Success, message, ..event.clone() };
                self.push(state, alert.name.clone(), Letter::alert(alert, event));
            }
        }
    }

    /// Looks whether the last good run of a job is too long ago. By the clock, if it is set, and by one that never leaps.
    pub(super) fn look(&self, config: &Config, zone: &Zone, now: Option<i64>, uptime: Duration) {
        let mut state = self.state();
        state.uptime = uptime;
        self.try_again(&mut state);
        for job in &config.jobs {
            let name = &job.name;
            let (age, after, what) = match now {
                Some(now) => state.age(job, now, zone),
                // Nothing has run since the start.
                None => (
                    uptime.as_secs().cast_signed(),
                    OVERDUE_SECONDS_MIN,
                    format!(
                        "nothing was run for {}: the clock is not set, or what the box remembers can't be read",
                        days(uptime)
                    ),
                ),
            };
            for alert in config.alerts.iter().filter(|alert| alert.is_of(name)) {
                let is_asked = alert.on.contains(&AlertKind::Overdue);
                let key = (alert.name.clone(), name.clone());
                let is_new = |until: &Duration| uptime < *until;
                if !is_asked || age < alert.after.unwrap_or(after) || state.told.get(&key).is_some_and(is_new) {
                    continue;
                }
                let message = format!("job {name}: {what}");
                if !state.told.iter().any(|((_, job), told)| job == name && is_new(told)) {
                    term::warning(&message);
                }
                state.told.insert(key, uptime + AGAIN);
                let last_good = state.since.get(name).filter(|since| since.is_good).map(|since| since.at);
                let event = Event { last_good, ..event(AlertKind::Overdue, name, now.unwrap_or_default(), message) };
                self.push(&mut state, alert.name.clone(), Letter::alert(alert, event));
            }
        }
    }

    /// How long the service may sleep: while a job runs nothing else wakes it for a look.
    pub(super) fn patience(&self, config: &Config, most: Option<Duration>) -> Option<Duration> {
        let is_asked =
            !config.jobs.is_empty() && config.alerts.iter().any(|alert| alert.on.contains(&AlertKind::Overdue));
        if is_asked || self.state().queues.values().any(|queue| queue.is_served || !queue.later.is_empty()) {
            Some(most.map_or(LOOK, |most| most.min(LOOK)))
        } else {
            most
        }
    }

    /// Lets what is on its way go, for a moment, and ends what is left.
    pub(super) fn end(&self) {
        self.wait(PARTING);
        self.stop.store(true, Ordering::Relaxed);
        self.wait(KILLING);
    }

    /// By looks and not by the clock: on a box that is busy others get their time too.
    fn wait(&self, looks: u32) {
        for _ in 0..looks {
            if !self.state().queues.values().any(|queue| queue.is_served) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn tell(&self, state: &mut State, config: &Config, event: &Event) {
        for alert in config.alerts.iter().filter(|alert| alert.is_of(&event.job) && alert.hears(event.kind)) {
            self.push(state, alert.name.clone(), Letter::alert(alert, event.clone()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in it is whole after each step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(kind: AlertKind, job: &str, at: i64, message: String) -> Event {
    Event {
        kind,
        job: job.into(),
        hostname: hostname(),
        at,
        message,
        outcome: None,
        last_good: None,
        parts: Vec::new(),
        is_test: false,
    }
}

fn days(time: Duration) -> String {
    match time.as_secs() / 86_400 {
        0 | 1 => term::plural(time.as_secs() / 3600, "hour", "hours"),
        days => term::plural(days, "day", "days"),
    }
}

#[cfg(test)]
mod tests;
