//! How much anybody gets at the door of a box: connections, time, bytes of a disk.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use brackup::config::DoorTls;
use brackup::digest::Sha1;
use brackup::web::Limits;
use tempfile::TempDir;

use crate::support::{Asked, Doorway, Mount, digested, fill, noise, quick_limits, wait_until, when_root};

/// So little that what is waited for comes soon, and so much that nobody who is in time is late.
const SOON: Duration = Duration::from_millis(300);

fn name(bytes: &[u8]) -> String {
    format!("{}.chunk", Sha1::of(bytes))
}

/// What comes until the other end ends the connection, which it must.
#[track_caller]
fn ends(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).err().map(|error| error.kind());
    assert!(!matches!(ended, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "it goes on: {answer:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_does_not_say_what_he_wants_is_cut() {
    let doorway = Doorway::with(Limits { head: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    let silent = doorway.connect();
    let mut slow = doorway.connect();
    slow.write_all(b"GET /v1/ HTTP/1.1\r\nHost: na").unwrap();
    // One that has asked, and asks nothing more.
    let mut idle = doorway.connect();
    idle.write_all(format!("GET /v1/ HTTP/1.1\r\nHost: nas\r\n{}\r\n", doorway.bearer()).as_bytes()).unwrap();
    for (stream, answer) in [(silent, ""), (slow, ""), (idle, "HTTP/1.1 200 OK")] {
        let ended = ends(stream);
        assert!(ended.starts_with(answer), "{ended}");
    }
    let tls = Doorway::with(Limits { head: SOON, ..quick_limits() }, DoorTls::Own, None);
    let silent = tls.connect();
    let mut slow = tls.connect();
    slow.write_all(b"\x16\x03\x01\x02").unwrap();
    assert_eq!([ends(silent), ends(slow)], ["", ""], "nor who does not end his handshake");
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let doorway = Doorway::with(Limits { idle: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    let bytes = noise(1, 100_000);
    let mut stream = doorway.connect();
    let head = format!(
        "PUT /v1/objects/{} HTTP/1.1\r\nHost: nas\r\n{}If-None-Match: *\r\nContent-Length: 100000\r\n\r\n",
        name(&bytes),
        doorway.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..99_999]).unwrap();
    let answer = ends(stream);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not come in time"), "{answer}");
    assert_eq!(doorway.names(), ["brackup-target.id"]);
    assert_eq!(doorway.put(&name(&bytes), &bytes).status, 201, "what was reserved is free again");
    assert!(doorway.ask("GET /v1/", "", b"").text().contains("\"used\":102400"));
}

#[test]
fn who_does_not_take_what_he_asked_for_is_cut() {
    let doorway = Doorway::with(Limits { idle: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    // More than sockets hold.
    let large = doorway.place().join("tree-2026112400.meta");
    std::fs::File::create(large).unwrap().set_len(1 << 30).unwrap();
    let mut stream = doorway.connect();
    let head = format!("GET /v1/objects/tree-2026112400.meta HTTP/1.1\r\nHost: nas\r\n{}\r\n", doorway.bearer());
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    // By writing it is known that the other end is gone, without taking what it has sent.
    wait_until("a cut", || stream.write_all(b"\r\n").is_err());
}

#[test]
fn one_more_than_may_be_waits_until_another_goes() {
    let doorway = Doorway::open().with_id();
    let most = Limits::default().connections;
    let mut all: Vec<_> = (0..most).map(|_| doorway.connect()).collect();
    let request = format!("GET /v1/ HTTP/1.1\r\nHost: nas\r\n{}\r\n", doorway.bearer());
    let mut first = [0; 15];
    for stream in &mut all {
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }
    let mut late = doorway.connect();
    late.write_all(request.as_bytes()).unwrap();
    late.set_nonblocking(true).unwrap();
    // The others are answered, again and again; this one is not.
    for stream in &mut all {
        let mut answer = vec![0; 10_000];
        stream.write_all(request.as_bytes()).unwrap();
        let mut read = 0;
        while !String::from_utf8_lossy(&answer[..read]).contains("HTTP/1.1 200 OK") {
            read += stream.read(&mut answer[read..]).unwrap();
        }
    }
    assert_eq!(late.read(&mut first).unwrap_err().kind(), ErrorKind::WouldBlock);
    late.set_nonblocking(false).unwrap();
    all.pop();
    late.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
}

#[test]
fn a_hundred_that_say_nothing_keep_nobody_out_for_ever() {
    let doorway = Doorway::with(Limits { head: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    let _silent: Vec<_> = (0..100).map(|_| doorway.connect()).collect();
    assert_eq!(doorway.ask("GET /v1/", "", b"").status, 200);
}

#[test]
fn who_has_no_token_keeps_no_connection() {
    let doorway = Doorway::open().with_id();
    for path in ["/", "/v1/", "/v1/objects"] {
        let mut stream = doorway.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: nas\r\n\r\n").as_bytes()).unwrap();
        // To its end, which comes without ours.
        let answer = ends(stream);
        assert!(answer.starts_with("HTTP/1.1 40") && answer.to_lowercase().contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_folder_without_an_id_is_none() {
    let doorway = Doorway::open().with_id();
    let bytes = noise(5, 1000);
    assert_eq!(doorway.put(&name(&bytes), &bytes).status, 201);
    let id = doorway.place().join("brackup-target.id");
    std::fs::rename(&id, doorway.place().join("away")).unwrap();
    // As if its disk were not mounted.
    let other = noise(6, 1000);
    for asked in [
        doorway.put(&name(&other), &other),
        doorway.ask("GET /v1/objects", "", b""),
        doorway.ask(&format!("HEAD /v1/objects/{}", name(&bytes)), "", b""),
        doorway.ask(&format!("GET /v1/objects/{}", name(&bytes)), "", b""),
    ] {
        assert_eq!(asked.status, 503);
    }
    std::fs::rename(doorway.place().join("away"), id).unwrap();
    assert_eq!(doorway.put(&name(&other), &other).status, 201);
}

#[test]
fn sixteen_at_once_do_not_exceed_a_quota_together() {
    let quota = 1_000_000;
    let doorway = Doorway::with(quick_limits(), DoorTls::None, Some(quota)).with_id();
    let barrier = Barrier::new(16);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let put = |number| {
            let (doorway, barrier) = (&doorway, &barrier);
            let act = move || {
                let bytes = noise(number, 150_000);
                barrier.wait();
                doorway.put(&name(&bytes), &bytes).status
            };
            std::thread::Builder::new().spawn_scoped(scope, act).unwrap()
        };
        let threads: Vec<_> = (0..16).map(put).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stored = statuses.iter().filter(|status| **status == 201).count();
    assert!(stored == 6 && statuses.iter().all(|status| matches!(status, 201 | 507)), "{statuses:?}");
    let there: u64 = std::fs::read_dir(doorway.place())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "brackup-target.id")
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(there, 900_000);
    let small = noise(99, 150_000);
    let asked = doorway.put(&name(&small), &small);
    assert!(
        asked.status == 507 && asked.text().contains("the quota of laptop is 1000000 bytes, of which 909312 are used")
    );
    assert!(doorway.said().contains("host laptop: refused: PUT"), "{}", doorway.said());
    let small = noise(99, 90_000);
    assert_eq!(doorway.put(&name(&small), &small).status, 201, "what fits is taken");
    assert!(doorway.ask("GET /v1/", "", b"").text().contains("\"quota\":1000000,\"used\":999424"));
    let least = doorway.put(&name(b"x"), b"x");
    assert_eq!(least.status, 507, "a byte takes a block");
}

#[test]
fn the_same_object_from_many_is_stored_and_counted_once() {
    let doorway = Doorway::open().with_id();
    assert!(doorway.ask("GET /v1/", "", b"").text().contains("\"used\":0"));
    let (bytes, barrier) = (noise(1, 200_000), Barrier::new(8));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let act = || {
            barrier.wait();
            doorway.put(&name(&bytes), &bytes).status
        };
        let threads: Vec<_> = (0..8).map(|_| std::thread::Builder::new().spawn_scoped(scope, act).unwrap()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 412)), "{statuses:?}");
    assert!(doorway.ask("GET /v1/", "", b"").text().contains("\"used\":200704"));
    assert_eq!(doorway.names().len(), 2, "no stage is left");
}

#[test]
fn a_quota_counts_what_was_there_and_what_was_removed() {
    let mut doorway = Doorway::with(quick_limits(), DoorTls::None, Some(250_000)).with_id();
    let [one, two, three] = [1, 2, 3].map(|seed| noise(seed, 100_000));
    for bytes in [&one, &two] {
        assert_eq!(doorway.put(&name(bytes), bytes).status, 201);
    }
    doorway.reopen();
    assert_eq!(doorway.put(&name(&three), &three).status, 507, "after a restart too");
    std::fs::remove_file(doorway.place().join(name(&one))).unwrap();
    doorway.change();
    assert_eq!(doorway.put(&name(&three), &three).status, 201, "the owner made room");
}

#[test]
fn a_disk_that_is_full_is_told_and_keeps_nothing_half() {
    if !when_root("a disk of a test's own") {
        return;
    }
    let disk = Mount::memory(2 << 20);
    let doorway =
        Doorway::at(TempDir::new().unwrap(), &disk.at.join("laptop"), quick_limits(), DoorTls::None, None).with_id();
    let filler = fill(&disk.at);
    let bytes = noise(1, 500_000);
    let asked = doorway.put(&name(&bytes), &bytes);
    assert!(asked.status == 507 && asked.text().contains("the disk is full"), "{} {}", asked.head, asked.text());
    assert_eq!(doorway.names(), ["brackup-target.id"]);
    assert!(doorway.said().contains("No space left on device"), "{}", doorway.said());
    let meta = b"a metafile";
    std::fs::remove_file(filler).unwrap();
    assert_eq!(doorway.put(&name(&bytes), &bytes).status, 201);
    assert_eq!(doorway.ask("PUT /v1/objects/tree-2026112400.meta", &digested(meta), meta).status, 201);
}

#[test]
fn a_door_that_closes_lets_what_is_nearly_done_end() {
    let mut doorway = Doorway::open().with_id();
    let bytes = noise(1, 300_000);
    let mut stream = doorway.connect();
    let head = format!(
        "PUT /v1/objects/{} HTTP/1.1\r\nHost: nas\r\n{}If-None-Match: *\r\nContent-Length: 300000\r\n\r\n",
        name(&bytes),
        doorway.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..200_000]).unwrap();
    wait_until("a stage", || doorway.names().len() == 2);
    let door = doorway.door.take().unwrap();
    let closing = std::thread::Builder::new().spawn(move || drop(door)).unwrap();
    stream.write_all(&bytes[200_000..]).unwrap();
    let answer = Asked::read(stream).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.head);
    closing.join().unwrap();
    assert_eq!(doorway.names().len(), 2);
}
