//! `brackup serve`: runs the jobs of the configuration, day after day, in the foreground.
//!
//! This thread sleeps, plans and hears signals; it never touches `state_dir`, a source or a target. While nothing is due no file of
//! these is open and no call is made that could wake their disks: what the plans need is in memory.

mod bell;
mod door;
mod task;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brackup::config::Config;
use brackup::db::{JobEnd, JobRun};
use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::scheduler::{Now, Plan, Runs, Scheduler, Why, Zone};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::open;
use crate::cli::{Global, ServeArgs};
use crate::syslog::Syslog;
use crate::term::{self, Failure};
use bell::Bell;
use door::Doorkeeper;
use task::{Ran, Task};
use work::{Answer, Work};

/// Between two looks whether the lock is free.
const RETRY: Duration = Duration::from_secs(60);
/// So often in a row it was not, and it is told again: once an hour.
const RETRIES_TOLD: u32 = 60;
/// Between two looks whether a disk that a job needs is there, and how many there are. Then the job waits for its next time of day.
const ABSENT_RETRY: Duration = Duration::from_secs(300);
const ABSENT_RETRIES: u32 = 12;
/// How long a backup may take to park. Init systems that are told to wait 10 s kill what is left.
const PARKING: Duration = Duration::from_secs(8);
const UNEXPECTED: &str = "a part of the program ended unexpectedly";

/// Runs until a signal ends it.
pub(crate) fn run(args: &ServeArgs, global: &Global, stop: &Arc<AtomicBool>) -> Result<Outcome, Failure> {
    let mut service = Service::start(args, global, stop.clone())?;
    while !stop.load(Ordering::Relaxed) {
        let most = service.step();
        service.bell.wait(most);
    }
    service.end();
    Ok(Outcome::Done)
}

struct Service {
    file: PathBuf,
    config: Arc<Config>,
    zone: Zone,
    scheduler: Scheduler,
    /// Nothing: not yet recalled.
    runs: Option<Runs>,
    work: Option<Work>,
    /// How often in a row the lock was taken, by name of the job.
    locked: BTreeMap<String, u32>,
    /// How often in a row its disk was not there, by name of the job.
    absent: BTreeMap<String, u32>,
    /// There was a database: it must stay there.
    had_state: bool,
    recall_from: Duration,
    said: Option<Why>,
    bell: Bell,
    door: Doorkeeper,
    reload: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    began: Instant,
    is_quiet: bool,
}

impl Service {
    fn start(args: &ServeArgs, global: &Global, stop: Arc<AtomicBool>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Outcome::Failed, format!("can't serve: {error}"));
        let bell = Bell::new().map_err(failed)?;
        let reload = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, reload.clone()).map_err(failed)?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // Behind those that set the flags.
            bell.on(signal).map_err(failed)?;
        }
        let zone = Zone::of_process();
        if let Some(path) = &args.syslog {
            let path = std::path::absolute(path).map_err(failed)?;
            let syslog = Syslog::open(&path, zone.clone()).map_err(failed)?;
            term::log_to(syslog, &path);
        }
        let config = open::config(global)?;
        let file = std::path::absolute(&config.file).map_err(failed)?;
        let door = Doorkeeper::start(&config)?;
        // The folder that it was started in may be on a disk that is to sleep, or to be unmounted.
        std::env::set_current_dir("/").map_err(failed)?;
        let service = Self {
            file,
            config: Arc::new(config),
            zone,
            scheduler: Scheduler::default(),
            runs: None,
            work: None,
            locked: BTreeMap::new(),
            absent: BTreeMap::new(),
            had_state: false,
            recall_from: Duration::ZERO,
            said: None,
            bell,
            door,
            reload,
            stop,
            began: Instant::now(),
            is_quiet: global.quiet,
        };
        service.greet("serves");
        service.door.tell(&service.config);
        Ok(service)
    }

    fn greet(&self, how: &str) {
        let jobs = term::plural(self.config.jobs.len() as u64, "job", "jobs");
        self.say(&format!("{} {how} {jobs} of {}", env!("CARGO_PKG_VERSION"), self.file.display()));
        if let Some(warning) = self.zone.warning() {
            term::warning(warning);
        }
    }

    /// Does what is to be done now; gives how long it may sleep then.
    fn step(&mut self) -> Option<Duration> {
        if self.reload.swap(false, Ordering::Relaxed) {
            self.reload();
        }
        if let Some(work) = &self.work {
            let answer = work.answer()?;
            self.take(answer);
        }
        if self.config.jobs.is_empty() && self.door.is_open() {
            return None;
        }
        if self.config.jobs.is_empty() {
            return self.sleep(Why::NoJobs, None);
        }
        let uptime = self.began.elapsed();
        let Some(runs) = &self.runs else {
            let wait = self.recall_from.saturating_sub(uptime);
            return if wait.is_zero() { self.recall() } else { Some(wait) };
        };
        let now = Now { unix: task::now(), uptime };
        match self.scheduler.plan(&self.config.jobs, runs, &self.zone, now) {
            Plan::Sleep(why, most) => self.sleep(why, most),
            Plan::Run(number) => self.begin(number),
        }
    }

    /// Says once why it sleeps.
    fn sleep(&mut self, why: Why, most: Option<Duration>) -> Option<Duration> {
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

    fn recall(&mut self) -> Option<Duration> {
        let config = self.config.clone();
        self.work(None, move || Answer::Recalled(task::recall(&config.own)))
    }

    fn begin(&mut self, number: usize) -> Option<Duration> {
        let job = self.config.jobs.get(number).cloned()?;
        let last = self.runs.as_ref().and_then(|runs| runs.get(&job.name)).copied();
        let name = job.name.clone();
        let (config, stop) = (self.config.clone(), self.stop.clone());
        let absent = self.absent.get(&job.name).copied().unwrap_or(0);
        let (may_wait, is_told) = (absent < ABSENT_RETRIES, absent > 0);
        let (had_state, is_quiet) = (self.had_state, self.is_quiet);
        let task = Task { config, job, last, stop, is_quiet, had_state, may_wait, is_told };
        self.work(Some(name), move || Answer::Ran(task.run()))
    }

    /// Starts it and waits for the bell; or for better times.
    fn work(&mut self, job: Option<String>, act: impl FnOnce() -> Answer + Send + 'static) -> Option<Duration> {
        match Work::start(job, self.config.own.state_dir.clone(), &self.bell, act) {
            Ok(work) => {
                self.work = Some(work);
                None
            }
            Err(error) => {
                term::warning(&format!("can't start a thread: {error}; trying again in a minute"));
                Some(RETRY)
            }
        }
    }

    /// Takes in what came of the work.
    fn take(&mut self, answer: Answer) {
        let Some(Work { job, state_dir, is_outdated, .. }) = self.work.take() else { return };
        // The configuration has another state now: what was is of no interest.
        let is_of_now = state_dir == self.config.own.state_dir;
        match (job, answer) {
            (None, Answer::Recalled(runs)) if is_of_now => self.recalled(runs),
            (None, Answer::Nothing) => self.recalled(Err(Failure::new(Outcome::Failed, UNEXPECTED))),
            (None, _) => {}
            // Who sent SIGHUP does not want to wait for the next look: it is looked again at once.
            (Some(_), Answer::Ran(Ran::Locked | Ran::Absent)) if is_outdated => {}
            (Some(job), Answer::Ran(Ran::Locked)) => self.is_locked(job),
            (Some(job), Answer::Ran(Ran::Absent)) => {
                self.scheduler.hold(&job, self.began.elapsed() + ABSENT_RETRY);
                *self.absent.entry(job).or_default() += 1;
            }
            (Some(job), answer) => {
                self.locked.remove(&job);
                self.absent.remove(&job);
                let run = match answer {
                    Answer::Ran(Ran::Ended(run)) => {
                        self.had_state |= is_of_now && run.end.is_some_and(|end| end.outcome != Outcome::NoSuchTarget);
                        run
                    }
                    _ => {
                        term::error(&Failure::new(Outcome::Failed, format!("job {job}: failed: {UNEXPECTED}")));
                        let at = task::now();
                        JobRun { began: at, end: Some(JobEnd { at, outcome: Outcome::Failed }), tries: 1 }
                    }
                };
                if let Some(runs) = self.runs.as_mut().filter(|_| is_of_now) {
                    runs.insert(job, run);
                }
                // The disks are awake: time to see whether the place has another time zone now.
                self.zone = Zone::of_process();
            }
        }
    }

    fn recalled(&mut self, runs: Result<Runs, Failure>) {
        match runs {
            Ok(runs) => {
                self.had_state = !runs.is_empty();
                self.runs = Some(runs);
            }
            Err(failure) if failure.outcome == Outcome::Locked => {
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

    fn is_locked(&mut self, job: String) {
        self.scheduler.hold(&job, self.began.elapsed() + RETRY);
        let own = self.config.own.state_dir.display();
        let text = format!("job {job}: another run of brackup uses {own}: waiting for it");
        self.locked_again(job, &text);
    }

    fn locked_again(&mut self, job: String, text: &str) {
        let times = self.locked.entry(job).or_default();
        if times.is_multiple_of(RETRIES_TOLD) {
            term::warning(text);
        }
        *times = times.wrapping_add(1);
    }

    /// A configuration that is wrong changes nothing. A job that runs ends as it began.
    fn reload(&mut self) {
        // Who calls it does not want to wait for the next look at the lock.
        self.scheduler.free_all();
        self.locked.clear();
        self.absent.clear();
        self.had_state = false;
        if let Some(work) = &mut self.work {
            work.is_outdated = true;
        }
        self.recall_from = Duration::ZERO;
        match Config::open(&self.file) {
            Ok(config) => {
                if config.own.state_dir != self.config.own.state_dir {
                    self.runs = None;
                }
                self.config = Arc::new(config);
                self.zone = Zone::of_process();
                self.said = None;
                self.greet("has read again and serves");
                self.door.change(&self.config);
            }
            Err(error) => {
                let message = format!("{}; the configuration of before stays in force", one_line(&error));
                term::error(&Failure { outcome: Outcome::Usage, message, hint: error.hint() });
            }
        }
    }

    /// Waits for the backup to park. One that takes too long is left as by a power cut, which the next run knows to mend.
    fn end(&mut self) {
        let closing = self.door.close();
        match self.work.as_ref().filter(|work| work.job.is_some()) {
            None => self.say("ends"),
            Some(work) => {
                self.say("ends: the backup that runs is parked");
                if !work.ends_within(PARKING) {
                    term::warning("the backup could not be parked in time; the next run goes on from what was stored");
                }
            }
        }
        // In less time than the backup may take.
        closing.map(JoinHandle::join);
    }

    fn say(&self, text: &str) {
        if !self.is_quiet {
            term::note(text);
        }
    }
}
