//! `brackup fsck`: what does not agree, and what can be mended.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use brackup::config::BoxOptions;
use brackup::date::Utc;
use brackup::db::Db;
use brackup::fsck::{self, Error, KINDS, Kind, Mending, Options, Report};
use brackup::monitor::{Tally, one_line};
use brackup::outcome::Outcome;
use brackup::seal::Keyring;

use super::memory::expected_identity;
use super::open::{self, State};
use super::provider::NamedTarget;
use super::values::{self, Number};
use crate::cli::{FsckArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Looks at one target.
pub(crate) fn run(args: &FsckArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let force = values::read::<Number>("--force", args.force.as_deref())?.map(|number| number.0);
    if !args.repair && (args.from_target.is_some() || force.is_some() || args.forget_missing_backups) {
        return Err(Failure::usage("--from-target, --force and --forget-missing-backups say how to repair")
            .hint("give --repair too; without it nothing is changed"));
    }
    if args.from_target.is_some() && args.forget_missing_backups {
        return Err(Failure::usage(
            "--from-target brings missing backups back, and --forget-missing-backups gives them up",
        )
        .hint("give --from-target first, and forget what it does not bring in another run"));
    }
    let target = open::target(args.target.as_deref(), global)?;
    let own = open::own(global)?;
    let state = if open::has_database(&own) { Some(State::lock(&own)?) } else { None };
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let known = Known::of(state.as_ref(), &target)?;
    let memory = known.db.as_ref().zip(known.identity.as_deref());
    if memory.is_none() && known.damage.is_none() {
        let what = format!("this box does not remember to have stored anything at {}", target.target.describe());
        if args.repair {
            return Err(Failure::new(Outcome::Failed, what)
                .hint("nothing is repaired by a box that does not know what is needed"));
        }
        tally.notice(target.target.describe(), format!("{what}: only its metafiles are looked at"));
    }
    let from = args.from_target.as_deref().map(|from| another(from, &known, global)).transpose()?;
    let mending = args.repair.then(|| own.spool_dir.join("quarantine"));
    let mending = mending.as_deref().map(|quarantine| Mending {
        quarantine,
        from: from.as_ref().map(|from| &*from.target),
        force,
        forget_missing_backups: args.forget_missing_backups,
    });
    let options = Options {
        target: &*target.target,
        memory,
        signer: signer(&own)?,
        spool: &open::spool(Some(&own)),
        read: args.read,
        clock: &|| Utc::now().to_unix(),
        mending,
    };
    let mut report = Report::default();
    if let Some(damage) = &known.damage {
        report.findings.add(Kind::Database, damage, false);
    }
    let writes = memory.filter(|_| args.repair);
    writes.map_or(Ok(()), |(db, _)| db.begin_run())?;
    let looked = fsck::run(&options, &mut report, &tally, stop);
    // What was mended is mended, whatever came then.
    let ended = writes.map_or(Ok(()), |(db, _)| db.end_run());
    progress.finish();
    let is_interrupted = matches!(looked, Err(Error::Stopped));
    let problems = tally.sums().problems;
    // Also if it ended early: what was mended is to be known.
    if is_interrupted || looked.is_ok() || report.chunks > 0 {
        say(&report, args.repair, looked.is_err(), problems, global)?;
    }
    if !is_interrupted {
        looked?;
    }
    ended?;
    let outcome = Outcome::of_problems(report.findings.left().max(problems));
    Ok(if is_interrupted { Outcome::Interrupted } else { outcome })
}

/// What this box remembers of the target, as it is.
#[derive(Default)]
struct Known {
    db: Option<Db>,
    identity: Option<String>,
    /// Why it can't be used.
    damage: Option<String>,
}

impl Known {
    fn of(state: Option<&State>, target: &NamedTarget) -> Result<Self, Failure> {
        let Some(state) = state else { return Ok(Self::default()) };
        let opened =
            Db::open_as_it_is(&state.directory).and_then(|db| db.target_identity(&target.remembered_as()).map(|_| db));
        let db = match opened {
            Ok(db) => db,
            Err(error) if error.is_corruption() => {
                return Ok(Self { damage: Some(one_line(&error)), ..Self::default() });
            }
            Err(error) => return Err(error.into()),
        };
        let identity = expected_identity(&db, target)?;
        Ok(Self { db: Some(db), identity, damage: None })
    }
}

/// The target that good objects come from. Nothing is written there.
fn another(name: &str, known: &Known, global: &Global) -> Result<NamedTarget, Failure> {
    let from = open::target(Some(name), global)?;
    let identity = known.db.as_ref().map_or(Ok(None), |db| expected_identity(db, &from))?;
    if identity.is_some() && identity == known.identity {
        return Err(Failure::usage(format!("{name} is the target that is to be repaired, or a copy with its id")));
    }
    Ok(from)
}

pub(crate) fn signer(own: &BoxOptions) -> Result<Option<brackup::seal::BoxPublic>, Failure> {
    // One that is not there is not made for a look.
    if !own.key_dir.join("box.key").exists() {
        return Ok(None);
    }
    Ok(Some(Keyring::at(&own.key_dir).box_key()?.public()))
}

fn say(report: &Report, repair: bool, is_interrupted: bool, problems: u64, global: &Global) -> Result<(), Failure> {
    let mut out = term::out();
    let (mut count, mut mended) = (0, 0);
    for kind in KINDS {
        let found = report.findings.of(kind);
        let (left, to_do) = (found.count - found.mended, if repair { kind.left() } else { kind.remedy() });
        (count, mended) = (count + found.count, mended + found.mended);
        if found.count == 0 {
            continue;
        }
        if global.json {
            let value = serde_json::json!({
                "kind": kind.word(), "what": kind.what(), "count": found.count, "mended": found.mended,
                "examples": found.examples, "remedy": to_do,
            });
            writeln!(out, "{value}")?;
            continue;
        }
        let more = if found.count > found.examples.len() as u64 { ", …" } else { "" };
        let examples = term::safe(&found.examples.join(", "));
        let mended = if repair { format!(", {} mended, {left} left", found.mended) } else { String::new() };
        writeln!(out, "{}: {}{mended}: {}", kind.word(), found.count, kind.what())?;
        writeln!(out, "    {examples}{more}")?;
        if left > 0 {
            writeln!(out, "    to do: {to_do}")?;
        }
    }
    if global.json {
        for (backup, lacks) in &report.incomplete {
            writeln!(out, "{}", serde_json::json!({ "backup": backup, "lacks": lacks }))?;
        }
        let value = serde_json::json!({
            "command": "fsck", "repair": repair, "interrupted": is_interrupted, "chunks": report.chunks,
            "unknown": { "chunks": report.unknown, "bytes": report.unknown_bytes },
            "inconsistencies": count, "mended": mended, "problems": problems,
        });
        writeln!(out, "{value}")?;
    } else if !global.quiet {
        let chunks = term::plural(report.chunks, "chunk", "chunks");
        let unknown = term::plural(report.unknown, "chunk", "chunks");
        if report.unknown > 0 {
            writeln!(out, "of {unknown}, {}, nothing is known here", term::bytes(report.unknown_bytes))?;
        }
        let interrupted = if is_interrupted { "interrupted, not all was looked at: " } else { "" };
        let found = match count {
            0 => "no inconsistency".into(),
            count => format!(
                "{}, {mended} mended, {} left",
                term::plural(count, "inconsistency", "inconsistencies"),
                count - mended
            ),
        };
        writeln!(out, "{interrupted}{chunks} of this box compared: {found}")?;
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
            error @ (Error::Short { .. } | Error::Stopped) => {
                Self { outcome: Outcome::Failed, message: error.to_string(), hint }
            }
        }
    }
}
