//! Options that only the original's `brackup` had.

use super::*;

fn conf(test_box: &TestBox) -> String {
    fs::read_to_string(test_box.path("brackup.conf")).unwrap()
}

#[test]
fn sources_and_targets_are_listed() {
    let test_box = with_programs();
    test_box.configure(&format!("{}[TARGET:usb]\ntype = Filesystem\npath = /usb\n", conf(&test_box)));
    assert_eq!(test_box.brackup(["--list-sources"]).is(0).out, "tree\n");
    assert_eq!(test_box.brackup(["--list-targets"]).is(0).out, "store\nusb\n");
    let lines = test_box.brackup(["--json", "--list-targets", "--list-sources"]).is(0).json_lines();
    has_keys(&lines[0], &["source"]);
    has_keys(&lines[1], &["target"]);
    assert_eq!((lines.len(), &lines[2]["target"]), (3, &"usb".into()));
    is_an_error(test_box.brackup(["--list-sources", "list"]), 2, "before another command", "behind its name");
}

#[test]
fn sizes_are_told_by_directory() {
    let test_box = with_programs();
    let tree = test_box.path("tree");
    fs::create_dir_all(tree.join("cache/deep")).unwrap();
    fs::write(tree.join("cache/deep/big"), vec![1; 50_000]).unwrap();
    fs::write(tree.join("photos-2"), vec![1; 1025]).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::create_dir(tree.join("inside")).unwrap();
    fs::write(tree.join("inside/chunk"), vec![1; 5000]).unwrap();
    let inside = format!("[TARGET:inside]\ntype = Filesystem\npath = {}\n", tree.join("inside").display());
    test_box.configure(&format!(
        "{}{inside}",
        conf(&test_box).replace("[TARGET:store]", "ignore = ^cache/\n[TARGET:store]")
    ));
    let kib = |words: &[&str]| -> Vec<(u64, String)> {
        let out = test_box.brackup(["--from=tree", "--du-stats"].iter().chain(words)).is(0).out;
        out.lines().map(|line| (line[..20].trim().parse().unwrap(), line[20..].to_owned())).collect()
    };
    let told = |lines: &[(u64, &str)]| lines.iter().map(|(kib, path)| (*kib, (*path).to_owned())).collect::<Vec<_>>();
    let all = told(&[(0, "empty"), (5, "inside"), (3, "photos/2006"), (4, "photos"), (12, ".")]);
    assert_eq!(kib(&[]), all);
    let all = told(&[(0, "empty"), (3, "photos/2006"), (4, "photos"), (7, ".")]);
    assert_eq!(kib(&["--to=inside"]), all);
    let lines = test_box.brackup(["--from=tree", "--du-stats", "--json"]).is(0).json_lines();
    lines.iter().for_each(|line| has_keys(line, &["path", "kib"]));
    assert_eq!(lines.last().unwrap()["kib"], 12);
    assert!(!test_box.path("state").exists(), "it made something");
    is_an_error(test_box.brackup(["--du-stats"]), 2, "which source?", "--from=SOURCE");
    let test_box = test_box.with("BRACKUP_DU_ALL", "1");
    let with_files = test_box.brackup(["--from=tree", "--du-stats"]).is(0).out;
    assert!(with_files.contains(&format!("{:<20}photos/one.jpg\n", 1)), "{with_files}");
    // An image is one thing.
    let of_tree = format!("path = {}\n", tree.display());
    let of_file = format!("path = {}\n", tree.join("photos-2").display());
    test_box.configure(&conf(&test_box).replace(&of_tree, &of_file));
    assert_eq!(test_box.brackup(["--from=tree", "--du-stats"]).is(0).out, format!("{:<20}.\n", 2));
}

#[test]
fn a_copy_of_the_metafile_and_the_statistics_stay_here() {
    let test_box = with_programs();
    let backup = |words: &[&str]| test_box.brackup(["--from=tree", "--to=store"].iter().chain(words));
    let bytes = |path: &str| fs::read(test_box.path(path)).unwrap();
    let said = backup(&["--json", "--output=my.brackup", "--save-stats=my.stats"]).is(0).json();
    let metafile = format!("store/{}.meta", said["backup"].as_str().unwrap());
    assert_eq!(bytes("my.brackup"), bytes(&metafile));
    let saved: serde_json::Value = serde_json::from_slice(&bytes("my.stats")).unwrap();
    assert_eq!(saved, said);
    run(&test_box, "brackup-restore --from=my.brackup --to=to --all").is(0);

    // Never over what is there.
    let second = backup(&["--output", "my.brackup", "--save-stats=my.stats", "-q"]).is(0);
    assert!(second.err.contains("my.brackup is there already: written to my.brackup.1"), "{}", second.err);
    assert_ne!(bytes("my.brackup.1"), bytes("my.brackup"));
    assert_eq!(bytes("my.brackup"), bytes(&metafile));
    assert!(bytes("my.stats.1").starts_with(b"{"));

    // The usual name, and the folder that a shell does not put in place of `~`.
    backup(&["--save-stats", "--output=~/meta"]).is(0);
    let usual: Vec<_> = names(&test_box.path(".")).into_iter().filter(|name| name.ends_with(".stats")).collect();
    assert!(usual.iter().any(|name| name.starts_with("tree-store-20")), "{usual:?}");
    assert!(test_box.path("home/meta").exists());

    // A dry run has no metafile; what can't be written is said before hours have gone.
    backup(&["-n", "--output=dry", "--save-stats=dry.stats"]).is(0);
    assert!(!test_box.path("dry").exists() && test_box.path("dry.stats").exists());
    let count = names(&test_box.path("store")).len();
    is_an_error(backup(&["--output=no/where"]), 2, "--output is no/where", "a folder that is there");
    is_an_error(backup(&["--save-stats=tree"]), 2, "--save-stats is tree", "a folder that is there");
    is_an_error(backup(&["--to=other", "--output=x"]), 2, "for a backup to one target", "`brackup fetch`");
    assert_eq!(names(&test_box.path("store")).len(), count);
    let left: Vec<_> = names(&test_box.path(".")).into_iter().filter(|name| name.ends_with(".partial")).collect();
    assert_eq!(left, [""; 0]);
}
