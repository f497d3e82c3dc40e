//! Backups that this box made, in chains of signatures: what gc, prune and verify need to know without any secret key.
//!
//! A backup is pending from before its metafile is stored until it is known to be: a power cut between the two leaves a row that says
//! which object to look for.

use std::collections::BTreeMap;

use rusqlite::params;

use super::checksum::checksum;
use super::refs::{Present, Refs, RefsDigest};
use super::uses::Uses;
use super::{Db, Error};
use crate::blob::ChunkNo;

/// A backup being recorded: its refs are written as the metafile is.
#[derive(Debug)]
pub struct Backup<'db> {
    db: &'db Db,
    chain: i64,
    sequence: u64,
    refs: Refs<'db>,
    uses: Uses<'db>,
}

/// The newest link of a chain of signed backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The name of the backup.
    pub backup: String,
    /// Its number.
    pub sequence: u64,
    /// The digest of its footer.
    pub footer: [u8; 32],
}

/// What this box remembers of one root at a target, by who signed.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The root.
    pub root: String,
    /// The public key of the box, as text.
    pub signer: String,
    /// Its newest link.
    pub head: ChainHead,
    /// Whether that is the newest backup of the root, and not one from before the box had another key.
    pub is_current: bool,
}

/// A backup that this box made and remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its number in this database.
    pub(super) id: i64,
    pub(super) chain: i64,
    /// The link of the chain that it is.
    pub link: ChainHead,
    /// When it was begun, by the clock of the box: seconds since 1970.
    pub created: i64,
    /// Size of the files in it.
    pub bytes: u64,
}

impl<'db> Backup<'db> {
    /// Begins to record the backup of this number in the chain of a root and a signer.
    pub fn create(db: &'db Db, target_identity: &str, root: &str, signer: &str, sequence: u64) -> Result<Self, Error> {
        let chain = db.chain(target_identity, root, signer)?;
        let before = db.sequence_before(chain, signed(sequence))?;
        let refs = Refs::new(db, chain, signed(sequence), before);
        Ok(Self { db, chain, sequence, refs, uses: Uses::begin(db)? })
    }

    /// The backup needs so many bytes of this chunk.
    pub fn refer(&mut self, chunk: ChunkNo, bytes: u64) -> Result<(), Error> {
        self.uses.add(chunk, bytes)?;
        self.refs.add(chunk)
    }

    /// How many different chunks it needs.
    pub fn chunks(&self) -> u64 {
        u64::try_from(self.refs.digest().chunks).unwrap_or(0)
    }

    /// Its metafile is about to be stored: from now on it is pending, whatever happens. `created` is in seconds since 1970.
    pub fn expect(&mut self, head: &ChainHead, created: i64, entries: u64, bytes: u64) -> Result<(), Error> {
        let RefsDigest { chunks, sum } = self.refs.digest();
        let sequence = signed(self.sequence);
        self.uses.end(self.chain, sequence)?;
        let sql = "INSERT INTO backups(chain, sequence, name, footer, created, entries, bytes, chunks, sum, complete, checksum)
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)";
        let sealed = row_checksum(self.chain, sequence, head, created, self.refs.digest());
        let (entries, bytes) = (signed(entries), signed(bytes));
        let (name, footer) = (&head.backup, &head.footer[..]);
        self.db
            .execute(sql, params![self.chain, sequence, name, footer, created, entries, bytes, chunks, sum, sealed])?;
        self.db.commit()
    }

    /// Its metafile has been stored.
    pub fn stored(self) -> Result<(), Error> {
        let sql = "UPDATE backups SET complete = 1 WHERE chain = ?1 AND sequence = ?2";
        self.db.execute(sql, params![self.chain, signed(self.sequence)])
    }
}

impl Db {
    /// The newest backup of a root that this box remembers having signed and stored at a target.
    pub fn chain_head(&self, target_identity: &str, root: &str, signer: &str) -> Result<Option<ChainHead>, Error> {
        let sql = format!(
            "{SELECT} WHERE target = ?1 AND root = ?2 AND signer = ?3 AND complete = 1 ORDER BY sequence DESC LIMIT 1"
        );
        let row = self.prepare(&sql)?.row([target_identity, root, signer], Row::read)?;
        row.map(|row| Ok(self.sound(row)?.link)).transpose()
    }

    /// The chains of all roots that this box has backed up to a target; there is one for each root and key of the box.
    pub fn chains(&self, target_identity: &str) -> Result<Vec<Chain>, Error> {
        let sql = "SELECT root, signer FROM chains JOIN backups ON chain = chains.id WHERE target = ?1 AND complete = 1
                   GROUP BY root, signer ORDER BY root, max(backups.id) DESC";
        let mut names: Vec<(String, String)> = Vec::new();
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([target_identity])?;
        while let Some(name) = rows.next(|row| Ok((row.get(0)?, row.get(1)?)))? {
            names.push(name);
        }
        let mut chains: Vec<Chain> = Vec::new();
        for (root, signer) in names {
            let Some(head) = self.chain_head(target_identity, &root, &signer)? else { continue };
            let is_current = chains.last().is_none_or(|newer| newer.root != root);
            chains.push(Chain { root, signer, head, is_current });
        }
        Ok(chains)
    }

    /// The backups of a chain at a target, in its order, without those that are pending.
    pub fn remembered(&self, target_identity: &str, root: &str, signer: &str) -> Result<Vec<Remembered>, Error> {
        let sql =
            format!("{SELECT} WHERE target = ?1 AND root = ?2 AND signer = ?3 AND complete = 1 ORDER BY sequence");
        self.all_remembered(&sql, params![target_identity, root, signer])
    }

    /// Whether a backup of this name is remembered, of any chain at the target.
    pub fn remembers(&self, target_identity: &str, name: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM backups JOIN chains ON chains.id = chain WHERE name = ?2 AND target = ?1";
        Ok(self.prepare(sql)?.row([target_identity, name], |_| Ok(()))?.is_some())
    }

    /// Backups of which this box does not know whether their metafiles came to be stored.
    pub fn pending(&self, target_identity: &str) -> Result<Vec<Remembered>, Error> {
        self.all_remembered(&format!("{SELECT} WHERE target = ?1 AND complete = 0"), [target_identity])
    }

    /// What became of a pending backup. One that was not stored is as if it had never been begun.
    pub fn settle(&self, pending: &Remembered, is_stored: bool) -> Result<(), Error> {
        if is_stored {
            return self.execute("UPDATE backups SET complete = 1 WHERE id = ?1", [pending.id]);
        }
        let sequence = signed(pending.link.sequence);
        self.execute("DELETE FROM backups WHERE id = ?1", [pending.id])?;
        let before = self.sequence_before(pending.chain, sequence)?;
        self.forget_refs(pending.chain, sequence, before)
    }

    /// The backup is not at the target any more, and is not to be: what it alone needed is needed no more.
    pub fn forget_backup(&self, backup: &Remembered) -> Result<(), Error> {
        self.execute("DELETE FROM backups WHERE id = ?1", [backup.id])
    }

    /// The same, and as if there had never been one of its number.
    pub fn forget_all_of(&self, backup: &Remembered) -> Result<(), Error> {
        self.forget_backup(backup)?;
        self.make_room(backup.chain, signed(backup.link.sequence)).map(drop)
    }

    /// The backups of a target that count.
    pub fn present(&self, target_identity: &str) -> Result<Present, Error> {
        let sql = "SELECT chain, sequence FROM backups JOIN chains ON chains.id = chain WHERE target = ?1
                   ORDER BY chain, sequence";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows([target_identity])?;
        let mut sequences = BTreeMap::<i64, Vec<i64>>::new();
        while let Some((chain, sequence)) = rows.next(|row| Ok((row.get(0)?, row.get(1)?)))? {
            sequences.entry(chain).or_default().push(sequence);
        }
        Ok(Present(sequences))
    }

    /// What a backup needed when it was made.
    pub(super) fn refs_digest(&self, chain: i64, sequence: i64) -> Result<Option<RefsDigest>, Error> {
        let sql = format!("{SELECT} WHERE chain = ?1 AND sequence = ?2");
        let row = self.prepare(&sql)?.row([chain, sequence], Row::read)?;
        row.map(|row| {
            let digest = row.refs;
            self.sound(row).map(|_| digest)
        })
        .transpose()
    }

    /// The number of the backup before this one in its chain, 0 if there is none.
    fn sequence_before(&self, chain: i64, sequence: i64) -> Result<i64, Error> {
        let sql = "SELECT max(sequence) FROM backups WHERE chain = ?1 AND sequence < ?2";
        let before = self.prepare(sql)?.row([chain, sequence], |row| row.get::<_, Option<i64>>(0))?;
        Ok(before.flatten().unwrap_or(0))
    }

    pub(super) fn all_remembered(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Remembered>, Error> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.rows(parameters)?;
        let mut backups = Vec::new();
        while let Some(row) = rows.next(Row::read)? {
            backups.push(self.sound(row)?);
        }
        Ok(backups)
    }

    /// The row, unless it has rotted.
    fn sound(&self, row: Row) -> Result<Remembered, Error> {
        let Row { remembered, refs, checksum } = row;
        let (link, sequence) = (&remembered.link, signed(remembered.link.sequence));
        let is_sound = row_checksum(remembered.chain, sequence, link, remembered.created, refs) == checksum;
        if is_sound { Ok(remembered) } else { Err(self.rotten()) }
    }
}

pub(super) const SELECT: &str =
    "SELECT backups.id, chain, sequence, name, footer, created, bytes, chunks, sum, checksum
                      FROM backups JOIN chains ON chains.id = chain";

/// As it lies in the table.
struct Row {
    remembered: Remembered,
    refs: RefsDigest,
    checksum: u32,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let unsigned = |index| row.get::<_, i64>(index).map(|number| u64::try_from(number).unwrap_or(0));
        let link = ChainHead { sequence: unsigned(2)?, backup: row.get(3)?, footer: row.get(4)? };
        let remembered =
            Remembered { id: row.get(0)?, chain: row.get(1)?, link, created: row.get(5)?, bytes: unsigned(6)? };
        let refs = RefsDigest { chunks: row.get(7)?, sum: row.get(8)? };
        Ok(Self { remembered, refs, checksum: row.get(9)? })
    }
}

pub(super) fn row_checksum(chain: i64, sequence: i64, link: &ChainHead, created: i64, refs: RefsDigest) -> u32 {
    let numbers = [chain, sequence, created, refs.chunks, refs.sum].map(i64::to_le_bytes);
    checksum(&[numbers.as_flattened(), &link.footer, link.backup.as_bytes()])
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Chunks;
    use crate::digest::{Key, Sha1};

    /// A database in which backups can be made by what they need.
    struct Box {
        _folder: tempfile::TempDir,
        db: Db,
    }

    impl Box {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).unwrap();
            db.begin_run().unwrap();
            Self { _folder: folder, db }
        }

        /// Chunks 1 to `count`, whose keys are their numbers backwards.
        fn store(&self, count: u8) {
            let mut chunks = Chunks::open(&self.db, "t").unwrap();
            for number in 1..=count {
                let chunk = chunks.create().unwrap();
                chunks.stored(chunk, &Sha1([255 - number; 20]), u64::from(number)).unwrap();
            }
        }

        fn back_up(&self, root: &str, sequence: u64, needs: &[u64]) -> Backup<'_> {
            let mut backup = Backup::create(&self.db, "t", root, "box", sequence).unwrap();
            needs.iter().for_each(|chunk| backup.refer(ChunkNo(*chunk), 1).unwrap());
            let head = ChainHead { backup: format!("{root}-{sequence}"), sequence, footer: [1; 32] };
            backup.expect(&head, 100, 1, 1).unwrap();
            backup
        }

        fn needed(&self) -> Vec<u64> {
            let mut needed = Vec::new();
            let each = |key: Key, bytes| {
                needed.push((key, bytes));
                Ok::<_, Error>(())
            };
            self.db.each_needed("t", each).unwrap();
            assert!(needed.is_sorted());
            let mut lengths: Vec<_> = needed.into_iter().map(|(_, bytes)| bytes).collect();
            lengths.reverse();
            lengths
        }

        fn rows(&self) -> i64 {
            self.db.number("SELECT count(*) FROM refs").unwrap()
        }

        fn forget(&self, root: &str, sequence: u64) {
            let all = self.db.remembered("t", root, "box").unwrap();
            let one = all.iter().find(|backup| backup.link.sequence == sequence).unwrap();
            self.db.forget_backup(one).unwrap();
        }
    }

    #[test]
    fn what_any_backup_needs_is_needed_and_nothing_else() {
        let nas = Box::new();
        nas.store(6);
        nas.back_up("a", 1, &[1, 2]).stored().unwrap();
        nas.back_up("a", 2, &[2, 3, 2]).stored().unwrap();
        nas.back_up("a", 3, &[1, 3]).stored().unwrap();
        nas.back_up("b", 1, &[5]).stored().unwrap();
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 2, 3, 5]);
        assert_eq!(nas.rows(), 5, "a chunk that the backup before needed too takes no row");
        nas.forget("a", 2);
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 2, 3, 5]);
        nas.forget("a", 1);
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 3, 5], "number 3 needs chunk 1, numbers 1 and 2 needed chunk 2");
        nas.forget("b", 1);
        assert_eq!((nas.needed(), nas.rows()), (vec![1, 3], 5));
        nas.db.sweep_refs().unwrap();
        assert_eq!((nas.needed(), nas.rows()), (vec![1, 3], 2));
        nas.back_up("a", 4, &[1, 4]).stored().unwrap();
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 3, 4]);
    }

    #[test]
    fn a_number_that_is_given_again_begins_anew() {
        let nas = Box::new();
        nas.store(4);
        nas.back_up("a", 1, &[1, 2]).stored().unwrap();
        nas.back_up("a", 2, &[1, 3]).stored().unwrap();
        let all = nas.db.remembered("t", "a", "box").unwrap();
        nas.db.forget_all_of(&all[1]).unwrap();
        nas.back_up("a", 2, &[2, 4]).stored().unwrap();
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 2, 4]);
    }

    #[test]
    fn a_pending_backup_that_was_not_stored_is_as_if_it_had_not_been() {
        let nas = Box::new();
        nas.store(4);
        nas.back_up("a", 1, &[1, 2]).stored().unwrap();
        drop(nas.back_up("a", 2, &[2, 3]));
        assert_eq!(nas.needed(), [1, 2, 3], "it may be there");
        let [pending] = &nas.db.pending("t").unwrap()[..] else { panic!("one is pending") };
        nas.db.settle(pending, false).unwrap();
        assert_eq!((nas.needed(), nas.db.pending("t").unwrap()), (vec![1, 2], vec![]));
        nas.back_up("a", 2, &[1, 4]).stored().unwrap();
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 2, 4]);
        nas.forget("a", 1);
        nas.db.check_refs("t").unwrap();
        assert_eq!(nas.needed(), [1, 4]);
    }

    #[test]
    fn a_ref_that_has_rotted_is_noticed() {
        for damage in [
            "UPDATE refs SET chunk = 4 WHERE chunk = 2",
            "UPDATE refs SET last = 1 WHERE chunk = 1",
            "UPDATE refs SET first = 2 WHERE chunk = 1",
            "UPDATE refs SET chain = 7 WHERE chunk = 2",
            "DELETE FROM refs WHERE chunk = 2",
            "INSERT INTO refs VALUES(4, 1, 1, 1)",
            "UPDATE backups SET sum = sum + 1",
            "UPDATE backups SET created = 1",
        ] {
            let nas = Box::new();
            nas.store(4);
            nas.back_up("a", 1, &[1, 2]).stored().unwrap();
            nas.back_up("a", 2, &[1, 3]).stored().unwrap();
            nas.db.check_refs("t").unwrap();
            nas.db.execute_batch(damage).unwrap();
            assert!(nas.db.check_refs("t").unwrap_err().is_corruption(), "{damage}");
        }
    }
}
