//! `brackup serve`: runs the jobs of the configuration, day after day, in the foreground.
//!
//! This thread sleeps, plans and hears signals; it never touches `state_dir`, a source or a target. While nothing is due no file of
//! these is open and no call is made that could wake their disks: what the plans need is in memory.

mod alerts;
mod bell;
mod disks;
mod door;
mod orders;
pub(super) mod peek;
mod recall;
mod reload;
pub(super) mod shown;
mod task;
mod waiting;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brackup::config::Config;
use brackup::db::{JobEnd, JobRun};
use brackup::outcome::Outcome;
use brackup::scheduler::{self, Now, Plan, Runs, Scheduler, WATCH, Why, Zone};
use brackup::status::Board;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::open;
use crate::cli::{Global, ServeArgs};
use crate::syslog::Syslog;
use crate::term::{self, Failure};
use alerts::Alerts;
use bell::Bell;
use disks::Disks;
use door::Doorkeeper;
use orders::{Asked, Wish};
use peek::Peek;
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
        service.bell.wait(service.alerts.patience(&service.config, most));
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
    disks: Disks,
    /// Jobs of which it was told that they wait for their disks.
    asleep: BTreeSet<String>,
    /// There was a database: it must stay there.
    had_state: bool,
    recall_from: Duration,
    said: Option<Why>,
    bell: Bell,
    alerts: Alerts,
    door: Doorkeeper,
    peek: Option<Peek>,
    reload: Arc<AtomicBool>,
    /// A signal has come that ends it.
    ends: Arc<AtomicBool>,
    /// What is shown, and what somebody wants done.
    board: Arc<Board>,
    asked: Asked,
    began: Instant,
    is_quiet: bool,
}

impl Service {
    fn start(args: &ServeArgs, global: &Global, ends: Arc<AtomicBool>) -> Result<Self, Failure> {
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
        let button = bell.button().map_err(failed)?;
        let board = Arc::new(Board::new(move || button.press()));
        let door = Doorkeeper::start(&config, &board)?;
        let peek = Peek::open(&config, &board);
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
            disks: Disks::default(),
            asleep: BTreeSet::new(),
            had_state: false,
            recall_from: Duration::ZERO,
            said: None,
            bell,
            alerts: Alerts::default(),
            door,
            peek,
            reload,
            ends,
            board,
            asked: Asked::default(),
            began: Instant::now(),
            is_quiet: global.quiet,
        };
        service.show_all();
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
        self.obey();
        if let Some(work) = &self.work {
            let Some(answer) = work.answer() else { return self.watch(work) };
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
            self.alerts.look(&self.config, &self.zone, None, uptime);
            return if wait.is_zero() { self.recall() } else { Some(wait) };
        };
        let now = Now { unix: task::now(), uptime };
        self.disks.look(&self.config, uptime);
        let plan = self.scheduler.plan(&self.config.jobs, runs, &self.zone, now);
        self.show(plan);
        self.look_at(plan, now);
        let is_doubted = matches!(plan, Plan::Sleep(Why::ClockNotSet | Why::ClockBehind(_), _));
        let is_due = matches!(plan, Plan::Run(_)) && !self.asked.is_paused(uptime);
        let asked = if is_doubted { None } else { self.asked_for(is_due, uptime) };
        if let Some((number, wish)) = asked {
            return self.begin(number, Some(wish));
        }
        match plan {
            // Wishes wait for the clock too: backups are named after the day.
            Plan::Sleep(why, most) if is_doubted => self.sleep(why, most),
            Plan::Sleep(why, most) => {
                let most = self.sleep(why, most);
                Some(most.unwrap_or(WATCH).min(self.asked.patience(uptime)))
            }
            Plan::Run(_) if self.asked.is_paused(uptime) => Some(WATCH),
            Plan::Run(number) if self.may_begin(number, uptime) => self.begin(number, None),
            Plan::Run(_) => Some(Duration::ZERO),
        }
    }

    /// What somebody wishes no window holds.
    fn begin(&mut self, number: usize, wish: Option<Wish>) -> Option<Duration> {
        let (is_asked_for, only_verifies) = (wish.is_some(), wish == Some(Wish::Verify));
        let now = task::now();
        let job = self.config.jobs.get(number).cloned()?;
        let last = self.runs.as_ref().and_then(|runs| runs.get(&job.name)).copied();
        let name = job.name.clone();
        let (config, stop) = (self.config.clone(), Arc::new(AtomicBool::new(false)));
        let absent = self.absent.get(&job.name).copied().unwrap_or(0);
        // Who asks for it now wants to hear at once what is missing.
        let closes = scheduler::closes(&job, &self.zone, now).unwrap_or(i64::MAX);
        let comes_again = closes.saturating_sub(now).unsigned_abs() > ABSENT_RETRY.as_secs();
        let (may_wait, is_told) = (absent < ABSENT_RETRIES && comes_again && !is_asked_for, absent > 0);
        // It is as before a first run then, so that a box whose disk was changed goes on.
        let had_state = self.had_state && (absent < ABSENT_RETRIES || is_asked_for);
        let is_quiet = self.is_quiet;
        let (ends, board, alerts) = (self.ends.clone(), self.board.clone(), self.alerts.clone());
        let task = Task {
            config,
            board,
            job,
            last,
            alerts,
            stop: stop.clone(),
            ends,
            is_quiet,
            is_asked_for,
            only_verifies,
            had_state,
            may_wait,
            is_told,
        };
        self.work(Some(name), stop, wish, move || {
            let ran = task.run();
            if matches!(ran, Ran::Ended(_) | Ran::Elsewhere(_) | Ran::Verified) {
                shown::read(&task.config, &task.board, Some(&task.job.name));
            }
            Answer::Ran(ran)
        })
    }

    /// Starts it and waits for the bell; or for better times.
    fn work(
        &mut self,
        job: Option<String>,
        stop: Arc<AtomicBool>,
        wish: Option<Wish>,
        act: impl FnOnce() -> Answer + Send + 'static,
    ) -> Option<Duration> {
        match Work::start(job, self.config.own.state_dir.clone(), &self.bell, stop, act) {
            Ok(mut work) => {
                work.wish = wish;
                let most = self.watch(&work);
                self.work = Some(work);
                most
            }
            Err(error) => {
                term::warning(&format!("can't start a thread: {error}; trying again in a minute"));
                Some(RETRY)
            }
        }
    }

    /// Takes in what came of the work.
    fn take(&mut self, answer: Answer) {
        let Some(work) = self.work.take() else { return };
        let is_parked = work.is_parked();
        let Work { job, state_dir, is_outdated, wish, .. } = work;
        self.disks.forget();
        if matches!(answer, Answer::Ran(Ran::Absent)) {
            self.alerts.is_absent();
        }
        if is_outdated {
            // The run has shown what it knew of a configuration of before.
            self.show_all();
        }
        // The configuration has another state now: what was is of no interest.
        let is_of_now = state_dir == self.config.own.state_dir;
        match (job, answer) {
            (None, Answer::Recalled(runs)) if is_of_now => self.recalled(runs),
            (None, Answer::Nothing) => self.recalled(Err(Failure::new(Outcome::Failed, UNEXPECTED))),
            (None, _) => {}
            // Who sent SIGHUP does not want to wait for the next look: it is looked again at once.
            (Some(job), Answer::Ran(Ran::Locked | Ran::Absent)) if is_outdated => {
                self.locked.remove(&job);
                if let Some(wish) = wish.filter(|_| !is_parked) {
                    self.asked.wish_later(&job, wish, Duration::ZERO);
                }
            }
            (Some(job), Answer::Ran(Ran::Verified)) => {
                self.locked.remove(&job);
                self.asked.has_verified();
            }
            (Some(_), Answer::Ran(Ran::Locked)) if is_parked => self.asked.has_verified(),
            (Some(job), Answer::Ran(Ran::Locked)) => self.is_locked(job, wish),
            (Some(job), Answer::Ran(Ran::Absent)) => {
                self.locked.remove(&job);
                self.scheduler.hold(&job, self.began.elapsed() + ABSENT_RETRY);
                *self.absent.entry(job).or_default() += 1;
            }
            (Some(job), answer) => {
                self.locked.remove(&job);
                self.absent.remove(&job);
                let is_ours = !matches!(answer, Answer::Ran(Ran::Elsewhere(_)));
                let run = match answer {
                    Answer::Ran(Ran::Ended(run) | Ran::Elsewhere(run)) => {
                        self.had_state |= is_of_now && run.end.is_some_and(|end| end.outcome != Outcome::NoSuchTarget);
                        run
                    }
                    _ => {
                        term::error(&Failure::new(Outcome::Failed, format!("job {job}: failed: {UNEXPECTED}")));
                        let at = task::now();
                        JobRun { began: at, end: Some(JobEnd { at, outcome: Outcome::Failed }), tries: 1 }
                    }
                };
                if wish == Some(Wish::Run) {
                    // What is parked of it goes on as soon as it may, whatever was stopped before.
                    self.scheduler.free(&job);
                }
                self.was_parked(&job, &run);
                self.alerts.ended(&self.config, &job, &run, is_ours);
                if let Some(runs) = self.runs.as_mut().filter(|_| is_of_now) {
                    runs.insert(job, run);
                }
                // The disks are awake: time to see whether the place has another time zone now.
                self.set_zone();
            }
        }
    }

    fn is_locked(&mut self, job: String, wish: Option<Wish>) {
        let until = self.began.elapsed() + RETRY;
        match wish {
            Some(wish) => self.asked.wish_later(&job, wish, until),
            None => self.scheduler.hold(&job, until),
        }
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

    /// Waits for the backup to park. One that takes too long is left as by a power cut, which the next run knows to mend.
    fn end(&mut self) {
        let closing = self.door.close();
        match self.work.as_ref().filter(|work| work.job.is_some()) {
            None => self.say("ends"),
            Some(work) => {
                work.park();
                self.say("ends: the backup that runs is parked");
                match work.ends_within(PARKING) {
                    // It may have come to its end.
                    Some(answer) => self.take(answer),
                    None => term::warning(
                        "the backup could not be parked in time; the next run goes on from what was stored",
                    ),
                }
            }
        }
        self.alerts.end();
        // In less time than the backup may take.
        closing.map(JoinHandle::join);
    }

    fn say(&self, text: &str) {
        if !self.is_quiet {
            term::note(text);
        }
    }
}
