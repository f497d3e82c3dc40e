//! What a box remembers between runs, in one SQLite file: stat cache, known pieces, chunks, backups and their refs, last runs of jobs.
//!
//! All of it is a cache (I6): losing it costs time and duplicates, never a restore. What it must never do is claim too
//! much: everything that names a chunk counts only while the chunk's own row says `stored` (I2), and that row is
//! written after the put returned.

mod as_it_is;
mod backups;
mod blobs;
mod candidates;
mod checks;
mod checksum;
mod chunks;
mod copies;
mod error;
mod good_runs;
mod hints;
mod holdings;
mod import;
mod inventory;
mod jobs;
mod lacking;
mod links;
mod past;
mod puts;
#[cfg(feature = "rebuild")]
mod rebuilding;
mod refs;
mod stat_cache;
mod statement;
mod upkeep;
mod uses;

pub use backups::{Backup, Chain, ChainHead, Remembered};
pub use blobs::Blobs;
pub use candidates::Held;
pub use checks::{Check, Checks};
pub use chunks::{Chunks, StoredChunk};
pub use error::Error;
pub use good_runs::Since;
pub use hints::recipients_tag;
pub use holdings::Holding;
pub use import::{Imported, NewBackup};
pub use jobs::{JobEnd, JobRun};
pub use lacking::Lacking;
pub use links::{FirstLink, Links};
pub use past::{Deed, Past};
pub use puts::Puts;
#[cfg(feature = "rebuild")]
pub use rebuilding::Rebuilding;
pub use refs::Present;
pub use stat_cache::StatCache;

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use statement::Statement;

const FILE: &str = "brackup.db";
/// Stands beside a database in which damage was met: the next run starts a new one.
const DAMAGED_MARK: &str = "brackup.db.is-damaged";
const SCHEMA_VERSION: i64 = 3;
const SCHEMA: &str = "
CREATE TABLE sources(id INTEGER PRIMARY KEY, name TEXT NOT NULL, target TEXT NOT NULL, tag BLOB NOT NULL, UNIQUE(name, target));
CREATE TABLE targets(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE files(source INTEGER, path BLOB, part INTEGER, record BLOB, PRIMARY KEY(source, path, part)) WITHOUT ROWID;
CREATE TABLE chunks(id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB, bytes INTEGER, checksum INTEGER);
CREATE INDEX chunks_by_key ON chunks(key) WHERE key IS NOT NULL;
CREATE TABLE presence(target TEXT, chunk INTEGER, PRIMARY KEY(target, chunk)) WITHOUT ROWID;
CREATE TABLE blobs(digest BLOB PRIMARY KEY, items BLOB) WITHOUT ROWID;
CREATE TABLE fresh(batch INTEGER, digest BLOB, items BLOB, PRIMARY KEY(batch, digest)) WITHOUT ROWID;
CREATE TABLE links(device INTEGER, inode INTEGER, path BLOB, record BLOB, PRIMARY KEY(device, inode)) WITHOUT ROWID;
CREATE TABLE chains(id INTEGER PRIMARY KEY, target TEXT NOT NULL, root TEXT NOT NULL, signer TEXT NOT NULL, UNIQUE(target, root, signer));
CREATE TABLE backups(id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, sequence INTEGER NOT NULL, name TEXT NOT NULL, footer BLOB NOT NULL,
  created INTEGER NOT NULL, entries INTEGER, bytes INTEGER, chunks INTEGER NOT NULL, sum INTEGER NOT NULL, complete INTEGER NOT NULL,
  checksum INTEGER NOT NULL, UNIQUE(chain, sequence));
CREATE TABLE refs(chunk INTEGER, chain INTEGER, first INTEGER, last INTEGER, PRIMARY KEY(chunk, chain, first)) WITHOUT ROWID;
CREATE TABLE candidates(target TEXT, chunk INTEGER, since INTEGER NOT NULL, is_going INTEGER NOT NULL, PRIMARY KEY(target, chunk)) WITHOUT ROWID;
CREATE TABLE strangers(target TEXT, name TEXT, PRIMARY KEY(target, name)) WITHOUT ROWID;
CREATE TABLE running(id INTEGER PRIMARY KEY);
";
/// Came after the others; one that is not there is empty, so the version is the same.
const JOBS: &str =
    "CREATE TABLE IF NOT EXISTS jobs(name TEXT PRIMARY KEY, began INTEGER NOT NULL, ended INTEGER, outcome INTEGER,
  tries INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS backups_by_name ON backups(name);";

/// The database of a box.
pub struct Db {
    connection: Connection,
    path: PathBuf,
    warning: Option<String>,
    /// It is an inventory, and what is wrong with it says nothing of this box's database.
    is_inventory: bool,
    /// Calls that still work; nothing: all of them.
    calls_left: Cell<Option<u64>>,
    /// Whether damage that is met makes the next run start anew.
    notes_damage: bool,
}

impl Db {
    /// Opens the database in a state directory, or makes a new one. One that is damaged is set aside, and
    /// [`Db::warning`] says what that costs.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        if !path.exists() {
            // Of a file that somebody has removed.
            let _ = std::fs::remove_file(damaged_mark(&path));
            return Self::try_open(&path);
        }
        if damaged_mark(&path).exists() {
            return Self::start_anew(&path, "was damaged");
        }
        match Self::try_open(&path) {
            Err(error) if error.is_outdated => Self::start_anew(&path, "is of an earlier version"),
            Err(error) if error.is_corruption() => Self::start_anew(&path, "was damaged"),
            other => other,
        }
    }

    fn start_anew(path: &Path, why: &str) -> Result<Self, Error> {
        let aside = set_aside(path)?;
        let mut db = Self::try_open(path)?;
        db.warning = Some(format!(
            "the local database {why} and has been set aside as {}; no backup is lost, but the next run reads and stores everything anew",
            aside.display()
        ));
        Ok(db)
    }

    fn connect(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::new(format!("can't open {}", path.display()), error);
        // Ahead of SQLite, which gives its other files to whom this one belongs. What is wrong with it SQLite says.
        let _ = crate::fsutil::make_shared(path);
        let connection = Connection::open(path).map_err(failed)?;
        // Little memory: a box has 32 MB. TRUNCATE and not WAL: a run mostly appends, and a log writes all of that twice (docs/SPECIFICATION.md).
        let pragmas = "PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;
             PRAGMA cache_size = -384; PRAGMA mmap_size = 0; PRAGMA temp_store = FILE; PRAGMA foreign_keys = OFF;";
        connection.execute_batch(pragmas).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(32);
        let (path, calls_left) = (path.into(), Cell::new(None));
        Ok(Self { connection, path, warning: None, is_inventory: false, calls_left, notes_damage: true })
    }

    fn try_open(path: &Path) -> Result<Self, Error> {
        let db = Self::connect(path)?;
        match db.number("PRAGMA user_version")? {
            0 => {
                db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
            }
            SCHEMA_VERSION => db.check_after_crash()?,
            other => return Err(Error::other_version(path, other, SCHEMA_VERSION)),
        }
        db.execute_batch(JOBS)?;
        db.execute_batch(good_runs::TABLE)?;
        db.execute_batch(uses::TABLES)?;
        for table in [checks::TABLE, past::TABLE, upkeep::TABLE] {
            db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {table}"))?;
        }
        Ok(db)
    }

    /// A run that did not end by itself may have been a power cut: then the file is looked through.
    fn check_after_crash(&self) -> Result<(), Error> {
        if self.number("SELECT count(*) FROM running")? == 0 { Ok(()) } else { self.quick_check() }
    }

    fn quick_check(&self) -> Result<(), Error> {
        let verdict = self.prepare("PRAGMA quick_check(1)")?.row([], |row| row.get::<_, String>(0))?;
        let verdict = verdict.unwrap_or_default();
        if verdict == "ok" { Ok(()) } else { Err(Error::damaged(verdict)) }
    }

    /// What opening it had to do, if anything.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Begins a run: sweeps what a run that was cut off left, and opens a transaction.
    pub fn begin_run(&self) -> Result<(), Error> {
        // By itself and first: should the run end at damage in this file, the next one looks for it.
        self.execute_batch("INSERT OR IGNORE INTO running VALUES(1)")?;
        // A chunk without a key was never stored. Rows that name it are ignored: numbers are never used again.
        self.execute_batch("BEGIN; DELETE FROM chunks WHERE key IS NULL; DELETE FROM links;")
    }

    /// Makes everything so far durable, and goes on.
    pub fn commit(&self) -> Result<(), Error> {
        self.check_transaction()?;
        self.execute_batch("COMMIT; BEGIN;")
    }

    /// Ends a run.
    pub fn end_run(&self) -> Result<(), Error> {
        self.check_transaction()?;
        self.execute_batch("DELETE FROM links; DELETE FROM running; COMMIT;")
    }

    /// Ends a run as if it had not been.
    pub fn abandon_run(&self) -> Result<(), Error> {
        self.execute_batch("ROLLBACK; DELETE FROM running;")
    }

    /// A full disk has ended the transaction without being asked: nothing is damaged, and there is nothing to commit.
    fn check_transaction(&self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
        let what = "what was to be written is lost with an earlier error";
        Err(self.failed(rusqlite::Error::SqliteFailure(error, Some(what.into()))))
    }

    /// The number of a source as it is backed up to one target. If its pieces are keyed otherwise than before (other recipients, another box key) what was
    /// cached of it does not count any more.
    pub fn source(&self, name: &str, target_identity: &str, tag: &[u8; 16]) -> Result<i64, Error> {
        let sql = "SELECT id, tag FROM sources WHERE name = ?1 AND target = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
        let known = self.prepare(sql)?.row([name, target_identity], read)?;
        match known {
            Some((id, known)) if known == tag => Ok(id),
            Some((id, _)) => {
                self.execute("DELETE FROM files WHERE source = ?1", params![id])?;
                self.execute("UPDATE sources SET tag = ?2 WHERE id = ?1", params![id, &tag[..]])?;
                Ok(id)
            }
            None => {
                let sql = "INSERT INTO sources(name, target, tag) VALUES(?1, ?2, ?3)";
                self.execute(sql, params![name, target_identity, &tag[..]])?;
                Ok(self.connection.last_insert_rowid())
            }
        }
    }

    /// The identity that a target of this name had when it was last used.
    pub fn target_identity(&self, name: &str) -> Result<Option<String>, Error> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?));
        let row = self.prepare("SELECT identity, checksum FROM targets WHERE name = ?1")?.row([name], read)?;
        // Half remembered would be a target that is refused for ever.
        let is_sound = row.as_ref().is_none_or(|(identity, sum)| target_checksum(name, identity) == *sum);
        if is_sound { Ok(row.map(|(identity, _)| identity)) } else { Err(self.rotten()) }
    }

    /// The identities of all targets that were used.
    pub fn target_identities(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.prepare("SELECT DISTINCT identity FROM targets")?;
        let mut rows = statement.rows([])?;
        let mut identities = Vec::new();
        while let Some(identity) = rows.next(|row| row.get(0))? {
            identities.push(identity);
        }
        Ok(identities)
    }

    /// Remembers a target.
    pub fn remember_target(&self, name: &str, identity: &str) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO targets(name, identity, checksum) VALUES(?1, ?2, ?3)";
        self.execute(sql, params![name, identity, target_checksum(name, identity)])
    }

    fn number(&self, sql: &str) -> Result<i64, Error> {
        let number = self.prepare(sql)?.row([], |row| row.get(0))?;
        number.ok_or_else(|| self.failed(rusqlite::Error::QueryReturnedNoRows))
    }

    /// For tests: so many calls more work, then all fail, as if the disk had gone.
    #[doc(hidden)]
    pub fn fail_after(&self, calls: u64) {
        self.calls_left.set(Some(calls));
    }

    /// Every statement but the batches comes from here.
    fn prepare(&self, sql: &str) -> Result<Statement<'_>, Error> {
        self.check_calls()?;
        let prepared = self.connection.prepare_cached(sql).map_err(|error| self.failed(error))?;
        Ok(Statement::new(self, prepared))
    }

    /// What SQLite said. If it met damage, that is noted beside the file, and the next run starts a new one.
    fn failed(&self, error: rusqlite::Error) -> Error {
        if self.is_inventory {
            return Error::inventory(&self.path, Some(error));
        }
        let error = Error::query(error);
        if error.is_corruption() && self.notes_damage {
            // If that fails too, the next run looks through the file, because this one did not end.
            let _ = std::fs::write(damaged_mark(&self.path), b"");
        }
        error
    }

    fn check_calls(&self) -> Result<(), Error> {
        match self.calls_left.get() {
            None => Ok(()),
            Some(0) => {
                let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
                Err(Error::query(rusqlite::Error::SqliteFailure(error, None)))
            }
            Some(calls) => {
                self.calls_left.set(Some(calls - 1));
                Ok(())
            }
        }
    }

    /// A row is not what was written, and nothing can stand in for it.
    fn rotten(&self) -> Error {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        self.failed(rusqlite::Error::SqliteFailure(error, Some("a row does not have its checksum".into())))
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
        self.prepare(sql)?.execute(parameters).map(drop)
    }

    fn execute_batch(&self, sql: &str) -> Result<(), Error> {
        self.check_calls()?;
        self.connection.execute_batch(sql).map_err(|error| self.failed(error))
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db({:?})", self.connection.path())
    }
}

fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::io(format!("can't set aside {}", path.display()), error);
    let aside = (0..).map(|n| path.with_extension(format!("db.damaged-{n}"))).find(|aside| !aside.exists());
    let aside = aside.unwrap_or_else(|| path.with_extension("db.damaged"));
    std::fs::rename(path, &aside).map_err(failed)?;
    for journal in ["db-wal", "db-shm", "db-journal"] {
        let journal = path.with_extension(journal);
        if journal.exists() {
            std::fs::remove_file(journal).map_err(failed)?;
        }
    }
    match std::fs::remove_file(damaged_mark(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(aside),
    }
}

fn target_checksum(name: &str, identity: &str) -> u32 {
    checksum::checksum(&[name.as_bytes(), identity.as_bytes()])
}

fn damaged_mark(path: &Path) -> PathBuf {
    path.with_file_name(DAMAGED_MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_database_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        drop(Db::open(folder.path()).unwrap());
        std::fs::write(folder.path().join(FILE), vec![0x5a; 8192]).unwrap();
        let db = Db::open(folder.path()).unwrap();
        assert!(db.warning().is_some_and(|warning| warning.contains("set aside")), "{:?}", db.warning());
        assert!(folder.path().join("brackup.db.damaged-0").exists());
    }

    #[test]
    fn one_of_an_earlier_version_is_set_aside_and_one_of_a_later_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let set = |version: i64| {
            let db = Db::open(folder.path()).unwrap();
            db.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
        };
        set(SCHEMA_VERSION - 1);
        let db = Db::open(folder.path()).unwrap();
        assert!(db.warning().is_some_and(|warning| warning.contains("is of an earlier version")), "{:?}", db.warning());
        drop(db);
        set(SCHEMA_VERSION + 1);
        let told = Db::open(folder.path()).unwrap_err().to_string();
        assert!(told.ends_with("made by another version of brackup"), "{told}");
    }

    #[test]
    fn a_source_keyed_otherwise_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.begin_run().unwrap();
        let id = db.source("proj", "t", &[1; 16]).unwrap();
        let mut cache = StatCache::open(&db, id);
        cache.put(b"a", 0, b"record").unwrap();
        cache.finish().unwrap();
        assert_eq!(db.source("proj", "t", &[1; 16]).unwrap(), id);
        assert_eq!(StatCache::open(&db, id).look_up(b"a").unwrap(), Some(&b"record"[..]));
        assert_eq!(db.source("proj", "t", &[2; 16]).unwrap(), id);
        assert_eq!(StatCache::open(&db, id).look_up(b"a").unwrap(), None);
    }
}
