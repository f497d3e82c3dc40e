//! `brackup verify`: without a key, or with one.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brackup::catalog;
use brackup::config::BoxOptions;
use brackup::date::Utc;
use brackup::db::{Chain, Db, Deed, Past};
use brackup::monitor::{Counter, Tally};
use brackup::outcome::Outcome;
use brackup::policy::Grace;
use brackup::restore::Selection;
use brackup::verify::{self, Known, Part, Seen};

use super::memory::{Memory, expected_identity};
use super::open::{self, Opened, State};
use super::past::{self, Overheard};
use super::provider::NamedTarget;
use super::values::{self, Percent};
use crate::cli::{Global, OpenArgs, VerifyArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Checks that what is stored is whole.
pub(crate) fn run(args: &VerifyArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let progress = Progress::new(global);
    let heard = Overheard::of(&progress);
    let tally = Tally::new(&heard);
    let is_in_environment = || std::env::var_os("BRACKUP_KEY").is_some_and(|key| !key.is_empty());
    let with_key = !args.no_key && (!args.key.is_empty() || is_in_environment());
    let with_key = with_key && args.chunks().is_none();
    let checked = if let Some(folder) = args.chunks() {
        chunks(folder, args, &tally, stop).map(|()| None)
    } else if with_key {
        with_keys(args, global, &progress, &tally, stop).map(|()| None)
    } else {
        without_key(args, global, &tally, &heard, stop)
    };
    progress.finish();
    let seen = checked?;
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
            "chunks": seen.map(|seen| seen.chunks),
            "chunks_read": seen.map(|seen| seen.read),
            "chunks_never_read": seen.map(|seen| seen.never),
            "oldest_reading": seen.and_then(|seen| seen.oldest).map(time),
            "seconds": began.elapsed().as_secs_f64(),
        });
        writeln!(io::stdout(), "{value}")?;
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
        let mut out = io::stdout();
        writeln!(out, "{verified}{what}: {verdict}; {:.1} s", began.elapsed().as_secs_f64())?;
        if let Some(seen) = seen.filter(|seen| seen.read < seen.chunks) {
            let (read, never) = (term::plural(seen.read, "chunk", "chunks"), seen.never);
            let oldest = seen.oldest.map_or_else(String::new, |at| format!("; the oldest reading is of {}", time(at)));
            writeln!(out, "read {read} of {}, {never} were never read{oldest}", seen.chunks)?;
        }
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
    tally: &Tally<'_>,
    heard: &Overheard<'_>,
    stop: &AtomicBool,
) -> Result<Option<Seen>, Failure> {
    let began = past::now();
    if !args.backup.is_empty() {
        return Err(Failure::usage("--backup needs a key: without one all objects are looked at")
            .hint("give the secret key file with --key"));
    }
    let part = part(args)?;
    let target = open::target(args.target.as_deref(), global)?;
    let own = open::own(global)?;
    // Only a box that has backed up to this target knows what must be there.
    let state = if open::has_database(&own) { Some(State::lock(&own)?) } else { None };
    let db = state.as_ref().map(State::database).transpose()?;
    let expected = match &db {
        Some(db) => expected_identity(db, &target)?,
        None => None,
    };
    if expected.is_none() {
        let what = "this box has not backed up to it, or does not remember";
        if part != Part::default() {
            let what = format!("{}: {what}: when what was read there is not known", target.target.describe());
            return Err(Failure::new(Outcome::Failed, what)
                .hint("leave out --sample and --older-than: then everything is read"));
        }
        if !global.quiet {
            let place = term::safe(&target.target.describe());
            term::say(format_args!("brackup: {place}: {what}: whether something is missing is not known"));
        }
    }
    let memory = db.as_ref().zip(expected.as_deref());
    let options = verify::Options {
        target: &*target.target,
        memory,
        spool: &open::spool(Some(&own)),
        part,
        clock: &|| Utc::now().to_unix(),
    };
    memory.map_or(Ok(()), |(db, _)| db.begin_run())?;
    let mut out = Told { out: global.json.then(term::out), failed: None };
    let read = verify::objects(&options, tally, stop, &mut |known| out.tell(known, stop));
    // What was read was read, whatever came then.
    let ended = memory.map_or(Ok(()), |(db, _)| db.end_run());
    out.finish()?;
    let seen = read?;
    ended?;
    let remembered = memory.map_or(Ok(Vec::new()), |(db, identity)| db.chains(identity))?;
    verify::chain(&*target.target, &remembered, tally)?;
    if let Some((db, _)) = memory.filter(|_| !stop.load(Ordering::Relaxed)) {
        let counts = tally.sums();
        let outcome = Outcome::of_problems(counts.problems);
        let past = past::upkeep(Deed::Verify, &target.name, outcome, &counts, heard.words());
        past::written(db.remember_past(&Past { began, ..past }).map_err(Failure::from));
    }
    Ok(seen)
}

/// For a job: some of what is there, the least lately read first. No key of this box is needed, which may only copy what others have stored.
pub(crate) fn share(
    percent: f64,
    target: &NamedTarget,
    own: &BoxOptions,
    db: &Db,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<Option<Seen>, Failure> {
    let identity = expected_identity(db, target)?.ok_or_else(|| Memory::forgotten(target))?;
    let target = &*target.target;
    let options = verify::Options {
        target,
        memory: Some((db, &identity)),
        spool: &open::spool(Some(own)),
        part: Part { percent: Some(percent), older_than_seconds: None },
        clock: &|| Utc::now().to_unix(),
    };
    db.begin_run()?;
    let read = verify::objects(&options, tally, stop, &mut |_| {});
    // What was read was read, whatever came then.
    let ended = db.end_run();
    let seen = read?;
    ended?;
    verify::chain(target, &db.chains(&identity)?, tally)?;
    Ok(seen)
}

fn part(args: &VerifyArgs) -> Result<Part, Failure> {
    let percent = values::read::<Percent>("--sample", args.sample.as_deref())?.map(|percent| percent.0);
    let older_than = values::read::<Grace>("--older-than", args.older_than.as_deref())?;
    Ok(Part { percent, older_than_seconds: older_than.map(Grace::seconds) })
}

/// With `--json`: a line for each object.
struct Told {
    out: Option<BufWriter<Stdout>>,
    failed: Option<io::Error>,
}

impl Told {
    fn tell(&mut self, known: Known<'_>, stop: &AtomicBool) {
        let Some(out) = self.out.as_mut().filter(|_| self.failed.is_none()) else { return };
        let value = serde_json::json!({
            "object": known.name.to_string(), "is_whole": known.check.map(|check| check.is_whole),
            "at": known.check.map(|check| time(check.at)), "is_new": known.is_new,
        });
        if let Err(error) = writeln!(out, "{value}") {
            // Nobody listens any more.
            self.failed = Some(error);
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn finish(self) -> Result<(), io::Error> {
        self.failed.map_or_else(|| self.out.map_or(Ok(()), |mut out| out.flush()), Err)
    }
}

fn time(seconds: i64) -> String {
    Utc::from_unix(seconds).to_string()
}

/// Everything opens, every file's digest agrees.
fn with_keys(
    args: &VerifyArgs,
    global: &Global,
    progress: &Progress,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    if part(args)? != Part::default() {
        return Err(Failure::usage("--sample and --older-than are for chunks, which are read without a key")
            .hint("--no-key verifies without, although $BRACKUP_KEY is set"));
    }
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
