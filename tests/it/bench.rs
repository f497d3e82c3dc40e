//! `brackup bench`: it leaves everything as it was, however it ends, and what it says has the form that programs expect.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brackup::bench::{self, Options, What};
use brackup::seal::Suite;
use brackup::target::{Filesystem, Target};
use serde_json::Value;

use crate::cli::has_keys;
use crate::program::{Ran, TestBox, is_an_error};
use crate::support::{Call, Fault, How, Mount, Recording, Snapshot, Told, fill, noise, when_root};

/// So short that the smallest amount of each step is measured.
const SHORT: [&str; 2] = ["--seconds", "0.02"];

/// A box with a tree and a backup of it, that is: a target with objects.
fn ready() -> TestBox {
    let test_box = TestBox::ready("auto");
    let tree = test_box.path("tree");
    fs::create_dir_all(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/large"), noise(3, 1_500_000)).unwrap();
    (0..10).for_each(|number| fs::write(tree.join(number.to_string()), "small").unwrap());
    // It is read before what is large: there may be no time for more.
    fs::write(tree.join("folder/diary"), "all work and no play ".repeat(20_000)).unwrap();
    test_box.backup();
    test_box
}

/// What lies in a folder; its own time is that of the last name that came or went.
fn contents(folder: &Path) -> Snapshot {
    Snapshot::of(folder).without("")
}

fn measured(value: &Value) -> Vec<&str> {
    value["measured"].as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect()
}

#[test]
fn it_says_in_json_what_it_measured() {
    let test_box = ready();
    let ran = test_box.brackup([&["bench", "--json", "--from", "tree", "--to", "store"][..], &SHORT].concat()).is(0);
    let value = ran.json();
    let keys = ["command", "interrupted", "cpus", "piece_bytes", "measured", "compressed_to"];
    has_keys(&value, &[&keys[..], &["cipher", "auto_cipher", "faster_cipher", "estimate"]].concat());
    let steps = ["walk", "read small files", "read", "compress", "sha-1", "blake3", "remember"];
    let last = ["seal aes-256-gcm", "seal chacha20-poly1305", "write"];
    assert_eq!(measured(&value), [&steps[..], &last].concat());
    let documented = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md")).unwrap();
    for row in value["measured"].as_array().unwrap() {
        has_keys(row, &["what", "unit", "count", "seconds", "cpu_seconds", "per_second"]);
        assert!(row["count"].as_u64().unwrap() > 0 && row["per_second"].as_f64().unwrap() > 0.0, "{row}");
        assert!(documented.contains(&format!("`{}`", row["what"].as_str().unwrap())), "docs/JSON.md: {row}");
    }
    let estimate = &value["estimate"];
    has_keys(estimate, &["source", "files", "bytes", "whole", "written", "seconds", "slowest"]);
    assert_eq!((estimate["source"].as_str(), estimate["files"].as_u64()), (Some("tree"), Some(12)));
    assert_eq!(estimate["bytes"].as_u64(), Some(1_500_000 + 50 + 420_000));
    assert_eq!((estimate["whole"].as_bool(), estimate["written"].as_bool()), (Some(true), Some(true)));
    assert!(value["compressed_to"].as_f64().unwrap() < 1.0, "the text in the tree gets smaller: {value}");
    assert_eq!(value["cipher"], value["auto_cipher"]);
}

#[test]
fn without_a_configuration_it_measures_what_needs_none() {
    let test_box = TestBox::new();
    fs::remove_file(test_box.path("brackup.conf")).unwrap();
    let home = test_box.path("home");
    let run = |arguments: &[&str]| {
        let mut command = test_box.command();
        Ran::of(&command.env_remove("BRACKUP_CONF").args(arguments).args(SHORT).output().unwrap())
    };
    let value = run(&["bench", "--json"]).is(0).json();
    let all = ["compress", "sha-1", "blake3", "remember", "seal aes-256-gcm", "seal chacha20-poly1305"];
    let sorted = |mut words: Vec<&str>| {
        words.sort_unstable();
        words.join(", ")
    };
    assert_eq!(sorted(measured(&value)), sorted(all.to_vec()));
    assert_eq!(value["estimate"], Value::Null);
    let to = format!("filesystem:{}", home.display());
    assert!(measured(&run(&["bench", "--json", "--to", &to]).is(0).json()).contains(&"write"));
    // A target that is not made yet is not made.
    let to = format!("filesystem:{}/backups", home.display());
    let ran = run(&["bench", "--to", &to]).is(0);
    assert!(ran.err.contains("is not made yet") && ran.out.contains("\nwrite ") && ran.out.contains("cipher = auto"));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    let left: Vec<_> = fs::read_dir(home.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["home"], "state, keys or temporary files were made");
}

#[test]
fn it_leaves_everything_as_it_was() {
    let test_box = ready();
    const STATE: usize = 2;
    let folders = ["store", "tree", "state", "keys"].map(|name| test_box.path(name));
    let before = folders.each_ref().map(|folder| Snapshot::of(folder));
    let ran = test_box.brackup([&["bench", "--from", "tree", "--to", "store"][..], &SHORT].concat()).is(0);
    assert!(ran.out.contains("a first backup of tree (1.8 MiB in 12 files) would take about "), "{}", ran.out);
    contents(&folders[0]).assert_same(&before[0].clone().without(""));
    // A database is filled on the disk of the state, and removed.
    let spooled = |number| if number == STATE { "spool" } else { "" };
    for number in 1..folders.len() {
        let after = Snapshot::of(&folders[number]).without(spooled(number));
        after.assert_same(&before[number].clone().without(spooled(number)));
    }
    assert_eq!(fs::read_dir(test_box.path("state").join("spool")).unwrap().count(), 0);
    let ran = test_box.brackup(["bench", "--from", "tree", "--seconds", "0.02"]).is(0);
    assert!(ran.out.contains("\nwriting is not in it"), "{}", ran.out);
}

#[test]
fn a_signal_ends_it_in_order() {
    let test_box = ready();
    let store = test_box.path("store");
    let (before, around) = (contents(&store), fs::read_dir(test_box.path("")).unwrap().count());
    let mut command = test_box.command();
    // It would go on for ten seconds and more.
    let mut child = command.args(["bench", "--to", "store", "--seconds", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    assert!(said.read_line(&mut out).unwrap() > 0, "no row came");
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    said.read_to_string(&mut out).unwrap();
    assert_eq!((child.wait().unwrap().code(), out.ends_with("interrupted\n")), (Some(130), true), "{out}");
    contents(&store).assert_same(&before);
    assert_eq!(fs::read_dir(test_box.path("")).unwrap().count(), around);
}

#[test]
fn ended_or_failing_while_it_writes_it_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("of somebody"), "else").unwrap();
    let before = contents(folder.path());
    let disk = Filesystem::at(folder.path());
    let bench = |target: &dyn Target, stop: &AtomicBool| {
        let options = Options {
            time: Duration::from_millis(20),
            piece_bytes: 1 << 16,
            chunk_bytes: 1 << 20,
            compression: None,
            suite: Suite::ChaCha20Poly1305,
            source: None,
            target: Some(target),
            spool_dir: folder.path(),
        };
        let report = bench::run(options, stop, &mut |_| {});
        contents(folder.path()).assert_same(&before);
        report
    };
    for at in ["stage", "put"] {
        let stop = AtomicBool::new(false);
        // A signal comes while this is called.
        let signals = |what: &str| {
            stop.fetch_or(what == at, Ordering::Relaxed);
        };
        let told = Told { inner: &disk, begins: &signals, ends: &|_| {} };
        let report = bench(&told, &stop).unwrap();
        // What was put is an object, however short the time was; what was only begun is none.
        assert_eq!((report.interrupted, report.of(What::Write).is_some()), (true, at == "put"), "{at}");
        assert!(report.estimate(Suite::ChaCha20Poly1305, 2, false).is_none());
    }
    for (at, call) in [(1, "stage"), (2, "delete"), (3, "put")] {
        let fault = Fault::over(&disk, at, How::Once(std::io::ErrorKind::TimedOut));
        let report = bench(&fault, &AtomicBool::new(false)).unwrap();
        assert!(report.failed.is_some() && report.of(What::Write).is_none() && report.of(What::SealAes).is_some());
        assert_eq!(fault.failed().as_deref(), Some(call));
    }
    // Each object that was put is deleted, the first one before too, to see whether it may be, and nothing else.
    let recording = Recording::over(&disk);
    bench(&recording, &AtomicBool::new(false)).unwrap();
    let calls = recording.calls();
    let put: Vec<_> =
        calls.iter().filter_map(|call| if let Call::Stored(name) = call { Some(name) } else { None }).collect();
    let mut deleted: Vec<_> =
        calls.iter().filter_map(|call| if let Call::Delete(name) = call { Some(name) } else { None }).collect();
    deleted.dedup();
    assert!(!put.is_empty() && put == deleted && !calls.contains(&Call::Identify), "{calls:?}");
}

#[test]
fn names_and_numbers_that_are_wrong() {
    let test_box = ready();
    is_an_error(test_box.brackup(["bench", "--from", "tre"]), 2, "no source \"tre\"", "did you mean \"tree\"?");
    is_an_error(test_box.brackup(["bench", "--to", "stor"]), 10, "no target \"stor\"", "did you mean \"store\"?");
    let nowhere = "filesystem:/nowhere/at/all";
    is_an_error(
        test_box.brackup(["bench", "--to", nowhere]),
        10,
        "/nowhere/at/all is not there",
        "is the disk mounted?",
    );
    for wrong in ["0", "-1", "x", "601", "NaN"] {
        let ran = test_box.brackup(["bench", &format!("--seconds={wrong}")]);
        assert!(ran.is(2).err.contains("from 0.01 to 600"), "{wrong}");
    }
    fs::remove_dir_all(test_box.path("tree")).unwrap();
    let ran = test_box.brackup([&["bench", "--from", "tree"][..], &SHORT].concat());
    is_an_error(ran, 1, "can't read", "is it mounted?");
}

#[test]
fn targets_that_can_not_be_written_to() {
    if !when_root("full and read-only file systems") {
        return;
    }
    let test_box = TestBox::new();
    let disk = Mount::memory(3 << 20);
    let to = format!("filesystem:{}", disk.at.display());
    let run = || {
        let ran = test_box.brackup([&["bench", "--json", "--to", &to][..], &SHORT].concat());
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        // What has nothing to do with the target is told all the same.
        assert!(ran.out.contains("\"auto_cipher\""), "{}", ran.out);
        Ran { out: String::new(), ..ran }
    };
    // It fills up while the first object is written.
    is_an_error(run(), 1, "No space left", "free some space");
    assert_eq!(fs::read_dir(&disk.at).unwrap().count(), 0);
    fill(&disk.at);
    is_an_error(run(), 1, "No space left", "free some space");
    fs::remove_file(disk.at.join("filler")).unwrap();
    disk.remount("ro");
    is_an_error(run(), 1, "Read-only file system", "not mounted read-only");
    assert_eq!(fs::read_dir(&disk.at).unwrap().count(), 0);
}
