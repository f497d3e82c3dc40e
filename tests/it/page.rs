//! The owner's page by raw requests: who sees what, and what comes of those who mean harm.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use brackup::config::{DoorTls, PageOptions};
use brackup::date::Utc;
use brackup::db::{Deed, Holding, Past};
use brackup::outcome::Outcome;
use brackup::provider::Token;
use brackup::seal::Password;
use brackup::status::{Order, Pair};
use brackup::web::Limits;
use serde_json::Value;

use crate::support::servers::is_there;
use crate::support::{Asked, Doorway, Watcher, quick_limits, wait_until};

const PASSWORD: &str = "correct horse battery";
const NIGHTS: usize = 30;

/// Of a box with this many sources at two targets.
fn pairs(sources: usize) -> Vec<Pair> {
    let now = Utc::from_system(SystemTime::now()).to_unix();
    let first = now - 86_400 * 28;
    let pair = |number: usize| {
        let (source, target) = (format!("photos-{}", number / 2), ["raid", "cloud"][number % 2].to_owned());
        let past = |night: usize| Past {
            what: Deed::Backup,
            source: source.clone(),
            target: target.clone(),
            began: first + 86_400 * night as i64,
            ended: first + 700 + 86_400 * night as i64,
            outcome: if night % 7 == 6 { Outcome::DoneWithProblems } else { Outcome::Done },
            backup: Some(format!("{source}-{night}")),
            files: 60_000,
            bytes: 5 << 30,
            stored: (night as u64 * 7919) << 12,
            problems: u64::from(night % 7 == 6),
            words: if night % 7 == 6 { "diary/secret.txt: permission denied".into() } else { String::new() },
        };
        Pair {
            job: "nightly".into(),
            is_copy: false,
            next: Some(now + 40_000),
            every: Some(86_400),
            is_known: true,
            holding: Holding {
                backups: 30,
                oldest: Some(1),
                newest: Some(2),
                unpacked: 1 << 40,
                stored: 1 << 36,
                lacking: 0,
            },
            head: Some((30, format!("{source}-30"), "a1".repeat(32))),
            free: Some((1 << 40, now - 20_000)),
            past: (0..NIGHTS - 2).map(past).collect(),
            source: source.clone(),
            target: target.clone(),
        }
    };
    (0..2 * sources).map(pair).collect()
}

/// A door with a page, with a password or without.
fn page(password: Option<&str>, limits: Limits, tls: DoorTls) -> Doorway {
    let mut doorway = Doorway::with(limits, tls, None);
    doorway.page = Some(PageOptions::default());
    if let Some(password) = password {
        std::fs::create_dir_all(doorway.keys()).unwrap();
        Password::of(password).unwrap().write(&doorway.keys()).unwrap();
    }
    doorway.change();
    doorway.board.change(|report| {
        report.host = "nas".into();
        report.pairs = pairs(1);
    });
    doorway
}

fn guest() -> Doorway {
    page(None, quick_limits(), DoorTls::None)
}

fn locked() -> Doorway {
    page(Some(PASSWORD), quick_limits(), DoorTls::None)
}

/// A request to the box by an address, with lines of the head.
fn ask(doorway: &Doorway, line: &str, lines: &str, body: &str) -> Asked {
    ask_of(doorway, "127.0.0.1", line, lines, body)
}

fn ask_of(doorway: &Doorway, host: &str, line: &str, lines: &str, body: &str) -> Asked {
    let mut stream = doorway.connect();
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{lines}\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    Asked::read(stream).unwrap_or_else(|| panic!("no answer to {line}"))
}

fn log_in(doorway: &Doorway, password: &str) -> Asked {
    ask(doorway, "POST /login", "", &format!("password={}", password.replace(' ', "+")))
}

/// The lines of who is logged in, and the proof for what changes something.
fn owner(doorway: &Doorway) -> (String, String) {
    let asked = log_in(doorway, PASSWORD);
    assert_eq!(asked.status, 303, "{}", asked.text());
    // The head comes in small letters, and a session has large ones.
    let mut stream = doorway.connect();
    let body = format!("password={}", PASSWORD.replace(' ', "+"));
    let length = body.len();
    write!(
        stream,
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let text = ask(doorway, "GET /", &cookie, "").text();
    let proof = text.split("name=\"proof\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cookie, proof)
}

#[test]
fn without_a_password_it_is_to_be_looked_at_on_the_box_itself() {
    let doorway = guest();
    let home = ask(&doorway, "GET /", "", "");
    let text = home.text();
    assert_eq!(home.status, 200);
    assert!(text.contains("photos-0") && text.contains("Backed up") && !text.contains("<button"), "{text}");
    assert!(!text.contains("diary"), "names of files are for who is logged in");
    let status: Value = serde_json::from_slice(&ask(&doorway, "GET /api/status", "", "").body).unwrap();
    assert_eq!((&status["version"], &status["pairs"][0]["nights"][6]["words"]), (&1.into(), &Value::Null));
    let metrics = ask(&doorway, "GET /metrics", "", "").text();
    let line = "brackup_backups{job=\"nightly\",source=\"photos-0\",target=\"raid\"} 30";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    for path in ["/do/run", "/do/stop", "/logout"] {
        let refused = ask(&doorway, &format!("POST {path}"), "", "job=nightly&proof=");
        assert_eq!(refused.status, 401, "{path}");
    }
    assert_eq!(log_in(&doorway, "").status, 403, "no password is not an empty one");
    assert_eq!(doorway.board.next_order(), None);
}

#[test]
fn with_a_password_nothing_is_seen_without_it() {
    let doorway = locked();
    let home = ask(&doorway, "GET /", "", "").text();
    assert!(home.contains("type=\"password\"") && !home.contains("photos"), "{home}");
    for path in ["/api/status", "/metrics", "/api/events"] {
        let refused = ask(&doorway, &format!("GET {path}"), "", "");
        assert!(refused.status == 401 && !refused.text().contains("photos"), "{path}");
    }
    let health = || ask(&doorway, "GET /healthz", "", "");
    assert_eq!((health().status, health().text().as_str()), (200, "safe\n"), "of anybody, and it says no more");
    doorway.board.change(|report| report.trouble = Some("the clock is not set".into()));
    assert_eq!((health().status, health().text().as_str()), (503, "not safe\n"));
    doorway.board.change(|report| report.trouble = None);
    let (cookie, proof) = owner(&doorway);
    let text = ask(&doorway, "GET /", &cookie, "").text();
    assert!(text.contains("photos-0") && text.contains("diary/secret.txt"), "{text}");
    assert_eq!(ask(&doorway, "POST /do/run", &cookie, &format!("job=nightly&proof={proof}")).status, 303);
    assert_eq!(doorway.board.next_order(), Some(Order::Run("nightly".into())));
    assert_eq!(ask(&doorway, "POST /do/run", &cookie, &format!("job=other&proof={proof}")).status, 404);
    assert_eq!(ask(&doorway, "POST /logout", &cookie, &format!("proof={proof}")).status, 303);
    assert!(!ask(&doorway, "GET /", &cookie, "").text().contains("photos"), "who has left is out");
}

#[test]
fn a_page_of_somebody_else_changes_nothing() {
    let doorway = locked();
    let (cookie, proof) = owner(&doorway);
    let form = format!("job=nightly&proof={proof}");
    for (lines, body) in [
        // It can't know the proof, nor guess it.
        ("", "job=nightly"),
        ("", "job=nightly&proof="),
        ("", "job=nightly&proof=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        // Nor does one that knows it come from here.
        ("Origin: http://evil.example\r\n", &form),
        ("Origin: null\r\n", &form),
        ("Sec-Fetch-Site: cross-site\r\n", &form),
        ("Sec-Fetch-Site: same-site\r\n", &form),
    ] {
        let refused = ask(&doorway, "POST /do/stop", &format!("{cookie}{lines}"), body);
        assert_eq!(refused.status, 403, "{lines}{body}");
    }
    // A look changes nothing, whatever it is called.
    assert_eq!(ask(&doorway, &format!("GET /do/stop?{form}"), &cookie, "").status, 404);
    assert_eq!(doorway.board.next_order(), None);
    let own = format!("{cookie}Origin: http://127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(ask(&doorway, "POST /do/stop", &own, &form).status, 303);
    assert_eq!(doorway.board.next_order(), Some(Order::Stop));
}

#[test]
fn a_name_that_was_bent_to_this_box_is_none_of_its() {
    let doorway = guest();
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8713", ""] {
        let refused = ask_of(&doorway, host, "GET /api/status", "", "");
        assert!(matches!(refused.status, 400 | 421) && !refused.text().contains("photos"), "{host}: {refused:?}");
    }
    for host in ["localhost", "[::1]:8713", "192.168.1.10"] {
        assert_eq!(ask_of(&doorway, host, "GET /api/status", "", "").status, 200, "{host}");
    }
}

#[test]
fn a_storm_of_passwords_is_not_heard() {
    let doorway = locked();
    let wrong: Vec<_> = (0..20).map(|number| log_in(&doorway, &format!("guess {number}")).status).collect();
    let heard = wrong.iter().filter(|status| **status == 403).count();
    assert!((1..10).contains(&heard) && wrong.iter().all(|status| matches!(status, 403 | 429)), "{wrong:?}");
    assert_eq!(log_in(&doorway, PASSWORD).status, 429, "not even the right one, for a while");
    let said = doorway.said();
    assert!(said.contains("a wrong password") && !said.contains("guess"), "{said}");
}

#[test]
fn another_password_throws_everybody_out() {
    let mut doorway = locked();
    let (cookie, _) = owner(&doorway);
    doorway.change();
    assert!(ask(&doorway, "GET /", &cookie, "").text().contains("photos"), "the same one does not");
    Password::of("another password").unwrap().write(&doorway.keys()).unwrap();
    doorway.change();
    assert!(!ask(&doorway, "GET /", &cookie, "").text().contains("photos"));
    assert_eq!(log_in(&doorway, PASSWORD).status, 403);
    assert_eq!(log_in(&doorway, "another password").status, 303);
}

#[test]
fn a_program_has_a_token() {
    let mut doorway = locked();
    let token = Token::generate().unwrap();
    doorway.page = Some(PageOptions { token_sha256: Some(token.sha256()), ..PageOptions::default() });
    doorway.change();
    let bearer = format!("Authorization: Bearer {}\r\n", token.as_str());
    let status: Value = serde_json::from_slice(&ask(&doorway, "GET /api/status", &bearer, "").body).unwrap();
    assert_eq!(status["pairs"][0]["nights"][6]["words"], "diary/secret.txt: permission denied");
    assert_eq!(ask(&doorway, "POST /do/pause", &bearer, "").status, 303);
    assert_eq!(doorway.board.next_order(), Some(Order::Pause));
    // That of a host is for its objects, and the owner's is for no host.
    let of_host = ask(&doorway, "GET /api/status", &doorway.bearer(), "");
    assert_eq!(of_host.status, 401);
    assert_eq!(ask(&doorway, "GET /v1/", &bearer, "").status, 401);
}

#[test]
fn nothing_is_painted_or_run_that_is_not_of_the_page() {
    let doorway = locked();
    let (cookie, _) = owner(&doorway);
    for (line, lines) in [("GET /", ""), ("GET /", &*cookie), ("GET /api/status", &*cookie), ("GET /healthz", "")] {
        let asked = ask(&doorway, line, lines, "");
        for header in [
            "content-security-policy: default-src 'none'; style-src 'sha256-",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: same-origin",
            "cache-control: private, no-cache",
        ] {
            assert!(asked.head.contains(header), "{line}: {header}: {}", asked.head);
        }
    }
    let opened = log_in(&doorway, PASSWORD).head;
    assert!(opened.contains("httponly; samesite=strict") && !opened.contains("secure"), "{opened}");
}

#[test]
fn over_tls_a_session_stays_there() {
    if !is_there(Path::new("/usr/bin/curl"), "curl") {
        return;
    }
    let doorway = page(Some(PASSWORD), quick_limits(), DoorTls::Own);
    let door = doorway.door.as_ref().unwrap();
    assert_eq!(door.fingerprint().unwrap().len(), 95);
    let url = format!("https://127.0.0.1:{}/login", door.address().port());
    let curl =
        std::process::Command::new("curl").args(["-sik", "--data", &format!("password={PASSWORD}"), &url]).output();
    let curl = curl.unwrap();
    let answer = String::from_utf8(curl.stdout).unwrap().to_lowercase();
    assert!(answer.contains("samesite=strict; secure"), "{answer}");
}

#[test]
fn a_large_box_comes_in_one_round_trip() {
    let doorway = guest();
    doorway.board.change(|report| report.pairs = pairs(4));
    let plain = ask(&doorway, "GET /", "", "");
    let small = ask(&doorway, "GET /", "Accept-Encoding: gzip, br, zstd\r\n", "");
    assert!(small.head.contains("content-encoding: zstd") && !plain.head.contains("content-encoding"));
    assert!(small.body.len() + small.head.len() <= 14 * 1024, "{} of {}", small.body.len(), plain.body.len());
    let unpacked = zstd::stream::decode_all(&small.body[..]).unwrap();
    let without_ages = |text: &[u8]| String::from_utf8_lossy(text).len();
    assert_eq!(without_ages(&unpacked), without_ages(&plain.body));
    // And if nothing has changed it does not come at all.
    let tag = small.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = ask(&doorway, "GET /", &format!("If-None-Match: {tag}\r\n"), "");
    assert!(again.status == 304 && again.body.is_empty(), "{again:?}");
    doorway.board.change(|report| report.pairs[0].holding.backups = 31);
    assert_eq!(ask(&doorway, "GET /", &format!("If-None-Match: {tag}\r\n"), "").status, 200);
}

#[test]
fn who_watches_sees_what_changes() {
    let doorway = guest();
    let mut watcher = Watcher::of(&doorway);
    watcher.sees("event: page\ndata: ");
    watcher.sees("<dd>30</dd>");
    doorway.board.change(|report| report.pairs[0].holding.backups = 77);
    watcher.sees("<dd>77</dd>");
}

#[test]
fn many_watchers_leave_room_for_others() {
    let doorway = guest();
    let watch = || {
        let mut stream = doorway.connect();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        (stream, String::from_utf8(first[9..].to_vec()).unwrap())
    };
    let watchers: Vec<(TcpStream, String)> = (0..10).map(|_| watch()).collect();
    let seen: Vec<_> = watchers.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(seen, [vec!["200"; 8], vec!["503"; 2]].concat());
    assert_eq!(ask(&doorway, "GET /", "", "").status, 200);
    drop(watchers);
    wait_until("a place that is free again", || watch().1 == "200");
}

#[test]
fn what_is_too_long_or_odd_is_refused() {
    let doorway = locked();
    let long = format!("password={}", "x".repeat(10_000));
    assert_eq!(ask(&doorway, "POST /login", "", &long).status, 413);
    for path in ["/../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd", "/web/index.html", "/api/status/", "/do/"] {
        let asked = ask(&doorway, &format!("GET {path}"), "", "");
        assert!(matches!(asked.status, 400 | 401 | 404), "{path}: {}", asked.status);
    }
    let (cookie, _) = owner(&doorway);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(ask(&doorway, &format!("{method} /"), &cookie, "").status, 405, "{method}");
    }
    let head = ask(&doorway, "HEAD /", &cookie, "");
    assert!(head.status == 200 && head.body.is_empty());
}

#[test]
fn who_is_slow_is_cut_off_and_a_thousand_find_an_end() {
    let short = Duration::from_millis(300);
    let limits = Limits { head: short, idle: short, ..quick_limits() };
    let doorway = page(Some(PASSWORD), limits, DoorTls::None);
    // As many as there are places, with half a head or half a form each.
    let slow: Vec<_> = (0..16)
        .map(|number| {
            let mut stream = doorway.connect();
            let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n";
            let _ = stream.write_all(if number % 2 == 0 { head.as_bytes() } else { b"GET / HT" });
            if number % 4 == 0 {
                let _ = stream.write_all(b"\r\npass");
            }
            stream
        })
        .collect();
    assert_eq!(ask(&doorway, "GET /healthz", "", "").status, 200, "who comes behind them is answered");
    drop(slow);
    for _ in 0..1000 {
        drop(TcpStream::connect(doorway.address()).unwrap());
    }
    assert_eq!(ask(&doorway, "GET /healthz", "", "").status, 200);
}
