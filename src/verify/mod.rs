//! Whether what is stored is whole: without any key (each object's SHA-1 is its name, each chunk that this box needs is there), and
//! with the secret key (everything opens, every file's digest agrees). Nothing on the target is changed.

mod chain;
mod chunks;
mod objects;
mod part;

pub use chain::{Past, Step, chain, history};
pub use chunks::chunks;
pub use objects::{Known, Options, Seen, objects};
pub use part::Part;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{self, ChunkReader, FileReader, OpenBackup, Span, slices};
use crate::db;
use crate::digest::{Key, Sha1Hasher};
use crate::metafile::{Found, Record};
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::seal::Identity;
use crate::target::{self, BackupName, Target, read_ahead};

/// Why a verification as a whole failed. What is wrong with single objects goes to the tally.
#[derive(Debug)]
pub enum Error {
    /// A backup can't be read at all.
    Catalog(catalog::Error),
    /// The local database.
    Database(db::Error),
    /// The target.
    Target(target::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Database(error) => error.hint(),
            Self::Target(error) => error.hint(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Catalog(error) => error.source(),
            Self::Database(error) => error.source(),
            Self::Target(error) => error.source(),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        Self::Catalog(error)
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

/// Opens one backup and reads every file of it. What comes next is fetched while this is opened and digested.
pub fn contents(
    target: &dyn Target,
    backup: &OpenBackup,
    identities: &[Identity],
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    read_ahead(target, |target| {
        let mut documents = backup.documents(identities)?;
        let mut chunks = ChunkReader::new(target, identities);
        let mut reading: Option<Reading> = None;
        while let Some(record) = documents.next().map_err(catalog::Error::from)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match record {
                Record::Part { path, items } => {
                    let reading = reading.get_or_insert_with(|| Reading::new(u64::MAX));
                    reading.read(&items, &mut chunks, tally, stop)?;
                    tally.at(Phase::Verify, &path);
                }
                Record::Entry(found) => {
                    tally.at(Phase::Verify, &found.path);
                    entry(&backup.name, &found, reading.take(), &mut chunks, tally, stop)?;
                }
            }
        }
        Ok(())
    })
}

fn entry(
    backup: &BackupName,
    found: &Found,
    parts: Option<Reading>,
    chunks: &mut ChunkReader<'_>,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let entry = &found.entry;
    if let Some(problem) = &entry.problem {
        tally.notice(format!("{backup}: {}", found.path), format!("was not backed up whole: {problem}"));
    }
    if !entry.stat.kind.has_contents() || entry.problem.is_some() {
        tally.count(Counter::OtherEntries, 1);
        return Ok(());
    }
    let mut reading = parts.unwrap_or_else(|| Reading::new(entry.stat.size));
    reading.read(&entry.items, chunks, tally, stop)?;
    if stop.load(Ordering::Relaxed) {
        // Not read to its end: nothing is known of it.
        return Ok(());
    }
    tally.count(Counter::Files, 1);
    tally.count(Counter::FileBytes, entry.stat.size);
    let subject = |path: &RelPath| format!("{backup}: {path}");
    match reading.finish() {
        Err(error) => tally.problem(subject(&found.path), one_line(&error)),
        Ok((length, sha1)) if length != entry.stat.size || Some(sha1) != entry.sha1 => {
            tally.problem(subject(&found.path), "what is stored is not what was backed up: its digest differs");
        }
        Ok(_) => {}
    }
    Ok(())
}

/// The contents of one file, digested.
struct Reading {
    reader: FileReader,
    sha1: Sha1Hasher,
    length: u64,
    error: Option<catalog::Error>,
}

impl Reading {
    fn new(size: u64) -> Self {
        Self { reader: FileReader::new(size), sha1: Sha1Hasher::default(), length: 0, error: None }
    }

    /// What is wrong with the file is kept until it ends; an error says that no file can be read.
    fn read(
        &mut self,
        items: &[crate::blob::Item<Key>],
        chunks: &mut ChunkReader<'_>,
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        if self.error.is_some() {
            return Ok(());
        }
        let (sha1, length) = (&mut self.sha1, &mut self.length);
        let read = self.reader.read(items, chunks, |span| {
            let go_on = || {
                if stop.load(Ordering::Relaxed) { Err(catalog::Error::Contents("interrupted")) } else { Ok(()) }
            };
            match span {
                Span::Data(data) => {
                    sha1.update(data);
                    *length += data.len() as u64;
                    tally.count(Counter::ReadBytes, data.len() as u64);
                    go_on()
                }
                Span::Hole(hole) => slices(hole).try_for_each(|slice| {
                    sha1.update_with_zeros(slice);
                    *length += slice;
                    go_on()
                }),
            }
        });
        match read {
            Err(error) if error.is_unreachable() => Err(error.into()),
            read => {
                self.error = read.err();
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(u64, crate::digest::Sha1), catalog::Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.reader.finish()?;
        Ok((self.length, self.sha1.finish()))
    }
}
