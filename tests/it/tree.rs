//! What a tree looks like, a line for each entry: the form of tests/archives/README.md.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use brackup::digest::Sha1;
use brackup::relpath::escape;

/// A folder for one test on the disk of the build, where extended attributes are. It goes even if it holds folders that can't be written to.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("brackup-test-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self(folder.keep())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        unlock(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unlock(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

/// The lines of a tree, in the order of the walk: `/` sorts below every other byte.
pub(crate) fn describe(top: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    gather(top, Path::new("."), &mut paths);
    let key = |path: &PathBuf| -> Vec<u8> {
        path.as_os_str().as_bytes().iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
    };
    paths.sort_by_key(key);
    paths.insert(0, PathBuf::from("."));
    let mut inodes = HashMap::new();
    paths.iter().map(|path| line(top, path, &mut inodes)).collect()
}

fn gather(top: &Path, folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(top.join(folder)).unwrap().map(Result::unwrap) {
        let path =
            if folder == Path::new(".") { PathBuf::from(entry.file_name()) } else { folder.join(entry.file_name()) };
        if entry.file_type().unwrap().is_dir() {
            gather(top, &path, paths);
        }
        paths.push(path);
    }
}

fn line(top: &Path, path: &Path, inodes: &mut HashMap<u64, PathBuf>) -> String {
    let full = top.join(path);
    let stat = fs::symlink_metadata(&full).unwrap();
    let kind = stat.file_type();
    let word = if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    let (mut size, mut sha1) = ("-".to_owned(), "-".to_owned());
    if kind.is_file() {
        size = stat.len().to_string();
        sha1 = Sha1::of(&fs::read(&full).unwrap()).to_string();
    }
    let mut target = String::new();
    if kind.is_symlink() {
        target = escaped(fs::read_link(&full).unwrap().as_os_str());
    } else if !kind.is_dir() && stat.nlink() > 1 {
        let first = inodes.entry(stat.ino()).or_insert_with(|| path.to_owned());
        if first != path {
            target = format!("={}", escaped(first.as_os_str()));
        }
    }
    let mode = if kind.is_symlink() { "-".to_owned() } else { format!("{:04o}", stat.mode() & 0o7777) };
    let time = format!("{}.{:09}", stat.mtime(), stat.mtime_nsec());
    [word, &mode, &size, &sha1, &time, &escaped(path.as_os_str()), &target, &attributes(&full)].join("\t")
}

fn attributes(path: &Path) -> String {
    let mut attributes = Vec::new();
    for name in xattr::list(path).into_iter().flatten().filter(|name| name.as_bytes().starts_with(b"user.")) {
        let value: String =
            xattr::get(path, &name).unwrap().unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
        attributes.push(format!("{}={value}", name.display()));
    }
    attributes.sort();
    attributes.join(" ")
}

pub(crate) fn escaped(name: &OsStr) -> String {
    let mut text = String::new();
    escape(name.as_bytes(), &mut text);
    text
}

/// Fails with the lines that only one of them has.
pub(crate) fn assert_same(what: &str, found: &[String], expected: &[String]) {
    let only = |one: &[String], other: &[String], mark: &str| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).map(|line| format!("{mark} {line}")).collect()
    };
    let difference = [only(expected, found, "-"), only(found, expected, "+")].concat();
    assert!(difference.is_empty(), "{what}: - expected, + found\n{}", difference.join("\n"));
    assert_eq!(found, expected, "{what}: the order");
}
