//! The database as it is, for who looks for damage: nothing is set aside, made or noted beside it, and damage is an error like any other.

use std::path::Path;

use super::{Db, Error, FILE, SCHEMA_VERSION, checks, damaged_mark, past, uses};

impl Db {
    /// Opens a database that is there, and looks through it.
    pub fn open_as_it_is(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let mut db = Self::connect(&path)?;
        db.notes_damage = false;
        if damaged_mark(&path).exists() {
            return Err(Error::damaged("damage was met in it, and the next backup sets it aside"));
        }
        match db.number("PRAGMA user_version")? {
            SCHEMA_VERSION => {}
            other => return Err(Error::other_version(&path, other, SCHEMA_VERSION)),
        }
        db.quick_check()?;
        for (name, table) in [("checks", checks::TABLE), ("past", past::TABLE)] {
            let sql = format!("SELECT count(*) FROM sqlite_master WHERE name = '{name}'");
            if db.number(&sql)? == 0 {
                // Of before there were any: a table that is none of the file's.
                db.execute_batch(&format!("CREATE TEMP TABLE {table}"))?;
            }
        }
        if db.number("SELECT count(*) FROM sqlite_master WHERE name = 'retired'")? == 0 {
            db.execute_batch(&uses::TABLES.replace("CREATE TABLE", "CREATE TEMP TABLE"))?;
        }
        Ok(db)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_look_changes_nothing_whatever_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).unwrap();
        db.remember_target("disk", "0123abcd").unwrap();
        drop(db);
        let path = folder.path().join(FILE);
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let (sound, there) = (fs::read(&path).unwrap(), names());
        let db = Db::open_as_it_is(folder.path()).unwrap();
        assert_eq!(db.target_identity("disk").unwrap().as_deref(), Some("0123abcd"));
        drop(db);
        assert_eq!((fs::read(&path).unwrap() == sound, names()), (true, there.clone()));
        // A row that has rotted, and all of it.
        let identity = sound.windows(8).position(|bytes| bytes == b"0123abcd").unwrap();
        for (at, length) in [(identity, 1), (0, 8192)] {
            let mut rotten = sound.clone();
            rotten[at..at + length].iter_mut().for_each(|byte| *byte ^= 1);
            fs::write(&path, &rotten).unwrap();
            let looked = Db::open_as_it_is(folder.path()).and_then(|db| db.target_identity("disk"));
            assert!(looked.is_err_and(|error| error.is_corruption()));
            assert_eq!((fs::read(&path).unwrap() == rotten, names()), (true, there.clone()));
        }
    }
}
