//! What a job of `brackup serve` says of itself: its window, its targets, and what is done around its backups.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use brackup::date::Utc;
use brackup::db::{Db, Deed};
use brackup::outcome::Outcome;
use nix::sys::signal::Signal;

use crate::serve::{
    NIGHTLY, add, comes_back, command, has_ended_well, is_stored, large_tree, serve, small_tree, with_jobs,
};
use crate::support::{Program, Service, Tree, code, has_ended, stderr};

/// A part of the day that is hours away where the services of these tests are, in summer and in winter.
fn closed_window() -> String {
    let now = Utc::from_system(SystemTime::now()).to_unix();
    let hour = |hours: i64| (now / 3600 + hours).rem_euclid(24);
    format!("window = {:02}:00-{:02}:00\n", hour(6), hour(8))
}

#[test]
fn outside_its_window_a_job_waits() {
    let tree = small_tree();
    let closed = closed_window();
    let program = with_jobs(&tree, &format!("{NIGHTLY}{closed}"));
    let mut service = serve(&program);
    let next = service.says("waiting: next is job nightly, 20");
    assert!(next.contains(":00 CE"), "{next}");
    let config = program.home().join(".brackup.conf");
    let open = fs::read_to_string(&config).unwrap().replace(&closed, "window = 00:00-23:59\n");
    fs::write(&config, open).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("job nightly: tree to disk: done");
    let log = has_ended_well(service);
    assert_eq!(log.matches("begins").count(), 1, "{log}");
}

#[test]
fn when_its_window_closes_a_job_is_parked_and_goes_on_in_the_next() {
    let tree = large_tree();
    let program = with_jobs(&tree, NIGHTLY);
    let config = program.home().join(".brackup.conf");
    let without = fs::read_to_string(&config).unwrap();
    let mut service = serve(&program);
    is_stored(&program.folder);
    let windowed = without.replace(NIGHTLY, &format!("{NIGHTLY}{}", closed_window()));
    fs::write(&config, windowed).unwrap();
    service.signal(Signal::SIGHUP);
    service.says("job nightly: its window closes: it is parked");
    service.says("job nightly: tree to disk: parked; ");
    let next = service.says("waiting: next is job nightly, 20");
    assert!(next.contains(":00 CE"), "not at once: {next}");
    fs::write(&config, without).unwrap();
    service.signal(Signal::SIGHUP);
    let done = service.says("job nightly: tree to disk: done: ");
    assert!(!done.split("stored ").nth(1).unwrap().starts_with("24"), "what was stored before is used: {done}");
    has_ended_well(service);
    comes_back(&program, &tree);
}

#[test]
fn several_targets_get_one_backup() {
    let tree = small_tree();
    let program = with_jobs(&tree, &format!("{NIGHTLY}to = second\n"));
    let second = program.home().join("second");
    add(&program, &format!("[TARGET:second]\ntype = Filesystem\npath = {}\n", second.display()));
    let mut service = serve(&program);
    let done = service.says("brackup: job nightly: tree to disk: done: tree-");
    let copied = service.says("brackup: job nightly: tree to second: done: tree-");
    let name = |line: &str| line.split(": ").nth(4).unwrap().to_owned();
    assert_eq!(name(&done), name(&copied), "one backup");
    assert!(copied.contains(": copied 1 backup in 1 chunk, "), "{copied}");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    let stored = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "meta" || kind == "chunk"));
        files.map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    // Sealed twice they would not be the same.
    assert_eq!(stored(&program.folder).len(), 2);
    assert!(stored(&program.folder) == stored(&second));
    comes_back_from(&program, &second, &tree);
}

#[test]
fn of_several_targets_one_that_fails_does_not_stop_the_other() {
    let tree = small_tree();
    let program = with_jobs(&tree, &NIGHTLY.replace("to = disk", "to = second\nto = disk"));
    // A file is where the folder is to be.
    let second = program.home().join("second");
    fs::write(&second, "").unwrap();
    add(&program, &format!("[TARGET:second]\ntype = Filesystem\npath = {}\n", second.display()));
    let mut service = serve(&program);
    service.says("brackup: job nightly: tree to disk: done: tree-");
    service.says("brackup: error: job nightly: failed: tree to second: the target ");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    let run = Db::open(&program.home().join("state")).unwrap().job_runs().unwrap()["nightly"];
    assert_eq!(run.end.map(|end| end.outcome), Some(Outcome::NoSuchTarget));
    comes_back_from(&program, &program.folder, &tree);
}

#[test]
fn commands_are_run_before_and_behind_the_backups() {
    let tree = small_tree();
    let program = with_jobs(&tree, "");
    let noted = program.home().join("noted");
    let made = tree.root.join("made");
    add(
        &program,
        &format!(
            "{NIGHTLY}pre = env | sort > {0}; date > {1}; echo made it\npost = echo ended: $BRACKUP_OUTCOME >> {0}; rm {1}\n",
            noted.display(),
            made.display()
        ),
    );
    let mut command = command(&program, &[]);
    command.env("BRACKUP_TEST_SECRET", "secret");
    let mut service = Service::start(command);
    service.says("brackup: job nightly: pre: made it");
    let done = service.says("brackup: job nightly: tree to disk: done: tree-");
    assert!(done.contains(": 2 files "), "what pre made was there: {done}");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    assert!(!made.exists(), "post was run");
    let noted = fs::read_to_string(noted).unwrap();
    for line in ["BRACKUP_JOB=nightly", "BRACKUP_FROM=tree", "BRACKUP_TO=disk", "ended: done"] {
        assert!(noted.lines().any(|there| there == line), "{line}:\n{noted}");
    }
    assert!(noted.contains("/.brackup.conf") && noted.contains("PATH=") && !noted.contains("secret"), "{noted}");
}

#[test]
fn without_what_pre_does_there_is_no_backup() {
    let tree = small_tree();
    let program = with_jobs(&tree, "");
    let noted = program.home().join("noted");
    let post = format!("echo $BRACKUP_OUTCOME > {}; exit 3", noted.display());
    add(&program, &format!("{NIGHTLY}pre = echo no room >&2; exit 5\npost = {post}\n"));
    let mut service = serve(&program);
    service.says("brackup: job nightly: pre: no room");
    service.says("brackup: error: job nightly: skipped: pre failed: exit status: 5");
    service.says("brackup: error: job nightly: failed: post failed: exit status: 3");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    assert_eq!(fs::read_to_string(noted).unwrap(), "skipped\n");
    assert!(!program.folder.exists() || fs::read_dir(&program.folder).unwrap().count() == 0, "nothing was stored");
    let run = Db::open(&program.home().join("state")).unwrap().job_runs().unwrap()["nightly"];
    assert_eq!(run.end.map(|end| end.outcome), Some(Outcome::Failed));
}

#[test]
fn a_post_that_fails_is_a_problem_of_a_good_run() {
    let tree = small_tree();
    let program = with_jobs(&tree, &format!("{NIGHTLY}post = exit 3\n"));
    let mut service = serve(&program);
    service.says("tree to disk: done: ");
    service.says("brackup: error: job nightly: failed: post failed: exit status: 3");
    service.says("waiting: next is job nightly");
    has_ended_well(service);
    let db = Db::open(&program.home().join("state")).unwrap();
    let run = db.job_runs().unwrap()["nightly"];
    assert_eq!(run.end.map(|end| end.outcome), Some(Outcome::DoneWithProblems));
    let past = db.past().unwrap().pop().unwrap();
    assert_eq!((past.what, past.outcome, &*past.words), (Deed::Post, Outcome::Failed, "post failed: exit status: 3"));
}

#[test]
fn a_command_that_hangs_does_not_keep_the_service() {
    // It does not want to end, nor does what it has started.
    hangs("trap '' TERM; sleep 1000 & echo $$ $! > noted; echo hangs; wait");
    // It does, and what it has started does not.
    hangs("(trap '' TERM; exec sleep 1000) & echo $! > noted; echo hangs; wait");
}

fn hangs(command: &str) {
    let program = with_jobs(&small_tree(), "");
    let noted = program.home().join("noted");
    let pre = command.replace("noted", noted.to_str().unwrap());
    add(&program, &format!("{NIGHTLY}pre = {pre}\n"));
    let mut service = serve(&program);
    service.says("brackup: job nightly: pre: hangs");
    let log = has_ended_well(service);
    assert!(log.contains("brackup: job nightly: parked before its backups began"), "{log}");
    for process in fs::read_to_string(noted).unwrap().split_whitespace() {
        has_ended(process.parse().unwrap());
    }
    let run = Db::open(&program.home().join("state")).unwrap().job_runs().unwrap()["nightly"];
    assert_eq!(run.end.map(|end| end.outcome), Some(Outcome::Interrupted));
}

#[test]
fn a_job_gives_way_and_the_service_does_not() {
    let tree = small_tree();
    let program = with_jobs(&tree, "");
    // Of coreutils and BusyBox: says how nice it is. And the class of its reads and writes, where there is a program for it.
    add(&program, &format!("{NIGHTLY}nice = 15\npre = nice; ionice -p $$ 2>/dev/null || echo idle\n"));
    let mut service = serve(&program);
    // Fields behind the name, which may have anything in it: proc_pid_stat(5).
    let nice = |stat: &str| stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse::<i32>().unwrap();
    let ours = nice(&fs::read_to_string("/proc/self/stat").unwrap());
    service.says(&format!("job nightly: pre: {}", ours.max(15)));
    service.says("job nightly: pre: idle");
    service.says("job nightly: tree to disk: done");
    assert_eq!(nice(&fs::read_to_string(format!("/proc/{}/stat", service.pid())).unwrap()), ours);
    has_ended_well(service);
}

#[test]
fn a_job_that_wakes_no_disk_waits_for_somebody_who_uses_it() {
    let tree = small_tree();
    let program = with_jobs(&tree, &format!("{NIGHTLY}wake = never\n"));
    let device = fs::metadata(&tree.root).unwrap().dev();
    let number = [nix::sys::stat::major(device), nix::sys::stat::minor(device)].map(|number| number.to_string());
    let disks = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let is_counted =
        disks.lines().any(|line| line.split_ascii_whitespace().take(2).eq(number.iter().map(String::as_str)));
    let mut service = serve(&program);
    if is_counted {
        // Whoever uses it: that is seen at the second look, a minute later.
        service.says("brackup: job nightly: waits until its disks are used: it wakes none");
        assert!(!has_ended_well(service).contains("begins"));
        assert!(!program.folder.exists() || fs::read_dir(&program.folder).unwrap().count() == 0);
    } else {
        service.says("job nightly: tree to disk: done");
        has_ended_well(service);
    }
}

/// Of several targets, which one.
fn comes_back_from(program: &Program, folder: &Path, tree: &Tree) {
    let restored = Tree::absent();
    let (from, key) = (format!("filesystem:{}", folder.display()), program.key.to_str().unwrap());
    let to = restored.root.to_str().unwrap();
    let output = program.run(&["restore", "tree:latest", "--from", &from, "--key", key, "--to", to]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&restored.snapshot());
}
