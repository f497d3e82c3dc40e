//! Words that are wrong, words that ask, and the folder of chunks that is verified without anything else.

use super::*;

#[test]
fn wrong_words_name_the_right_ones() {
    let test_box = with_programs();
    for (line, error, hint) in [
        ("brackup-restore", "--from=METAFILE is missing", "--to=DIR --all, or --just=PATH"),
        ("brackup-restore --from=x --all", "--to=DIR is missing", "--from=METAFILE"),
        ("brackup-restore --from=x --to=y", "--all or --just=PATH is missing", "--all"),
        ("brackup-restore --from=x --to=y --all --just=z", "not for one restore", "--just=PATH"),
        ("brackup-restore --from=x --from=y --to=z --all", "one --from=METAFILE at a time", "brackup-restore"),
        ("brackup-restore --from=x --to=y --all z", "z is one word too many", "brackup-restore"),
        ("brackup-restore --from=x --to=y --all --frobnicate", "there is no --frobnicate", "--help"),
        ("brackup-restore --from=x --to", "--to needs a value", "--help"),
        ("brackup-restore --from=x --to=y --all=z", "--all has no value", "--help"),
        (
            "brackup-target",
            "which target",
            "list_backups, get_backup NAME, get_backups, delete_backup NAME, prune or gc",
        ),
        ("brackup-target store", "what is to be done?", "list_backups"),
        ("brackup-target store frobnicate", "there is no command frobnicate", "delete_backup NAME"),
        ("brackup-target store get_backup", "NAME is missing", "get_backup NAME"),
        ("brackup-target store gc --keep-backups=1", "--keep-backups does nothing for gc", "--help"),
        ("brackup-target store list_backups -x", "there is no -x", "--help"),
        ("brackup-verify-chunks one two", "two is one word too many", "brackup-verify-chunks [DIR]"),
        ("brackup-verify-chunks --delete", "--delete is no more", ""),
        ("brackup-verify-inventory store --repair", "there is no --repair", "--help"),
        #[cfg(feature = "mount")]
        ("brackup-mount store", "MOUNTPOINT is missing", "TARGET MOUNTPOINT"),
        #[cfg(feature = "mount")]
        (
            "brackup-mount tree/letter.txt mnt",
            "letter.txt is a file; today all backups of a target",
            "TARGET MOUNTPOINT",
        ),
    ] {
        is_an_error(run(&test_box, line), 2, error, hint);
    }
}

#[test]
fn programs_tell_what_they_take() {
    let test_box = with_programs();
    for (program, word) in [
        ("brackup-restore", "--conflict=RULE"),
        ("brackup-target", "delete_backup NAME"),
        ("brackup-verify-chunks", "brackup-verify-chunks [DIR]"),
        ("brackup-verify-inventory", "--delete"),
        #[cfg(feature = "mount")]
        ("brackup-mount", "MOUNTPOINT"),
    ] {
        for help in ["--help", "-h"] {
            let told = run(&test_box, &format!("{program} {help}")).is(0);
            assert!(told.err.is_empty() && told.out.starts_with(program) && told.out.contains(word), "{}", told.out);
        }
        let version = run(&test_box, &format!("{program} --version")).is(0).out;
        assert_eq!(version, format!("brackup {}\n", env!("CARGO_PKG_VERSION")));
    }
    // Another name is no other program.
    symlink(env!("CARGO_BIN_EXE_brackup"), test_box.path("bin/brackup-armv7")).unwrap();
    assert!(run(&test_box, "brackup-armv7 list store").is(0).err.contains("no backups at"));
}

#[test]
fn the_inventory_is_held_against_what_is_there() {
    let test_box = with_programs();
    test_box.backup();
    run(&test_box, "brackup-verify-inventory store").is(0);
    let store = test_box.path("store");
    let chunk = names(&store).into_iter().find(|name| name.ends_with(".chunk")).unwrap();
    fs::remove_file(store.join(&chunk)).unwrap();
    let told = run(&test_box, "brackup-verify-inventory store").is(3);
    assert!(told.out.contains("missing-chunk") || told.err.contains(&chunk), "{}{}", told.out, told.err);
    // It was the only one: that is no listing to go by.
    let told = run(&test_box, "brackup-verify-inventory store --delete");
    assert!(told.err.contains("--force 1"), "{}{}", told.out, told.err);
}

#[test]
fn chunks_are_verified_where_nothing_is_known_of_them() {
    let test_box = with_programs();
    test_box.backup();
    // A disk with several targets on it, one of them of another box, and nothing else of a box.
    fs::create_dir_all(test_box.path("disk/hosts/laptop")).unwrap();
    fs::rename(test_box.path("store"), test_box.path("disk/hosts/laptop/store")).unwrap();
    let store = test_box.path("disk/hosts/laptop/store");
    fs::remove_file(store.join("brackup-target.id")).unwrap();
    fs::write(test_box.path("disk/letter.chunk"), "of somebody").unwrap();
    let chunk = names(&store).into_iter().find(|name| name.ends_with(".chunk")).unwrap();
    symlink(store.join(&chunk), test_box.path("disk").join(&chunk)).unwrap();
    fs::write(test_box.path("brackup.conf"), "[nonsense").unwrap();
    let before = (names(&test_box.path("disk")), names(&store), names(&test_box.path("state")));
    let program = test_box.path("bin/brackup-verify-chunks");
    let verify = |words: &[&str], folder: &str| {
        let mut command = Command::new(&program);
        test_box.surround(&mut command);
        command.args(words).current_dir(test_box.path(folder)).env_remove("HOME").env_remove("BRACKUP_STATE_DIR");
        Ran::of(&command.output().unwrap())
    };
    let told = verify(&[], "disk").is(0);
    assert!(told.out.starts_with("verified: 1 object, "), "{}", told.out);
    let value = verify(&["--json", "hosts"], "disk").is(0).json();
    assert_eq!((&value["objects"], &value["with_key"]), (&1.into(), &false.into()));
    // One bit.
    let mut bytes = fs::read(store.join(&chunk)).unwrap();
    bytes[100] ^= 1;
    fs::write(store.join(&chunk), bytes).unwrap();
    let told = verify(&["disk"], ".").is(3);
    assert!(told.err.contains(&format!("problem: hosts/laptop/store/{chunk}: is damaged")), "{}", told.err);
    assert_eq!((names(&test_box.path("disk")), names(&store), names(&test_box.path("state"))), before);
    is_an_error(verify(&["nowhere"], "."), 10, "can't list nowhere", "is the path right?");
    let native = test_box.brackup(["verify", "--chunks", "disk"]).is(3);
    assert!(native.out.contains("1 problem"), "{}", native.out);
    is_an_error(
        test_box.brackup(["verify", "store", "--chunks", "disk"]),
        2,
        "looks at chunks and at nothing",
        "leave out",
    );
}
