//! WebDAV, on servers that nobody here wrote.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use brackup::digest::Sha1;
use brackup::provider::{Collection, Login, Pin, Trust};
use brackup::target::{ErrorKind, ObjectName, Target as _, Way, WebDav};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms, listed, meta_name, object, read};
use crate::support::{
    Cut, Cutter, Dav, Kind, PASSWORD, Place as _, Program, Snapshot, Tree, USER, code, noise, set_mtime, stderr,
};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn collection(url: &str) -> Collection {
    Collection::parse(url).unwrap()
}

pub(crate) fn login(user: &str, password: &str) -> Option<Login> {
    Some(Login { user: user.into(), password: password.to_owned().into() })
}

fn open(collection: Collection, spool: &TempDir) -> WebDav {
    WebDav::open(collection, login(USER, PASSWORD), spool.path().into(), Way::default()).unwrap()
}

/// The suite at `path` of a server, which has its folder there.
fn conforms_at(dav: &Dav, path: &str, folder: &Path) {
    conforms_in(collection(&format!("{}{path}", dav.url())), folder);
}

fn conforms_in(collection: Collection, folder: &Path) {
    let spool = TempDir::new().unwrap();
    conforms(&open(collection, &spool), folder);
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "nothing stays in the spool");
}

#[test]
fn apache_keeps_backups() {
    let Some(dav) = Dav::start(Kind::Apache) else { return };
    conforms_at(&dav, "/basic/one", &dav.data().join("one"));
    conforms_at(&dav, "/digest/a b, \"c\" ü/", &dav.data().join("a b, \"c\" ü"));
    let mut over_tls = collection(&format!("https://127.0.0.1:{}/basic/tls/", dav.tls_port()));
    over_tls.trust = Trust::Pin(Pin::parse(&dav.certificates()[1].pin()).unwrap());
    conforms_in(over_tls, &dav.data().join("tls"));
    what_is_wrong_is_told(&dav);
    only_its_last_folder_is_made(&dav);
    leftovers_of_a_day_ago_go(&dav);
    what_is_locked_is_waited_for(&dav);
    several_at_a_time(&dav);
    the_program_backs_up_and_restores(&dav);
}

#[test]
fn nginx_is_odd_and_keeps_backups() {
    let Some(dav) = Dav::start(Kind::Nginx) else { return };
    conforms_at(&dav, "/one/", &dav.data().join("one"));
    only_its_last_folder_is_made(&dav);
    let spool = TempDir::new().unwrap();
    let small = open(collection(&format!("{}/small/", dav.url())), &spool);
    small.identify(None).unwrap();
    let finished = object(&small, 3_000_000);
    let error = small.put(&chunk_name(&finished), finished).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.hint().unwrap().contains("client_max_body_size"));
    // It says 500 of a folder that went away.
    let finished = object(&small, 10);
    fs::remove_dir_all(dav.data().join("small")).unwrap();
    let error = small.put(&chunk_name(&finished), finished).unwrap_err();
    assert!(error.kind == ErrorKind::Unreachable && error.to_string().contains("is not there"), "{error}");
}

#[test]
fn wsgidav_keeps_backups() {
    let Some(dav) = Dav::start(Kind::Wsgidav) else { return };
    conforms_at(&dav, "/one/", &dav.data().join("one"));
    several_at_a_time(&dav);
    only_its_last_folder_is_made(&dav);
}

#[test]
fn rclone_keeps_backups() {
    let Some(dav) = Dav::start(Kind::Rclone) else { return };
    conforms_at(&dav, "/one/", &dav.data().join("one"));
    only_its_last_folder_is_made(&dav);
}

/// And nothing is left in it but objects.
fn only_its_last_folder_is_made(dav: &Dav) {
    let spool = TempDir::new().unwrap();
    let below = |path: &str| open(collection(&format!("{}{path}", url(dav, "basic"))), &spool);
    let error = below("/not/there/").identify(None).unwrap_err();
    assert!(error.kind == ErrorKind::Unreachable && error.to_string().contains("the folder above it"), "{error}");
    assert!(!dav.data().join("not").exists());
    let target = below("/new");
    let id = target.identify(None).unwrap();
    assert_eq!(below("/new/").identify(Some(&id)).unwrap(), id);
    let finished = object(&target, 100);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    let mut names: Vec<_> = fs::read_dir(dav.data().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected = [name.to_string(), "brackup-target.id".into()];
    expected.sort();
    assert_eq!(names, expected, "neither probes nor stages stay");
    fs::write(dav.data().join("file"), b"").unwrap();
    let error = below("/file").identify(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

/// The share of a server; Apache's is under several names.
fn url(dav: &Dav, way: &str) -> String {
    match dav.kind() {
        Kind::Apache => format!("{}/{way}", dav.url()),
        _ => dav.url(),
    }
}

fn what_is_wrong_is_told(dav: &Dav) {
    let spool = TempDir::new().unwrap();
    open(collection(&format!("{}/basic/told/", dav.url())), &spool).identify(None).unwrap();
    let told = |collection: Collection, user: &str, password: &str| {
        let target = WebDav::open(collection, login(user, password), spool.path().into(), Way::default()).unwrap();
        let error = target.identify(None).unwrap_err();
        let all = format!("{error} {error:?} {target:?} {}", error.hint().unwrap_or_default());
        assert!(!all.contains(PASSWORD) && !all.contains("wrong-word"), "{all}");
        (error.kind, all)
    };
    for way in ["basic", "digest"] {
        let there = format!("{}/{way}/told/", dav.url());
        let (kind, all) = told(collection(&there), USER, "wrong-word");
        assert!(kind == ErrorKind::Refused && all.contains("`user` and `password`"), "{all}");
        let (kind, all) = told(collection(&there), "somebody", PASSWORD);
        assert!(kind == ErrorKind::Refused && all.contains("`user` and `password`"), "{all}");
    }
    let target =
        WebDav::open(collection(&format!("{}/basic/told", dav.url())), None, spool.path().into(), Way::default());
    assert_eq!(target.unwrap().identify(None).unwrap_err().kind, ErrorKind::Refused, "nobody asks");
    let (kind, all) = told(collection(&format!("{}/basic/nowhere/told", dav.url())), USER, PASSWORD);
    assert!(kind == ErrorKind::Unreachable && all.contains("the path in `url`"), "{all}");

    let secure = collection(&format!("{}/basic/told", dav.tls_url()));
    let (kind, all) = told(secure.clone(), USER, PASSWORD);
    assert!(kind == ErrorKind::Refused && all.contains("`tls_ca`"), "{all}");
    let [authority, server] = dav.certificates();
    let (kind, all) = told(secure.clone().trusting(pin(&authority.pin())), USER, PASSWORD);
    assert!(kind == ErrorKind::Refused && all.contains("`tls_pin`") && all.contains(&server.pin()), "{all}");
    for trust in [Trust::File(authority.certificate.clone()), pin(&server.pin())] {
        open(secure.clone().trusting(trust), &spool).identify(None).unwrap();
    }
}

fn pin(text: &str) -> Trust {
    Trust::Pin(Pin::parse(text).unwrap())
}

/// As the storers of a backup do, over connections that count their requests for Digest by themselves.
fn several_at_a_time(dav: &Dav) {
    let spool = TempDir::new().unwrap();
    let target = open(collection(&format!("{}/several/", url(dav, "digest"))), &spool);
    target.identify(None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let put = || {
                for _ in 0..4 {
                    let finished = object(&target, 200_000);
                    target.put(&chunk_name(&finished), finished).unwrap();
                }
            };
            std::thread::Builder::new().spawn_scoped(scope, put).unwrap();
        }
    });
    assert_eq!(listed(&target).len(), 16);
}

fn leftovers_of_a_day_ago_go(dav: &Dav) {
    let spool = TempDir::new().unwrap();
    let (target, folder) = (open(collection(&format!("{}/digest/swept", dav.url())), &spool), dav.data().join("swept"));
    target.identify(None).unwrap();
    let names = [
        &format!(".stage-{}.partial", "1a".repeat(12)),
        &format!(".probe-{}.partial", "2b".repeat(12)),
        &format!(".stage-{}.partial", "3c".repeat(12)),
        ".stage-my.partial",
    ];
    names.iter().for_each(|name| folder.write(name, b"left over"));
    let there = || names.map(|name| folder.join(name).exists());
    for name in [names[0], names[1], names[3]] {
        set_mtime(&folder.join(name), 1_000_000_000, 0);
    }
    assert_eq!(listed(&target), []);
    assert_eq!(there(), [true; 4], "who only reads deletes nothing");
    let finished = object(&target, 10);
    target.put(&chunk_name(&finished), finished).unwrap();
    assert_eq!(there(), [false, false, true, true]);
}

/// A folder that somebody has open, until that is over.
fn what_is_locked_is_waited_for(dav: &Dav) {
    let spool = TempDir::new().unwrap();
    let place = collection(&format!("{}/basic/locked/", dav.url()));
    let target = open(place.clone(), &spool);
    target.identify(None).unwrap();
    let lock = "<lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    let answer = dav.ask("LOCK /locked/ HTTP/1.1\r\nDepth: infinity\r\nContent-Type: application/xml", lock);
    let token = answer.split("<opaquelocktoken:").nth(1).or_else(|| answer.split("Lock-Token: <").nth(1));
    let token = token.and_then(|rest| rest.split('>').next()).unwrap_or_else(|| panic!("{answer}"));
    let token = token.trim_start_matches("opaquelocktoken:");

    let impatient =
        WebDav::open(place, login(USER, PASSWORD), spool.path().into(), Way::until(Arc::new(AtomicBool::new(true))));
    let (impatient, refused) = (impatient.unwrap(), object(&target, 10));
    let error = impatient.put(&chunk_name(&refused), refused).unwrap_err();
    assert!(error.to_string().contains("somebody has locked it"), "{error}");

    // Apache says 207, and 423 inside.
    let count = || ["PUT 207 ", "PUT 423 "].map(|line| dav.accesses().matches(line).count()).iter().sum::<usize>();
    let before = count();
    let finished = object(&target, 1000);
    let name = chunk_name(&finished);
    std::thread::scope(|scope| {
        let putting = std::thread::Builder::new().spawn_scoped(scope, || target.put(&name, finished)).unwrap();
        let began = Instant::now();
        while count() == before && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(count() > before, "it met the lock");
        let answer = dav.ask(&format!("UNLOCK /locked/ HTTP/1.1\r\nLock-Token: <opaquelocktoken:{token}>"), "");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        putting.join().unwrap().unwrap();
    });
    assert_eq!(listed(&target).len(), 1);
}

#[test]
fn a_wire_that_is_cut_costs_time_only() {
    let Some(dav) = Dav::start(Kind::Apache) else { return };
    let spool = TempDir::new().unwrap();
    let cutter = Cutter::before(dav.port());
    let folder = dav.data().join("far");
    let far = || open(collection(&format!("{}/digest/far/", cutter.endpoint())), &spool);
    far().identify(None).unwrap();
    // Over one connection go the probe, the upload, what is looked at, the new name: one is cut in each, and what was done may not be heard.
    let requests = [1, 500, 1_500, 3_000, 4_500, 6_000, 7_500, 100_000, 500_000].map(|at| vec![Cut::Request(at)]);
    let answers = [1, 700, 2_500, 4_500].map(|at| vec![Cut::Answer(at), Cut::Answer(400)]);
    let unheard =
        ["PUT /digest/far/.probe", "MOVE /digest/far/.probe", "PUT /digest/far/.stage", "MOVE /digest/far/.stage"];
    let unheard = unheard.map(|asked| vec![Cut::AnswerTo(asked)]);
    let mut cut = 0;
    for (number, cuts) in requests.into_iter().chain(answers).chain(unheard).enumerate() {
        // A connection of its own, which is the one that is cut.
        let target = far();
        let finished = object(&target, 300_000);
        let name = chunk_name(&finished);
        cutter.cut(&cuts);
        target.put(&name, finished).unwrap();
        let metafile = object(&target, 10_000);
        let (meta, sha1) = (meta_name(u32::try_from(number).unwrap()), metafile.sha1());
        target.put(&meta, metafile).unwrap();
        cut += usize::from(cutter.left() < cuts.len());
        cutter.cut(&[]);
        assert_eq!(Sha1::of(&folder.read(&meta.to_string()).unwrap()), sha1, "{cuts:?}");
        let stored = folder.read(&name.to_string()).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&stored)), name, "{cuts:?}");

        let target = far();
        cutter.cut(&[Cut::Answer(1000), Cut::Answer(150_000), Cut::Request(10)]);
        assert!(read(&target, &name, 5, u64::MAX) == stored[5..], "{cuts:?}");
        assert_eq!(cutter.left(), 0);
    }
    assert_eq!(cut, 17);
    // The new name of a metafile is its own, and nobody heard of it.
    let target = far();
    cutter.cut(&[Cut::AnswerTo("MOVE /digest/far/.stage")]);
    target.put(&meta_name(17), object(&target, 10_000)).unwrap();
    assert_eq!(cutter.left(), 0);
    let other = far();
    cutter.cut(&[Cut::Answer(1500), Cut::Answer(3000)]);
    assert_eq!(listed(&other).len(), 35, "no object twice, no half one");
    assert_eq!(cutter.left(), 0);
    assert_eq!(other.put(&meta_name(0), object(&other, 10_000)).unwrap_err().kind, ErrorKind::Exists);
}

fn the_program_backs_up_and_restores(dav: &Dav) {
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 3_000_000));
    let program = Program::new(&tree.root);
    let place = format!("{}/digest/nas/", dav.tls_url());
    let pin = dav.certificates()[1].pin();
    let word = program.home().join("password");
    fs::write(&word, format!("{PASSWORD}\n")).unwrap();
    let section = |more: &str| {
        program.set_target(&format!("type = WebDAV\nurl = {place}\nuser = {USER}\ntls_pin = {pin}\n{more}\n"));
    };
    section("password = wrong-word");
    let output = program.backup();
    assert!(stderr(&output).contains("`user` and `password`"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("wrong-word") && code(&output) != Some(0));
    section(&format!("password_file = {}", word.display()));
    for _ in 0..2 {
        let output = program.backup();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    let output = program.run(&["verify", "disk", "--no-key"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let before = fs::read_dir(dav.data().join("nas")).unwrap().count();
    let output = program.run(&["target", "check", "disk"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read_dir(dav.data().join("nas")).unwrap().count(), before, "it leaves nothing");
    let output = program.run(&["config", "check"]);
    assert!(!format!("{output:?}").contains(PASSWORD));

    // A new machine: the address, the login, the secret key.
    fs::remove_file(program.home().join(".brackup.conf")).unwrap();
    let to = program.home().join("back");
    let key = program.key.to_str().unwrap();
    let restore = |from: &str| {
        let arguments =
            ["restore", "tree:latest", "--from", from, "--to", to.to_str().unwrap(), "--key", key, "--accept-unsigned"];
        program.command(&arguments)
    };
    let authority = dav.certificates()[0].certificate.to_str().unwrap();
    let output = restore(&place.replace("https://", &format!("webdavs://{USER}:{PASSWORD}@"))).output().unwrap();
    assert!(!stderr(&output).contains(PASSWORD), "{}", stderr(&output));
    assert!(stderr(&output).contains("$BRACKUP_WEBDAV_PASSWORD"), "{}", stderr(&output));
    let mut command = restore(&place.replace("https:", "webdavs:"));
    command.env("BRACKUP_WEBDAV_USER", USER).env("BRACKUP_WEBDAV_PASSWORD", PASSWORD);
    let output = command.output().unwrap();
    assert!(stderr(&output).contains("`tls_ca`"), "who trusts no such certificate is told: {}", stderr(&output));
    let output = command.env("SSL_CERT_FILE", authority).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&Snapshot::of(&to));
}
