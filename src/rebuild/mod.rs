//! What a box that has lost its database needs to know again, read from the metafiles where the secret key is: an inventory.
//!
//! Chain by chain, backup by backup, entry by entry; nothing grows with files or chunks, all of it is in the database that is written.
//! Nothing at the target is changed.

mod error;

pub use error::Error;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::blob::{ChunkNo, Item};
use crate::catalog::{self, Cursor, Documents, Link, Listing, Look, OpenBackup, TRANSFER_BYTES, Verdict};
use crate::date::Utc;
use crate::db::{Backup, ChainHead, Db, Rebuilding, StatCache, recipients_tag};
use crate::digest::Key;
use crate::entry::{Entry, Kind, Stat, push_items};
use crate::metafile::{Found, Record};
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::seal::{Footer, Identity, sealed_length};
use crate::target::Target;

/// A backup to be read, as its footer says.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where it is.
    pub link: Link,
    /// Who signed it, and its number.
    pub footer: Footer,
    /// Of the footer.
    digest: [u8; 32],
    /// Whether it is the newest of its chain.
    is_newest: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Backups.
    pub backups: u64,
    /// Chunks that they need.
    pub chunks: u64,
    /// Of these, those that are not there, or too short for what is to be in them.
    pub missing: u64,
    /// Files of the newest backup of each chain.
    pub files: u64,
}

/// The backups at a target, by chain and in the order of each. One without a good footer is told.
pub fn plan(target: &dyn Target, tally: &Tally<'_>) -> Result<Vec<Planned>, Error> {
    let (links, _) = catalog::links(target)?;
    let mut planned = Vec::new();
    for link in links.into_iter().filter(|link| !link.is_removed) {
        match link.footer(target) {
            Ok((footer, digest)) => planned.push(Planned { link, footer, digest, is_newest: false }),
            Err(catalog::Error::Target(error)) if error.is_of_the_way() => {
                return Err(error.into());
            }
            Err(error) => tally.problem(link.name.to_string(), format!("{}: it is left out", one_line(&error))),
        }
    }
    let chain = |planned: &Planned| (planned.footer.root.clone(), planned.footer.signer.to_string());
    // Numbers that nothing here counts with.
    planned.retain(|planned| {
        let is_number = i64::try_from(planned.footer.sequence).is_ok_and(|sequence| sequence < i64::MAX);
        if !is_number {
            tally.problem(planned.link.name.to_string(), "has a number that can't be: it is left out");
        }
        is_number
    });
    planned.sort_by_cached_key(|planned| (chain(planned), planned.footer.sequence));
    planned.dedup_by(|later, one| {
        let is_twice = chain(later) == chain(one) && later.footer.sequence == one.footer.sequence;
        if is_twice {
            let what = format!("has the number of {} in its chain: it is left out", one.link.name);
            tally.problem(later.link.name.to_string(), what);
        }
        is_twice
    });
    for at in 0..planned.len() {
        planned[at].is_newest = planned.get(at + 1).is_none_or(|next| chain(next) != chain(&planned[at]));
    }
    Ok(planned)
}

/// An inventory under way.
#[derive(Debug)]
pub struct Rebuild<'a> {
    db: &'a Db,
    identity: &'a str,
    identities: &'a [Identity],
    rebuilding: Rebuilding<'a>,
    report: Report,
}

impl<'a> Rebuild<'a> {
    /// In a new database, for the target with this id.
    pub fn create(db: &'a Db, identity: &'a str, identities: &'a [Identity]) -> Result<Self, Error> {
        Ok(Self { db, identity, identities, rebuilding: Rebuilding::create(db, identity)?, report: Report::default() })
    }

    /// Writes down what a backup needs. One that can't be read to its end is told, and is as if it were not there.
    pub fn add(
        &mut self,
        planned: &Planned,
        backup: &OpenBackup,
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        match self.read(planned, backup, tally, stop) {
            Ok(()) => {
                self.report.backups += 1;
                Ok(self.db.commit()?)
            }
            Err(error) if error.is_of_one_backup() => {
                tally.problem(planned.link.name.to_string(), format!("{}: it is left out", one_line(&error)));
                Ok(self.rebuilding.undo()?)
            }
            Err(error) => Err(error),
        }
    }

    fn read(
        &mut self,
        planned: &Planned,
        opened: &OpenBackup,
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        // It was fetched once more since: what is written down is what this signature is for.
        let is_planned = matches!(&opened.verdict, Verdict::Trusted(footer) | Verdict::FirstSeen(footer) if *footer == planned.footer);
        if !is_planned {
            return Err(catalog::Error::Contents("it has another signature than it had just now").into());
        }
        let (footer, mut documents) = (&planned.footer, opened.documents(self.identities)?);
        let signer = footer.signer.to_string();
        let mut backup = Backup::create(self.db, self.identity, &footer.root, &signer, footer.sequence)?;
        let mut hints = None;
        if planned.is_newest {
            let ids = opened.recipients()?.iter().map(|id| id.0).collect();
            let cache = self.rebuilding.hints(&footer.root, &signer, &recipients_tag(ids))?;
            hints = Some(Hints { cache, key: Vec::new(), record: Vec::new(), parts: 0, files: 0 });
        }
        while let Some(record) = documents.next().map_err(catalog::Error::from)? {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            match record {
                Record::Part { path, items } => {
                    let items = self.number(&items, &mut backup)?;
                    hints.as_mut().map_or(Ok(()), |hints| hints.part(&path, &items))?;
                }
                Record::Entry(found) => {
                    tally.at(Phase::Metafile, &found.path);
                    let items = self.number(&found.entry.items, &mut backup)?;
                    hints.as_mut().map_or(Ok(()), |hints| hints.entry(*found, items))?;
                }
            }
        }
        self.finish_backup(planned, &documents, backup)?;
        if let Some(hints) = &mut hints {
            hints.cache.flush()?;
            self.report.files += hints.files;
        }
        Ok(())
    }

    fn finish_backup(&self, planned: &Planned, documents: &Documents, mut backup: Backup<'_>) -> Result<(), Error> {
        if backup.chunks() != planned.footer.chunks {
            return Err(catalog::Error::Contents("the metafile needs other chunks than its footer says").into());
        }
        let created = Utc::parse(&documents.header().created).map_or(0, Utc::to_unix);
        let trailer = documents.trailer().unwrap_or_default();
        let Footer { backup: name, sequence, .. } = &planned.footer;
        let head = ChainHead { backup: name.clone(), sequence: *sequence, footer: planned.digest };
        backup.expect(&head, created, trailer.entries, trailer.bytes)?;
        Ok(backup.stored()?)
    }

    /// Keys to numbers; the backup refers to each.
    fn number(&mut self, items: &[Item<Key>], backup: &mut Backup<'_>) -> Result<Vec<Item<ChunkNo>>, Error> {
        let mut numbered = Vec::with_capacity(items.len());
        for item in items {
            numbered.push(match *item {
                Item::Hole { length } => Item::Hole { length },
                Item::Extent { chunk, offset, length, codec } => {
                    let chunk = self.rebuilding.chunk(&chunk, offset.saturating_add(length))?;
                    backup.refer(chunk, length)?;
                    Item::Extent { chunk, offset, length, codec }
                }
            });
        }
        Ok(numbered)
    }

    /// Holds what the backups need against what is there.
    pub fn finish(mut self, target: &dyn Target, spool: &Path, tally: &Tally<'_>) -> Result<Report, Error> {
        let listing = Listing::take(target, spool)?;
        let mut there = Cursor::over(&listing)?;
        let (report, mut buffer) = (&mut self.report, vec![0; TRANSFER_BYTES]);
        self.rebuilding.measure(|key, used| {
            report.chunks += 1;
            let listed = there.at(key)?;
            // No object with all of that in it is shorter than one that is sealed to a single key.
            let mut length = listed.filter(|length| *length >= sealed_length(1, used));
            // It may be a stranger's backup that says so: a chunk whose SHA-1 is its name is whole.
            if let Some(listed) = listed.filter(|_| length.is_none())
                && matches!(catalog::look(target, key, listed, &mut buffer, &mut |_| {})?, Look::Whole)
            {
                length = Some(listed);
                tally.notice(format!("{key}.chunk"), "is whole, and a backup is of bytes behind its end");
            }
            if length.is_none() {
                report.missing += 1;
                let what = if listed.is_some() { "is cut short" } else { "is missing" };
                tally.problem(format!("{key}.chunk"), format!("{what}: what is in it is stored anew"));
            } else {
                tally.count(Counter::Chunks, 1);
            }
            Ok::<_, Error>(length)
        })?;
        self.db.end_run()?;
        Ok(self.report)
    }
}

/// Where it is written down what the files of the newest backup were like.
struct Hints<'a> {
    cache: StatCache<'a>,
    key: Vec<u8>,
    record: Vec<u8>,
    parts: u32,
    files: u64,
}

impl Hints<'_> {
    fn part(&mut self, path: &RelPath, items: &[Item<ChunkNo>]) -> Result<(), Error> {
        path.sort_key(&mut self.key);
        self.record.clear();
        push_items(items, &mut self.record);
        self.parts += 1;
        Ok(self.cache.put(&self.key, self.parts, &self.record)?)
    }

    /// Only of a file that has all its contents: nothing else costs much to be stored anew.
    fn entry(&mut self, found: Found, items: Vec<Item<ChunkNo>>) -> Result<(), Error> {
        let parts = std::mem::take(&mut self.parts);
        let Found { path, entry, .. } = found;
        if entry.stat.kind != Kind::File || entry.stat.size == 0 || entry.sha1.is_none() || entry.problem.is_some() {
            return Ok(());
        }
        let stat = Stat { size: entry.stat.size, mtime: entry.stat.mtime, mode: entry.stat.mode, ..Stat::default() };
        path.sort_key(&mut self.key);
        self.record.clear();
        Entry { sha1: entry.sha1, parts, items, ..Entry::new(stat) }.push_record(&mut self.record);
        self.files += 1;
        Ok(self.cache.put(&self.key, 0, &self.record)?)
    }
}

impl std::fmt::Debug for Hints<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hints({} files)", self.files)
    }
}
