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
const SOON: Duration = Duration::from_secs(2);

fn name(bytes: &[u8]) -> String {
    format!("{}.chunk", Sha1::of(bytes))
}

/// The head of a request that stores this.
fn put(doorway: &Doorway, bytes: &[u8]) -> String {
    let (name, bearer, length) = (name(bytes), doorway.bearer(), bytes.len());
    let lines = format!("Connection: close\r\nIf-None-Match: *\r\nContent-Length: {length}\r\n");
    format!("PUT /v1/objects/{name} HTTP/1.1\r\nHost: nas\r\n{bearer}{lines}\r\n")
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
fn so_many_backups_a_host_has_and_no_more() {
    let mut doorway = Doorway::open().with_id();
    let most = 20_000;
    for number in 1..most {
        std::fs::File::create(doorway.place().join(format!("r{number}-2026112400.meta"))).unwrap();
    }
    let store = |doorway: &Doorway, name: &str| {
        doorway.ask(&format!("PUT /v1/objects/{name}"), &digested(b"meta"), b"meta").status
    };
    let stone = "tree-2026112400.tombstone";
    assert_eq!(store(&doorway, "tree-2026112400.meta"), 201);
    assert_eq!(store(&doorway, "tree-2026112401.meta"), 507);
    doorway.reopen();
    assert_eq!(store(&doorway, stone), 507, "after a restart too");
    let said =
        "host laptop: refused: PUT /v1/objects/tree-2026112401.meta: 507, laptop has 20000 backups and tombstones here";
    assert!(doorway.said().contains(said), "{}", doorway.said());
    let chunk = noise(1, 1000);
    assert_eq!(doorway.put(&name(&chunk), &chunk).status, 201, "chunks are bounded by the quota");
    std::fs::remove_file(doorway.place().join("r1-2026112400.meta")).unwrap();
    doorway.change();
    assert_eq!(store(&doorway, stone), 201, "the owner removed one");
    assert_eq!(store(&doorway, "tree-2026112401.meta"), 507, "a tombstone is counted as well");
}

#[test]
fn a_disk_that_is_full_is_told_and_keeps_nothing_half() {
    if !when_root("a disk of a test's own") {
        return;
    }
    let disk = Mount::memory(2 << 20);
    let doorway =
        Doorway::at(TempDir::new().unwrap(), &disk.at.join("laptop"), quick_limits(), DoorTls::None, None).with_id();
    let bytes = noise(1, 500_000);
    let (mut stream, head) = (doorway.connect(), put(&doorway, &bytes));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..100_000]).unwrap();
    wait_until("a stage", || doorway.names().len() == 2);
    let filler = fill(&disk.at);
    stream.write_all(&bytes[100_000..]).unwrap();
    let asked = Asked::read(stream).unwrap();
    assert!(asked.status == 507 && asked.text().contains("the disk is full"), "{} {}", asked.head, asked.text());
    wait_until("that the stage goes", || doorway.names() == ["brackup-target.id"]);
    assert!(doorway.said().contains("No space left on device"), "{}", doorway.said());
    let meta = b"a metafile";
    std::fs::remove_file(filler).unwrap();
    assert_eq!(doorway.put(&name(&bytes), &bytes).status, 201);
    assert_eq!(doorway.ask("PUT /v1/objects/tree-2026112400.meta", &digested(meta), meta).status, 201);
}

#[test]
fn some_of_a_disk_is_kept_for_the_box_itself() {
    if !when_root("a disk of a test's own") {
        return;
    }
    // 409.6 KiB of it, a twentieth, are kept.
    let disk = Mount::memory(8 << 20);
    let at = disk.at.join("laptop");
    let doorway = Doorway::at(TempDir::new().unwrap(), &at, quick_limits(), DoorTls::None, None).with_id();
    let store = |seed, length| {
        let bytes = noise(seed, length);
        doorway.put(&name(&bytes), &bytes)
    };
    assert_eq!(store(1, 4 << 20).status, 201);
    let asked = store(2, (4 << 20) - (100 << 10));
    assert!(asked.status == 507 && asked.text().contains("but for what is kept for the box itself"), "{asked:?}");
    assert!(!asked.text().contains("bytes"), "how full it is concerns nobody else");
    assert!(doorway.said().contains("of which 419430 are kept"), "{}", doorway.said());
    // Nor where it fills up while an object comes.
    let bytes = noise(3, 1_900_000);
    let (mut stream, head) = (doorway.connect(), put(&doorway, &bytes));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..100_000]).unwrap();
    wait_until("a stage", || doorway.names().len() == 3);
    let filler = disk.at.join("filler");
    std::fs::write(&filler, noise(4, 2_830_000)).unwrap();
    let _ = stream.write_all(&bytes[100_000..]);
    let asked = Asked::read(stream).unwrap();
    assert!(asked.status == 507 && asked.text().contains("but for what is kept for the box itself"), "{asked:?}");
    wait_until("that the stage goes", || doorway.names().len() == 2);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(store(3, 1_900_000).status, 201, "what is left is there for hosts");
}

#[test]
fn a_door_that_closes_lets_what_is_nearly_done_end() {
    let limits = Limits { grace: Duration::from_secs(60), ..quick_limits() };
    let mut doorway = Doorway::with(limits, DoorTls::None, None).with_id();
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
