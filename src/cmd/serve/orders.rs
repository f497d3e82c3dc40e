//! What somebody at the page wants done, and what he sees of the plans.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use brackup::config::TargetOptions;
use brackup::db::JobRun;
use brackup::outcome::Outcome;
use brackup::scheduler::{self, Plan, Why, Zone};
use brackup::status::{Order, Pair};

use super::super::alert::hostname;
use super::work::Work;
use super::{Service, shown, task};

/// What is shown while the lock is another's.
pub(super) const WAITING: &str = "another run of brackup is at work on this box";
/// Nothing is begun for so long. Who forgets that he has paused it finds it going on.
const PAUSE: Duration = Duration::from_secs(3600);

/// What is still to be done of it.
#[derive(Default)]
pub(super) struct Asked {
    /// Jobs that are to run now, or whose backups are to be verified, the first wish first.
    wishes: VecDeque<(String, Wish)>,
    /// None before this uptime: another run of Brackup was at work.
    wishes_wait: Duration,
    /// Up to when nothing is begun, by the uptime.
    paused: Option<Duration>,
    /// The job that is being parked because somebody stopped it: it has its next time, and does not go on at once.
    stopped: Option<String>,
}

/// What somebody wants of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Verify,
}

impl Asked {
    /// Who asks twice wants it once.
    fn wish(&mut self, job: String, wish: Wish) {
        let wish = (job, wish);
        if !self.wishes.contains(&wish) {
            self.wishes.push_back(wish);
        }
        self.hurry();
    }

    /// What waits is tried at once.
    pub(super) fn hurry(&mut self) {
        self.wishes_wait = Duration::ZERO;
    }

    /// What could not be done now is the next thing to be done then.
    pub(super) fn wish_later(&mut self, job: &str, wish: Wish, uptime: Duration) {
        let wish = (job.to_owned(), wish);
        self.wishes.retain(|other| *other != wish);
        self.wishes.push_front(wish);
        self.wishes_wait = uptime;
    }

    /// How long the service may sleep, as far as wishes go.
    pub(super) fn patience(&self, uptime: Duration) -> Duration {
        if self.wishes.is_empty() { Duration::MAX } else { self.wishes_wait.saturating_sub(uptime) }
    }

    /// Who has stopped a verification has stopped no backup.
    pub(super) fn has_verified(&mut self) {
        self.stopped = None;
    }

    pub(super) fn is_paused(&self, uptime: Duration) -> bool {
        self.paused.is_some_and(|until| until > uptime)
    }
}

impl Service {
    /// Takes in what was asked for.
    pub(super) fn obey(&mut self) {
        while let Some(order) = self.board.next_order() {
            match order {
                Order::Run(job) => {
                    self.say(&format!("job {job}: somebody at the page wants it now"));
                    self.wish(job, Wish::Run);
                }
                Order::Verify(job) => {
                    self.say(&format!("job {job}: somebody at the page wants its backups verified now"));
                    self.wish(job, Wish::Verify);
                }
                Order::Pause => self.pause(true),
                Order::Resume => self.pause(false),
                Order::Stop => {
                    self.forget_wishes();
                    self.asked.stopped = self.park();
                }
            }
        }
    }

    /// What is being done for somebody is not done once more.
    fn wish(&mut self, job: String, wish: Wish) {
        let is_it = |work: &Work| work.wish == Some(wish) && work.job.as_ref() == Some(&job) && !work.is_parked();
        if !self.work.as_ref().is_some_and(is_it) {
            self.asked.wish(job, wish);
        }
        self.pause(false);
    }

    /// The job of which somebody wants something now. A verification lets what is due go first.
    pub(super) fn asked_for(&mut self, is_due: bool, uptime: Duration) -> Option<(usize, Wish)> {
        let (_, first) = self.asked.wishes.front()?;
        if uptime < self.asked.wishes_wait || is_due && *first == Wish::Verify {
            return None;
        }
        let (name, wish) = self.asked.wishes.pop_front()?;
        Some((self.config.jobs.iter().position(|job| job.name == name)?, wish))
    }

    /// A run that somebody stopped goes on at its next time.
    pub(super) fn was_parked(&mut self, job: &str, run: &JobRun) {
        let stopped = self.asked.stopped.take();
        if stopped.as_deref() != Some(job) || run.end.is_none_or(|end| end.outcome != Outcome::Interrupted) {
            return;
        }
        let Some(options) = self.config.jobs.iter().find(|options| options.name == job) else { return };
        let now = task::now();
        let wait = Duration::from_secs(scheduler::next(options, None, &self.zone, now).abs_diff(now));
        self.scheduler.hold(job, self.began.elapsed() + wait);
    }

    fn pause(&mut self, is_wanted: bool) {
        let now = self.began.elapsed();
        if is_wanted == self.asked.is_paused(now) {
            return;
        }
        self.asked.paused = is_wanted.then(|| now + PAUSE);
        let until = is_wanted.then(|| task::now() + PAUSE.as_secs() as i64);
        self.board.change(|report| report.paused_until = until);
        if is_wanted {
            self.forget_wishes();
            self.say("somebody at the page has paused everything for an hour");
            self.park();
        }
    }

    /// And that one of them waits for another run.
    fn forget_wishes(&mut self) {
        self.asked.wishes.clear();
        self.locked.clear();
    }

    /// Parks the job that runs; its name.
    fn park(&self) -> Option<String> {
        let work = self.work.as_ref()?;
        let job = work.job.clone()?;
        work.park();
        self.say(&format!("job {job}: parked, as somebody at the page wants"));
        Some(job)
    }

    /// All that is known, where the configuration is new.
    pub(super) fn show_all(&self) {
        let (pairs, without_job) = (shown::unknown(&self.config), shown::without_job(&self.config));
        let since = self.since();
        let is_left = |pair: &Pair| {
            let is_target = |target: &TargetOptions| target.name == pair.target;
            self.config.source(&pair.source).is_ok() && self.config.targets.iter().any(is_target)
        };
        self.board.change(|report| {
            report.host = hostname();
            report.without_job = without_job;
            report.since = since;
            let known = std::mem::replace(&mut report.pairs, pairs);
            for pair in &mut report.pairs {
                if let Some(known) = known.iter().find(|known| known.is_same(pair)) {
                    *pair = Pair { job: std::mem::take(&mut pair.job), ..known.clone() };
                }
            }
            for known in known.into_iter().filter(|known| known.is_by_hand() && is_left(known)) {
                if !report.pairs.iter().any(|pair| pair.is_of(&known.source, &known.target)) {
                    report.pairs.push(known);
                }
            }
        });
        self.show_zone();
    }

    /// When the service began, by the clock as it is now: it may have been set since.
    fn since(&self) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = now.saturating_sub(self.began.elapsed()) + Duration::from_millis(500);
        i64::try_from(began.as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn set_zone(&mut self) {
        self.zone = Zone::of_process();
        self.show_zone();
    }

    fn show_zone(&self) {
        let zone = self.zone.clone();
        self.board.show_times(move |time| zone.shown(time));
    }

    /// What is planned, or why nothing is.
    pub(super) fn show(&self, plan: Plan) {
        let now = task::now();
        let trouble = match plan {
            Plan::Sleep(Why::ClockNotSet, _) => {
                Some(format!("the clock is not set, it shows {}", self.zone.shown(now)))
            }
            Plan::Sleep(Why::ClockBehind(last), _) => Some(format!(
                "the clock shows {}, and the last run was {}",
                self.zone.shown(now),
                self.zone.shown(last)
            )),
            _ => None,
        };
        let is_held = matches!(plan, Plan::Sleep(Why::Held, _)) || !self.asked.wishes.is_empty();
        let waiting = (is_held && !self.locked.is_empty()).then(|| WAITING.to_owned());
        let since = self.since();
        // Once for each job, however many pairs it has.
        let plans = self.config.jobs.iter().map(|job| {
            let last = self.runs.as_ref().and_then(|runs| runs.get(&job.name));
            let next = scheduler::next(job, last, &self.zone, now);
            let due = self.zone.next(&job.at, now);
            (job.name.as_str(), (next, self.zone.next(&job.at, due).saturating_sub(due)))
        });
        let plans: BTreeMap<_, _> = plans.collect();
        self.board.change(|report| {
            (report.trouble, report.waiting, report.since) = (trouble, waiting, since);
            report.pairs.iter_mut().for_each(|pair| (pair.next, pair.every) = plans.get(&*pair.job).copied().unzip());
            report.paused_until = report.paused_until.filter(|until| *until > now);
        });
    }
}
