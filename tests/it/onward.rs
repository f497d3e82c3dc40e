//! A laptop backs up to the door of a NAS, whose job takes what it can't read on to another place, from where the laptop's key restores it.

use std::fs;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::door_program::House;
use crate::serve::{add, small_tree};
use crate::support::{ACCESS_KEY, Program, SECRET_KEY, Service, Tree, Weed, code, noise, stderr, wait_until};

#[track_caller]
fn is_well(output: &Output) {
    assert_eq!(code(output), Some(0), "{}", stderr(output));
}

/// As in docs/TARGETS.md, with this target `far`.
fn onward(house: &House, far: &str, more: &str) {
    let folder = house.folder.display();
    let job = format!("[JOB:onward]\ncopy_from = laptop-folder\nto = far\nat = 02:30\n{more}");
    add(
        &house.nas,
        &format!("\n[TARGET:laptop-folder]\ntype = Filesystem\npath = {folder}\n[TARGET:far]\n{far}\n{job}"),
    );
}

/// A machine that has nothing of the laptop but its key.
fn restores(house: &House, far: &str) {
    let (back, rescue) = (Tree::absent(), Program::new(&house.tree.root));
    rescue.set_target(far);
    let (to, key) = (back.root.to_str().unwrap(), house.laptop.key.to_str().unwrap());
    is_well(&rescue.run(&["restore", "tree:latest", "--from", "disk", "--to", to, "--key", key]));
    house.tree.snapshot().assert_same(&back.snapshot());
    is_well(&rescue.run(&["verify", "disk", "--no-key"]));
}

fn goes_on(far: &str) {
    let (house, service) = House::new();
    is_well(&house.laptop.backup());
    service.end();
    onward(&house, far, "");
    let mut service = Service::start(house.nas.command(&["serve"]));
    service.says("job onward: copy of laptop-folder to far: done: copied 1 backup in ");
    service.says("waiting: next is job onward");
    // The door is open, and the next night takes what has come since.
    house.tree.file("later", "what came later");
    is_well(&house.laptop.backup());
    service.end();
    crate::serve_copies::a_night_goes_by(&house.nas, "onward");
    let mut service = Service::start(house.nas.command(&["serve"]));
    service.says("done: copied 1 backup in 1 chunk, ");
    service.says("waiting: next is job onward");
    let (exit, log) = service.end();
    assert_eq!(exit, Some(0), "{log}");
    assert!(!log.contains(&house.token), "{log}");
    // The NAS is no more.
    fs::remove_dir_all(&house.folder).unwrap();
    restores(&house, far);
}

#[test]
fn what_a_laptop_has_stored_comes_back_without_the_nas() {
    let place = tempfile::tempdir().unwrap();
    goes_on(&format!("type = Filesystem\npath = {}", place.path().join("far").display()));
}

#[cfg(feature = "s3")]
#[test]
fn it_comes_back_from_a_bucket() {
    let Some(weed) = Weed::start() else { return };
    weed.bucket("onward", "laptop/");
    goes_on(&format!(
        "type = Amazon\nbucket = onward\nbackup_prefix = laptop/\nendpoint = {}\naws_access_key_id = {ACCESS_KEY}\n\
         aws_secret_access_key = {SECRET_KEY}",
        weed.endpoint()
    ));
}

fn chunks(folder: &Path) -> usize {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "chunk")).count()
}

/// Through the door of another box, as slowly as the job says.
#[test]
fn a_copy_is_parked_and_goes_on() {
    let (far, door) = House::new();
    let (house, service) = House::new();
    house.tree.file("more", noise(10, 8_000_000));
    is_well(&house.laptop.backup());
    service.end();
    let text = fs::read_to_string(far.laptop.home().join(".brackup.conf")).unwrap();
    let (_, target) = text.split_once("[TARGET:disk]\n").unwrap();
    let (target, _) = target.split_once("[SOURCE:").unwrap();
    onward(&house, target, "bandwidth = 1MB/s\n[BOX]\nconnections = 1\n");
    let mut service = Service::start(house.nas.command(&["serve"]));
    service.says("job onward: begins");
    wait_until("a chunk", || chunks(&far.folder) > 0);
    let status = house.nas.run(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("now: Copying laptop-folder to far: "), "{text}");
    let (exit, log) = service.end();
    assert!(exit == Some(0) && log.contains("copy of laptop-folder to far: parked; the next run goes on: "), "{log}");
    let first = chunks(&far.folder);
    assert!(first < chunks(&house.folder), "as fast as the job says");
    let config = house.nas.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("bandwidth = 1MB/s\n", "")).unwrap();
    let mut service = Service::start(house.nas.command(&["serve"]));
    let done = service.says("copy of laptop-folder to far: done: copied 1 backup in ");
    assert!(done.contains(&format!("0 backups and {first} chunk")), "{done}");
    service.end();
    assert_eq!((chunks(&far.folder), door.end().0), (chunks(&house.folder), Some(0)));
}

/// A copy by hand under way to the door of another box, slowly; whether a backup of this box could be made meanwhile.
fn backs_up_during_a_copy(nas: &Program, from: &str) -> Option<i32> {
    let (far, door) = House::new();
    let text = fs::read_to_string(far.laptop.home().join(".brackup.conf")).unwrap();
    let (_, target) = text.split_once("[TARGET:disk]\n").unwrap();
    let (target, _) = target.split_once("[SOURCE:").unwrap();
    add(nas, &format!("[TARGET:far]\n{target}\nbandwidth = 1MB/s\n"));
    let config = nas.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[BOX]\n", "[BOX]\nconnections = 1\n")).unwrap();
    let mut copy = nas.command(&["copy", "--from-target", from, "--to-target", "far"]).spawn().unwrap();
    wait_until("a chunk", || chunks(&far.folder) > 0);
    let backup = nas.backup();
    assert!(copy.try_wait().unwrap().is_none(), "it is under way still");
    kill(Pid::from_raw(copy.id() as i32), Signal::SIGTERM).unwrap();
    let interrupted = copy.wait_with_output().unwrap();
    assert!(stderr(&interrupted).is_empty() || code(&interrupted) != Some(0), "{}", stderr(&interrupted));
    door.end();
    code(&backup)
}

fn with_much() -> Tree {
    let tree = Tree::new();
    tree.file("much", noise(11, 12_000_000));
    tree
}

#[test]
fn what_others_have_stored_is_copied_by_hand_while_jobs_run() {
    let (small, much) = (small_tree(), with_much());
    let (nas, desk) = (Program::new(&small.root), Program::new(&much.root));
    is_well(&nas.backup());
    is_well(&desk.backup());
    let from = format!("filesystem:{}", desk.folder.display());
    assert_eq!(backs_up_during_a_copy(&nas, &from), Some(0));
    is_well(&nas.run(&["gc", "disk"]));
}

/// Else gc could delete meanwhile what they need.
#[test]
fn what_a_box_has_signed_and_forgotten_is_copied_under_its_lock() {
    let much = with_much();
    let nas = Program::new(&much.root);
    is_well(&nas.backup());
    let old = nas.home().join("old");
    fs::create_dir(&old).unwrap();
    for path in fs::read_dir(&nas.folder).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&path, old.join(path.file_name().unwrap())).unwrap();
    }
    // A disk that another one was copied to: its id is its own.
    fs::remove_file(old.join("brackup-target.id")).unwrap();
    let other = Program::to(&much.root, &old);
    is_well(&other.backup());
    assert_eq!(backs_up_during_a_copy(&nas, &format!("filesystem:{}", old.display())), Some(11));
}
