//! `--to` more than once, when not all goes well: each target is told of, and nothing is made twice under one number.

use std::fs;
use std::os::unix::fs::symlink;

use brackup::monitor::{Quiet, Tally};
use brackup::restore::{self, Conflict, Selection};
use brackup::target::Filesystem;
use rusqlite::Connection;
use serde_json::Value;

use crate::several::Box;
use crate::support::{Fault, How, Nas, Tree, code, noise, settle, stderr};

fn database(both: &Box) -> Connection {
    Connection::open(both.program.home().join("state/brackup.db")).unwrap()
}

fn metafiles(both: &Box) -> [Vec<String>; 2] {
    let is_metafile = |name: &String| name.ends_with(".meta");
    [&both.program.folder, &both.second].map(|folder| both.names(folder).into_iter().filter(is_metafile).collect())
}

#[test]
fn a_dry_run_tells_of_each_target_in_one_document() {
    let both = Box::new();
    both.back_up();
    fs::remove_dir_all(&both.program.folder).unwrap();
    let run = |more: &[&str]| both.program.run(&[&["--from=tree", "--to=disk", "--to=second", "-n"], more].concat());
    let dry = run(&["--json"]);
    let told: Value = serde_json::from_slice(&dry.stdout).unwrap_or_else(|_| panic!("{}", stderr(&dry)));
    let [disk, second] = [&told["targets"][0], &told["targets"][1]];
    assert!(disk["error"].is_string() && second["stored"]["files"] == 1, "{told}");
    assert_eq!((code(&dry), &told["dry_run"]), (Some(3), &true.into()));
    let text = run(&[]);
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("second: dry run: 1 file "), "{text:?}");
    fs::rename(&both.second, both.second.with_extension("away")).unwrap();
    let none = run(&["--json"]);
    assert!(code(&none) == Some(10) && none.stdout.is_empty(), "{}", stderr(&none));
    assert!(stderr(&none).contains("error: second: ") && stderr(&none).contains("error: disk: "), "{}", stderr(&none));
}

#[test]
fn one_target_by_two_names_is_a_wrong_command_line() {
    let both = Box::new();
    let address = format!("--to=filesystem:{}/", both.program.folder.display());
    let twice = both.program.run(&["--from=tree", "--to=disk", &address]);
    assert!(code(&twice) == Some(2) && stderr(&twice).contains("are the same target"), "{}", stderr(&twice));
    assert!(!both.program.folder.exists());
    fs::create_dir(&both.program.folder).unwrap();
    symlink(&both.program.folder, &both.second).unwrap();
    let linked = both.program.run(&["--from=tree", "--to=disk", "--to=second"]);
    assert_eq!(code(&linked), Some(2), "{}", stderr(&linked));
    // Only its id tells.
    fs::remove_file(&both.second).unwrap();
    fs::create_dir(&both.second).unwrap();
    assert_eq!(code(&both.program.run(&["--from=tree", "--to=disk"])), Some(0));
    fs::copy(both.program.folder.join("brackup-target.id"), both.second.join("brackup-target.id")).unwrap();
    let same = both.program.run(&["--from=tree", "--to=disk", "--to=second"]);
    assert!(code(&same) == Some(2) && stderr(&same).contains("are the same target"), "{}", stderr(&same));
}

#[test]
fn what_failed_before_is_told_when_the_whole_ends() {
    let both = Box::new();
    both.back_up();
    fs::remove_dir_all(&both.second).unwrap();
    let reader = database(&both);
    reader.execute_batch("BEGIN; SELECT count(*) FROM backups;").unwrap();
    let locked = both.program.run(&["--from=tree", "--to=disk", "--to=second"]);
    assert_eq!(code(&locked), Some(11), "{}", stderr(&locked));
    assert!(stderr(&locked).contains("error: second: "), "{}", stderr(&locked));
}

/// What the database says to a trigger that fails: that something is too big, or that it is damaged.
const TOO_BIG: &str = "zeroblob(2000000000)";
const DAMAGED: &str = "RAISE(FAIL, 'made to fail')";

/// From now on the run at the first target ends with an error once its metafile is stored.
fn fail_behind_the_metafile(both: &Box, when: &str, how: &str) {
    let trigger = format!(
        "CREATE TRIGGER failing BEFORE UPDATE OF complete ON backups WHEN NEW.chain = 1 {when} BEGIN SELECT {how}; END"
    );
    database(both).execute_batch(&trigger).unwrap();
}

fn fail_no_more(both: &Box) {
    database(both).execute_batch("DROP TRIGGER failing").unwrap();
}

#[test]
fn a_backup_that_is_there_although_its_run_failed_is_copied() {
    let both = Box::new();
    both.back_up();
    both.night(2);
    both.link("night 2", "linked");
    fail_behind_the_metafile(&both, "AND EXISTS (SELECT 1 FROM links)", TOO_BIG);
    let (told, exit, talk) = both.back_up();
    assert_eq!((exit, &told["targets"][0]["complete"]), (Some(3), &true.into()), "{told}");
    assert!(talk.contains("disk: backup tree-") && talk.contains("too big"), "{talk}");
    assert_eq!(told["targets"][1]["copied"]["chunks"], 1, "{told}");
    both.are_the_same();
    fail_no_more(&both);
    both.night(3);
    let (_, exit, talk) = both.back_up();
    assert_eq!((exit, &*talk), (Some(0), ""));
    both.are_the_same();
    both.is_well();
}

/// The first fails behind its metafile, and what became of that is not known when the next leads.
fn a_number_is_not_given_again(how: &str) {
    let both = Box::new();
    both.back_up();
    both.night(2);
    fail_behind_the_metafile(&both, "", how);
    let (told, exit, talk) = both.back_up();
    let complete = [0, 1].map(|at| told["targets"][at]["complete"].as_bool().unwrap());
    assert_eq!((exit, complete), (Some(3), [false, true]), "{talk}");
    let [first, second] = metafiles(&both);
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(first[0] == second[0] && first[1] < second[1], "{first:?} {second:?}");
    if how == TOO_BIG {
        fail_no_more(&both);
    }
    both.night(3);
    let (told, exit, talk) = both.back_up();
    assert_eq!(exit, Some(0), "{talk}");
    // One is at one alone: they go one way all the same, and only a note says that a number is missing.
    let [first, second] = metafiles(&both);
    assert_eq!(first.last(), second.last(), "{told}");
    both.restores();
    for target in ["disk", "second"] {
        let verified = both.program.run(&["verify", target]);
        assert_eq!(code(&verified), Some(0), "{target}: {}", stderr(&verified));
    }
}

#[test]
fn a_number_that_may_be_taken_is_not_given_again() {
    a_number_is_not_given_again(TOO_BIG);
}

#[test]
fn nor_is_one_that_a_database_knew_which_is_damaged() {
    a_number_is_not_given_again(DAMAGED);
}

#[test]
fn a_place_that_blinked_is_asked_again_when_the_others_have_not_got_it() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("file", noise(1, 8_000_000));
    settle();
    let name = nas.backup(&tree).name();
    let twin = nas.copy();
    let chunks = nas.files(".chunk");
    assert!(chunks.len() >= 8, "{chunks:?}");
    // Each lacks one, and neither is the first that is read.
    let first = nas.folder.join(nas.chunks_of(&name).into_iter().next().unwrap());
    let mut lost = chunks.iter().filter(|chunk| **chunk != first);
    fs::remove_file(lost.next().unwrap()).unwrap();
    let of_twin = lost.map(|chunk| twin.folder.join(chunk.file_name().unwrap())).collect::<Vec<_>>();
    for chunk in &of_twin {
        fs::remove_file(chunk).unwrap();
    }
    let (target, other) = (nas.target(), Filesystem::at(&twin.folder));
    let backup = nas.open(&target, &name).unwrap();
    for at in 1..12 {
        let (to, quiet) = (Tree::absent(), Quiet::default());
        let options = restore::Options {
            destination: &to.root,
            selection: Selection::default(),
            conflict: Conflict::Abort,
            numeric_ids: true,
            dry_run: false,
            others: &[&other],
        };
        let blinking = Fault::over(&target, at, How::Blinks);
        restore::run(&options, &backup, &blinking, &nas.identities, &Tally::new(&quiet), &nas.stop).unwrap();
        let problems = quiet.problems().into_iter().filter(|told| told.severity == brackup::monitor::Severity::Problem);
        assert_eq!(problems.collect::<Vec<_>>(), [], "call {at}");
        tree.snapshot().assert_same(&to.snapshot());
    }
}
