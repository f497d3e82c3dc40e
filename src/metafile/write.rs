//! Writing the documents. By hand: the writer uses a small corner of YAML, and every entry of every backup passes here.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Header, Trailer};
use crate::blob::{Codec, Item};
use crate::digest::{Key, push_hex};
use crate::entry::{Entry, Kind, Time};
use crate::relpath::{RelPath, escape};

/// Appends the first document.
pub fn push_header(header: &Header, out: &mut String) {
    out.push_str("---\nbrackup: 1\n");
    push_quoted("root", header.root.as_bytes(), out);
    push_quoted("host", &header.host, out);
    push_quoted("path", &header.path, out);
    push_quoted("created", header.created.as_bytes(), out);
    push_quoted("software", header.software.as_bytes(), out);
}

/// Appends a part of a file with very many items.
pub fn push_part(path: &RelPath, number: u32, items: &[Item<Key>], out: &mut String) {
    out.push_str("---\n");
    push_path("path", path, out);
    push_number("part", u64::from(number), out);
    push_items(items, out);
}

/// Appends an entry. `owners` are the names of user and group.
pub fn push_entry(
    path: &RelPath,
    entry: &Entry<Key>,
    owners: (Option<&str>, Option<&str>),
    hardlink: Option<&RelPath>,
    out: &mut String,
) {
    let stat = &entry.stat;
    out.push_str("---\n");
    push_path("path", path, out);
    out.push_str("type: ");
    out.push_str(stat.kind.word());
    out.push_str("\nmode: '");
    for shift in [9, 6, 3, 0] {
        out.push(char::from(b'0' + ((stat.mode >> shift) & 7) as u8));
    }
    out.push_str("'\n");
    push_number("uid", u64::from(stat.uid), out);
    push_number("gid", u64::from(stat.gid), out);
    for (key, name) in [("user", owners.0), ("group", owners.1)] {
        if let Some(name) = name {
            push_quoted(key, name.as_bytes(), out);
        }
    }
    push_time("mtime", stat.mtime, out);
    push_time("ctime", stat.ctime, out);
    if stat.kind.has_contents() {
        push_number("size", stat.size, out);
    }
    if let Some(sha1) = &entry.sha1 {
        out.push_str("sha1: '");
        push_hex(&sha1.0, out);
        out.push_str("'\n");
    }
    if stat.kind == Kind::Symlink {
        push_quoted("target", &entry.target, out);
    }
    if matches!(stat.kind, Kind::CharDevice | Kind::BlockDevice) {
        let _ = writeln!(out, "device: [{}, {}]", stat.node.0, stat.node.1);
    }
    if let Some(first) = hardlink {
        push_path("hardlink", first, out);
    }
    if !entry.xattrs.is_empty() {
        push_xattrs(&entry.xattrs, out);
    }
    for (key, is_set) in [("sparse", stat.sparse), ("changed", entry.changed)] {
        if is_set {
            out.push_str(key);
            out.push_str(": true\n");
        }
    }
    if let Some(problem) = &entry.problem {
        push_quoted("problem", problem.as_bytes(), out);
    }
    push_items(&entry.items, out);
}

/// Appends the last document.
pub fn push_trailer(trailer: &Trailer, out: &mut String) {
    out.push_str("---\nend: true\n");
    push_number("entries", trailer.entries, out);
    push_number("files", trailer.files, out);
    push_number("bytes", trailer.bytes, out);
    push_number("problems", trailer.problems, out);
}

fn push_items(items: &[Item<Key>], out: &mut String) {
    if items.is_empty() {
        return;
    }
    out.push_str("chunks:\n");
    for item in items {
        match item {
            Item::Hole { length } => {
                out.push_str("- [hole, ");
                push_decimal(*length, out);
            }
            Item::Extent { chunk, offset, length, codec } => {
                out.push_str("- ['");
                push_hex(&chunk.0, out);
                out.push_str("', ");
                push_decimal(*offset, out);
                out.push_str(", ");
                push_decimal(*length, out);
                if *codec == Codec::Zstd {
                    out.push_str(", zstd");
                }
            }
        }
        out.push_str("]\n");
    }
}

fn push_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)], out: &mut String) {
    out.push_str("xattrs:\n");
    for (name, value) in xattrs {
        out.push_str("  '");
        push_doubling_quotes(name, out);
        out.push_str("': '");
        STANDARD.encode_string(value, out);
        out.push_str("'\n");
    }
}

fn push_time(key: &str, time: Time, out: &mut String) {
    let _ = writeln!(out, "{key}: '{}.{:09}'", time.seconds, time.nanoseconds);
}

fn push_path(key: &str, path: &RelPath, out: &mut String) {
    push_quoted(key, if path.is_root() { b"." } else { path.as_bytes() }, out);
}

fn push_quoted(key: &str, bytes: &[u8], out: &mut String) {
    out.push_str(key);
    out.push_str(": '");
    push_doubling_quotes(bytes, out);
    out.push_str("'\n");
}

fn push_doubling_quotes(bytes: &[u8], out: &mut String) {
    let mut parts = bytes.split(|byte| *byte == b'\'');
    if let Some(first) = parts.next() {
        escape(first, out);
    }
    for part in parts {
        out.push_str("''");
        escape(part, out);
    }
}

fn push_number(key: &str, number: u64, out: &mut String) {
    out.push_str(key);
    out.push_str(": ");
    push_decimal(number, out);
    out.push('\n');
}

/// Quicker than the formatting machinery, which shows where there are half a million entries.
fn push_decimal(mut number: u64, out: &mut String) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}
