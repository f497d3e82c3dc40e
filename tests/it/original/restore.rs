//! `brackup-restore`.

use super::*;

#[test]
fn everything_or_a_part() {
    let test_box = with_programs();
    let name = test_box.backup();
    run(&test_box, &format!("brackup-restore --from={name} --to=all --all")).is(0);
    assert_eq!(fs::read(test_box.path("all/photos/2006/two.jpg")).unwrap(), noise(7, 3000));
    run(&test_box, &format!("brackup-restore --from {name}.meta --to just --just photos/2006 --just=letter.txt")).is(0);
    assert_eq!(names(&test_box.path("just")), ["letter.txt", "photos"]);
    assert_eq!(names(&test_box.path("just/photos")), ["2006"]);
    // The path that it had, as the original takes it.
    let path = test_box.path("tree/photos/one.jpg");
    run(&test_box, &format!("brackup-restore --from=tree:latest --to=whole --just={}", path.display())).is(0);
    assert_eq!(names(&test_box.path("whole/photos")), ["one.jpg"]);
    let told = run(&test_box, "brackup-restore -n --dry_run --json --from=tree:latest --to=dry --all").is(0);
    assert_eq!(told.json()["dry_run"], true);
    assert!(!test_box.path("dry").exists());
}

#[test]
fn a_metafile_here_does_for_one_that_the_target_has_lost() {
    let test_box = with_programs();
    let name = test_box.backup();
    let meta = format!("{name}.meta");
    run(&test_box, &format!("brackup-target store get_backup {name}")).is(0);
    fs::remove_file(test_box.path("store").join(&meta)).unwrap();
    is_an_error(run(&test_box, &format!("brackup-restore --from={name} --to=a --all")), 1, "no backup", "brackup list");
    run(&test_box, &format!("brackup-restore --from={meta} --to=a --all")).is(0);
    assert_eq!(fs::read(test_box.path("a/letter.txt")).unwrap(), b"Dear Brad\n");
    // Whatever it is called.
    fs::rename(test_box.path(&meta), test_box.path("my.brackup")).unwrap();
    let told = run(&test_box, "brackup-restore --from=my.brackup --to=b --all").is(0);
    assert!(told.out.contains(&format!("of {name} to b")), "{}", told.out);
    let opening = test_box.opening();
    let native = ["ls", "./my.brackup"].iter().copied().chain(opening.iter().map(String::as_str));
    assert!(test_box.brackup(native).is(0).out.contains("letter.txt"));
    // What is changed is refused, as at a target.
    let mut bytes = fs::read(test_box.path("my.brackup")).unwrap();
    bytes[40] ^= 1;
    fs::write(test_box.path("odd.brackup"), &bytes).unwrap();
    is_an_error(
        run(&test_box, "brackup-restore --from=odd.brackup --to=c --all"),
        1,
        "can't be used",
        "accept-unsigned",
    );
    fs::write(test_box.path("text"), "Dear Brad\n").unwrap();
    is_an_error(run(&test_box, "brackup-restore --from=text --to=c --all"), 1, "./text can't be used", "");
    is_an_error(run(&test_box, "brackup-restore --from=./none --to=c --all"), 1, "can't read ./none", "");
    assert!(!test_box.path("c").exists());
}

#[test]
fn the_target_is_named_where_there_are_several() {
    let test_box = with_programs();
    let name = test_box.backup();
    let both = fs::read_to_string(test_box.path("brackup.conf")).unwrap();
    let other = test_box.path("other");
    test_box.configure(&format!("{both}[TARGET:other]\ntype = Filesystem\npath = {}\n", other.display()));
    is_an_error(
        run(&test_box, &format!("brackup-restore --from={name} --to=a --all")),
        2,
        "which target?",
        "name one of them",
    );
    run(&test_box, &format!("brackup-restore --from={name} --to=a --all --target=store")).is(0);
}

#[test]
fn conflicts_and_errors_have_the_words_that_they_had() {
    let test_box = with_programs();
    let at = |path: &str| fs::read(test_box.path(path));
    fs::write(test_box.path("tree/a"), noise(1, 2_500_000)).unwrap();
    test_box.backup();
    run(&test_box, "brackup-restore --from=tree:latest --to=to --just=letter.txt").is(0);
    fs::write(test_box.path("to/letter.txt"), "mine").unwrap();
    let restore =
        |more: &str| run(&test_box, &format!("brackup-restore --from=tree:latest --to=to --just=letter.txt {more}"));
    is_an_error(restore("--conflict=abort"), 1, "is there already", "--conflict");
    restore("--conflict=skip").is(0);
    restore("--conflict=update").is(0);
    assert_eq!(at("to/letter.txt").unwrap(), b"mine");
    restore("--conflict=identical").is(0);
    assert_eq!(at("to/letter.txt").unwrap(), b"Dear Brad\n");
    restore("--conflict=overwrite").is(0);
    assert!(restore("--conflict=ask").is(2).err.contains("abort, skip, overwrite, update, identical"));
    is_an_error(restore("--onerror=prompt"), 2, "\"prompt\", expected continue or abort", "");

    // A chunk that is full holds of `a` and nothing of what comes behind it.
    let store = test_box.path("store");
    let full = names(&store).into_iter().find(|name| fs::metadata(store.join(name)).unwrap().len() >= 1 << 20).unwrap();
    fs::write(store.join(full), vec![0; 1 << 20]).unwrap();
    for (number, spelling) in ["--onerror=abort", "--on-error abort", "--on_error=abort"].iter().enumerate() {
        let ran =
            run(&test_box, &format!("brackup-restore --from=tree:latest --to=left{number} --all {spelling}")).is(1);
        assert!(ran.err.contains("problem: a: ") && ran.err.contains("error: left off at the first"), "{}", ran.err);
        assert!(at(&format!("left{number}/letter.txt")).is_err(), "it went on");
    }
    for (number, spelling) in ["--onerror=continue", "-v"].iter().enumerate() {
        run(&test_box, &format!("brackup-restore --from=tree:latest --to=on{number} --all {spelling}")).is(3);
        assert_eq!(at(&format!("on{number}/letter.txt")).unwrap(), b"Dear Brad\n");
    }
}
