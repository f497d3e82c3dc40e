//! Garbage: chunks that no backup needs any more, found without any key, and deleted only after a grace period: docs/RETENTION.md.
//!
//! [`run`] reads like that: list, refuse on doubt, mark, retire, delete. Only chunks that this box has stored are looked at; what else is at the
//! target is another box's, or nobody knows.

mod doubt;
mod error;

pub use error::Error;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob::{Amount, ChunkNo};
use crate::catalog::{self, Cursor, Listing};
use crate::date::Utc;
use crate::db::{Chain, Db, Held, StoredChunk};
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::seal::BoxPublic;
use crate::target::{ErrorKind, ObjectName, Target};

/// Chunks that leave the database together, before the first of them is deleted.
const TOGETHER: usize = 64;
/// Deletions that fail one after the other before it is given up.
const FAILURES_MAX: u32 = 64;

/// What is collected, and when.
#[expect(missing_debug_implementations, reason = "it holds a target")]
pub struct Options<'a> {
    /// Where.
    pub target: &'a dyn Target,
    /// What this box remembers of it.
    pub db: &'a Db,
    /// The target's id.
    pub identity: &'a str,
    /// This box.
    pub signer: BoxPublic,
    /// For the listing.
    pub spool: &'a Path,
    /// Seconds between the night on which a chunk is found not to be needed, and its deletion.
    pub grace_seconds: i64,
    /// Whether chunks of which little is used are retired, and how many.
    pub compaction: Option<Compaction>,
    /// So many chunks are known to be missing, and it may go on all the same.
    pub force: Option<u64>,
    /// Delete nothing.
    pub dry_run: bool,
    /// Asked, if any are due, whether these may be deleted, and no others are then. They stay marked if not.
    pub may_delete: Option<&'a dyn Fn(Amount) -> bool>,
}

/// Chunks of which the newest backups use too little.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// Less than so much in a hundred.
    pub under_percent: u8,
    /// What the next backups store anew for it may be so much.
    pub max_bytes: u64,
    /// A chunk is padded to its full size, whatever is in it: what is stored anew takes one at least.
    pub pads_to_chunk: bool,
}

/// What was found, and what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Chunks of this box that backups need.
    pub needed: Amount,
    /// Chunks of this box that none needs.
    pub garbage: Amount,
    /// Of these, marked in this run.
    pub marked: Amount,
    /// Chunks that are another box's, or of which nothing is known. They are left.
    pub unknown: Amount,
    /// Chunks that this box has stored and that are not there.
    pub missing: Amount,
    /// Chunks that are there with another length. They are left.
    pub odd: Amount,
    /// Chunks whose grace has ended.
    pub due: Amount,
    /// Of these, deleted.
    pub deleted: Amount,
    /// Chunks that were retired in this run: nothing new is built on them, and they go with the last backup that needs them.
    pub retired: Amount,
    /// What the next backup stores anew for that.
    pub again_bytes: u64,
    /// When the grace of the next one ends: seconds since 1970 by the clock of the target.
    pub next_due: Option<i64>,
}

/// Collects. In a run of the database, which the caller begins and ends.
pub fn run(options: &Options<'_>, tally: &Tally<'_>, stop: &AtomicBool) -> Result<Report, Error> {
    let Options { target, db, identity, .. } = *options;
    // Before anything is retired, which would be stored anew for nothing.
    target.may_delete()?;
    catalog::settle::<Error>(target, db, identity)?;
    let listing = Listing::take(target, options.spool)?;
    db.check_refs(identity)?;
    let chains = db.chains(identity)?;
    doubt::all_backups_are_remembered(options, &listing.links, &chains)?;
    doubt::tell_backups_that_are_gone(options, &listing.links, &chains, tally)?;
    let now = Utc::from_system(target.clock()?).to_unix();
    doubt::clock_is_set(now)?;
    let mut report = mark(options, &listing, now, stop)?;
    doubt::listing_is_whole(options, &report)?;
    let until = now.saturating_sub(options.grace_seconds);
    let ((chunks, bytes), next) = db.marked(identity, until)?;
    report.due = Amount { chunks, bytes };
    report.next_due = next.map(|since| since.saturating_add(options.grace_seconds));
    if report.missing.chunks > 0 {
        let what = format!(
            "{} of the chunks that this box has stored are not there; the next backup looks which",
            report.missing.chunks
        );
        tally.notice(target.describe(), what);
    }
    compact(options, &chains, &mut report, tally)?;
    if !options.dry_run {
        db.commit()?;
        let is_agreed = report.due.chunks == 0 || options.may_delete.is_none_or(|may| may(report.due));
        if is_agreed {
            delete(options, until, &mut report, tally, stop)?;
        }
    }
    Ok(report)
}

/// Holds what this box has stored against what is there, both sorted by key.
fn mark(options: &Options<'_>, listing: &Listing, now: i64, stop: &AtomicBool) -> Result<Report, Error> {
    let Options { db, identity, .. } = *options;
    let (mut report, mut there) = (Report::default(), Cursor::over(listing)?);
    db.each_held(identity, |held| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        while let Some((_, bytes)) = there.passed(Some(&held.stored.key))? {
            report.unknown.add(bytes);
        }
        let found = there.at(&held.stored.key)?;
        judge(options, &held, found, now, &mut report)
    })?;
    while let Some((_, bytes)) = there.passed(None)? {
        report.unknown.add(bytes);
    }
    Ok(report)
}

/// One chunk of this box, and the length with which it is listed.
fn judge(options: &Options<'_>, held: &Held, found: Option<u64>, now: i64, report: &mut Report) -> Result<(), Error> {
    let Options { db, identity, .. } = *options;
    match found {
        None if held.is_needed || held.is_believed => report.missing.add(held.stored.bytes),
        // Marked or going, and gone.
        None if held.since.is_some() => return Ok(db.gone(identity, held.stored.chunk)?),
        // Of another target, or away for a night: it is this box's when it is back.
        None => {}
        // Of one that came with an inventory the length may not be known.
        Some(bytes) if ![bytes, 0].contains(&held.stored.bytes) && (held.is_needed || held.is_believed) => {
            report.odd.add(bytes);
        }
        Some(bytes) if held.is_needed => report.needed.add(bytes),
        Some(bytes) => {
            report.garbage.add(bytes);
            match held.since {
                Some(since) if since <= now => {}
                // New, or the clock of the target was ahead.
                _ => {
                    report.marked.add(bytes);
                    db.mark(identity, held.stored.chunk, now)?;
                }
            }
            return Ok(());
        }
    }
    // Whatever else it is, it is not to be deleted.
    if held.since.is_some() { Ok(db.unmark(identity, held.stored.chunk)?) } else { Ok(()) }
}

/// Retires chunks of which the newest backups use little, the least used first.
fn compact(options: &Options<'_>, chains: &[Chain], report: &mut Report, tally: &Tally<'_>) -> Result<(), Error> {
    let Options { target, db, identity, .. } = *options;
    let Some(Compaction { under_percent, max_bytes, pads_to_chunk }) =
        options.compaction.filter(|compaction| compaction.under_percent > 0)
    else {
        return Ok(());
    };
    for chain in chains.iter().filter(|chain| chain.is_current) {
        if !db.is_counted(identity, &chain.root, &chain.signer, chain.head.sequence)? {
            let what = format!("what the newest backup of {} uses is not counted: no chunk is retired", chain.root);
            tally.notice(target.describe(), what);
            return Ok(());
        }
    }
    let little = db.little_used(identity, under_percent)?;
    // One in the place of one gains nothing, and would go on for ever.
    if pads_to_chunk && little.len() < 2 {
        return Ok(());
    }
    let waiting = db.retired_and_used(identity)?;
    for (chunk, used) in little {
        if waiting + report.again_bytes + used > max_bytes {
            continue;
        }
        report.again_bytes += used;
        report.retired.add(chunk.bytes);
        if !options.dry_run {
            db.retire(identity, chunk.chunk)?;
        }
    }
    Ok(())
}

/// Deletes what is due: out of the database, from the target, out of the list of what is going.
fn delete(
    options: &Options<'_>,
    until: i64,
    report: &mut Report,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let Options { db, identity, .. } = *options;
    let left = db.going(identity)?;
    delete_all(options, &left, false, report, tally, stop)?;
    let (present, mut last) = (db.present(identity)?, ChunkNo(0));
    loop {
        let due = db.due(identity, &present, until, last, TOGETHER)?;
        let Some(newest) = due.last().filter(|_| !stop.load(Ordering::Relaxed)) else { return Ok(()) };
        last = newest.chunk;
        due.iter().try_for_each(|going| db.let_go(identity, going.chunk))?;
        db.commit()?;
        delete_all(options, &due, true, report, tally, stop)?;
    }
}

/// `is_first_try`: nothing is known to have been tried of them before, so what is surely not deleted can be taken back.
fn delete_all(
    options: &Options<'_>,
    going: &[StoredChunk],
    is_first_try: bool,
    report: &mut Report,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let Options { target, db, identity, .. } = *options;
    let mut failures = 0;
    for (at, one) in going.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = ObjectName::Chunk(one.key);
        tally.at(Phase::Delete, &RelPath::parse(name.to_string().as_bytes()).unwrap_or_default());
        let Err(error) = target.delete(&name) else {
            failures = 0;
            db.gone(identity, one.chunk)?;
            report.deleted.add(one.bytes);
            tally.count(Counter::Chunks, 1);
            tally.count(Counter::StoredBytes, one.bytes);
            continue;
        };
        failures += 1;
        if error.is_of_the_way() {
            return Err(error.into());
        }
        // Surely not deleted, unless an answer was lost before. After any other error it may be or not: it is going, and the next run tries
        // again.
        if error.kind == ErrorKind::Denied && is_first_try && target.stat(&name).is_ok_and(|there| there.is_some()) {
            db.take_back(identity, one.chunk)?;
        }
        if failures == FAILURES_MAX {
            target.identify(Some(identity))?;
            let untried = if is_first_try { &going[at + 1..] } else { &[] };
            untried.iter().try_for_each(|one| db.take_back(identity, one.chunk))?;
            db.commit()?;
            return Err(error.into());
        }
        tally.problem(name.to_string(), one_line(&error));
    }
    // What is not there any more on a disk that is not there any more is not deleted.
    target.identify(Some(identity))?;
    Ok(db.commit()?)
}
