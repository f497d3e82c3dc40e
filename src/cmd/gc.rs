//! `brackup gc`: gives back the space of chunks that no backup needs.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::blob::Amount;
use brackup::config::{Config, Padding, TargetOptions};
use brackup::date::Utc;
use brackup::gc::{self, Compaction, Error, Options, Report};
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::policy::{self, Grace, Share};

use super::ask;
use super::memory::Memory;
use super::open;
use super::provider::NamedTarget;
use super::values::{self, Bytes, Number};
use crate::cli::{GcArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Collects at one target.
pub(crate) fn run(args: &GcArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let grace = values::read::<Grace>("--grace", args.grace.as_deref())?;
    let under = values::read::<Share>("--compact-under", args.compact_under.as_deref())?;
    let max = values::read::<Bytes>("--compact-max", args.compact_max.as_deref())?.map(|bytes| bytes.0);
    let force = values::read::<Number>("--force", args.force.as_deref())?.map(|number| number.0);
    if args.is_interactive() {
        ask::needs_terminal()?;
    }
    let target = open::target(args.target.as_deref(), global)?;
    let config = open::config_if_any(global)?;
    let section = open::section_of(&target, config.as_ref());
    let own = open::own(global)?;
    let memory = Memory::open(&own, &target)?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let refused = RefCell::new(None);
    let may_delete = |due| {
        progress.finish();
        confirm(due, stop).unwrap_or_else(|failure| {
            *refused.borrow_mut() = Some(failure);
            false
        })
    };
    let options = Options {
        target: &*target.target,
        db: &memory.db,
        identity: &memory.identity,
        signer: memory.box_key.public(),
        spool: &open::spool(Some(&own)),
        grace_seconds: grace.or_else(|| section?.grace).unwrap_or_default().seconds(),
        compaction: compaction(under, max, section, config.as_ref()),
        force,
        dry_run: args.dry_run,
        may_delete: args.is_interactive().then_some(&may_delete),
    };
    let collected = collected(&options, &memory, &tally, stop);
    progress.finish();
    let (report, is_interrupted) = collected?;
    if let Some(failure) = refused.take() {
        return Err(failure);
    }
    let problems = tally.sums().problems;
    say(&report, options.dry_run, is_interrupted, problems, global)?;
    Ok(if is_interrupted { Outcome::Interrupted } else { Outcome::of_problems(problems) })
}

/// For a job: as the configuration says.
pub(crate) fn at(
    target: &NamedTarget,
    config: &Config,
    memory: &Memory,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    let section = open::section_of(target, Some(config));
    let options = Options {
        target: &*target.target,
        db: &memory.db,
        identity: &memory.identity,
        signer: memory.box_key.public(),
        spool: &open::spool(Some(&config.own)),
        grace_seconds: section.and_then(|section| section.grace).unwrap_or_default().seconds(),
        compaction: compaction(None, None, section, Some(config)),
        force: None,
        dry_run: false,
        may_delete: None,
    };
    Ok(collected(&options, memory, tally, stop)?.0)
}

/// What came of it, and whether it was stopped.
fn collected(
    options: &Options<'_>,
    memory: &Memory,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(Report, bool), Failure> {
    memory.db.begin_run()?;
    let collected = gc::run(options, tally, stop);
    // What was refused is as if it had not been tried.
    let ended = if options.dry_run || collected.is_err() { memory.db.abandon_run() } else { memory.db.end_run() };
    let (report, is_interrupted) = match collected {
        Err(Error::Stopped) => (Report::default(), true),
        collected => (collected?, stop.load(Ordering::Relaxed)),
    };
    ended?;
    Ok((report, is_interrupted))
}

/// Without a word, only where backups go: elsewhere no chunk would ever go for it.
fn compaction(
    under: Option<Share>,
    max: Option<u64>,
    section: Option<&TargetOptions>,
    config: Option<&Config>,
) -> Option<Compaction> {
    let said = section.map(|section| section.compaction).unwrap_or_default();
    let are_pruned = section.is_some_and(|section| !section.policy.is_empty())
        || config.is_some_and(|config| config.sources.iter().any(|source| !source.policy.is_empty()));
    let under = under.or(said.under).or_else(|| are_pruned.then_some(policy::Compaction::UNDER))?;
    let max_bytes = max.or(said.max_bytes).unwrap_or(policy::Compaction::MAX_BYTES);
    let pads_to_chunk =
        config.is_some_and(|config| config.sources.iter().any(|source| source.padding == Padding::Chunk));
    Some(Compaction { under_percent: under.percent(), max_bytes, pads_to_chunk })
}

fn confirm(due: Amount, stop: &AtomicBool) -> Result<bool, Failure> {
    let chunks = term::plural(due.chunks, "chunk", "chunks");
    ask::confirm(&format!("delete {chunks}, {}?", term::bytes(due.bytes)), stop)
}

fn say(report: &Report, dry_run: bool, is_interrupted: bool, problems: u64, global: &Global) -> Result<(), Failure> {
    let mut out = term::out();
    let next = report.next_due.map(|seconds| Utc::from_unix(seconds).to_string());
    if global.json {
        let amount = |amount: Amount| serde_json::json!({ "chunks": amount.chunks, "bytes": amount.bytes });
        let value = serde_json::json!({
            "command": "gc", "dry_run": dry_run, "interrupted": is_interrupted, "needed": amount(report.needed),
            "garbage": amount(report.garbage), "marked": amount(report.marked), "due": amount(report.due),
            "deleted": amount(report.deleted), "missing": amount(report.missing), "odd": amount(report.odd), "unknown": amount(report.unknown),
            "retired": amount(report.retired), "again_bytes": report.again_bytes, "next_due": next, "problems": problems,
        });
        writeln!(out, "{value}")?;
        return Ok(out.flush()?);
    }
    if global.quiet {
        return Ok(());
    }
    let amount =
        |amount: Amount| format!("{}, {}", term::plural(amount.chunks, "chunk", "chunks"), term::bytes(amount.bytes));
    writeln!(out, "needed   {}", amount(report.needed))?;
    writeln!(out, "garbage  {}, of these {} found now", amount(report.garbage), report.marked.chunks)?;
    for (what, some) in [("odd", report.odd), ("missing", report.missing), ("unknown", report.unknown)] {
        if some.chunks > 0 {
            writeln!(out, "{what:8} {}", amount(some))?;
        }
    }
    if report.retired.chunks > 0 {
        let again = term::bytes(report.again_bytes);
        writeln!(out, "retired  {}, of which the next backup stores {again} anew", amount(report.retired))?;
    }
    if let Some(next) = next {
        writeln!(out, "the grace of the next chunk ends {next}")?;
    }
    match (dry_run, is_interrupted) {
        (true, _) => writeln!(out, "dry run: {} to be deleted", amount(report.due))?,
        (false, true) => writeln!(out, "interrupted: deleted {}", amount(report.deleted))?,
        (false, false) => writeln!(out, "deleted  {}", amount(report.deleted))?,
    }
    Ok(out.flush()?)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        match error {
            Error::Catalog(error) => error.into(),
            Error::Database(error) => error.into(),
            Error::Target(error) => error.into(),
            error @ (Error::Clock(_)
            | Error::Forgotten(_)
            | Error::Unreadable(_)
            | Error::Short { .. }
            | Error::Stopped) => Self { outcome: Outcome::Failed, message: error.to_string(), hint },
        }
    }
}
