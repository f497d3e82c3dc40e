//! `brackup restore`.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brackup::date::Utc;
use brackup::monitor::{Counter, Monitor, Phase, Problem, Severity, Tally};
use brackup::outcome::Outcome;
use brackup::relpath::RelPath;
use brackup::restore::{self, Conflict, Options, Report, Selection};
use brackup::target::BackupName;

use super::open::Opened;
use crate::cli::{Global, RestoreArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Restores a backup, or parts of it.
pub(crate) fn run(args: &RestoreArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let as_of = match &args.as_of {
        None => None,
        Some(text) => Some(
            Utc::parse(text)
                .ok_or_else(|| Failure::usage(format!("{text} is no date")).hint("write it as 2026-11-23"))?,
        ),
    };
    let is_first_the_last = match args.on_error() {
        None | Some("continue") => false,
        Some("abort") => true,
        Some(word) => return Err(Failure::usage(format!("--on-error is {word:?}, expected continue or abort"))),
    };
    let opened = Opened::new(&args.open, global)?;
    let backup = opened.backup(&args.backup, as_of)?;
    let root = backup.documents(&opened.identities)?.header().path.clone();
    let patterns: Vec<_> = args.path.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let others = opened.others();
    let options = Options {
        destination: &args.to,
        selection: Selection::parse(&patterns, &root).map_err(Failure::usage)?,
        conflict: Conflict::parse(&args.conflict).unwrap_or(Conflict::Abort),
        numeric_ids: args.numeric_ids,
        dry_run: args.dry_run,
        others: &others,
    };
    let progress = Progress::new(global);
    let first = First { monitor: &progress, stop, is_the_last: is_first_the_last, was_met: AtomicBool::new(false) };
    let tally = Tally::new(&first);
    let report = progress.with_totals(&backup, &opened.identities, &options.selection, || {
        restore::run(&options, &backup, &*opened.target.target, &opened.identities, &tally, stop)
    });
    progress.finish();
    let left_off = || {
        Failure::new(Outcome::Failed, "left off at the first problem")
            .hint("without --on-error abort all else is restored; go on with --conflict identical")
    };
    if report.is_err() && first.was_met() {
        return Err(left_off());
    }
    let report = report?;
    say(&report, &backup.name, args, began, global)?;
    if first.was_met() {
        return Err(left_off());
    }
    if report.interrupted {
        return Ok(Outcome::Interrupted);
    }
    if report.selected == 0 {
        return Err(Failure::new(Outcome::Failed, format!("nothing in {} is meant by these paths", backup.name))
            .hint(format!("`brackup ls {}` shows what is in it", backup.name)));
    }
    Ok(Outcome::of_problems(report.counts.problems))
}

fn say(report: &Report, name: &BackupName, args: &RestoreArgs, began: Instant, global: &Global) -> Result<(), Failure> {
    let counts = &report.counts;
    if global.json {
        let value = serde_json::json!({
            "command": "restore",
            "backup": name.to_string(),
            "to": args.to.to_string_lossy(),
            "dry_run": args.dry_run,
            "interrupted": report.interrupted,
            "selected": report.selected,
            "files": counts.of(Counter::Files),
            "other_entries": counts.of(Counter::OtherEntries),
            "bytes": counts.of(Counter::FileBytes),
            "problems": counts.problems,
            "notices": counts.notices,
            "seconds": began.elapsed().as_secs_f64(),
        });
        writeln!(std::io::stdout(), "{value}")?;
    } else if !global.quiet {
        let files = term::plural(counts.of(Counter::Files), "file", "files");
        let verb = match (report.interrupted, args.dry_run) {
            (true, _) => "interrupted; so far restored",
            (false, true) => "would restore",
            (false, false) => "restored",
        };
        let (bytes, seconds) = (term::bytes(counts.of(Counter::FileBytes)), began.elapsed().as_secs_f64());
        writeln!(std::io::stdout(), "{verb} {files}, {bytes} of {} to {}; {seconds:.1} s", name, args.to.display())?;
    }
    Ok(())
}

/// Passes on what is told, and ends the run with the first problem if that is to be the last.
struct First<'a> {
    monitor: &'a dyn Monitor,
    stop: &'a AtomicBool,
    is_the_last: bool,
    was_met: AtomicBool,
}

impl First<'_> {
    fn was_met(&self) -> bool {
        self.was_met.load(Ordering::Relaxed)
    }
}

impl Monitor for First<'_> {
    fn count(&self, counter: Counter, by: u64) {
        self.monitor.count(counter, by);
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        self.monitor.at(phase, path);
    }

    fn problem(&self, problem: Problem) {
        if self.is_the_last && problem.severity == Severity::Problem {
            self.was_met.store(true, Ordering::Relaxed);
            self.stop.store(true, Ordering::Relaxed);
        }
        self.monitor.problem(problem);
    }
}
