//! What goes wrong with the database, and whether the file itself is the reason.

use std::fmt;
use std::path::Path;

/// Something went wrong with the database.
#[derive(Debug)]
pub struct Error {
    pub(super) what: String,
    pub(super) source: Option<rusqlite::Error>,
    /// It is sound, and of an earlier version.
    pub(super) is_outdated: bool,
    /// It is not the database of this box, but what is to be imported.
    pub(super) is_inventory: bool,
}

impl Error {
    pub(super) fn new(what: impl Into<String>, source: rusqlite::Error) -> Self {
        Self { what: what.into(), source: Some(source), is_outdated: false, is_inventory: false }
    }

    pub(super) fn inventory(path: &Path, source: Option<rusqlite::Error>) -> Self {
        let what = format!("{} is damaged, or no inventory of this version of brackup", path.display());
        Self { what, source, is_outdated: false, is_inventory: true }
    }

    pub(super) fn query(source: rusqlite::Error) -> Self {
        Self::new("can't use the local database", source)
    }

    /// The file itself is damaged.
    pub(super) fn damaged(how: impl Into<String>) -> Self {
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::new("the local database is damaged", rusqlite::Error::SqliteFailure(error, Some(how.into())))
    }

    pub(super) fn other_version(path: &Path, found: i64, own: i64) -> Self {
        let what = format!("{} has schema {found}, made by another version of brackup", path.display());
        Self { what, source: None, is_outdated: found < own, is_inventory: false }
    }

    pub(super) fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        Self::new(what, rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }

    /// Whether the file itself is damaged: as SQLite sees it, or because a field or the schema is not what was written there.
    pub fn is_corruption(&self) -> bool {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqlInputError, Utf8Error,
        };
        use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
        match &self.source {
            _ if self.is_inventory => false,
            Some(
                FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..),
            ) => true,
            // A statement that does not fit the schema, here and by the code Unknown: both are fixed, so the schema has changed.
            Some(SqlInputError { .. }) => true,
            Some(error) => matches!(
                error.sqlite_error_code(),
                Some(ConstraintViolation | DatabaseCorrupt | NotADatabase | TypeMismatch | Unknown)
            ),
            None => false,
        }
    }

    /// Whether another process has it.
    pub fn is_locked(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        let code = self.source.as_ref().and_then(rusqlite::Error::sqlite_error_code);
        matches!(code, Some(DatabaseBusy | DatabaseLocked))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_inventory {
            if matches!(self.source, Some(rusqlite::Error::ToSqlConversionFailure(_))) {
                return Some("is the path right? `brackup rebuild`, where the secret key is, writes an inventory");
            }
            return Some("nothing was changed; copy it again, or make it again with `brackup rebuild` of this version");
        }
        if self.is_corruption() {
            return Some("run it again: the damaged database is then set aside and a new one is started");
        }
        self.source
            .is_some()
            .then_some("is the disk of state_dir full or read-only? see [BOX] state_dir in the configuration")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
