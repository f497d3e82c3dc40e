//! `brackup --from=SOURCE --to=TARGET`.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use brackup::config::{BoxOptions, SourceOptions};
use brackup::outcome::Outcome;
use brackup::seal::Recipient;
use serde_json::Value;

use super::beside::Copies;
use super::open::{self, State};
use super::pair::{Done, Pair, Watcher};
use super::past::{self, Overheard, Run};
use super::provider::NamedTarget;
use super::{alert, config, du, several};
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
    if done.report.backup.is_some() {
        alert::tell_original(source, first, done.stats(), global);
    }
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
    let (run, heard) = (Run::begin(&source.name), Overheard::of(&progress));
    let watcher = Watcher { monitor: &heard, wants_totals: progress.wants_totals() };
    let done = pair.back_up(&state, None, dry_run, watcher, stop);
    progress.finish();
    let night = match &done {
        Ok(done) => run.backed_up(&target.name, done, heard.words()),
        Err(failure) => run.failed(&target.name, failure),
    };
    if !dry_run {
        past::remember(&state, &night);
    }
    let done = done?;
    let value = value(&done, &pair.recipients, dry_run);
    say(&done, &value, dry_run, global)?;
    Ok((done, value))
}

fn value(done: &Done, recipients: &[Recipient], dry_run: bool) -> Value {
    let report = &done.report;
    let ids: Vec<_> = recipients.iter().map(|recipient| recipient.id().to_string()).collect();
    let mut value = done.stats().to_json();
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
            "{} listed above: a file that is named there is not, or not whole, in this backup",
            term::plural(counts.problems, "problem", "problems")
        )?;
    }
    Ok(out.flush()?)
}
