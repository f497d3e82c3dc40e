//! What to do about an error: the hint fits what is wrong, and does not lead astray.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::program::{TestBox, is_an_error};

/// With one backup of a tree of one file.
fn backed_up() -> (TestBox, String) {
    let test_box = TestBox::ready("auto");
    fs::create_dir(test_box.path("tree")).unwrap();
    fs::write(test_box.path("tree/file"), "contents").unwrap();
    let name = test_box.backup();
    (test_box, name)
}

#[test]
fn nobody_is_told_to_change_the_mode_of_a_file_that_is_no_key_file() {
    let (test_box, _) = backed_up();
    fs::write(test_box.path("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let ls = |key: &str| test_box.brackup(["ls", "tree:latest", "--key", key]);
    is_an_error(ls("/dev/null"), 2, "/dev/null: expected a file, and not a device", "BRACKUP-SECRET-KEY-1");
    is_an_error(ls("passwd"), 2, "passwd: expected a key file of brackup", "BRACKUP-SECRET-KEY-1");
    fs::set_permissions(test_box.path("secret.key"), fs::Permissions::from_mode(0o644)).unwrap();
    is_an_error(ls("secret.key"), 1, "can be read by others", "chmod 600");
}

/// What is wrong with older backups is no fault of this one.
#[test]
fn a_problem_that_names_no_file_leaves_the_backup_whole() {
    let (test_box, _) = backed_up();
    let chunk = fs::read_dir(test_box.path("store")).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk.into_iter().find(|path| path.extension().is_some_and(|end| end == "chunk")).unwrap();
    fs::remove_file(chunk).unwrap();
    let ran = test_box.brackup(["--from=tree", "--to=store"]).is(3);
    assert!(ran.out.contains("1 problem listed above: a file that is named there is not, or not whole"), "{}", ran.out);
    assert!(!ran.out.contains("these are not in the backup"), "{}", ran.out);
}

/// Somebody who has only the backups and a key needs no configuration.
#[test]
fn without_a_configuration_a_target_is_a_folder() {
    let (test_box, _) = backed_up();
    fs::remove_file(test_box.path("brackup.conf")).unwrap();
    let store = test_box.path("store").display().to_string();
    let [is_given_as, say_where] = [&*format!("a folder is given as filesystem:{store}"), "--from filesystem:/path"];
    let ls = ["ls", "tree:latest", "--key", "secret.key"];
    is_an_error(test_box.brackup([&ls[..], &["--from", &store]].concat()), 2, "no configuration file", is_given_as);
    is_an_error(test_box.brackup(["list", &store]), 2, "no configuration file", is_given_as);
    is_an_error(test_box.brackup(["list", "store"]), 2, "no configuration file", "given as filesystem:/path");
    is_an_error(test_box.brackup(ls), 2, "no configuration file", say_where);
    is_an_error(test_box.brackup(["list"]), 2, "no configuration file", say_where);
    is_an_error(test_box.brackup(["restore", "tree", "--to", "x"]), 2, "no configuration file", say_where);
    test_box.brackup(["ls", "tree:latest", "--key", "secret.key", "--from", &format!("filesystem:{store}")]).is(0);
}

/// To go on without its signature is no way with a metafile of which nothing is left.
#[test]
fn for_a_backup_of_which_nothing_is_left_there_is_the_one_before() {
    let (test_box, before) = backed_up();
    let name = test_box.backup();
    let metafile = test_box.path("store").join(format!("{name}.meta"));
    let ls = |backup: &str| test_box.brackup(["ls", backup, "--from", "store", "--key", "secret.key"]);
    for contents in ["", "something else, longer than any header begins"] {
        fs::write(&metafile, contents).unwrap();
        is_an_error(ls("tree:latest"), 1, "it is no object of brackup", "take the backup before it: `brackup list");
    }
    ls(&before).is(0);
}

#[test]
fn a_target_that_is_not_right_is_told_by_what_is_wrong_with_it() {
    let (test_box, _) = backed_up();
    let (store, id) = (test_box.path("store"), test_box.path("store/brackup-target.id"));
    let text = fs::read_to_string(&id).unwrap();
    let commands: [&[&str]; 4] = [
        &["--from=tree", "--to=store"],
        &["verify", "store", "--no-key"],
        &["list", "store"],
        &["ls", "tree:latest", "--from", "store", "--key", "secret.key"],
    ];
    fs::remove_file(&id).unwrap();
    for command in &commands[..2] {
        is_an_error(test_box.brackup(*command), 10, "or only its brackup-target.id", "is gone, put that back");
    }
    // By the words of the message.
    let told = test_box.brackup(commands[0]).err;
    let words: Vec<_> = told.split('`').collect();
    fs::write(&id, format!("{}\n{}\n", words[1], words[3])).unwrap();
    assert_eq!(fs::read_to_string(&id).unwrap(), text);
    test_box.brackup(commands[0]).is(0);
    fs::rename(&store, test_box.path("aside")).unwrap();
    for command in &commands[2..] {
        is_an_error(test_box.brackup(*command), 10, "store is not there", "is the disk mounted? is the path right?");
    }
    fs::write(&store, "").unwrap();
    for command in commands {
        is_an_error(test_box.brackup(command), 10, "store is not a folder", "is the path right?");
    }
}

#[test]
fn a_folder_that_cannot_be_restored_to_is_named() {
    let (test_box, _) = backed_up();
    let restore = |to: &str| test_box.brackup(["restore", "tree:latest", "--to", to, "--key", "secret.key"]);
    is_an_error(restore("no/where"), 1, "can't make the folder to restore to no/where: No such", "folder above it");
    is_an_error(
        restore("secret.key"),
        1,
        "can't open the folder to restore to secret.key: Not a",
        "a folder with --to",
    );
}

#[test]
fn a_key_file_that_cannot_be_made_and_a_secret_key_as_recipient() {
    let (test_box, _) = backed_up();
    is_an_error(
        test_box.brackup(["keygen", "--out", "no/where.key"]),
        1,
        "can't make the key file no/where.key: No such",
        "the folder for it must be there",
    );
    let configuration = fs::read_to_string(test_box.path("brackup.conf")).unwrap();
    let public = configuration.lines().find_map(|line| line.strip_prefix("recipient = ")).unwrap();
    let file = test_box.path("secret.key");
    let text = fs::read_to_string(&file).unwrap();
    let secret = text.lines().find(|line| line.starts_with("BRACKUP-SECRET-KEY-1")).unwrap();
    for recipient in [file.to_str().unwrap(), secret] {
        test_box.configure(&configuration.replace(public, recipient));
        let ran = test_box.brackup(["--from=tree", "--to=store"]);
        assert!(!ran.err.contains(secret), "a secret is not shown");
        is_an_error(ran, 2, "is a secret key, and not a public one", "must not be on the box: move it away");
    }
}

#[test]
fn of_several_targets_one_is_to_be_named() {
    let test_box = TestBox::new();
    is_an_error(test_box.brackup(["list"]), 2, "which target? the configuration has none", "filesystem:/path");
    test_box.configure("[TARGET:a]\ntype = Filesystem\npath = /a\n[TARGET:b]\ntype = Filesystem\npath = /b\n");
    is_an_error(test_box.brackup(["list"]), 2, "the configuration has several: a, b", "name one of them");
}
