//! Metafiles that mean harm, signed and sealed as they should be: nothing is written outside the destination, no length is believed,
//! nothing panics.

use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::date::Utc;
use brackup::digest::Sha1Hasher;
use brackup::monitor::one_line;
use brackup::restore::Conflict;
use brackup::seal::{Footer, Role, append_footer};
use brackup::target::{BackupName, ObjectName, Target as _};

use crate::support::{Event, Nas, Tree, Watch, noise, seal_into};

/// Stores documents as a backup that this box has signed; its name.
pub(crate) fn forge(nas: &Nas, documents: &[u8]) -> String {
    forge_compressed(nas, &zstd::stream::encode_all(documents, 1).unwrap())
}

/// The same, and the footer says that it needs so many chunks.
#[cfg(feature = "rebuild")]
pub(crate) fn forge_needing(nas: &Nas, documents: &[u8], chunks: u64) -> String {
    forge_signed(nas, &zstd::stream::encode_all(documents, 1).unwrap(), chunks)
}

fn forge_compressed(nas: &Nas, payload: &[u8]) -> String {
    forge_signed(nas, payload, 0)
}

fn forge_signed(nas: &Nas, payload: &[u8], chunks: u64) -> String {
    let (target, key) = (nas.target(), nas.box_key().unwrap());
    target.identify(None).unwrap();
    let number = u32::try_from(nas.backups().len()).unwrap();
    let name = BackupName::new("tree", Utc::parse("2026-11-24").unwrap(), number).unwrap();
    let mut stage = target.stage().unwrap().with_sha256();
    seal_into(&mut stage, Role::Metafile, &nas.recipients, payload);
    let footer = Footer {
        signer: key.public(),
        root: "tree".into(),
        backup: name.to_string(),
        sequence: u64::from(number) + 1,
        previous: [0; 32],
        sealed_sha256: stage.sha256().unwrap(),
        sealed_length: stage.length(),
        chunks,
    };
    append_footer(&footer, &key, |sealed| stage.write(sealed)).unwrap();
    target.put(&ObjectName::Metafile(name.clone()), stage.finish()).unwrap();
    name.to_string()
}

/// A stored chunk with this payload; its key.
pub(crate) fn chunk(nas: &Nas, payload: &[u8]) -> String {
    let target = nas.target();
    target.identify(None).unwrap();
    let mut stage = target.stage().unwrap();
    seal_into(&mut stage, Role::Chunk, &nas.recipients, payload);
    let finished = stage.finish();
    let key = finished.sha1();
    target.put(&ObjectName::Chunk(key), finished).unwrap();
    key.to_string()
}

const HEAD: &str = "---\nbrackup: 1\nroot: 'tree'\nhost: 'box'\npath: '/tree'\ncreated: '2026-11-24T00:00:00Z'\nsoftware: 'evil'\n\
    ---\npath: '.'\ntype: directory\nmode: '0755'\nuid: 0\ngid: 0\nmtime: '1.000000000'\nctime: '1.000000000'\n";

/// A metafile of the root and these entries, each the lines that differ: path, type and more.
pub(crate) fn metafile(entries: &[String]) -> String {
    let mut text = HEAD.to_owned();
    for entry in entries {
        text.push_str(&format!(
            "---\n{entry}mode: '0644'\nuid: 0\ngid: 0\nmtime: '1.000000000'\nctime: '1.000000000'\n"
        ));
    }
    text.push_str(&format!("---\nend: true\nentries: {}\nfiles: 0\nbytes: 0\nproblems: 0\n", entries.len() + 1));
    text
}

/// An entry of a file of five zeros.
pub(crate) fn zeros(path: &str) -> String {
    let mut sha1 = Sha1Hasher::default();
    sha1.update(&[0; 5]);
    format!("path: '{path}'\ntype: file\nsize: 5\nsha1: '{}'\nchunks:\n- [hole, 5]\n", sha1.finish())
}

fn symlink(path: &str, target: &str) -> String {
    format!("path: '{path}'\ntype: symlink\ntarget: '{target}'\n")
}

pub(crate) fn directory(path: &str) -> String {
    format!("path: '{path}'\ntype: directory\n")
}

/// Restores into a tree beside which a folder lies; that folder must stay as it is. What was told, or why it failed.
fn restored(nas: &Nas, name: &str) -> (Tree, Result<String, String>) {
    let tree = Tree::absent();
    let outside = tree.root.with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"mine").unwrap();
    let result = nas.try_restore(name, &tree.root, Conflict::Overwrite);
    is_untouched(&tree);
    let told = |problems: Vec<brackup::monitor::Problem>| {
        problems.into_iter().map(|problem| format!("{}: {}\n", problem.subject, problem.what)).collect()
    };
    (tree, result.map(told).map_err(|error| one_line(&error)))
}

/// Beside the tree there is what was there, and nothing else.
fn is_untouched(tree: &Tree) {
    let above = tree.root.parent().unwrap();
    let mut names: Vec<_> = fs::read_dir(above).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names == ["outside", "tree"] || names == ["outside"], "{names:?}");
    let names: Vec<_> = fs::read_dir(above.join("outside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(fs::read(above.join("outside/secret")).unwrap(), b"mine");
}

#[test]
fn what_is_forged_here_is_otherwise_good() {
    let nas = Nas::new();
    let name = forge(&nas, metafile(&[zeros("a"), directory("d"), zeros("d/b"), symlink("e", "a")]).as_bytes());
    let (tree, told) = restored(&nas, &name);
    assert_eq!(told.unwrap(), "");
    assert_eq!(fs::read(tree.at("d/b")).unwrap(), [0; 5]);
}

#[test]
fn paths_that_lead_outside_are_refused() {
    let nas = Nas::new();
    for path in ["..", "../new", "/new", "a/../../new", "a//new", "./new", "a/.", "a/", "", "a\\x00b", "\\x2e\\x2e/new"]
    {
        let name = forge(&nas, metafile(&[zeros(path)]).as_bytes());
        let (_, told) = restored(&nas, &name);
        let why = told.expect_err(path);
        assert!(why.contains("malformed"), "{path}: {why}");
    }
    let linked = zeros("b") + "hardlink: '../outside/secret'\n";
    let (_, told) = restored(&nas, &forge(&nas, metafile(&[linked]).as_bytes()));
    assert!(told.unwrap_err().contains("malformed"));
}

#[test]
fn nothing_is_written_or_linked_through_a_link() {
    let nas = Nas::new();
    for link in [symlink("a", "../outside"), symlink("a", "."), directory("a")] {
        // Without an entry of its own, and with one that comes a second time.
        let entries = [link, zeros("a/new"), zeros("a/secret"), zeros("b") + "hardlink: 'a/secret'\n"];
        let is_link = entries[0].contains("symlink");
        let (tree, told) = restored(&nas, &forge(&nas, metafile(&entries).as_bytes()));
        let told = told.unwrap();
        assert_eq!(told.contains("a/new: ") && told.contains("a/secret: "), is_link, "{told}");
        assert_eq!(fs::read(tree.at("b")).unwrap(), [0; 5], "a file of its own");
        assert!(!tree.at("new").exists());
    }
    let twice = [symlink("a", "../outside"), directory("a"), zeros("a/new")];
    let (_, told) = restored(&nas, &forge(&nas, metafile(&twice).as_bytes()));
    assert!(told.unwrap_err().contains("order"));
}

#[test]
fn a_link_swapped_in_under_way_leads_nowhere() {
    let (nas, source) = (Nas::new(), Tree::new());
    for name in ["d/1", "d/2", "d/e/3", "d/e/4"] {
        source.file(name, noise(1, 100));
    }
    let name = nas.backup(&source).name();
    for (at, swapped) in [("d/2", "d"), ("d/e/3", "d/e"), ("d/e/4", "d/e"), ("d/e/4", "d")] {
        let tree = Tree::absent();
        let outside = tree.root.with_file_name("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), b"mine").unwrap();
        let is_done = AtomicBool::new(false);
        let watch = Watch(|event: Event<'_>| {
            if matches!(event, Event::At(path) if path == at) && !is_done.swap(true, Ordering::Relaxed) {
                fs::rename(tree.at(swapped), tree.at("away")).unwrap();
                std::os::unix::fs::symlink(&outside, tree.at(swapped)).unwrap();
            }
        });
        let _ = nas.restore_watched(&name, &tree.root, Conflict::Overwrite, &watch);
        assert!(is_done.load(Ordering::Relaxed), "{at}");
        is_untouched(&tree);
    }
}

#[test]
fn no_declared_length_is_believed() {
    let nas = Nas::new();
    let (most, sha1) = (u64::MAX, "a9993e364706816aba3e25717850c26c9cd0d89d");
    let key = chunk(&nas, b"twelve bytes");
    let bomb = chunk(&nas, &zstd::stream::encode_all(&[0; 4 << 20][..], 1).unwrap());
    let bomb_bytes = zstd::stream::encode_all(&[0; 4 << 20][..], 1).unwrap().len();
    let file =
        |size: u64, chunks: &str| format!("path: 'a'\ntype: file\nsize: {size}\nsha1: '{sha1}'\nchunks:\n{chunks}");
    for (entry, expected) in [
        (file(most, &format!("- [hole, {most}]\n")), "size"),
        (file(5, &format!("- [hole, {most}]\n")), "more of it than its size says"),
        (file(most >> 1, &format!("- [hole, {}]\n- [hole, {}]\n", most >> 1, most >> 1)), "as large as its size says"),
        (file(5, &format!("- ['{key}', 0, 12]\n")), "more of it than its size says"),
        (file(20, &format!("- ['{key}', 0, 20]\n")), "behind the end of its chunk"),
        (file(20, &format!("- ['{key}', {most}, 20]\n")), "behind the end of its chunk"),
        (file(20, &format!("- ['{key}', {}, 20]\n", most - 10)), "behind the end of its chunk"),
        (file(most >> 1, &format!("- ['{key}', 0, {}]\n", most >> 1)), "behind the end of its chunk"),
        (file(12, "- ['0000000000000000000000000000000000000000', 0, 12]\n"), "missing"),
        (file(100, &format!("- ['{bomb}', 0, {bomb_bytes}, zstd]\n")), "more of it than its size says"),
        (file(12, &format!("- ['{key}', 0, 12, zstd]\n")), "corrupt"),
        (file(12, &format!("- ['{key}', 0, 12]\n")), "its digest differs"),
        (file(3, &"- [hole, 1]\n".repeat(1025)), "more than 1024 items"),
        (file(3, "- [hole, 0]\n"), "length"),
        (file(3, "- [hole, -1]\n"), "malformed"),
        (file(3, "- ['short', 0, 1]\n"), "40 hex digits"),
    ] {
        let (tree, told) = restored(&nas, &forge(&nas, metafile(std::slice::from_ref(&entry)).as_bytes()));
        let told = told.unwrap_or_else(|error| error);
        assert!(told.contains(expected), "{entry}: expected {expected:?} in: {told}");
        assert!(!tree.at("a").exists());
    }
}

#[test]
fn documents_that_would_eat_the_machine_are_refused() {
    let nas = Nas::new();
    let entry = |line: String| metafile(&[zeros("a") + &line]);
    let xattrs: String = (0..60).map(|n| format!("  'user.{n}': '{}'\n", "A".repeat(4096))).collect();
    let aliases = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned()
        + &(1..12)
            .map(|n| format!("x{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 10].join(", ")))
            .collect::<String>();
    for (what, documents) in [
        ("a long document", entry(format!("target: '{}'\n", "x".repeat(3 << 20)))),
        ("a long line without an end", HEAD.to_owned() + &"x".repeat(3 << 20)),
        ("attributes", entry(format!("xattrs:\n{xattrs}"))),
        ("a deep document", entry(format!("deep: {}{}\n", "[".repeat(500_000), "]".repeat(500_000)))),
        ("a deep document in blocks", entry((0..1000).map(|n| format!("{}k:\n", " ".repeat(n))).collect())),
        ("aliases", entry(aliases)),
        ("a path beyond the limit", metafile(&[zeros(&"x/".repeat(70_000))])),
        ("parts without an end", metafile(&["path: 'a'\npart: 0\nchunks:\n- [hole, 1]\n".into()])),
        ("a key twice", entry("size: 7\n".into())),
        ("no end", HEAD.to_owned()),
        ("an end too early", metafile(&[]) + &metafile(&[])),
        ("a wrong count", metafile(&[zeros("a")]).replace("entries: 2", "entries: 3")),
    ] {
        let (tree, told) = restored(&nas, &forge(&nas, documents.as_bytes()));
        let why = told.expect_err(what);
        assert!(why.contains("malformed") || why.contains("cut short"), "{what}: {why}");
        assert!(why.len() < 1000, "{what}: {} bytes of error", why.len());
        assert!(what == "an end too early" || what == "a wrong count" || !tree.at("a").exists(), "{what}");
    }
}

#[test]
fn a_window_beyond_the_limit_is_not_allocated() {
    let nas = Nas::new();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(metafile(&[zeros("a")]).as_bytes()).unwrap();
    let (_, told) = restored(&nas, &forge_compressed(&nas, &encoder.finish().unwrap()));
    assert!(told.unwrap_err().contains("can't be read"));
}

#[test]
fn a_metafile_of_another_root_is_refused() {
    let nas = Nas::new();
    let (_, told) =
        restored(&nas, &forge(&nas, metafile(&[zeros("a")]).replace("root: 'tree'", "root: 'mail'").as_bytes()));
    assert!(told.unwrap_err().contains("another root"));
}
