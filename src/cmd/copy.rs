//! `brackup copy`: what one target has, at another too.

use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brackup::catalog;
use brackup::config::BoxOptions;
use brackup::copy::{self, Lock, Memory, Options, Report, Which};
use brackup::db::Db;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::target::BackupName;

use super::fsck;
use super::known_targets::KnownTargets;
use super::memory::expected_identity;
use super::open::{self, State};
use super::provider::NamedTarget;
use crate::cli::{CopyArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Copies backups, or all that is there.
pub(crate) fn run(args: &CopyArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let from = open::target(Some(&args.from_target), global)?;
    let to = open::target(Some(&args.to_target), global)?;
    let own = open::own(global)?;
    let find = |text: &String| catalog::find(&*from.target, text, None).map(|(name, _)| name);
    let names = args.backup.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let is_named = |name: &BackupName| names.contains(name);
    let which = if names.is_empty() { Which::All } else { Which::Own(&is_named) };
    let state = if open::has_database(&own) { Some(State::lock(&own)?) } else { None };
    let db = state.as_ref().map(State::database).transpose()?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let between = Between { from: &from, to: &to, own: &own, db: db.as_ref() };
    let known = between.look(args.dry_run)?;
    let what = (which, args.force, args.dry_run);
    let copied = match db.as_ref().filter(|_| known.from.is_none()).map_or(Ok(None), |db| signers(db, &own))? {
        Some(signers) => {
            // It can take days, in which the jobs of this box go on.
            let held = Cell::new(Some((db, state)));
            let give_back = || drop(held.take());
            let lock = Lock { signers: &signers, give_back: &give_back };
            Between { from: &from, to: &to, own: &own, db: None }.copy_known(&known, what, Some(lock), &tally, stop)
        }
        None => between.copy_known(&known, what, None, &tally, stop),
    };
    progress.finish();
    let report = copied?;
    let problems = tally.sums().problems;
    say(&report, args.dry_run, problems, (&from.name, &to.name), began, global)?;
    Ok(if report.interrupted { Outcome::Interrupted } else { Outcome::of_problems(problems) })
}

/// Who has signed, or may have signed, what this box has made; nothing: nobody can say.
fn signers(db: &Db, own: &BoxOptions) -> Result<Option<Vec<String>>, Failure> {
    let Ok(key) = fsck::signer(own) else { return Ok(None) };
    let mut signers = db.known_signers()?;
    signers.extend(key.map(|key| key.to_string()));
    Ok(Some(signers))
}

/// The ids of both.
pub(crate) struct Known {
    /// Nothing: this box remembers nothing of it.
    from: Option<String>,
    /// Nothing: it is not made yet, and is not to be.
    to: Option<String>,
}

/// Two targets.
pub(crate) struct Between<'a> {
    pub(crate) from: &'a NamedTarget,
    pub(crate) to: &'a NamedTarget,
    pub(crate) own: &'a BoxOptions,
    /// What this box remembers, if anything.
    pub(crate) db: Option<&'a Db>,
}

impl Between<'_> {
    /// Copies, and remembers what is there then.
    pub(crate) fn copy(
        &self,
        which: Which<'_>,
        (force, dry_run): (bool, bool),
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<Report, Failure> {
        self.copy_known(&self.look(dry_run)?, (which, force, dry_run), None, tally, stop)
    }

    /// That they are there, are two, and are what they were.
    fn look(&self, dry_run: bool) -> Result<Known, Failure> {
        let from_identity = self.db.map_or(Ok(None), |db| expected_identity(db, self.from))?;
        let to_identity = self.identify(dry_run)?;
        let is_same = from_identity.as_deref().map_or_else(
            || self.from.target.describe() == self.to.target.describe(),
            |identity| to_identity.as_deref() == Some(identity),
        );
        if is_same {
            return Err(Failure::usage(format!("{} and {} are the same target", self.from.name, self.to.name)));
        }
        if let (Some(db), None, Some(to), false) = (self.db, &from_identity, &to_identity, dry_run) {
            // So that what is there can be verified by shares, night after night, whoever stored it.
            db.remember_target(&self.to.remembered_as(), to)?;
        }
        Ok(Known { from: from_identity, to: to_identity })
    }

    fn copy_known(
        &self,
        known: &Known,
        (which, force, dry_run): (Which<'_>, bool, bool),
        lock: Option<Lock<'_>>,
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<Report, Failure> {
        // A dry run makes no target, and nothing is known of one that is not there.
        let is_new = known.to.is_none() && self.to.folder.as_deref().is_some_and(can_be_made);
        let to_identity = known.to.clone().unwrap_or_default();
        let memory = self.db.zip(known.from.as_deref()).map(|(db, from)| Memory { db, from, to: &to_identity });
        let options = Options {
            from: &*self.from.target,
            to: &*self.to.target,
            memory,
            which,
            spool: &open::spool(Some(self.own)),
            connections: self.own.connections as usize,
            force,
            dry_run,
            is_new,
            lock,
        };
        let Some(Memory { db, .. }) = memory else { return Ok(copy::run(&options, tally, stop)?) };
        db.begin_run()?;
        if dry_run {
            let report = copy::run(&options, tally, stop);
            db.abandon_run()?;
            return Ok(report?);
        }
        db.remember_target(&self.to.remembered_as(), &to_identity)?;
        let copied = copy::run(&options, tally, stop);
        // What was copied is there whatever went wrong then.
        let ended = db.end_run();
        let report = copied?;
        ended?;
        Ok(report)
    }

    /// The id of where it goes to; in a dry run only if it is known to have one.
    pub(crate) fn identify(&self, dry_run: bool) -> Result<Option<String>, Failure> {
        let (to, known) = (self.to, KnownTargets::of(&self.own.key_dir));
        let remembered = self.db.map_or(Ok(None), |db| db.target_identity(&to.remembered_as()))?;
        let expected = match remembered {
            None => known.expected(&to.remembered_as())?,
            remembered => remembered,
        };
        if dry_run && expected.is_none() {
            return Ok(None);
        }
        let identity = to.target.identify(expected.as_deref())?;
        if !dry_run && self.own.key_dir.is_dir() {
            known.note(&to.remembered_as(), &identity);
        }
        Ok(Some(identity))
    }
}

/// Whether a folder is surely not there, and the one above it is.
fn can_be_made(folder: &Path) -> bool {
    let looked = fs::symlink_metadata(folder);
    looked.is_err_and(|error| error.kind() == ErrorKind::NotFound) && folder.parent().is_some_and(Path::is_dir)
}

fn say(
    report: &Report,
    dry_run: bool,
    problems: u64,
    (from, to): (&str, &str),
    began: Instant,
    global: &Global,
) -> Result<(), Failure> {
    let mut out = term::out();
    let amount = if dry_run { report.lacking } else { report.copied };
    if global.json {
        let names: Vec<_> = report.backups.iter().map(ToString::to_string).collect();
        let value = serde_json::json!({
            "command": "copy",
            "from": from,
            "to": to,
            "dry_run": dry_run,
            "interrupted": report.interrupted,
            "backups": names,
            "backups_there": report.backups_there,
            "backups_removed_there": report.removed_there,
            "chunks": amount.chunks,
            "bytes": amount.bytes,
            "chunks_there": report.there.chunks,
            "problems": problems,
            "seconds": began.elapsed().as_secs_f64(),
        });
        writeln!(out, "{value}")?;
    } else if !global.quiet {
        let verb = match (report.interrupted, dry_run) {
            (true, _) => "interrupted, the next copy goes on; so far copied",
            (false, true) => "would copy",
            (false, false) => "copied",
        };
        writeln!(out, "{verb} {}; {:.1} s", amounts(report, dry_run), began.elapsed().as_secs_f64())?;
        if report.removed_there > 0 {
            let backups = term::plural(report.removed_there, "backup", "backups");
            writeln!(out, "{backups} removed there before: not brought back")?;
        }
    }
    Ok(out.flush()?)
}

/// `2 backups in 3 chunks, 7.0 MiB; 1 backup and 12 chunks were there`.
pub(crate) fn amounts(report: &Report, dry_run: bool) -> String {
    let amount = if dry_run { report.lacking } else { report.copied };
    format!(
        "{} in {}, {}; {} and {} were there",
        term::plural(report.backups.len() as u64, "backup", "backups"),
        term::plural(amount.chunks, "chunk", "chunks"),
        term::bytes(amount.bytes),
        term::plural(report.backups_there, "backup", "backups"),
        term::plural(report.there.chunks, "chunk", "chunks"),
    )
}

impl From<copy::Error> for Failure {
    fn from(error: copy::Error) -> Self {
        match error {
            copy::Error::Catalog(error) => error.into(),
            copy::Error::Database(error) => error.into(),
            copy::Error::Target(error) => error.into(),
            error @ copy::Error::Thread(_) => Self::of(Outcome::Failed, &error, error.hint()),
        }
    }
}
