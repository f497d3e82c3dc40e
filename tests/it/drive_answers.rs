//! What Google Drive might answer and should not, by a server that answers as it was told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use brackup::provider::Endpoint;
use brackup::target::{Error, ErrorKind, GoogleDrive, ObjectName, Target as _, Way};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::conformance::{chunk_name, object};
use crate::support::drive::{client, configure, place, write_login};
use crate::support::{Program, Scripted, Tree, answer, code, stderr};

const NAMES: [&str; 2] =
    ["1111111111111111111111111111111111111111.chunk", "2222222222222222222222222222222222222222.chunk"];

fn says(value: &Value) -> String {
    answer("200 OK", "", &value.to_string())
}

fn token() -> String {
    says(&json!({"access_token": "ya29.hush", "expires_in": 3599, "token_type": "Bearer"}))
}

fn file(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "size": "7", "createdTime": "2026-11-26T00:00:00.000Z"})
}

fn page(files: &[Value], next: Option<&str>) -> String {
    says(&json!({"files": files, "nextPageToken": next}))
}

/// The folder, as it is found.
fn folder() -> String {
    page(&[json!({"id": "F", "name": "nas"}), json!({"id": "B", "name": "Backups"})], None)
}

/// A folder behind these answers, which nobody waits for when it has to be tried again.
fn scripted(answers: &[String]) -> (Scripted, GoogleDrive, TempDir) {
    let home = TempDir::new().unwrap();
    let server = Scripted::answering(answers);
    let login = write_login(home.path(), "1//hush");
    let way = Way::until(Arc::new(AtomicBool::new(true)));
    let spool = home.path().join("spool");
    let target = GoogleDrive::open(place(&server.endpoint(), "nas"), client(), login, spool, way).unwrap();
    (server, target, home)
}

fn listed(answers: &[String]) -> (Result<Vec<String>, Error>, usize) {
    let (server, target, _home) = scripted(&[&[token(), folder()], answers].concat());
    let mut names = Vec::new();
    let listed = target.list(&mut |name, length| {
        assert_eq!(length, 7);
        names.push(name.to_string());
        Ok(())
    });
    (listed.map(|()| names), server.asked().len() - 2)
}

#[test]
fn a_listing_without_an_end_is_given_up() {
    let (names, asked) = listed(&vec![page(&[], Some("same")); 3]);
    assert!(names.unwrap_err().to_string().contains("sends the same page again"));
    assert_eq!(asked, 2);
    let again: Vec<_> = (0..3).map(|number| page(&[file("1", NAMES[0])], Some(&number.to_string()))).collect();
    let (names, asked) = listed(&again);
    assert!(names.unwrap_err().to_string().contains("sends the same page again"));
    assert_eq!(asked, 2);
    let empty: Vec<_> = (0..1100).map(|number| page(&[], Some(&number.to_string()))).collect();
    let (names, asked) = listed(&empty);
    assert!(names.unwrap_err().to_string().contains("pages and no end"));
    assert_eq!(asked, 1001);
}

#[test]
fn half_a_listing_is_none() {
    let (one, two) = (file("1", NAMES[0]), file("2", NAMES[1]));
    let there = says(&json!({"id": "F"}));
    let (names, _) = listed(&[page(std::slice::from_ref(&one), Some("a+b")), page(&[two], None), there]);
    assert_eq!(names.unwrap(), NAMES);
    let long = format!("{{\"files\":[],\"x\":\"{}\"}}", "x".repeat(1_100_000));
    for second in [
        says(&json!({})),
        says(&json!({"files": null})),
        says(&json!({"files": [{"name": NAMES[1]}]})),
        says(&json!({"files": [{"id": "2", "name": NAMES[1]}]})),
        says(&json!({"files": [], "incompleteSearch": true})),
        answer("200 OK", "", "{\"files\":["),
        answer("200 OK", "", &long),
        answer("404 Not Found", "", ""),
        answer("403 Forbidden", "", "{\"error\":{\"errors\":[{\"reason\":\"rateLimitExceeded\"}]}}"),
    ] {
        let (names, _) = listed(&[page(std::slice::from_ref(&one), Some("x")), second.clone()]);
        assert!(names.is_err(), "{}", &second[..second.len().min(300)]);
    }
    let gone = answer("404 Not Found", "", "{\"error\":{\"errors\":[{\"reason\":\"notFound\"}]}}");
    let (names, _) = listed(&[page(&[one], None), gone]);
    assert_eq!(names.unwrap_err().kind, ErrorKind::Unreachable, "the folder went away while it was listed");
}

#[test]
fn only_google_can_say_that_an_object_is_not_there() {
    let stat = |answers: &[String]| {
        let (_server, target, _home) = scripted(&[&[token(), folder()], answers].concat());
        target.stat(&ObjectName::parse(NAMES[0]).unwrap())
    };
    let missing = "{\"error\":{\"errors\":[{\"reason\":\"notFound\"}]}}";
    assert_eq!(stat(&[page(&[], None), says(&json!({"id": "F"}))]).unwrap(), None);
    for (answers, kind) in [
        (vec![page(&[], None), answer("404 Not Found", "", missing)], ErrorKind::Unreachable),
        (vec![page(&[], None), says(&json!({"id": "F", "trashed": true}))], ErrorKind::Unreachable),
        (vec![page(&[], None), says(&json!({"id": "other"}))], ErrorKind::Unreachable),
        (vec![answer("404 Not Found", "", "<html>no such page</html>")], ErrorKind::Unreachable),
        (vec![answer("404 Not Found", "", missing)], ErrorKind::Unreachable),
        (vec![answer("403 Forbidden", "", "")], ErrorKind::Denied),
        (vec![says(&json!({"files": [{"id": "1", "name": NAMES[0]}]}))], ErrorKind::Io),
    ] {
        assert_eq!(stat(&answers).unwrap_err().kind, kind, "{answers:?}");
    }
}

#[test]
fn the_bytes_go_to_no_other_server() {
    let put = |answers: &[String]| {
        let (server, target, _home) = scripted(&[&[token(), folder(), page(&[], None)], answers].concat());
        let finished = object(&target, 100_000);
        (target.put(&chunk_name(&finished), finished), server.asked())
    };
    let elsewhere = Scripted::answering(&[token()]);
    for place in [
        format!("{}/upload/drive/v3/files?upload_id=1", elsewhere.endpoint()),
        "https://127.0.0.1/upload".into(),
        "/upload?upload_id=1".into(),
        "http://127.0.0.1".into(),
        "nonsense".into(),
    ] {
        let (done, asked) = put(&[answer("200 OK", &format!("Location: {place}\r\n"), "")]);
        let error = done.unwrap_err();
        assert!(error.kind == ErrorKind::Denied && error.to_string().contains("not its own"), "{place}: {error}");
        assert_eq!((asked.len(), elsewhere.asked().len()), (4, 0));
    }
    let (done, _) = put(&[answer("200 OK", "", "")]);
    assert!(done.unwrap_err().to_string().contains("no upload was begun"));
}

#[test]
fn a_secret_goes_to_its_own_server_and_with_no_redirect() {
    let elsewhere = Scripted::answering(&[token()]);
    let away = |status: &str| answer(status, &format!("Location: {}/x\r\n", elsewhere.endpoint()), "");
    for answers in
        [vec![away("307 Temporary Redirect")], vec![token(), away("302 Found")], vec![token(), away("308 x")]]
    {
        let (server, target, _home) = scripted(&answers);
        let error = target.identify(None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
        assert_eq!((server.asked().len(), elsewhere.asked().len()), (answers.len(), 0));
    }
    let (logins, files) = (Scripted::answering(&[token()]), Scripted::answering(&[folder(), page(&[], None)]));
    let home = TempDir::new().unwrap();
    let mut there = place(&files.endpoint(), "nas");
    there.oauth = Endpoint::parse(&logins.endpoint()).unwrap();
    let login = write_login(home.path(), "1//hush");
    let way = Way::until(Arc::new(AtomicBool::new(true)));
    let target = GoogleDrive::open(there, client(), login, home.path().into(), way).unwrap();
    assert!(target.stat(&ObjectName::parse(NAMES[0]).unwrap()).is_err());
    let ([login], [first, _]) = (&logins.asked()[..], &files.asked()[..]) else { panic!("other requests") };
    assert!(
        login.starts_with("POST /token HTTP/1.1\r\n") && !login.to_lowercase().contains("authorization"),
        "{login}"
    );
    assert!(first.to_lowercase().contains("authorization: bearer ya29.hush\r\n"), "{first}");
}

#[test]
fn a_token_that_is_none_is_told_and_not_shown() {
    for said in [
        json!({}),
        json!({"access_token": "hush\r\nX: y"}),
        json!({"access_token": ""}),
        json!({"access_token": 7}),
        json!({"access_token": "hush", "expires_in": "soon"}),
    ] {
        let (_server, target, _home) = scripted(&[says(&said)]);
        let error = target.identify(None).unwrap_err();
        let told = format!("{error} {error:?} {target:?} {}", error.hint().unwrap_or_default());
        assert!(!told.contains("hush") && told.contains("answer"), "{told}");
    }
}

#[test]
fn how_much_was_taken_must_be_told() {
    let put = |second: String| {
        let begun = answer("200 OK", "Location: HERE/upload/x?upload_id=1\r\n", "");
        let (server, target, _home) = scripted(&[token(), folder(), page(&[], None), begun, second]);
        let finished = object(&target, 100_000);
        (target.put(&chunk_name(&finished), finished).unwrap_err().to_string(), server.asked())
    };
    for (range, told) in [
        ("Range: bytes=0-9999\r\n", "10000 bytes of "),
        ("", "0 bytes of "),
        ("Range: bytes=0-9999999\r\n", "it is not told how much"),
        ("Range: bytes=5-10\r\n", "it is not told how much"),
        ("Range: bytes=0-18446744073709551615\r\n", "it is not told how much"),
        ("Range: nonsense\r\n", "it is not told how much"),
    ] {
        let (error, asked) = put(answer("308 Resume Incomplete", range, ""));
        assert!(error.contains(told), "{range}: {error}");
        let head = asked[4].to_lowercase();
        assert!(head.starts_with("put /upload/x?upload_id=1 ") && head.contains("content-range: bytes 0-"), "{head}");
    }
    for said in [json!({}), json!({"id": ""})] {
        let (error, _) = put(says(&said));
        assert!(error.contains("it is not told what was stored"), "{error}");
    }
}

/// Reads the head of a request, which has no body or a short one behind it.
fn asked(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
    let length = head.to_lowercase();
    let length = length.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    head
}

#[test]
fn a_hundred_thousand_names_take_no_memory() {
    const PAGES: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    configure(&program, &format!("http://{}", listener.local_addr().unwrap()), "");
    std::fs::create_dir(program.home().join("keys")).unwrap();
    write_login(&program.home().join("keys"), "1//hush");
    let mut child = program.command(&["list", "disk"]).spawn().unwrap();
    let id = child.id();
    let peak = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (mut pages, mut before, mut after) = (0, 0, 0);
    while pages <= PAGES {
        let Ok((stream, _)) = listener.accept() else {
            assert!(child.try_wait().unwrap().is_none(), "it ended after {pages} pages");
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        let mut stream = BufReader::new(stream);
        let head = asked(&mut stream);
        let body = if head.starts_with("POST /token") {
            token()
        } else if head.contains("mimeType%3D%27") {
            folder()
        } else if pages == PAGES {
            pages += 1;
            after = peak();
            says(&json!({"id": "F"}))
        } else {
            if pages == 10 {
                before = peak();
            }
            pages += 1;
            // As long as Google's own.
            let one = |number: usize| {
                let name = format!("{:040x}.chunk", pages * 1000 + number);
                json!({"id": format!("{number:033}"), "name": name, "size": "64000000", "md5Checksum": "0".repeat(32), "sha1Checksum": &name[..40],
                    "createdTime": "2026-11-26T00:00:00.000Z", "parents": ["F".repeat(33)], "trashed": false})
            };
            let mut files: Vec<_> = (0..1000).map(one).collect();
            files[0]["id"] = format!("{pages:033}").into();
            page(&files, (pages < PAGES).then(|| pages.to_string()).as_deref())
        };
        stream.get_mut().write_all(body.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    eprintln!("a listing of 100,000 names of Google Drive: {after} KiB in all");
    assert!(after.saturating_sub(before) < 2_000, "{before} KiB after 10 pages, {after} KiB after all");
}
