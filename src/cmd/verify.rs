//! `brackup verify`: without a key, or with one.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brackup::catalog;
use brackup::db::Chain;
use brackup::monitor::{Counter, Monitor as _, Tally};
use brackup::outcome::Outcome;
use brackup::restore::Selection;
use brackup::verify;

use super::memory::expected_identity;
use super::open::{self, Opened, State};
use crate::cli::{Global, OpenArgs, VerifyArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Checks that what is stored is whole.
pub(crate) fn run(args: &VerifyArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let is_in_environment = || std::env::var_os("BRACKUP_KEY").is_some_and(|key| !key.is_empty());
    let with_key = !args.no_key && (!args.key.is_empty() || is_in_environment());
    let with_key = with_key && args.chunks().is_none();
    let checked = if let Some(folder) = args.chunks() {
        chunks(folder, args, &tally, stop)
    } else if with_key {
        with_keys(args, global, &progress, &tally, stop)
    } else {
        without_key(args, global, &progress, &tally, stop)
    };
    progress.finish();
    checked?;
    let counts = tally.sums();
    let interrupted = stop.load(Ordering::Relaxed);
    if global.json {
        let value = serde_json::json!({
            "command": "verify",
            "with_key": with_key,
            "interrupted": interrupted,
            "objects": counts.of(Counter::Chunks),
            "stored_bytes": counts.of(Counter::StoredBytes),
            "files": counts.of(Counter::Files),
            "bytes": counts.of(Counter::FileBytes),
            "problems": counts.problems,
            "notices": counts.notices,
            "seconds": began.elapsed().as_secs_f64(),
        });
        writeln!(std::io::stdout(), "{value}")?;
    } else if !global.quiet {
        let what = if with_key {
            let files = term::plural(counts.of(Counter::Files), "file", "files");
            format!("{files}, {} opened and compared", term::bytes(counts.of(Counter::FileBytes)))
        } else {
            let objects = term::plural(counts.of(Counter::Chunks), "object", "objects");
            format!("{objects}, {} read and compared with their names", term::bytes(counts.of(Counter::StoredBytes)))
        };
        let verdict = if counts.problems == 0 {
            "no problem".to_owned()
        } else {
            term::plural(counts.problems, "problem", "problems")
        };
        let verified = if interrupted { "interrupted, not all was looked at: " } else { "verified: " };
        writeln!(std::io::stdout(), "{verified}{what}: {verdict}; {:.1} s", began.elapsed().as_secs_f64())?;
    }
    Ok(if interrupted { Outcome::Interrupted } else { Outcome::of_problems(counts.problems) })
}

/// Names of chunks, and nothing else: no target is known, nor whose they are.
fn chunks(folder: &Path, args: &VerifyArgs, tally: &Tally<'_>, stop: &AtomicBool) -> Result<(), Failure> {
    if args.target.is_some() || !args.key.is_empty() || !args.backup.is_empty() || args.accept_unsigned {
        return Err(Failure::usage("--chunks DIR looks at chunks and at nothing else")
            .hint("leave out the target, --key, --backup and --accept-unsigned, or --chunks"));
    }
    Ok(verify::chunks(folder, tally, stop)?)
}

/// Names, signatures and presence.
fn without_key(
    args: &VerifyArgs,
    global: &Global,
    progress: &Progress,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    if !args.backup.is_empty() {
        return Err(Failure::usage("--backup needs a key: without one all objects are looked at")
            .hint("give the secret key file with --key"));
    }
    let target = open::target(args.target.as_deref(), global)?;
    let own = open::own(global)?;
    // Only a box that has backed up to this target knows what must be there.
    let state = if open::has_database(&own) { Some(State::lock(&own)?) } else { None };
    let db = state.as_ref().map(State::database).transpose()?;
    let expected = match &db {
        Some(db) => expected_identity(db, &target)?,
        None => None,
    };
    if expected.is_none() && !global.quiet {
        let what = "this box has not backed up to it, or does not remember: whether something is missing is not known";
        term::say(format_args!("brackup: {}: {what}", term::safe(&target.target.describe())));
    }
    let needed = db.as_ref().zip(expected.as_deref());
    if progress.wants_totals() {
        target.target.list(&mut |_, length| {
            progress.count(Counter::ExpectedBytes, length);
            Ok(())
        })?;
    }
    verify::objects(&*target.target, needed, &open::spool(Some(&own)), tally, stop)?;
    let remembered = needed.map_or(Ok(Vec::new()), |(db, identity)| db.chains(identity))?;
    verify::chain(&*target.target, &remembered, tally)?;
    Ok(())
}

/// Everything opens, every file's digest agrees.
fn with_keys(
    args: &VerifyArgs,
    global: &Global,
    progress: &Progress,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let open = OpenArgs {
        from: args.target.iter().cloned().collect(),
        key: args.key.clone(),
        accept_unsigned: args.accept_unsigned,
    };
    let opened = Opened::new(&open, global)?;
    let target = &*opened.target.target;
    let remembered = remembered(&opened);
    let names = if args.backup.is_empty() {
        catalog::backups(target)?.into_iter().map(|(name, _)| name.to_string()).collect()
    } else {
        args.backup.clone()
    };
    if names.is_empty() && remembered.is_empty() {
        return Err(Failure::new(Outcome::Failed, format!("there is no backup at {}", target.describe())));
    }
    for name in names {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let checked = opened.backup(&name, None).and_then(|backup| {
            progress.with_totals(&backup, &opened.identities, &Selection::default(), || {
                verify::contents(target, &backup, &opened.identities, tally, stop).map_err(Failure::from)
            })
        });
        match checked {
            // A key that opens nothing is the person's error, not the store's.
            Err(failure) if failure.outcome != Outcome::Failed => return Err(failure),
            Err(failure) => tally.problem(name, failure.message),
            Ok(()) => {}
        }
    }
    verify::chain(target, &remembered, tally)?;
    Ok(())
}

/// What this box remembers to have stored there. With a key that is not needed: a copy on another disk may be looked at, while the box backs up.
fn remembered(opened: &Opened) -> Vec<Chain> {
    let Some(own) = opened.own.as_ref().filter(|own| open::has_database(own)) else { return Vec::new() };
    let chains = || {
        let state = State::lock(own)?;
        let db = state.database()?;
        let identity = expected_identity(&db, &opened.target)?;
        Ok(identity.map_or(Ok(Vec::new()), |identity| db.chains(&identity))?)
    };
    chains().unwrap_or_else(|failure: Failure| {
        let what = "what this box remembers of its newest backups is not compared";
        term::warning(&format!("{what}: {}", failure.message));
        Vec::new()
    })
}
