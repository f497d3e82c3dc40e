//! What the board is told of the past: read from the database and the targets' disks while those are awake, after a run and at the start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::{Config, JobOptions};
use brackup::db::{Db, Deed, Holding, Past};
use brackup::digest::hex;
use brackup::fsutil::Space;
use brackup::outcome::Outcome;
use brackup::status::{Board, Pair};

use super::super::open::{self, State};
use super::super::past;
use super::super::provider::{self, NamedTarget};
use crate::term::Failure;

/// Puts on the board what is remembered, where somebody may look at it. What can't be read stays as it was. Free space is looked at where
/// the job has just been, whose disks are awake and there.
pub(super) fn read(config: &Config, board: &Board, job: Option<&str>) {
    if config.page.is_none() || cfg!(not(feature = "web")) {
        return;
    }
    match open::finds_database(&config.own) {
        Ok(true) => {}
        Ok(false) => {
            return board.change(|report| {
                report.unread = None;
                report.pairs.iter_mut().for_each(|pair| pair.is_known = true);
            });
        }
        Err(error) => {
            let unread = format!("can't look into {}: {error}", config.own.state_dir.display());
            return board.change(|report| report.unread = Some(unread));
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let read = || pairs(config, &State::lock(&config.own)?.database()?, &stop, &|name| job == Some(name));
    let pairs = match read() {
        Ok(pairs) => pairs,
        // It is read when the other run has ended.
        Err(failure) if failure.outcome == Outcome::Locked => return,
        Err(failure) => return board.change(|report| report.unread = Some(failure.message)),
    };
    board.change(|report| {
        report.unread = None;
        let shown = std::mem::replace(&mut report.pairs, pairs);
        for pair in &mut report.pairs {
            let Some(shown) = shown.iter().find(|shown| shown.is_same(pair)) else { continue };
            (pair.next, pair.every, pair.free) = (shown.next, shown.every, pair.free.or(shown.free));
        }
    });
}

/// Each source at each target that a job names, or that was backed up to by hand, and what is copied.
pub(crate) fn pairs(
    config: &Config,
    db: &Db,
    stop: &Arc<AtomicBool>,
    is_awake: &dyn Fn(&str) -> bool,
) -> Result<Vec<Pair>, Failure> {
    let all = db.past()?;
    let mut pairs = Vec::new();
    for job in &config.jobs {
        let copies = job.copies().map(|pair| (pair, true));
        for ((from, to), is_copy) in job.pairs().map(|pair| (pair, false)).chain(copies) {
            // One that can't be used, since its login is not there, is told in the log; what was done is shown all the same.
            let target = provider::open(config.target(to)?.clone(), None, || (&config.own).into(), stop).ok();
            let mut pair = match is_copy {
                true => copied(from, to, &all),
                false => pair(db, (from, to), target.as_ref(), &all)?,
            };
            pair.job.clone_from(&job.name);
            // What the job no longer does went wrong for the last time.
            pair.past.retain(|past| does(job, past.what));
            let awake = target.as_ref().filter(|_| is_awake(&job.name));
            pair.free = awake.and_then(free).map(|bytes| (bytes, past::now()));
            pairs.push(pair);
        }
    }
    // What is backed up by hand, or by cron, belongs to no job.
    let by_hand = |past: &&Past| past.what == Deed::Backup && config.source(&past.source).is_ok();
    for past in all.iter().filter(by_hand) {
        let Some(target) = config.targets.iter().find(|target| target.name == past.target) else { continue };
        if pairs.iter().any(|pair: &Pair| pair.is_of(&past.source, &past.target)) {
            continue;
        }
        let target = provider::open(target.clone(), None, || (&config.own).into(), stop).ok();
        pairs.push(pair(db, (&past.source, &past.target), target.as_ref(), &all)?);
    }
    Ok(pairs)
}

/// The same, with nothing known of what is there.
pub(crate) fn unknown(config: &Config) -> Vec<Pair> {
    let named = |job: &JobOptions| {
        let pair = |(from, to): (&str, &str), is_copy| Pair {
            job: job.name.clone(),
            source: from.into(),
            target: to.into(),
            is_copy,
            ..Pair::default()
        };
        let pairs = job.pairs().map(|names| pair(names, false));
        pairs.chain(job.copies().map(|names| pair(names, true))).collect::<Vec<_>>()
    };
    config.jobs.iter().flat_map(named).collect()
}

fn does(job: &JobOptions, deed: Deed) -> bool {
    match deed {
        Deed::Prune => job.upkeep.prune,
        Deed::Gc => job.upkeep.gc.is_some(),
        Deed::Post => job.post.is_some(),
        Deed::Backup | Deed::Verify | Deed::RestoreTest | Deed::Copy => true,
    }
}

/// Sources that nobody backs up but by hand.
pub(crate) fn without_job(config: &Config) -> Vec<String> {
    let has_job = |name: &String| config.jobs.iter().any(|job| job.from.contains(name));
    config.sources.iter().map(|source| &source.name).filter(|name| !has_job(name)).cloned().collect()
}

fn pair(db: &Db, (from, to): (&str, &str), target: Option<&NamedTarget>, all: &[Past]) -> Result<Pair, Failure> {
    let is_of_it = |past: &&Past| past.what != Deed::Copy && (past.source == from || past.source.is_empty());
    let is_of_it = |past: &&Past| past.target == to && is_of_it(past);
    let mut pair = Pair {
        source: from.into(),
        target: to.into(),
        is_known: target.is_some(),
        past: all.iter().filter(is_of_it).cloned().collect(),
        ..Pair::default()
    };
    forget_words(&mut pair.past);
    let Some(target) = target else { return Ok(pair) };
    if let Some(identity) = db.target_identity(&target.remembered_as())? {
        pair.holding = db.holding(&identity, from)?;
        let chain = db.chains(&identity)?.into_iter().find(|chain| chain.root == from && chain.is_current);
        pair.head = chain.map(|chain| (chain.head.sequence, chain.head.backup, hex(&chain.head.footer)));
    }
    Ok(pair)
}

/// What was copied from one target to another: what is known of it is what the last copy has seen.
fn copied(from: &str, to: &str, all: &[Past]) -> Pair {
    let is_of_it = |past: &&Past| match past.what {
        Deed::Copy | Deed::Post => past.source == from,
        _ => past.source.is_empty(),
    };
    let mut past: Vec<_> = all.iter().filter(|past| past.target == to).filter(is_of_it).cloned().collect();
    forget_words(&mut past);
    let has_seen = |past: &&Past| past.what == Deed::Copy && past.files > 0;
    let seen = past.iter().rev().find(has_seen).map(|past| (past.files, past.bytes));
    let (backups, stored) = seen.unwrap_or_default();
    let holding = Holding { backups, stored, ..Holding::default() };
    Pair { source: from.into(), target: to.into(), is_copy: true, is_known: true, holding, past, ..Pair::default() }
}

/// Words are long: those of the last of each kind are shown.
fn forget_words(past: &mut [Past]) {
    for at in 0..past.len() {
        if past[at + 1..].iter().any(|later| later.what == past[at].what) {
            past[at].words = String::new();
        }
    }
}

/// Bytes that are free where the target is, if that is a disk of this box.
fn free(target: &NamedTarget) -> Option<u64> {
    free_at(target.folder.as_deref()?)
}

fn free_at(folder: &Path) -> Option<u64> {
    Space::at(folder).ok().map(|space| space.free)
}
