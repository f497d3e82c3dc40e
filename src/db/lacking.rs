//! Which backups lack something, summed up along their chains: of a chunk that a thousand nights need each of these lacks one.

use std::collections::BTreeMap;

use rusqlite::params;

use super::chunks::number;
use super::refs::{Present, begin, end};
use super::{Db, Error};
use crate::blob::ChunkNo;

/// Chunks that are not whole, by the backups of a target that need them. As large as there are backups.
#[derive(Debug)]
pub struct Lacking<'db> {
    db: &'db Db,
    present: Present,
    /// How many more are lacked from a backup on than before it.
    steps: BTreeMap<i64, Vec<i64>>,
}

impl<'db> Lacking<'db> {
    /// Nothing yet.
    pub fn open(db: &'db Db, target_identity: &str) -> Result<Self, Error> {
        let present = db.present(target_identity)?;
        let steps = present.0.iter().map(|(chain, sequences)| (*chain, vec![0; sequences.len() + 1])).collect();
        Ok(Self { db, present, steps })
    }

    /// This chunk is not whole.
    pub fn add(&mut self, chunk: ChunkNo) -> Result<(), Error> {
        let mut statement = self.db.prepare("SELECT chain, first, last FROM refs WHERE chunk = ?1")?;
        let mut rows = statement.rows([number(chunk)])?;
        while let Some((chain, first, last)) = rows.next(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
            let (Some(sequences), Some(steps)) = (self.present.0.get(&chain), self.steps.get_mut(&chain)) else {
                continue;
            };
            let (from, to) = (begin(sequences, first), end(sequences, last));
            if from < to {
                steps[from] += 1;
                steps[to] -= 1;
            }
        }
        Ok(())
    }

    /// The backups that lack something, and how many chunks.
    pub fn backups(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut backups = Vec::new();
        for (chain, sequences) in &self.present.0 {
            let mut lacks = 0;
            for (step, sequence) in self.steps[chain].iter().zip(sequences) {
                lacks += step;
                if lacks > 0 {
                    let sql = "SELECT name FROM backups WHERE chain = ?1 AND sequence = ?2";
                    let name = self.db.prepare(sql)?.row(params![chain, sequence], |row| row.get::<_, String>(0))?;
                    backups.push((name.unwrap_or_default(), u64::try_from(lacks).unwrap_or(0)));
                }
            }
        }
        Ok(backups)
    }
}
