//! Backups from one target to another, byte for byte and without any key: chunks first, then the metafiles that need them (I1).
//!
//! [`run`] reads like that: list both, plan, chunks, links. What this box has stored it knows, and of that it copies what the backups need that are to be
//! there. Of what other boxes have stored it knows nothing, and copies all. What was removed there, by prune or by hand with a tombstone, is not
//! brought back.

mod chunks;
mod error;
mod links;
mod workers;

pub use error::Error;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob::Amount;
use crate::catalog::{self, Listing};
use crate::db::{Db, Present};
use crate::monitor::{Counter, Tally};
use crate::target::{self, BackupName, Target};

/// What is copied, and where to.
#[expect(missing_debug_implementations, reason = "it holds targets")]
pub struct Options<'a> {
    /// Where it is.
    pub from: &'a dyn Target,
    /// Where it is to be too.
    pub to: &'a dyn Target,
    /// What this box remembers, if it does.
    pub memory: Option<Memory<'a>>,
    /// Which backups.
    pub which: Which<'a>,
    /// For the listings.
    pub spool: &'a Path,
    /// Chunks in flight.
    pub connections: usize,
    /// Copy metafiles too whose chunks could not all be copied.
    pub force: bool,
    /// Store nothing.
    pub dry_run: bool,
    /// The other target is not made yet, as this box has seen: it is not asked what it has.
    pub is_new: bool,
    /// Whoever holds a lock, and may not need it.
    pub lock: Option<Lock<'a>>,
}

/// A lock on what this box remembers, where nothing is remembered of the target that is copied from. What others have stored is copied there as if
/// another box stored it: nothing here needs to stand still for it. But of a backup that this box has signed and forgotten gc must not delete what
/// it needs while it is on its way.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Lock<'a> {
    /// Who has signed what this box has made.
    pub signers: &'a [String],
    /// Gives it back. Called once, before anything is stored.
    pub give_back: &'a dyn Fn(),
}

/// The database, in a run that the caller begins and ends, and the ids of both targets.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// The database.
    pub db: &'a Db,
    /// Of the target that is copied from.
    pub from: &'a str,
    /// Of the other one.
    pub to: &'a str,
}

/// Which backups are copied.
#[derive(Clone, Copy)]
pub enum Which<'a> {
    /// Everything that is there, whoever stored it.
    All,
    /// These, of those that this box has made and remembers.
    Own(&'a dyn Fn(&BackupName) -> bool),
}

/// What was to be done, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Chunks that are to be there too, and are not yet.
    pub lacking: Amount,
    /// Of these, copied.
    pub copied: Amount,
    /// Chunks that are there already.
    pub there: Amount,
    /// Backups that came to be there too; in a dry run, that would.
    pub backups: Vec<BackupName>,
    /// Backups that are there already.
    pub backups_there: u64,
    /// Backups that were removed there, and are left so.
    pub removed_there: u64,
    /// Backups that could not be copied.
    pub left_out: u64,
    /// It was ended from outside. What was copied is there, and the next time it goes on.
    pub interrupted: bool,
}

/// Copies what the other target does not have.
pub fn run(options: &Options<'_>, tally: &Tally<'_>, stop: &AtomicBool) -> Result<Report, Error> {
    if let Some(Memory { db, from, to }) = options.memory
        && !options.dry_run
    {
        catalog::settle::<Error>(options.from, db, from)?;
        catalog::settle::<Error>(options.to, db, to)?;
    }
    // The metafiles first, in a listing that has ended before the one of the chunks begins: whatever they need was stored before.
    let (links, _) = catalog::links(options.from)?;
    let there = Listing::take(options.from, options.spool)?;
    let here = if options.is_new { Listing::empty(options.spool) } else { Listing::take(options.to, options.spool) }?;
    if options.memory.is_none() && (there.is_empty() || there.links.is_empty() && !links.is_empty()) {
        // Its id is not known: an empty mount point looks like this.
        let what = format!("nothing of Brackup's is there: {}", options.from.describe());
        return Err(target::Error::new(target::ErrorKind::Unreachable, what)
            .advise("is its disk mounted? if it is, nobody has stored anything there yet")
            .into());
    }
    let mut report = Report::default();
    let planned = links::plan(options, &links, &here.links, &mut report, tally)?;
    if let Some(Lock { signers, give_back }) = options.lock
        && !links::has_own(options, &planned, signers)?
    {
        give_back();
    }
    let wanted = Present::of(planned.iter().filter_map(|planned| planned.remembered.as_ref()));
    let both = chunks::Both { options, wanted: &wanted, there: &there, here: &here };
    both.survey(&mut report)?;
    tally.count(Counter::ExpectedBytes, report.lacking.bytes);
    let lost = both.copy(&mut report, tally, stop)?;
    links::copy(options, planned, &lost, &mut report, tally, stop)?;
    report.interrupted = stop.load(Ordering::Relaxed);
    Ok(report)
}

impl std::fmt::Debug for Which<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::All) { "All" } else { "Own" })
    }
}
