//! The door of a box, by raw requests: what docs/PROTOCOL.md promises, and what comes of those who mean harm.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use brackup::digest::{Sha1, hex};
use brackup::provider::Token;

use crate::support::{Asked, Doorway, Place as _, digested, noise, wait_until};

const META: &str = "tree-2026112400.meta";

fn chunk(bytes: &[u8]) -> String {
    format!("{}.chunk", Sha1::of(bytes))
}

fn is(asked: &Asked, status: u16, words: &str) {
    assert_eq!(asked.status, status, "{} {}", asked.head, asked.text());
    assert!(asked.text().contains(words), "{words} in {}", asked.text());
    assert!(asked.head.contains("\r\nbrackup-api: 1"), "{}", asked.head);
}

#[test]
fn objects_come_back_whole_and_in_parts() {
    let doorway = Doorway::open().with_id();
    let bytes = noise(1, 200_000);
    let path = format!("/v1/objects/{}", chunk(&bytes));
    let get = |range: &str| doorway.ask(&format!("GET {path}"), range, b"");
    is(&get(""), 404, "there is no such object");
    is(&doorway.put(&chunk(&bytes), &bytes), 201, "stored");
    is(&doorway.put(&chunk(&bytes), &bytes), 412, "is there already");
    let all = get("");
    assert!(all.status == 200 && all.body == bytes && all.head.contains("\r\ncontent-length: 200000"), "{}", all.head);
    for (range, from, to) in
        [("5-9", 5, 10), ("199990-", 199_990, 200_000), ("-3", 199_997, 200_000), ("0-", 0, 200_000)]
    {
        let part = get(&format!("Range: bytes={range}\r\n"));
        assert!(part.status == 206 && part.body == bytes[from..to], "{range}: {}", part.head);
        let said = format!("\r\ncontent-range: bytes {from}-{}/200000", to - 1);
        assert!(part.head.contains(&said), "{}", part.head);
    }
    let behind = get("Range: bytes=200000-\r\n");
    assert!(behind.status == 416 && behind.head.contains("\r\ncontent-range: bytes */200000"), "{}", behind.head);
    is(&get("Range: bytes=0-1,3-4\r\n"), 400, "range is to be");
    let head = doorway.ask(&format!("HEAD {path}"), "", b"");
    assert!(head.status == 200 && head.head.contains("\r\ncontent-length: 200000") && head.body.is_empty());
    let list = doorway.ask("GET /v1/objects", "", b"").text();
    assert!(list.contains(&format!("{} 200000\n", chunk(&bytes))) && list.contains("end 1\n"), "{list}");
    let about = doorway.ask("GET /v1/", "", b"").text();
    assert!(
        about.contains("\"api\":1") && about.contains("\"used\":200704") && about.contains("\"quota\":null"),
        "{about}"
    );
}

#[test]
fn a_long_listing_comes_in_pieces_and_ends_with_its_mark() {
    let doorway = Doorway::open().with_id();
    for number in 0..5000 {
        doorway.place().write(&format!("{number:040x}.chunk"), b"x");
    }
    doorway.place().write("README", b"none of ours");
    let list = doorway.ask("GET /v1/objects", "", b"");
    // In chunks (RFC 9112, section 7.1): more than one of them, and the end.
    let text = list.text();
    assert_eq!(text.matches(".chunk 1").count(), 5000);
    assert!(text.ends_with("end 5000\n\r\n0\r\n\r\n") && !text.contains("README"), "{text:.200}");
    assert!(list.head.contains("transfer-encoding: chunked") && !list.head.contains("content-length"));
}

#[test]
fn who_has_no_token_learns_nothing() {
    let doorway = Doorway::open().with_id();
    let bytes = noise(2, 1000);
    doorway.put(&chunk(&bytes), &bytes);
    let (other, right) = (Token::generate().unwrap(), doorway.tokens[0].as_str());
    let of = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let basic = format!("Authorization: Basic {right}\r\n");
    let twice = format!("{}{}", of(right), of(right));
    let digest = of(&hex(&doorway.tokens[0].sha256()));
    let cut = of(&right[1..]);
    for bearer in ["", &of(other.as_str()), &of(""), &basic, &twice, &digest, &cut, &of(&format!("{right}x"))] {
        let mut answers = Vec::new();
        for path in ["/v1/", "/v1/objects", &format!("/v1/objects/{}", chunk(&bytes)), "/v1/objects/..", "/v1/nothing"]
        {
            let asked = doorway.ask_as(bearer, &format!("GET {path}"), "", b"");
            is(&asked, 401, "no host here has this token");
            assert!(asked.head.contains("\r\nwww-authenticate: bearer"), "{}", asked.head);
            let head: Vec<_> = asked.head.lines().filter(|line| !line.starts_with("date:")).collect();
            answers.push((head.join("\n"), asked.body));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    }
    let said = doorway.said();
    assert!(said.contains("127.0.0.1: refused: GET /v1/: 401"), "{said}");
    for token in [right, other.as_str()] {
        assert!(!said.contains(token), "{said}");
    }
}

#[test]
fn a_host_sees_its_own_folder_only() {
    let mut doorway = Doorway::open().with_id();
    let other = doorway.folder.path().join("other");
    doorway.add("desk", &other, None);
    doorway.change();
    let bytes = noise(3, 1000);
    doorway.put(&chunk(&bytes), &bytes);
    let desk = format!("Authorization: Bearer {}\r\n", doorway.tokens[1].as_str());
    let id = b"brackup target 1\nid: ffffffffffffffffffffffffffffffff\n";
    is(&doorway.ask_as(&desk, "PUT /v1/objects/brackup-target.id", &digested(id), id), 201, "");
    is(&doorway.ask_as(&desk, &format!("GET /v1/objects/{}", chunk(&bytes)), "", b""), 404, "no such object");
    assert!(doorway.ask_as(&desk, "GET /v1/objects", "", b"").text().contains("end 0\n"));
    // A token that is not in the configuration any more is none, at the next connection.
    doorway.hosts.remove(1);
    doorway.change();
    is(&doorway.ask_as(&desk, "GET /v1/", "", b""), 401, "");
    is(&doorway.ask("GET /v1/", "", b""), 200, "");
}

#[test]
fn a_token_that_was_replaced_stores_nothing_more_and_reads_nothing_more() {
    let mut doorway = Doorway::open().with_id();
    let large = doorway.place().join(META);
    fs::File::create(large).unwrap().set_len(1 << 28).unwrap();
    let (bytes, length) = (noise(4, 100_000), 100_000 - 1);
    let head = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nHost: nas\r\n{}{lines}\r\n", doorway.bearer());
    let lines = "Connection: close\r\nIf-None-Match: *\r\nContent-Length: 100000\r\n";
    let (mut up, mut down) = (doorway.connect(), doorway.connect());
    up.write_all(head(&format!("PUT /v1/objects/{}", chunk(&bytes)), lines).as_bytes()).unwrap();
    up.write_all(&bytes[..length]).unwrap();
    wait_until("a stage", || doorway.names().len() == 3);
    down.write_all(head(&format!("GET /v1/objects/{META}"), "Connection: close\r\n").as_bytes()).unwrap();
    down.read_exact(&mut [0; 100]).unwrap();
    doorway.hosts[0].token_sha256 = Token::generate().unwrap().sha256();
    doorway.change();
    up.write_all(&bytes[length..]).unwrap();
    is(&Asked::read(up).unwrap(), 503, "this host, its token or its folder is another now");
    let mut rest = Vec::new();
    let _ = down.read_to_end(&mut rest);
    assert!(rest.len() < 1 << 27, "{} bytes came", rest.len());
    wait_until("that the stage goes", || doorway.names() == ["brackup-target.id", META]);
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let doorway = Doorway::open().with_id();
    let outside = doorway.folder.path().join("outside-2026112400.meta");
    fs::write(&outside, b"secret").unwrap();
    let good = "1".repeat(40);
    for name in [
        "../outside-2026112400.meta",
        "%2e%2e/outside-2026112400.meta",
        "..%2foutside-2026112400.meta",
        "%2e%2e%2foutside-2026112400.meta",
        "..\\outside-2026112400.meta",
        "....//outside-2026112400.meta",
        "/outside-2026112400.meta",
        "",
        ".",
        "..",
        ".stage-1-1.partial",
        "brackup-target.id/",
        "./brackup-target.id",
        "README",
        &format!("{good}.chunk%00"),
        &format!("{good}.chunk/x"),
        &format!("%31{}.chunk", &good[1..]),
        &good.to_uppercase().replace('1', "A"),
        &format!("x/{good}.chunk"),
        &format!("{}.meta", "x".repeat(300)),
    ] {
        for method in ["GET", "HEAD", "PUT"] {
            let body: &[u8] = if method == "PUT" { b"harm" } else { b"" };
            let lines = if method == "PUT" { digested(body) } else { String::new() };
            let asked = doorway.ask(&format!("{method} /v1/objects/{name}"), &lines, body);
            assert!(matches!(asked.status, 404 | 400), "{method} {name}: {}", asked.head);
            assert!(!asked.text().contains("secret"));
        }
    }
    // What is refused before it is a request at all.
    for line in ["GET /v1/objects/\u{e9}.meta", "GET ../v1/", "GET v1/objects", "GET /v1/objects/a b.meta"] {
        assert!(matches!(doorway.ask(line, "", b"").status, 400 | 404), "{line}");
    }
    assert_eq!(doorway.names(), ["brackup-target.id"]);
    assert_eq!(fs::read(outside).unwrap(), b"secret");
}

#[test]
fn nobody_writes_over_or_deletes() {
    let doorway = Doorway::open().with_id();
    let bytes = noise(4, 1000);
    let name = chunk(&bytes);
    is(&doorway.put(&name, &bytes), 201, "");
    is(&doorway.ask(&format!("PUT /v1/objects/{META}"), &digested(b"first"), b"first"), 201, "");
    for (path, body) in [
        (META, &b"other"[..]),
        (META, b"first"),
        ("brackup-target.id", b"brackup target 1\nid: 00112233445566778899aabbccddee00\n"),
    ] {
        is(&doorway.ask(&format!("PUT /v1/objects/{path}"), &digested(body), body), 412, "is there already");
    }
    for method in ["DELETE", "POST", "PATCH", "MOVE", "COPY", "OPTIONS", "MKCOL", "TRACE"] {
        for path in [format!("/v1/objects/{name}"), format!("/v1/objects/{META}"), "/v1/objects".into(), "/v1/".into()]
        {
            let asked = doorway.ask(&format!("{method} {path}"), "Overwrite: T\r\n", b"");
            is(&asked, 405, "neither changed nor removed by anybody");
            assert!(asked.head.contains("\r\nallow: get, head"), "{}", asked.head);
        }
    }
    // Without saying that nothing is written over, nothing is stored: who asks is to know.
    let other = noise(5, 10);
    for lines in ["", "If-Match: *\r\n", "If-None-Match: \"x\"\r\n"] {
        let asked = doorway.ask(
            &format!("PUT /v1/objects/{}", chunk(&other)),
            &format!("{lines}Content-Length: 10\r\n"),
            &other,
        );
        is(&asked, 428, "if-none-match: *");
    }
    assert_eq!(doorway.names(), [&name, "brackup-target.id", META]);
    assert_eq!(doorway.place().read(META).unwrap(), b"first");
}

#[test]
fn what_is_not_what_its_name_says_is_not_kept() {
    let doorway = Doorway::open().with_id();
    let (bytes, other) = (noise(6, 300_000), noise(7, 300_000));
    is(&doorway.put(&chunk(&bytes), &other), 422, "another SHA-1 than its name says");
    is(&doorway.put(&chunk(&bytes), &bytes[1..]), 422, "another SHA-1");
    is(&doorway.ask(&format!("PUT /v1/objects/{META}"), &digested(&bytes), &other), 422, "another SHA-256");
    // Also of a chunk, if somebody says one.
    is(&doorway.ask(&format!("PUT /v1/objects/{}", chunk(&other)), &digested(&bytes), &other), 422, "another SHA-256");
    let lines = format!("If-None-Match: *\r\nContent-Length: {}\r\n", bytes.len());
    is(&doorway.ask(&format!("PUT /v1/objects/{META}"), &lines, &bytes), 400, "content-digest: sha-256");
    let id = b"brackup target 1\nid: 0011\n";
    let unmade = Doorway::open();
    is(&unmade.ask("PUT /v1/objects/brackup-target.id", &digested(id), id), 422, "it is no id");
    assert!(!unmade.place().exists());
    is(&unmade.put(&chunk(&bytes), &bytes), 503, "the folder of this host is not there");
    assert_eq!(doorway.names(), ["brackup-target.id"], "nor a stage");
    let said = doorway.said();
    assert!(said.contains("host laptop: refused: PUT") && said.contains("422"), "{said}");
}

#[test]
fn lengths_that_lie_keep_nothing() {
    let doorway = Doorway::open().with_id();
    let bytes = noise(8, 100_000);
    let path = format!("PUT /v1/objects/{}", chunk(&bytes));
    let put = |lines: &str| doorway.ask(&path, &format!("If-None-Match: *\r\n{lines}"), &bytes);
    is(&put(""), 411, "content-length");
    is(&put("Transfer-Encoding: chunked\r\n"), 411, "content-length");
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 100000\r\n",
        "Content-Length: 100000\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(matches!(put(lines).status, 400 | 411), "{lines}");
    }
    for lines in [
        "Content-Length: 100000\r\nContent-Length: 100001\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +100000\r\n",
        "Content-Length: 0x100\r\n",
        "Content-Length: 100000, 100000\r\n",
        "Content-Length: 99999999999999999999999\r\n",
    ] {
        let status = put(lines).status;
        assert!(matches!(status, 400 | 411), "{lines}: {status}");
    }
    is(&put("Content-Length: 2147483649\r\n"), 413, "at most 2147483648 bytes");
    is(&put("Content-Length: 99999\r\n"), 422, "another SHA-1");
    assert_eq!(doorway.names(), ["brackup-target.id"]);
    // Longer than it is: the rest never comes.
    let mut stream = doorway.connect();
    let head = format!(
        "{path} HTTP/1.1\r\nHost: nas\r\n{}If-None-Match: *\r\nContent-Length: 100001\r\n\r\n",
        doorway.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes).unwrap();
    wait_until("a stage", || doorway.names().len() == 2);
    stream.shutdown(Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    wait_until("that the stage goes", || doorway.names() == ["brackup-target.id"]);
    is(&put("Content-Length: 100000\r\n"), 201, "");
}

#[test]
fn what_is_no_request_ends_the_connection_and_nothing_else() {
    let doorway = Doorway::open().with_id();
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "GET / HTTP/1.1\r\nHost nas\r\n\r\n",
    ] {
        let mut stream = doorway.connect();
        stream.write_all(garbage.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let long = doorway.ask("GET /v1/", &format!("X: {}\r\n", "x".repeat(9000)), b"");
    assert_eq!(long.status, 431, "{}", long.head);
    let many = doorway.ask("GET /v1/", &"X: y\r\n".repeat(100), b"");
    assert_eq!(many.status, 431, "{}", many.head);
    assert!(matches!(doorway.ask(&format!("GET /v1/{}", "x".repeat(9000)), "", b"").status, 414 | 431));
    is(&doorway.ask("GET /", "", b""), 404, "the protocol begins at /v1/");
    is(&doorway.ask_as("", "GET /v2/objects", "", b""), 404, "the protocol begins at /v1/");
    is(&doorway.ask("GET /v1/", "", b""), 200, "");
}

#[test]
fn stages_of_those_who_went_away_are_swept_after_a_day() {
    let doorway = Doorway::open().with_id();
    let [old, young] = [".stage-1-1.partial", ".stage-1-2.partial"].map(|name| doorway.place().join(name));
    fs::write(&old, b"old").unwrap();
    fs::write(&young, b"young").unwrap();
    crate::support::set_mtime(&old, 1_000_000_000, 0);
    is(&doorway.ask("GET /v1/objects/brackup-target.id", "", b""), 200, "brackup target 1");
    assert_eq!((old.exists(), young.exists()), (false, true));
}

#[test]
fn stages_of_hosts_that_never_come_again_are_swept_too() {
    let mut doorway = Doorway::open().with_id();
    let other = doorway.folder.path().join("other");
    doorway.add("desk", &other, None);
    fs::create_dir(&other).unwrap();
    fs::copy(doorway.place().join("brackup-target.id"), other.join("brackup-target.id")).unwrap();
    let [old, young] = [".stage-1-1.partial", ".stage-1-2.partial"].map(|name| other.join(name));
    fs::write(&old, b"old").unwrap();
    fs::write(&young, b"young").unwrap();
    crate::support::set_mtime(&old, 1_000_000_000, 0);
    // Not by whoever is a stranger: disks may sleep.
    doorway.reopen();
    is(&doorway.ask_as("", "GET /v1/", "", b""), 401, "");
    assert!(old.exists());
    is(&doorway.ask("GET /v1/", "", b""), 200, "");
    wait_until("that it goes", || !old.exists());
    assert!(young.exists() && other.join("brackup-target.id").exists());
}
