//! The layers as a table: imports go down only, some crates and words stay where they belong, files stay short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by level. A module imports those of lower levels.
const LEVELS: &[(u8, &[&str])] = &[
    (
        1,
        &[
            "blob", "date", "digest", "entry", "fsutil", "limits", "monitor", "outcome", "policy", "provider",
            "relpath", "shell", "thread",
        ],
    ),
    (2, &["chunk", "config", "db", "metafile", "seal", "source", "target"]),
    (3, &["catalog", "status"]),
    (
        4,
        &[
            "alert",
            "backup",
            "bench",
            "copy",
            "fsck",
            "gc",
            "mount",
            "probe",
            "rebuild",
            "restore",
            "retention",
            "scheduler",
            "verify",
        ],
    ),
    (5, &["web"]),
    // The program: uses the library as `brackup::`.
    (6, &["cli", "cmd", "main", "progress", "syslog", "term"]),
];
/// Levels whose modules import each other.
const SIBLINGS_IMPORT: &[u8] = &[1, 6];
const PROGRAM: u8 = 6;

/// What a file may not use unless its path begins so, and why. `name::` is a path of a crate, other texts are looked for as they are.
const BELONGS: &[(&str, &[&str], &str)] = &[
    ("tokio::", &["src/web/"], "the program is threads; only the door, which many may knock at, is async"),
    ("hyper::", &["src/web/"], "as tokio"),
    ("hyper_util::", &["src/web/"], "as tokio"),
    ("tokio_rustls::", &["src/web/"], "as tokio"),
    ("async fn", &["src/web/"], "as tokio"),
    (".await", &["src/web/"], "as tokio"),
    ("fuser::", &["src/mount/"], "what the kernel asks of a file system is answered in one place"),
    ("jiff::", &["src/scheduler/"], "time zones are in one place; names of backups are UTC"),
    ("rustix::", &["src/cmd/serve/task/nice.rs", "src/cmd/serve/peek.rs"], "nix has the other calls of the system"),
    ("rusqlite::", &["src/db/"], "what SQLite is asked is in one place"),
    ("hpke::", &["src/seal/"], "ciphers are used by those who know the format"),
    ("ring::", &["src/seal/", "src/target/tls.rs", "src/web/certificate.rs"], "as hpke; TLS is told to use it"),
    ("ureq::", &["src/target/"], "who asks a server is a target"),
    ("rustls::", &["src/target/tls.rs", "src/web/certificate.rs"], "as ureq"),
    ("lettre::", &["src/alert/email.rs"], "as ureq"),
    ("quick_xml::", &["src/target/s3/", "src/target/webdav/"], "as ureq"),
    (
        "md5::",
        &["src/target/webdav/auth.rs", "src/target/s3/dialect.rs", "src/target/drive/upload.rs"],
        "Digest of WebDAV and old checksums are made of it; it proves nothing",
    ),
    ("ed25519_dalek::", &["src/seal/"], "as hpke"),
    ("scrypt::", &["src/seal/"], "as hpke"),
    ("bech32::", &["src/seal/"], "as hpke"),
    ("hkdf::", &["src/seal/", "src/target/s3/sign.rs"], "as hpke; its HMAC signs requests"),
    ("aes::", &["src/seal/"], "as hpke"),
    ("aes_gcm::", &["src/seal/"], "as hpke"),
    ("chacha20poly1305::", &["src/seal/"], "as hpke"),
    ("Sealed::by_the_envelope", &["src/seal/"], "I5: only the envelope makes sealed bytes"),
    (
        ".write_received(",
        &["src/web/objects.rs", "src/catalog/transfer.rs"],
        "I5: only what another host sealed, or what lies at another target, comes to a stage otherwise",
    ),
    (
        "Command::new(",
        &["src/shell.rs", "src/target/sftp/ssh.rs"],
        "no program is started but ssh, what a job has before and behind it, and what an alert runs",
    ),
    (
        "nix::poll::",
        &["src/target/sftp/ssh.rs", "src/cmd/serve/task/command.rs", "src/cmd/ask.rs"],
        "their pipes are waited for where they are started, and an answer where it is asked for",
    ),
    ("println!", &[], "stdout is data and stderr talk: src/term.rs has both"),
    ("eprintln!", &[], "as println!"),
    ("print!", &[], "as println!"),
    ("eprint!", &[], "as println!"),
    ("scope.spawn(", &[], "a thread has a name and a stack of a chosen size: src/thread.rs"),
    ("thread::spawn", &[], "as scope.spawn("),
    ("AtomicU64", &[], "MIPS and ARMv5 have no such instruction: a test of theirs is built by tests/run --full only"),
    ("AtomicI64", &[], "as AtomicU64"),
    ("unsafe", &[], "no function of this program needs it"),
    ("fn get_", &[], "a thing is named by what it is"),
];

const LINES_MAX: usize = 400;
/// Longer files: how long they may be, and why.
const LONG: &[(&str, usize, &str)] =
    &[("src/entry.rs", 430, "the record's writer and reader side by side, so that they are changed together")];

struct Source {
    path: String,
    /// Without comments.
    code: String,
    lines: usize,
}

impl Source {
    /// `seal` of `src/seal/key.rs`.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or(inside)
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.join("CACHEDIR.TAG").exists() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(source(&entry));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn source(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    Source {
        path: path.to_str().unwrap().to_owned(),
        code: code.collect::<Vec<_>>().join("\n"),
        lines: text.lines().count(),
    }
}

fn level(module: &str) -> Option<u8> {
    LEVELS.iter().find(|(_, modules)| modules.contains(&module)).map(|(level, _)| *level)
}

/// Where `what` begins in `code`, not in the middle of a longer name.
fn uses<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(what).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + what.len()..].chars().next();
        let begins = !what.starts_with(is_word) || !before.is_some_and(is_word);
        // `fn get_` goes on, `unsafe` does not go on to `unsafe_code`.
        let ends = !what.ends_with(is_word) || what.ends_with('_') || !after.is_some_and(is_word);
        begins && ends
    })
}

/// The modules behind each `crate::`: one, or those of a list in braces.
fn imports(code: &str) -> BTreeSet<&str> {
    let mut modules = BTreeSet::new();
    for at in uses(code, "crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            modules.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut begin = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    modules.insert(name(list[begin..at].trim()));
                    begin = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    modules.remove("");
    modules
}

fn name(path: &str) -> &str {
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(path)
}

fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().filter(|source| source.path != "src/lib.rs") {
        let (module, path) = (source.module(), &source.path);
        let Some(own) = level(module) else {
            wrong.push(format!("{path}: {module} is in no level"));
            continue;
        };
        for import in imports(&source.code) {
            let Some(other) = level(import) else {
                wrong.push(format!("{path}: crate::{import} is in no level"));
                continue;
            };
            let is_sibling = import != module && other == own && !SIBLINGS_IMPORT.contains(&own);
            if other > own || is_sibling || (own == PROGRAM) != (other == PROGRAM) {
                wrong.push(format!("{path} (level {own}) imports {import} (level {other})"));
            }
        }
        if own != PROGRAM && uses(&source.code, "brackup::").next().is_some() {
            wrong.push(format!("{path}: the library calls itself by name"));
        }
        // Another way to the top: `super::` of a module at the top, `super::super::` of one below.
        let is_top = !path["src/".len()..].contains('/') || path.ends_with("/mod.rs");
        let (code, _tests) = source.code.split_once("#[cfg(test)]").unwrap_or((&source.code, ""));
        if own != PROGRAM && (is_top && code.contains("super::") || code.contains("super::super::")) {
            wrong.push(format!("{path}: reaches the top with super::"));
        }
    }
    none("the layers", &wrong);
}

#[test]
fn the_table_names_what_there_is() {
    let there: BTreeSet<_> = sources("src").iter().map(|source| source.module().to_owned()).collect();
    let table: BTreeSet<_> = LEVELS.iter().flat_map(|(_, modules)| modules.iter().map(ToString::to_string)).collect();
    let there: BTreeSet<_> = there.into_iter().filter(|module| module != "lib").collect();
    assert_eq!(there, table);
}

#[test]
fn things_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        for (what, places, why) in BELONGS {
            let is_there = places.iter().any(|place| source.path.starts_with(place));
            if !is_there && uses(&source.code, what).next().is_some() {
                wrong.push(format!("{}: {what} ({why})", source.path));
            }
        }
    }
    none("things that do not belong there", &wrong);
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let exception = LONG.iter().find(|(path, ..)| *path == source.path);
        let most = exception.map_or(LINES_MAX, |(_, most, _)| *most);
        if source.lines > most {
            wrong.push(format!("{}: {} lines, at most {most}", source.path, source.lines));
        }
        if exception.is_some() && source.lines <= LINES_MAX {
            wrong.push(format!("{}: is short now, take it off the list", source.path));
        }
    }
    none("long files", &wrong);
}

#[test]
fn this_test_finds_what_it_looks_for() {
    let code = "use crate::{a, b::{c, d}, e};\nuse crate::limits::X;\nlet x = crate::seal::Y;";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["a", "b", "e", "limits", "seal"]);
    assert_eq!(uses("String::new() ring::aead x.ring::", "ring::").count(), 2);
    assert_eq!(uses("println!() print!() eprintln!()", "print!").count(), 1);
    assert_eq!(uses("unsafe {} #![forbid(unsafe_code)]", "unsafe").count(), 1);
}
