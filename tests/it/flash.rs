//! What a run costs a disk of flash: calls that wait until something is on it, each of which writes a block of it anew.

use std::time::Instant;

use super::buildroot::left_out;
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
fn what_is_gone_after_a_power_cut_is_warned_of() {
    let memory = "/dev/shm";
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !mounts.lines().any(|line| line.contains(&format!(" {memory} ")) && line.contains(" - tmpfs ")) {
        assert_ne!(std::env::var("BRACKUP_SERVERS").as_deref(), Ok("1"), "{memory} is not memory");
        return left_out(&format!("what is told of a state in memory: {memory} is none"));
    }
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    // Nothing is made there.
    let place = format!("{memory}/brackup-nowhere-{}", std::process::id());
    for key in ["state_dir", "key_dir"] {
        let variable = if key == "state_dir" { "BRACKUP_STATE_DIR" } else { "BRACKUP_KEY_DIR" };
        let told = |place: &str| {
            let output = program.command(&["config", "check"]).env(variable, place).output().unwrap();
            assert_eq!(code(&output), Some(0), "{}", stderr(&output));
            stderr(&output)
        };
        let is_there = told(memory);
        assert!(is_there.contains(&format!("brackup: warning: {key} {memory} is in memory, and ")), "{is_there}");
        let is_not = told(&place);
        assert!(
            is_not.contains(&format!("warning: {key} {place} is not there, and would be in memory, and ")),
            "{is_not}"
        );
        assert!(is_not.contains("; is its disk mounted?\n"), "{is_not}");
    }
}
