//! Google Drive: names that are no keys, the trash, listings that are late, cut or wrong.

use std::io::Read as _;
use std::sync::Arc;

use brackup::target::{ErrorKind, Target as _, Way};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::conformance::{chunk_name, listed, meta_name, object, read};
use super::drive::{PATH, UPLOAD, count, ready, stores};
use crate::support::Place as _;
use crate::support::drive::{self, Drive};

#[test]
fn several_files_of_one_name() {
    let Some(drive) = Drive::start() else { return };
    let (target, spool) = ready(&drive);
    let name = stores(&target, &drive);
    let (text, folder) = (name.to_string(), drive.at(PATH));
    let bytes = folder.read(&text).unwrap();
    // Older, but not its bytes; younger, and its bytes.
    folder.write_with(&text, b"something else", &json!({"createdTime": "2020-01-01T00:00:00.000Z"}));
    folder.write_with(&text, &bytes, &json!({}));
    let other = drive.target(&drive.endpoint(), PATH, &spool);
    assert_eq!(other.stat(&name).unwrap(), Some(bytes.len() as u64));
    assert!(read(&other, &name, 0, u64::MAX) == bytes);
    assert_eq!(listed(&other), [(name.clone(), bytes.len() as u64)], "it is one object");
    // Another case of letters is another name.
    folder.write_with(&text.to_uppercase(), b"x", &json!({"createdTime": "2020-01-01T00:00:00.000Z"}));
    assert_eq!(other.stat(&name).unwrap(), Some(bytes.len() as u64));
    other.delete(&name).unwrap();
    assert_eq!((folder.ids(&text).len(), folder.ids(&text.to_uppercase()).len()), (0, 1), "all of that name go");
    assert_eq!(other.stat(&name).unwrap(), None);
    assert_eq!(target.stat(&name).unwrap(), None, "what is remembered is only a cache");

    // Two boxes store a metafile at a time: neither has seen the other before.
    let meta = meta_name(1);
    drive.fault(UPLOAD, json!({"races": true}));
    assert_eq!(target.put(&meta, object(&target, 10)).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(folder.read(&meta.to_string()).unwrap(), b"of another box", "and the own one is gone");
    // The same with the target's id: what the other one stored is the id, if it is one.
    folder.remove("brackup-target.id");
    drive.fault(UPLOAD, json!({"races": true}));
    let fresh = drive.target(&drive.endpoint(), PATH, &spool);
    assert_eq!(fresh.identify(None).unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(folder.ids("brackup-target.id").len(), 1);
}

#[test]
fn what_is_in_the_trash_is_not_there() {
    let Some(drive) = Drive::start() else { return };
    let (target, spool) = ready(&drive);
    let name = stores(&target, &drive);
    drive.at(PATH).trash(&name.to_string());
    for target in [&target, &drive.target(&drive.endpoint(), PATH, &spool)] {
        assert_eq!(target.beginning(&name, 1).err().map(|error| error.kind), Some(ErrorKind::NotFound));
        assert_eq!((target.stat(&name).unwrap(), listed(target)), (None, vec![]));
        assert_eq!(target.get(&name, 0, 1).err().map(|error| error.kind), Some(ErrorKind::NotFound));
    }
}

#[test]
fn what_is_stored_may_be_listed_later() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    drive.tell(json!({"op": "set", "late": 3}));
    let finished = object(&target, 1000);
    let (name, length) = (chunk_name(&finished), finished.length());
    target.put(&name, finished).unwrap();
    assert_eq!(target.stat(&name).unwrap(), Some(length), "who has stored it knows");
    assert_eq!(read(&target, &name, 0, u64::MAX).len() as u64, length);
    // Whether a metafile is the only one of its name is known when it is listed.
    target.put(&meta_name(0), object(&target, 10)).unwrap();
    assert_eq!(target.put(&meta_name(0), object(&target, 10)).unwrap_err().kind, ErrorKind::Exists);
    let finished = object(&target, 1000);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    target.delete(&name).unwrap();
    drive.tell(json!({"op": "set", "late": 0}));
    for _ in 0..3 {
        listed(&target);
    }
    assert_eq!(drive.at(PATH).ids(&name.to_string()).len(), 0, "it is deleted before it is listed");
}

#[test]
fn a_listing_is_whole_or_an_error() {
    let Some(drive) = Drive::start() else { return };
    let (target, spool) = ready(&drive);
    drive.tell(json!({"op": "many", "path": PATH, "count": 2500}));
    assert_eq!(listed(&target).len(), 2500);
    assert_eq!(count(&drive.requests(), "GET /drive/v3/files?"), 3, "a thousand a page");
    drive.tell(json!({"op": "set", "page_size": 1}));
    let few = drive.target(&drive.endpoint(), "few", &spool);
    few.identify(None).unwrap();
    let finished = object(&few, 10);
    few.put(&chunk_name(&finished), finished).unwrap();
    for fault in [
        json!({"status": 403, "reason": "insufficientFilePermissions"}),
        json!({"status": 400, "reason": "invalid"}),
        json!({"status": 404, "reason": "notFound"}),
        json!({"status": 500, "times": 7}),
        json!({"incomplete": true, "times": 7}),
    ] {
        let mut second = fault.clone();
        second["after"] = 1.into();
        if fault["times"] != Value::Null {
            // What is tried again is waited for, but by a run that is to stop.
            fails_when_stopped(&drive, &spool, second);
            continue;
        }
        drive.fault("^GET /drive/v3/files\\?.*few|^GET /drive/v3/files\\?q", second);
        assert!(few.list(&mut |_, _| Ok(())).is_err(), "{fault}");
        assert!(few.stat(&meta_name(9)).unwrap().is_none());
    }
}

/// As a run that is told to stop: what would be tried again is tried once.
fn fails_when_stopped(drive: &Drive, spool: &TempDir, mut fault: Value) {
    fault["times"] = 1.into();
    fault["after"] = 2.into();
    let stopped = Way::until(Arc::new(true.into()));
    let login = drive.login(spool.path());
    let target = drive::open(&drive.endpoint(), "few", login, spool, stopped);
    drive.fault("^GET /drive/v3/files\\?q", fault.clone());
    let error = target.list(&mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Io, "{fault}: {error}");
}

#[test]
fn nothing_is_said_of_what_is_not_there_but_by_google() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    let name = stores(&target, &drive);
    for fault in [
        json!({"status": 404, "text": "<html>no such page</html>"}),
        json!({"status": 200, "text": "{}"}),
        json!({"status": 200, "text": r#"{"files":[{"name":"x"}]}"#}),
        json!({"status": 200, "text": r#"{"files":["#}),
    ] {
        // The first is that of what is remembered.
        drive.fault("^GET /drive/v3/files", fault.clone());
        let mut bytes = Vec::new();
        target.get(&name, 0, 10).unwrap().read_to_end(&mut bytes).unwrap_or_default();
        assert!(target.stat(&name).unwrap().is_some());
        // And of what is asked for by its length.
        drive.fault("^GET /drive/v3/files", fault.clone());
        assert!(!matches!(target.stat(&name), Ok(None)), "{fault}");
    }
}
