//! The program on both sides of a door: the laptop of the house backs up to the NAS, which can read none of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use brackup::fsutil::Space;
use nix::sys::signal::Signal;

use crate::support::servers::is_there;
use crate::support::{Cut, Cutter, Program, Service, Tree, code, free_port, noise, stderr, wait_until};

/// A NAS that lets a laptop in, and the laptop.
pub(crate) struct House {
    pub(crate) nas: Program,
    pub(crate) laptop: Program,
    pub(crate) tree: Tree,
    port: u16,
    pub(crate) token: String,
    pin: String,
    /// Of the laptop, on the NAS.
    pub(crate) folder: PathBuf,
    /// All that was said by anybody.
    said: String,
}

/// What follows `key = ` in a text.
fn value(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

impl House {
    /// As the documentation says: a section [SERVE], `brackup host add`, and what it prints pasted on both sides.
    pub(crate) fn new() -> (Self, Service) {
        let tree = Tree::new();
        tree.file("text", "some text that nobody else reads\n".repeat(1000));
        tree.file("noise", noise(9, 3_000_000));
        let (nas, laptop) = (Program::new(&tree.root), Program::new(&tree.root));
        let (port, folder) = (free_port(), nas.home().join("laptop"));
        let config = |program: &Program| program.home().join(".brackup.conf");
        fs::write(config(&nas), format!("[SERVE]\nlisten = 127.0.0.1:{port}\n")).unwrap();
        let output = nas.run(&["host", "add", "laptop", "--path", folder.to_str().unwrap(), "--quota", "500GB"]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let sections = String::from_utf8(output.stdout).unwrap();
        let (here, there) = sections.split_once("\n\n").unwrap();
        let written = fs::read_to_string(config(&nas)).unwrap();
        assert!(!written.contains("HOST"), "nothing is written");
        fs::write(config(&nas), format!("{written}{here}\n")).unwrap();
        let mut service = Service::start(nas.command(&["serve"]));
        let pin = value(&service.says("lets 1 host in at ").replace(", tls_pin", "\ntls_pin"), "tls_pin");
        let (_, there) = there.split_once("[TARGET:nas]\n").unwrap();
        laptop.set_target(&format!("{there}tls_pin = {pin}\n"));
        let token = value(there, "token");
        // Once it is there it is printed.
        let output = nas.run(&["host", "add", "desk", "--path", "/x"]);
        assert_eq!(value(&String::from_utf8(output.stdout).unwrap(), "tls_pin"), pin);
        (Self { nas, laptop, tree, port, token, pin, folder, said: String::new() }, service)
    }

    fn heard(&mut self, output: Output) -> Output {
        self.said += &format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        output
    }

    #[track_caller]
    fn laptop(&mut self, arguments: &[&str], expected: i32) -> String {
        let output = self.laptop.run(arguments);
        let output = self.heard(output);
        assert_eq!(code(&output), Some(expected), "{arguments:?}: {}", stderr(&output));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output))
    }

    #[track_caller]
    fn restored(&mut self, prepare: impl Fn(&mut Command), from: &[&str]) {
        let back = Tree::absent();
        let (to, key) = (back.root.to_str().unwrap().to_owned(), self.laptop.key.to_str().unwrap().to_owned());
        let mut command =
            self.laptop.command(&[&["restore", "tree:latest", "--to", &to, "--key", &key], from].concat());
        prepare(&mut command);
        let output = self.heard(command.output().unwrap());
        assert_eq!(code(&output), Some(0), "{from:?}: {}", stderr(&output));
        self.tree.snapshot().assert_same(&back.snapshot());
    }
}

#[test]
fn a_laptop_backs_up_to_a_nas_that_can_read_none_of_it() {
    let (mut house, service) = House::new();
    for number in 0..2 {
        house.tree.file(format!("new-{number}"), "more");
        house.laptop(&["--from=tree", "--to=disk", "-v"], 0);
    }
    house.laptop(&["verify", "disk", "--no-key", "--json"], 0);
    let place = format!("filesystem:{}", house.folder.display());
    for (arguments, listed) in [(&["verify", &*place, "--no-key"][..], 0), (&["list", &*place], 2)] {
        let output = house.nas.run(arguments);
        let output = house.heard(output);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.lines().filter(|line| line.starts_with("tree-20")).count() >= listed, "{told}");
    }
    for entry in fs::read_dir(&house.folder).unwrap().map(|entry| entry.unwrap()) {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(14).any(|part| part == b"that nobody el"), "{:?}", entry.path());
    }
    house.restored(|_| {}, &[]);
    // While nobody asks the disk of the data may sleep.
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", service.pid()))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
    };
    let folder = house.folder.clone();
    wait_until("that nothing there is open", || !open().any(|path| path.starts_with(&folder)));
    house.restored(|_| {}, &["--from", &place]);
    // A new machine: the address, the token, the pin, the secret key.
    fs::remove_file(house.laptop.home().join(".brackup.conf")).unwrap();
    let (url, token, pin) = (format!("brackup://127.0.0.1:{}/", house.port), house.token.clone(), house.pin.clone());
    let with = |command: &mut Command| {
        command.env("BRACKUP_TOKEN", &token).env("BRACKUP_TLS_PIN", &pin);
    };
    house.restored(with, &["--from", &url, "--accept-unsigned"]);
    let (exit, log) = service.end();
    assert!(exit == Some(0) && log.ends_with("brackup: ends"), "{log}");
    house.said += &log;
    assert!(!house.said.contains(&house.token), "{}", house.said);
}

/// As docs/TARGETS.md has it: the laptop may delete nothing through the door, and with a login to the folder it may.
#[test]
fn what_has_become_too_much_goes_by_another_way() {
    let (mut house, service) = House::new();
    let names = |house: &House, end: &str| -> Vec<String> {
        let entries =
            fs::read_dir(&house.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.filter(|name| name.ends_with(end)).collect();
        names.sort();
        names
    };
    house.laptop(&["--from=tree", "--to=disk"], 0);
    let first = names(&house, ".meta");
    house.tree.file("noise", noise(10, 3_000_000));
    house.laptop(&["--from=tree", "--to=disk"], 0);
    let before = names(&house, "");
    for command in [&["prune", "disk", "--keep-last=1"][..], &["gc", "disk", "--grace=0s", "--compact-under=99%"]] {
        let told = house.laptop(command, 1);
        assert!(told.contains("the other box lets nobody delete") && told.contains("docs/TARGETS.md"), "{told}");
    }
    assert_eq!(names(&house, ""), before, "no tombstone says that what is there is gone");
    let config = house.laptop.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[TARGET:folder]\ntype = Filesystem\npath = {}\n", house.folder.display()))
        .unwrap();
    house.laptop(&["--from=tree", "--to=folder"], 0);
    house.laptop(&["prune", "folder", "--keep-last=1"], 0);
    for _ in 0..2 {
        house.laptop(&["gc", "folder", "--grace=0s"], 0);
    }
    assert!(names(&house, ".meta").len() == 1 && !names(&house, ".meta").contains(&first[0]));
    assert!(names(&house, ".chunk").len() < before.iter().filter(|name| name.ends_with(".chunk")).count());
    house.laptop(&["--from=tree", "--to=disk"], 0);
    house.laptop(&["verify", "disk", "--no-key"], 0);
    house.restored(|_| {}, &["--from=disk"]);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_host_that_is_added_has_a_quota() {
    let tree = Tree::new();
    let nas = Program::new(&tree.root);
    let free = || Space::at(nas.home()).unwrap().free;
    let add = |path: &Path, more: &[&str]| {
        let output = nas.run(&[&["host", "add", "laptop", "--path", path.to_str().unwrap()], more].concat());
        (code(&output), format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output)))
    };
    let before = free();
    let (exit, told) = add(&nas.home().join("laptop"), &[]);
    let quota = brackup::config::parse_size(&value(&told, "quota")).unwrap();
    // Rounded down, of what others write here meanwhile, too.
    assert!(exit == Some(0) && quota <= before.max(free()) / 2 && quota > before.min(free()) / 3, "{quota} {told}");
    assert!(told.starts_with("# for the configuration of this box; the quota is half of what is free"), "{told}");
    let (_, told) = add(&nas.home().join("laptop"), &["--quota", "20MB"]);
    assert!(told.starts_with("# for the configuration of this box\n") && value(&told, "quota") == "20MB", "{told}");
    // The folder above it is that of a disk that is not mounted: nothing is known of it.
    let (exit, told) = add(&nas.home().join("away/laptop"), &[]);
    assert!(exit == Some(0) && told.contains("its disk is not there") && !told.contains("\nquota = "), "{told}");
    let (exit, told) = add(&nas.home().join("laptop"), &["--quota", "much"]);
    assert!(exit == Some(2) && told.contains("--quota is \"much\", expected a size"), "{told}");
}

#[test]
fn a_host_that_is_added_finds_the_box() {
    let tree = Tree::new();
    let nas = Program::new(&tree.root);
    let added = |serve: &str| {
        fs::write(nas.home().join(".brackup.conf"), format!("[SERVE]\n{serve}")).unwrap();
        let output = nas.run(&["host", "add", "laptop", "--path", nas.home().join("laptop").to_str().unwrap()]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = added("listen = 192.168.1.10:8713\n");
    assert!(value(&told, "url") == "https://192.168.1.10:8713/" && !told.contains(".local"), "{told}");
    assert!(told.contains("# tls_pin = what `brackup serve` says"), "{told}");
    // All addresses there are: then it is a name, which not everybody knows.
    let told = added("listen = 0.0.0.0:8713\n");
    let url = value(&told, "url");
    assert!(!url.contains("0.0.0.0") && url.ends_with(":8713/"), "{told}");
    assert_eq!(told.contains("# a name with .local may not be known there"), url.contains(".local"), "{told}");
    // A key of its own, and then, with the same key, a certificate of somebody's, which is renewed with others.
    let port = free_port();
    let own = format!("listen = 127.0.0.1:{port}\n");
    added(&own);
    let mut service = Service::start(nas.command(&["serve"]));
    service.says("lets 0 hosts in at ");
    assert_eq!(service.end().0, Some(0));
    let told = added(&own);
    assert!(value(&told, "tls_pin").starts_with("sha256//"), "{told}");
    let output = Command::new("find").arg(nas.home()).args(["-name", "serve.pem"]).output().unwrap();
    let pem = String::from_utf8(output.stdout).unwrap();
    let told = added(&format!("{own}tls_certificate = {0}\ntls_key = {0}\n", pem.trim()));
    assert!(!told.contains("\ntls_pin") && told.contains("# no tls_pin: who signed the certificate counts"), "{told}");
}

#[test]
fn what_is_wrong_is_told_on_both_sides() {
    let (mut house, mut service) = House::new();
    house.laptop(&["--from=tree", "--to=disk"], 0);
    let names = || {
        let entries = fs::read_dir(&house.folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect::<Vec<_>>()
    };
    let before = names();
    // What would be left is small, and told.
    let output = house.laptop.run(&["target", "check", "disk"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(code(&output) == Some(0) && told.contains("note   an object can be removed: it may not"), "{told}");
    let left: Vec<_> = names().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(left.len() == 1 && left[0].1 < 3_000, "{left:?}");
    let before = names();
    let output = house.laptop.run(&["bench", "--to", "disk", "--seconds", "0.01"]);
    assert!(code(&output) == Some(1) && stderr(&output).contains("lets nobody delete"), "{}", stderr(&output));
    assert_eq!(names().len(), before.len(), "a bench that may not remove what it wrote writes nothing");

    let config = house.laptop.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    let other = format!("{}{}", if house.token.starts_with('A') { 'B' } else { 'A' }, &house.token[1..]);
    for (from, to, exit, words) in [
        (house.token.as_str(), other.as_str(), 1, "`brackup host add` there makes a new one"),
        (house.pin.as_str(), "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 1, "somebody may be in between"),
        (&house.token, "short", 2, "token is none, expected 43 letters"),
    ] {
        fs::write(&config, text.replace(from, to)).unwrap();
        let output = house.laptop.run(&["--from=tree", "--to=disk"]);
        let told = stderr(&output);
        assert!(code(&output) == Some(exit) && told.contains(words), "{told}");
        assert!(!told.contains(to) || to == "short", "{told}");
    }
    service.says("127.0.0.1: refused: GET /v1/objects/brackup-target.id: 401");
    fs::write(&config, text).unwrap();

    // A configuration that is wrong, or a port that is taken, leaves the door as it is.
    let config = house.nas.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}nonsense\n")).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("the configuration of before stays in force");
    house.laptop(&["list", "disk"], 0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = taken.local_addr().unwrap().to_string();
    fs::write(&config, text.replace(&format!("127.0.0.1:{}", house.port), &there)).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("the door stays where it was, for those who are let in now");
    house.laptop(&["list", "disk"], 0);
    // Who is taken out then is out.
    let text_there = text.replace(&format!("127.0.0.1:{}", house.port), &there);
    fs::write(&config, text_there.split("# for").next().unwrap()).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("lets 0 hosts in at ");
    house.laptop(&["list", "disk"], 1);
    fs::write(&config, &text).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("lets 1 host in at ");
    house.laptop(&["list", "disk"], 0);
    // A host that is no longer named, and a door that is no longer wanted.
    fs::write(&config, text.split("# for").next().unwrap()).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("lets 0 hosts in at ");
    house.laptop(&["list", "disk"], 1);
    fs::write(&config, "[BOX]\n").unwrap();
    service.signal(Signal::SIGHUP);
    service.says("there is no [JOB:name]");
    assert!(std::net::TcpStream::connect(("127.0.0.1", house.port)).is_err());
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_signal_ends_it_while_somebody_stores() {
    let (house, service) = House::new();
    let cutter = Cutter::before(house.port);
    let config = house.laptop.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace(&format!(":{}/", house.port), &format!(":{}/", cutter.port()))).unwrap();
    // In the middle of a chunk the line goes dead.
    cutter.cut(&[Cut::Hold(500_000)]);
    let mut backup = house.laptop.command(&["--from=tree", "--to=disk"]).spawn().unwrap();
    let is_stage =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().extension().is_some_and(|end| end == "partial");
    wait_until("a stage", || fs::read_dir(&house.folder).is_ok_and(|mut folder| folder.any(is_stage)));
    let (exit, log) = service.end();
    assert_eq!(exit, Some(0), "{log}");
    let _ = backup.kill();
    backup.wait().unwrap();
    assert!(!fs::read_dir(&house.folder).unwrap().any(is_stage), "nothing half is left");
    let place = format!("filesystem:{}", house.folder.display());
    let output = house.nas.run(&["verify", &place, "--no-key"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

/// The commands of docs/PROTOCOL.md, as they stand there.
#[test]
fn curl_follows_the_protocol() {
    if !is_there(Path::new("/usr/bin/curl"), "curl") {
        return;
    }
    let (house, service) = House::new();
    let text = fs::read_to_string("docs/PROTOCOL.md").unwrap();
    let script = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (folder, object) = (tempfile::tempdir().unwrap(), noise(3, 100_000));
    fs::write(folder.path().join("object"), &object).unwrap();
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder.path())
        .envs([("URL", &*format!("https://127.0.0.1:{}", house.port)), ("TOKEN", &house.token), ("PIN", &house.pin)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", stderr(&output));
    let chunk = format!("{}.chunk 100000\nend 1\n", brackup::digest::Sha1::of(&object));
    assert!(told.contains("\"quota\":536870912000") && told.contains(&chunk), "{told}");
    assert!(fs::read(folder.path().join("part")).unwrap() == object[..100]);
    assert!(fs::read(folder.path().join("whole")).unwrap() == object);
    let output =
        Command::new("sh").args(["-c", "printf %s \"$TOKEN\" | sha256sum"]).env("TOKEN", &house.token).output();
    let digest = String::from_utf8(output.unwrap().stdout).unwrap();
    let config = fs::read_to_string(house.nas.home().join(".brackup.conf")).unwrap();
    assert!(config.contains(digest.split(' ').next().unwrap()), "{digest}");
    assert_eq!(service.end().0, Some(0));
}
