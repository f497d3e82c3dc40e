//! `brackup --from=SOURCE --to=TARGET`.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use brackup::config::{BoxOptions, SourceOptions};
use brackup::monitor::Counter;
use brackup::outcome::Outcome;
use brackup::seal::Recipient;
use serde_json::Value;

use super::beside::Copies;
use super::open::{self, State};
use super::pair::{Done, Pair, Watcher};
use super::provider::NamedTarget;
use super::{config, du, several};
use crate::cli::{BackupArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Backs up one source of the configuration to one target.
pub(crate) fn run(args: &BackupArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    match args.beside() {
        Some(beside) if beside.list_sources || beside.list_targets => return config::names(beside, global),
        Some(beside) if beside.du_stats => return du::run(args, global, stop),
        _ => {}
    }
    let copies = Copies::asked(args)?;
    let (Some(from), [first, more @ ..]) = (&args.from, &args.to[..]) else {
        return Err(Failure::usage("what is to be done?")
            .hint("`brackup --from=SOURCE --to=TARGET` makes a backup, `brackup quickstart DIR` sets everything up, `brackup --help` tells more"));
    };
    let config = open::config(global)?;
    let source = config.source(from)?;
    if !more.is_empty() {
        return several::run(source, &args.to, &config.own, args.dry_run, global, stop);
    }
    let target = open::target(Some(first), global)?;
    let (done, said) = one(source, &target, &config.own, args.dry_run, global, stop)?;
    copies.write(&said, done.report.backup.as_ref(), &target, stop)?;
    Ok(done.outcome())
}

/// Backs up one source to one target, and says what came of it; gives that as JSON too.
pub(crate) fn one(
    source: &SourceOptions,
    target: &NamedTarget,
    own: &BoxOptions,
    dry_run: bool,
    global: &Global,
    stop: &AtomicBool,
) -> Result<(Done, Value), Failure> {
    let pair = Pair::new(source, target, own)?;
    pair.look()?;
    let state = State::lock(own)?;
    let progress = Progress::new(global);
    let watcher = Watcher { monitor: &progress, wants_totals: progress.wants_totals() };
    let done = pair.back_up(&state, None, dry_run, watcher, stop);
    progress.finish();
    let done = done?;
    let value = value(&done, &pair.recipients, dry_run);
    say(&done, &value, dry_run, global)?;
    Ok((done, value))
}

fn value(done: &Done, recipients: &[Recipient], dry_run: bool) -> Value {
    let report = &done.report;
    let ids: Vec<_> = recipients.iter().map(|recipient| recipient.id().to_string()).collect();
    let mut value = counts(done);
    value["command"] = "backup".into();
    value["backup"] = report.backup.as_ref().map(ToString::to_string).into();
    value["dry_run"] = dry_run.into();
    value["interrupted"] = report.interrupted.into();
    value["recipients"] = ids.into();
    value
}

fn say(done: &Done, value: &Value, dry_run: bool, global: &Global) -> Result<(), Failure> {
    let report = &done.report;
    let counts = &report.counts;
    if global.json {
        return Ok(writeln!(std::io::stdout(), "{value}")?);
    }
    if global.quiet {
        return Ok(());
    }
    let what = match (&report.backup, dry_run) {
        (Some(name), _) => format!("backup {name}"),
        (None, true) => "dry run".to_owned(),
        (None, false) => "interrupted; what was stored is used by the next run".to_owned(),
    };
    let mut out = term::out();
    writeln!(out, "{what}: {}", done.amounts())?;
    if counts.problems > 0 {
        writeln!(
            out,
            "{} listed above: these are not in the backup",
            term::plural(counts.problems, "problem", "problems")
        )?;
    }
    Ok(out.flush()?)
}

/// The counts of a run.
pub(super) fn counts(done: &Done) -> Value {
    let counts = &done.report.counts;
    let of = |counter| counts.of(counter);
    serde_json::json!({
        "files": of(Counter::Files),
        "unchanged_files": of(Counter::UnchangedFiles),
        "other_entries": of(Counter::OtherEntries),
        "bytes": of(Counter::FileBytes),
        "read_bytes": of(Counter::ReadBytes),
        "chunks_stored": of(Counter::Chunks),
        "stored_bytes": of(Counter::StoredBytes),
        "problems": counts.problems,
        "notices": counts.notices,
        "seconds": done.elapsed.as_secs_f64(),
    })
}
