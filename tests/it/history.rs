//! `brackup history`: what is signed, what was removed, what is missing, what was put in between.

use std::fs;

use serde_json::Value;

use crate::support::{Program, Tree, code, noise, settle, stderr};

/// A home with four backups, and their names.
fn four() -> (Program, Tree, Vec<String>) {
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    for number in 0..4 {
        tree.file("file", noise(number, 10_000));
        settle();
        assert_eq!(code(&program.backup()), Some(0));
    }
    let listed = String::from_utf8(program.run(&["list", "disk"]).stdout).unwrap();
    let names = listed.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    (program, tree, names)
}

/// The lines of JSON, and the exit code.
fn history(program: &Program, more: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = program.run(&[&["history", "tree", "--json"], more].concat());
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), code(&output))
}

fn steps(rows: &[Value]) -> Vec<(u64, bool, &str)> {
    let row = |row| {
        let field = |name: &str| -> &Value { Value::get(row, name).unwrap_or(&Value::Null) };
        (field("sequence").as_u64().unwrap_or(0), field("removed").as_bool().unwrap(), field("step").as_str().unwrap())
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_chain_is_shown_with_what_was_removed_and_what_is_missing() {
    let (program, _tree, names) = four();
    let (rows, exit) = history(&program, &[]);
    assert_eq!(exit, Some(0));
    assert_eq!(steps(&rows), [(1, false, "ok"), (2, false, "ok"), (3, false, "ok"), (4, false, "ok")]);
    let heads: Vec<_> =
        rows.iter().map(|row| format!("{}:{}", row["sequence"], row["digest"].as_str().unwrap())).collect();
    assert_eq!(code(&program.run(&["prune", "disk", "--keep-last=3"])), Some(0));
    fs::remove_file(program.folder.join(format!("{}.meta", names[1]))).unwrap();
    let (rows, exit) = history(&program, &["--expect-head", &heads[0]]);
    assert_eq!((steps(&rows), exit), (vec![(1, true, "ok"), (3, false, "gap"), (4, false, "ok")], Some(0)));
    assert_eq!(rows[1]["what"], "number 2 of its chain is not here");
    // As people see it.
    let told = String::from_utf8(program.run(&["history", "tree"]).stdout).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].contains("#1  removed") && lines[0].ends_with("  ok"), "{told}");
    assert!(lines[1].ends_with("number 2 of its chain is not here"), "{told}");
    assert!(lines[2].contains(&format!("head {}", &heads[3][..18])), "{told}");
}

#[test]
fn a_head_that_is_not_there_any_more_is_told() {
    let (program, _tree, names) = four();
    let (rows, _) = history(&program, &[]);
    let digest = rows[3]["digest"].as_str().unwrap().to_owned();
    for (head, exit) in [
        ("4", 0),
        (&*format!("4:{digest}"), 0),
        (&*format!("#4:{}", &digest[..16]), 0),
        ("5", 3),
        ("4:0000000000000000", 3),
    ] {
        assert_eq!(history(&program, &["--expect-head", head]).1, Some(exit), "{head}");
    }
    for wrong in ["x", "4:", "4:00", "4:xyzxyzxyz", "-1"] {
        assert_eq!(code(&program.run(&["history", "tree", &format!("--expect-head={wrong}")])), Some(2), "{wrong}");
    }
    fs::remove_file(program.folder.join(format!("{}.meta", names[3]))).unwrap();
    let output = program.run(&["history", "tree", "--expect-head", &format!("4:{digest}")]);
    assert_eq!(code(&output), Some(3));
    assert!(stderr(&output).contains("number 4 is not here as it was seen, the newest is 3"), "{}", stderr(&output));
}

#[test]
fn a_fork_and_what_is_not_signed_are_problems() {
    let (program, _tree, names) = four();
    // The newest can't be read for a while, and the box has forgotten it: it goes another way.
    let newest = program.folder.join(format!("{}.meta", names[3]));
    let was = fs::read(&newest).unwrap();
    fs::write(&newest, "damaged").unwrap();
    fs::remove_file(program.home().join("state/brackup.db")).unwrap();
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let (rows, exit) = history(&program, &[]);
    assert_eq!((steps(&rows)[3..].to_vec(), exit), (vec![(0, false, "unsigned"), (4, false, "ok")], Some(3)));
    fs::write(&newest, was).unwrap();
    let (rows, exit) = history(&program, &[]);
    assert_eq!((steps(&rows)[3..].to_vec(), exit), (vec![(4, false, "ok"), (4, false, "fork")], Some(3)));
    // A backup that was put into the place of the one that its follower names.
    let output = program.backup();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    fs::remove_file(program.folder.join(format!("{}.meta", rows[4]["backup"].as_str().unwrap()))).unwrap();
    let (rows, exit) = history(&program, &[]);
    assert_eq!((steps(&rows)[3..].to_vec(), exit), (vec![(4, false, "ok"), (5, false, "astray")], Some(3)));
    let output = program.run(&["history", "nothing"]);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("there is no backup of nothing at"), "{}", stderr(&output));
}
