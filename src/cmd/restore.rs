//! `brackup restore`.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use brackup::date::Utc;
use brackup::monitor::{Counter, Tally};
use brackup::outcome::Outcome;
use brackup::restore::{self, Conflict, Options, Selection};

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
    let tally = Tally::new(&progress);
    let report = progress.with_totals(&backup, &opened.identities, &options.selection, || {
        restore::run(&options, &backup, &*opened.target.target, &opened.identities, &tally, stop)
    });
    progress.finish();
    let report = report?;
    let counts = &report.counts;
    if global.json {
        let value = serde_json::json!({
            "command": "restore",
            "backup": backup.name.to_string(),
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
        writeln!(
            std::io::stdout(),
            "{verb} {files}, {bytes} of {} to {}; {seconds:.1} s",
            backup.name,
            args.to.display()
        )?;
    }
    if report.interrupted {
        return Ok(Outcome::Interrupted);
    }
    if report.selected == 0 {
        return Err(Failure::new(Outcome::Failed, format!("nothing in {} is meant by these paths", backup.name))
            .hint(format!("`brackup ls {}` shows what is in it", backup.name)));
    }
    Ok(Outcome::of_problems(counts.problems))
}
