//! One entry at a time: known by the stat cache, or read, digested, looked up, compressed and packed. What became of it goes to the
//! draft and, if it may be trusted tomorrow (I3), to the stat cache.

mod contents;
mod image;
mod recall;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backup::draft::Draft;
use crate::backup::line::{Line, Stored};
use crate::backup::{Error, Options, spool};
use crate::blob::ChunkNo;
use crate::chunk::{Compressor, Packer};
use crate::db::{Blobs, Chunks, Db, Links, Puts, StatCache};
use crate::digest::PieceKey;
use crate::entry::{Entry, Kind, Stat, push_identity, read_items};
use crate::monitor::{Counter, Phase, Tally};
use crate::relpath::RelPath;
use crate::seal::BoxKey;
use crate::source::{Contents, Met, Seams, is_racy};

/// How often what was stored is made known to the next run, should this one be cut off.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Intake<'a> {
    options: &'a Options<'a>,
    db: &'a Db,
    tally: &'a Tally<'a>,
    stop: &'a AtomicBool,
    line: Line,
    draft: &'a mut Draft,
    packer: Packer,
    compressor: Option<Compressor>,
    piece_key: PieceKey,
    target_identity: String,
    cache: StatCache<'a>,
    hints: Option<StatCache<'a>>,
    blobs: Blobs<'a>,
    chunks: Chunks<'a>,
    links: Links<'a>,
    committed: Instant,
    sort_key: Vec<u8>,
    identity: Vec<u8>,
    record: Vec<u8>,
    /// The record of an entry that is as it was, and lies in a chunk that is retired: it is to be read and stored anew.
    retired: Option<Vec<u8>>,
}

impl<'a> Intake<'a> {
    #[expect(clippy::too_many_arguments, reason = "everything that the line is made of, once")]
    pub(super) fn open(
        options: &'a Options<'a>,
        db: &'a Db,
        target_identity: &str,
        box_key: &BoxKey,
        line: Line,
        draft: &'a mut Draft,
        tally: &'a Tally<'a>,
        stop: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let recipients: Vec<_> = options.recipients.iter().map(|recipient| *recipient.as_bytes()).collect();
        let known_under = options.known_under.unwrap_or(target_identity);
        let piece_key = PieceKey::derive(&box_key.piece_secret(), known_under, &recipients);
        let source = db.source(options.root, known_under, &piece_key.tag())?;
        let compressor = options.compression.map(Compressor::new).transpose().map_err(|error| spool(options, error))?;
        Ok(Self {
            options,
            db,
            tally,
            stop,
            line,
            draft,
            packer: Packer::new(options.chunk_bytes, options.piece_bytes),
            compressor,
            piece_key,
            target_identity: target_identity.into(),
            cache: StatCache::open(db, source),
            hints: db.hints(
                options.root,
                target_identity,
                options.recipients.iter().map(|one| one.id().0).collect(),
            )?,
            blobs: Blobs::open(db)?,
            chunks: Chunks::open(db, target_identity)?,
            links: Links::open(db),
            committed: Instant::now(),
            sort_key: Vec::new(),
            identity: Vec::new(),
            record: Vec::new(),
            retired: None,
        })
    }

    /// Whether nothing of the source is known yet.
    pub(super) fn is_first(&mut self) -> Result<bool, Error> {
        Ok(self.cache.is_empty()?)
    }

    /// Takes one entry in.
    pub(super) fn entry(&mut self, met: &mut Met) -> Result<(), Error> {
        self.tally.at(Phase::Backup, &met.path);
        met.path.sort_key(&mut self.sort_key);
        // Of this entry alone: one that is another name of what was read takes none.
        self.retired = None;
        self.identity.clear();
        push_identity(&met.stat, &mut self.identity);
        let is_file = met.stat.kind == Kind::File;
        self.tally.count(if is_file { Counter::Files } else { Counter::OtherEntries }, 1);

        let is_link = met.stat.links > 1 && met.stat.kind != Kind::Directory;
        let first = if is_link { self.links.first(met.stat.device, met.stat.inode)? } else { None };
        let hardlink = first.as_ref().map(|first| &first.path);
        let mut is_there = true;
        if self.unchanged(met, hardlink)? {
            if is_file {
                self.tally.count(Counter::UnchangedFiles, 1);
                self.tally.count(Counter::FileBytes, met.stat.size);
            }
        } else {
            self.cache.forget()?;
            match first.as_ref().and_then(|first| first.record.as_ref()) {
                // Another name of what was read under its first name in this run.
                Some(record) if record.starts_with(&self.identity) => {
                    self.draft.entry(&met.path, hardlink, record).map_err(|error| spool(self.options, error))?;
                    self.cache.put(&self.sort_key, 0, record)?;
                    self.tally.count(Counter::FileBytes, met.stat.size);
                    self.record.clone_from(record);
                }
                _ => is_there = self.changed(met, hardlink)?,
            }
        }
        if is_link && first.is_none() && is_there {
            let record = (!self.record.is_empty()).then_some(&self.record[..]);
            self.links.remember(met.stat.device, met.stat.inode, &self.sort_key, record)?;
        }
        self.take_stored()
    }

    /// If the stat cache knows the entry as it is now, and the target has all of it, its record goes to the draft as it is.
    fn unchanged(&mut self, met: &Met, hardlink: Option<&RelPath>) -> Result<bool, Error> {
        let Some(record) = self.cache.look_up(&self.sort_key)? else { return Ok(false) };
        if !record.starts_with(&self.identity) || met.problem.is_some() {
            return Ok(false);
        }
        self.record.clear();
        self.record.extend_from_slice(record);
        let Some(entry) = Entry::read_record(&self.record) else { return Ok(false) };
        if !self.chunks.have(&entry.items)? {
            // One with parts stays where it is: of what holds so much of it much is used.
            let is_there = entry.sha1.is_some() && self.chunks.have_at_all(&entry.items)?;
            if is_there && entry.parts == 0 {
                self.retired = Some(self.record.clone());
                return Ok(false);
            }
            if !is_there {
                return Ok(false);
            }
        }
        let mark = self.draft.mark();
        for _ in 0..entry.parts {
            let part = self.cache.next_part()?;
            let items = part.and_then(read_items);
            let is_usable = items.is_some_and(|items| self.chunks.have_at_all(&items).unwrap_or(false));
            let (Some(part), true) = (part, is_usable) else {
                self.draft.rewind(mark).map_err(|error| spool(self.options, error))?;
                return Ok(false);
            };
            self.draft.part(&met.path, part).map_err(|error| spool(self.options, error))?;
        }
        self.draft.entry(&met.path, hardlink, &self.record).map_err(|error| spool(self.options, error))?;
        if entry.parts > 0 {
            // A further link could not carry the parts.
            self.record.clear();
        }
        Ok(true)
    }

    /// Reads an entry that is new or has changed. False: it vanished, and nothing may refer to it.
    fn changed(&mut self, met: &mut Met, hardlink: Option<&RelPath>) -> Result<bool, Error> {
        let read_start = met.looked_at;
        let retired = self.retired.take();
        let mark = self.draft.mark();
        let mut entry = Entry::new(met.stat.clone());
        entry.problem = met.problem.take();
        let mut contents = None;
        if met.stat.kind == Kind::File {
            match met.open() {
                Ok(opened) => contents = Some(opened),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.tally.notice(met.path.escaped(), "vanished during the backup");
                    return Ok(false);
                }
                Err(error) => self.lacks(&mut entry, &met.path, format!("can't be read: {error}")),
            }
        }
        if met.stat.kind == Kind::Symlink {
            match met.read_link() {
                Ok(target) => entry.target = target,
                Err(error) => self.lacks(&mut entry, &met.path, format!("the link can't be read: {error}")),
            }
        }
        let attributes = met.xattrs(contents.as_ref()).map(|xattrs| entry.xattrs = xattrs);
        if let Err(error) = &attributes {
            self.tally.problem(met.path.escaped(), error.to_string());
        }
        if let Some(contents) = &mut contents {
            self.contents(met, contents, &mut entry)?;
        }
        if let Some(record) = retired
            && self.is_better(&record, &entry, &met.path)
        {
            self.draft.rewind(mark).map_err(|error| spool(self.options, error))?;
            self.draft.entry(&met.path, hardlink, &record).map_err(|error| spool(self.options, error))?;
            self.cache.put(&self.sort_key, 0, &record)?;
            self.record = record;
            return Ok(true);
        }
        // What lacks something is tried, and told, again by each run.
        let is_final = entry.problem.is_none() && attributes.is_ok() && !entry.changed;
        self.record.clear();
        entry.push_record(&mut self.record);
        self.draft.entry(&met.path, hardlink, &self.record).map_err(|error| spool(self.options, error))?;
        if is_final && !is_racy(&met.stat, read_start) {
            self.cache.put(&self.sort_key, 0, &self.record)?;
        } else {
            // Parts may have been written already: without their entry they are nothing.
            self.record.clear();
        }
        if entry.parts > 0 {
            self.record.clear();
        }
        Ok(true)
    }

    /// Whether what was stored of a file before is to stay, although it should have been stored anew: it can't be read any more, or comes out
    /// otherwise than it went in, and neither size nor times say that somebody has changed it. A disk that fails must not cost the good copy.
    fn is_better(&self, record: &[u8], entry: &Entry<ChunkNo>, path: &RelPath) -> bool {
        if entry.problem.is_some() {
            self.tally.notice(path.escaped(), "is in the backup as it was stored before");
            return true;
        }
        let before = Entry::read_record(record).and_then(|before| before.sha1);
        let has_rotted =
            !entry.changed && entry.sha1.is_some() && before != entry.sha1 && !self.stop.load(Ordering::Relaxed);
        if has_rotted {
            let what = "has other contents than were stored, and neither its size nor its times say so: is the disk failing? what was stored before is kept; \
                        touch it to have it stored as it is";
            self.tally.problem(path.escaped(), what);
        }
        has_rotted
    }

    /// Takes the contents of an open file in, and sees whether it changed meanwhile.
    fn contents(&mut self, met: &Met, contents: &mut Contents, entry: &mut Entry<ChunkNo>) -> Result<(), Error> {
        let seams = if self.options.smart_mp3 { met.mp3_seams(contents) } else { Seams::default() };
        let size = met.stat.size;
        if !self.recalled(met, contents, seams, entry)? && !self.take_whole(&met.path, contents, size, seams, entry)? {
            return Ok(());
        }
        let is_same = |after: &Stat| {
            let mut identity = Vec::with_capacity(self.identity.len());
            push_identity(after, &mut identity);
            identity == self.identity
        };
        entry.changed |= !contents.stat().is_ok_and(|after| is_same(&after));
        if entry.changed && !self.stop.load(Ordering::Relaxed) {
            self.tally.notice(met.path.escaped(), "changed while it was read: what was read is stored");
        }
        Ok(())
    }

    fn lacks(&self, entry: &mut Entry<ChunkNo>, path: &RelPath, what: String) {
        self.tally.problem(path.escaped(), what.clone());
        entry.problem = Some(what);
        entry.items.clear();
        entry.parts = 0;
    }

    fn send_buffer(&mut self) -> Result<(), Error> {
        let empty = self.line.empty_buffer()?;
        self.line.send(self.packer.exchange(empty))?;
        self.take_stored()
    }

    /// Records what has been stored meanwhile, and commits from time to time.
    fn take_stored(&mut self) -> Result<(), Error> {
        while let Some(stored) = self.line.stored()? {
            record(&mut self.chunks, &self.line.puts, self.tally, stored)?;
        }
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.committed = Instant::now();
            if !self.options.dry_run {
                self.cache.flush()?;
                self.blobs.flush()?;
                self.db.commit()?;
                self.line.puts.committed().map_err(Error::State)?;
            }
        }
        Ok(())
    }

    /// Ends the walk, however it went: everything that was packed is stored, and recorded when it is. After a failure too, so that
    /// the next run uses it.
    pub(super) fn finish(mut self, walked: Result<(), Error>) -> Result<(), Error> {
        let (chunks, tally, puts) = (&mut self.chunks, self.tally, self.line.puts.clone());
        let stored = self.line.finish(self.packer.finish(), |stored| record(chunks, &puts, tally, stored));
        let outcome = walked.and(stored);
        let is_whole = outcome.is_ok() && !self.stop.load(Ordering::Relaxed);
        if is_whole && self.hints.is_some() && tally.sums().of(Counter::Files) > 0 {
            self.db.forget_hints(self.options.root, &self.target_identity)?;
        }
        let kept = keep(self.cache, self.blobs, is_whole);
        let is_to_commit = outcome.is_err() && !self.options.dry_run;
        let committed = if is_to_commit { kept.and_then(|()| self.db.commit()) } else { kept };
        // What went wrong first is what went wrong.
        outcome?;
        Ok(committed?)
    }
}

/// What was learned goes to the database. Rows that the walk did not come to stay as they are.
fn keep(mut cache: StatCache<'_>, blobs: Blobs<'_>, is_whole: bool) -> Result<(), crate::db::Error> {
    if is_whole {
        cache.finish()?;
    } else {
        cache.flush()?;
    }
    blobs.finish()
}

fn record(chunks: &mut Chunks<'_>, puts: &Puts, tally: &Tally<'_>, stored: Stored) -> Result<(), Error> {
    chunks.stored(stored.chunk, &stored.key, stored.bytes)?;
    puts.recorded(&stored.key);
    tally.count(Counter::Chunks, 1);
    tally.count(Counter::StoredBytes, stored.bytes);
    Ok(())
}
