//! Chunks: what is to be there, held against what is, both sorted by key; and what lacks is transferred.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::workers::{Transferred, Wanted, Workers};
use super::{Error, Memory, Options, Report, Which};
use crate::catalog::{self, Cursor, Failed, Listing};
use crate::db::Present;
use crate::digest::Key;
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::target::ObjectName;

/// How often what was copied is made known to the next run, should this one be cut off.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// Two listings, and what is to be in the second.
pub(super) struct Both<'a> {
    pub(super) options: &'a Options<'a>,
    /// Own backups whose chunks are to be there.
    pub(super) wanted: &'a Present,
    pub(super) there: &'a Listing,
    pub(super) here: &'a Listing,
}

/// How a chunk that is wanted stands.
enum Standing {
    /// It is where it is to be.
    Here,
    /// It is where it comes from, and is to be copied.
    There,
    /// It can't be copied: why.
    Nowhere(&'static str),
}

/// Chunks that could not be copied.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) keys: Vec<Key>,
    /// One of them is no chunk that this box knows.
    pub(super) has_unknown: bool,
}

impl Both<'_> {
    /// How much there is to do.
    pub(super) fn survey(&self, report: &mut Report) -> Result<(), Error> {
        self.each_wanted(|wanted, standing| {
            match standing {
                Standing::Here => report.there.add(wanted.bytes),
                Standing::There => report.lacking.add(wanted.bytes),
                Standing::Nowhere(_) => {}
            }
            Ok(())
        })
    }

    /// Transfers what lacks, some at a time, and writes down what is there.
    pub(super) fn copy(&self, report: &mut Report, tally: &Tally<'_>, stop: &AtomicBool) -> Result<Lost, Error> {
        let mut taking =
            Taking { options: self.options, report, tally, lost: Lost::default(), committed: Instant::now() };
        std::thread::scope(|scope| {
            let workers = Workers::start(scope, self.options, tally)?;
            let given = self.each_wanted(|wanted, standing| {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match standing {
                    Standing::Nowhere(why) => taking.lose(&wanted, format!("is not copied: {why}")),
                    Standing::Here => taking.is_there(&wanted)?,
                    Standing::There if self.options.dry_run => {}
                    Standing::There => workers.give(wanted),
                }
                while let Some(done) = workers.done() {
                    taking.take(done)?;
                }
                taking.commit_now_and_then()
            });
            // What is under way is awaited and written down whatever went wrong.
            let mut ended = given;
            for done in workers.finish() {
                let taken = taking.take(done);
                ended = ended.and(taken);
            }
            ended
        })?;
        Ok(taking.lost)
    }

    /// Whether this box has read it there and remembers that it was not whole.
    fn is_damaged_here(&self, key: &Key) -> Result<bool, Error> {
        self.options.memory.map_or(Ok(false), |Memory { db, to, .. }| Ok(db.was_damaged(to, key)?))
    }

    fn each_wanted(&self, mut each: impl FnMut(Wanted, Standing) -> Result<(), Error>) -> Result<(), Error> {
        let (mut there, mut here) = (Cursor::over(self.there)?, Cursor::over(self.here)?);
        let takes_unknown = matches!(self.options.which, Which::All);
        let mut tell = |key: Key, bytes, chunk, found: Option<u64>| {
            let standing = match (here.at(&key)?, found) {
                (Some(length), _) if length == bytes && self.is_damaged_here(&key)? => Standing::Nowhere(
                    "is damaged there, as a verification found; `brackup fsck --repair --from-target` brings a good one",
                ),
                (Some(length), _) if length == bytes => Standing::Here,
                (Some(_), _) => Standing::Nowhere("is there with another length; `brackup fsck` tells more"),
                (None, Some(length)) if length == bytes => Standing::There,
                (None, Some(_)) => Standing::Nowhere("has another length than it was stored with"),
                (None, None) => Standing::Nowhere("is missing where it is to be copied from"),
            };
            each(Wanted { key, bytes, chunk }, standing)
        };
        if let Some(Memory { db, .. }) = self.options.memory {
            db.each_known(self.wanted, |stored, is_wanted| {
                while let Some((key, bytes)) = there.passed(Some(&stored.key))? {
                    if takes_unknown {
                        tell(key, bytes, None, Some(bytes))?;
                    }
                }
                let found = there.at(&stored.key)?;
                // Of one that came with an inventory the length may not be known.
                let bytes = if stored.bytes == 0 { found.unwrap_or(0) } else { stored.bytes };
                if bytes != stored.bytes && is_wanted && !self.options.dry_run {
                    db.measured(&stored, bytes)?;
                }
                if is_wanted { tell(stored.key, bytes, Some(stored.chunk), found) } else { Ok(()) }
            })?;
        }
        while let Some((key, bytes)) = there.passed(None)? {
            if takes_unknown {
                tell(key, bytes, None, Some(bytes))?;
            }
        }
        Ok(())
    }
}

/// What is done with what the threads did.
struct Taking<'a> {
    options: &'a Options<'a>,
    report: &'a mut Report,
    tally: &'a Tally<'a>,
    lost: Lost,
    committed: Instant,
}

impl Taking<'_> {
    fn take(&mut self, (wanted, done): Transferred) -> Result<(), Error> {
        match done {
            Ok(()) => {
                self.report.copied.add(wanted.bytes);
                self.tally.count(Counter::Chunks, 1);
                let name = ObjectName::Chunk(wanted.key).to_string();
                self.tally.at(Phase::Copy, &RelPath::parse(name.as_bytes()).unwrap_or_default());
                self.is_there(&wanted)
            }
            Err(Failed::Here(error)) => Err(error.into()),
            Err(Failed::There(error)) if is_of_the_way(&error) => Err(error.into()),
            // This one can't be read; others may be.
            Err(Failed::There(error)) => {
                let what = one_line(&error);
                // Of what this box has stored `brackup fsck` tells more.
                let is_anothers = wanted.chunk.is_none() && is_damage(&error);
                self.lose(&wanted, if is_anothers { self.way_out(&what) } else { format!("is not copied: {what}") });
                Ok(())
            }
        }
    }

    /// Only the box that has stored it can store anew what lies in it, and does so once it is not there any more.
    fn way_out(&self, what: &str) -> String {
        let place = self.options.from.describe();
        format!(
            "is not copied, nor is any new backup of other boxes while it lies damaged at {place}: move that file away, and `verify` and the next backup of the box that stored it store anew what lay in it ({what})"
        )
    }

    fn is_there(&self, wanted: &Wanted) -> Result<(), Error> {
        match (self.options.memory, wanted.chunk) {
            (Some(Memory { db, to, .. }), Some(chunk)) if !self.options.dry_run => Ok(db.is_there_too(to, chunk)?),
            _ => Ok(()),
        }
    }

    fn lose(&mut self, wanted: &Wanted, what: String) {
        self.tally.problem(ObjectName::Chunk(wanted.key).to_string(), what);
        self.lost.has_unknown |= wanted.chunk.is_none();
        self.lost.keys.push(wanted.key);
    }

    fn commit_now_and_then(&mut self) -> Result<(), Error> {
        let Some(Memory { db, .. }) = self.options.memory else { return Ok(()) };
        if self.committed.elapsed() < COMMIT_EVERY || self.options.dry_run {
            return Ok(());
        }
        self.committed = Instant::now();
        Ok(db.commit()?)
    }
}

/// Whether it was read to its end and is not what was stored. Of a disk that drops out nothing can be read, and nothing is to be moved away for that.
fn is_damage(error: &catalog::Error) -> bool {
    matches!(error, catalog::Error::Object { .. })
}

/// Whether it says nothing of what was to be read, or is this box's own trouble.
pub(super) fn is_of_the_way(error: &catalog::Error) -> bool {
    match error {
        catalog::Error::Spool(_) => true,
        catalog::Error::Target(error) => error.is_of_the_way(),
        _ => false,
    }
}
