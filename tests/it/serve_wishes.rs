//! What somebody at the page wants now, from a real service: it waits for who is at work, and what is due does not wait for it.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;

use brackup::db::{Db, Deed, Past};
use brackup::digest::hex;
use brackup::fsutil::Lock;
use brackup::outcome::Outcome;
use brackup::provider::Token;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::serve::{NIGHTLY, add, has_ended_well, serve, small_tree};
use crate::support::{Asked, Program, Service, code, free_port, noise, stderr, wait_until};

/// A box with a page, and the token of its owner.
pub(crate) struct Box {
    pub(crate) program: Program,
    port: u16,
    pub(crate) token: Token,
}

impl Box {
    pub(crate) fn new(program: Program, jobs: &str) -> Self {
        let (port, token) = (free_port(), Token::generate().unwrap());
        let page = format!("[SERVE]\nlisten = 127.0.0.1:{port}\ntls = no\ntoken_sha256 = {}\n", hex(&token.sha256()));
        add(&program, &(jobs.to_owned() + &page));
        Self { program, port, token }
    }

    pub(crate) fn ask(&self, line: &str, body: &str) -> Asked {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (port, token, length) = (self.port, self.token.as_str(), body.len());
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        Asked::read(stream).unwrap()
    }

    pub(crate) fn wants(&self, what: &str) {
        let asked = self.ask(&format!("POST /do/{what}"), "job=nightly");
        assert_eq!(asked.status, 303, "{}", asked.text());
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.ask("GET /api/status", "").body).unwrap()
    }

    fn past(&self, what: Deed) -> Vec<Past> {
        let past = Db::open(&self.program.home().join("state")).unwrap().past().unwrap();
        past.into_iter().filter(|past| past.what == what).collect()
    }

    pub(crate) fn serve(&self) -> Service {
        let mut service = serve(&self.program);
        service.says("waiting: next");
        service
    }
}

#[test]
fn wishes_wait_for_who_is_at_work_and_none_is_lost() {
    let tree = small_tree();
    let nas = Box::new(Program::new(&tree.root), NIGHTLY);
    add(&nas.program, "[SOURCE:photos]\npath = /nowhere\nrecipient = 5E1B3EC5\n");
    let mut service = nas.serve();
    assert_eq!(nas.status()["sources_without_job"], serde_json::json!(["photos"]));
    let held = Lock::take(&nas.program.home().join("state/lock")).unwrap().unwrap();
    nas.wants("verify");
    service.says("warning: job nightly: another run of brackup uses ");
    nas.wants("run");
    nas.wants("verify");
    nas.wants("run");
    service.says("job nightly: somebody at the page wants it now");
    service.says("job nightly: somebody at the page wants it now");
    assert_eq!(nas.status()["waiting"], "another run of brackup is at work on this box");
    drop(held);
    service.signal(Signal::SIGHUP);
    service.says("job nightly: verify at disk: done");
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next");
    assert_eq!(nas.status()["waiting"], Value::Null);
    has_ended_well(service);
    assert_eq!((nas.past(Deed::Backup).len(), nas.past(Deed::Verify).len()), (2, 1), "each wish once");
}

#[test]
fn what_nobody_can_read_is_not_said_to_be_safe() {
    let tree = small_tree();
    let nas = Box::new(Program::new(&tree.root), NIGHTLY);
    assert_eq!(code(&nas.program.backup()), Some(0));
    let lock = nas.program.home().join("state/lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let mut service = serve(&nas.program);
    service.says("job nightly: failed: can't use ");
    wait_until("that it is shown", || nas.status()["level"] == "danger");
    let words = nas.status()["words"].as_str().unwrap().to_owned();
    assert!(words.starts_with("Nobody knows whether your data is safe: can't use "), "{words}");
    assert_eq!(nas.ask("GET /healthz", "").status, 503);
    fs::remove_dir(&lock).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("job nightly: tree to disk: done");
    wait_until("that it is safe", || nas.status()["level"] == "safe");
    assert_eq!(nas.ask("GET /healthz", "").text(), "safe\n");
}

#[test]
fn the_box_itself_needs_no_password_to_see_how_it_stands() {
    let tree = small_tree();
    let nas = Box::new(Program::new(&tree.root), NIGHTLY);
    let mut set = nas.program.command(&["serve", "--set-password"]).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(set.stdin.take().unwrap(), "correct horse battery").unwrap();
    assert!(set.wait().unwrap().success());
    let mut service = nas.serve();
    // Another run: the database can't be read.
    let held = Lock::take(&nas.program.home().join("state/lock")).unwrap().unwrap();
    nas.wants("run");
    service.says("another run of brackup uses ");
    wait_until("that it is shown", || !nas.status()["waiting"].is_null());
    let output = nas.program.run(&["status", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["waiting"], &said["pairs"][0]["backups"]), (&nas.status()["waiting"], &1.into()));
    said["now"] = nas.status()["now"].clone();
    assert_eq!(said, nas.status());
    drop(held);
    let remembers = || {
        let output = nas.program.run(&["status"]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).contains("no service was there to be asked")
    };
    service.signal(Signal::SIGHUP);
    service.says("job nightly: tree to disk: done");
    service.says("waiting: next");
    assert!(!remembers());
    // Without its page the service does not keep up what it would say.
    let file = nas.program.home().join(".brackup.conf");
    let with_page = fs::read_to_string(&file).unwrap();
    for (text, is_from_memory) in [(with_page.replace("tls = no", "tls = no\npage = no"), true), (with_page, false)] {
        fs::write(&file, text).unwrap();
        service.signal(Signal::SIGHUP);
        service.says("has read again");
        service.says("waiting: next");
        assert_eq!(remembers(), is_from_memory);
    }
    has_ended_well(service);
    assert!(remembers());
}

#[test]
fn what_was_stopped_once_goes_on_after_a_pause() {
    let tree = small_tree();
    let nas = Box::new(Program::new(&tree.root), &format!("{NIGHTLY}pre = echo ready; [ -e done ] || sleep 600\n"));
    let file = nas.program.home().join(".brackup.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("-e done", &format!("-e {}", nas.program.home().join("done").display()))).unwrap();
    let mut service = serve(&nas.program);
    service.says("job nightly: pre: ready");
    assert_eq!(nas.status()["running"]["what"], "Running `pre` of nightly");
    nas.wants("stop");
    service.says("job nightly: parked before its backups began");
    nas.wants("run");
    service.says("job nightly: pre: ready");
    nas.wants("pause");
    service.says("job nightly: parked before its backups began");
    fs::write(nas.program.home().join("done"), "").unwrap();
    nas.wants("resume");
    service.says("job nightly: tree to disk: done");
    has_ended_well(service);
}

#[test]
fn what_is_backed_up_by_hand_alone_is_shown() {
    let tree = small_tree();
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let output = program.run(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), Some(0), "{said}{}", stderr(&output));
    for words in ["Your data is safe.", "no job backs up tree", "tree to disk: Backed up a moment ago.\n"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_is_due_does_not_wait_for_what_somebody_wants_verified() {
    let tree = small_tree();
    fs::write(tree.root.join("film"), noise(1, 300_000)).unwrap();
    let nas = Box::new(Program::new(&tree.root), NIGHTLY);
    let (token, folder) = (Token::generate().unwrap(), nas.program.home().join("host"));
    let url = format!("http://127.0.0.1:{}/", nas.port);
    let target = format!("type = Brackup\nurl = {url}\ntoken = {}", token.as_str());
    add(
        &nas.program,
        &format!("[HOST:itself]\npath = {}\ntoken_sha256 = {}\n", folder.display(), hex(&token.sha256())),
    );
    nas.program.set_target(&target);
    has_ended_well(nas.serve());

    // A line on which the reading takes minutes, and a job that is due each minute.
    let file = nas.program.home().join(".brackup.conf");
    let slow = fs::read_to_string(&file).unwrap().replace("02:30", "* * * * *");
    fs::write(&file, slow.replace(&target, &format!("{target}\nbandwidth = 2KB/s"))).unwrap();
    let mut service = nas.serve();
    nas.wants("verify");
    service.says("job nightly is due: what somebody wants verified makes room for it");
    service.says("job nightly: verify at disk: parked");
    service.says("job nightly: tree to disk: done");
    has_ended_well(service);
    assert_eq!(nas.past(Deed::Verify), []);
}

#[test]
fn a_window_that_is_about_to_close_is_waited_for_by_nobody() {
    let tree = small_tree();
    let program = Program::new(&tree.root);
    let away = program.home().join("unplugged/disk");
    program.set_target(&format!("type = Filesystem\npath = {}", away.display()));
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let zone = brackup::scheduler::Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let minute = zone.minute_of_day(now);
    let window = format!("window = {}-{}\n", clock(minute + 1439), clock(minute + 4));
    let nas = Box::new(program, &format!("{NIGHTLY}{window}"));
    let mut service = serve(&nas.program);
    service.says("error: job nightly: failed: ");
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert!(!log.contains("it is tried again every few minutes"), "{log}");
}

#[test]
fn what_is_done_by_hand_is_shown_too() {
    let tree = small_tree();
    let nas = Box::new(Program::new(&tree.root), NIGHTLY);
    let usb = nas.program.home().join("usb");
    add(&nas.program, &format!("[TARGET:usb]\ntype = Filesystem\npath = {}\n", usb.display()));
    let output = nas.program.run(&["--from=tree", "--to=disk", "--to=usb"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let nights = nas.past(Deed::Backup);
    let shown: Vec<_> = nights.iter().map(|past| (&*past.target, past.outcome, past.is_good(), past.files)).collect();
    assert_eq!(shown, [("disk", Outcome::Done, true, 1), ("usb", Outcome::Done, true, 1)]);
    let output = nas.program.run(&["verify", "disk"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let chunk = fs::read_dir(&nas.program.folder).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk.into_iter().find(|path| path.extension().is_some_and(|end| end == "chunk")).unwrap();
    fs::write(chunk, "rot").unwrap();
    assert_eq!(code(&nas.program.run(&["verify", "disk"])), Some(3));
    let checked = nas.past(Deed::Verify);
    let shown: Vec<_> = checked.iter().map(|past| (&*past.target, past.outcome, past.problems > 0)).collect();
    assert_eq!(shown, [("disk", Outcome::Done, false), ("disk", Outcome::DoneWithProblems, true)]);
    assert!(checked[1].words.contains("SHA-1"), "{}", checked[1].words);
}
