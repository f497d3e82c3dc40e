//! The init scripts as they are shipped, started.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use crate::program::serves;
use crate::support::{BoxRoot, Disk, has_ended, runs, tool, when_root};

/// What runs until it is told otherwise.
const SERVING: &str = "trap 'say hup' HUP; trap 'say term; exit 0' TERM; say \"$@\"; while :; do sleep 0.05; done";

/// As whom the tests run: another user only root can become.
fn settings() -> String {
    format!("BRACKUP_USER=\"{}\"\n", if Uid::effective().is_root() { "nobody" } else { "" })
}

#[test]
fn starts_reloads_restarts_and_stops() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING);
    let said = place.service("start").is(0);
    assert_eq!(said.out, "Starting brackup: OK\n");
    place.heard(&format!("serve --config {} --syslog", place.path("etc/brackup/brackup.conf").display()));
    let first = place.pid().unwrap();
    assert_eq!(place.service("start").is(1).out, "Starting brackup: FAIL\n", "it runs already");
    assert!(runs(first));

    assert_eq!(place.service("reload").is(0).out, "Reloading brackup: OK\n");
    place.heard("hup");
    assert_eq!(place.service("restart").is(0).out, "Stopping brackup: OK\nStarting brackup: OK\n");
    place.heard("term");
    let second = place.pid().unwrap();
    assert!(first != second && !runs(first) && runs(second));

    assert_eq!(place.service("stop").is(0).out, "Stopping brackup: OK\n");
    assert!(!runs(second) && place.pid().is_none());
    place.service("stop").is(1);
    place.service("reload").is(1);
    place.service("status").is(1);
}

#[test]
fn is_behind_all_others() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING);
    place.service("start").is(0);
    let pid = place.pid().unwrap();
    let about = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let stat = about("stat");
    // proc(5): the 19th field is the nice value; the name, which may hold blanks, is the second.
    let nice = stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap();
    assert_eq!((nice, about("oom_score_adj").trim()), ("19", "500"));
    let class = Command::new(place.path("bin/ionice")).args(["-p", &pid.to_string()]).output().unwrap();
    assert!(String::from_utf8_lossy(&class.stdout).starts_with("idle"), "{class:?}");
    if Uid::effective().is_root() {
        assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 65534, "it runs as nobody");
    }
    place.service("stop").is(0);
}

#[test]
fn a_wrong_configuration_is_not_started() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING).with_log();
    let right = fs::read_to_string(place.path("etc/brackup/brackup.conf")).unwrap();
    place.write("etc/brackup/brackup.conf", "[BOX]\nstate_dri = /mnt\n");
    let told = place.service("start").is(1);
    assert_eq!(told.out, "Starting brackup: FAIL\n");
    assert!(told.err.contains("unknown key \"state_dri\""), "{}", told.err);
    let logged = place.logged();
    assert!(logged.starts_with("-t brackup -p daemon.err not started: ") && logged.contains("state_dri"), "{logged}");
    assert!(place.pid().is_none());
    assert_eq!(fs::read_to_string(place.path("said")).unwrap(), "", "it was started");

    // Nor does a service that runs hear of it.
    place.write("etc/brackup/brackup.conf", &right);
    place.service("start").is(0);
    place.write("etc/brackup/brackup.conf", "[BOX]\nstate_dri = /mnt\n");
    assert!(place.service("reload").is(2).err.contains("state_dri"));
    place.service("stop").is(0);
    assert!(!fs::read_to_string(place.path("said")).unwrap().contains("hup"));
}

#[test]
fn a_program_that_ends_at_once_was_not_started() {
    let place = BoxRoot::new(&settings()).with_stand_in("say \"$@\"; exit 1").long_gone();
    assert_eq!(place.service("start").is(1).out, "Starting brackup: FAIL\n");
    assert!(!fs::read_to_string(place.path("said")).unwrap().is_empty(), "it was not tried");
    assert!(place.pid().is_none());
    place.is_kept_by_nobody();
}

/// Ends the program as the kernel does when memory runs out, and gives the one that comes in its place.
fn killed(place: &BoxRoot) -> u32 {
    let first = place.pid().unwrap();
    tool("kill", &["-KILL", &first.to_string()]);
    let begin = Instant::now();
    loop {
        match place.pid().filter(|pid| *pid != first && runs(*pid)) {
            Some(second) => return second,
            None => assert!(begin.elapsed() < Duration::from_secs(30), "nothing came in its place"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_killed_is_started_again() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING);
    place.service("start").is(0);
    let begins = format!("serve --config {} --syslog", place.path("etc/brackup/brackup.conf").display());
    for _ in 0..2 {
        place.heard(&begins);
        place.write("said", "");
        killed(&place);
    }
    // Its pid is there before it is the program.
    place.heard(&begins);
    let third = place.pid().unwrap();
    let told = fs::read_to_string(place.path("var/run/brackup.err")).unwrap();
    assert_eq!(told.matches("ended with status 137, is started again in 2 s").count(), 2, "{told}");
    assert_eq!(fs::read_to_string(format!("/proc/{third}/oom_score_adj")).unwrap().trim(), "500");
    // It is the third that hears.
    place.write("said", "");
    place.service("reload").is(0);
    place.heard("hup");
    place.service("stop").is(0);
    place.heard("term");
    assert!(!runs(third) && place.pid().is_none());

    // Stopped between the one and the next: no next comes.
    let place = place.long_gone();
    place.service("start").is(0);
    let last = place.pid().unwrap();
    place.heard(&begins);
    tool("kill", &["-KILL", &last.to_string()]);
    has_ended(last);
    place.write("said", "");
    place.service("stop").is(1);
    place.is_kept_by_nobody();
    assert_eq!(fs::read_to_string(place.path("said")).unwrap(), "");
    assert!(place.pid().is_none());
}

#[test]
fn what_is_stopped_while_it_comes_back_does_not_stay() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING).names_it_late();
    place.service("start").is(0);
    let begins = format!("serve --config {} --syslog", place.path("etc/brackup/brackup.conf").display());
    place.heard(&begins);
    place.write("said", "");
    place.write("wait", "");
    tool("kill", &["-KILL", &place.pid().unwrap().to_string()]);
    // The next one runs, and no file names it yet.
    place.heard(&begins);
    place.service("stop").is(1);
    fs::remove_file(place.path("wait")).unwrap();
    place.heard("term");
    place.is_kept_by_nobody();
    assert!(place.pid().is_none());
}

#[test]
fn what_has_ended_for_good_is_not_started_again() {
    for status in [0, 2] {
        let service = format!("trap 'say ended; exit {status}' USR1; say \"$@\"; while :; do sleep 0.05; done");
        let place = BoxRoot::new(&settings()).with_stand_in(&service);
        place.service("start").is(0);
        place.heard(&format!("serve --config {} --syslog", place.path("etc/brackup/brackup.conf").display()));
        place.write("said", "");
        tool("kill", &["-USR1", &place.pid().unwrap().to_string()]);
        place.heard("ended");
        place.is_kept_by_nobody();
        assert_eq!(fs::read_to_string(place.path("said")).unwrap(), "ended\n");
    }
}

#[test]
fn why_it_ended_is_kept_where_there_is_no_log() {
    let place = BoxRoot::new(&settings()).with_stand_in("say \"$@\"; echo no such key >&2; exit 12").long_gone();
    let told = place.service("start").is(1);
    assert!(told.err.contains("did not stay up: "), "{}", told.err);
    let kept = fs::read_to_string(place.path("var/run/brackup.err")).unwrap();
    assert!(kept.starts_with("no such key\n"), "{kept}");
    // Each start begins it anew.
    place.service("start").is(1);
    assert_eq!(fs::read_to_string(place.path("var/run/brackup.err")).unwrap().matches("no such key").count(), 1);
}

/// A `nice` that takes its time before it becomes the program.
fn slow_nice(place: &BoxRoot, seconds: u32) {
    let nice = place.path("bin/nice");
    fs::remove_file(&nice).unwrap();
    let words = "for word; do [ \"$word\" != serve ] || /bin/sleep";
    fs::write(&nice, format!("#!/bin/sh\n{words} {seconds}; done\nexec /usr/bin/nice \"$@\"\n")).unwrap();
    fs::set_permissions(nice, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_program_that_comes_late_is_not_lost() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING);
    slow_nice(&place, 4);
    place.service("start").is(0);
    assert!(runs(place.pid().unwrap()));
    place.service("stop").is(0);

    // One that comes too late does not come.
    place.reword("\nSTART_MAX=20\n", "\nSTART_MAX=2\n");
    slow_nice(&place, 15);
    place.write("said", "");
    place.service("start").is(1);
    assert!(place.pid().is_none());
    place.is_kept_by_nobody();
    assert_eq!(fs::read_to_string(place.path("said")).unwrap(), "", "it runs, and nobody knows of it");
}

#[test]
fn what_cannot_be_ended_does_not_hold_up_the_shutdown() {
    let place = BoxRoot::new(&settings()).with_stand_in(SERVING);
    place.service("start").is(0);
    let pid = place.pid().unwrap();
    let background = fs::read_to_string(place.path("usr/share/brackup/background.sh")).unwrap();
    // As a process in state D is: signals change nothing.
    let deaf = background.clone() + "kill() { :; }\nsleep() { :; }\n";
    place.write("usr/share/brackup/background.sh", &deaf);
    let told = place.service("stop").is(1);
    assert_eq!(told.out, "Stopping brackup: FAIL\n");
    assert!(told.err.contains(&format!("process {pid} waits for a disk")), "{}", told.err);
    assert!(runs(pid));
    // It is still the one that runs, and once it can be ended it is not started again.
    place.write("usr/share/brackup/background.sh", &background);
    place.service("start").is(1);
    tool("kill", &["-KILL", &pid.to_string()]);
    place.write("said", "");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(fs::read_to_string(place.path("said")).unwrap(), "");
}

#[test]
fn nothing_is_started_without_the_data_disk() {
    let unmounted = BoxRoot::new("");
    let settings = format!("{}BRACKUP_DATA={}\n", settings(), unmounted.path("mnt/data").display());
    unmounted.write("etc/default/brackup", &settings);
    let unmounted = unmounted.with_stand_in(SERVING).with_log();
    assert!(unmounted.service("start").is(1).out.ends_with("mnt/data is not mounted\n"));
    assert!(unmounted.logged().ends_with("mnt/data is not mounted\n"), "{}", unmounted.logged());
    assert!(unmounted.pid().is_none());
    unmounted.write("etc/default/brackup", &settings.replace(unmounted.path("mnt/data").to_str().unwrap(), "/proc"));
    unmounted.service("start").is(0);
    unmounted.service("stop").is(0);
}

/// Waits until a process has a use of its own for SIGHUP.
fn hears_hup(pid: u32) {
    let begin = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & 1 == 1 {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_real_program_is_a_service() {
    if !serves() {
        eprintln!("left out: there is no brackup serve yet");
        return;
    }
    let place = BoxRoot::new("BRACKUP_USER=\n").with_program();
    assert_eq!(place.service("start").is(0).out, "Starting brackup: OK\n");
    let pid = place.pid().unwrap();
    hears_hup(pid);
    place.service("reload").is(0);
    assert!(runs(pid));
    place.service("stop").is(0);
    assert!(!runs(pid));
}

#[test]
fn the_data_disk_keeps_the_configuration() {
    if !when_root("the data disk is mounted") {
        return;
    }
    let label = format!("br{}", std::process::id());
    let disk = Disk::labelled(&label);
    let place = BoxRoot::new("");
    symlink("/usr/sbin/e2fsck", place.path("bin/e2fsck")).unwrap();
    place.write("etc/default/brackup-data", &format!("LABEL={label}\nWAIT=1\n"));
    let image = fs::read_to_string(place.path("etc/brackup/brackup.conf")).unwrap();
    assert!(place.data("start").is(0).out.ends_with(": OK\n"));
    let state = fs::metadata(place.path("mnt/data/brackup/state")).unwrap();
    assert_eq!(state.permissions().mode() & 0o7777, 0o700);
    assert!(place.path("etc/brackup/keys").is_dir());

    // What is changed is on the disk, and is there when the image is a new one.
    place.write("etc/brackup/brackup.conf", "# mine\n");
    place.data("start").is(0);
    place.data("stop").is(0);
    assert_eq!(fs::read_to_string(place.path("etc/brackup/brackup.conf")).unwrap(), image);
    assert!(!place.path("mnt/data/brackup").exists(), "it is unmounted");
    place.data("start").is(0);
    assert_eq!(fs::read_to_string(place.path("etc/brackup/brackup.conf")).unwrap(), "# mine\n");

    // The power was cut while the first copy was made.
    let folder = place.path("mnt/data/brackup");
    tool("umount", &[place.path("etc/brackup").to_str().unwrap()]);
    fs::rename(folder.join("etc"), folder.join("etc.new")).unwrap();
    place.data("start").is(0);
    assert_eq!(fs::read_to_string(place.path("etc/brackup/brackup.conf")).unwrap(), image);
    assert!(!folder.join("etc.new").exists());
    place.data("stop").is(0);
    drop(place);
    drop(disk);
}

#[test]
fn a_disk_that_is_not_there_is_said() {
    let place = BoxRoot::new("");
    place.write("etc/default/brackup-data", "LABEL=nobody-has-it\nWAIT=1\n");
    assert!(place.data("start").is(1).out.ends_with("FAIL: no disk has the label nobody-has-it\n"));
}
