//! `brackup-target`.

use super::*;

#[test]
fn backups_are_listed_and_fetched_as_they_are() {
    let test_box = with_programs();
    let (one, two) = (test_box.backup(), test_box.backup());
    let listed = test_box.brackup(["list", "store"]).is(0).out;
    for words in ["store list_backups", "store list-backups", "-v store -- list_backups"] {
        assert_eq!(run(&test_box, &format!("brackup-target {words}")).is(0).out, listed);
    }
    let [one, two] = [one, two].map(|name| format!("{name}.meta"));
    let told = run(&test_box, &format!("brackup-target store get_backup {one}")).is(0).out;
    assert!(told.starts_with(&format!("./{one}  ")) && told.ends_with("  fetched\n"), "{told}");
    let bytes = |path: &str| fs::read(test_box.path(path)).unwrap();
    assert_eq!(bytes(&one), bytes(&format!("store/{one}")));
    let none = run(&test_box, "brackup-target store get_backups --dest=nowhere").is(1);
    assert!(none.err.matches("can't write nowhere/tree-").count() == 1, "{}", none.err);

    // One that can't be read is told, and the others come.
    let odd = test_box.path("store/tree-2001010100.meta");
    fs::create_dir(&odd).unwrap();
    let some = run(&test_box, "brackup-target --json store get_backups --dest=some").is(1);
    assert!(some.err.contains("can't write some/"), "{}", some.err);
    fs::create_dir(test_box.path("some")).unwrap();
    let some = run(&test_box, "brackup-target --json store get_backups --dest=some").is(3);
    assert!(some.err.contains("problem: tree-2001010100: is not fetched: "), "{}", some.err);
    let states: Vec<_> = some.json_lines().into_iter().map(|line| line["state"].clone()).collect();
    assert_eq!(states, ["unread", "fetched", "fetched"]);
    assert_eq!(names(&test_box.path("some")), [one.clone(), two.clone()]);
    fs::remove_dir(&odd).unwrap();

    // What is there stays what it is.
    fs::create_dir(test_box.path("got")).unwrap();
    fs::write(test_box.path("got").join(&one), "mine").unwrap();
    let all = run(&test_box, "brackup-target store get-backups --dest got").is(3);
    assert!(all.err.contains(&format!("problem: got/{one}: is there with other contents")), "{}", all.err);
    assert_eq!(
        (bytes(&format!("got/{one}")), bytes(&format!("got/{two}"))),
        (b"mine".into(), bytes(&format!("store/{two}")))
    );
    fs::remove_file(test_box.path("got").join(&one)).unwrap();
    let all = run(&test_box, "brackup-target --json store get_backups --dest=got").is(0).json_lines();
    all.iter().for_each(|line| has_keys(line, &["backup", "file", "bytes", "state"]));
    assert_eq!(all.iter().map(|line| &line["state"]).collect::<Vec<_>>(), ["fetched", "there"]);
    assert_eq!(names(&test_box.path("got")), [one, two], "nothing unfinished is left");
    is_an_error(
        run(&test_box, "brackup-target store get_backup tree-2001010100"),
        1,
        "no backup tree-2001010100",
        "brackup list",
    );
}

#[test]
fn one_backup_goes_by_its_name() {
    let test_box = with_programs();
    let [one, two, three] = [(); 3].map(|()| {
        fs::write(test_box.path("tree/of-the-night"), test_box.path("x").as_os_str().len().to_string()).unwrap();
        test_box.backup()
    });
    let delete = |words: &str| run(&test_box, &format!("brackup-target store delete_backup {words}"));
    let told = delete(&format!("{two} -n")).is(0).out;
    assert!(told.contains(&format!("remove  {two}  ")) && told.contains("  named\n"), "{told}");
    assert!(told.ends_with("dry run: 2 backups to stay, 1 backup to go\n"), "{told}");
    test_box.brackup(["pin", &two]).is(0);
    is_an_error(delete(&two), 1, "is pinned", "unpin");
    test_box.brackup(["unpin", &two]).is(0);
    is_an_error(delete("tree:latest"), 2, "tree:latest is not the name of a backup", "list");
    is_an_error(delete("tree-2001010100"), 1, "no backup tree-2001010100", "brackup list");
    let told = delete(&format!("{two}.meta")).is(0).out;
    assert!(
        told.starts_with(&format!("removed {two}  ")) && told.contains("2 backups kept, 1 backup removed"),
        "{told}"
    );
    assert!(test_box.path("store").join(format!("{two}.tombstone")).exists());
    is_an_error(delete(&two), 1, "has been pruned", "brackup list");

    // The newest too: who names it means it. The chain stays whole.
    run(&test_box, &format!("brackup-target store delete-backup {three}")).is(0);
    let verify = |what: &str| {
        let told = test_box.brackup(["verify", "store", "--no-key"]).is(0);
        assert!(told.out.contains("no problem") && !told.err.contains("note"), "{what}: {}{}", told.out, told.err);
    };
    verify("the newest went");
    let four = test_box.backup();
    verify("the chain went on");
    let left: Vec<_> = names(&test_box.path("store")).into_iter().filter(|name| name.ends_with(".meta")).collect();
    assert_eq!(left, [one, four].map(|name| format!("{name}.meta")));
    let options = ["prune", "store", "--backup", &left[0], "--keep-last", "1"];
    is_an_error(test_box.brackup(options), 2, "no rule and no --source", "");
}

#[test]
fn another_box_s_backup_does_not_go() {
    let test_box = with_programs();
    let name = test_box.backup();
    let other = with_programs();
    fs::copy(test_box.path("store/brackup-target.id"), other.path("store/brackup-target.id")).unwrap();
    other.backup();
    let foreign = name.replace("tree-", "theirs-");
    fs::copy(test_box.path("store").join(format!("{name}.meta")), other.path("store").join(format!("{foreign}.meta")))
        .unwrap();
    let ran = run(&other, &format!("brackup-target store delete_backup {foreign}"));
    is_an_error(ran, 1, "is another box's, or this box has forgotten it", "the box that made it");
    assert!(other.path("store").join(format!("{foreign}.meta")).exists());
}

#[test]
fn old_backups_and_their_chunks_go() {
    let test_box = with_programs();
    let made = [0, 1, 2].map(|night| {
        fs::write(test_box.path("tree/night"), noise(night, 300_000)).unwrap();
        test_box.backup()
    });
    let metafiles = || names(&test_box.path("store")).into_iter().filter(|name| name.ends_with(".meta")).count();
    for line in [
        "brackup-target store prune --keep-backups=1 -n",
        "brackup-target --keep_backups 1 --dry-run store prune",
        "brackup-target store prune --keep-backups=1 --dry_run --source tree",
    ] {
        let told = run(&test_box, line).is(0).out;
        assert!(told.ends_with("dry run: 1 backup to stay, 2 backups to go\n"), "{told}");
    }
    is_an_error(
        run(&test_box, "brackup-target store prune --keep-backups=1 --source=home"),
        2,
        "no backup of home",
        "",
    );
    is_an_error(run(&test_box, "brackup-target store prune"), 2, "no rule says", "--keep-daily");
    run(&test_box, "brackup-target store prune --keep-backups=1").is(0);
    assert_eq!(metafiles(), 1);
    let told = run(&test_box, "brackup-target store gc -n").is(0).out;
    assert!(told.contains("dry run: 0 chunks"), "grace has not ended:\n{told}");
    run(&test_box, "brackup-target store gc").is(0);
    run(&test_box, &format!("brackup-restore --from={} --to=to --all", made[2])).is(0);
}

/// Runs a command with a terminal of its own, or with none, and types a line whenever it is asked.
const TERMINAL: &str = "
import os, pty, re, signal, sys
words, answers = sys.argv[2:], [a for a in sys.argv[1].split(',') if a]
if not answers:
    os.setsid()
    os.execv(words[0], words)
child, terminal = pty.fork()
if child == 0:
    os.execv(words[0], words)
said = b''
while True:
    try:
        got = os.read(terminal, 4096)
    except OSError:
        break
    if not got:
        break
    said += got
    if got.endswith(b'[y/N] '):
        answer = answers.pop(0) if answers else '^C'
        if answer == 'TERM':
            signal.alarm(60)
            os.kill(child, signal.SIGTERM)
            continue
        os.write(terminal, b'\\x03' if answer == '^C' else answer.encode() + b'\\n')
sys.stdout.buffer.write(said.replace(b'\\r\\n', b'\\n'))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn who_wants_to_be_asked_is_asked() {
    let test_box = with_programs();
    let made = [0, 1, 2, 3].map(|night| {
        fs::write(test_box.path("tree/night"), noise(night, 300_000)).unwrap();
        test_box.backup()
    });
    let asked = |answers: &str, line: &str| {
        let mut python = Command::new("python3");
        test_box.surround(&mut python);
        let (program, words) = line.split_once(' ').unwrap();
        let program = test_box.path("bin").join(program);
        Ran::of(&python.args(["-c", TERMINAL, answers]).arg(program).args(words.split(' ')).output().unwrap())
    };
    let there = || names(&test_box.path("store")).into_iter().filter(|name| name.ends_with(".meta")).count();
    for line in ["prune --keep-backups=1", &format!("delete_backup {}", made[0]), "gc"] {
        let ran = asked("", &format!("brackup-target store {line} --interactive"));
        is_an_error(ran, 2, "--interactive asks on the terminal, and there is none", "-n");
    }
    let prune = "brackup-target store prune --keep-backups=1 --interactive";
    let ran = asked("y,^C", prune).is(130);
    assert!(ran.out.contains("no answer: nothing was removed"), "{}", ran.out);
    let ran = asked("y,TERM", prune).is(130);
    assert!(ran.out.contains("no answer: nothing was removed"), "{}", ran.out);
    assert_eq!(there(), 4);
    let ran = asked("y,n,YES", prune).is(0);
    assert!(ran.out.contains(&format!("remove {}, ", made[1])), "{}", ran.out);
    assert!(ran.out.contains("2 backups kept, 2 backups removed"), "{}", ran.out);
    assert_eq!(there(), 2);
    asked("no", &format!("brackup-target store delete_backup {} --interactive", made[1])).is(0);
    assert_eq!(there(), 2);

    // Chunks that are due at once.
    symlink(env!("CARGO_BIN_EXE_brackup"), test_box.path("bin/brackup")).unwrap();
    let chunks = || names(&test_box.path("store")).into_iter().filter(|name| name.ends_with(".chunk")).count();
    let before = chunks();
    let ran = asked("n", "brackup gc store --grace 0s --interactive").is(0);
    assert!(ran.out.contains("delete 1 chunk, "), "{}", ran.out);
    assert_eq!(chunks(), before);
    let told = test_box.brackup(["gc", "store", "--grace", "0s", "-n"]).is(0).out;
    assert!(told.contains("of these 0 found now"), "it stays marked:\n{told}");
    asked("TERM", "brackup gc store --grace 0s --interactive").is(130);
    assert_eq!(chunks(), before);
    asked("y", "brackup gc store --grace 0s --interactive").is(0);
    assert_eq!(chunks(), before - 1);
}
