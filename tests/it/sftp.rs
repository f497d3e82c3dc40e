//! SFTP, on servers that nobody here wrote.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::digest::Sha1;
use brackup::provider::SshFolder;
use brackup::target::{ErrorKind, ObjectName, Sftp, Target as _, Way};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms, listed, meta_name, object, read};
use crate::support::{Cut, Cutter, Place as _, Served, Sshd, free_port, new_key, quick, set_mtime};

fn open(at: SshFolder, spool: &TempDir) -> Sftp {
    Sftp::open(at, spool.path().into(), Way::default()).unwrap().at_pace(quick())
}

/// Stages of uploads in a folder.
pub(crate) fn partials(folder: &Path) -> usize {
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".partial")).count()
}

#[test]
fn openssh_conforms() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = temporary.path().join("target");
    let target = open(server.at(&folder), &spool);
    conforms(&target, folder.as_path());
    assert_eq!(server.clients(), 1, "a session is used again");
    drop(target);
    assert_eq!(server.clients(), 0);
    // Below the folder that a session begins in.
    let below = server.folder().join("below");
    conforms(&open(server.at(Path::new("./below")), &spool), below.as_path());
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "nothing stays in the spool");
}

#[test]
fn rclone_conforms() {
    for cache_mode in ["off", "writes"] {
        let Some(server) = Sshd::start_rclone(cache_mode) else { return };
        let spool = TempDir::new().unwrap();
        let served = Served { folder: server.folder().join("served/target"), server: &server };
        conforms(&open(server.at(Path::new("/target")), &spool), &served);
    }
}

#[test]
fn who_is_to_stop_can_still_clean_up() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool, stop) = (TempDir::new().unwrap(), TempDir::new().unwrap(), Arc::new(AtomicBool::new(false)));
    let way = Way::until(stop.clone());
    let target = Sftp::open(server.at(temporary.path()), spool.path().into(), way).unwrap().at_pace(quick());
    let finished = object(&target, 1000);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(target.stat(&name).unwrap_err().kind, ErrorKind::Stopped);
    target.delete(&name).unwrap();
    assert!(!temporary.path().join(name.to_string()).exists());
}

#[test]
fn a_folder_is_listed_over_many_pages() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let target = open(server.at(temporary.path()), &spool);
    target.identify(None).unwrap();
    let mut names: Vec<_> = (0..2500u32).map(|number| ObjectName::Chunk(Sha1::of(&number.to_be_bytes()))).collect();
    for (length, name) in names.iter().enumerate() {
        fs::write(temporary.path().join(name.to_string()), vec![0; length % 7]).unwrap();
    }
    names.sort();
    let listed = listed(&target);
    assert_eq!(listed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(
        listed.iter().map(|(_, length)| length).sum::<u64>(),
        (0..2500u64).map(|length| length % 7).sum::<u64>()
    );
}

#[test]
fn a_stage_that_nobody_wrote_to_for_a_day_is_swept_and_a_younger_one_is_not() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let target = open(server.at(temporary.path()), &spool);
    target.identify(None).unwrap();
    let names = [".stage-1-1.partial", ".stage-1-2.partial", "mine.partial", ".stage-x"];
    let [old, young, foreign, other] = names.map(|name| temporary.path().join(name));
    for path in [&old, &young, &foreign, &other] {
        fs::write(path, b"x").unwrap();
    }
    for path in [&old, &foreign, &other] {
        set_mtime(path, 1_000_000_000, 0);
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    set_mtime(&young, i64::try_from(now - 23 * 3600).unwrap(), 0);
    target.identify(None).unwrap();
    assert!(old.exists(), "a look changes nothing");
    let finished = object(&target, 10);
    target.put(&chunk_name(&finished), finished).unwrap();
    assert_eq!([&old, &young, &foreign, &other].map(|path| path.exists()), [false, true, true, true]);
    assert_eq!(partials(temporary.path()), 2, "nor does looking at the clock leave anything");
}

#[test]
fn what_is_wrong_is_told() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let told = |change: &dyn Fn(&mut SshFolder)| {
        let mut at = server.at(&temporary.path().join("target"));
        change(&mut at);
        let error = open(at, &spool).identify(None).unwrap_err();
        let hint = error.hint().unwrap_or_default();
        (error.kind, format!("{error}; {hint}"))
    };
    let other = server.file("other");
    new_key(&other);
    let (kind, text) = told(&|at| at.identity_file = Some(other.clone()));
    assert!(
        kind == ErrorKind::Refused && text.contains("Permission denied") && text.contains("authorized_keys"),
        "{text}"
    );
    let (kind, text) = told(&|at| at.user = Some("nobody-here".into()));
    assert!(kind == ErrorKind::Refused && text.contains("sftp_user"), "{text}");

    let known = server.file("another-known-hosts");
    fs::write(&known, "").unwrap();
    let (kind, text) = told(&|at| at.known_hosts = Some(known.clone()));
    assert!(
        kind == ErrorKind::Refused && text.contains("is not known; `ssh-keyscan") && text.contains("fingerprint"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&known).unwrap(), "", "nothing is trusted silently");
    let public = fs::read_to_string(other.with_extension("pub")).unwrap();
    fs::write(&known, crate::support::known(server.port(), &public)).unwrap();
    let (kind, text) = told(&|at| at.known_hosts = Some(known.clone()));
    assert!(
        kind == ErrorKind::Refused && text.contains("another one than the one that is known, it shows SHA256:"),
        "{text}"
    );
    assert!(text.contains("in between") && text.contains("ssh-keygen -f"), "{text}");

    let (kind, text) = told(&|at| (at.port, at.known_hosts) = (Some(free_port()), None));
    assert!(kind == ErrorKind::Unreachable && text.contains("Connection refused, 7 times"), "{text}");
    let (kind, text) = told(&|at| at.ssh_command = "/nonexistent/ssh".into());
    assert!(
        kind == ErrorKind::Unreachable && text.contains("no program /nonexistent/ssh") && text.contains("ssh_command"),
        "{text}"
    );
    let (kind, text) = told(&|at| at.ssh_command = "false".into());
    assert!(kind == ErrorKind::Unreachable && text.contains("without a word"), "{text}");

    let (kind, text) = told(&|at| at.path = temporary.path().join("a/b"));
    assert!(kind == ErrorKind::Unreachable && text.contains("the folder above it is not there"), "{text}");
    assert!(!temporary.path().join("a").exists());
    fs::write(temporary.path().join("file"), "").unwrap();
    let (kind, text) = told(&|at| at.path = temporary.path().join("file"));
    assert!(kind == ErrorKind::Unreachable && text.contains("is not a folder"), "{text}");
    assert_eq!(server.clients(), 0);
}

#[test]
fn a_server_without_sftp_is_told() {
    let spool = TempDir::new().unwrap();
    for (lines, part) in [
        ("", "offers no SFTP"),
        // As a start file of a shell does it.
        ("Subsystem sftp echo Welcome to the NAS", "not SFTP: \"Welcome to the NAS\""),
        ("Subsystem sftp exit 7", "ssh ended with 7 and without a word"),
    ] {
        let Some(server) = Sshd::start_with(lines) else { return };
        let error = open(server.at(Path::new("/x")), &spool).identify(None).unwrap_err();
        assert!(error.kind == ErrorKind::Unreachable && error.to_string().contains(part), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_wire_that_is_cut_costs_time_only() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cutter = Cutter::before(server.port());
    let far = || open(server.at_port(cutter.port(), temporary.path()), &spool);
    far().identify(None).unwrap();
    // Before there is a session, in the middle of the bytes, and at each of the answers at the end.
    let mut cuts = vec![vec![Cut::Request(10), Cut::Answer(10), Cut::Request(3000)]];
    cuts.extend([
        vec![Cut::Request(200_000), Cut::Request(1_500_000)],
        vec![Cut::Request(2_900_000), Cut::Answer(6000)],
    ]);
    cuts.extend((0..24).map(|step| vec![Cut::Answer(4000 + 150 * step)]));
    for (number, cuts) in (0..).zip(&cuts) {
        // A connection of its own, which is the one that is cut.
        let target = far();
        let finished = object(&target, 3_000_000);
        let name = chunk_name(&finished);
        cutter.cut(cuts);
        target.put(&name, finished).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&temporary.path().read(&name.to_string()).unwrap())), name, "{cuts:?}");

        let target = far();
        let metafile = object(&target, 10_000);
        let (meta, sha1) = (meta_name(number), metafile.sha1());
        cutter.cut(cuts);
        target.put(&meta, metafile).unwrap();
        cutter.cut(&[]);
        assert_eq!(Sha1::of(&temporary.path().read(&meta.to_string()).unwrap()), sha1, "{cuts:?}");
        assert_eq!(partials(temporary.path()), 0, "{cuts:?}");
        assert_eq!(target.put(&meta, object(&target, 10_000)).unwrap_err().kind, ErrorKind::Exists);
    }
    let (chunks, all): (Vec<_>, Vec<_>) = listed(&far()).into_iter().partition(|(name, _)| name.tells_contents());
    assert_eq!((chunks.len(), all.len()), (cuts.len(), cuts.len()));

    let name = &chunks[0].0;
    let stored = temporary.path().read(&name.to_string()).unwrap();
    let target = far();
    cutter.cut(&[Cut::Answer(4500), Cut::Answer(100_000), Cut::Request(5000), Cut::Answer(2_000_000)]);
    assert!(read(&target, name, 5, u64::MAX) == stored[5..]);
    assert_eq!(cutter.left(), 0);
    let target = far();
    cutter.cut(&[Cut::Answer(6000), Cut::Answer(9000)]);
    assert_eq!(listed(&target).len(), 2 * cuts.len(), "no object is told twice");
    assert_eq!(cutter.left(), 0);
}

#[test]
fn a_wire_that_stands_still_is_cut() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cutter = Cutter::before(server.port());
    let pace = brackup::target::Pace { idle: std::time::Duration::from_secs(3), ..quick() };
    let target = open(server.at_port(cutter.port(), temporary.path()), &spool).at_pace(pace);
    cutter.cut(&[Cut::Hold(1000)]);
    target.identify(None).unwrap();
    drop(target);
    let target = open(server.at_port(cutter.port(), temporary.path()), &spool).at_pace(pace);
    let finished = object(&target, 3_000_000);
    let name = chunk_name(&finished);
    cutter.cut(&[Cut::Hold(1_000_000)]);
    target.put(&name, finished).unwrap();
    assert_eq!(cutter.left(), 0);
    assert!(temporary.path().read(&name.to_string()).is_some());
    assert_eq!((partials(temporary.path()), server.clients()), (0, 1), "and ssh is gone");
}

#[test]
fn an_object_that_changes_while_it_is_read_is_told() {
    let Some(server) = Sshd::start() else { return };
    let (temporary, spool) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cutter = Cutter::before(server.port());
    let target = open(server.at_port(cutter.port(), temporary.path()), &spool);
    target.identify(None).unwrap();
    let finished = object(&target, 3_000_000);
    let name = chunk_name(&finished);
    let path = temporary.path().join(name.to_string());
    target.put(&name, finished).unwrap();
    let whole = fs::read(&path).unwrap();
    let another: &dyn Fn() = &|| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole).unwrap();
        set_mtime(&path, 1_000_000_000, 0);
    };
    let shorter: &dyn Fn() = &|| fs::write(&path, b"short").unwrap();
    for (change, part) in [(another, "became another one"), (shorter, "became shorter")] {
        let target = open(server.at_port(cutter.port(), temporary.path()), &spool);
        cutter.cut(&[Cut::Answer(1_000_000)]);
        let mut reader = target.get(&name, 0, u64::MAX).unwrap();
        reader.read_exact(&mut [0; 1000]).unwrap();
        change();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err().downcast::<brackup::target::Error>().unwrap();
        assert!(error.kind == ErrorKind::Corrupt && error.to_string().contains(part), "{error}");
    }
}
