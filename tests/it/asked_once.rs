//! How often a provider is asked for the beginning of an object and its length, and what comes of odd answers to that.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::catalog::{OpenBackup, Trust};
use brackup::monitor::Quiet;
use brackup::restore::Conflict;
use brackup::target::{BackupName, Error, ErrorKind, ObjectName, S3, Target, Way, WebDav, read_ahead};
use tempfile::TempDir;

use super::s3::{access_key, bucket};
use super::webdav::{collection, login};
use crate::support::{
    ACCESS_KEY, Call, Nas, PASSWORD, Program, Recording, SECRET_KEY, Scripted, Tree, USER, answer, noise, stderr,
};

const TEN: &str = "0123456789";

/// Asks for ten bytes of a server with one answer, as a restore does: what it was, and how often it was asked.
fn beginning(answer: &str, open: &dyn Fn(&str, &TempDir) -> Box<dyn Target>) -> (Result<(String, u64), Error>, usize) {
    let spool = TempDir::new().unwrap();
    let server = Scripted::answering(&[answer.to_owned()]);
    let target = open(&server.endpoint(), &spool);
    let name = ObjectName::parse("1111111111111111111111111111111111111111.chunk").unwrap();
    let came = read_ahead(&*target, |target| {
        // So much that it is read ahead.
        let (mut reader, whole) = target.beginning(&name, 1_000_000)?;
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        Ok((text, whole))
    });
    (came, server.asked().len())
}

fn s3(endpoint: &str, spool: &TempDir) -> Box<dyn Target> {
    let once = Way::until(Arc::new(AtomicBool::new(true)));
    let key = access_key(ACCESS_KEY, SECRET_KEY);
    Box::new(S3::open(bucket(endpoint, "b", "nas/"), key, spool.path().into(), once).unwrap())
}

/// Each request has one try.
pub(crate) fn webdav(endpoint: &str, spool: &TempDir) -> Box<dyn Target> {
    let once = Way::until(Arc::new(AtomicBool::new(true)));
    let place = collection(&format!("{endpoint}/nas/"));
    Box::new(WebDav::open(place, login(USER, PASSWORD), spool.path().into(), once).unwrap())
}

#[test]
fn one_answer_tells_both() {
    let part = answer("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\n", TEN);
    // A server that gives all of it.
    let all = answer("200 OK", "ETag: \"e\"\r\n", TEN);
    for open in [&s3 as &dyn Fn(&str, &TempDir) -> Box<dyn Target>, &webdav] {
        for said in [&part, &all] {
            let (came, asked) = beginning(said, open);
            assert_eq!((came.unwrap(), asked), ((TEN.to_owned(), 10), 1), "{said}");
        }
    }
}

#[test]
fn odd_answers_are_no_objects() {
    let login_page = answer("200 OK", "", "<html>log in</html>");
    let not_told = answer("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 0-9/*\r\n", TEN);
    let other_part = answer("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 5-14/15\r\n", TEN);
    for (said, kind) in [
        (login_page, ErrorKind::Unreachable),
        (not_told, ErrorKind::Io),
        (other_part, ErrorKind::Corrupt),
        (answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"), ErrorKind::NotFound),
        (answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"), ErrorKind::Unreachable),
    ] {
        let (came, asked) = beginning(&said, &s3);
        assert_eq!((came.unwrap_err().kind, asked), (kind, 1), "{said}");
    }
    // An object without a byte: nothing of it can be sent.
    let (came, _) = beginning(&answer("416 Range Not Satisfiable", "Content-Range: bytes */0\r\n", ""), &s3);
    assert_eq!(came.unwrap(), (String::new(), 0));
}

/// Who names a backup does not want to know what else there is.
#[test]
fn a_backup_that_is_named_is_not_looked_for() {
    let key = "<Contents><Key>nas/home-2026112700.meta</Key><Size>7</Size></Contents>";
    let page = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{key}</ListBucketResult>");
    let page = answer("200 OK", "", &page);
    let absent = answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    let (server, tree) = (Scripted::answering(&[absent, page.clone(), page]), Tree::new());
    let program = Program::new(&tree.root);
    program.set_target(&format!(
        "type = S3\nbucket = b\nbackup_prefix = nas/\nendpoint = {}\npath_style = yes\n\
         aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}",
        server.endpoint()
    ));
    let key = program.key.to_str().unwrap();
    let restored = program.run(&["restore", "home-2026112800", "--from=disk", "--to=back", "--key", key]);
    let (said, asked) = (stderr(&restored), server.asked());
    assert!(said.contains("there are backups of home, the last of them home-2026112700"), "{said}");
    assert!(asked[0].starts_with("GET /b/nas/home-2026112800.meta "), "{}", asked[0]);
    assert_eq!(asked.len(), 3, "of that source, and of all, to say what is there");

    let (nas, tree) = (Nas::new(), Tree::new());
    let name = BackupName::parse(&nas.backup(&tree).name()).unwrap();
    let (target, spool) = (nas.target(), TempDir::new().unwrap());
    let recording = Recording::over(&target);
    OpenBackup::by_name(&recording, &name, &Trust::default(), spool.path()).unwrap();
    let object = ObjectName::Metafile(name);
    assert_eq!(recording.calls(), [Call::Stat(object.clone()), Call::Get(object)]);
}

/// Files that were there already lie elsewhere than those beside them, in chunks of nights before.
#[test]
fn what_lies_in_two_places_in_turns_is_not_asked_for_in_turns() {
    let nas = Nas::new();
    let tree = Tree::new();
    for number in 0..200 {
        tree.file(format!("{number:03}-old"), noise(number, 20_000));
    }
    nas.backup(&tree);
    for number in 0..200 {
        tree.file(format!("{number:03}-young"), noise(1000 + number, 20_000));
    }
    let name = nas.backup(&tree).name();
    let target = nas.target();
    let recording = Recording::over(&target);
    let back = Tree::absent();
    nas.restore_from(&recording, &name, &back.root, Conflict::Abort, &Quiet::default()).unwrap();
    tree.snapshot().assert_same(&back.snapshot());
    let reads = recording.calls().into_iter().filter(|call| matches!(call, Call::Get(_))).count();
    assert!(reads < 60, "{reads} requests");
}
