//! Whether what this box remembers, what its backups need, and what is at the target agree; and what can be mended without any key:
//! docs/RETENTION.md.
//!
//! [`run`] lists, holds the chunks of the database against the listing, then the backups against the metafiles. Without [`Mending`] nothing is
//! written anywhere. With it nothing is deleted that is not kept in quarantine first, and nothing on doubt (I9).

mod backups;
mod chunks;
mod error;
mod kind;
mod mend;

pub use error::Error;
pub use kind::{Finding, Findings, KINDS, Kind};

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{self, Cursor, Listing};
use crate::db::Db;
use crate::monitor::Tally;
use crate::seal::BoxPublic;
use crate::target::Target;

/// Chunks may be missing up to one in so many before nothing is repaired.
const MISSING_ONE_IN: u64 = 10;

/// What is looked at.
#[expect(missing_debug_implementations, reason = "it holds a target")]
pub struct Options<'a> {
    /// Where.
    pub target: &'a dyn Target,
    /// What this box remembers of it, by its id. To mend, in a run that the caller begins and ends.
    pub memory: Option<(&'a Db, &'a str)>,
    /// This box, if it has a key.
    pub signer: Option<BoxPublic>,
    /// For the listing, and metafiles.
    pub spool: &'a Path,
    /// Read every chunk.
    pub read: bool,
    /// The clock of this box: seconds since 1970.
    pub clock: &'a dyn Fn() -> i64,
    /// What may be done. Nothing: say only.
    pub mending: Option<Mending<'a>>,
}

/// What may be done about it.
#[expect(missing_debug_implementations, reason = "it holds a target")]
#[derive(Clone, Copy)]
pub struct Mending<'a> {
    /// The folder that damaged objects are kept in.
    pub quarantine: &'a Path,
    /// Another target, which may have good ones.
    pub from: Option<&'a dyn Target>,
    /// So many chunks are known to be missing, and it may go on all the same.
    pub force: Option<u64>,
    /// Backups that are gone are to be forgotten, and what they needed is garbage then.
    pub forget_missing_backups: bool,
}

/// What was found, and what was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By kind.
    pub findings: Findings,
    /// Backups that lack chunks, and how many.
    pub incomplete: Vec<(String, u64)>,
    /// Chunks that were held against each other.
    pub chunks: u64,
    /// Chunks at the target of which nothing is known here: another box's, or of before this one lost its memory.
    pub unknown: u64,
    /// Their bytes.
    pub unknown_bytes: u64,
}

/// A look under way.
struct Fsck<'a> {
    options: &'a Options<'a>,
    /// Nothing: nothing may be changed, or nothing may be with what is remembered.
    mending: Option<Mending<'a>>,
    report: &'a mut Report,
    tally: &'a Tally<'a>,
    stop: &'a AtomicBool,
    buffer: Vec<u8>,
    /// Of a chunk that a backup needs it could not be said whether it is there.
    has_unsaid: bool,
}

/// Looks, and mends if it may. `report` has what was found, also where it ends early.
pub fn run(options: &Options<'_>, report: &mut Report, tally: &Tally<'_>, stop: &AtomicBool) -> Result<(), Error> {
    let listing = Listing::take(options.target, options.spool)?;
    let buffer = vec![0; catalog::TRANSFER_BYTES];
    let mut fsck = Fsck { options, mending: options.mending, report, tally, stop, buffer, has_unsaid: false };
    if let Some((db, identity)) = options.memory {
        fsck.memory(db, identity, &listing)?;
    } else {
        fsck.mending = None;
    }
    let looked = fsck.chunks(&listing).and_then(|()| fsck.backups(&listing));
    match looked {
        // A row that has rotted: what is left is not compared.
        Err(error) if error.is_corruption() => {
            fsck.found(Kind::Database, error, false);
            Ok(())
        }
        looked => looked,
    }
}

impl Fsck<'_> {
    /// Whether what is remembered can be relied on, and how much of it is there.
    fn memory(&mut self, db: &Db, identity: &str, listing: &Listing) -> Result<(), Error> {
        let pending = db.pending(identity);
        let sound = pending.and_then(|pending| db.check_refs(identity).map(|()| pending));
        match sound {
            Ok(pending) => {
                let mends = self.mending.is_some();
                if mends {
                    self.listing_is_whole(db, identity, listing)?;
                    catalog::settle::<Error>(self.options.target, db, identity)?;
                }
                pending.into_iter().for_each(|backup| self.found(Kind::PendingBackup, backup.link.backup, mends));
            }
            Err(error) if error.is_corruption() => {
                self.found(Kind::Refs, crate::monitor::one_line(&error), false);
                self.mending = None;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A listing that lacks much is no listing: a disk that is half there, a server that lags behind.
    fn listing_is_whole(&self, db: &Db, identity: &str, listing: &Listing) -> Result<(), Error> {
        let (mut missing, mut all) = (0_u64, 0_u64);
        let mut there = Cursor::over(listing)?;
        db.each_held(identity, |held| {
            if held.is_needed || held.is_believed {
                all += 1;
                let (listed, stored) = (there.at(&held.stored.key)?, held.stored.bytes);
                missing += u64::from(listed.is_none_or(|listed| ![listed, 0].contains(&stored)));
            }
            Ok::<_, Error>(())
        })?;
        let is_forced = self.mending.is_some_and(|mending| mending.force == Some(missing));
        if missing.saturating_mul(MISSING_ONE_IN) > all && !is_forced {
            return Err(Error::Short { missing, all });
        }
        Ok(())
    }

    fn found(&mut self, kind: Kind, name: impl ToString, is_mended: bool) {
        self.report.findings.add(kind, name, is_mended);
    }

    fn go_on(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }
}
