//! `brackup mount`: the backups of a target as folders.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use brackup::catalog;
use brackup::monitor::{Tally, one_line};
use brackup::mount::{self, Options};
use brackup::outcome::Outcome;
use brackup::target::BackupName;

use super::open::{self, Opened};
use crate::cli::{Global, MountArgs, OpenArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Mounts, and stays until it is unmounted or ended.
pub(crate) fn run(args: &MountArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let from = vec![args.target.clone()];
    let open = OpenArgs { from, key: args.key.clone(), accept_unsigned: args.accept_unsigned };
    let opened = Opened::new(&open, global)?;
    let target = &*opened.target.target;
    let backups: Vec<_> = catalog::backups(target)?.into_iter().map(|(name, _)| name).collect();
    if backups.is_empty() {
        return Err(Failure::new(Outcome::Failed, format!("there is no backup at {}", target.describe())));
    }
    opens_any(&opened, &backups)?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let opening = |name: &BackupName| {
        let backup = opened.backup(&name.to_string(), None);
        backup.map_err(|failure| tally.problem(name.to_string(), failure.message)).ok()
    };
    let spool = open::spool(opened.own.as_ref());
    let (count, at) = (backups.len() as u64, args.at.display());
    let options = Options { at: &args.at, backups, open: &opening, spool: &spool };
    let mounted = || {
        if global.json {
            let value = serde_json::json!({
                "command": "mount", "at": args.at.to_string_lossy(), "backups": count,
            });
            // Whoever does not listen has it mounted all the same.
            let _ = writeln!(std::io::stdout(), "{value}");
        } else if !global.quiet {
            let backups = term::plural(count, "backup", "backups");
            term::say(format_args!("brackup: {backups} mounted at {at}, read-only; Ctrl-C ends"));
        }
    };
    mount::run(options, target, &opened.identities, &tally, stop, mounted)?;
    Ok(Outcome::Done)
}

/// A key that opens nothing is said before anything is mounted: it is tried with the newest backup of each source. What is wrong with one of
/// them is said when it is entered.
fn opens_any(opened: &Opened, backups: &[BackupName]) -> Result<(), Failure> {
    let mut shut = None;
    for (at, name) in backups.iter().enumerate() {
        if backups.get(at + 1).is_some_and(|next| next.root() == name.root()) {
            continue;
        }
        let tried = opened.backup(&name.to_string(), None);
        match tried.and_then(|backup| Ok(backup.documents(&opened.identities).map(drop)?)) {
            Err(failure) if failure.outcome == Outcome::WrongKey => {
                shut.get_or_insert(failure);
            }
            Err(failure) if failure.outcome != Outcome::Failed => return Err(failure),
            _ => return Ok(()),
        }
    }
    shut.map_or(Ok(()), Err)
}

impl From<mount::Error> for Failure {
    fn from(error: mount::Error) -> Self {
        use std::io::ErrorKind::{DirectoryNotEmpty, NotADirectory};
        let outcome = match &error {
            mount::Error::Mount(_, error) if matches!(error.kind(), NotADirectory | DirectoryNotEmpty) => {
                Outcome::Usage
            }
            _ => Outcome::Failed,
        };
        Self { outcome, message: one_line(&error), hint: error.hint().map(str::to_owned) }
    }
}
