//! `brackup rebuild`: reads the metafiles where the secret key is, and writes what a box that has lost its memory imports.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::db::Db;
use brackup::fsutil;
use brackup::monitor::{Tally, one_line};
use brackup::outcome::Outcome;
use brackup::rebuild::{self, Error, Rebuild, Report};

use super::open::{self, Opened};
use crate::cli::{Global, OpenArgs, RebuildArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Digits of the target's id in the name of an inventory.
const ID_DIGITS: usize = 8;

/// A folder for the database while it is written; gone with everything in it.
struct Workplace(PathBuf);

impl Workplace {
    fn create(spool: &Path) -> io::Result<Self> {
        // What one that was killed has written is sealed to nobody.
        fsutil::left_behind(spool, "rebuild").into_iter().for_each(|path| drop(Self(path)));
        fsutil::temporary_directory(spool, "rebuild").map(Self)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes an inventory of a target.
pub(crate) fn run(args: &RebuildArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let open = OpenArgs { from: args.target.iter().cloned().collect(), key: args.key.clone(), accept_unsigned: false };
    let opened = Opened::new(&open, global)?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let written = write(args, &opened, &tally, stop);
    progress.finish();
    let (report, identity, out) = written?;
    let problems = tally.sums().problems;
    say(&report, &identity, &out, problems, global)?;
    Ok(Outcome::of_problems(problems))
}

fn write(
    args: &RebuildArgs,
    opened: &Opened,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(Report, String, PathBuf), Failure> {
    let target = &*opened.target.target;
    let planned = rebuild::plan(target, tally)?;
    if planned.is_empty() {
        return Err(Failure::new(Outcome::Failed, format!("there is no backup at {}", target.describe())));
    }
    let identity = target.identify(None)?;
    let named_after = || format!("brackup-inventory-{}.db", &identity[..identity.len().min(ID_DIGITS)]);
    let out = args.out.clone().unwrap_or_else(|| named_after().into());
    let unwritten = |error| Failure::new(Outcome::Failed, format!("can't write {}: {error}", out.display()));
    if fs::symlink_metadata(&out).is_ok() {
        return Err(
            unwritten(io::ErrorKind::AlreadyExists.into()).hint("nothing is overwritten: name another with --out")
        );
    }
    let spool = open::spool(opened.own.as_ref());
    let workplace = Workplace::create(&spool).map_err(unwritten)?;
    let db = Db::open(&workplace.0)?;
    let mut rebuild = Rebuild::create(&db, &identity, &opened.identities)?;
    for planned in &planned {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped.into());
        }
        match opened.named(&opened.target, &planned.link.name, planned.link.length) {
            Ok(backup) => rebuild.add(planned, &backup, tally, stop)?,
            Err(failure) if failure.outcome == Outcome::Failed => {
                tally.problem(planned.link.name.to_string(), format!("{}: it is left out", failure.message));
            }
            Err(failure) => return Err(failure),
        }
    }
    let report = rebuild.finish(target, &spool, tally)?;
    drop(db);
    if report.backups == 0 {
        return Err(Failure::new(Outcome::WrongKey, "no backup there can be read: there is nothing to write down"));
    }
    place(&workplace.0.join("brackup.db"), &out).map_err(unwritten)?;
    Ok((report, identity, out))
}

/// Gives it its checksum and its name, beside which nothing is left of it if that fails.
fn place(database: &Path, out: &Path) -> io::Result<()> {
    Db::seal_inventory(database)?;
    let directory = out.parent().unwrap_or_else(|| Path::new(""));
    let (mut file, temporary) = fsutil::named_temporary(directory, "stage")?;
    let copied = io::copy(&mut File::open(database)?, &mut file).and_then(|_| file.sync_all());
    let placed = copied.and_then(|()| fsutil::rename_new(&temporary, out));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed?;
    fsutil::sync_directory(directory)
}

fn say(report: &Report, identity: &str, out: &Path, problems: u64, global: &Global) -> Result<(), Failure> {
    let Report { backups, chunks, missing, files } = *report;
    if global.json {
        let value = serde_json::json!({
            "command": "rebuild", "inventory": out.to_string_lossy(), "target_id": identity, "backups": backups, "chunks": chunks,
            "missing_chunks": missing, "files": files, "problems": problems,
        });
        return Ok(writeln!(io::stdout(), "{value}")?);
    }
    if !global.quiet {
        term::say(format_args!(
            "brackup: it tells names and sizes of files to whoever has it: bring it to the box, run `brackup import` there, and remove it"
        ));
        writeln!(
            io::stdout(),
            "wrote {}: {}, {}, {}",
            out.display(),
            term::plural(backups, "backup", "backups"),
            term::plural(chunks, "chunk", "chunks"),
            term::plural(files, "file", "files")
        )?;
    }
    Ok(())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Catalog(error) => error.into(),
            Error::Target(error) => error.into(),
            error @ Error::Database(_) => Self::new(Outcome::Failed, one_line(&error))
                .hint("it is written to $TMPDIR, or /var/tmp: a disk with some space is needed"),
            Error::Stopped => Self::new(Outcome::Interrupted, "interrupted: nothing was written"),
        }
    }
}
