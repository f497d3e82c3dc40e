//! An inventory: a database in which another machine has written down what backups at a target need, for a box that has lost its own.
//!
//! It came over a stick or a network, and is believed to be what was written only if all of it has its checksum: SQLite does not see
//! a flipped bit. Not against anybody, as in src/db/checksum.rs.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Db, Error, SCHEMA_VERSION};
use crate::digest::Sha1Hasher;

/// Where SQLite leaves four bytes of its header to the application (https://www.sqlite.org/fileformat.html, 1.3).
const SUM_AT: usize = 68;
const SUM_BYTES: usize = 4;
/// The name of the only target in it.
pub(super) const TARGET: &str = "inventory";

impl Db {
    /// Opens an inventory to be read, if it is whole. With the id of the target that it is of.
    pub fn open_inventory(path: &Path) -> Result<(Self, String), Error> {
        let unread = |error| {
            let what = format!("can't read {}", path.display());
            Error { is_inventory: true, ..Error::io(what, error) }
        };
        let file = File::open(path).map_err(unread)?;
        let (told, sum) = sums(&file).map_err(unread)?;
        if told != sum {
            return Err(Error::inventory(path, None));
        }
        let failed = |error| Error::inventory(path, Some(error));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.execute_batch("PRAGMA cache_size = -384; PRAGMA mmap_size = 0;").map_err(failed)?;
        let (of, calls_left) = (path.into(), Cell::new(None));
        let db = Self { connection, path: of, warning: None, is_inventory: true, calls_left, notes_damage: false };
        let identity = match db.number("PRAGMA user_version")? {
            SCHEMA_VERSION => db.target_identity(TARGET)?,
            _ => None,
        };
        identity.map(|identity| (db, identity)).ok_or_else(|| Error::inventory(path, None))
    }

    /// Makes a database that was closed whole: what is changed of it from now on shows.
    pub fn seal_inventory(path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (_, sum) = sums(&file)?;
        file.write_all_at(&sum, SUM_AT as u64)?;
        file.sync_all()
    }
}

/// The sum that stands in a file, and the one of all else that is in it.
fn sums(mut file: &File) -> io::Result<([u8; SUM_BYTES], [u8; SUM_BYTES])> {
    let (mut told, mut sha1, mut buffer) = ([0; SUM_BYTES], Sha1Hasher::default(), vec![0; 64 * 1024]);
    let mut is_head = true;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if std::mem::take(&mut is_head)
            && let Some(place) = buffer[..read].get_mut(SUM_AT..SUM_AT + SUM_BYTES)
        {
            told.copy_from_slice(place);
            place.fill(0);
        }
        sha1.update(&buffer[..read]);
    }
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&sha1.finish().0[..SUM_BYTES]);
    Ok((told, sum))
}
