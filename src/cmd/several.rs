//! `brackup --from=SOURCE --to=ONE --to=OTHER`: read and sealed once, stored to each.
//!
//! One target leads: the tree is backed up to it, and from there the others get what they lack, byte for byte. If the first is not there the
//! next one leads, with what is known of the source, and the one that was away gets what it missed when it is back. A target whose backups are not
//! those of the others, because it was backed up to alone, gets a backup of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brackup::catalog;
use brackup::config::{BoxOptions, SourceOptions};
use brackup::copy::{Report, Which};
use brackup::db::ChainHead;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::seal::{BoxPublic, Keyring};
use brackup::target::{BackupName, ObjectName};

use super::backup;
use super::copy::{self, Between};
use super::open::{self, State};
use super::pair::{Done, Pair, Watcher};
use super::provider::NamedTarget;
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
    if dry_run {
        let mut worst = Outcome::Done;
        for target in &targets {
            let (done, _) = backup::one(source, target, own, true, global, stop)?;
            worst = if done.outcome() == Outcome::Done { worst } else { done.outcome() };
        }
        return Ok(worst);
    }
    let folders: Vec<PathBuf> = targets.iter().filter_map(|target| target.folder.clone()).collect();
    let mut members = Vec::new();
    for target in &targets {
        let mut pair = Pair::new(source, target, own)?;
        pair.other_folders.clone_from(&folders);
        let came = match pair.look() {
            Err(failure) if failure.outcome == Outcome::NoSuchTarget => Some(Came::Failed(failure)),
            looked => looked.map(|()| None)?,
        };
        members.push(Member { target, pair, identity: None, head: None, came });
    }
    if let Some(failure) = members.iter_mut().all(|member| member.came.is_some()).then(|| first_failure(&mut members)) {
        return Err(failure);
    }
    let progress = Progress::new(global);
    let several = Several {
        root: &source.name,
        own,
        signer: Keyring::at(&own.key_dir).box_key()?.public(),
        state: State::lock(own)?,
        progress: &progress,
        stop,
    };
    let ran = several.run(&mut members);
    progress.finish();
    ran?;
    say(&members, began, global)
}

/// A target, and what came of it.
struct Member<'a> {
    target: &'a NamedTarget,
    pair: Pair<'a>,
    /// As it is remembered, and the newest of this box's backups of the source there.
    identity: Option<String>,
    head: Option<ChainHead>,
    came: Option<Came>,
}

enum Came {
    BackedUp(Box<Done>),
    /// The backup, if it came to be there; what was copied; and problems.
    Copied(Option<BackupName>, Report, u64),
    Failed(Failure),
}

struct Several<'a> {
    root: &'a str,
    own: &'a BoxOptions,
    signer: BoxPublic,
    state: State,
    progress: &'a Progress,
    stop: &'a AtomicBool,
}

impl Several<'_> {
    /// An error: nothing was stored anywhere.
    fn run(&self, members: &mut [Member<'_>]) -> Result<(), Failure> {
        self.recall(members)?;
        // Those that have backups first, of these folders first, since the others read from it.
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|at| (members[*at].head.is_none(), members[*at].target.folder.is_none(), *at));
        let known_under = self.known_under(members, &order)?;
        let lead = self.lead(members, &order, known_under.as_deref())?;
        let Some(newest) = members[lead].backup().cloned() else { return Ok(()) };
        // A folder is quick: it does not wait for a line that is slow.
        let mut behind: Vec<usize> = (0..members.len()).collect();
        behind.sort_by_key(|at| members[*at].target.folder.is_none());
        for at in behind {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if members[at].came.is_none() {
                let came = self.follow(&members[lead], &members[at], &newest);
                members[at].came = Some(came.unwrap_or_else(Came::Failed));
            }
        }
        Ok(())
    }

    /// The target under which something is known of the source: one of these if there is, in this order, else one that has
    /// their backups too.
    fn known_under(&self, members: &[Member<'_>], order: &[usize]) -> Result<Option<String>, Failure> {
        let db = self.state.database()?;
        let under = db.known_under(self.root)?;
        let known =
            order.iter().filter_map(|at| members[*at].identity.clone()).find(|identity| under.contains(identity));
        if known.is_some() {
            return Ok(known);
        }
        for head in order.iter().filter_map(|at| members[*at].head.as_ref()) {
            if let Some(identity) = db.known_with(self.root, head)? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }

    /// What is remembered of each, and which of them are there.
    fn recall(&self, members: &mut [Member<'_>]) -> Result<(), Failure> {
        let db = self.state.database()?;
        for member in members.iter_mut() {
            let Some(identity) = db.target_identity(&member.target.remembered_as())? else { continue };
            member.head = db.chain_head(&identity, self.root, &self.signer.to_string())?;
            if member.came.is_none()
                && let Err(error) = member.target.target.identify(Some(&identity))
            {
                member.came = Some(Came::Failed(error.into()));
            }
            member.identity = Some(identity);
        }
        Ok(())
    }

    /// Backs up to the first that can be backed up to; gives which that was.
    fn lead(&self, members: &mut [Member<'_>], order: &[usize], known_under: Option<&str>) -> Result<usize, Failure> {
        for at in order {
            if members[*at].came.is_some() {
                continue;
            }
            self.catch_up(members, *at);
            let watcher = Watcher { monitor: self.progress, wants_totals: self.progress.wants_totals() };
            match members[*at].pair.back_up(&self.state, known_under, false, watcher, self.stop) {
                Ok(done) => {
                    members[*at].came = Some(Came::BackedUp(Box::new(done)));
                    return Ok(*at);
                }
                Err(failure) if matches!(failure.outcome, Outcome::Failed | Outcome::NoSuchTarget) => {
                    members[*at].came = Some(Came::Failed(failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(first_failure(members))
    }

    /// The one that leads was away, and others have backups that it would not follow: it gets them first.
    fn catch_up(&self, members: &[Member<'_>], lead: usize) {
        let lead = &members[lead];
        let Some(head) = &lead.head else { return };
        let newer = members.iter().filter(|member| member.came.is_none());
        let newer = newer.filter(|member| member.head.as_ref().is_some_and(|newer| newer.sequence > head.sequence));
        let Some(from) = newer.max_by_key(|member| member.head.as_ref().map(|head| head.sequence)) else { return };
        let Some(since) = BackupName::parse(&head.backup) else { return };
        let is_missed = |name: &BackupName| name.root() == self.root && *name > since;
        let caught = self.state.database().and_then(|db| {
            let identity = from.identity.as_deref().unwrap_or_default();
            if !db.remembers_link(identity, head)? && !was_there(from.target, head)? {
                // They do not go the same way.
                return Ok(());
            }
            let between = Between { from: from.target, to: lead.target, own: self.own, db: Some(&db) };
            let tally = Tally::new(self.progress);
            between.copy(Which::Own(&is_missed), (false, false), &tally, self.stop).map(drop)
        });
        if let Err(failure) = caught {
            let what = "does not get what it missed while it was away";
            term::warning(&format!("{}: {what}: {}", lead.target.name, failure.message));
        }
    }

    /// What the one that leads has comes to another too.
    fn follow(&self, lead: &Member<'_>, member: &Member<'_>, newest: &BackupName) -> Result<Came, Failure> {
        let db = self.state.database()?;
        let between = Between { from: lead.target, to: member.target, own: self.own, db: Some(&db) };
        between.identify(false)?;
        // It may have backups that this box has forgotten.
        let head = catalog::chain_head(&*member.target.target, member.head.clone(), self.root, &self.signer)?;
        if let Some(head) = &head
            && !self.is_behind(&db, lead, head, newest)?
        {
            drop(db);
            let watcher = Watcher { monitor: self.progress, wants_totals: false };
            let done = member.pair.back_up(&self.state, None, false, watcher, self.stop)?;
            return Ok(Came::BackedUp(Box::new(done)));
        }
        let since = head.as_ref().and_then(|head| BackupName::parse(&head.backup));
        let is_missed =
            |name: &BackupName| name.root() == self.root && since.as_ref().map_or(name == newest, |since| name > since);
        let tally = Tally::new(self.progress);
        let report = between.copy(Which::Own(&is_missed), (false, false), &tally, self.stop)?;
        let is_there = report.backups.contains(newest);
        Ok(Came::Copied(is_there.then(|| newest.clone()), report, tally.sums().problems))
    }

    /// Whether a target's newest backup is one that the one that leads has too.
    fn is_behind(
        &self,
        db: &brackup::db::Db,
        lead: &Member<'_>,
        head: &ChainHead,
        newest: &BackupName,
    ) -> Result<bool, Failure> {
        let target = &*lead.target.target;
        let Some(identity) = db.target_identity(&lead.target.remembered_as())? else { return Ok(false) };
        if db.remembers_link(&identity, head)? || was_there(lead.target, head)? {
            return Ok(true);
        }
        let length = target.stat(&ObjectName::Metafile(newest.clone()))?.unwrap_or(0);
        let (footer, _) = catalog::footer(target, newest, length)?;
        Ok(footer.previous == head.footer)
    }
}

/// Whether a tombstone says that this link was at a target, and was pruned there.
fn was_there(target: &NamedTarget, head: &ChainHead) -> Result<bool, Failure> {
    let Some(name) = BackupName::parse(&head.backup) else { return Ok(false) };
    let target = &*target.target;
    let Some(length) = target.stat(&ObjectName::Tombstone(name.clone()))? else { return Ok(false) };
    Ok(catalog::tombstone(target, &name, length).is_ok_and(|stone| stone.footer_digest == head.footer))
}

impl Member<'_> {
    /// The backup that came to be there.
    fn backup(&self) -> Option<&BackupName> {
        match &self.came {
            Some(Came::BackedUp(done)) => done.report.backup.as_ref(),
            Some(Came::Copied(name, ..)) => name.as_ref(),
            _ => None,
        }
    }

    fn problems(&self) -> u64 {
        match &self.came {
            Some(Came::BackedUp(done)) => done.report.counts.problems,
            Some(Came::Copied(_, _, problems)) => *problems,
            _ => 0,
        }
    }

    fn is_interrupted(&self) -> bool {
        match &self.came {
            None => true,
            Some(Came::BackedUp(done)) => done.report.interrupted,
            Some(Came::Copied(_, report, _)) => report.interrupted,
            Some(Came::Failed(failure)) => failure.outcome == Outcome::Interrupted,
        }
    }
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
        term::error(&Failure { message: format!("{name}: {}", failure.message), ..failure });
    }
    let (name, failure) = failures.remove(0);
    Failure { message: format!("{name}: {}", failure.message), ..failure }
}

/// Which backup is complete where.
fn say(members: &[Member<'_>], began: Instant, global: &Global) -> Result<Outcome, Failure> {
    let is_interrupted = members.iter().any(Member::is_interrupted);
    let problems: u64 = members.iter().map(Member::problems).sum();
    let mut out = term::out();
    if global.json {
        let value = serde_json::json!({
            "command": "backup",
            "dry_run": false,
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
                let message = format!("{name}: no backup there: {}", failure.message);
                term::error(&Failure { message, outcome: failure.outcome, hint: failure.hint.clone() });
                continue;
            }
            _ if global.json || global.quiet => continue,
            None => "interrupted before it was its turn".into(),
            Some(Came::BackedUp(done)) => match &done.report.backup {
                Some(backup) => format!("backup {backup}: {}", done.amounts()),
                None => "interrupted; what was stored is used by the next run".into(),
            },
            Some(Came::Copied(Some(backup), report, _)) => {
                format!("backup {backup} copied: {}", copy::amounts(report, false))
            }
            Some(Came::Copied(None, report, _)) => {
                format!("the backup is not complete there; copied {}", copy::amounts(report, false))
            }
        };
        writeln!(out, "{name}: {told}")?;
    }
    out.flush()?;
    let is_everywhere = members.iter().all(|member| member.backup().is_some());
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
        Some(Came::BackedUp(done)) => value["stored"] = backup::counts(done),
        Some(Came::Copied(_, report, _)) => {
            value["copied"] = serde_json::json!({ "chunks": report.copied.chunks, "bytes": report.copied.bytes });
        }
        Some(Came::Failed(failure)) => value["error"] = failure.message.clone().into(),
        None => {}
    }
    value
}
