//! Statements, and the one place where their errors pass: damage in the file is noted there, so that the next run starts a new one.

use rusqlite::{CachedStatement, OptionalExtension as _, Params, Row};

use super::{Db, Error};

/// A prepared statement.
pub(super) struct Statement<'db> {
    db: &'db Db,
    inner: CachedStatement<'db>,
}

/// The rows of a query under way.
pub(super) struct Rows<'s> {
    db: &'s Db,
    inner: rusqlite::Rows<'s>,
}

impl<'db> Statement<'db> {
    pub(super) fn new(db: &'db Db, inner: CachedStatement<'db>) -> Self {
        Self { db, inner }
    }

    /// Runs it; how many rows it changed.
    pub(super) fn execute(&mut self, parameters: impl Params) -> Result<usize, Error> {
        self.inner.execute(parameters).map_err(|error| self.db.failed(error))
    }

    /// The only row, if there is one.
    pub(super) fn row<T>(
        &mut self,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        self.inner.query_row(parameters, read).optional().map_err(|error| self.db.failed(error))
    }

    /// All rows, one after the other.
    pub(super) fn rows(&mut self, parameters: impl Params) -> Result<Rows<'_>, Error> {
        let db = self.db;
        let inner = self.inner.query(parameters).map_err(|error| db.failed(error))?;
        Ok(Rows { db, inner })
    }
}

impl Rows<'_> {
    /// What is read from the next row; nothing at the end.
    pub(super) fn next<T>(&mut self, read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Result<Option<T>, Error> {
        let row = self.inner.next().and_then(|row| row.map(read).transpose());
        row.map_err(|error| self.db.failed(error))
    }
}

/// A blob where it lies.
pub(super) fn blob<'r>(row: &'r Row<'_>, index: usize) -> rusqlite::Result<&'r [u8]> {
    row.get_ref(index).and_then(|value| value.as_blob().map_err(Into::into))
}
