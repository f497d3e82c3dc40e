//! The original's programs and words, as whoever knows them types them: links of those names to the program.

mod backup;
mod restore;
mod target;
mod words;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::cli::has_keys;
use super::program::{Ran, TestBox, is_an_error};
use super::support::noise;

/// A box with the original's programs, and a tree.
fn with_programs() -> TestBox {
    let test_box = TestBox::ready("auto");
    let tree = test_box.path("tree");
    fs::create_dir_all(tree.join("photos/2006")).unwrap();
    fs::write(tree.join("letter.txt"), "Dear Brad\n").unwrap();
    fs::write(tree.join("photos/one.jpg"), "one").unwrap();
    fs::write(tree.join("photos/2006/two.jpg"), noise(7, 3000)).unwrap();
    fs::create_dir(test_box.path("bin")).unwrap();
    for program in
        ["brackup-restore", "brackup-target", "brackup-verify-chunks", "brackup-verify-inventory", "brackup-mount"]
    {
        symlink(env!("CARGO_BIN_EXE_brackup"), test_box.path("bin").join(program)).unwrap();
    }
    test_box
}

/// The command line, words with spaces between.
fn command(test_box: &TestBox, line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(test_box.path("bin").join(words.next().unwrap()));
    test_box.surround(&mut command);
    command.env("BRACKUP_KEY", test_box.path("secret.key")).args(words);
    command
}

fn run(test_box: &TestBox, line: &str) -> Ran {
    Ran::of(&command(test_box, line).output().unwrap())
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
