//! `brackup list`, `ls`, `cat`, `diff`, `find`: looking at backups without restoring them.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

use brackup::catalog::{self, ChunkReader, Documents, FileReader, OpenBackup, Span};
use brackup::date::Utc;
use brackup::digest::Sha1Hasher;
use brackup::entry::{Kind, Time};
use brackup::metafile::{Found, Record};
use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::relpath::{RelPath, escape};
use brackup::restore::Selection;

use super::open::{self, Opened};
use crate::cli::{CatArgs, DiffArgs, FindArgs, Global, LsArgs};
use crate::term::{self, Failure};

/// Lists the backups on a target. No key is needed.
pub(crate) fn list(target: Option<&str>, global: &Global) -> Result<Outcome, Failure> {
    let target = open::target(target, global)?;
    let backups = catalog::backups(&*target.target)?;
    let mut out = term::out();
    for (name, length) in &backups {
        let footer = catalog::footer(&*target.target, name, *length);
        let (sequence, signer, chunks) = match &footer {
            Ok((footer, _)) => (footer.sequence, footer.signer.to_string(), footer.chunks),
            Err(error) => {
                term::warning(&one_line(error));
                (0, "not signed".to_owned(), 0)
            }
        };
        if global.json {
            let value = serde_json::json!({
                "backup": name.to_string(), "root": name.root(), "day": name.day(), "sequence": sequence, "signer": signer,
                "chunks": chunks, "metafile_bytes": length,
            });
            writeln!(out, "{value}")?;
        } else {
            writeln!(
                out,
                "{name}  {:>6}  {:>10} in the metafile, {}",
                format!("#{sequence}"),
                term::bytes(*length),
                term::plural(chunks, "chunk", "chunks")
            )?;
        }
    }
    out.flush()?;
    if backups.is_empty() && !global.quiet {
        term::say(format_args!("brackup: no backups at {}", target.target.describe()));
    }
    Ok(Outcome::Done)
}

/// Lists what is in a backup.
pub(crate) fn ls(args: &LsArgs, global: &Global) -> Result<Outcome, Failure> {
    let opened = Opened::new(&args.open, global)?;
    let backup = opened.backup(&args.backup, None)?;
    let mut documents = backup.documents(&opened.identities)?;
    let patterns: Vec<_> = args.path.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let mut selection = Selection::parse(&patterns, &documents.header().path).map_err(Failure::usage)?;
    let mut out = term::out();
    let mut is_any = false;
    while let Some(found) = next_entry(&mut documents)? {
        if selection.selects(&found.path) {
            is_any = true;
            print_entry(&mut out, None, &found, global.json)?;
        }
    }
    out.flush()?;
    if is_any {
        let unmet: Vec<_> = selection.unmet().collect();
        unmet.iter().for_each(|pattern| term::warning(&format!("nothing in {} is meant by {pattern}", backup.name)));
        return Ok(Outcome::of_problems(unmet.len() as u64));
    }
    Err(Failure::new(Outcome::Failed, format!("nothing in {} is meant by these paths", backup.name)))
}

/// Finds paths in all backups of a target.
pub(crate) fn find(args: &FindArgs, global: &Global) -> Result<Outcome, Failure> {
    let opened = Opened::new(&args.open, global)?;
    let mut out = term::out();
    let (mut is_any, mut unusable) = (false, 0);
    for (name, _) in catalog::backups(&*opened.target.target)? {
        if args.root.as_deref().is_some_and(|root| root != name.root()) {
            continue;
        }
        match find_in(&opened, &name.to_string(), args, global, &mut out) {
            Ok(is_here) => is_any |= is_here,
            // One that is damaged does not hide the others.
            Err(failure) if failure.outcome == Outcome::Failed => {
                term::warning(&failure.message);
                unusable += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    out.flush()?;
    if is_any || unusable > 0 {
        return Ok(Outcome::of_problems(unusable));
    }
    Err(Failure::new(Outcome::Failed, format!("no backup at {} has it", opened.target.target.describe())))
}

/// Finds paths in one backup; whether there was any.
fn find_in(
    opened: &Opened,
    name: &str,
    args: &FindArgs,
    global: &Global,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let backup = opened.backup(name, None)?;
    let mut documents = backup.documents(&opened.identities)?;
    let mut selection =
        Selection::for_find(args.pattern.as_os_str().as_bytes(), &documents.header().path).map_err(Failure::usage)?;
    let mut is_any = false;
    while let Some(found) = documents.find(|path| selection.selects(path)).map_err(catalog::Error::from)? {
        is_any = true;
        print_entry(out, Some(&backup), &found, global.json)?;
    }
    Ok(is_any)
}

/// Prints one file.
pub(crate) fn cat(args: &CatArgs, global: &Global) -> Result<Outcome, Failure> {
    let opened = Opened::new(&args.open, global)?;
    let backup = opened.backup(&args.backup, None)?;
    let mut documents = backup.documents(&opened.identities)?;
    let wanted = Selection::of_path(args.path.as_os_str().as_bytes(), &documents.header().path);
    let mut chunks = ChunkReader::over(&*opened.target.target, &opened.others(), &opened.identities);
    let mut out = term::out();
    let (mut reader, mut sha1) = (FileReader::new(u64::MAX), Sha1Hasher::default());
    while let Some(record) = documents.next().map_err(catalog::Error::from)? {
        match record {
            Record::Part { path, items } if wanted.selects_alone(&path) => {
                reader.read(&items, &mut chunks, |span| print_span(&mut out, &mut sha1, span))?;
            }
            Record::Entry(found) if wanted.selects_alone(&found.path) => {
                let entry = &found.entry;
                if !entry.stat.kind.has_contents() || entry.problem.is_some() {
                    let why = entry.problem.clone().unwrap_or_else(|| format!("it is a {}", entry.stat.kind.word()));
                    return Err(Failure::new(Outcome::Failed, format!("{} has no contents: {why}", found.path)));
                }
                reader.read(&entry.items, &mut chunks, |span| print_span(&mut out, &mut sha1, span))?;
                out.flush()?;
                reader.finish()?;
                chunks.told().iter().for_each(|(name, what)| term::warning(&format!("{name}: {what}")));
                return if Some(sha1.finish()) == entry.sha1 {
                    Ok(Outcome::Done)
                } else {
                    Err(Failure::new(Outcome::Failed, "what was printed is not what was backed up: its digest differs"))
                };
            }
            _ => {}
        }
    }
    Err(Failure::new(Outcome::Failed, format!("{} has no {}", backup.name, args.path.display())))
}

fn print_span(out: &mut impl Write, sha1: &mut Sha1Hasher, span: Span<'_>) -> Result<(), Failure> {
    match span {
        Span::Data(data) => {
            sha1.update(data);
            out.write_all(data)?;
        }
        Span::Hole(length) => {
            sha1.update_with_zeros(length);
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), length), out)?;
        }
    }
    Ok(())
}

/// Compares two backups, both read side by side.
pub(crate) fn diff(args: &DiffArgs, global: &Global) -> Result<Outcome, Failure> {
    let opened = Opened::new(&args.open, global)?;
    let (before, after) = (opened.backup(&args.before, None)?, opened.backup(&args.after, None)?);
    let mut left = before.documents(&opened.identities)?;
    let mut right = after.documents(&opened.identities)?;
    let (mut old, mut new) = (next_entry(&mut left)?, next_entry(&mut right)?);
    let mut out = term::out();
    loop {
        let order = match (&old, &new) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
        };
        let (mark, path) = match (order, &old, &new) {
            (std::cmp::Ordering::Less, Some(old), _) => (Some("-"), old.path.clone()),
            (std::cmp::Ordering::Greater, _, Some(new)) => (Some("+"), new.path.clone()),
            (_, Some(old), Some(new)) => (change(old, new), new.path.clone()),
            _ => break,
        };
        if let Some(mark) = mark {
            print_change(&mut out, mark, &path, global.json)?;
        }
        if order.is_le() {
            old = next_entry(&mut left)?;
        }
        if order.is_ge() {
            new = next_entry(&mut right)?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// `M` if the contents differ, `T` if the type does, `m` if only metadata does.
fn change(old: &Found, new: &Found) -> Option<&'static str> {
    let (a, b) = (&old.entry, &new.entry);
    if a.stat.kind != b.stat.kind {
        return Some("T");
    }
    if a.sha1 != b.sha1 || a.target != b.target || a.stat.node != b.stat.node {
        return Some("M");
    }
    let owner = |found: &Found| (found.entry.stat.uid, found.entry.stat.gid, found.entry.stat.mode);
    (owner(old) != owner(new) || a.stat.mtime != b.stat.mtime || a.xattrs != b.xattrs).then_some("m")
}

fn print_change(out: &mut impl Write, mark: &str, path: &RelPath, json: bool) -> std::io::Result<()> {
    if json {
        let word = match mark {
            "+" => "added",
            "-" => "removed",
            "T" => "type",
            "M" => "contents",
            _ => "metadata",
        };
        return writeln!(out, "{}", serde_json::json!({"change": word, "path": path.escaped()}));
    }
    writeln!(out, "{mark} {}", term::safe(&path.escaped()))
}

fn print_entry(out: &mut impl Write, backup: Option<&OpenBackup>, found: &Found, json: bool) -> std::io::Result<()> {
    let stat = &found.entry.stat;
    if json {
        let mut value = serde_json::json!({
            "path": found.path.escaped(), "type": stat.kind.word(), "mode": format!("{:04o}", stat.mode), "uid": stat.uid, "gid": stat.gid,
            "user": found.user, "group": found.group, "size": stat.size, "mtime": when(stat.mtime),
            "sha1": found.entry.sha1.map(|sha1| sha1.to_string()), "problem": found.entry.problem,
        });
        if let (Some(backup), Some(object)) = (backup, value.as_object_mut()) {
            object.insert("backup".into(), backup.name.to_string().into());
        }
        return writeln!(out, "{value}");
    }
    if let Some(backup) = backup {
        write!(out, "{}  ", backup.name)?;
    }
    let user = found.user.clone().unwrap_or_else(|| stat.uid.to_string());
    let group = found.group.clone().unwrap_or_else(|| stat.gid.to_string());
    let (mode, when, path) = (mode(stat.kind, stat.mode), when(stat.mtime), term::safe(&found.path.escaped()));
    write!(
        out,
        "{mode} {:>8} {:>8} {:>12} {when} {path}",
        escaped(user.as_bytes()),
        escaped(group.as_bytes()),
        stat.size
    )?;
    if stat.kind == Kind::Symlink {
        write!(out, " -> {}", escaped(&found.entry.target))?;
    }
    if let Some(problem) = &found.entry.problem {
        write!(out, "  [not backed up: {}]", escaped(problem.as_bytes()))?;
    }
    writeln!(out)
}

/// As paths are shown: a line end in a name is not one of ours.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    escape(bytes, &mut text);
    term::safe(&text)
}

fn mode(kind: Kind, mode: u32) -> String {
    let mut text = String::from(match kind {
        Kind::BlockDevice => "b",
        Kind::CharDevice => "c",
        Kind::Directory => "d",
        Kind::Fifo => "p",
        Kind::Socket => "s",
        Kind::Symlink => "l",
        Kind::File | Kind::Image => "-",
    });
    for (shift, special, letters) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = mode >> shift & 7;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        let execute = bits & 1 != 0;
        text.push(match (mode & special != 0, execute) {
            (true, _) => letters.chars().nth(usize::from(!execute)).unwrap_or('s'),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn when(time: Time) -> String {
    Utc::from_unix(time.seconds).to_string()
}

/// The next entry; what parts hold is not of interest here.
fn next_entry(documents: &mut Documents) -> Result<Option<Box<Found>>, Failure> {
    loop {
        match documents.next().map_err(catalog::Error::from)? {
            None => return Ok(None),
            Some(Record::Entry(found)) => return Ok(Some(found)),
            Some(Record::Part { .. }) => {}
        }
    }
}
