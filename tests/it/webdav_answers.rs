//! What WebDAV might answer and should not, by a server that answers as it was told to.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::target::{Error, ErrorKind, ObjectName, Target as _, Way, WebDav};
use tempfile::TempDir;

use super::conformance::{chunk_name, meta_name, object};
use super::webdav::{collection, login};
use crate::support::{PASSWORD, Program, Scripted, Tree, USER, answer, code, stderr};

const NAME: &str = "1111111111111111111111111111111111111111.chunk";
const FOLDER: &str = "<D:response><D:href>/nas/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop>\
    <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>";

fn name() -> ObjectName {
    ObjectName::parse(NAME).unwrap()
}

/// A folder behind these answers; `waits`: for second tries.
fn scripted(answers: &[String], waits: bool) -> (Scripted, WebDav, TempDir) {
    scripted_as(answers, waits, |url| url)
}

fn scripted_as(answers: &[String], waits: bool, url: impl Fn(String) -> String) -> (Scripted, WebDav, TempDir) {
    let spool = TempDir::new().unwrap();
    let server = Scripted::answering(answers);
    let place = collection(&url(format!("{}/nas/", server.endpoint())));
    let way = Way::until(Arc::new(AtomicBool::new(!waits)));
    let target = WebDav::open(place, login(USER, PASSWORD), spool.path().into(), way).unwrap();
    (server, target, spool)
}

fn status(status: &str) -> String {
    answer(status, "", "")
}

fn multistatus(more: &str) -> String {
    answer("207 Multi-Status", "", &format!("<D:multistatus xmlns:D=\"DAV:\">{FOLDER}{more}</D:multistatus>"))
}

fn file(href: &str, length: &str) -> String {
    let length = format!("<D:getcontentlength>{length}</D:getcontentlength>");
    let parts = format!("<D:propstat><D:prop>{length}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>");
    format!("<D:response><D:href>{href}</D:href>{parts}</D:response>")
}

fn part(range: &str, lines: &str, body: &str) -> String {
    answer("206 Partial Content", &format!("Content-Range: bytes {range}\r\n{lines}"), body)
}

fn listed(answers: &[String]) -> Result<Vec<(String, u64)>, Error> {
    let (_server, target, _spool) = scripted(answers, answers.len() > 1);
    let mut all = Vec::new();
    target
        .list(&mut |name, length| {
            all.push((name.to_string(), length));
            Ok(())
        })
        .map(|()| all)
}

#[test]
fn half_a_listing_is_none() {
    let ours = file(&format!("/nas/{NAME}"), "7");
    let one = vec![(NAME.to_owned(), 7)];
    let whole = multistatus(&format!("{ours}{}", file("/nas/README", "x")));
    assert_eq!(listed(std::slice::from_ref(&whole)).unwrap(), one);
    // Cut off behind an object of ours, and asked again: nobody hears of it twice.
    let cut = whole[..whole.find("README").unwrap()].to_owned();
    assert_eq!(listed(&[cut.clone(), whole]).unwrap(), one);
    let failing = ours.replace("200 OK", "403 Forbidden");
    for (answer, why) in [
        (cut, ""),
        (multistatus(&file("/other/x", "7")), "which was not asked for"),
        (multistatus(&failing), "no length is told"),
        (multistatus(&file(NAME, "-7")), "no length is told"),
        (
            multistatus(&format!(
                "<D:response><D:href>{NAME}</D:href><D:status>HTTP/1.1 500 x</D:status></D:response>"
            )),
            "500",
        ),
        (answer("207 Multi-Status", "", "<multistatus xmlns=\"DAV:\"/>"), "does not name the folder"),
        (answer("207 Multi-Status", "", "<!DOCTYPE a [<!ENTITY b \"c\">]>"), "document type"),
        (answer("200 OK", "", "<html><body>Welcome to the hotel</body></html>"), "says 200"),
        (status("404 Not Found"), "is not there"),
        (status("405 Method Not Allowed"), "says 405"),
        ("garbage\r\n\r\n".into(), ""),
    ] {
        let error = listed(&[answer]).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn only_a_folder_that_is_there_lacks_an_object() {
    let stat = |answers: &[String]| {
        let (_server, target, _spool) = scripted(answers, false);
        target.stat(&name())
    };
    let none = status("404 Not Found");
    let named = file(&format!("/nas/{NAME}"), "5");
    let named = answer("207 Multi-Status", "", &format!("<D:multistatus xmlns:D=\"DAV:\">{named}</D:multistatus>"));
    assert_eq!(stat(&gone()).unwrap(), None);
    assert_eq!(stat(&[part("0-0/5", "", "x")]).unwrap(), Some(5));
    assert_eq!(stat(&[answer("200 OK", "", "12345")]).unwrap(), Some(5));
    for (answers, kind) in [
        (vec![none.clone(), none.clone()], ErrorKind::Unreachable),
        // Nextcloud says so of what may not be read.
        (vec![none.clone(), multistatus(""), named], ErrorKind::Denied),
        (vec![none.clone(), status("403 Forbidden")], ErrorKind::Denied),
        (vec![none.clone(), answer("200 OK", "", "<html>log in</html>")], ErrorKind::Io),
        (vec![none, multistatus("").replace("<D:collection/>", "")], ErrorKind::Unreachable),
        (vec![part("x", "", "x")], ErrorKind::Io),
        (vec![status("401 Unauthorized")], ErrorKind::Refused),
        (vec![status("507 Insufficient Storage")], ErrorKind::Full),
        (vec![status("423 Locked")], ErrorKind::Unreachable),
        (vec![status("500 Oops")], ErrorKind::Io),
        (vec![status("429 Too Many Requests")], ErrorKind::Unreachable),
        (vec![status("503 In Maintenance")], ErrorKind::Unreachable),
    ] {
        assert_eq!(stat(&answers).unwrap_err().kind, kind, "{answers:?}");
    }
}

#[test]
fn a_part_that_is_too_short_is_gone_on_with_and_another_object_is_not() {
    let read = |answers: &[String]| {
        let (server, target, _spool) = scripted(answers, true);
        let mut bytes = Vec::new();
        let done = target.get(&name(), 0, 100).unwrap().read_to_end(&mut bytes);
        (done.map(|_| bytes), server.asked())
    };
    let first = part("0-4/10", "ETag: W/\"e\"\r\n", "01234");
    // What was weak for the second after it was stored is strong by now.
    let (bytes, asked) = read(&[first.clone(), part("5-9/10", "ETag: \"e\"\r\n", "56789")]);
    assert_eq!(bytes.unwrap(), b"0123456789");
    assert!(asked[1].contains("bytes=5-"), "{}", asked[1]);
    for second in [
        part("5-9/10", "ETag: \"other\"\r\n", "56789"),
        part("5-9/20", "ETag: \"e\"\r\n", "56789"),
        part("0-4/10", "ETag: \"e\"\r\n", "01234"),
        answer("200 OK", "ETag: \"e\"\r\n", "0123456789"),
        status("416 Range Not Satisfiable"),
    ] {
        let error = read(&[first.clone(), second.clone()]).0.unwrap_err();
        let kind = error.get_ref().and_then(|error| error.downcast_ref::<Error>()).map(|error| error.kind);
        assert_eq!(kind, Some(ErrorKind::Corrupt), "{second}: {error}");
    }
}

#[test]
fn a_nonce_that_is_too_old_is_replaced_and_a_wrong_password_is_not_said_again() {
    let asks = |nonce: &str, more: &str| {
        let line = format!("WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"{nonce}\"{more}\r\n");
        answer("401 Unauthorized", &line, "")
    };
    let there = part("0-0/5", "", "x");
    let stat = |answers: &[String]| {
        let (server, target, _spool) = scripted(answers, false);
        let first = target.stat(&name());
        (first.and_then(|_| target.stat(&name())), server.asked())
    };
    let (done, asked) = stat(&[asks("one", ""), there.clone(), asks("two", ", stale=TRUE"), there.clone()]);
    assert_eq!(done.unwrap(), Some(5));
    assert!(!asked[0].to_lowercase().contains("authorization"), "{}", asked[0]);
    for (head, nonce, count) in [(&asked[1], "one", 1), (&asked[2], "one", 2), (&asked[3], "two", 1)] {
        assert!(head.contains(&format!("nonce=\"{nonce}\"")) && head.contains(&format!("nc=0000000{count}")), "{head}");
    }
    // Not every server says why.
    let (done, _) = stat(&[asks("one", ""), there.clone(), asks("two", ""), there]);
    assert_eq!(done.unwrap(), Some(5));
    for more in ["", ", stale=false"] {
        let (done, asked) = stat(&[asks("one", ""), asks("two", more), status("500 x")]);
        assert_eq!((done.unwrap_err().kind, asked.len()), (ErrorKind::Refused, 2));
    }
    let endless: Vec<_> = (0..9).map(|number| asks(&number.to_string(), ", stale=true")).collect();
    assert!(stat(&endless).0.unwrap_err().to_string().contains("again and again"));
}

#[test]
fn a_password_is_not_said_where_it_can_be_heard() {
    let basic = answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
    let answers = [basic.clone(), part("0-0/5", "", "x")];
    // An address of this machine that does not look like one.
    let (server, target, _spool) = scripted_as(&answers, false, |url| url.replace("127.0.0.1", "0.0.0.0"));
    let error = target.stat(&name()).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.hint().unwrap().contains("insecure_http"), "{error}");
    assert!(!server.asked().concat().to_lowercase().contains("authorization"));
    let (server, target, _spool) = scripted(&answers, false);
    assert_eq!(target.stat(&name()).unwrap(), Some(5));
    assert!(server.asked()[1].to_lowercase().contains("authorization: basic "), "{:?}", server.asked());
    let bearer = answer("401 Unauthorized", "WWW-Authenticate: Bearer, Negotiate\r\n", "");
    let (_server, target, _spool) = scripted(&[bearer], false);
    let error = target.stat(&name()).unwrap_err();
    assert!(error.to_string().ends_with("of a kind that is not known here: Bearer, Negotiate"), "{error}");
}

#[test]
fn no_redirect_is_followed() {
    let elsewhere = Scripted::answering(&[]);
    let lines = format!("Location: {}/nas/x?token=secret\r\n", elsewhere.endpoint());
    let (server, target, _spool) = scripted(&[answer("301 Moved Permanently", &lines, "")], false);
    let error = target.identify(None).unwrap_err();
    assert!(error.kind == ErrorKind::Unreachable && error.to_string().contains(&elsewhere.endpoint()), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!((server.asked().len(), elsewhere.asked().len()), (1, 0));
}

/// What a good server says to the probe.
fn probe() -> Vec<String> {
    let (stored, one, two) = (status("201 Created"), part("0-0/1", "", "1"), part("0-0/2", "", "2"));
    let taken = status("412 Precondition Failed");
    let names =
        [stored.clone(), stored.clone(), one.clone(), two.clone(), taken, one.clone(), two, part("1-1/2", "", "2")];
    let removed = std::iter::repeat_n(status("204 No Content"), 3);
    names.into_iter().chain([stored]).chain(gone()).chain([one]).chain(removed).collect()
}

/// What a good server says of an object that is not there.
fn gone() -> [String; 3] {
    [status("404 Not Found"), multistatus(""), status("404 Not Found")]
}

fn put(answers: &[String], waits: bool) -> (Result<(), Error>, Vec<String>) {
    let (server, target, _spool) = scripted(answers, waits);
    let finished = object(&target, 1_000_000);
    let name = chunk_name(&finished);
    (target.put(&name, finished), server.asked())
}

#[test]
fn a_server_that_can_not_be_counted_on_is_found_out_before_anything_is_stored() {
    let (stored, two) = (status("201 Created"), part("0-0/2", "", "2"));
    let gone = gone();
    let page = answer("200 OK", "", "<html>log in first</html>");
    let good = probe();
    for (answers, why) in [
        // One took the place of the other.
        ([&good[..4], std::slice::from_ref(&stored), &gone, &good[2..3]].concat(), "it overwrites a file"),
        ([&good[..4], std::slice::from_ref(&stored), &good[5..7]].concat(), "says that it renamed a file, and did not"),
        ([&good[..7], &[answer("200 OK", "", "22")]].concat(), "does not send parts of files"),
        ([&good[..8], std::slice::from_ref(&stored), &good[2..3], &gone].concat(), "does not rename files"),
        ([&good[..2], &[two.clone(), two]].concat(), "what is stored is not what is there"),
        (vec![page; 4], "what is stored is not what is there"),
    ] {
        let (done, asked) = put(&answers, false);
        let error = done.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().unwrap().contains("docs/TARGETS.md"));
        let asked = asked.concat();
        assert!(!asked.contains(".chunk") && !asked.contains(".stage-"), "{asked}");
    }
}

#[test]
fn a_server_that_does_not_list_what_is_there_is_no_place_for_backups() {
    let (stored, there) = (status("201 Created"), part("0-0/54", "", "x"));
    let none = [status("404 Not Found"), multistatus("")];
    let before = [&none[..], &probe(), &[stored.clone(), there.clone(), stored, there]].concat();
    let id = file("/nas/brackup-target.id", "54");
    for (listed, is_good) in [(multistatus(""), false), (status("403 Forbidden"), false), (multistatus(&id), true)] {
        let text = "brackup target 1\nid: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
        let last = if is_good { answer("200 OK", "", text) } else { status("204 No Content") };
        let (server, target, _spool) = scripted(&[&before[..], &[listed, last]].concat(), false);
        let identified = target.identify(None);
        let asked = server.asked();
        assert_eq!((identified.is_ok(), asked.len()), (is_good, before.len() + 2), "{identified:?}");
        assert!(is_good || asked.last().unwrap().starts_with("DELETE /nas/brackup-target.id"), "{asked:?}");
    }
}

#[test]
fn what_is_not_stored_whole_is_not_stored() {
    let (stored, probe) = (status("201 Created"), probe());
    let expected = |length: u64| part(&format!("0-0/{length}"), "", "x");
    let spool = TempDir::new().unwrap();
    let length = object(&brackup::target::Filesystem::at(spool.path()), 1_000_000).length();
    let with = |answers: &[String]| [&probe, answers].concat();
    let (done, asked) = put(&with(&[stored.clone(), expected(length), stored.clone(), expected(length)]), false);
    done.unwrap();
    let head = asked[probe.len()].to_lowercase();
    for line in ["put /nas/.stage-", "oc-checksum: sha1:", "expect: 100-continue", &format!("content-length: {length}")]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    let head = asked[probe.len() + 2].to_lowercase();
    assert!(head.contains("overwrite: f") && head.contains("destination: http://127.0.0.1:"), "{head}");

    // What came is other than what was sent, and the server tells its digest, as Nextcloud does.
    let other = answer("201 Created", &format!("X-Hash-SHA1: {}\r\n", "0".repeat(40)), "");
    let (done, asked) = put(&with(&[other, status("204 No Content")]), false);
    assert_eq!(done.unwrap_err().kind, ErrorKind::Corrupt);
    let asked = asked[probe.len()..].concat();
    assert!(
        asked.contains("x-hash: sha1") && asked.contains("DELETE /nas/.stage-") && !asked.contains("MOVE"),
        "{asked}"
    );

    // Half of it is there, whatever the server says; the second time all of it is.
    let half = [stored.clone(), expected(5)];
    let (done, _) = put(&with(&half), false);
    assert!(done.unwrap_err().to_string().contains("has 5 bytes of"));
    let whole = [status("204 No Content"), stored.clone(), expected(length), stored.clone(), expected(length)];
    let (done, asked) = put(&with(&[&half[..], &whole].concat()), true);
    done.unwrap();
    let stage = |at: usize| asked[probe.len() + at].lines().next().unwrap().to_owned();
    assert_ne!(stage(0), stage(3), "what a proxy may still hold of the first try does not come over the second");
    // A page to log in on says yes to everything.
    let page = answer("200 OK", "", "<html>Who are you?</html>");
    let gone = gone();
    let (done, _) = put(&with(&[&[stored.clone(), expected(length), page][..], &gone].concat()), false);
    assert!(done.unwrap_err().to_string().contains("says that it is renamed"));
    // It does not know Expect.
    let (done, asked) = put(
        &with(&[status("417 Expectation Failed"), stored.clone(), expected(length), stored.clone(), expected(length)]),
        false,
    );
    done.unwrap();
    assert!(!asked[probe.len() + 1].to_lowercase().contains("expect:"));
    // Somebody else stored one of another length, and one of the same, meanwhile.
    let removed = status("204 No Content");
    for (there, is_same) in [(5, false), (length, true)] {
        let taken =
            [stored.clone(), expected(length), status("412 Precondition Failed"), removed.clone(), expected(there)];
        let (done, _) = put(&with(&taken), false);
        assert_eq!(done.err().map(|error| error.kind), (!is_same).then_some(ErrorKind::Exists));
    }
    for (status_line, kind) in
        [("413 Too Large", ErrorKind::Full), ("507 Full", ErrorKind::Full), ("403 No", ErrorKind::Denied)]
    {
        let (done, _) = put(&with(&[status(status_line), multistatus(""), multistatus("")]), false);
        assert_eq!(done.unwrap_err().kind, kind);
    }
}

#[test]
fn a_metafile_of_another_box_is_told_before_and_after() {
    let (stored, probe, gone) = (status("201 Created"), probe(), gone());
    let put = |answers: &[String]| {
        let (server, target, _spool) = scripted(&[&probe, answers].concat(), false);
        let finished = object(&target, 1_000);
        (target.put(&meta_name(0), finished).map_err(|error| error.kind), server.asked()[probe.len()..].concat())
    };
    let (done, asked) = put(&[part("0-0/5", "", "x")]);
    assert_eq!((done, asked.contains("PUT")), (Err(ErrorKind::Exists), false));
    // Between the look and the new name; the server renamed all the same.
    let spool = TempDir::new().unwrap();
    let length = object(&brackup::target::Filesystem::at(spool.path()), 1_000).length();
    let there = |length: u64| part(&format!("0-0/{length}"), "", "x");
    let before = [&gone[..], &[stored.clone(), there(length), stored]].concat();
    let (done, asked) = put(&[&before[..], &[there(length + 1), status("204 No Content"), there(length + 1)]].concat());
    assert_eq!((done, asked.contains("MOVE")), (Err(ErrorKind::Exists), true));
    let other = "x".repeat(usize::try_from(length).unwrap());
    let (done, _) =
        put(&[&before[..], &[there(length), there(length), part(&format!("0-{}/{length}", length - 1), "", &other)]]
            .concat());
    assert_eq!(done, Err(ErrorKind::Exists), "of the same length");
}

#[test]
fn a_hundred_thousand_names_take_no_memory() {
    const NAMES: u64 = 100_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("webdav:http://{}/nas/", listener.local_addr().unwrap());
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    let child = program.command(&["list", &place]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let peak = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"</propfind>") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    let before = peak();
    write!(stream, "HTTP/1.0 207 Multi-Status\r\n\r\n<D:multistatus xmlns:D=\"DAV:\">{FOLDER}").unwrap();
    let mut sent = 0;
    for number in 0..NAMES {
        let one = file(&format!("/nas/{number:040x}.chunk"), "64000000");
        sent += one.len();
        stream.write_all(one.as_bytes()).unwrap();
    }
    let after = peak();
    assert!(sent > 15_000_000);
    assert!(after - before < 4_000, "{before} KiB, then {after}");
    stream.write_all(b"</D:multistatus>").unwrap();
    drop((stream, listener));
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}
