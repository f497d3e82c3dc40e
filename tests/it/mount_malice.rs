//! Metafiles that mean harm, mounted: no number is believed, nothing takes memory by what it says, and what makes no sense is left out and told.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use brackup::seal::{Identity, SecretFile};
use nix::errno::Errno;

use crate::malice::{chunk, directory, forge, metafile, zeros};
use crate::mount::{Mounted, can_mount};
use crate::support::{Nas, Program, Tree, code, noise};

/// A program with the target and the key of a box.
fn program_of(nas: &Nas, tree: &Tree) -> Program {
    let program = Program::to(&tree.root, &nas.folder);
    let identity = Identity::parse(&nas.identities[0].to_text()).unwrap();
    fs::remove_file(&program.key).unwrap();
    SecretFile { identity, boxes: Vec::new() }.create(&program.key, "for a test", None).unwrap();
    program
}

/// Names of a folder, sorted.
fn names(folder: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
    names.sort();
    names
}

#[track_caller]
fn fails(result: std::io::Result<impl Sized>) {
    assert_eq!(result.err().and_then(|error| error.raw_os_error()), Some(Errno::EIO as i32));
}

#[test]
fn what_makes_no_sense_is_left_out_and_told() {
    if !can_mount() {
        return;
    }
    let (nas, tree) = (Nas::new(), Tree::new());
    let absent = "0123456789012345678901234567890123456789";
    let file = |path: &str, size: u64, items: &str| {
        format!("path: '{path}'\ntype: file\nsize: {size}\nsha1: '{absent}'\nchunks:\n{items}")
    };
    let entries = [
        zeros("a/in nothing"),
        zeros("b") + "hardlink: 'a/in nothing'\n",
        directory("d"),
        zeros("d/e") + "hardlink: 'd'\n",
        zeros("f"),
        zeros("f/in a file"),
        file("huge", 1 << 62, "- [hole, 5]\n"),
        file("larger", 3, "- [hole, 5]\n"),
        file("missing", 5, &format!("- ['{absent}', 0, 5]\n")),
        zeros(&"n".repeat(300)),
        file("range", 5, &format!("- ['{absent}', {}, 5]\n", u64::MAX >> 1)),
        zeros("z") + "hardlink: 'z'\n",
    ];
    forge(&nas, metafile(&entries).as_bytes());
    let mut mounted = Mounted::new(&program_of(&nas, &tree));
    let folder = mounted.backup("latest");
    let expected = ["b", "d", "f", "huge", "larger", "missing", "range", "z"];
    assert_eq!(names(&folder), expected.map(|name| name.as_bytes().to_vec()));
    assert_eq!(names(&folder.join("d")), [b"e"]);
    for name in ["b", "d/e", "f", "z"] {
        assert_eq!(fs::read(folder.join(name)).unwrap(), [0; 5], "{name}");
        assert_eq!(fs::metadata(folder.join(name)).unwrap().nlink(), 1, "{name}");
    }
    assert_eq!(fs::read(folder.join("larger")).unwrap(), [0; 3]);
    let huge = File::open(folder.join("huge")).unwrap();
    fails(huge.read_at(&mut [0; 10], 1 << 40));
    fails(huge.read_at(&mut [0; 10], 0));
    fails(fs::read(folder.join("missing")));
    fails(fs::read(folder.join("range")));
    for told in ["missing: ", "range: "] {
        mounted.says(told);
    }
    let (ended, log) = mounted.end();
    assert_eq!(ended, Some(0), "{log}");
    for told in ["a/in nothing: is left out", "f/in a file: is left out", "nnn: is left out: its name is longer"] {
        assert!(log.contains(told), "{told}: {log}");
    }
}

#[test]
fn what_becomes_very_large_takes_no_memory() {
    if !can_mount() {
        return;
    }
    let (nas, tree) = (Nas::new(), Tree::new());
    // A gigabyte of zeros in a frame.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 1 << 30), &mut encoder).unwrap();
    let payload = encoder.finish().unwrap();
    let (key, length) = (chunk(&nas, &payload), payload.len());
    let sha1 = "0123456789012345678901234567890123456789";
    let file = format!(
        "path: 'bomb'\ntype: file\nsize: {}\nsha1: '{sha1}'\nchunks:\n- ['{key}', 0, {length}, zstd]\n",
        1_u64 << 40
    );
    forge(&nas, metafile(&[file]).as_bytes());
    let program = program_of(&nas, &tree);
    let mounted = Mounted::by(
        &program,
        |arguments| {
            let command = program.command(arguments);
            let mut limited = Command::new("sh");
            limited
                .args(["-c", "ulimit -d 131072 && exec \"$@\"", "sh"])
                .arg(command.get_program())
                .args(command.get_args());
            limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            limited.stderr(std::process::Stdio::piped());
            limited
        },
        |service| drop(service.says("mounted at")),
    );
    let file = File::open(mounted.backup("latest").join("bomb")).unwrap();
    let mut bytes = [1; 10];
    file.read_exact_at(&mut bytes, (1 << 30) - 10).unwrap();
    assert_eq!(bytes, [0; 10]);
    fails(file.read_at(&mut bytes, 1 << 31));
    assert_eq!(mounted.end().0, Some(0));
}

#[test]
fn an_image_is_a_file_in_a_folder() {
    if !can_mount() {
        return;
    }
    let tree = Tree::new();
    let path = tree.file("image", noise(1, 500_000));
    let program = Program::new(&path);
    assert_eq!(code(&program.backup()), Some(0));
    let mounted = Mounted::new(&program);
    assert_eq!(fs::read(mounted.backup("latest").join("image")).unwrap(), noise(1, 500_000));
    assert_eq!(mounted.end().0, Some(0));
}
