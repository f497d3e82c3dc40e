//! What is told when, by a clock of the test's.

use std::path::Path;

use brackup::db::JobEnd;

use brackup::config::AlertType;

use super::queue::{Untold, WAITING_MAX, What};
use super::*;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_570_200;

/// Alerts that tell nobody: what waits is looked at.
fn alerts(config: &Config) -> Alerts {
    let alerts = Alerts::default();
    for alert in &config.alerts {
        alerts.state().queues.insert(alert.name.clone(), Queue { is_served: true, ..Queue::default() });
    }
    alerts
}

fn config(alert: &str) -> Config {
    with("at = 02:30", "type = command\ncommand = x\n", alert)
}

fn with(at: &str, kind: &str, alert: &str) -> Config {
    let text = format!(
        "[SOURCE:home]\npath = /h\nrecipient = 5E1B3EC5\n[TARGET:raid]\ntype = Filesystem\npath = /r\n\
         [JOB:nightly]\nfrom = home\nto = raid\n{at}\n[ALERT:x]\n{kind}{alert}"
    );
    Config::parse(Path::new("f"), text.as_bytes()).unwrap()
}

fn untold(may_pass: bool) -> Untold {
    Untold { why: "nobody is there".into(), may_pass }
}

/// What waits is tried, and does not get through.
fn fails(alerts: &Alerts, may_pass: bool) -> usize {
    let letters: Vec<_> = alerts.state().queues.get_mut("x").unwrap().waiting.drain(..).collect();
    let count = letters.len();
    letters.into_iter().for_each(|letter| alerts.told("x", letter, Err(untold(may_pass))));
    count
}

fn waiting(alerts: &Alerts) -> Vec<(AlertKind, String)> {
    let mut state = alerts.state();
    let letters = state.queues.values_mut().flat_map(|queue| queue.waiting.drain(..));
    letters
        .map(|letter| match letter.what {
            What::Alert(_, event) => (event.kind, event.message),
            What::Original(..) => (AlertKind::Success, String::new()),
        })
        .collect()
}

fn kinds(alerts: &Alerts) -> Vec<AlertKind> {
    waiting(alerts).into_iter().map(|(kind, _)| kind).collect()
}

fn ended(alerts: &Alerts, config: &Config, at: i64, outcome: Outcome) {
    alerts.began(config, "nightly", at - 10, false);
    let run = JobRun { began: at - 10, end: Some(JobEnd { at, outcome }), tries: 1 };
    alerts.ended(config, "nightly", &run, true);
}

#[test]
fn what_is_overdue_is_told_once_a_day_and_that_it_is_good_again() {
    let config = config("on = overdue\nafter = 3d\n");
    let alerts = alerts(&config);
    let zone = Zone::utc();
    let look = |days: i64| {
        alerts.look(&config, &zone, Some(NOW + days * DAY), Duration::from_secs((days * DAY).cast_unsigned()));
        waiting(&alerts)
    };
    ended(&alerts, &config, NOW, Outcome::DoneWithProblems);
    assert_eq!((look(0), look(2)), (vec![], vec![]));
    ended(&alerts, &config, NOW + 2 * DAY, Outcome::Failed);
    let told = look(3);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].1.starts_with("job nightly: no good backup since 2026-11-2") && told[0].1.ends_with(", for 3 days"),
        "{told:?}"
    );
    assert_eq!(look(3), []);
    assert_eq!((look(4).len(), look(5).len()), (1, 1), "once a day");
    ended(&alerts, &config, NOW + 5 * DAY, Outcome::Failed);
    assert_eq!(waiting(&alerts), []);
    ended(&alerts, &config, NOW + 6 * DAY, Outcome::Done);
    let again = "job nightly: there is a good backup again".to_owned();
    assert_eq!(waiting(&alerts), [(AlertKind::Success, again)]);
    ended(&alerts, &config, NOW + 7 * DAY, Outcome::Done);
    assert_eq!(waiting(&alerts), [], "once");
    assert_eq!((look(9).len(), look(10).len()), (0, 1));
}

#[test]
fn of_a_job_that_only_copies_no_backup_is_told() {
    let mut config = config("on = overdue\n");
    config.jobs[0].from.clear();
    let alerts = alerts(&config);
    ended(&alerts, &config, NOW, Outcome::Done);
    alerts.look(&config, &Zone::utc(), Some(NOW + 3 * DAY), Duration::ZERO);
    ended(&alerts, &config, NOW + 3 * DAY, Outcome::Done);
    let told: Vec<_> = waiting(&alerts).into_iter().map(|(_, message)| message).collect();
    assert!(
        told.len() == 2 && told[0].contains("no good copy since") && told[1].contains("a good copy again"),
        "{told:?}"
    );
}

#[test]
fn a_run_that_goes_on_is_given_its_time() {
    let config = config("on = overdue\nafter = 3d\n");
    let alerts = alerts(&config);
    alerts.recalled([("nightly".to_owned(), Since { at: NOW - 9 * DAY, is_good: true })].into());
    alerts.began(&config, "nightly", NOW, false);
    let look = |days: i64| {
        alerts.look(&config, &Zone::utc(), Some(NOW + days * DAY), Duration::ZERO);
        kinds(&alerts)
    };
    assert_eq!((look(0), look(2), look(3)), (vec![], vec![], vec![AlertKind::Overdue]), "one that hangs is told");
}

#[test]
fn a_clock_that_is_never_set_is_told() {
    let config = config("on = overdue\nafter = 1d\n");
    let alerts = alerts(&config);
    for (hours, told) in [(1, 0), (23, 0), (24, 1), (25, 0)] {
        alerts.look(&config, &Zone::utc(), None, Duration::from_secs(hours * 3600));
        assert_eq!(waiting(&alerts).len(), told, "{hours}");
    }
    // Then it is set, and nothing was forgotten since 1970.
    alerts.look(&config, &Zone::utc(), Some(NOW), Duration::from_secs(49 * 3600));
    assert_eq!(waiting(&alerts), []);
}

#[test]
fn each_end_is_told_to_who_asks() {
    let config = config("on = start, success, failure, problems\n");
    let alerts = alerts(&config);
    for (outcome, kind) in [
        (Outcome::Done, Some(AlertKind::Success)),
        (Outcome::DoneWithProblems, Some(AlertKind::Problems)),
        (Outcome::Failed, Some(AlertKind::Failure)),
        (Outcome::NoSuchTarget, Some(AlertKind::Failure)),
        (Outcome::Interrupted, None),
    ] {
        ended(&alerts, &config, NOW, outcome);
        let told = [Some(AlertKind::Start), kind].into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(kinds(&alerts), told, "{outcome:?}");
    }
    let run = JobRun { began: NOW, end: Some(JobEnd { at: NOW, outcome: Outcome::Done }), tries: 1 };
    alerts.ended(&config, "nightly", &run, false);
    assert_eq!(kinds(&alerts), [], "of another process");
}

#[test]
fn the_reason_of_a_failure_is_in_its_first_line() {
    let config = config("");
    let alerts = alerts(&config);
    alerts.began(&config, "nightly", NOW, false);
    let (outcome, message) = (Outcome::Failed, "it is full".to_owned());
    let part = Part {
        source: String::new(),
        path: String::new(),
        target: "raid".into(),
        backup: None,
        outcome,
        message,
        stats: None,
    };
    alerts.part(&config, "home", part);
    let run = JobRun { began: NOW, end: Some(JobEnd { at: NOW, outcome: Outcome::Failed }), tries: 1 };
    alerts.ended(&config, "nightly", &run, true);
    assert_eq!(waiting(&alerts)[0].1, "job nightly: failed: home to raid: it is full");
}

#[test]
fn what_waits_is_bounded() {
    let config = config("on = start\n");
    let alerts = alerts(&config);
    for at in 0..100 {
        alerts.began(&config, "nightly", at, false);
    }
    assert_eq!(waiting(&alerts).len(), WAITING_MAX);
}

#[test]
fn what_does_not_get_through_is_tried_again_and_not_for_ever() {
    let config = config("on = failure\n");
    let alerts = alerts(&config);
    ended(&alerts, &config, NOW, Outcome::Failed);
    let mut tried = Vec::new();
    for minutes in 0..2000_u64 {
        alerts.look(&config, &Zone::utc(), Some(NOW), Duration::from_secs(minutes * 60));
        (0..fails(&alerts, true)).for_each(|_| tried.push(minutes));
    }
    assert_eq!(tried, [0, 10, 30, 70, 150, 310, 630]);
    let idle = || alerts.state().queues.values_mut().for_each(|queue| queue.is_served = false);
    idle();
    assert_eq!(alerts.patience(&config, None), None, "nobody waits for it any more");
    alerts.state().queues.get_mut("x").unwrap().is_served = true;
    assert_eq!(alerts.patience(&config, None), Some(LOOK), "it may not get through");

    ended(&alerts, &config, NOW, Outcome::Failed);
    assert_eq!(fails(&alerts, false), 1);
    alerts.look(&config, &Zone::utc(), Some(NOW), Duration::from_secs(200_000));
    assert_eq!(waiting(&alerts), [], "what can't get through");
    ended(&alerts, &config, NOW, Outcome::Failed);
    assert_eq!(fails(&alerts, true), 1);
    idle();
    assert_eq!(alerts.patience(&config, None), Some(LOOK), "it is woken for it");
    // Whoever mends an address by SIGHUP has it told there; who takes the alert out has it told nowhere.
    alerts.changed(&config, &with("at = 02:30", "type = command\ncommand = y\n", "on = failure\n"));
    let command = |alerts: &Alerts| match &alerts.state().queues["x"].later[0].1.what {
        What::Alert(alert, _) => alert.how.clone(),
        What::Original(..) => panic!("an alert"),
    };
    assert_eq!(command(&alerts), AlertType::Command("y".to_owned().into()));
    let mut without = self::config("");
    without.alerts.clear();
    alerts.changed(&config, &without);
    assert!(alerts.state().queues["x"].later.is_empty());
}

#[test]
fn that_it_is_overdue_is_told_within_the_hour_if_nobody_heard() {
    let config = config("on = overdue\n");
    let alerts = alerts(&config);
    alerts.recalled([("nightly".to_owned(), Since { at: NOW - 9 * DAY, is_good: true })].into());
    let tries = |from: u64, may_pass| {
        let mut tried = Vec::new();
        for minutes in from..from + 300 {
            alerts.look(&config, &Zone::utc(), Some(NOW), Duration::from_secs(minutes * 60));
            (0..fails(&alerts, may_pass)).for_each(|_| tried.push(minutes - from));
        }
        tried
    };
    assert_eq!(tries(0, true), [0, 60, 120, 180, 240]);
    // What a command does is done once a day.
    assert_eq!(tries(300, false), [0]);
    // One that failed while a good backup came changes nothing.
    let mut state = alerts.state();
    let event = event(AlertKind::Overdue, "nightly", NOW, String::new());
    state.told.clear();
    drop(state);
    alerts.told("x", Letter::alert(&config.alerts[0], event), Err(untold(true)));
    assert!(alerts.state().told.is_empty());
}

#[test]
fn a_check_hears_nothing_that_is_no_longer_so() {
    let config = with("at = 02:30", "type = healthchecks\nurl = http://127.0.0.1:9/x\n", "on = success, failure\n");
    let alerts = alerts(&config);
    ended(&alerts, &config, NOW, Outcome::Failed);
    assert_eq!(fails(&alerts, true), 1);
    ended(&alerts, &config, NOW + 60, Outcome::Done);
    alerts.look(&config, &Zone::utc(), Some(NOW + 60), Duration::from_secs(90_000));
    assert_eq!(kinds(&alerts), [AlertKind::Success]);
    // Nor does a start hide what came before it.
    ended(&alerts, &config, NOW, Outcome::Failed);
    assert_eq!(fails(&alerts, true), 1);
    let start = event(AlertKind::Start, "nightly", NOW + 60, String::new());
    alerts.push(&mut alerts.state(), "x".into(), Letter::alert(&config.alerts[0], start));
    alerts.look(&config, &Zone::utc(), Some(NOW + 60), Duration::from_secs(120_000));
    assert_eq!(kinds(&alerts), [AlertKind::Start, AlertKind::Failure]);
    // The failure was on its way while the success came.
    ended(&alerts, &config, NOW, Outcome::Failed);
    let failure = alerts.state().queues.get_mut("x").unwrap().waiting.pop_back().unwrap();
    ended(&alerts, &config, NOW + 60, Outcome::Done);
    alerts.told("x", failure, Err(untold(true)));
    alerts.look(&config, &Zone::utc(), Some(NOW + 60), Duration::from_secs(180_000));
    assert_eq!(kinds(&alerts), [AlertKind::Success]);
}

#[test]
fn a_job_is_overdue_as_its_schedule_is() {
    // A Wednesday, an hour behind its time.
    let good = NOW + 7200;
    for (at, days) in [("at = 02:30", 3), ("at = 30 2 * * 3", 9), ("at = 30 2 1 * *", 8), ("at = 0 * * * *", 3)] {
        let config = with(at, "type = command\ncommand = x\n", "on = overdue\n");
        let alerts = alerts(&config);
        alerts.recalled([("nightly".to_owned(), Since { at: good, is_good: true })].into());
        let look = |days: i64| {
            alerts.look(&config, &Zone::utc(), Some(good + days * DAY + 3600), Duration::ZERO);
            kinds(&alerts).len()
        };
        assert_eq!((look(days - 1), look(days)), (0, 1), "{at}");
        // One that hangs is told as soon as a daily one.
        alerts.began(&config, "nightly", good + 20 * DAY, false);
        alerts.state().told.clear();
        assert_eq!((look(22), look(23)), (0, 1), "{at}");
    }
}

#[test]
fn what_went_to_another_address_was_told_to_nobody() {
    let [one, other] = ["x", "y"]
        .map(|command| with("at = 02:30", &format!("type = command\ncommand = {command}\n"), "on = overdue\n"));
    let alerts = alerts(&one);
    alerts.recalled([("nightly".to_owned(), Since { at: NOW - 9 * DAY, is_good: true })].into());
    let look = |config: &Config| {
        alerts.look(config, &Zone::utc(), Some(NOW), Duration::ZERO);
        kinds(&alerts).len()
    };
    assert_eq!((look(&one), look(&one)), (1, 0));
    alerts.changed(&one, &one);
    assert_eq!(look(&one), 0);
    alerts.changed(&one, &other);
    assert_eq!(look(&other), 1);
}
