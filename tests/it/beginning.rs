//! The commands that begin: quickstart and keygen make everything, and overwrite nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::program::{Ran, TestBox, is_an_error};

#[test]
fn quickstart_never_overwrites() {
    let test_box = TestBox::new();
    fs::remove_file(test_box.path("brackup.conf")).unwrap();
    fs::create_dir(test_box.path("precious")).unwrap();
    fs::write(test_box.path("precious/thing"), "thing").unwrap();
    let run = || {
        let mut command = test_box.command();
        command.env_remove("BRACKUP_CONF").args(["quickstart", "precious"]);
        Ran::of(&command.output().unwrap())
    };
    let ran = run().is(0);
    assert!(ran.out.contains("verified: 1 file opened and compared: 0 problems"), "{}", ran.out);
    let contents = |folder: &Path| {
        let mut files: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        files.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let before = contents(&test_box.path("home"));
    assert_eq!(before.len(), 2, "a configuration and a key: {before:?}");
    for (path, _) in &before {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    is_an_error(run(), 2, ".brackup.conf is there already", "config check");
    assert_eq!(contents(&test_box.path("home")), before);
    let empty = TestBox::new();
    is_an_error(empty.brackup(["quickstart", "precious"]), 2, "brackup.conf is there already", "config check");
    fs::remove_file(empty.path("brackup.conf")).unwrap();
    fs::write(empty.path("secret"), "no directory").unwrap();
    is_an_error(empty.brackup(["quickstart", "nowhere"]), 2, "nowhere is not there", "name the directory");
    is_an_error(empty.brackup(["quickstart", "secret"]), 2, "secret is no directory", "name the directory");
    is_an_error(empty.brackup(["quickstart", "home", "--target", "no/where"]), 2, "no is not there", "--target");
    is_an_error(empty.brackup(["quickstart", "home", "--config", "no/where"]), 2, "no is not there", "--config");
    assert_eq!(contents(&empty.path("home")), [], "nothing is made when something is wrong");
}

#[test]
fn keygen_never_overwrites() {
    let test_box = TestBox::new();
    let made = test_box.brackup(["keygen", "--out", "secret.key"]).is(0);
    assert!(made.out.starts_with("public key: brackup1") && made.out.contains("\nkey id: "), "{}", made.out);
    let key = fs::read(test_box.path("secret.key")).unwrap();
    assert_eq!(fs::metadata(test_box.path("secret.key")).unwrap().permissions().mode() & 0o777, 0o600);
    is_an_error(
        test_box.brackup(["keygen", "--out", "secret.key"]),
        1,
        "secret.key exists already",
        "another file name",
    );
    assert_eq!(fs::read(test_box.path("secret.key")).unwrap(), key);
}

#[test]
fn a_locked_key_needs_its_passphrase() {
    let test_box = TestBox::new();
    is_an_error(test_box.brackup(["keygen", "--passphrase", "--out", "l.key"]), 2, "no terminal", "BRACKUP_PASSPHRASE");
    let empty = TestBox::new().with("BRACKUP_PASSPHRASE", "");
    is_an_error(empty.brackup(["keygen", "--passphrase", "--out", "l.key"]), 2, "is empty", "locks nothing");
    let test_box = test_box.with("BRACKUP_PASSPHRASE", "correct horse");
    let made = test_box.brackup(["keygen", "--passphrase", "--json", "--out", "l.key"]).is(0).json();
    assert!(fs::read_to_string(test_box.path("l.key")).unwrap().contains("\nBRACKUP-LOCKED-KEY-1"));
    let recipient = made["public_key"].as_str().unwrap();
    fs::create_dir(test_box.path("tree")).unwrap();
    fs::create_dir(test_box.path("store")).unwrap();
    fs::write(test_box.path("tree/file"), "file").unwrap();
    let (tree, store) = (test_box.path("tree"), test_box.path("store"));
    test_box.configure(&format!(
        "[SOURCE:tree]\npath = {}\nrecipient = {recipient}\n[TARGET:store]\ntype = Filesystem\npath = {}\n",
        tree.display(),
        store.display()
    ));
    test_box.backup();
    let restore = ["restore", "tree:latest", "--key", "l.key", "--to"];
    test_box.brackup([&restore[..], &["right"]].concat()).is(0);
    assert_eq!(fs::read(test_box.path("right/file")).unwrap(), b"file");
    let test_box = test_box.with("BRACKUP_PASSPHRASE", "wrong donkey");
    is_an_error(
        test_box.brackup([&restore[..], &["wrong"]].concat()),
        12,
        "passphrase of l.key is missing or wrong",
        "BRACKUP_PASSPHRASE",
    );
    assert!(!test_box.path("wrong").exists());
}

#[test]
fn a_key_that_was_typed_wrong_is_said_to_be_so() {
    let test_box = TestBox::new();
    test_box.brackup(["keygen", "--out", "good.key"]).is(0);
    let good = fs::read_to_string(test_box.path("good.key")).unwrap();
    let line = good.lines().find(|line| line.starts_with("BRACKUP-SECRET-KEY-1")).unwrap();
    let last = if line.ends_with('Q') { 'P' } else { 'Q' };
    let wrong =
        [format!("{}{last}", &line[..line.len() - 1]), line[..line.len() - 1].to_owned(), line.replace('A', "a")];
    for text in wrong.iter().filter(|text| *text != line) {
        fs::write(test_box.path("typed.key"), text).unwrap();
        fs::set_permissions(test_box.path("typed.key"), fs::Permissions::from_mode(0o600)).unwrap();
        is_an_error(test_box.brackup(["key", "show", "typed.key"]), 2, "typing error", "BRACKUP-SECRET-KEY-1");
    }
    is_an_error(test_box.brackup(["key", "show", "home"]), 1, "can't use the key file home", "");
}

/// One that can't be opened does not keep another from fitting.
#[test]
fn of_several_keys_a_locked_one_is_passed_over() {
    let test_box = TestBox::ready("auto").with("BRACKUP_PASSPHRASE", "right");
    fs::create_dir(test_box.path("tree")).unwrap();
    test_box.backup();
    test_box.brackup(["keygen", "--passphrase", "--out", "locked.key"]).is(0);
    let test_box = test_box.with("BRACKUP_PASSPHRASE", "wrong");
    let ls = |keys: &[&str]| test_box.brackup([&["ls", "tree:latest"], keys].concat());
    let ran = ls(&["--key", "locked.key", "--key", "secret.key"]).is(0);
    assert!(ran.err.contains("warning: the passphrase of locked.key is missing or wrong"), "{}", ran.err);
    is_an_error(ls(&["--key", "locked.key"]), 12, "passphrase", "BRACKUP_PASSPHRASE");
}

/// A box that has lost its key goes on; whoever restores is told what to add to the key file.
#[test]
fn a_new_key_of_the_box_is_trusted_once_the_key_file_names_it() {
    let test_box = TestBox::ready("auto");
    fs::create_dir(test_box.path("tree")).unwrap();
    fs::write(test_box.path("tree/file"), "contents").unwrap();
    test_box.backup();
    fs::remove_file(test_box.path("keys/box.key")).unwrap();
    let told = test_box.brackup(["--from=tree", "--to=store"]).is(0).err;
    let (_, line) = told.split_once("refuses until the secret key file has the line `").expect(&told);
    let (line, _) = line.split_once('`').unwrap();
    let key = test_box.path("secret.key");
    let ls = || test_box.brackup(["ls", "tree:latest", "--from", "store", "--key", key.to_str().unwrap()]);
    is_an_error(
        ls(),
        1,
        "which is not a trusted box",
        "add a line `box: ` and its public key to your copy of the secret",
    );
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("{text}{line}\n")).unwrap();
    ls().is(0);
}
