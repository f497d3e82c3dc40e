//! What the service waits for: a time, a clock that is set, a window that closes, a disk that somebody else uses.

use std::time::Duration;

use brackup::config::JobOptions;
use brackup::limits::CLOCK_SECONDS_MIN;
use brackup::scheduler::{self, WATCH, Why};

use super::work::Work;
use super::{RETRY, Service, task};
use crate::term;

impl Service {
    /// Says once why it sleeps.
    pub(super) fn sleep(&mut self, why: Why, most: Option<Duration>) -> Option<Duration> {
        if self.said != Some(why) {
            self.said = Some(why);
            let shown = |time| self.zone.shown(time);
            match why {
                Why::NoJobs => self.say("waiting: there is no [JOB:name]; SIGHUP reads the configuration again"),
                Why::ClockNotSet => term::warning(&format!(
                    "waiting: the clock is not set, it shows {}; nothing is run until it is",
                    shown(task::now())
                )),
                Why::ClockBehind(last) => term::warning(&format!(
                    "waiting: the clock shows {}, and the last run was {}; it is waited for an hour to be set",
                    shown(task::now()),
                    shown(last)
                )),
                Why::Held => {}
                Why::Next(number, at) => {
                    let name = self.config.jobs.get(number).map_or("", |job| &job.name);
                    self.say(&format!("waiting: next is job {name}, {}", shown(at)));
                }
            }
        }
        most
    }

    /// Parks a job whose window closes. The clock may be set meanwhile, and the place may have another time.
    pub(super) fn watch(&self, work: &Work) -> Option<Duration> {
        self.look_during(work);
        let (name, now) = (work.job.as_ref()?, task::now());
        if work.wish.is_some() {
            return Some(self.make_room(work, now));
        }
        let job = self.config.jobs.iter().find(|job| job.name == *name)?;
        let closes = scheduler::closes(job, &self.zone, now).filter(|_| now >= CLOCK_SECONDS_MIN)?;
        if closes > now {
            return Some(Duration::from_secs(closes.abs_diff(now)).min(WATCH));
        }
        if work.park() {
            self.say(&format!("job {name}: its window closes: it is parked"));
        }
        None
    }

    /// A verification that somebody wants goes on the next time from what it has read; a backup that is due does not wait for it.
    fn make_room(&self, work: &Work, now: i64) -> Duration {
        let jobs = &self.config.jobs;
        let last = |job: &JobOptions| self.runs.as_ref().and_then(|runs| runs.get(&job.name));
        let since = |job: &JobOptions| scheduler::may_run_since(job, last(job), &self.zone, now);
        let is_held = |job: &JobOptions| self.scheduler.is_held(&job.name, self.began.elapsed());
        let is_in_its_way =
            |job: &&JobOptions| !is_held(job) && since(job).is_some_and(|since| work.is_in_the_way_of(since));
        if let Some(job) = jobs.iter().find(is_in_its_way)
            && now >= CLOCK_SECONDS_MIN
            && work.park()
        {
            self.say(&format!("job {} is due: what somebody wants verified makes room for it", job.name));
        }
        let next = jobs.iter().map(|job| scheduler::next(job, last(job), &self.zone, now)).min();
        Duration::from_secs(next.unwrap_or(i64::MAX).saturating_sub(now).unsigned_abs()).min(WATCH)
    }

    /// A job that wakes no disk waits until somebody does, or until its window closes.
    pub(super) fn may_begin(&mut self, number: usize, uptime: Duration) -> bool {
        let Some(job) = self.config.jobs.get(number) else { return false };
        if job.wakes || self.disks.are_awake(job, &self.config, uptime) {
            self.asleep.remove(&job.name);
            return true;
        }
        let name = job.name.clone();
        if self.asleep.insert(name.clone()) {
            self.say(&format!("job {name}: waits until its disks are used: it wakes none"));
        }
        self.scheduler.hold(&name, uptime + RETRY);
        false
    }
}
