//! `brackup prune`, `pin` and `unpin`: which backups stay.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::catalog;
use brackup::config::Config;
use brackup::date::Utc;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::policy::Policy;
use brackup::retention::{Error, Plan, Planned, Pruning, Rule};
use brackup::target::{BackupName, Target};

use super::ask;
use super::memory::Memory;
use super::open::{self, State};
use super::pins::Pins;
use super::provider::NamedTarget;
use super::values::{self, Number};
use crate::cli::{Global, KeepArgs, PinArgs, PruneArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Clocks that are not set are years apart, those that are seconds.
const CLOCKS_APART_SECONDS_MAX: u64 = 24 * 3600;
/// Between a backup and the one before it, in a job.
const LEAP_DAYS: i64 = 45;

/// Removes the backups that no rule keeps.
pub(crate) fn run(args: &PruneArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let flags = policy(&args.keep)?;
    let chosen = chosen(args, &flags)?;
    if args.is_interactive() {
        ask::needs_terminal()?;
    }
    let target = open::target(args.target.as_deref(), global)?;
    let config = open::config_if_any(global)?;
    let rules = Rules::new(flags, &target, config.as_ref());
    if chosen.is_none() && rules.are_none() {
        return Err(Failure::usage("no rule says which backups stay")
            .hint("give one, such as --keep-daily 7, or put keep_daily = 7 into [TARGET:x]; docs/RETENTION.md has all of them"));
    }
    let own = open::own(global)?;
    let pins = Pins::of(&own.key_dir);
    let memory = Memory::open(&own, &target)?;
    // Under the lock: what is pinned from now on comes too late, and whoever pins waits.
    let pinned = pins.all().map_err(|error| unreadable(&pins, &error))?;
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let pruning = Pruning {
        target: &*target.target,
        db: &memory.db,
        identity: &memory.identity,
        box_key: &memory.box_key,
        policy: &|root| rules.of(root),
        only: args.source.as_deref(),
        is_pinned: &|name| pinned.contains(name),
        now: Utc::now().to_unix(),
    };
    if let Some(source) = &args.source {
        has_backups_and_rules(source, &memory, &target, &rules)?;
    }
    if !args.dry_run {
        clocks_agree(&*target.target, pruning.now)?;
    }
    memory.db.begin_run()?;
    let agreed = agreed(&pruning, chosen.as_ref(), args, &tally, stop);
    let plan = match agreed {
        Ok(plan) => plan,
        Err(failure) => {
            // What went wrong first is what went wrong.
            let _ = memory.db.abandon_run();
            return Err(failure);
        }
    };
    let why = if chosen.is_some() { "named" } else { "no rule keeps it" };
    let (mut out, mut removed) = (term::out(), 0);
    if args.dry_run {
        memory.db.abandon_run()?;
        for backup in &plan.backups {
            tell(&mut out, backup, Some(why), global)?;
        }
    } else {
        let carried_out = pruning.carry_out(&plan, &tally, stop, |backup| {
            removed += 1;
            // A broken pipe is told by the flush.
            let _ = tell(&mut out, backup, None, global).and_then(|()| Ok(out.flush()?));
        });
        let ended = memory.db.end_run();
        carried_out?;
        ended?;
    }
    progress.finish();
    let counts = tally.sums();
    let is_interrupted = stop.load(Ordering::Relaxed);
    say(&mut out, &plan, removed, args.dry_run, is_interrupted, global, counts.problems)?;
    out.flush()?;
    Ok(if is_interrupted { Outcome::Interrupted } else { Outcome::of_problems(counts.problems) })
}

/// For a job: all that the rules of the configuration say of this target. Gives how many stay, and how many were removed.
pub(crate) fn by_rules(
    target: &NamedTarget,
    config: &Config,
    memory: &Memory,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(u64, u64), Failure> {
    let rules = Rules::new(Policy::default(), target, Some(config));
    let pins = Pins::of(&config.own.key_dir);
    let pinned = pins.all().map_err(|error| unreadable(&pins, &error))?;
    let pruning = Pruning {
        target: &*target.target,
        db: &memory.db,
        identity: &memory.identity,
        box_key: &memory.box_key,
        policy: &|root| rules.of(root),
        only: None,
        is_pinned: &|name| pinned.contains(name),
        now: Utc::now().to_unix(),
    };
    clocks_agree(pruning.target, pruning.now)?;
    memory.db.begin_run()?;
    let settled = catalog::settle::<Error>(pruning.target, pruning.db, pruning.identity);
    let plan = match settled.and_then(|()| pruning.plan(tally)) {
        Ok(plan) => plan,
        Err(error) => {
            let _ = memory.db.abandon_run();
            return Err(error.into());
        }
    };
    if let Some(name) = leap(&plan) {
        let _ = memory.db.abandon_run();
        let what = format!(
            "{name} is {LEAP_DAYS} days and more after the one before: the clock may have been wrong; nothing is removed"
        );
        return Err(Failure::new(Outcome::Failed, what)
            .hint("after the next backup it goes on by itself; `brackup prune` does not ask for that"));
    }
    let mut removed = 0;
    let carried_out = pruning.carry_out(&plan, tally, stop, |_| removed += 1);
    let ended = memory.db.end_run();
    carried_out?;
    ended?;
    Ok((plan.backups.iter().filter(|backup| backup.is_kept()).count() as u64, removed))
}

/// A newest backup that is long after the one before it. Where nobody looks on, ages are not counted from it before another one
/// says the same.
fn leap(plan: &Plan) -> Option<&BackupName> {
    plan.backups.iter().enumerate().find_map(|(at, newest)| {
        let is_last = plan.backups.get(at + 1).is_none_or(|next| next.name.root() != newest.name.root());
        let before = plan.backups[..at].last().filter(|before| before.name.root() == newest.name.root())?;
        let is_far = newest.time.saturating_sub(before.time) >= LEAP_DAYS * 86_400;
        (is_last && is_far).then_some(&newest.name)
    })
}

/// Where one source is meant.
fn has_backups_and_rules(
    source: &str,
    memory: &Memory,
    target: &NamedTarget,
    rules: &Rules<'_>,
) -> Result<(), Failure> {
    if !memory.db.chains(&memory.identity)?.iter().any(|chain| chain.root == *source) {
        return Err(Failure::usage(format!("this box has no backup of {source} at {}", target.target.describe())));
    }
    if rules.of(source).is_empty() {
        return Err(Failure::usage(format!("no rule says which backups of {source} stay")));
    }
    Ok(())
}

/// What is to be done, and what somebody who is asked agrees to.
fn agreed(
    pruning: &Pruning<'_>,
    chosen: Option<&BackupName>,
    args: &PruneArgs,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<Plan, Failure> {
    catalog::settle::<Error>(pruning.target, pruning.db, pruning.identity)?;
    let mut plan = match chosen {
        Some(name) => pruning.plan_of(name, tally)?,
        None => pruning.plan(tally)?,
    };
    if let Some(name) = chosen {
        can_go(name, &plan, pruning.target)?;
    }
    if args.is_interactive() {
        ask_for_each(&mut plan, stop)?;
    }
    Ok(plan)
}

/// A clock that is far from that of the target makes other backups old, or future ones.
fn clocks_agree(target: &dyn Target, now: i64) -> Result<(), Failure> {
    let there = Utc::from_system(target.clock()?);
    if there.to_unix().abs_diff(now) <= CLOCKS_APART_SECONDS_MAX {
        return Ok(());
    }
    let what = format!("the clock here shows {}, that of the target {there}: nothing is removed", Utc::from_unix(now));
    Err(Failure::new(Outcome::Failed, what).hint("set the clock that is wrong"))
}

fn say(
    out: &mut impl Write,
    plan: &Plan,
    removed: u64,
    dry_run: bool,
    is_interrupted: bool,
    global: &Global,
    problems: u64,
) -> Result<(), Failure> {
    let kept = plan.backups.iter().filter(|backup| backup.is_kept()).count() as u64;
    let to_go = plan.backups.len() as u64 - kept;
    if global.json {
        let value = serde_json::json!({
            "command": "prune", "dry_run": dry_run, "interrupted": is_interrupted, "kept": kept, "to_remove": to_go, "removed": removed,
            "problems": problems,
        });
        return Ok(writeln!(out, "{value}")?);
    }
    if global.quiet {
        return Ok(());
    }
    let backups = |count| term::plural(count, "backup", "backups");
    let (stay, go) = (backups(kept), backups(if dry_run { to_go } else { removed }));
    match (dry_run, is_interrupted) {
        (true, _) => writeln!(out, "dry run: {stay} to stay, {go} to go")?,
        (false, true) => writeln!(out, "interrupted: {go} removed of {to_go}")?,
        (false, false) => writeln!(out, "{stay} kept, {go} removed; `brackup gc` gives their space back")?,
    }
    Ok(())
}

/// One backup and its fate; `why` it would go, in a dry run.
fn tell(out: &mut impl Write, backup: &Planned, why: Option<&str>, global: &Global) -> Result<(), Failure> {
    let rules: Vec<_> = backup.rules.iter().map(ToString::to_string).collect();
    let (name, time) = (&backup.name, Utc::from_unix(backup.time));
    if global.json {
        let value = serde_json::json!({
            "backup": name.to_string(), "root": name.root(), "time": time.to_string(), "bytes": backup.bytes, "kept": backup.is_kept(),
            "rules": rules,
        });
        return Ok(writeln!(out, "{value}")?);
    }
    match (backup.is_kept(), why) {
        (true, _) => writeln!(out, "keep    {name}  {time}  {}", rules.join(", "))?,
        (false, Some(why)) => writeln!(out, "remove  {name}  {time}  {why}")?,
        (false, None) if !global.quiet => writeln!(out, "removed {name}  {time}")?,
        (false, None) => {}
    }
    Ok(())
}

/// The one backup that is named, whole: `ROOT:latest` may be another one than somebody thinks.
fn chosen(args: &PruneArgs, flags: &Policy) -> Result<Option<BackupName>, Failure> {
    let Some(text) = args.backup() else { return Ok(None) };
    if args.source.is_some() || !flags.is_empty() {
        return Err(Failure::usage("--backup names what goes: no rule and no --source is asked"));
    }
    let name = BackupName::parse(text);
    let odd = || Failure::usage(format!("{text} is not the name of a backup")).hint("`brackup list` shows them");
    name.map(Some).ok_or_else(odd)
}

/// Whether the backup that is named is there, this box's, and not pinned.
fn can_go(name: &BackupName, plan: &Plan, target: &dyn Target) -> Result<(), Failure> {
    match plan.backups.iter().find(|backup| backup.name == *name) {
        Some(backup) if backup.is_kept() => Err(Failure::new(Outcome::Failed, format!("{name} is pinned"))
            .hint(format!("`brackup unpin {name}` lets it go"))),
        Some(_) => Ok(()),
        None => {
            // Why not is told better by who finds backups.
            catalog::find(target, &name.to_string(), None)?;
            let what = format!("{name} is another box's, or this box has forgotten it");
            Err(Failure::new(Outcome::Failed, what).hint("the box that made it can remove it"))
        }
    }
}

/// What somebody wants to keep stays.
fn ask_for_each(plan: &mut Plan, stop: &AtomicBool) -> Result<(), Failure> {
    for backup in plan.backups.iter_mut().filter(|backup| !backup.is_kept()) {
        if !ask::confirm(&format!("remove {}, {}?", backup.name, Utc::from_unix(backup.time)), stop)? {
            backup.rules.insert(Rule::Owner);
        }
    }
    Ok(())
}

/// The rules that flags say.
fn policy(flags: &KeepArgs) -> Result<Policy, Failure> {
    let count = |option: &str, text: &Option<String>| {
        let Some(Number(count)) = values::read(option, text.as_deref())? else { return Ok(None) };
        let count = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
        let wrong = || Failure::usage(format!("{option} is a number from 1 to 1000000"));
        count.map(Some).ok_or_else(wrong)
    };
    Ok(Policy {
        last: count("--keep-last", &flags.keep_last)?,
        daily: count("--keep-daily", &flags.keep_daily)?,
        weekly: count("--keep-weekly", &flags.keep_weekly)?,
        monthly: count("--keep-monthly", &flags.keep_monthly)?,
        yearly: count("--keep-yearly", &flags.keep_yearly)?,
        within: values::read("--keep-within", flags.keep_within.as_deref())?,
        thinning: values::read("--thinning", flags.thinning.as_deref())?,
    })
}

/// What says which backups stay: a flag, else the source's own rules if it has any, else the target's.
struct Rules<'a> {
    flags: Policy,
    of_target: Policy,
    config: Option<&'a Config>,
}

impl<'a> Rules<'a> {
    fn new(flags: Policy, target: &NamedTarget, config: Option<&'a Config>) -> Self {
        let section = open::section_of(target, config);
        let of_target = section.map_or_else(Policy::default, |section| section.policy.clone());
        Self { flags, of_target, config }
    }

    fn of(&self, root: &str) -> Policy {
        let sources = self.config.map_or(&[][..], |config| &config.sources);
        let own = sources.iter().find(|source| source.name == root).map(|source| &source.policy);
        self.flags.clone().or(own.filter(|own| !own.is_empty()).unwrap_or(&self.of_target))
    }

    fn are_none(&self) -> bool {
        let sources = self.config.map_or(&[][..], |config| &config.sources);
        self.flags.is_empty() && self.of_target.is_empty() && sources.iter().all(|source| source.policy.is_empty())
    }
}

/// Pins a backup, or takes its pin away.
pub(crate) fn pin(args: &PinArgs, is_to_stay: bool, global: &Global) -> Result<Outcome, Failure> {
    let own = open::own(global)?;
    let pins = Pins::of(&own.key_dir);
    let unpinnable = |error: std::io::Error| unreadable(&pins, &error);
    // Nobody prunes, and nobody pins another one, meanwhile.
    let _state = State::lock(&own)?;
    let exact = BackupName::parse(&args.backup);
    let pinned = pins.all().map_err(unpinnable)?;
    // One that is pinned and gone has no place at a target any more.
    let name = match exact.filter(|name| !is_to_stay && pinned.contains(name)) {
        Some(name) => name,
        None => {
            let target = open::target(args.from.as_deref(), global)?;
            catalog::find(&*target.target, &args.backup, None)?.0
        }
    };
    let has_changed = if is_to_stay { pins.add(&name) } else { pins.remove(&name) }.map_err(unpinnable)?;
    if !global.quiet {
        let what = match (is_to_stay, has_changed) {
            (true, true) => "is pinned: no rule removes it",
            (true, false) => "was pinned already",
            (false, true) => "is pinned no more",
            (false, false) => "was not pinned",
        };
        writeln!(std::io::stdout(), "{name} {what}")?;
    }
    Ok(Outcome::Done)
}

fn unreadable(pins: &Pins, error: &std::io::Error) -> Failure {
    Failure::new(Outcome::Failed, format!("can't use {}: {error}", pins.path().display()))
        .hint("what is pinned is not known, so nothing is removed: mend that file, or move it away if nothing is to be pinned")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Target(error) => error.into(),
        }
    }
}
