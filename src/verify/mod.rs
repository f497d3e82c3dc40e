//! Whether what is stored is whole: without any key (each object's SHA-1 is its name, each chunk that this box needs is there), and
//! with the secret key (everything opens, every file's digest agrees). Nothing on the target is changed.

mod chain;
mod chunks;

pub use chain::{Past, Step, chain, history};
pub use chunks::chunks;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{self, ChunkReader, FileReader, OpenBackup, Span, Trust, slices};
use crate::db::{self, Db};
use crate::digest::{Key, Sha1Hasher};
use crate::metafile::{Found, Record};
use crate::monitor::{Counter, Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::seal::Identity;
use crate::target::{self, BackupName, ErrorKind, ObjectName, Target};

const BUFFER_BYTES: usize = 256 * 1024;

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

/// Reads every object and compares its digest with its name; for metafiles, with their own footer. `needed` is what this box knows
/// to need, if it has a database: each of those must be there.
pub fn objects(
    target: &dyn Target,
    needed: Option<(&Db, &str)>,
    spool: &Path,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut failed = None;
    let mut buffer = vec![0; BUFFER_BYTES];
    target.list(&mut |name, length| {
        if failed.is_some() || stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        tally.at(Phase::Verify, &RelPath::parse(name.to_string().as_bytes()).unwrap_or_default());
        let checked = match &name {
            ObjectName::Chunk(key) => {
                let whole = chunk(target, &name, *key, length, &mut buffer, tally);
                whole.and_then(|is_whole| if is_whole { Ok(()) } else { forget(needed, key) })
            }
            ObjectName::Metafile(backup) => {
                tally.count(Counter::StoredBytes, length);
                metafile(target, backup, length, spool, tally)
            }
            ObjectName::Tombstone(backup) => {
                tally.count(Counter::StoredBytes, length);
                told(catalog::tombstone(target, backup, length).map(drop), &name, tally)
            }
        };
        if let Err(error) = checked {
            // What was being read when it was to stop is not known.
            failed = Some(error).filter(|_| !stop.load(Ordering::Relaxed));
        }
        tally.count(Counter::Chunks, 1);
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    match needed {
        Some((db, identity)) if !stop.load(Ordering::Relaxed) => missing(target, db, identity, tally),
        _ => Ok(()),
    }
}

/// Whether nothing is known to be wrong with it.
fn chunk(
    target: &dyn Target,
    name: &ObjectName,
    key: Key,
    length: u64,
    buffer: &mut [u8],
    tally: &Tally<'_>,
) -> Result<bool, Error> {
    let mut sha1 = Sha1Hasher::default();
    let mut source = match target.get(name, 0, length) {
        Ok(source) => source,
        Err(error) if is_of_the_way(&error) => return Err(error.into()),
        // This one can't be read; others may be. Who may not read it does not know what it is.
        Err(error) => {
            tally.problem(name.to_string(), one_line(&error));
            return Ok(error.kind == ErrorKind::Denied);
        }
    };
    loop {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(got) => {
                sha1.update(&buffer[..got]);
                tally.count(Counter::StoredBytes, got as u64);
            }
            Err(error) => {
                // Damage in one object is told; that nothing comes any more says nothing of what is there.
                let error = target::Error::io("can't be read", error);
                if is_of_the_way(&error) {
                    return Err(error.into());
                }
                tally.problem(name.to_string(), one_line(&error));
                return Ok(error.kind == ErrorKind::Denied);
            }
        }
    }
    let is_whole = sha1.finish() == key;
    if !is_whole {
        tally.problem(name.to_string(), "is damaged: its SHA-1 is not its name");
    }
    Ok(is_whole)
}

/// Without a key a metafile's signature and digest can be checked, whoever signed it.
fn metafile(
    target: &dyn Target,
    backup: &BackupName,
    length: u64,
    spool: &Path,
    tally: &Tally<'_>,
) -> Result<(), Error> {
    let opened = OpenBackup::open(target, backup, length, &Trust::default(), spool);
    told(opened.map(drop), &ObjectName::Metafile(backup.clone()), tally)
}

/// What is wrong with an object is told; that it can't be looked at ends it.
fn told(checked: Result<(), catalog::Error>, name: &ObjectName, tally: &Tally<'_>) -> Result<(), Error> {
    match checked {
        Ok(()) => Ok(()),
        Err(error @ catalog::Error::Object { .. }) => {
            tally.problem(name.to_string(), error.to_string());
            Ok(())
        }
        Err(catalog::Error::Target(error)) if !is_of_the_way(&error) => {
            tally.problem(name.to_string(), one_line(&error));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it says nothing of what was to be read.
fn is_of_the_way(error: &target::Error) -> bool {
    matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Stopped)
}

fn missing(target: &dyn Target, db: &Db, identity: &str, tally: &Tally<'_>) -> Result<(), Error> {
    let mut failed = None;
    db.each_needed(identity, |key, bytes| {
        let name = ObjectName::Chunk(key);
        match target.stat(&name) {
            Ok(Some(length)) if length == bytes => return Ok(()),
            Ok(Some(length)) => tally.problem(name.to_string(), format!("has {length} bytes and not {bytes}")),
            Ok(None) => tally.problem(name.to_string(), "is missing, and backups of this box need it"),
            Err(error) if error.kind == ErrorKind::Unreachable => return Err(error.into()),
            Err(error) => {
                failed = failed.take().or(Some(error));
                return Ok(());
            }
        }
        Ok::<_, Error>(db.forget_chunk(identity, &key)?)
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Only this box's memory is changed: the next backup stores anew what is not whole here.
fn forget(needed: Option<(&Db, &str)>, key: &Key) -> Result<(), Error> {
    needed.map_or(Ok(()), |(db, identity)| Ok(db.forget_chunk(identity, key)?))
}

/// Opens one backup and reads every file of it.
pub fn contents(
    target: &dyn Target,
    backup: &OpenBackup,
    identities: &[Identity],
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
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
