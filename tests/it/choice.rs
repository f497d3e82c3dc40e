//! What of a tree is backed up, as the keys of the original say it, and that reading it leaves no trace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use brackup::monitor::Counter;

use crate::support::{Nas, Program, Tree, code, noise, stderr};

/// The paths of the newest backup of a source, after one was made.
fn backed_up(program: &Program, source: &str) -> BTreeSet<String> {
    let made = program.run(&["--from", source, "--to=disk"]);
    assert_eq!(code(&made), Some(0), "{}", stderr(&made));
    let (backup, key) = (format!("{source}:latest"), program.key.to_str().unwrap());
    let listed = program.run(&["ls", &backup, "--json", "--key", key]);
    assert_eq!(code(&listed), Some(0), "{}", stderr(&listed));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let lines = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|entry| entry["path"].as_str().map(str::to_owned)).filter(|path| path != ".").collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn configure(program: &Program, change: impl Fn(String) -> String) {
    let config = program.home().join(".brackup.conf");
    let text = change(fs::read_to_string(&config).unwrap());
    fs::write(&config, text).unwrap();
}

/// The tree that the manual of brackup-nn speaks of.
fn homes() -> Tree {
    let tree = Tree::new();
    for name in [
        "user/mail/inbox",
        "user/src/one/A.pm",
        "user/src/one/A.pl",
        "user/src/one/B.pm~",
        "user/src/oldproject/C.pm",
        "user/src/D.pm",
        "user/src/two.pm/deep/file",
        "other/src/one/E.pm",
    ] {
        tree.file(name, name);
    }
    tree.directory("user/src/empty");
    tree
}

#[test]
fn accept_patterns_say_what_is_backed_up() {
    let tree = homes();
    let program = Program::new(&tree.root);
    configure(&program, |text| text + "accept = == user/src/*/*.pm\naccept = != user/src/oldproject\n");
    let expected = ["user", "user/src", "user/src/empty", "user/src/one", "user/src/one/A.pm", "user/src/two.pm"];
    assert_eq!(backed_up(&program, "tree"), set(&expected));
    configure(&program, |text| text.replace("== user/src/*/*.pm", "== user/src/"));
    let all = ["user/src/D.pm", "user/src/one/A.pl", "user/src/one/B.pm~", "user/src/two.pm/deep"];
    let all = [&expected[..], &all, &["user/src/two.pm/deep/file"]].concat();
    assert_eq!(backed_up(&program, "tree"), set(&all));
    // What ignore leaves out no pattern brings back; an expression does.
    configure(&program, |text| text + "ignore = ~$\nignore = [.]pl$\naccept = == user/src/one/A.pl\n");
    let less: Vec<_> = all.into_iter().filter(|path| !path.ends_with('~') && !path.ends_with(".pl")).collect();
    assert_eq!(backed_up(&program, "tree"), set(&less));
    configure(&program, |text| text + "accept = A[.]pl$\n");
    assert_eq!(backed_up(&program, "tree"), set(&[&less[..], &["user/src/one/A.pl"]].concat()));
}

#[test]
fn accept_expressions_keep_what_ignore_leaves_out() {
    let tree = homes();
    let program = Program::new(&tree.root);
    configure(&program, |text| text + "ignore = ^user/.\nignore = ^other/\naccept = ^user/mail(/|$)\n");
    assert_eq!(backed_up(&program, "tree"), set(&["user", "user/mail", "user/mail/inbox"]));
}

#[test]
fn a_source_inherits_what_it_does_not_say() {
    let tree = homes();
    let program = Program::new(&tree.root);
    configure(&program, |text| {
        let (before, of_tree) = text.split_once("[SOURCE:tree]\n").unwrap();
        let recipient = of_tree.lines().find(|line| line.starts_with("recipient")).unwrap();
        let path = of_tree.lines().find(|line| line.starts_with("path")).unwrap();
        format!(
            "{before}[SOURCE:usual]\n{recipient}\nchunk_size = 1MiB\nnoatime = 0\nignore = ^other/\nignore = mail\n\
             [SOURCE:all]\ninherit = usual\n{path}\nnoatime = 1\n\
             [SOURCE:some]\ninherit = SOURCE:all\nignore = ^user/src/\n"
        )
    });
    let all = backed_up(&program, "all");
    assert!(all.contains("user/src/D.pm") && !all.contains("user/mail") && !all.contains("other"), "{all:?}");
    // Its own list stands in place of the inherited one.
    let some = backed_up(&program, "some");
    assert!(!some.contains("user/src") && some.contains("user/mail") && some.contains("other/src"), "{some:?}");
    // A section that others inherit from and that has no path is no source.
    assert_eq!(code(&program.run(&["--from=usual", "--to=disk"])), Some(2));
}

/// Sets times after which reading as everybody does would write an access time, whatever the mount.
fn age(path: &Path) {
    let year = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(year * 31_556_952);
    let times = fs::FileTimes::new().set_accessed(year(30)).set_modified(year(31));
    File::open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn a_backup_leaves_access_times_alone() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let control = tree.file("control", b"it is read");
    age(&control);
    fs::read(&control).unwrap();
    if fs::metadata(&control).unwrap().atime() < 1_000_000_000 {
        return eprintln!("left out: nothing writes access times here");
    }
    let paths = [tree.file("small", b"it is read ahead"), tree.file("large", noise(1, 300_000)), tree.directory("dir")];
    let (mp3, inner) = (tree.file("a.mp3", noise(2, 5000)), tree.file("dir/inner", b"x"));
    let paths: Vec<_> = paths.into_iter().chain([mp3, inner, tree.root.clone()]).collect();
    for night in ["first", "second"] {
        paths.iter().for_each(|path| age(path));
        let done = nas.backup(&tree);
        assert_eq!((done.told.len(), done.of(Counter::Files)), (0, 5), "{night}");
        for path in &paths {
            assert_eq!(fs::metadata(path).unwrap().atime(), 30 * 31_556_952, "{night}: {path:?}");
        }
    }
}
