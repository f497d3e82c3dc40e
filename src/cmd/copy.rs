//! `brackup copy`: what one target has, at another too.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brackup::catalog;
use brackup::config::BoxOptions;
use brackup::copy::{self, Memory, Options, Report, Which};
use brackup::db::Db;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::target::BackupName;

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
    let copied = between.copy(which, (args.force, args.dry_run), &tally, stop);
    progress.finish();
    let report = copied?;
    let problems = tally.sums().problems;
    say(&report, args.dry_run, problems, &between, began, global)?;
    Ok(if report.interrupted { Outcome::Interrupted } else { Outcome::of_problems(problems) })
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
        let from_identity = self.db.map_or(Ok(None), |db| expected_identity(db, self.from))?;
        let to_identity = self.identify(dry_run)?;
        let is_same = from_identity.as_deref().map_or_else(
            || self.from.target.describe() == self.to.target.describe(),
            |identity| to_identity.as_deref() == Some(identity),
        );
        if is_same {
            return Err(Failure::usage(format!("{} and {} are the same target", self.from.name, self.to.name)));
        }
        // A dry run makes no target, and nothing is known of one that is not there.
        let to_identity = to_identity.unwrap_or_default();
        let memory = self.db.zip(from_identity.as_deref()).map(|(db, from)| Memory { db, from, to: &to_identity });
        let options = Options {
            from: &*self.from.target,
            to: &*self.to.target,
            memory,
            which,
            spool: &open::spool(Some(self.own)),
            connections: self.own.connections as usize,
            force,
            dry_run,
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

fn say(
    report: &Report,
    dry_run: bool,
    problems: u64,
    between: &Between<'_>,
    began: Instant,
    global: &Global,
) -> Result<(), Failure> {
    let mut out = term::out();
    let amount = if dry_run { report.lacking } else { report.copied };
    if global.json {
        let names: Vec<_> = report.backups.iter().map(ToString::to_string).collect();
        let value = serde_json::json!({
            "command": "copy",
            "from": between.from.name,
            "to": between.to.name,
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
