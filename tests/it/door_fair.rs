//! That places at the door of a box go round: whoever waits for one gets it, however many there are and whatever they do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use brackup::config::{DoorTls, PageOptions};
use brackup::digest::Sha1;
use brackup::web::Limits;

use crate::support::{Asked, Doorway, Watcher, noise, quick_limits, wait_until};

/// So little that what is waited for comes soon.
const SOON: Duration = Duration::from_secs(3);
const LENGTH: usize = 200_000;
const LATER: usize = 150_000;

fn name(bytes: &[u8]) -> String {
    format!("{}.chunk", Sha1::of(bytes))
}

fn head(doorway: &Doorway, line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: nas\r\n{}{lines}\r\n", doorway.bearer())
}

/// Somebody who is about to store this, and keeps his connection.
fn storing(doorway: &Doorway, bytes: &[u8], now: usize) -> TcpStream {
    let mut stream = doorway.connect();
    let line = format!("PUT /v1/objects/{}", name(bytes));
    let lines = format!("If-None-Match: *\r\nContent-Length: {}\r\n", bytes.len());
    stream.write_all(head(doorway, &line, &lines).as_bytes()).unwrap();
    stream.write_all(&bytes[..now]).unwrap();
    stream
}

/// Bytes that lie in stages.
fn staged(doorway: &Doorway) -> u64 {
    let entries = std::fs::read_dir(doorway.place()).unwrap().map(|entry| entry.unwrap());
    let stages = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".partial"));
    stages.map(|entry| entry.metadata().map_or(0, |there| there.len())).sum()
}

#[test]
fn one_more_than_may_be_waits_for_an_object_and_not_for_ever() {
    let doorway = Doorway::open().with_id();
    let most = Limits::default().connections;
    let objects: Vec<_> = (0..most).map(|seed| noise(seed as u64, LENGTH)).collect();
    let mut all: Vec<_> = objects.iter().map(|bytes| storing(&doorway, bytes, LENGTH - LATER)).collect();
    wait_until("a stage of each", || doorway.names().len() == 1 + most);
    let mut late = doorway.connect();
    late.write_all(head(&doorway, "GET /v1/", "").as_bytes()).unwrap();
    // The others go on; this one waits.
    let before = staged(&doorway);
    all[0].write_all(&objects[0][LENGTH - LATER..LENGTH - 1]).unwrap();
    wait_until("more of the first object", || staged(&doorway) > before);
    late.set_nonblocking(true).unwrap();
    assert_eq!(late.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    late.set_nonblocking(false).unwrap();
    // The first has stored his, and gives his place to who waits for it, though he would have kept it.
    all[0].write_all(&objects[0][LENGTH - 1..]).unwrap();
    let answer = Asked::read(all.remove(0)).unwrap();
    assert!(answer.status == 201 && answer.head.contains("\r\nconnection: close"), "{}", answer.head);
    // So does he, as long as the others are there.
    let answer = Asked::read(late).unwrap();
    assert!(answer.status == 200 && answer.head.contains("\r\nconnection: close"), "{}", answer.head);
    drop(all);
    wait_until("that stages go", || doorway.names().len() == 2);
}

#[test]
fn where_there_is_room_a_connection_stays() {
    let doorway = Doorway::open().with_id();
    let mut stream = doorway.connect();
    for _ in 0..3 {
        stream.write_all(head(&doorway, "HEAD /v1/objects/brackup-target.id", "").as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0].into());
        }
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.to_lowercase().contains("connection: close"), "{answer}");
    }
}

#[test]
fn a_trickle_does_not_go_on_for_ever() {
    let doorway = Doorway::with(Limits { whole: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    // Of a body: a byte now and then.
    let bytes = noise(1, LENGTH);
    let mut up = storing(&doorway, &bytes, LENGTH - LATER);
    wait_until("a stage", || doorway.names().len() == 2);
    wait_until("a cut", || up.write_all(&bytes[..1]).is_err());
    wait_until("that the stage goes", || doorway.names() == ["brackup-target.id"]);
    // And of an answer, which is more than sockets hold.
    let large = doorway.place().join("tree-2026112400.meta");
    std::fs::File::create(large).unwrap().set_len(1 << 30).unwrap();
    let mut down = doorway.connect();
    down.write_all(head(&doorway, "GET /v1/objects/tree-2026112400.meta", "").as_bytes()).unwrap();
    wait_until("a cut", || down.read(&mut [0; 100]).is_err() || down.write_all(b"\r\n").is_err());
}

#[test]
fn who_watches_the_page_may_go_on() {
    let mut doorway = Doorway::with(Limits { whole: SOON, ..quick_limits() }, DoorTls::None, None).with_id();
    doorway.page = Some(PageOptions::default());
    doorway.change();
    let mut watcher = Watcher::of(&doorway);
    watcher.sees("event: page");
    // Whoever began behind it is cut off.
    let mut up = storing(&doorway, &noise(1, LENGTH), 1);
    wait_until("a cut", || up.write_all(b"x").is_err());
    doorway.board.change(|report| report.host = "another-nas".into());
    watcher.sees("another-nas");
}
