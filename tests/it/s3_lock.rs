//! A bucket that is to lock what is stored: whether it does is asked before anything is, since there are servers that pass over a lock.

use brackup::provider::{Lock, LockMode};
use brackup::target::{Error, ErrorKind, Target as _};

use super::conformance::{chunk_name, object};
use super::s3_answers::{STORED, scripted_with};
use crate::support::answer;

const LOCK: Option<Lock> = Some(Lock { days: 30, mode: LockMode::Governance });
const ENABLED: &str = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";

fn stored(told: &str) -> (Result<(), Error>, Vec<String>) {
    let done = answer("200 OK", STORED, "");
    let lock = Some(Lock { days: 30, mode: LockMode::Governance });
    let (server, s3, _spool) =
        scripted_with(&[told.to_owned(), done.clone(), done], false, |bucket| bucket.lock = lock);
    let put = || {
        let finished = object(&s3, 1000);
        s3.put(&chunk_name(&finished), finished)
    };
    (put().and_then(|()| put()), server.asked())
}

fn refusal(status: &str, code: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

fn configuration(inside: &str) -> String {
    answer("200 OK", "", &format!("<ObjectLockConfiguration>{inside}</ObjectLockConfiguration>"))
}

#[test]
fn a_bucket_that_locks_nothing_is_found_out() {
    for told in [
        refusal("501 Not Implemented", "NotImplemented"),
        refusal("405 Method Not Allowed", "MethodNotAllowed"),
        refusal("404 Not Found", "ObjectLockConfigurationNotFoundError"),
        refusal("404 Not Found", "NoSuchObjectLockConfiguration"),
        refusal("400 Bad Request", "InvalidRequest"),
        configuration(""),
        answer("200 OK", "", "<ObjectLockConfiguration/>"),
        configuration("<ObjectLockEnabled>Disabled</ObjectLockEnabled>"),
        // A server that does not know the question lists the bucket.
        answer("200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
    ] {
        let (done, asked) = stored(&told);
        let error = done.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{told}: {error}");
        assert!(error.hint().unwrap_or_default().contains("`object_lock`"), "{told}: {error}");
        assert!(asked.len() == 1 && asked[0].starts_with("GET /b/?object-lock= "), "{asked:?}");
    }
    for told in [refusal("404 Not Found", "NoSuchBucket"), answer("200 OK", "", "<html>log in first</html>")] {
        assert_eq!(stored(&told).0.unwrap_err().kind, ErrorKind::Unreachable, "{told}");
    }
}

#[test]
fn who_may_not_ask_stores_nothing() {
    let (done, asked) = stored(&refusal("403 Forbidden", "AccessDenied"));
    let error = done.unwrap_err();
    assert!(error.kind == ErrorKind::Denied && asked.len() == 1, "{error}: {asked:?}");
    assert!(error.hint().unwrap_or_default().contains("s3:GetBucketObjectLockConfiguration"), "{:?}", error.hint());
}

#[test]
fn one_that_locks_is_asked_once() {
    let (done, asked) = stored(&configuration(ENABLED));
    done.unwrap();
    assert!(asked[1].starts_with("PUT ") && asked[2].starts_with("PUT "), "{asked:?}");
    assert!(asked[2].contains("x-amz-object-lock-mode: GOVERNANCE"), "{asked:?}");
}

/// As AWS does where it was turned off meanwhile.
#[test]
fn an_object_whose_lock_is_refused_is_not_stored() {
    let refused = refusal("400 Bad Request", "InvalidRequest");
    let (server, s3, _spool) = scripted_with(&[configuration(ENABLED), refused], false, |bucket| bucket.lock = LOCK);
    let finished = object(&s3, 1000);
    let error = s3.put(&chunk_name(&finished), finished).unwrap_err();
    assert!(error.kind == ErrorKind::Denied && error.hint().unwrap_or_default().contains("`object_lock`"), "{error}");
    assert_eq!(server.asked().len(), 2);
}
