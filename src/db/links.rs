//! Hard links of the run that goes on: the first path of each inode that has several names, and what its contents were.
//! On disk, since a tree of hard-linked copies has as many of them as files.

use rusqlite::params;

use super::{Db, Error};
use crate::relpath::RelPath;

/// The first names of inodes with several.
#[derive(Debug)]
pub struct Links<'db> {
    db: &'db Db,
}

/// An inode that was met before in this run.
#[derive(Debug)]
pub struct FirstLink {
    /// Under this path.
    pub path: RelPath,
    /// With this record; nothing if it has parts or could not be cached.
    pub record: Option<Vec<u8>>,
}

impl<'db> Links<'db> {
    /// Of the run that goes on.
    pub fn open(db: &'db Db) -> Self {
        Self { db }
    }

    /// The first path of an inode, if it was met.
    pub fn first(&self, device: u64, inode: u64) -> Result<Option<FirstLink>, Error> {
        let sql = "SELECT path, record FROM links WHERE device = ?1 AND inode = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
        let row = self.db.prepare(sql)?.row(params![device as i64, inode as i64], read)?;
        Ok(row.map(|(key, record)| FirstLink { path: RelPath::from_sort_key(&key), record }))
    }

    /// Remembers the first path of an inode.
    pub fn remember(&self, device: u64, inode: u64, sort_key: &[u8], record: Option<&[u8]>) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO links(device, inode, path, record) VALUES(?1, ?2, ?3, ?4)";
        self.db.execute(sql, params![device as i64, inode as i64, sort_key, record])
    }
}
