//! What lies at a target of each source, in sums: for who is to be shown it.

use rusqlite::params;

use super::{Db, Error};

/// What a target has of one source, by all keys that this box ever signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Backups that are there.
    pub backups: u64,
    /// When the oldest of them was made, in seconds since 1970.
    pub oldest: Option<i64>,
    /// When the newest was.
    pub newest: Option<i64>,
    /// Bytes of the files of all of them, as if each was unpacked.
    pub unpacked: u64,
    /// Sealed bytes of the chunks that they need.
    pub stored: u64,
    /// Those of them that are damaged, as the last reading has shown, or not there any more.
    pub lacking: u64,
}

impl Db {
    /// Whether a backup of a root is remembered, at whatever target, that has more in it than its folder.
    pub fn has_been_full(&self, root: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM backups JOIN chains ON chains.id = chain WHERE root = ?1 AND complete = 1 AND entries > 1 LIMIT 1";
        Ok(self.prepare(sql)?.row([root], |_| Ok(()))?.is_some())
    }

    /// Of one source at a target, by its id. It reads which backup needs what: seconds, where there are a million chunks.
    pub fn holding(&self, target_identity: &str, root: &str) -> Result<Holding, Error> {
        let number = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
        let sql =
            "SELECT count(*), min(created), max(created), sum(bytes) FROM backups JOIN chains ON chains.id = chain
                   WHERE target = ?1 AND root = ?2 AND complete = 1";
        let holding = self.prepare(sql)?.row(params![target_identity, root], |row| {
            let (backups, unpacked) = (number(row.get(0)?), number(row.get(3)?));
            Ok(Holding { backups, oldest: row.get(1)?, newest: row.get(2)?, unpacked, ..Holding::default() })
        })?;
        // Chunk by chunk, so that no list of them is made.
        let sql = "SELECT sum(bytes), count(*) - sum(EXISTS (SELECT 1 FROM presence WHERE presence.target = ?1 AND presence.chunk = chunks.id)
                     AND NOT EXISTS (SELECT 1 FROM checks WHERE checks.target = ?1 AND checks.key = chunks.key AND is_whole = 0))
                   FROM chunks WHERE EXISTS (
                     SELECT 1 FROM refs JOIN chains ON chains.id = refs.chain JOIN backups ON backups.chain = chains.id
                     WHERE refs.chunk = chunks.id AND chains.target = ?1 AND root = ?2 AND complete = 1 AND sequence BETWEEN first AND last)";
        let sums = self
            .prepare(sql)?
            .row(params![target_identity, root], |row| Ok((number(row.get(0)?), number(row.get(1)?))))?;
        let (stored, lacking) = sums.unwrap_or_default();
        Ok(Holding { stored, lacking, ..holding.unwrap_or_default() })
    }
}
