use std::time::Duration;

use super::{Now, PATIENCE, Plan, Runs, Scheduler, WATCH, WATCH_DOUBTED, Why, Zone, closes, next};
use crate::config::{Config, JobOptions, Surroundings};
use crate::date::Utc;
use crate::db::{JobEnd, JobRun};
use crate::outcome::Outcome;

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// A box whose clocks are numbers.
struct Simulation {
    scheduler: Scheduler,
    jobs: Vec<JobOptions>,
    runs: Runs,
    zone: Zone,
    now: Now,
}

impl Simulation {
    /// With jobs `a`, `b`, … at these times, in Berlin.
    fn new(times: &[&str], now: &str) -> Self {
        let jobs = times.iter().zip('a'..).map(|(at, name)| format!("[JOB:{name}]\nfrom=s\nto=t\nat={at}\n"));
        let text = "[SOURCE:s]\npath=/s\nrecipient=A\n[TARGET:t]\ntype=Filesystem\npath=/t\n".to_owned();
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        let text = text + &jobs.collect::<String>();
        let jobs = Config::parse_in("f".as_ref(), text.as_bytes(), &around).unwrap().jobs;
        let now = Now { unix: unix(now), uptime: Duration::from_secs(7) };
        let zone = Zone::posix(BERLIN).unwrap();
        Self { scheduler: Scheduler::default(), jobs, runs: Runs::new(), zone, now }
    }

    /// As if each job had run a moment ago.
    fn all_ran(mut self) -> Self {
        (0..self.jobs.len()).for_each(|number| self.run(number, 0, Outcome::Done));
        self
    }

    fn plan(&mut self) -> Plan {
        self.scheduler.plan(&self.jobs, &self.runs, &self.zone, self.now)
    }

    fn begin(&mut self, number: usize) {
        let name = &self.jobs[number].name;
        let run = JobRun::begin(self.now.unix, self.runs.get(name));
        self.runs.insert(name.clone(), run);
    }

    /// Runs a job for so long.
    fn run(&mut self, number: usize, seconds: u64, outcome: Outcome) {
        self.begin(number);
        self.pass(seconds);
        let end = Some(JobEnd { at: self.now.unix, outcome });
        self.runs.get_mut(&self.jobs[number].name).unwrap().end = end;
    }

    fn pass(&mut self, seconds: u64) {
        self.now.uptime += Duration::from_secs(seconds);
        self.now.unix += i64::try_from(seconds).unwrap();
    }

    /// Somebody sets the clock.
    fn set(&mut self, time: &str) {
        self.now.unix = unix(time);
    }

    /// Runs and sleeps as it is told; gives when each run began, by number of the job, on the clock of the place.
    fn until(&mut self, end: &str, seconds: u64) -> Vec<(usize, String)> {
        let mut began = Vec::new();
        let end = unix(end);
        while self.now.unix < end {
            match self.plan() {
                Plan::Run(number) => {
                    began.push((number, self.zone.shown(self.now.unix)));
                    self.run(number, seconds, Outcome::Done);
                }
                Plan::Sleep(why, most) => {
                    let most = most.expect("there are jobs");
                    assert!(!most.is_zero() && most <= WATCH, "{most:?}");
                    // What is hours away is not asked for every five minutes: a year has many of them.
                    let is_far = matches!(why, Why::Next(_, at) if at - self.now.unix > 7200);
                    self.pass(most.as_secs() * if is_far { 11 } else { 1 });
                }
            }
        }
        began
    }

    fn next(&self) -> String {
        self.zone.shown(next(&self.jobs[0], self.runs.get("a"), &self.zone, self.now.unix))
    }
}

fn unix(text: &str) -> i64 {
    Utc::parse(text).unwrap().to_unix()
}

#[test]
fn without_jobs_nobody_wakes() {
    let mut simulation = Simulation::new(&[], "2026-11-25T12:00");
    assert_eq!(simulation.plan(), Plan::Sleep(Why::NoJobs, None));
}

#[test]
fn a_job_that_never_ran_is_due_at_once() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.run(0, 60, Outcome::Done);
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Next(0, unix("2026-11-26T01:30")), Some(WATCH)));
}

#[test]
fn it_is_woken_when_something_is_due() {
    let mut simulation = Simulation::new(&["02:30", "04:00"], "2026-11-25T01:00").all_ran();
    simulation.set("2026-11-25T01:29:50Z");
    let most = Some(Duration::from_secs(10));
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Next(0, unix("2026-11-25T01:30")), most));
    simulation.pass(10);
    assert_eq!(simulation.plan(), Plan::Run(0));
}

#[test]
fn a_year_has_a_run_a_day() {
    // A leap year, with both changes of the clock.
    let mut simulation = Simulation::new(&["02:30"], "2027-12-31T20:00").all_ran();
    let began = simulation.until("2028-12-31T20:00", 600);
    assert_eq!(began.len(), 366);
    let odd: Vec<_> = began.iter().map(|(_, at)| at.as_str()).filter(|at| !at.contains(" 02:30 ")).collect();
    assert_eq!(odd, ["2028-03-26 03:30 CEST"], "there was no 02:30 on that day");
    let days: std::collections::BTreeSet<_> = began.iter().map(|(_, at)| at.split(' ').next()).collect();
    assert_eq!(days.len(), 366, "none ran twice on a day");
    assert!(began.iter().any(|(_, at)| at == "2028-02-29 02:30 CET"));
    assert!(began.iter().any(|(_, at)| at == "2028-10-29 02:30 CEST"), "the first of two");
}

#[test]
fn a_year_of_cron() {
    // Workdays at half past two, and what the clock leaps over or shows twice.
    let mut simulation =
        Simulation::new(&["30 2 * * 1-5", "15 2 29 2 *", "*/30 1-3 * * 0"], "2027-12-31T20:00").all_ran();
    let began = simulation.until("2028-12-31T20:00", 60);
    let of = |number| began.iter().filter(|(job, _)| *job == number).map(|(_, at)| at.as_str()).collect::<Vec<_>>();
    assert_eq!(of(0).len(), 260, "days from Monday to Friday in 2028");
    assert!(of(0).iter().all(|at| at.contains(" 02:30 ")));
    assert_eq!(of(1), ["2028-02-29 02:15 CET"]);
    let on = |day: &str| of(2).into_iter().filter_map(|at| at.strip_prefix(day)).collect::<Vec<_>>();
    let usual = [" 01:00 CET", " 01:30 CET", " 02:00 CET", " 02:30 CET", " 03:00 CET", " 03:30 CET"];
    assert_eq!(on("2028-01-02"), usual);
    assert_eq!(on("2028-03-26"), [" 01:00 CET", " 01:30 CET", " 03:00 CEST", " 03:30 CEST"], "leapt over: once");
    let twice = [" 01:00 CEST", " 01:30 CEST", " 02:00 CEST", " 02:30 CEST", " 03:00 CET", " 03:30 CET"];
    assert_eq!(on("2028-10-29"), twice, "what is there twice: once");
    assert_eq!(of(2).len(), 53 * 6 - 2);
}

#[test]
fn what_is_due_outside_its_window_waits_for_it() {
    let mut simulation = Simulation::new(&["02:30\nwindow=01:00-06:00"], "2026-11-25T12:00");
    // It never ran.
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Next(0, unix("2026-11-26T00:00")), Some(WATCH)));
    assert_eq!(
        simulation.until("2026-11-27T12:00", 60),
        [(0, "2026-11-26 01:00 CET".into()), (0, "2026-11-26 02:30 CET".into()), (0, "2026-11-27 02:30 CET".into())]
    );
    // What was missed is made up for, once, and at night too.
    simulation.set("2026-12-06T08:00");
    assert_eq!(simulation.next(), "2026-12-07 01:00 CET");
    assert_eq!(simulation.until("2026-12-07T12:00", 60).len(), 2);
    let mut early = Simulation::new(&["00:30\nwindow=01:00-06:00"], "2026-11-25T12:00").all_ran();
    assert_eq!(early.next(), "2026-11-26 01:00 CET");
    assert_eq!(early.until("2026-11-26T12:00", 60), [(0, "2026-11-26 01:00 CET".into())]);
}

#[test]
fn what_its_window_parks_goes_on_in_the_next() {
    let mut simulation = Simulation::new(&["22:30\nwindow=22:00-06:00", "04:00"], "2026-11-25T12:00").all_ran();
    simulation.set("2026-11-25T21:30");
    assert_eq!(simulation.plan(), Plan::Run(0));
    let shuts = closes(&simulation.jobs[0], &simulation.zone, simulation.now.unix);
    assert_eq!(shuts, Some(unix("2026-11-26T05:00")));
    simulation.run(0, 7 * 3600 + 1800, Outcome::Interrupted);
    let now = simulation.now.unix;
    assert_eq!((simulation.plan(), closes(&simulation.jobs[0], &simulation.zone, now)), (Plan::Run(1), Some(now)));
    assert_eq!(closes(&simulation.jobs[1], &simulation.zone, now), None);
    simulation.run(1, 60, Outcome::Done);
    // Not at once, and not at half past ten.
    let began = simulation.until("2026-11-26T21:30", 60);
    assert_eq!(began, [(0, "2026-11-26 22:00 CET".into())]);
}

#[test]
fn a_year_of_nights_with_a_window() {
    // A first backup of weeks, in windows that the clock leaps over, and shows twice.
    let mut simulation = Simulation::new(&["02:00\nwindow=02:00-03:00"], "2028-03-20T12:00");
    let (mut worked, mut nights) = (0, std::collections::BTreeSet::new());
    while simulation.now.unix < unix("2028-11-20T12:00") {
        match simulation.plan() {
            Plan::Run(0) => {
                let now = simulation.now.unix;
                let shuts = closes(&simulation.jobs[0], &simulation.zone, now).unwrap();
                let most = u64::try_from(shuts - now).unwrap().min(WATCH.as_secs());
                worked += most;
                nights.insert(simulation.zone.shown(now)[..10].to_owned());
                simulation.run(0, most, Outcome::Interrupted);
            }
            plan @ Plan::Run(_) => panic!("{plan:?}"),
            Plan::Sleep(_, most) => simulation.pass(most.unwrap().as_secs()),
        }
    }
    assert!(!nights.contains("2028-03-26"), "there was no such hour");
    assert_eq!(nights.len(), 244, "every other night");
    assert_eq!(worked, 244 * 3600 + 3600, "it went on when the hour came again");
}

#[test]
fn a_clock_that_leaps_out_of_the_window_parks() {
    let mut simulation = Simulation::new(&["02:30\nwindow=01:00-06:00"], "2026-11-25T12:00").all_ran();
    simulation.set("2026-11-26T01:30");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.set("2026-11-26T07:30");
    let now = simulation.now.unix;
    assert_eq!(closes(&simulation.jobs[0], &simulation.zone, now), Some(now));
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00").all_ran();
    // Off for eleven days.
    simulation.set("2026-12-06T08:00");
    let began = simulation.until("2026-12-08T08:00", 60);
    let times: Vec<_> = began.iter().map(|(_, at)| at.as_str()).collect();
    assert_eq!(times, ["2026-12-06 09:00 CET", "2026-12-07 02:30 CET", "2026-12-08 02:30 CET"]);
}

#[test]
fn one_after_the_other_the_longest_due_first() {
    let mut simulation = Simulation::new(&["04:00", "02:30", "03:00"], "2026-11-25T12:00").all_ran();
    let began = simulation.until("2026-11-26T12:00", 3 * 3600);
    let times: Vec<_> = began.iter().map(|(number, at)| (*number, &at[11..16])).collect();
    assert_eq!(times, [(1, "02:30"), (2, "05:30"), (0, "08:30")]);
}

#[test]
fn a_run_longer_than_a_day_is_not_followed_by_another() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T01:30");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.run(0, 53 * 3600, Outcome::Done);
    assert_eq!(simulation.zone.shown(simulation.now.unix), "2026-11-27 07:30 CET");
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Next(0, unix("2026-11-28T01:30")), Some(WATCH)));
}

#[test]
fn a_failed_run_waits_for_the_next_day_and_a_parked_one_goes_on() {
    for outcome in [Outcome::Done, Outcome::DoneWithProblems, Outcome::Failed, Outcome::NoSuchTarget] {
        let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00");
        simulation.run(0, 60, outcome);
        assert!(matches!(simulation.plan(), Plan::Sleep(Why::Next(..), _)), "{outcome:?}");
    }
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00");
    for _ in 0..10 {
        simulation.run(0, 60, Outcome::Interrupted);
        assert_eq!(simulation.plan(), Plan::Run(0));
    }
}

#[test]
fn a_run_that_is_cut_off_again_and_again_waits_for_its_time() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00");
    for _ in 0..3 {
        assert_eq!(simulation.plan(), Plan::Run(0));
        simulation.begin(0);
        simulation.pass(300);
    }
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Next(0, unix("2026-11-26T01:30")), Some(WATCH)));
    simulation.set("2026-11-26T01:30");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.begin(0);
    assert!(matches!(simulation.plan(), Plan::Sleep(..)), "once a day");
}

#[test]
fn a_clock_that_is_not_set_is_waited_for() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00").all_ran();
    for time in ["1970-01-01T00:00", "2026-10-31T23:59"] {
        simulation.set(time);
        simulation.pass(7200);
        simulation.set(time);
        assert_eq!(simulation.plan(), Plan::Sleep(Why::ClockNotSet, Some(WATCH_DOUBTED)), "however long it takes");
    }
    simulation.set("2026-11-26T08:00");
    assert_eq!(simulation.plan(), Plan::Run(0));
    let mut never_ran = Simulation::new(&["02:30"], "1970-01-01T00:05");
    assert_eq!(never_ran.plan(), Plan::Sleep(Why::ClockNotSet, Some(WATCH_DOUBTED)));
}

#[test]
fn a_clock_that_is_behind_is_waited_for_but_not_for_ever() {
    let last = unix("2027-02-01T12:00");
    let mut simulation = Simulation::new(&["02:30"], "2027-02-01T12:00").all_ran();
    // As after a start of a box whose clock has no battery: some time of the past.
    simulation.set("2027-01-12T12:00");
    let behind = Plan::Sleep(Why::ClockBehind(last), Some(WATCH_DOUBTED));
    assert_eq!(simulation.plan(), behind);
    simulation.pass(PATIENCE.as_secs() - 1);
    assert_eq!(simulation.plan(), behind);
    let (uptime, unix) = (simulation.now.uptime, simulation.now.unix);
    simulation.set("2027-02-01T13:00");
    assert!(matches!(simulation.plan(), Plan::Sleep(Why::Next(..), _)), "it was set");
    simulation.now = Now { unix, uptime: uptime + Duration::from_secs(2) };
    assert_eq!(simulation.plan(), behind, "from the beginning");
    simulation.pass(PATIENCE.as_secs());
    assert_eq!(simulation.plan(), Plan::Run(0), "it stays as it is: the last run was in a wrong future");
    simulation.run(0, 60, Outcome::Done);
    assert_eq!(simulation.next(), "2027-01-13 02:30 CET");
    assert!(matches!(simulation.plan(), Plan::Sleep(Why::Next(..), _)));
}

#[test]
fn a_clock_that_is_set_back_a_little_runs_nothing_twice() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T00:00").all_ran();
    simulation.set("2026-11-25T01:30");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.run(0, 60, Outcome::Done);
    simulation.set("2026-11-25T01:20");
    assert_eq!(simulation.next(), "2026-11-26 02:30 CET");
    let began = simulation.until("2026-11-26T12:00", 60);
    assert_eq!(began, [(0, "2026-11-26 02:30 CET".into())]);
}

#[test]
fn a_clock_that_leaps_forward_runs_what_it_leapt_over_once() {
    let mut simulation = Simulation::new(&["02:30"], "2026-11-25T12:00").all_ran();
    simulation.set("2026-12-25T12:00");
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.run(0, 60, Outcome::Done);
    assert_eq!(simulation.next(), "2026-12-26 02:30 CET");
}

#[test]
fn a_held_job_lets_others_run_and_is_tried_again() {
    let mut simulation = Simulation::new(&["02:30", "02:30"], "2026-11-25T12:00");
    let until = simulation.now.uptime + Duration::from_secs(60);
    simulation.scheduler.hold("a", until);
    assert_eq!(simulation.plan(), Plan::Run(1));
    simulation.run(1, 10, Outcome::Done);
    assert_eq!(simulation.plan(), Plan::Sleep(Why::Held, Some(Duration::from_secs(50))));
    simulation.pass(50);
    assert_eq!(simulation.plan(), Plan::Run(0));
    simulation.scheduler.hold("a", simulation.now.uptime + Duration::from_secs(60));
    assert!(matches!(simulation.plan(), Plan::Sleep(Why::Held, _)));
    simulation.scheduler.free_all();
    assert_eq!(simulation.plan(), Plan::Run(0));
}
