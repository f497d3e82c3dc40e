//! What a run costs a disk of flash: calls that wait until something is on it, each of which writes a block of it anew.

use std::time::Instant;

use super::serve::{traced, whole};
use crate::support::{Program, Tree, code, stderr};

/// What a backup of that many files does, and the night after.
struct Waits {
    first: usize,
    night: usize,
}

impl Waits {
    fn of(files: usize) -> Self {
        let tree = Tree::new();
        for number in 0..files {
            tree.file(format!("{}/{number}", number / 100), format!("file {number}"));
        }
        let program = Program::new(&tree.root);
        let first = waits(&program);
        tree.file("0/new", "of the second day");
        Self { first, night: waits(&program) }
    }
}

/// How often one backup waits. What is under way is remembered every five seconds, however slow the machine is: that much is not counted.
fn waits(program: &Program) -> usize {
    let trace = program.home().join("trace");
    let began = Instant::now();
    let output = traced(&program.command(&["--from", "tree", "--to", "disk"]), &trace).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let commits = usize::try_from(began.elapsed().as_secs() / 5).unwrap();
    let waits = |line: &&str| {
        let calls =
            [" fsync(", " fdatasync(", " syncfs(", " sync_file_range(", " msync(", " sync(", "O_SYNC", "O_DSYNC"];
        calls.iter().any(|call| line.contains(call))
    };
    whole(&trace).lines().filter(waits).count().saturating_sub(10 * commits)
}

#[test]
fn a_night_waits_for_the_disk_by_what_it_stores_and_not_by_files() {
    let (few, many) = (Waits::of(100), Waits::of(4000));
    // A new database, and keys, are a third of the first.
    assert!(few.first < 90 && few.night < 45, "{} {}", few.first, few.night);
    assert!(many.first < few.first + 40, "{} {}", few.first, many.first);
    assert!(many.night < few.night + 20, "{} {}", few.night, many.night);
}

#[test]
fn a_state_that_a_power_cut_takes_away_is_warned_of() {
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    // Memory, on every Linux. Nothing is made there.
    let place = "/dev/shm/brackup-state-of-a-test/state";
    let output = program.command(&["config", "check"]).env("BRACKUP_STATE_DIR", place).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let told = stderr(&output);
    let warnings: Vec<&str> = told.lines().filter(|line| line.contains("is in memory")).collect();
    let begins = format!("brackup: warning: state_dir {place} is in memory: ");
    assert!(warnings.len() == 1 && warnings[0].starts_with(&begins), "{told}");
    assert!(warnings[0].ends_with("set state_dir in [BOX] to a folder on the data disk"), "{told}");
}
