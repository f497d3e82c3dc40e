//! `brackup --from=SOURCE --to=ONE --to=OTHER`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brackup::alert::Stats;
use brackup::config::{BoxOptions, SourceOptions};
use brackup::fsutil;
use brackup::outcome::Outcome;

use super::super::open::{self, State};
use super::super::pair::Watcher;
use super::super::past::{self, Overheard, Run};
use super::super::provider::NamedTarget;
use super::super::{alert, copy};
use super::member::tell_failure;
use super::{Came, Member, NOT_WHOLE, Several, nights};
use crate::cli::Global;
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Backs up one source to several targets.
pub(crate) fn run(
    source: &SourceOptions,
    names: &[String],
    own: &BoxOptions,
    dry_run: bool,
    global: &Global,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let began = Instant::now();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(Failure::usage(format!("--to names {} twice", twice.1)));
    }
    let targets = names.iter().map(|name| open::target(Some(name), global)).collect::<Result<Vec<_>, _>>()?;
    for (at, target) in targets.iter().enumerate() {
        if let Some(same) = targets[..at].iter().find(|other| is_same(other, target)) {
            return Err(Failure::usage(format!("{} and {} are the same target", same.name, target.name)));
        }
    }
    let folders: Vec<PathBuf> = targets.iter().filter_map(|target| target.folder.clone()).collect();
    let mut members = super::members(source, &targets, &folders, own)?;
    none_is_left(&mut members)?;
    let progress = Progress::new(global);
    let (run, heard) = (Run::begin(&source.name), Overheard::of(&progress));
    let watcher = Watcher { monitor: &heard, wants_totals: progress.wants_totals() };
    let state = State::lock(own)?;
    let ran = Several::of(source, own, &state, watcher, stop).and_then(|several| {
        if dry_run {
            several.try_out(&mut members);
            return Ok(());
        }
        several.run(&mut members)
    });
    progress.finish();
    if !dry_run {
        match &ran {
            Ok(()) => nights(&members, &run, &heard.words()).iter().for_each(|night| past::remember(&state, night)),
            Err(failure) => targets.iter().for_each(|to| past::remember(&state, &run.failed(&to.name, failure))),
        }
    }
    ran?;
    none_is_left(&mut members)?;
    let outcome = say(&members, dry_run, began, global)?;
    for member in members.iter().filter(|member| !dry_run && member.backup().is_some()) {
        let stats = if let Some(Came::BackedUp(done)) = &member.came { done.stats() } else { Stats::default() };
        alert::tell_original(source, &member.target.name, stats, global);
    }
    Ok(outcome)
}

/// Whether two names are of one place, as far as can be seen without asking there.
fn is_same(one: &NamedTarget, other: &NamedTarget) -> bool {
    let identity = |target: &NamedTarget| target.folder.as_deref().and_then(fsutil::identity);
    one.target.describe() == other.target.describe()
        || identity(one).is_some_and(|identity_of_one| identity(other) == Some(identity_of_one))
}

/// All have failed: that is a failure of the whole.
fn none_is_left(members: &mut [Member<'_>]) -> Result<(), Failure> {
    let has_failed = |member: &Member<'_>| matches!(member.came, Some(Came::Failed(_)));
    if members.iter().all(has_failed) { Err(first_failure(members)) } else { Ok(()) }
}

fn first_failure(members: &mut [Member<'_>]) -> Failure {
    let failures = members.iter_mut().filter_map(|member| match member.came.take() {
        Some(Came::Failed(failure)) => Some((&member.target.name, failure)),
        _ => None,
    });
    let mut failures: Vec<_> = failures.collect();
    if failures.is_empty() {
        return Failure::new(Outcome::Failed, "no target can be backed up to");
    }
    for (name, failure) in failures.split_off(1) {
        tell_failure(name, &failure);
    }
    let (name, failure) = failures.remove(0);
    Failure { message: format!("{name}: {}", failure.message), ..failure }
}

/// Which backup is complete where.
fn say(members: &[Member<'_>], dry_run: bool, began: Instant, global: &Global) -> Result<Outcome, Failure> {
    let is_interrupted = members.iter().any(Member::is_interrupted);
    let problems: u64 = members.iter().map(Member::problems).sum();
    let mut out = term::out();
    if global.json {
        let value = serde_json::json!({
            "command": "backup",
            "dry_run": dry_run,
            "interrupted": is_interrupted,
            "targets": members.iter().map(in_json).collect::<Vec<_>>(),
            "problems": problems,
            "seconds": began.elapsed().as_secs_f64(),
        });
        writeln!(out, "{value}")?;
    }
    for Member { target, came, .. } in members {
        let name = &target.name;
        let told = match came {
            Some(Came::Failed(failure)) => {
                tell_failure(&format!("{name}: no new backup there"), failure);
                continue;
            }
            Some(Came::Stored(backup, failure)) => {
                tell_failure(&format!("{name}: backup {backup} is there, but then"), failure);
                continue;
            }
            _ if global.json || global.quiet => continue,
            None => "interrupted before it was its turn".into(),
            Some(Came::BackedUp(done)) => match &done.report.backup {
                Some(backup) => format!("backup {backup}: {}", done.amounts()),
                None if dry_run => format!("dry run: {}", done.amounts()),
                None => "interrupted; what was stored is used by the next run".into(),
            },
            Some(Came::Copied(Some(backup), report, _)) => {
                format!("backup {backup} copied: {}", copy::amounts(report, false))
            }
            Some(Came::Copied(None, report, _)) => {
                format!("{NOT_WHOLE}; copied {}", copy::amounts(report, false))
            }
        };
        writeln!(out, "{name}: {told}")?;
    }
    out.flush()?;
    let failed = members.iter().filter_map(|member| match &member.came {
        Some(Came::Failed(failure)) => Some(failure.outcome),
        _ => None,
    });
    if failed.clone().any(|outcome| outcome == Outcome::Usage) {
        return Ok(Outcome::Usage);
    }
    let is_everywhere = members.iter().all(|member| member.backup().is_some()) || dry_run && failed.count() == 0;
    Ok(match (is_interrupted, is_everywhere) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::of_problems(problems),
        (false, false) => Outcome::DoneWithProblems,
    })
}

fn in_json(member: &Member<'_>) -> serde_json::Value {
    let mut value = serde_json::json!({
        "target": member.target.name,
        "backup": member.backup().map(ToString::to_string),
        "complete": member.backup().is_some(),
        "problems": member.problems(),
    });
    match &member.came {
        Some(Came::BackedUp(done)) => value["stored"] = done.stats().to_json(),
        Some(Came::Copied(_, report, _)) => {
            value["copied"] = serde_json::json!({ "chunks": report.copied.chunks, "bytes": report.copied.bytes });
        }
        Some(Came::Failed(failure) | Came::Stored(_, failure)) => value["error"] = failure.message.clone().into(),
        None => {}
    }
    value
}
