//! `brackup fetch`: metafiles, sealed as they are at the target, in a folder here. A restore can do with one whose target has lost it.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use brackup::catalog;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::target::ObjectName;

use super::metafile::{Temporary, Uncopied, copy, unwritable};
use super::open;
use crate::cli::{FetchArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Fetches some metafiles, or all.
pub(crate) fn run(args: &FetchArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let named = open::target(args.from.as_deref(), global)?;
    let target = &*named.target;
    let find = |text: &String| catalog::find(target, text, None);
    let mut backups = args.backup.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    if args.backup.is_empty() {
        backups = catalog::backups(target)?;
        if backups.is_empty() {
            return Err(Failure::new(Outcome::Failed, format!("there is no backup at {}", target.describe())));
        }
    }
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let mut out = term::out();
    for (name, length) in backups {
        let path = args.to.join(ObjectName::Metafile(name.clone()).to_string());
        let mut temporary = Temporary::beside(&path)?;
        let state = match copy(target, &name, length, &mut temporary.file, stop) {
            Ok(()) => place(&temporary, &path, &tally)?,
            Err(Uncopied::There(failure)) => {
                tally.problem(name.to_string(), format!("is not fetched: {}", failure.message));
                "unread"
            }
            Err(uncopied) => return Err(uncopied.into()),
        };
        if global.json {
            let value = serde_json::json!({
                "backup": name.to_string(), "file": path.to_string_lossy(), "bytes": length, "state": state,
            });
            writeln!(out, "{value}")?;
        } else if !global.quiet && matches!(state, "fetched" | "there") {
            let how = if state == "there" { "is there already" } else { "fetched" };
            writeln!(out, "{}  {}  {how}", path.display(), term::bytes(length))?;
        }
        out.flush()?;
    }
    progress.finish();
    Ok(Outcome::of_problems(tally.sums().problems))
}

/// Gives it its name; or says what is there.
fn place(temporary: &Temporary, path: &Path, tally: &Tally<'_>) -> Result<&'static str, Failure> {
    match temporary.place(path) {
        Ok(()) => Ok("fetched"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_same(&temporary.path, path).map_err(|error| unwritable(path, &error))? {
                return Ok("there");
            }
            tally.problem(path.display().to_string(), "is there with other contents: it is left");
            Ok("other")
        }
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut others = BufReader::new(other).bytes();
    for byte in BufReader::new(one).bytes() {
        if others.next().transpose()? != Some(byte?) {
            return Ok(false);
        }
    }
    Ok(true)
}
