//! Alerts by mail: a letter arrives, and a password goes nowhere where it could be read.

use std::path::Path;
use std::time::{Duration, Instant};

use brackup::alert;
use brackup::config::AlertKind;
use tempfile::TempDir;

use crate::alerts::send;
use crate::serve::{NIGHTLY, add, has_ended_well, small_tree};
use crate::support::servers::is_there;
use crate::support::{Certificate, Offers, Program, Service, Smtp};

/// `printf '\0nas\0hush hush' | base64`
const LOGIN: &str = "AG5hcwBodXNoIGh1c2g=";

struct Post {
    server: Smtp,
    folder: TempDir,
}

impl Post {
    /// Nothing where there is nobody who makes certificates.
    fn office(offers: Offers) -> Option<Self> {
        if !is_there(Path::new("/usr/bin/openssl"), "openssl") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let [_, server] = Certificate::signed(folder.path());
        Some(Self { server: Smtp::start(offers, &server, LOGIN), folder })
    }

    /// The section of an alert, with a password.
    fn section(&self, tls: &str, password: &str) -> String {
        let (port, authority) = (self.server.port(), self.folder.path().join("authority.pem"));
        let trust = if tls == "no" { String::new() } else { format!("tls_ca = {}\n", authority.display()) };
        format!(
            "[ALERT:letter]\ntype = email\nserver = 127.0.0.1:{port}\ntls = {tls}\n{trust}user = nas\npassword = {password}\n\
             from = nas@example.com\nto = me@example.com\nto = you@example.com\n"
        )
    }
}

#[test]
fn a_letter_arrives_by_tls() {
    for (offers, tls) in [(Offers::StartTls, "starttls"), (Offers::Tls, "tls")] {
        let Some(post) = Post::office(offers) else { return };
        send(&post.section(tls, "hush hush"), AlertKind::Problems, alert::WITHIN).unwrap();
        let letter = post.server.letter();
        for line in [
            "From: nas@example.com",
            "To: me@example.com, you@example.com",
            "Subject: nas: job nightly: it's \"so\"",
            "Content-Type: text/plain; charset=utf-8",
            "nas: job nightly: it's \"so\"",
        ] {
            assert!(letter.lines().any(|found| found == line), "{line}:\n{letter}");
        }
        assert!(letter.contains("\r\nDate: "), "{letter}");
        let said = post.server.said();
        let to = said.iter().filter(|line| line.starts_with("tls RCPT TO:")).count();
        assert_eq!(to, 2, "{said:?}");
        assert!(said.contains(&format!("tls AUTH PLAIN {LOGIN}")), "{said:?}");
    }
}

#[test]
fn the_service_writes_on_a_thread_of_its_own() {
    let Some(post) = Post::office(Offers::StartTls) else { return };
    let tree = small_tree();
    let program = Program::new(&tree.root);
    add(&program, &format!("{NIGHTLY}{}on = success\n", post.section("starttls", "hush hush")));
    let mut service = Service::start(program.command(&["serve"]));
    let letter = post.server.letter();
    assert!(letter.contains(": job nightly: done\r\ntree to disk: done: tree-"), "{letter}");
    service.says("waiting: next");
    let log = has_ended_well(service);
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn on_this_machine_it_may_go_in_clear() {
    let Some(post) = Post::office(Offers::Clear) else { return };
    send(&post.section("no", "hush hush"), AlertKind::Problems, alert::WITHIN).unwrap();
    assert!(post.server.letter().contains("it's \"so\""));
}

#[test]
fn without_tls_no_password_and_no_letter_is_sent() {
    let Some(post) = Post::office(Offers::Clear) else { return };
    let told = send(&post.section("starttls", "hush hush"), AlertKind::Problems, alert::WITHIN).unwrap_err();
    assert!(told.contains("it does not offer STARTTLS"), "{told}");
    let said = post.server.said();
    assert!(said.iter().all(|line| line.starts_with("EHLO ")) && !said.is_empty(), "{said:?}");
}

#[test]
fn a_server_that_is_not_trusted_is_told_nothing() {
    let Some(post) = Post::office(Offers::StartTls) else { return };
    let other = TempDir::new().unwrap();
    let [authority, _] = Certificate::signed(other.path());
    let section = post.section("starttls", "hush hush");
    let own = post.folder.path().join("authority.pem");
    let section = section.replace(own.to_str().unwrap(), Path::new(&authority.certificate).to_str().unwrap());
    let told = send(&section, AlertKind::Problems, alert::WITHIN).unwrap_err();
    assert!(told.contains("certificate") && !told.contains("hush"), "{told}");
    let said = post.server.said();
    assert!(!said.iter().any(|line| line.contains("AUTH") || line.contains("MAIL")), "{said:?}");
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let Some(post) = Post::office(Offers::Tls) else { return };
    let told = send(&post.section("tls", "hush"), AlertKind::Problems, alert::WITHIN).unwrap_err();
    assert!(told.contains("535") && !told.contains("hush") && !told.contains("AG5h"), "{told}");
    let tries = post.server.said().iter().filter(|line| line.contains("AUTH")).count();
    assert_eq!(tries, 1, "what is wrong stays wrong, and a server may lock out who goes on");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let Some(post) = Post::office(Offers::Silence) else { return };
    let began = Instant::now();
    assert!(send(&post.section("starttls", "hush"), AlertKind::Problems, Duration::from_millis(300)).is_err());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
