//! Another box as a target: what any target must do, over wires that are cut, and what may be at the other end instead.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::DoorTls;
use brackup::digest::Sha1;
use brackup::provider::{Endpoint, Pin, Server, Token, Trust};
use brackup::target::{Brackup, Error, ErrorKind, ObjectName, Target as _, Way};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms_and_keeps_all, listed, meta_name, object, read};
use crate::support::{Cut, Cutter, Doorway, Nas, Place as _, Scripted, Tree, answer, noise, quick_limits};

const API: &str = "Brackup-Api: 1\r\n";

fn open(url: &str, token: &Token, trust: Trust, spool: &TempDir, waits: bool) -> Brackup {
    let way = Way::until(Arc::new(AtomicBool::new(!waits)));
    let server = Server { endpoint: Endpoint::parse(url).unwrap(), trust };
    Brackup::open(server, token.clone(), spool.path().into(), way).unwrap()
}

fn at(doorway: &Doorway, spool: &TempDir) -> Brackup {
    open(&format!("http://{}", doorway.address()), &doorway.tokens[0], Trust::System, spool, true)
}

#[test]
fn a_box_conforms_and_keeps_all() {
    let (doorway, spool) = (Doorway::open(), TempDir::new().unwrap());
    conforms_and_keeps_all(&at(&doorway, &spool), doorway.place());
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0, "nothing stays in the spool");
}

#[test]
fn a_box_conforms_over_tls_and_is_known_by_its_pin() {
    let (doorway, spool) = (Doorway::with(quick_limits(), DoorTls::Own, None), TempDir::new().unwrap());
    let url = format!("https://{}", doorway.address());
    let told = |trust| {
        let error = open(&url, &doorway.tokens[0], trust, &spool, false).identify(None).unwrap_err();
        (error.kind, format!("{error} {}", error.hint().unwrap_or_default()))
    };
    let (kind, all) = told(Trust::Pin(Pin([7; 32])));
    let pin = doorway.pin().unwrap();
    assert!(kind == ErrorKind::Refused && all.contains("`tls_pin`") && all.contains(&pin.to_string()), "{all}");
    let (kind, all) = told(Trust::System);
    assert!(kind == ErrorKind::Refused && all.contains("`tls_pin`"), "{all}");
    conforms_and_keeps_all(&open(&url, &doorway.tokens[0], Trust::Pin(pin), &spool, true), doorway.place());
}

#[test]
fn a_wire_that_is_cut_costs_time_only() {
    let (doorway, spool) = (Doorway::open(), TempDir::new().unwrap());
    at(&doorway, &spool).identify(None).unwrap();
    let cutter = Cutter::before(doorway.address().port());
    let far = || open(&cutter.endpoint(), &doorway.tokens[0], Trust::System, &spool, true);
    let requests = [1, 100, 300, 500, 10_000, 100_000, 299_000].map(|at| vec![Cut::Request(at)]);
    let answers = [1, 20, 30, 60].map(|at| vec![Cut::Answer(at)]);
    let twice = [vec![Cut::Answer(1), Cut::Answer(1)], vec![Cut::Request(200_000), Cut::AnswerTo("PUT ")]];
    for (number, cuts) in requests.into_iter().chain(answers).chain(twice).enumerate() {
        let number = u32::try_from(number).unwrap();
        for (name, finished) in [(None, object(&far(), 300_000)), (Some(meta_name(number)), object(&far(), 300_000))] {
            let target = far();
            let (name, sha1) = (name.unwrap_or_else(|| chunk_name(&finished)), finished.sha1());
            cutter.cut(&cuts);
            target.put(&name, finished).unwrap();
            assert_eq!(cutter.left(), 0, "{cuts:?}");
            let stored = doorway.place().read(&name.to_string()).unwrap();
            assert_eq!(Sha1::of(&stored), sha1, "{cuts:?}");
            let target = far();
            cutter.cut(&[Cut::Answer(100), Cut::Answer(150_000), Cut::Request(10)]);
            assert!(read(&target, &name, 5, u64::MAX) == stored[5..], "{cuts:?}");
            assert_eq!(cutter.left(), 0);
        }
    }
    // A metafile of another is not taken for the own one, also behind a cut.
    let target = far();
    cutter.cut(&[Cut::AnswerTo("PUT ")]);
    assert_eq!(target.put(&meta_name(0), object(&target, 300_000)).unwrap_err().kind, ErrorKind::Exists);
    let target = far();
    cutter.cut(&[Cut::Answer(250), Cut::Answer(900)]);
    assert_eq!(listed(&target).len(), 26, "no object twice, no half one");
    assert_eq!(cutter.left(), 0);
    let names = doorway.names();
    assert!(names.iter().all(|name| !name.ends_with(".partial")) && names.len() == 27, "{names:?}");
}

#[test]
fn a_box_that_ends_in_mid_upload_has_nothing_half() {
    let (mut doorway, spool) = (Doorway::open(), TempDir::new().unwrap());
    at(&doorway, &spool).identify(None).unwrap();
    let cutter = Cutter::before(doorway.address().port());
    let target = open(&cutter.endpoint(), &doorway.tokens[0], Trust::System, &spool, true);
    let finished = object(&target, 3_000_000);
    let name = chunk_name(&finished);
    cutter.cut(&[Cut::Hold(1_000_000)]);
    std::thread::scope(|scope| {
        let putting = std::thread::Builder::new().spawn_scoped(scope, || target.put(&name, finished)).unwrap();
        crate::support::wait_until("a stage", || doorway.names().iter().any(|name| name.ends_with(".partial")));
        doorway.reopen();
        assert_eq!(doorway.names(), ["brackup-target.id"], "nor a stage");
        putting.join().unwrap().unwrap();
    });
    assert_eq!(doorway.names().len(), 2);
}

#[test]
fn backups_come_back_from_a_box_and_from_its_folder() {
    let (doorway, spool) = (Doorway::open(), TempDir::new().unwrap());
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 5_000_000));
    let (nas, target) = (Nas::new(), at(&doorway, &spool));
    for number in 0..2 {
        tree.file(format!("new-{number}"), "more");
        let done = nas.try_backup(&tree.root, &target, &brackup::monitor::Quiet::default()).unwrap();
        assert_eq!(done.told, []);
        assert_eq!(nas.verify_at(&target).unwrap(), []);
        let folder = brackup::target::Filesystem::at(doorway.place());
        for from in [&target as &dyn brackup::target::Target, &folder] {
            let back = Tree::absent();
            let quiet = brackup::monitor::Quiet::default();
            let told = nas.restore_from(from, &done.name(), &back.root, brackup::restore::Conflict::Abort, &quiet);
            assert_eq!(told.unwrap(), []);
            tree.snapshot().assert_same(&back.snapshot());
        }
    }
}

/// What comes of a box that answers so.
fn told(answers: &[String], act: impl Fn(&Brackup) -> Result<(), Error>) -> (ErrorKind, String) {
    let (server, spool) = (Scripted::answering(answers), TempDir::new().unwrap());
    let token = Token::generate().unwrap();
    let target = open(&server.endpoint(), &token, Trust::System, &spool, false);
    let error = act(&target).unwrap_err();
    let all = format!("{error} {} {error:?} {target:?}", error.hint().unwrap_or_default());
    assert!(!all.contains(token.as_str()), "{all}");
    let asked = server.asked().join("");
    assert!(asked.to_lowercase().contains("authorization: bearer ") && asked.contains(token.as_str()), "{asked}");
    (error.kind, all)
}

fn identify(target: &Brackup) -> Result<(), Error> {
    target.identify(None).map(drop)
}

#[test]
fn what_is_at_the_other_end_instead_is_told() {
    for (status, lines, kind, words) in [
        ("200 OK", "", ErrorKind::Unreachable, "no box that runs `brackup serve`"),
        ("404 Not Found", "", ErrorKind::Unreachable, "no box that runs `brackup serve`"),
        ("404 Not Found", "Brackup-Api: 2, 3\r\n", ErrorKind::Unreachable, "speaks another version"),
        ("503 Service Unavailable", "", ErrorKind::Unreachable, "says 503, and is no box"),
        ("401 Unauthorized", API, ErrorKind::Refused, "`token` must be the one"),
        ("503 Service Unavailable", API, ErrorKind::Unreachable, "`path` in [HOST:…]"),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", ErrorKind::Unreachable, "no box that runs"),
    ] {
        let (found, all) = told(&[answer(status, lines, "")], identify);
        assert!(found == kind && all.contains(words), "{status}: {found:?} {all}");
    }
    let put = |target: &Brackup| target.put(&meta_name(0), object(target, 10));
    for (status, kind, words) in [
        ("507 Insufficient Storage", ErrorKind::Full, "raise `quota` in [HOST:…]"),
        ("413 Payload Too Large", ErrorKind::Full, "make `chunk_size` smaller"),
        ("422 Unprocessable Entity", ErrorKind::Corrupt, "got other bytes"),
    ] {
        let (found, all) = told(&[answer(status, API, "")], put);
        assert!(found == kind && all.contains(words), "{status}: {found:?} {all}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spool = TempDir::new().unwrap();
    let target = open(&format!("http://{nobody}"), &Token::generate().unwrap(), Trust::System, &spool, false);
    let error = target.identify(None).unwrap_err();
    assert_eq!(
        (error.kind, error.hint().unwrap().contains("nothing answers at this port")),
        (ErrorKind::Unreachable, true)
    );
}

#[test]
fn a_chunk_that_reads_back_otherwise_is_not_stored() {
    let spool = TempDir::new().unwrap();
    let local = brackup::target::Filesystem::at(spool.path());
    let length = object(&local, 10).length();
    let bytes = "x".repeat(usize::try_from(length).unwrap());
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{API}Content-Length: {length}\r\n\r\n");
    let range = format!("{API}Content-Range: bytes 0-{}/{length}\r\n", length - 1);
    // What became of the first try nobody heard.
    let answers = [
        answer("502 Bad Gateway", "", ""),
        answer("412 Precondition Failed", API, ""),
        head,
        answer("206 Partial Content", &range, &bytes),
    ];
    let server = Scripted::answering(&answers);
    let target = open(&server.endpoint(), &Token::generate().unwrap(), Trust::System, &spool, true);
    let finished = object(&target, 10);
    let error = target.put(&chunk_name(&finished), finished).unwrap_err();
    assert!(error.kind == ErrorKind::Corrupt && error.to_string().contains("something else"), "{error}");
}

#[test]
fn a_listing_that_is_not_whole_is_none() {
    let chunk = format!("{}.chunk 12\n", "1".repeat(40));
    let list = |body: &str| {
        let (server, spool) = (Scripted::answering(&[answer("200 OK", API, body)]), TempDir::new().unwrap());
        let target = open(&server.endpoint(), &Token::generate().unwrap(), Trust::System, &spool, false);
        let mut all = Vec::new();
        let listed = target.list(&mut |name, length| {
            all.push((name, length));
            Ok(())
        });
        (listed.is_ok(), all)
    };
    let name = ObjectName::parse(chunk.split(' ').next().unwrap()).unwrap();
    assert_eq!(list("end 0\n"), (true, vec![]));
    assert_eq!(list(&format!("{chunk}end 1\n")), (true, vec![(name, 12)]));
    assert_eq!(list("of-a-later-version 5\nend 1\n"), (true, vec![]));
    for cut in [
        String::new(),
        chunk.clone(),
        format!("{chunk}end 1"),
        format!("{chunk}end 2\n"),
        format!("{chunk}{chunk}end 1\n"),
        format!("{chunk}1111"),
        "end \n".into(),
        "nonsense\nend 1\n".into(),
        format!("{} 1\nend 1\n", "x".repeat(100_000)),
    ] {
        assert_eq!(list(&cut), (false, vec![]), "{cut:.100}");
    }
}
