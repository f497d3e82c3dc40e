//! What answers is not who was meant; and answers that are short, which keep to the rate of a line as long ones do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brackup::target::{ErrorKind, S3, Target as _, Way};
use tempfile::TempDir;

use super::asked_once::webdav;
use super::s3::{access_key, bucket};
use crate::support::{ACCESS_KEY, SECRET_KEY, Scripted, answer};

/// It says 200 to everything.
#[test]
fn a_page_to_log_in_on_is_no_server_of_webdav() {
    let page = answer("200 OK", "Content-Type: text/html\r\n", "<html>Welcome to the hotel. Your room, please.</html>");
    let (server, spool) = (Scripted::answering(&vec![page; 20]), TempDir::new().unwrap());
    let error = webdav(&server.endpoint(), &spool).identify(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.hint().unwrap().contains("`url`"), "{error}: {:?}", error.hint());
    assert_eq!(server.asked().len(), 2, "for the id, and for the folder");
}

/// Of a folder that is there the file is meant.
#[test]
fn an_id_that_is_damaged_is_told_from_that() {
    let found = answer("200 OK", "ETag: \"e\"\r\n", "brackup target 1\nid: nonsense\n");
    let folder = "<multistatus xmlns=\"DAV:\"><response><href>/nas/</href><propstat><prop><resourcetype><collection/></resourcetype>\
                  </prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>";
    let folder = answer("207 Multi-Status", "Content-Type: application/xml\r\n", folder);
    let (server, spool) = (Scripted::answering(&[found, folder]), TempDir::new().unwrap());
    let error = webdav(&server.endpoint(), &spool).identify(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
}

/// Nor is a server that is busy just now another one.
#[test]
fn a_server_that_can_not_say_is_believed() {
    let page = answer("200 OK", "", "<html>nonsense</html>");
    let busy = answer("503 Service Unavailable", "", "");
    let (server, spool) = (Scripted::answering(&[page, busy]), TempDir::new().unwrap());
    let error = webdav(&server.endpoint(), &spool).identify(None).unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
}

/// A listing is as much of the line as what is stored.
#[test]
fn short_answers_keep_to_the_rate_too() {
    let page = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let (server, spool) = (Scripted::answering(&[answer("200 OK", "", page)]), TempDir::new().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let way = Way::default().at_most(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        None
    });
    let key = access_key(ACCESS_KEY, SECRET_KEY);
    let target = S3::open(bucket(&server.endpoint(), "b", ""), key, spool.path().into(), way).unwrap();
    target.list(&mut |_, _| Ok(())).unwrap();
    assert_ne!(asked.load(Ordering::Relaxed), 0, "how fast it may go");
}
