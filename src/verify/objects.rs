//! Every object read and held against its name, or a part of the chunks a night; what is needed and not there.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use super::part::{Part, Plan};
use crate::catalog::{self, Cursor, Link, Listing, Look, OpenBackup, Trust};
use crate::db::{Check, Checks, Db};
use crate::digest::Key;
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::target::{ErrorKind, ObjectName, Target};

pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// What is looked at.
#[expect(missing_debug_implementations, reason = "it holds a target")]
pub struct Options<'a> {
    /// Where.
    pub target: &'a dyn Target,
    /// What this box remembers of it, by its id: what must be there, and when each chunk was looked at. In a run that the caller begins
    /// and ends.
    pub memory: Option<(&'a Db, &'a str)>,
    /// For the listing.
    pub spool: &'a Path,
    /// Which of the chunks.
    pub part: Part,
    /// The clock of this box: seconds since 1970.
    pub clock: &'a dyn Fn() -> i64,
}

/// What is known of an object.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Which.
    pub name: &'a ObjectName,
    /// When it was read for the last time, and what that showed.
    pub check: Option<Check>,
    /// Whether that was in this run.
    pub is_new: bool,
}

/// What is known of all chunks behind a verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many there are.
    pub chunks: u64,
    /// Of these, read now.
    pub read: u64,
    /// Of these, of which no reading is remembered.
    pub never: u64,
    /// When the one was read that was not read for longest.
    pub oldest: Option<i64>,
}

/// Reads every metafile, and all or some chunks, and compares their digests with their names; metafiles with their own footers. Calls back with
/// what is known of each object. What this box needs must be there. Nothing is given back if it was to stop.
pub fn objects(
    options: &Options<'_>,
    tally: &Tally<'_>,
    stop: &AtomicBool,
    each: &mut dyn FnMut(Known<'_>),
) -> Result<Option<Seen>, Error> {
    let listing = Listing::take(options.target, options.spool)?;
    let mut plan = Plan::make(options.part, &listing, options.memory, (options.clock)())?;
    let links = || listing.links.iter().chain(&listing.early);
    tally.count(Counter::ExpectedBytes, links().map(|link| link.length).sum::<u64>() + plan.bytes);
    for link in links() {
        let read = read_link(options, link, tally);
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (name, is_whole) = read?;
        let check = is_whole.map(|is_whole| Check { at: (options.clock)(), is_whole });
        each(Known { name: &name, check, is_new: true });
    }
    let read = chunks(options, &listing, &mut plan, tally, stop, each);
    // What was being read when it was to stop is not known.
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let seen = read?;
    if let Some((db, identity)) = options.memory {
        missing(options.target, db, identity, &listing, tally)?;
    }
    Ok(Some(seen))
}

fn chunks(
    options: &Options<'_>,
    listing: &Listing,
    plan: &mut Plan,
    tally: &Tally<'_>,
    stop: &AtomicBool,
    each: &mut dyn FnMut(Known<'_>),
) -> Result<Seen, Error> {
    let mut checks = options.memory.map(|(db, identity)| Checks::open_to_write(db, identity));
    let (mut seen, mut buffer) = (Seen::default(), vec![0; BUFFER_BYTES]);
    for chunk in listing.chunks() {
        let (key, length) = chunk?;
        let before = checks.as_mut().map_or(Ok(None), |checks| checks.of(&key))?;
        let (mut check, name) = (before, ObjectName::Chunk(key));
        let is_new = plan.takes(before);
        if is_new {
            begin(&name, tally);
            let looked = catalog::look(options.target, &key, length, &mut buffer, &mut |bytes| {
                tally.count(Counter::StoredBytes, bytes);
            });
            if stop.load(Ordering::Relaxed) {
                break;
            }
            check = note(options, &key, looked?, checks.as_mut(), tally)?.or(before);
            seen.read += 1;
        }
        let at = check.and_then(|check| check.looked_at((options.clock)()));
        seen.chunks += 1;
        seen.never += u64::from(at.is_none());
        seen.oldest = [seen.oldest, at].into_iter().flatten().min();
        each(Known { name: &name, check: check.filter(|_| at.is_some()), is_new });
    }
    match checks {
        Some(checks) if !stop.load(Ordering::Relaxed) => checks.finish()?,
        _ => {}
    }
    Ok(seen)
}

/// Tells and remembers what reading a chunk has shown. Of one that is not whole only this box's memory is changed: the next backup stores anew
/// what lies in it.
fn note(
    options: &Options<'_>,
    key: &Key,
    looked: Look,
    checks: Option<&mut Checks<'_>>,
    tally: &Tally<'_>,
) -> Result<Option<Check>, Error> {
    let what = match looked {
        Look::Whole => None,
        Look::Gone(_) if is_anothers(options, key)? => {
            let what = "is gone since it was listed: it was none that this box remembers to have stored, and whoever did may have collected it";
            tally.notice(ObjectName::Chunk(*key).to_string(), what);
            return Ok(None);
        }
        Look::Damaged(what, _) | Look::Gone(what) => Some(what),
        // Who may not read it does not know what it is.
        Look::Unknown(what) => {
            tally.problem(ObjectName::Chunk(*key).to_string(), what);
            return Ok(None);
        }
    };
    let check = Check { at: (options.clock)(), is_whole: what.is_none() };
    if let Some((_, identity)) = options.memory.filter(|_| what.is_some()) {
        // Of a disk that dropped out nothing can be read, and nothing follows from that.
        options.target.identify(Some(identity))?;
    }
    if let Some(what) = what {
        tally.problem(ObjectName::Chunk(*key).to_string(), what);
        if let Some((db, identity)) = options.memory {
            db.forget_chunk(identity, key)?;
        }
    }
    checks.map_or(Ok(()), |checks| checks.remember(key, check))?;
    Ok(Some(check))
}

/// Whether a chunk that is gone is surely not there, and none that this box has stored.
fn is_anothers(options: &Options<'_>, key: &Key) -> Result<bool, Error> {
    if options.memory.map_or(Ok(false), |(db, _)| db.knows_chunk(key))? {
        return Ok(false);
    }
    match options.target.stat(&ObjectName::Chunk(*key)) {
        Ok(there) => Ok(there.is_none()),
        Err(error) if error.is_of_the_way() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

fn begin(name: &ObjectName, tally: &Tally<'_>) {
    tally.at(Phase::Verify, &RelPath::parse(name.to_string().as_bytes()).unwrap_or_default());
    tally.count(Counter::Chunks, 1);
}

/// Without a key a metafile's signature and digest can be checked, whoever signed it.
fn read_link(options: &Options<'_>, link: &Link, tally: &Tally<'_>) -> Result<(ObjectName, Option<bool>), Error> {
    let Options { target, spool, .. } = *options;
    let name = link.object();
    begin(&name, tally);
    tally.count(Counter::StoredBytes, link.length);
    let checked = if link.is_removed {
        catalog::tombstone(target, &link.name, link.length).map(drop)
    } else {
        OpenBackup::open(target, &link.name, link.length, &Trust::default(), spool).map(drop)
    };
    if checked.is_err() && !link.is_removed && is_pruned(target, link)? {
        return Ok((name, None));
    }
    let is_whole = told(checked, &name, tally)?;
    Ok((name, is_whole))
}

/// Whether a backup was removed since it was listed.
fn is_pruned(target: &dyn Target, link: &Link) -> Result<bool, Error> {
    let stat = |name: ObjectName| match target.stat(&name) {
        Ok(there) => Ok(there.is_some()),
        Err(error) if error.is_of_the_way() => Err(error),
        Err(_) => Ok(false),
    };
    Ok(stat(ObjectName::Tombstone(link.name.clone()))? && !stat(ObjectName::Metafile(link.name.clone()))?)
}

/// What is wrong with an object is told; that it can't be looked at ends it. Nothing: it may not be read.
fn told(checked: Result<(), catalog::Error>, name: &ObjectName, tally: &Tally<'_>) -> Result<Option<bool>, Error> {
    match checked {
        Ok(()) => Ok(Some(true)),
        Err(error @ catalog::Error::Object { .. }) => {
            tally.problem(name.to_string(), error.to_string());
            Ok(Some(false))
        }
        Err(catalog::Error::Target(error)) if !error.is_of_the_way() => {
            tally.problem(name.to_string(), one_line(&error));
            Ok(Some(false).filter(|_| error.kind != ErrorKind::Denied))
        }
        Err(error) => Err(error.into()),
    }
}

/// Holds what backups need against the listing, both sorted by key. What it lacks is asked for once more: it may be older than what was stored.
fn missing(target: &dyn Target, db: &Db, identity: &str, listing: &Listing, tally: &Tally<'_>) -> Result<(), Error> {
    let (mut failed, mut there) = (None, Cursor::over(listing)?);
    db.each_needed(identity, |key, bytes| {
        let listed = there.at(&key)?;
        // Of one that came with an inventory the length may not be known.
        if listed == Some(bytes) || bytes == 0 && listed.is_some() {
            return Ok(());
        }
        let name = ObjectName::Chunk(key);
        match target.stat(&name) {
            Ok(Some(length)) if length == bytes || bytes == 0 => return Ok(()),
            Ok(Some(length)) => tally.problem(name.to_string(), format!("has {length} bytes and not {bytes}")),
            Ok(None) => tally.problem(name.to_string(), "is missing, and backups of this box need it"),
            Err(error) if error.is_of_the_way() => return Err(error.into()),
            Err(error) => {
                failed = failed.take().or(Some(error));
                return Ok(());
            }
        }
        Ok::<_, Error>(db.forget_chunk(identity, &key)?)
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
