//! `brackup serve`: what is due runs and is told, signals do what they should, and while nothing is due no disk is touched.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use brackup::date::Utc;
use brackup::db::{Db, JobEnd, JobRun};
use brackup::fsutil::Lock;
use brackup::outcome::Outcome;
use nix::sys::signal::Signal;

use crate::support::{Program, Service, Tree, code, free_port, noise, settle, stderr};

pub(crate) const NIGHTLY: &str = "[JOB:nightly]\nfrom = tree\nto = disk\nat = 02:30\n";

/// A box with these jobs, in a place with a time zone.
pub(crate) fn with_jobs(tree: &Tree, jobs: &str) -> Program {
    let program = Program::new(&tree.root);
    add(&program, jobs);
    if !jobs.contains("[SERVE]") {
        // Its port is the same for all.
        add(&program, "[SERVE]\npage = no\n");
    }
    program
}

pub(crate) fn add(program: &Program, text: &str) {
    if text.contains("at = 02:30") {
        not_about_to_be_due();
    }
    let path = program.home().join(".brackup.conf");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(path, before + text).unwrap();
}

/// Half past two, in any of the zones of these tests, is not now and not soon: a job would be due twice.
fn not_about_to_be_due() {
    let now = Utc::from_system(SystemTime::now()).to_unix().cast_unsigned();
    let (hour, second) = (now / 3600 % 24, now % 3600);
    if hour < 3 && (1740..1802).contains(&second) {
        std::thread::sleep(Duration::from_secs(1802 - second));
    }
}

pub(crate) fn command(program: &Program, options: &[&str]) -> Command {
    let mut command = program.command(&[&["serve"], options].concat());
    command.env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    command
}

pub(crate) fn serve(program: &Program) -> Service {
    Service::start(command(program, &[]))
}

pub(crate) fn small_tree() -> Tree {
    let tree = Tree::new();
    tree.file("letter", "Dear Brad");
    tree
}

/// One whose backup takes its time.
pub(crate) fn large_tree() -> Tree {
    let tree = Tree::new();
    for number in 0..60 {
        tree.file(format!("{number}"), noise(number, 4 << 20));
    }
    settle();
    tree
}

/// Waits until something of a backup is stored.
pub(crate) fn is_stored(folder: &Path) {
    while fs::read_dir(folder).map_or(0, |folder| folder.count()) < 4 {
        std::thread::sleep(Duration::from_millis(3));
    }
}

pub(crate) fn comes_back(program: &Program, tree: &Tree) {
    let restored = Tree::absent();
    let output = program.restore(&restored.root);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&restored.snapshot());
}

pub(crate) fn has_ended_well(service: Service) -> String {
    let (code, log) = service.end();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn what_is_due_runs_and_what_ran_is_remembered() {
    let tree = small_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let mut service = serve(&program);
    service.says("serves 1 job of ");
    service.says("brackup: job nightly: begins");
    let done = service.says("brackup: job nightly: tree to disk: done: tree-");
    assert!(done.contains(": 1 file (0 unchanged), 9 B; "), "{done}");
    let next = service.says("brackup: waiting: next is job nightly, 20");
    assert!(next.ends_with(" 02:30 CET") || next.ends_with(" 02:30 CEST"), "{next}");
    let log = has_ended_well(service);
    assert!(log.ends_with("brackup: ends"), "{log}");
    comes_back(&program, &tree);

    let mut service = serve(&program);
    service.says("waiting: next is job nightly");
    let log = has_ended_well(service);
    assert!(!log.contains("begins"), "it ran already:\n{log}");
}

#[test]
fn what_was_missed_is_made_up_for() {
    let tree = small_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let mut service = serve(&program);
    service.says("waiting: next");
    has_ended_well(service);
    // As if the box had been off since.
    let state = program.home().join("state");
    let ran = Db::open(&state).unwrap().job_runs().unwrap()["nightly"];
    assert_eq!((ran.end.map(|end| end.outcome), ran.tries), (Some(Outcome::Done), 1));
    let began = ran.began - 3 * 86_400;
    let end = Some(JobEnd { at: began + 60, outcome: Outcome::Done });
    Db::open(&state).unwrap().remember_job_run("nightly", &JobRun { began, end, tries: 1 }).unwrap();
    tree.file("another", "Dear all");
    let mut service = serve(&program);
    service.says("tree to disk: done: ");
    service.says("waiting: next");
    assert_eq!(has_ended_well(service).matches("begins").count(), 1, "once, not once a day");
    comes_back(&program, &tree);
}

#[test]
fn what_fails_is_told_with_what_to_do_and_the_rest_goes_on() {
    let tree = small_tree();
    let gone = Tree::absent();
    let program = with_jobs(&tree, "");
    let recipient = fs::read_to_string(program.home().join(".brackup.conf")).unwrap();
    let recipient = recipient.lines().find(|line| line.starts_with("recipient")).unwrap();
    add(
        &program,
        &format!(
            "[SOURCE:gone]\npath = {}\n{recipient}\n[JOB:nightly]\nfrom = gone\nfrom = tree\nto = disk\nat = 02:30\n",
            gone.root.display()
        ),
    );
    let mut service = serve(&program);
    service.says("brackup: error: job nightly: gone to disk: failed: ");
    service.says("brackup: hint: check `path` of the source");
    service.says("brackup: job nightly: tree to disk: done: ");
    service.says("waiting: next");
    has_ended_well(service);
    let runs = Db::open(&program.home().join("state")).unwrap().job_runs().unwrap();
    assert_eq!(runs["nightly"].end.map(|end| end.outcome), Some(Outcome::Failed));
    comes_back(&program, &tree);
}

#[test]
fn sighup_reads_the_configuration_again_and_refuses_a_wrong_one() {
    let tree = small_tree();
    let program = with_jobs(&tree, "");
    let mut service = serve(&program);
    service.says("serves 0 jobs");
    service.says("waiting: there is no [JOB:name]");
    add(&program, NIGHTLY);
    service.signal(Signal::SIGHUP);
    service.says("has read again and serves 1 job");
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next is job nightly");
    let good = fs::read_to_string(program.home().join(".brackup.conf")).unwrap();
    add(&program, "form = tree\n");
    service.signal(Signal::SIGHUP);
    let refused = service.says("brackup: error: ");
    assert!(refused.contains("unknown key \"form\" in [JOB:nightly]"), "{refused}");
    assert!(refused.ends_with("; the configuration of before stays in force"), "{refused}");
    service.says("brackup: hint: did you mean \"from\"?");
    fs::write(program.home().join(".brackup.conf"), good.replace("nightly", "daily")).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("job daily: tree to disk: done");
    let log = has_ended_well(service);
    assert_eq!(log.matches("job nightly: begins").count(), 1, "{log}");
}

#[test]
fn a_job_that_is_removed_while_it_runs_ends_as_it_began() {
    let tree = large_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let config = program.home().join(".brackup.conf");
    let without = fs::read_to_string(&config).unwrap().replace(NIGHTLY, "");
    let mut service = serve(&program);
    is_stored(&program.folder);
    fs::write(&config, without).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("has read again and serves 0 jobs");
    service.says("job nightly: tree to disk: done");
    service.says("waiting: there is no [JOB:name]");
    has_ended_well(service);
    comes_back(&program, &tree);
}

#[test]
fn a_wrong_configuration_does_not_start() {
    let program = with_jobs(&small_tree(), "[JOB:nightly]\nfrom = tre\nto = disk\nat = 02:30\n");
    let output = program.run(&["serve"]);
    assert_eq!(code(&output), Some(2));
    assert!(
        stderr(&output).contains("there is no source \"tre\", expected tree\nbrackup: hint: did you mean \"tree\"?")
    );
}

#[test]
fn sigterm_parks_a_backup_and_the_next_start_goes_on() {
    let tree = large_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let mut service = serve(&program);
    service.says("begins");
    is_stored(&program.folder);
    let log = has_ended_well(service);
    assert!(log.contains("brackup: ends: the backup that runs is parked"), "{log}");
    assert!(log.contains("job nightly: tree to disk: parked; "), "{log}");
    let listed = program.run(&["list", "disk"]);
    assert!(listed.stdout.is_empty(), "no half of a backup is listed");

    let mut service = serve(&program);
    let done = service.says("job nightly: tree to disk: done: ");
    let stored = done.split("stored ").nth(1).unwrap();
    assert!(!stored.starts_with("24"), "what was stored before is used: {done}");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    comes_back(&program, &tree);
}

#[test]
fn a_run_that_was_cut_off_goes_on_at_the_next_start() {
    let tree = large_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let service = serve(&program);
    is_stored(&program.folder);
    service.signal(Signal::SIGKILL);
    drop(service);
    let run = Db::open(&program.home().join("state")).unwrap().job_runs().unwrap()["nightly"];
    assert_eq!((run.end, run.tries), (None, 1), "it did not end");
    let mut service = serve(&program);
    service.says("job nightly: tree to disk: done: ");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    comes_back(&program, &tree);
}

#[test]
fn another_run_is_waited_for() {
    let tree = small_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let state = program.home().join("state");
    fs::create_dir(&state).unwrap();
    // What another process does while it runs.
    let held = Lock::take(&state.join("lock")).unwrap().unwrap();
    let mut service = serve(&program);
    service.says("brackup: warning: job nightly: another run of brackup uses ");
    drop(held);
    // Not to wait for a minute.
    service.signal(Signal::SIGHUP);
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next");
    has_ended_well(service);

    let held = Lock::take(&state.join("lock")).unwrap().unwrap();
    let mut service = serve(&program);
    service.says("brackup: warning: another run of brackup uses ");
    drop(held);
    service.signal(Signal::SIGHUP);
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert!(!log.contains("begins"), "{log}");
}

#[test]
fn the_systems_log_gets_the_lines() {
    let tree = small_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let path = program.home().join("log");
    let option = format!("--syslog={}", path.display());
    let listen = || {
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        daemon
    };
    let until = |daemon: &UnixDatagram, text: &str| loop {
        let mut bytes = [0; 4096];
        let length = daemon.recv(&mut bytes).unwrap_or_else(|error| panic!("{text:?} does not come: {error}"));
        let line = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if line.contains(text) {
            return line;
        }
    };
    let daemon = listen();
    let service = Service::start(command(&program, &[&option]));
    let begins = until(&daemon, "begins");
    let tag = format!(" brackup[{}]: job nightly: begins", service.pid());
    assert!(begins.starts_with("<30>") && begins.ends_with(&tag), "{begins}");
    until(&daemon, "waiting: next is job nightly");
    // The log daemon is restarted.
    drop(daemon);
    fs::remove_file(&path).unwrap();
    let daemon = listen();
    add(&program, "form = tree\n");
    service.signal(Signal::SIGHUP);
    let refused = until(&daemon, "unknown key");
    assert!(refused.starts_with("<27>") && refused.contains("]: error: "), "{refused}");
    assert_eq!(has_ended_well(service), "", "nothing on stderr");
}

#[test]
fn while_it_waits_it_touches_no_disk() {
    let tree = small_tree();
    let door = format!("[SERVE]\nlisten = 127.0.0.1:{}\ntls = no\n", free_port());
    let program = with_jobs(&tree, &format!("{}{NIGHTLY}", if cfg!(feature = "web") { &door } else { "" }));
    let trace = program.home().join("trace");
    let folders = ["state", "target", "keys"].map(|name| program.home().join(name));
    let folders: Vec<_> = folders.iter().chain([&tree.root]).collect();
    let mut service = Service::start(traced(&command(&program, &[]), &trace));
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next is job nightly");
    // A wake-up does what SIGHUP does, but for reading the configuration.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(1));
        let of = format!("/proc/{}", service.pid());
        assert_eq!(fs::read_link(format!("{of}/cwd")).unwrap(), Path::new("/"));
        let threads = if cfg!(feature = "web") { 3 } else { 1 };
        assert_eq!(fs::read_dir(format!("{of}/task")).unwrap().count(), threads, "threads");
        let open = fs::read_dir(format!("{of}/fd")).unwrap().map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
        let on_disks: Vec<_> = open.filter(|path| folders.iter().any(|folder| path.starts_with(folder))).collect();
        assert!(on_disks.is_empty(), "open: {on_disks:?}");
        service.signal(Signal::SIGHUP);
        service.says("waiting: next is job nightly");
    }
    has_ended_well(service);
    let trace = whole(&trace);
    let (busy, idle) = trace.split_once("brackup: waiting: next is job nightly").unwrap();
    assert!(idle.contains("has read again"), "the trace goes on:\n{idle}");
    for name in folders.iter().map(|folder| folder.to_str().unwrap()) {
        assert!(busy.contains(name), "{name} is what this looks for");
        // The configuration names them; the password of the page is looked for when that is read again.
        let is_read_again = |line: &&str| line.contains("/.brackup.conf>, ") || line.contains("/keys/page.password");
        let calls = idle.lines().filter(|line| !is_read_again(line));
        let touched: Vec<_> = calls.filter(|line| line.contains(name)).collect();
        assert!(touched.is_empty(), "{}", touched.join("\n"));
    }
}

/// The same command, its system calls written to a file, with the paths of descriptors.
pub(crate) fn traced(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    // With -D the command itself is our child, and signals go to it.
    strace.args(["-D", "-f", "-y", "-s", "200", "-o"]).arg(trace).arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    strace
}

/// The trace when its writer has come to the end.
pub(crate) fn whole(trace: &Path) -> String {
    loop {
        let text = fs::read_to_string(trace).unwrap();
        if text.trim_end().ends_with("+++ exited with 0 +++") {
            return text;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn config_check_shows_jobs() {
    let program = with_jobs(&small_tree(), NIGHTLY);
    let output = program.command(&["config", "check"]).env("TZ", "IST-5:30").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("[JOB:nightly]")).unwrap();
    assert!(line.starts_with("[JOB:nightly] tree to disk, every day at 02:30, next 20"), "{line}");
    assert!(line.ends_with(" 02:30 IST"), "{line}");
}
