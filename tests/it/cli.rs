//! The command line: exit codes, words, JSON, and that nothing is overwritten.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
#[cfg(feature = "manual")]
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;

use super::program::{Ran, TestBox, is_an_error};

/// A small tree, two backups of it, and the names of these.
fn two_backups() -> (TestBox, [String; 2]) {
    let test_box = TestBox::ready("auto");
    let tree = test_box.path("tree");
    fs::create_dir_all(tree.join("photos/2006")).unwrap();
    fs::write(tree.join("letter.txt"), "Dear Brad\n").unwrap();
    fs::write(tree.join("photos/one.jpg"), "one").unwrap();
    fs::write(tree.join("photos/2006/two.jpg"), "two").unwrap();
    fs::write(tree.join("gone"), "gone").unwrap();
    let first = test_box.backup();
    fs::write(tree.join("letter.txt"), "Dear Brad, dear all\n").unwrap();
    fs::write(tree.join("new"), "new").unwrap();
    fs::remove_file(tree.join("gone")).unwrap();
    fs::set_permissions(tree.join("photos/one.jpg"), fs::Permissions::from_mode(0o600)).unwrap();
    let second = test_box.backup();
    (test_box, [first, second])
}

fn opened(test_box: &TestBox, arguments: &[&str]) -> Ran {
    let opening = test_box.opening();
    test_box.brackup(arguments.iter().copied().chain(opening.iter().map(String::as_str)))
}

/// Exactly these keys, and docs/JSON.md has each of them.
#[track_caller]
pub(crate) fn has_keys(value: &Value, keys: &[&str]) {
    let found: BTreeSet<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys.iter().copied().collect());
    let Ok(documented) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md")) else { return };
    for key in keys {
        let is_there = documented.contains(&format!("`{key}`")) || documented.contains(&format!("\"{key}\":"));
        assert!(is_there, "docs/JSON.md does not tell of `{key}`");
    }
}

#[test]
fn help_is_data_and_tells_the_exit_codes() {
    let test_box = TestBox::new();
    let help = test_box.brackup(["--help"]).is(0);
    assert!(help.err.is_empty() && help.out.contains("Exit codes: 0 done, 1 failed, 2 usage"), "{}", help.out);
    for command in [
        "backup",
        "bench",
        "cat",
        "config",
        "diff",
        "find",
        "key",
        "keygen",
        "list",
        "ls",
        "quickstart",
        "restore",
        "serve",
        "verify",
    ] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command} is not in the help");
        assert!(test_box.brackup([command, "--help"]).is(0).out.contains("Usage: brackup"));
    }
    assert_eq!(test_box.brackup(["--version"]).is(0).out, format!("brackup {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn errors_of_the_command_line() {
    let test_box = TestBox::new();
    for arguments in [
        &["--nope"][..],
        &["frobnicate"],
        &["--from=x"],
        &["restore", "x"],
        &["restore", "x", "--to", "y", "--conflict", "z"],
        &["ls"],
    ] {
        let ran = test_box.brackup(arguments).is(2);
        assert!(ran.err.starts_with("brackup: error: ") && ran.out.is_empty(), "{arguments:?}:\n{}", ran.err);
        assert!(ran.err.contains("--help"), "{arguments:?} names no way out:\n{}", ran.err);
    }
    is_an_error(test_box.brackup::<&str>([]), 2, "what is to be done?", "`brackup quickstart DIR`");
    is_an_error(test_box.brackup(["--from=a", "--to=b", "list"]), 2, "before another command", "behind its name");
    is_an_error(test_box.brackup(["list"]), 2, "which target?", "filesystem:/path");
}

#[test]
fn options_of_all_commands_stand_before_or_behind() {
    let (test_box, _) = two_backups();
    let config = test_box.path("elsewhere.conf");
    fs::rename(test_box.path("brackup.conf"), &config).unwrap();
    let config = config.to_str().unwrap();
    let before = test_box.brackup(["--config", config, "--json", "list", "store"]).is(0);
    let behind = test_box.brackup(["list", "store", "--config", config, "--json"]).is(0);
    assert_eq!((before.out.lines().count(), before.out), (2, behind.out));
}

#[test]
fn errors_of_the_configuration() {
    let test_box = TestBox::ready("auto");
    is_an_error(test_box.brackup(["--from=tre", "--to=store"]), 2, "no source \"tre\"", "did you mean \"tree\"?");
    is_an_error(test_box.brackup(["--from=tree", "--to=stor"]), 10, "no target \"stor\"", "did you mean \"store\"?");
    is_an_error(test_box.brackup(["--from=tree", "--to=store"]), 1, "tree", "is it mounted");
    test_box.configure("[SOURCE:tree]\npth = /raid\n");
    is_an_error(
        test_box.brackup(["config", "check"]),
        2,
        "brackup.conf:2: unknown key \"pth\"",
        "did you mean \"path\"?",
    );
    test_box.configure("[SOURCE:tree]\npath = /raid\nrecipient = 00000000\n[TARGET:store]\ntype = Filesystem\npath = /nowhere/at/all\n");
    is_an_error(test_box.brackup(["--from=tree", "--to=store"]), 2, "no public key with the id 00000000", "keygen");
    fs::remove_file(test_box.path("brackup.conf")).unwrap();
    is_an_error(test_box.brackup(["config", "check"]), 2, "which $BRACKUP_CONF names", "quickstart");
}

#[test]
fn errors_of_opening() {
    let (test_box, _) = two_backups();
    let key = test_box.path("other.key");
    let key = key.to_str().unwrap();
    test_box.brackup(["keygen", "-q", "--out", key]).is(0);
    is_an_error(test_box.brackup(["ls", "tree:latest"]), 12, "no secret key was given", "--key FILE");
    is_an_error(test_box.brackup(["ls", "tree:latest", "--key", key]), 12, "not sealed to any", "$BRACKUP_KEY");
    is_an_error(test_box.brackup(["ls", "tree:latest", "--key", "nowhere.key"]), 1, "nowhere.key: No such file", "");
    fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    is_an_error(test_box.brackup(["ls", "tree:latest", "--key", key]), 1, "can be read by others", "chmod 600");
    is_an_error(opened(&test_box, &["ls", "proj:latest"]), 1, "no backup proj:latest", "brackup list");
    is_an_error(opened(&test_box, &["ls", "tree:latest", "nowhere"]), 1, "nothing in tree-", "");
    is_an_error(
        opened(&test_box, &["cat", "tree:latest", "photos"]),
        1,
        "photos has no contents: it is a directory",
        "",
    );
    is_an_error(opened(&test_box, &["cat", "tree:latest", "nowhere"]), 1, "has no nowhere", "");
    is_an_error(opened(&test_box, &["find", "*.png"]), 1, "no backup at", "");
    is_an_error(
        opened(&test_box, &["restore", "tree", "--to", "x", "--as-of", "yesterday"]),
        2,
        "yesterday is no date",
        "2026-11-23",
    );
    // This one tells how much it restored first: that is data.
    let nothing = opened(&test_box, &["restore", "tree:latest", "nowhere", "--to", "x"]).is(1);
    assert!(nothing.err.starts_with("brackup: error: nothing in tree-"), "{}", nothing.err);
}

#[test]
fn json_of_runs() {
    let (test_box, [_, second]) = two_backups();
    let counts = ["files", "bytes", "problems", "seconds", "command", "interrupted"];
    let backup = test_box.brackup(["--from=tree", "--to=store", "--json"]).is(0).json();
    let more = [
        "backup",
        "dry_run",
        "recipients",
        "unchanged_files",
        "other_entries",
        "read_bytes",
        "chunks_stored",
        "stored_bytes",
        "notices",
    ];
    has_keys(&backup, &[&counts[..], &more].concat());
    assert_eq!((&backup["command"], &backup["files"]), (&"backup".into(), &4.into()));
    let dry = test_box.brackup(["--from=tree", "--to=store", "--json", "-n"]).is(0).json();
    assert_eq!((&dry["backup"], &dry["dry_run"]), (&Value::Null, &true.into()));
    let restored = opened(&test_box, &["restore", &second, "--to", "back", "--json"]).is(0).json();
    has_keys(&restored, &[&counts[..], &["backup", "to", "dry_run", "selected", "other_entries", "notices"]].concat());
    assert_eq!((&restored["files"], &restored["backup"]), (&4.into(), &second.as_str().into()));
    let verified = test_box.brackup(["verify", "store", "--json"]).is(0).json_lines();
    let (sum, objects) = verified.split_last().unwrap();
    let of_chunks = ["chunks", "chunks_read", "chunks_never_read", "oldest_reading"];
    has_keys(sum, &[&counts[..], &of_chunks, &["with_key", "objects", "stored_bytes", "notices"]].concat());
    objects.iter().for_each(|object| has_keys(object, &["object", "is_whole", "is_new", "at"]));
    let key = test_box.path("secret.key");
    let verified = test_box.brackup(["verify", "store", "--json", "--key", key.to_str().unwrap()]).is(0).json();
    assert_eq!(
        (&verified["with_key"], &verified["problems"], &verified["files"]),
        (&true.into(), &0.into(), &12.into())
    );
    let shown = test_box.brackup(["key", "show", "secret.key", "--json"]).is(0).json();
    has_keys(&shown, &["command", "public_key", "key_id", "boxes"]);
    let made = test_box.brackup(["keygen", "--json", "--out", "more.key"]).is(0).json();
    has_keys(&made, &["command", "public_key", "key_id", "secret_key_file"]);
}

#[test]
fn looking_at_backups() {
    let (test_box, [first, second]) = two_backups();
    let list = test_box.brackup(["list"]).is(0);
    assert!(
        list.out.starts_with(&format!("{first}  ")) && list.out.contains("#2 ") && list.err.is_empty(),
        "{}",
        list.out
    );
    let list = test_box.brackup(["list", "store", "--json"]).is(0).json_lines();
    has_keys(&list[1], &["backup", "root", "day", "sequence", "signer", "chunks", "metafile_bytes"]);
    assert_eq!((&list[1]["backup"], &list[1]["sequence"]), (&second.as_str().into(), &2.into()));

    let paths = |ran: Ran| {
        ran.is(0).json_lines().iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        paths(opened(&test_box, &["ls", &first, "--json"])),
        [".", "gone", "letter.txt", "photos", "photos/2006", "photos/2006/two.jpg", "photos/one.jpg"]
    );
    assert_eq!(
        paths(opened(&test_box, &["ls", "tree:latest", "photos/2006", "--json"])),
        ["photos/2006", "photos/2006/two.jpg"]
    );
    let text = opened(&test_box, &["ls", "tree:latest", "photos/one.jpg"]).is(0).out;
    assert!(text.starts_with("-rw-------") && text.ends_with("Z photos/one.jpg\n"), "{text}");
    let entry = &opened(&test_box, &["ls", &second, "letter.txt", "--json"]).is(0).json_lines()[0];
    let keys = ["path", "type", "mode", "uid", "gid", "user", "group", "size", "mtime", "sha1", "problem"];
    has_keys(entry, &keys);
    assert_eq!(entry["size"], 20);

    assert_eq!(opened(&test_box, &["cat", &first, "letter.txt"]).is(0).out, "Dear Brad\n");
    assert_eq!(opened(&test_box, &["cat", "tree:latest", "letter.txt"]).is(0).out, "Dear Brad, dear all\n");
    assert_eq!(
        opened(&test_box, &["diff", &first, &second]).is(0).out,
        "m .\n- gone\nM letter.txt\n+ new\nm photos/one.jpg\n"
    );
    let changes = opened(&test_box, &["diff", &first, &second, "--json"]).is(0).json_lines();
    has_keys(&changes[0], &["change", "path"]);
    let words: Vec<_> = changes.iter().map(|change| change["change"].as_str().unwrap()).collect();
    assert_eq!(words, ["metadata", "removed", "contents", "added", "metadata"]);
    assert_eq!(opened(&test_box, &["diff", &first, &first]).is(0).out, "");
    let found = opened(&test_box, &["find", "*.jpg", "--json"]).is(0).json_lines();
    has_keys(&found[0], &[&keys[..], &["backup"]].concat());
    assert_eq!(found.len(), 4);
    assert_eq!(opened(&test_box, &["find", "gone", "--root", "tree"]).is(0).out.lines().count(), 1);
}

#[test]
fn cat_takes_a_path_and_no_glob() {
    let test_box = TestBox::ready("auto");
    fs::create_dir_all(test_box.path("tree/x")).unwrap();
    for name in ["e1.jpg", "e[1].jpg", "caf\u{85}"] {
        fs::write(test_box.path("tree/x").join(name), name).unwrap();
    }
    test_box.backup();
    let cat = |path: &str| opened(&test_box, &["cat", "tree:latest", path]);
    assert_eq!(cat("x/e[1].jpg").is(0).out, "e[1].jpg");
    assert_eq!(cat(test_box.path("tree/x/e[1].jpg").to_str().unwrap()).is(0).out, "e[1].jpg");
    assert_eq!(cat(r"x/caf\xc2\x85").is(0).out, "caf\u{85}");
    is_an_error(cat("x/e?.jpg"), 1, "has no x/e?.jpg", "");
    is_an_error(cat("e1.jpg"), 1, "has no e1.jpg", "");
    is_an_error(cat("x"), 1, "x has no contents: it is a directory", "");
    let listed = opened(&test_box, &["ls", "tree:latest", "x/e[1].jpg"]).is(0).out;
    assert_eq!(listed.lines().count(), 2, "{listed}");
}

#[test]
fn restoring_parts() {
    let (test_box, _) = two_backups();
    let out = opened(&test_box, &["restore", "tree:latest", "*.jpg", "--to", "jpg"]).is(0);
    assert!(out.out.starts_with("restored 2 files, 6 B of tree-"), "{}", out.out);
    assert!(test_box.path("jpg/photos/2006/two.jpg").exists() && !test_box.path("jpg/letter.txt").exists());
    opened(&test_box, &["restore", "tree:latest", "photos/2006", "--to", "folder"]).is(0);
    assert!(test_box.path("folder/photos/2006/two.jpg").exists() && !test_box.path("folder/photos/one.jpg").exists());
    is_an_error(opened(&test_box, &["restore", "tree:latest", "--to", "jpg"]), 1, "is there already", "--conflict");
    fs::write(test_box.path("jpg/photos/one.jpg"), "mine").unwrap();
    opened(&test_box, &["restore", "tree:latest", "--to", "jpg", "--conflict", "skip"]).is(0);
    assert_eq!(fs::read(test_box.path("jpg/photos/one.jpg")).unwrap(), b"mine");
    opened(&test_box, &["restore", "tree:latest", "--to", "jpg", "--conflict", "overwrite"]).is(0);
    assert_eq!(fs::read(test_box.path("jpg/photos/one.jpg")).unwrap(), b"one");
    let some = opened(&test_box, &["restore", "tree:latest", "letter.txt", "nowhere", "--to", "some"]).is(3);
    assert!(some.err.contains("problem: nowhere: nothing in this backup is meant by it"), "{}", some.err);
    opened(&test_box, &["ls", "tree:latest", "letter.txt", "nowhere"]).is(3);
    opened(&test_box, &["restore", "tree:latest", "--to", "dry", "-n"]).is(0);
    assert!(!test_box.path("dry").exists(), "a dry run wrote something");
}

#[test]
#[cfg(feature = "manual")]
fn completions_and_the_manual_page_are_understood() {
    let test_box = TestBox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = test_box.brackup(["completions", shell]).is(0).out;
        assert!(script.contains("quickstart"), "{shell}");
        fs::write(test_box.path(shell), script).unwrap();
        // -n: read, do not run. A shell that is not on this machine has nothing to say.
        if let Ok(read) = Command::new(shell).arg("-n").arg(test_box.path(shell)).output() {
            assert!(read.status.success(), "{shell}: {}", Ran::of(&read).err);
        }
    }
    let page = test_box.brackup(["man"]).is(0).out;
    assert!(page.contains(".SH NAME") && page.contains("QUICKSTART"));
    fs::write(test_box.path("brackup.1"), page).unwrap();
    let mut man = Command::new("man");
    test_box.surround(&mut man);
    if let Ok(shown) = man.env("MANPAGER", "cat").args(["--warnings", "-l"]).arg(test_box.path("brackup.1")).output() {
        let shown = Ran::of(&shown);
        // Minimal systems have a `man` that only says that it is none.
        assert!(shown.out.contains("quickstart") || shown.out.contains("minimized"), "{}{}", shown.out, shown.err);
        assert_eq!(shown.err, "", "warnings of man");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let (test_box, _) = two_backups();
    let many = test_box.path("tree/many");
    fs::create_dir(&many).unwrap();
    for at in 0..3000 {
        fs::write(many.join(format!("a file with a rather long name {at}")), "").unwrap();
    }
    test_box.backup();
    let mut command = test_box.command();
    let mut ls = command
        .args(["ls", "tree:latest"])
        .args(test_box.opening())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is still to be written when its other end closes.
    drop(ls.stdout.take());
    let ran = Ran::of(&ls.wait_with_output().unwrap()).is(0);
    assert_eq!(ran.err, "");
}

#[test]
fn a_damaged_backup_does_not_hide_the_others_from_find() {
    let (test_box, [first, second]) = two_backups();
    let metafile = test_box.path("store").join(format!("{first}.meta"));
    let bytes = fs::read(&metafile).unwrap();
    fs::write(&metafile, &bytes[1..]).unwrap();
    let found = opened(&test_box, &["find", "letter.txt"]).is(3);
    assert!(found.out.contains(&second) && !found.out.contains(&first), "{}", found.out);
    assert!(found.err.contains(&format!("warning: {first}.meta can't be used")), "{}", found.err);
}
