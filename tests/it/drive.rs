//! Google Drive, on a fake that is held to Google's own description: what must be, and every fault that Google tells of.

use std::fs;

use brackup::digest::Sha1;
use brackup::target::{ErrorKind, GoogleDrive, ObjectName, Target as _};
use serde_json::json;
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms, listed, meta_name, object, read};
use crate::support::drive::Drive;
use crate::support::{Cut, Cutter, Place as _};

pub(crate) const PATH: &str = "Backups/nas";
pub(crate) const UPLOAD: &str = "^PUT /upload";

/// A target with an id at a fake, and where its objects wait.
pub(crate) fn ready(drive: &Drive) -> (GoogleDrive, TempDir) {
    let spool = TempDir::new().unwrap();
    let target = drive.target(&drive.endpoint(), PATH, &spool);
    target.identify(None).unwrap();
    drive.requests();
    (target, spool)
}

/// How often it was asked so.
pub(crate) fn count(requests: &[String], begin: &str) -> usize {
    requests.iter().filter(|request| request.starts_with(begin)).count()
}

/// Stores a chunk of 1 MB and looks at what is there then.
pub(crate) fn stores(target: &GoogleDrive, drive: &Drive) -> ObjectName {
    let finished = object(target, 1_000_000);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    let there = drive.at(PATH).read(&name.to_string()).unwrap();
    assert_eq!(ObjectName::Chunk(Sha1::of(&there)), name);
    name
}

#[test]
fn a_folder_of_google_drive_conforms() {
    let Some(drive) = Drive::start() else { return };
    for path in ["nas", "Backups/a 'b' \\ c/nas"] {
        let spool = TempDir::new().unwrap();
        conforms(&drive.target(&drive.endpoint(), path, &spool), &drive.at(path));
        assert_eq!(fs::read_dir(spool.path().join("spool")).unwrap().count(), 0, "nothing stays in the spool");
    }
}

#[test]
fn a_folder_is_made_once_and_found_again() {
    let Some(drive) = Drive::start() else { return };
    let spool = TempDir::new().unwrap();
    let login = drive.login(spool.path());
    drop(login);
    let target = drive.target(&drive.endpoint(), PATH, &spool);
    assert_eq!(target.identify(Some(&"0".repeat(32))).unwrap_err().kind, ErrorKind::OtherTarget);
    assert_eq!(target.list(&mut |_, _| Ok(())).unwrap_err().kind, ErrorKind::Unreachable, "it is not there yet");
    assert_eq!(count(&drive.requests(), "POST /drive"), 0, "who only looks makes nothing");
    // Made, and nobody heard of it: it is looked for before it is made again.
    drive.fault("^POST /drive/v3/files", json!({"lost": true}));
    let id = target.identify(None).unwrap();
    assert_eq!(count(&drive.requests(), "POST /drive/v3/files?"), 2, "Backups, nas");
    assert_eq!(drive.target(&drive.endpoint(), PATH, &spool).identify(Some(&id)).unwrap(), id);
    // A second folder of the name is no other target: the oldest is the one.
    drive.tell(json!({"op": "make_folder", "name": "Backups"}));
    assert_eq!(drive.target(&drive.endpoint(), PATH, &spool).identify(Some(&id)).unwrap(), id);
    // One that another program has made is not seen.
    let other = drive.target(&drive.endpoint(), "nas", &spool);
    assert_eq!(other.identify(Some(&id)).unwrap_err().kind, ErrorKind::OtherTarget);
    // Nor is one in the trash.
    drive.at(PATH).trash_it();
    let error = target.list(&mut |_, _| Ok(())).unwrap_err();
    assert!(error.kind == ErrorKind::Unreachable && error.hint().unwrap().contains("in the trash"), "{error}");
    let refused = object(&target, 10);
    assert_eq!(target.put(&chunk_name(&refused), refused).unwrap_err().kind, ErrorKind::Unreachable);
}

#[test]
fn what_passes_is_waited_for() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    for (on, fault) in [
        ("^GET /drive/v3/files", json!({"status": 403, "reason": "rateLimitExceeded", "times": 3, "retry_after": 1})),
        ("^POST /upload", json!({"status": 403, "reason": "userRateLimitExceeded", "retry_after": 1})),
        (UPLOAD, json!({"status": 429, "reason": "rateLimitExceeded", "retry_after": 1})),
        (UPLOAD, json!({"status": 500})),
        ("^POST /upload", json!({"status": 503})),
        // Nobody's answer but that of something in between.
        ("^POST /upload", json!({"status": 404, "text": "<html>no such page</html>"})),
        ("^GET /drive/v3/files", json!({"status": 200, "text": "<html>log in first</html>"})),
        ("^GET /drive/v3/files", json!({"incomplete": true})),
    ] {
        drive.fault(on, fault);
        stores(&target, &drive);
    }
}

#[test]
fn what_does_not_pass_is_told_at_once() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    for (on, status, reason, kind, hint) in [
        ("^POST /upload", 403, "storageQuotaExceeded", ErrorKind::Full, "free some space"),
        (UPLOAD, 403, "storageQuotaExceeded", ErrorKind::Full, "free some space"),
        ("^POST /upload", 403, "dailyLimitExceeded", ErrorKind::Refused, "a limit of a day"),
        ("^GET", 403, "accessNotConfigured", ErrorKind::Refused, "turn the Google Drive API on"),
        ("^GET", 403, "insufficientPermissions", ErrorKind::Refused, "brackup target login disk"),
        ("^POST /upload", 403, "insufficientFilePermissions", ErrorKind::Denied, "docs/TARGETS.md"),
        ("^POST /token", 401, "invalid_client", ErrorKind::Refused, "see `client_id` and `client_secret`"),
        ("^GET", 302, "x", ErrorKind::Unreachable, "no redirect is followed"),
    ] {
        if on == "^POST /token" {
            drive.tell(json!({"op": "end_access"}));
        }
        drive.fault(on, json!({"status": status, "reason": reason}));
        let finished = object(&target, 10);
        let error = target.put(&chunk_name(&finished), finished).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let told = format!("{error} {error:?} {}", error.hint().unwrap());
        assert!(told.contains(hint) && (reason == "x" || told.contains(reason)), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
    drive.tell(json!({"op": "revoke"}));
    let error = target.stat(&meta_name(0)).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.to_string().contains("invalid_grant"), "{error}");
    assert_eq!(error.hint(), Some("log in again: brackup target login disk"));
}

#[test]
fn a_token_that_ends_is_got_anew_once() {
    let Some(drive) = Drive::start() else { return };
    let (target, spool) = ready(&drive);
    stores(&target, &drive);
    assert_eq!(count(&drive.requests(), "POST /token"), 0, "one is enough for an hour");
    // In the middle of what is done, also of an upload.
    for on in ["^GET", "^POST /upload", UPLOAD] {
        drive.fault(on, json!({"status": 401, "reason": "authError"}));
        stores(&target, &drive);
        assert_eq!(count(&drive.requests(), "POST /token"), 1, "{on}");
    }
    drive.tell(json!({"op": "end_access"}));
    stores(&target, &drive);
    assert_eq!(count(&drive.requests(), "POST /token"), 1);
    // A new one that is refused as well is no reason for a third.
    drive.fault("^GET", json!({"status": 401, "reason": "authError", "times": 2}));
    let error = target.stat(&meta_name(0)).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.hint().unwrap().contains("target login"), "{error}");
    assert_eq!(count(&drive.requests(), "POST /token"), 1);
    // One that has ended by what was told of it is not tried; and what comes to keep in its place is kept.
    drive.tell(json!({"op": "set", "expires_in": 60, "rotates": true}));
    drive.tell(json!({"op": "end_access"}));
    for _ in 0..2 {
        assert_eq!(target.stat(&meta_name(0)).unwrap(), None);
    }
    let requests = drive.requests();
    assert!(count(&requests, "POST /token") >= 4, "{requests:?}");
    let again = drive_with_the_same_login(&drive, &spool);
    assert_eq!(again.stat(&meta_name(0)).unwrap(), None);
    // What can't be kept now is kept when it can: the one before is worth nothing any more.
    let aside = spool.path().with_extension("aside");
    fs::rename(spool.path(), &aside).unwrap();
    fs::write(spool.path(), "").unwrap();
    let error = again.stat(&meta_name(0)).unwrap_err();
    assert!(error.hint().unwrap().contains("key_dir"), "{error}");
    fs::remove_file(spool.path()).unwrap();
    fs::rename(&aside, spool.path()).unwrap();
    assert_eq!(again.stat(&meta_name(0)).unwrap(), None);
    assert_eq!(drive_with_the_same_login(&drive, &spool).stat(&meta_name(0)).unwrap(), None);
}

fn drive_with_the_same_login(drive: &Drive, spool: &TempDir) -> GoogleDrive {
    let login = brackup::target::GrantFile::of(spool.path(), "disk");
    crate::support::drive::open(&drive.endpoint(), PATH, login, spool, brackup::target::Way::default())
}

#[test]
fn an_upload_goes_on_where_it_was() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    // Less than was sent, again and again, and not one of the tries is counted that got farther.
    drive.fault(UPLOAD, json!({"takes": 262_144, "times": 3}));
    stores(&target, &drive);
    assert_eq!(count(&drive.requests(), "POST /upload"), 1, "one upload");
    // Nobody knows of it any more: it begins anew.
    for status in [404, 410] {
        drive.fault(UPLOAD, json!({"gone": status}));
        stores(&target, &drive);
        assert_eq!(count(&drive.requests(), "POST /upload"), 2);
    }
    // Stored, and nobody heard of it: that is what the question is answered with.
    drive.fault(UPLOAD, json!({"lost": true}));
    stores(&target, &drive);
    assert_eq!(count(&drive.requests(), "POST /upload"), 1);
    // The same, and the upload is forgotten: what is there is found.
    drive.fault(UPLOAD, json!({"lost": true, "and_gone": true}));
    stores(&target, &drive);
    assert_eq!(count(&drive.requests(), "POST /upload"), 1);
    drive.fault(UPLOAD, json!({"lost": true, "and_gone": true}));
    target.put(&meta_name(0), object(&target, 300_000)).unwrap();
    assert_eq!(drive.at(PATH).ids(&meta_name(0).to_string()).len(), 1);
}

#[test]
fn what_was_stored_is_what_was_sent_or_it_goes() {
    let Some(drive) = Drive::start() else { return };
    let (target, _spool) = ready(&drive);
    let before = drive.at(PATH).count();
    for (number, fault) in [
        json!({"garbles": true}),
        json!({"garbles": true, "sha1Checksum": null}),
        json!({"sha1Checksum": "00"}),
        json!({"sha1Checksum": null, "md5Checksum": "00"}),
        json!({"size": "1"}),
    ]
    .into_iter()
    .enumerate()
    {
        drive.fault(UPLOAD, fault.clone());
        stores(&target, &drive);
        assert_eq!(drive.at(PATH).count(), before + 1 + number as u64, "{fault}");
        let requests = drive.requests();
        assert_eq!((count(&requests, "DELETE"), count(&requests, "POST /upload")), (1, 2), "{fault}");
    }
    // Its MD5 does if that is all there is; if there is nothing, it is asked for.
    for fault in [json!({"sha1Checksum": null}), json!({"sha1Checksum": null, "md5Checksum": null})] {
        drive.fault(UPLOAD, fault.clone());
        stores(&target, &drive);
        assert_eq!(count(&drive.requests(), "POST /upload"), 1, "{fault}");
    }
    // What never becomes right is an error, and leaves nothing.
    let before = drive.at(PATH).count();
    drive.fault(UPLOAD, json!({"garbles": true, "times": 7}));
    let finished = object(&target, 10);
    let error = target.put(&chunk_name(&finished), finished).unwrap_err();
    assert!(error.to_string().contains("what was stored is not what was sent, 7 times"), "{error}");
    assert_eq!(drive.at(PATH).count(), before);
}

#[test]
fn a_wire_that_is_cut_costs_time_only() {
    let Some(drive) = Drive::start() else { return };
    let spool = TempDir::new().unwrap();
    let cutter = Cutter::before(drive.port());
    let far = || drive.target(&cutter.endpoint(), PATH, &spool);
    far().identify(None).unwrap();
    // One connection has it all: the token, the folder, the name, the beginning, the bytes.
    let requests = [1, 300, 900, 1_400, 2_000, 2_800, 300_000, 700_000, 1_000_000].map(|at| vec![Cut::Request(at)]);
    let several = [vec![Cut::Request(400_000), Cut::Request(300_000), Cut::Answer(1)]];
    let answers = [1, 300, 900, 1_500].map(|at| vec![Cut::Answer(at), Cut::Answer(100)]);
    let unheard = ["POST /token", "GET /drive/v3/files?", "POST /upload", "PUT /upload"];
    let unheard = unheard.map(|asked| vec![Cut::AnswerTo(asked)]);
    let (mut cut, mut wanted) = (0, 0);
    for (number, cuts) in requests.into_iter().chain(several).chain(answers).chain(unheard).enumerate() {
        // A connection of its own, which is the one that is cut.
        let target = far();
        cutter.cut(&cuts);
        let name = stores(&target, &drive);
        let metafile = object(&target, 10_000);
        let (meta, sha1) = (meta_name(u32::try_from(number).unwrap()), metafile.sha1());
        target.put(&meta, metafile).unwrap();
        (cut, wanted) = (cut + usize::from(cutter.left() == 0), wanted + 1);
        cutter.cut(&[]);
        assert_eq!(Sha1::of(&drive.at(PATH).read(&meta.to_string()).unwrap()), sha1, "{cuts:?}");

        let target = far();
        cutter.cut(&[Cut::Answer(1000), Cut::Answer(500_000), Cut::Request(10)]);
        let stored = drive.at(PATH).read(&name.to_string()).unwrap();
        assert!(read(&target, &name, 5, u64::MAX) == stored[5..], "{cuts:?}");
        assert_eq!(cutter.left(), 0);
    }
    assert_eq!(cut, wanted);
    let other = far();
    cutter.cut(&[Cut::Answer(1500), Cut::Answer(3000)]);
    assert_eq!(listed(&other).len(), 2 * wanted, "no object twice, no half one");
    assert_eq!(cutter.left(), 0);
}
