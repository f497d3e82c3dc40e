//! A disk with what the box remembers and its target, away: it is waited for, and nothing is made where it was mounted.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::serve::{NIGHTLY, add, has_ended_well, small_tree};
use crate::support::{Program, Service, Tree, code, stderr};

/// A disk that holds what the box remembers and its target, and that can be taken away: then its mount point is there, and empty.
struct Removable {
    program: Program,
    disk: PathBuf,
    _home: TempDir,
}

impl Removable {
    fn new(tree: &Tree) -> Self {
        let home = TempDir::new().unwrap();
        let disk = home.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let program = Program::to(&tree.root, &disk.join("target"));
        add(&program, NIGHTLY);
        Self { program, disk, _home: home }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(arguments);
        command.env("BRACKUP_STATE_DIR", self.disk.join("state")).env("TZ", "UTC");
        command.env("BRACKUP_SPOOL_DIR", self.disk.join("state/spool"));
        command
    }

    fn backup(&self) -> Output {
        self.command(&["--from=tree", "--to=disk"]).output().unwrap()
    }

    fn remove(&self) {
        fs::rename(&self.disk, self.disk.with_extension("removed")).unwrap();
        fs::create_dir(&self.disk).unwrap();
    }

    fn bring_back(&self) {
        assert_eq!(fs::read_dir(&self.disk).unwrap().count(), 0, "something was made on the mount point");
        fs::remove_dir(&self.disk).unwrap();
        fs::rename(self.disk.with_extension("removed"), &self.disk).unwrap();
    }
}

#[test]
fn nothing_is_made_on_the_mount_point_of_a_disk_that_is_not_there() {
    let tree = small_tree();
    let place = Removable::new(&tree);
    assert_eq!(code(&place.backup()), Some(0));
    place.remove();
    let output = place.backup();
    assert_eq!(code(&output), Some(10), "{}", stderr(&output));
    assert!(stderr(&output).contains("the target that this box has backed up to is not there"), "{}", stderr(&output));
    place.bring_back();
    let output = place.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn a_disk_that_is_not_there_at_the_start_is_waited_for() {
    let tree = small_tree();
    let place = Removable::new(&tree);
    assert_eq!(code(&place.backup()), Some(0));
    place.remove();
    let mut service = Service::start(place.command(&["serve"]));
    service.says("job nightly: failed: ");
    service.says("is tried again every few minutes");
    place.bring_back();
    // Who has mounted it need not wait.
    service.signal(Signal::SIGHUP);
    service.says("job nightly: tree to disk: done: ");
    service.says("waiting: next");
    has_ended_well(service);
}
