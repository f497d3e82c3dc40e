//! The line back: metafile → open → verify signature → records → fetch → open → digest → temp file → metadata → rename.
//!
//! 1. [`OpenBackup`] has fetched the metafile and checked who wrote it; its documents come one at a time, in the order of paths.
//! 2. An entry that is selected gets its directory, opened name by name below the destination and never through a link.
//! 3. Contents go to a temporary file, digested as they come; owner, attributes, mode and times are set; then it gets its name.
//! 4. A directory gets its owner, mode and times when the walk has left it.
//! 5. What can't be restored is told, counted, and left out; the rest goes on.

mod conflict;
mod error;
mod handle;
mod metadata;
mod place;
mod sample;
mod selection;
mod writing;

pub use conflict::Conflict;
pub use error::Error;
pub use sample::{Drawn, Since, draw, selection};
pub use selection::Selection;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{ChunkReader, OpenBackup};
use crate::entry::Kind;
use crate::metafile::{Found, Record};
use crate::monitor::{Counter, Counts, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::seal::Identity;
use crate::target::{Target, read_ahead};

use metadata::{Metadata, Wanted};
use place::Place;
use writing::Writing;

/// What is restored, and how.
#[expect(missing_debug_implementations, reason = "it holds targets")]
pub struct Options<'a> {
    /// Where to; it is made if it is not there.
    pub destination: &'a Path,
    /// Which paths.
    pub selection: Selection,
    /// What to do with files that are there already.
    pub conflict: Conflict,
    /// Owners by number, not by name.
    pub numeric_ids: bool,
    /// Write nothing.
    pub dry_run: bool,
    /// Where else an object may be that is missing or damaged.
    pub others: &'a [&'a dyn Target],
}

/// What a restore did.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Sums.
    pub counts: Counts,
    /// It was ended from outside.
    pub interrupted: bool,
    /// Entries that were selected.
    pub selected: u64,
}

/// Restores one backup, or a part of it. What comes next is fetched while this is opened and written.
pub fn run(
    options: &Options<'_>,
    backup: &OpenBackup,
    target: &dyn Target,
    identities: &[Identity],
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    read_ahead(target, |target| {
        let mut documents = backup.documents(identities)?;
        let mut restoring = Restoring {
            options,
            tally,
            stop,
            place: Place::open(options.destination, options.dry_run)?,
            chunks: ChunkReader::over(target, options.others, identities),
            metadata: Metadata::new(options.numeric_ids),
            selection: options.selection.clone(),
            directories: Vec::new(),
            deepest: RelPath::root(),
            writing: None,
            selected: 0,
        };
        while let Some(record) = documents.next()? {
            let restored = match record {
                _ if stop.load(Ordering::Relaxed) => break,
                Record::Part { path, items } => restoring.part(&path, &items),
                Record::Entry(found) => restoring.entry(*found),
            };
            restoring.chunks.told().into_iter().for_each(|(name, what)| tally.notice(name.to_string(), what));
            match restored {
                Err(Error::Interrupted) => break,
                other => other?,
            }
        }
        restoring.leave_all()?;
        restoring.place.sync()?;
        let interrupted = stop.load(Ordering::Relaxed);
        if restoring.selected > 0 && !interrupted {
            restoring
                .selection
                .unmet()
                .for_each(|pattern| tally.problem(pattern, "nothing in this backup is meant by it"));
        }
        Ok(Report { counts: tally.sums(), interrupted, selected: restoring.selected })
    })
}

struct Restoring<'a> {
    options: &'a Options<'a>,
    tally: &'a Tally<'a>,
    stop: &'a AtomicBool,
    place: Place,
    chunks: ChunkReader<'a>,
    metadata: Metadata,
    selection: Selection,
    /// The directories that hold the current entry, from the root down.
    directories: Vec<Directory>,
    /// The path of the last of them, which begins with those of all others.
    deepest: RelPath,
    /// A file whose parts have come but not its entry. The inner nothing: it failed, and that was told, or
    /// what is there stays.
    writing: Option<Option<Writing>>,
    selected: u64,
}

/// One is kept for each level, so it holds no more than it must: memory goes by the depth.
struct Directory {
    /// Bytes of [`Restoring::deepest`] that are its path.
    length: usize,
    wanted: Wanted,
    problem: Option<String>,
    /// Made, or found there. Until something below it is restored it is not.
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Made,
    Found,
    Failed,
}

impl Restoring<'_> {
    fn entry(&mut self, mut found: Found) -> Result<(), Error> {
        self.leave(&found.path)?;
        let is_selected = self.selection.selects(&found.path);
        if found.entry.stat.kind == Kind::Directory {
            self.enter(found);
            if is_selected {
                self.selected += 1;
                self.make_directories()?;
            }
            return Ok(());
        }
        if !is_selected {
            return Ok(());
        }
        self.selected += 1;
        self.tally.at(Phase::Restore, &found.path);
        let is_there = self.make_directories()?;
        let parts = self.writing.take();
        if !is_there || parts.as_ref().is_some_and(Option::is_none) {
            return Ok(());
        }
        let wanted = Wanted::of(&mut found);
        let restored = self.one(&found, &wanted, parts.flatten());
        self.told(&found.path, restored).map(drop)
    }

    fn enter(&mut self, mut found: Found) {
        self.deepest.clone_from(&found.path);
        let length = self.deepest.as_bytes().len();
        let problem = found.entry.problem.take();
        self.directories.push(Directory { length, wanted: Wanted::of(&mut found), problem, state: State::Pending });
    }

    /// A part of a file with very many items: they come before its entry.
    fn part(&mut self, path: &RelPath, items: &[crate::blob::Item<crate::digest::Key>]) -> Result<(), Error> {
        if self.writing.is_none() {
            self.leave(path)?;
        }
        if !self.selection.selects(path) || self.options.dry_run {
            return Ok(());
        }
        if self.writing.is_none() {
            self.tally.at(Phase::Restore, path);
            let is_there = self.make_directories()?;
            let begun = if is_there { self.begin(path) } else { Ok(None) };
            self.writing = Some(self.told(path, begun)?.flatten());
        }
        if let Some(Some(writing)) = &mut self.writing {
            let read = writing.read(items, &mut self.chunks, self.tally, self.stop);
            if self.told(path, read)?.is_none() {
                self.writing = Some(None);
            }
        }
        Ok(())
    }

    /// Begins a file of parts, unless what is there is not to be replaced: that is asked before anything is fetched.
    fn begin(&mut self, path: &RelPath) -> Result<Option<Writing>, Error> {
        let is_allowed = self.options.conflict.allows_parts(&mut self.place, path)?;
        is_allowed.then(|| Writing::create(&mut self.place, path, u64::MAX, true)).transpose()
    }

    /// One entry that is no directory.
    fn one(&mut self, found: &Found, wanted: &Wanted, parts: Option<Writing>) -> Result<(), Error> {
        let entry = &found.entry;
        if let Some(problem) = &entry.problem {
            return Err(Error::NotInBackup(problem.clone()));
        }
        if entry.stat.kind == Kind::Socket {
            return Ok(());
        }
        if !self.options.conflict.allows(&mut self.place, found)? {
            return Ok(());
        }
        if self.options.dry_run {
            self.tally.count(Counter::FileBytes, found.entry.stat.size);
            self.count(found);
            return Ok(());
        }
        if let Some(first) = &found.hardlink
            && self.options.selection.clone().selects_alone(first)
            && self.place.link(first, found)?
        {
            self.count(found);
            return Ok(());
        }
        if entry.stat.kind.has_contents() {
            let mut writing = match parts {
                Some(writing) => writing,
                None => Writing::create(&mut self.place, &found.path, entry.stat.size, entry.stat.sparse)?,
            };
            writing.read(&entry.items, &mut self.chunks, self.tally, self.stop)?;
            let file = writing.finish(entry)?;
            self.metadata.apply_to_file(&file, &found.path, wanted, self.tally);
            self.place.name(file, found)?;
        } else {
            let made = self.place.make_node(found)?;
            self.metadata.apply_to_node(&made, &found.path, wanted, self.tally)?;
            self.place.name(made, found)?;
        }
        self.count(found);
        Ok(())
    }

    fn count(&self, found: &Found) {
        let is_file = found.entry.stat.kind.has_contents();
        self.tally.count(if is_file { Counter::Files } else { Counter::OtherEntries }, 1);
    }

    /// Makes the directories that hold the current entry, those that are not there. Whether that succeeded.
    fn make_directories(&mut self) -> Result<bool, Error> {
        let known = self.directories.iter().rposition(|directory| directory.state != State::Pending);
        if known.is_some_and(|at| self.directories[at].state == State::Failed) {
            return Ok(false);
        }
        for at in known.map_or(0, |at| at + 1)..self.directories.len() {
            let mut path = self.deepest.clone();
            while path.as_bytes().len() > self.directories[at].length {
                path.pop();
            }
            self.tally.at(Phase::Restore, &path);
            let made = self.place.make_directory(&path, self.options.conflict);
            let made = self.told(&path, made)?;
            self.directories[at].state = match made {
                None => State::Failed,
                Some(true) => State::Made,
                Some(false) => State::Found,
            };
            if made.is_none() {
                return Ok(false);
            }
            self.tally.count(Counter::OtherEntries, 1);
            if let Some(problem) = self.directories[at].problem.take() {
                self.tally.problem(path.escaped(), format!("was not backed up whole: {problem}"));
            }
        }
        Ok(true)
    }

    /// Leaves the directories that do not hold `path`: they are complete, and get their metadata.
    fn leave(&mut self, path: &RelPath) -> Result<(), Error> {
        while !self.directories.is_empty() && !path.is_within(self.deepest.as_bytes()) {
            self.leave_last()?;
        }
        Ok(())
    }

    fn leave_all(&mut self) -> Result<(), Error> {
        while !self.directories.is_empty() {
            self.leave_last()?;
        }
        Ok(())
    }

    fn leave_last(&mut self) -> Result<(), Error> {
        let Some(Directory { wanted, state, .. }) = self.directories.pop() else { return Ok(()) };
        // What was there before keeps its owner and mode, unless it was asked to be made as it was.
        let is_made = state == State::Made;
        let is_ours = is_made || (state == State::Found && self.options.conflict.replaces());
        if is_ours && !self.options.dry_run {
            let (path, tally) = (&self.deepest, self.tally);
            let applied = self
                .place
                .directory(path.as_bytes())
                .and_then(|directory| self.metadata.apply_to_directory(directory, is_made, path, &wanted, tally));
            self.told(&self.deepest, applied)?;
        }
        let above = self.directories.last().map_or(0, |above| above.length);
        while self.deepest.as_bytes().len() > above {
            self.deepest.pop();
        }
        Ok(())
    }

    /// A failure that concerns one entry is told; one that concerns all ends the run.
    fn told<T>(&self, path: &RelPath, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            // What it was doing then is no problem of the backup.
            Err(_) if self.stop.load(Ordering::Relaxed) => Err(Error::Interrupted),
            Err(error) if error.is_fatal() => Err(error.at(|| self.shown(path))),
            Err(error) => {
                self.tally.problem(path.escaped(), one_line(&error));
                Ok(None)
            }
        }
    }

    /// Where a path is restored to, for people.
    fn shown(&self, path: &RelPath) -> String {
        self.options.destination.join(path.escaped()).display().to_string()
    }
}
