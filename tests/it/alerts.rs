//! Alerts: what is told of jobs, to whom, and that nobody waits for who does not listen.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use brackup::alert::{self, Event};
use brackup::config::{AlertKind, Config};
use brackup::date::Utc;
use brackup::db::{Db, JobEnd, JobRun};
use brackup::outcome::Outcome;

use crate::serve::{NIGHTLY, add, has_ended_well, small_tree};
use crate::support::{Hook, Program, Service, code, has_ended, stderr};

fn serve(program: &Program) -> Service {
    Service::start(program.command(&["serve"]))
}

/// An alert over HTTP to this server.
fn hook(kind: &str, hook: &Hook, more: &str) -> String {
    format!("[ALERT:phone]\ntype = {kind}\nurl = {}\n{more}\n", hook.url("/hush-hush"))
}

/// Tells one event by a section of a configuration.
pub(crate) fn send(section: &str, kind: AlertKind, within: Duration) -> Result<(), String> {
    let config = Config::parse(Path::new("conf"), section.as_bytes()).unwrap();
    let event = Event {
        kind,
        job: "nightly".into(),
        hostname: "nas".into(),
        at: 1_795_570_200,
        message: "job nightly: it's \"so\"".into(),
        outcome: Some(Outcome::DoneWithProblems),
        last_good: None,
        parts: Vec::new(),
        is_test: false,
    };
    let told = alert::send(&config.alerts[0], &event, within, &Arc::new(AtomicBool::new(false)));
    told.map_err(|error| error.to_string())
}

#[test]
fn a_webhook_is_told_of_a_run_as_json() {
    let tree = small_tree();
    let server = Hook::new();
    let program = Program::new(&tree.root);
    add(&program, &(NIGHTLY.to_owned() + &hook("webhook", &server, "token = hush-token\non = start, success")));
    let mut service = serve(&program);
    let (start, success) = (server.hears(), server.hears());
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert!(!log.contains("hush"), "{log}");
    assert!(start.head.starts_with("POST /hush-hush HTTP/1.1\r\n"), "{}", start.head);
    let head = start.head.to_lowercase();
    assert!(head.contains("\r\nauthorization: bearer hush-token\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    let (start, success) = (start.json(), success.json());
    assert_eq!((&start["event"], &start["job"], &start["version"]), (&"start".into(), &"nightly".into(), &1.into()));
    assert_eq!((&success["event"], &success["outcome"]), (&"success".into(), &"done".into()));
    let backup = &success["backups"][0];
    assert_eq!((&backup["source"], &backup["target"]), (&"tree".into(), &"disk".into()));
    assert_eq!(backup["root"], tree.root.to_str().unwrap());
    assert!(backup["backup"].as_str().unwrap().starts_with("tree-"), "{backup}");
    assert_eq!((&backup["stats"]["files"], &backup["stats"]["bytes"]), (&1.into(), &9.into()));
    assert!(success["hostname"].is_string() && success["date"].as_str().unwrap().ends_with('Z'), "{success}");
}

#[test]
fn a_check_hears_how_it_begins_and_that_it_fails() {
    let tree = small_tree();
    let server = Hook::new();
    let program = Program::new(&tree.root);
    add(&program, &(NIGHTLY.to_owned() + &hook("healthchecks", &server, "")));
    fs::remove_dir_all(&tree.root).unwrap();
    let mut service = serve(&program);
    let (start, fail) = (server.hears(), server.hears());
    service.says("waiting: next");
    has_ended_well(service);
    assert_eq!((start.path(), fail.path()), ("/hush-hush/start", "/hush-hush/fail"));
    assert!(fail.body.contains(": job nightly: failed: tree to disk: "), "{}", fail.body);
    assert_eq!(server.left(), 0);
}

#[test]
fn a_check_has_a_path_for_each_end() {
    let server = Hook::new();
    let all = hook("healthchecks", &server, "");
    let few = hook("healthchecks", &server, "on = success");
    for (section, kind, path) in [
        (&all, AlertKind::Success, "/hush-hush"),
        (&all, AlertKind::Problems, "/hush-hush/3"),
        (&all, AlertKind::Overdue, "/hush-hush/fail"),
        // There is a backup: a check that heard nothing would say that there is none.
        (&few, AlertKind::Problems, "/hush-hush"),
    ] {
        send(section, kind, alert::WITHIN).unwrap();
        assert_eq!(server.hears().path(), path);
    }
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let server = Hook::answering(&["503 Later", "200 OK"]);
    send(&hook("webhook", &server, ""), AlertKind::Failure, alert::WITHIN).unwrap();
    assert_eq!(server.left(), 2);
    let server = Hook::answering(&["404 Not Found"]);
    let told = send(&hook("webhook", &server, ""), AlertKind::Failure, alert::WITHIN).unwrap_err();
    assert!(told.ends_with(": it answers 404 Not Found") && !told.contains("hush"), "{told}");
    assert_eq!(server.left(), 1);
}

#[test]
fn a_secret_is_told_to_no_other_host() {
    let other = Hook::new();
    let server = Hook::answering(&[&format!("303 See Other\r\nLocation: {}", other.url("/there"))]);
    let told = send(&hook("webhook", &server, "token = hush"), AlertKind::Failure, alert::WITHIN).unwrap_err();
    assert!(told.contains("it points elsewhere") && !told.contains("hush"), "{told}");
    assert_eq!((server.left(), other.left()), (1, 0));
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let server = Hook::answering(&[""]);
    let began = Instant::now();
    let told = send(&hook("webhook", &server, ""), AlertKind::Failure, Duration::from_millis(300)).unwrap_err();
    assert!(told.contains("no answer in time") && !told.contains("hush"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_command_knows_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let command = format!("type = command\ncommand = (env; cat) > {}", told.display());
    send(&format!("[ALERT:x]\n{command}"), AlertKind::Problems, alert::WITHIN).unwrap();
    let told = fs::read_to_string(told).unwrap();
    for line in [
        "BRACKUP_EVENT=problems",
        "BRACKUP_JOB=nightly",
        "BRACKUP_HOSTNAME=nas",
        "BRACKUP_DATE=2026-11-25T01:30:00Z",
        "BRACKUP_MESSAGE=job nightly: it's \"so\"",
        "BRACKUP_OUTCOME=done with problems",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}:\n{told}");
    }
    let json: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(json["message"], "job nightly: it's \"so\"");
    let told = send("[ALERT:x]\ntype = command\ncommand = exec 0<&-; exit 7", AlertKind::Problems, alert::WITHIN);
    assert_eq!(told.unwrap_err(), "the command ended with exit code 7");
}

#[test]
fn a_command_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["began", "go", "survived"].map(|name| folder.path().join(name));
    let [began, go, survived] = names.each_ref().map(|path| path.display());
    let child = format!("(while [ ! -e {go} ]; do sleep 0.1; done; touch {survived})");
    let section = format!("[ALERT:x]\ntype = command\ncommand = touch {began}; {child} & sleep 1000");
    // As long as it takes to begin on a machine that does other things.
    for within in [500, 5_000, 30_000].map(Duration::from_millis) {
        let told = send(&section, AlertKind::Failure, within).unwrap_err();
        assert_eq!(told, "the command did not end in time and was killed");
        if names[0].exists() {
            break;
        }
    }
    fs::write(&names[1], "").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(names[0].exists() && !names[2].exists());
}

#[test]
fn a_command_does_not_see_the_programs_own_secrets() {
    let tree = small_tree();
    let program = Program::new(&tree.root);
    let told = program.home().join("told");
    add(&program, &format!("[ALERT:x]\ntype = command\ncommand = env > {}\n", told.display()));
    let mut command = program.command(&["alert", "test", "x"]);
    let output = command.env("BRACKUP_PASSPHRASE", "hush").output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let told = fs::read_to_string(told).unwrap();
    assert!(told.contains("BRACKUP_EVENT=success") && !told.contains("hush"), "{told}");
}

#[test]
fn a_test_says_whether_it_went_through() {
    let tree = small_tree();
    let server = Hook::answering(&["200 OK", "403 Forbidden"]);
    let program = Program::new(&tree.root);
    add(&program, &hook("webhook", &server, "token = hush-token"));
    let output = program.run(&["alert", "test", "phone", "--event", "overdue"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("overdue went through: posts to http://127.0.0.1:"), "{said}");
    let told = server.hears().json();
    assert_eq!((&told["test"], &told["event"]), (&true.into(), &"overdue".into()));
    let output = program.run(&["alert", "test", "phone"]);
    assert_eq!(code(&output), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("error: alert phone did not go through: http://127.0.0.1:") && said.contains("403"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    for (arguments, told) in [
        (&["alert", "test", "pager"][..], "there is no section [ALERT:pager]"),
        (
            &["alert", "test", "phone", "--event", "end"],
            "--event is \"end\", expected start, success, failure, problems or overdue",
        ),
    ] {
        let output = program.run(arguments);
        assert_eq!(code(&output), Some(2));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn what_can_not_be_told_is_logged_once_of_each_kind() {
    let tree = small_tree();
    let server = Hook::answering(&["404 Not Found"]);
    let program = Program::new(&tree.root);
    let jobs = NIGHTLY.to_owned() + &NIGHTLY.replace("nightly", "twice");
    add(&program, &(jobs + &hook("webhook", &server, "on = start, success\ntoken = hush-token")));
    let mut service = serve(&program);
    let told: Vec<_> = (0..4).map(|_| server.hears().json()["event"].clone()).collect();
    assert_eq!(told, ["start", "success", "start", "success"], "and no backup failed for it");
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert_eq!(log.matches("done: tree-").count(), 2, "{log}");
    for kind in ["start", "success"] {
        assert_eq!(log.matches(&format!("alert phone: {kind} could not be told: ")).count(), 1, "{log}");
    }
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn nobody_waits_for_who_does_not_listen() {
    let tree = small_tree();
    let server = Hook::answering(&[""]);
    let program = Program::new(&tree.root);
    let pid = program.home().join("pid");
    let command =
        format!("[ALERT:slow]\ntype = command\non = start\ncommand = echo $$ > {}; sleep 60\n", pid.display());
    add(&program, &(NIGHTLY.to_owned() + &hook("webhook", &server, "on = start") + &command));
    let mut service = serve(&program);
    server.hears();
    service.says("tree to disk: done: ");
    service.says("waiting: next");
    let pid = loop {
        match fs::read_to_string(&pid) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let began = Instant::now();
    has_ended_well(service);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    has_ended(pid.trim().parse().unwrap());
}

fn now() -> i64 {
    Utc::from_system(SystemTime::now()).to_unix()
}

/// A job that is due in twelve hours.
fn not_now() -> String {
    let hour = (now() / 3600 + 12) % 24;
    NIGHTLY.replace("02:30", &format!("{hour:02}:00"))
}

fn database(program: &Program) -> Db {
    let state = program.home().join("state");
    fs::create_dir(&state).unwrap();
    Db::open(&state).unwrap()
}

fn ran(at: i64, outcome: Outcome) -> JobRun {
    JobRun { began: at - 10, end: Some(JobEnd { at, outcome }), tries: 1 }
}

#[test]
fn that_nothing_good_has_come_for_days_is_told() {
    let tree = small_tree();
    let server = Hook::new();
    let program = Program::new(&tree.root);
    add(&program, &(not_now() + &hook("webhook", &server, "after = 3d")));
    let (good, bad) = (now() - 4 * 86_400, now() - 60);
    {
        let db = database(&program);
        db.remember_job_run("nightly", &ran(good, Outcome::DoneWithProblems)).unwrap();
        db.remember_job_run("nightly", &ran(bad, Outcome::Failed)).unwrap();
    }
    let mut service = serve(&program);
    service.says("warning: job nightly: no good backup since ");
    let told = server.hears().json();
    assert_eq!((&told["event"], &told["last_good"]), (&"overdue".into(), &Utc::from_unix(good).to_string().into()));
    assert!(told["message"].as_str().unwrap().ends_with(", for 4 days"), "{told}");
    service.says("waiting: next");
    has_ended_well(service);
    assert_eq!(server.left(), 0, "once");
}

#[test]
fn a_job_that_never_came_to_a_run_is_overdue_over_restarts() {
    let tree = small_tree();
    let server = Hook::new();
    let program = Program::new(&tree.root);
    let away = program.home().join("unplugged/disk");
    program.set_target(&format!("type = Filesystem\npath = {}", away.display()));
    add(&program, &(NIGHTLY.to_owned() + &hook("webhook", &server, "on = overdue")));
    drop(database(&program));
    let began = now();
    let mut service = serve(&program);
    service.says("it is tried again every few minutes");
    has_ended_well(service);
    let state = program.home().join("state");
    let known = Db::open(&state).unwrap().good_runs().unwrap()["nightly"];
    assert!(!known.is_good && (began..=now()).contains(&known.at), "{known:?}");
    // As if that had been days ago.
    let db = rusqlite::Connection::open(state.join("brackup.db")).unwrap();
    db.execute("UPDATE good_runs SET at = ?1", [now() - 4 * 86_400]).unwrap();
    drop(db);
    let mut service = serve(&program);
    service.says("warning: job nightly: not one good backup since ");
    assert_eq!(server.hears().json()["event"], "overdue");
    has_ended_well(service);
}

#[test]
fn what_is_good_enough_is_not_overdue() {
    let tree = small_tree();
    let server = Hook::new();
    let program = Program::new(&tree.root);
    add(&program, &(not_now() + &hook("webhook", &server, "after = 3d")));
    {
        let db = database(&program);
        db.remember_job_run("nightly", &ran(now() - 2 * 86_400, Outcome::Done)).unwrap();
        db.remember_job_run("nightly", &ran(now() - 60, Outcome::Failed)).unwrap();
    }
    let mut service = serve(&program);
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert_eq!(server.left(), 0, "{log}");
}

#[test]
fn a_webhook_of_the_original_is_told_what_it_was() {
    let tree = small_tree();
    let server = Hook::answering(&["200 OK", "200 OK", "500 No", "500 No", "500 No"]);
    let program = Program::new(&tree.root);
    // Into the source.
    add(&program, &format!("webhook_url = {}\n", server.url("/hush-hush")));
    let began = now();
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let by_hand = server.hears();
    assert_eq!(by_hand.path(), "/hush-hush");
    add(&program, NIGHTLY);
    let mut service = serve(&program);
    let by_the_job = server.hears();
    service.says("waiting: next");
    has_ended_well(service);
    let days = [began, now()].map(|at| Utc::from_unix(at).yyyymmdd());
    for told in [by_hand.json(), by_the_job.json()] {
        let mut keys: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["date", "hostname", "root", "stats", "target"]);
        assert_eq!((&told["root"], &told["target"]), (&"tree".into(), &"disk".into()));
        assert!(days.iter().any(|day| told["date"] == **day), "{told}");
        let stats = &told["stats"];
        assert_eq!(stats["files"]["files_checked_size_bytes"], 9);
        assert!(stats["end_time"].as_i64() >= stats["start_time"].as_i64(), "{stats}");
        assert_eq!(stats["run_time_seconds"][0], "total");
    }
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "the backup is none the worse");
    let said = stderr(&output);
    assert!(said.contains("warning: webhook_url of tree: ") && !said.contains("hush"), "{said}");
}
