//! Takes an inventory in: chunks under numbers of this database, backups and what they need, what is known of files.
//!
//! What is remembered already stays as it is: only backups, and chunks, that are not known are added. In the transaction of the caller,
//! who undoes all of it if any of it fails.

use rusqlite::params;

use super::backups::{ChainHead, row_checksum};
use super::chunks::{ChunkRow, StoredChunk, number};
use super::refs::{RefsDigest, begin, end};
use super::statement::blob;
use super::{Db, Error, StatCache, checksum};
use crate::blob::{ChunkNo, Item};
use crate::entry::{Entry, push_items, read_items};

/// Numbers of chunks that are looked up without a query.
const SLOTS: usize = 1024;

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Backups that were not remembered.
    pub backups: u64,
    /// Backups of the inventory that were.
    pub known: u64,
    /// Chunks that were not.
    pub chunks: u64,
    /// Files of which the next backup may find that they are as they were.
    pub files: u64,
}

/// A backup of an inventory.
#[derive(Clone, Debug)]
pub struct NewBackup {
    /// The link of the chain that it is.
    pub link: ChainHead,
    created: i64,
    entries: i64,
    bytes: i64,
    chunks: i64,
}

/// A chain of an inventory.
struct Theirs {
    id: i64,
    root: String,
    signer: String,
    backups: Vec<NewBackup>,
}

impl Db {
    /// Who signed the backups of an inventory, and how many each.
    pub fn signers(&self) -> Result<Vec<(String, u64)>, Error> {
        let sql =
            "SELECT signer, count(*) FROM chains JOIN backups ON chain = chains.id GROUP BY signer ORDER BY signer";
        let mut statement = self.prepare(sql)?;
        let (mut rows, mut signers) = (statement.rows([])?, Vec::new());
        while let Some((signer, count)) = rows.next(|row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
            signers.push((signer, u64::try_from(count).unwrap_or(0)));
        }
        Ok(signers)
    }

    /// Takes in the chains of an inventory of this target that `is_own` says are this box's, without backups of which `is_there` says that
    /// they are not at the target any more.
    pub fn import<E: From<Error>>(
        &self,
        inventory: &Self,
        target_identity: &str,
        is_own: &dyn Fn(&str) -> bool,
        is_there: &mut dyn FnMut(&NewBackup) -> Result<bool, E>,
    ) -> Result<Imported, E> {
        // What was taken for another box's may turn out to be one of this box's former keys: it is looked at once more.
        self.execute("DELETE FROM strangers WHERE target = ?1", [target_identity])?;
        let sql = "SELECT 1 FROM presence WHERE target = ?1 LIMIT 1";
        let is_fresh = self.prepare(sql)?.row([target_identity], |_| Ok(()))?.is_none();
        let mut import = Import {
            db: self,
            inventory,
            identity: target_identity,
            is_fresh,
            numbers: vec![None; SLOTS],
            done: Imported::default(),
        };
        // Not in memory, and not in /tmp, which is memory on many boxes.
        self.execute_batch("CREATE TABLE taken(theirs INTEGER PRIMARY KEY, ours INTEGER NOT NULL)")?;
        let mut chains = import.chains(is_own)?;
        // The newest first: each chain stands behind those before it, and behind what is remembered already.
        chains.sort_by_key(|chain| std::cmp::Reverse(chain.backups.last().map(|backup| backup.created)));
        let mut roots: Vec<&str> = Vec::new();
        for chain in &chains {
            import.take_backups(chain, is_there)?;
            if !roots.contains(&&*chain.root) {
                import.take_hints(chain)?;
                roots.push(&chain.root);
            }
        }
        self.execute_batch("DROP TABLE taken")?;
        Ok(import.done)
    }
}

struct Import<'a> {
    db: &'a Db,
    inventory: &'a Db,
    identity: &'a str,
    /// Nothing is known of what the target has.
    is_fresh: bool,
    /// Of chunks, theirs and ours.
    numbers: Vec<Option<(i64, i64)>>,
    done: Imported,
}

impl Import<'_> {
    fn chains(&self, is_own: &dyn Fn(&str) -> bool) -> Result<Vec<Theirs>, Error> {
        let mut statement = self.inventory.prepare("SELECT id, root, signer FROM chains")?;
        let (mut rows, mut chains) = (statement.rows([])?, Vec::new());
        while let Some((id, root, signer)) =
            rows.next(|row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?
        {
            if is_own(&signer) {
                chains.push(Theirs { id, root, signer, backups: self.backups(id)? });
            }
        }
        Ok(chains)
    }

    fn backups(&self, chain: i64) -> Result<Vec<NewBackup>, Error> {
        let sql = "SELECT sequence, name, footer, created, entries, bytes, chunks FROM backups WHERE chain = ?1 ORDER BY sequence";
        let mut statement = self.inventory.prepare(sql)?;
        let (mut rows, mut backups) = (statement.rows([chain])?, Vec::new());
        let read = |row: &rusqlite::Row<'_>| {
            let sequence = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            let link = ChainHead { sequence, backup: row.get(1)?, footer: row.get(2)? };
            let (created, entries) = (row.get(3)?, row.get(4)?);
            Ok(NewBackup { link, created, entries, bytes: row.get(5)?, chunks: row.get(6)? })
        };
        while let Some(backup) = rows.next(read)? {
            backups.push(backup);
        }
        Ok(backups)
    }

    /// Every chunk that a backup of a chain needs which is added gets a number here, or has one. Of others it is found out whether they have.
    fn take_chunks(&mut self, chain: i64, added: &[i64]) -> Result<(), Error> {
        let sql = "SELECT id, key, bytes, checksum, presence.chunk, first, last FROM refs CROSS JOIN chunks ON id = refs.chunk
                   LEFT JOIN presence ON presence.target = ?2 AND presence.chunk = id WHERE chain = ?1 ORDER BY refs.chunk";
        let mut statement = self.inventory.prepare(sql)?;
        let mut rows = statement.rows(params![chain, self.identity])?;
        let read = |row: &rusqlite::Row<'_>| {
            let is_present = row.get::<_, Option<i64>>(4)?.is_some();
            Ok((ChunkRow::read(row)?, is_present, row.get(5)?, row.get(6)?))
        };
        while let Some((row, is_present, first, last)) = rows.next(read)? {
            let stored = self.inventory.sound_chunk(&row)?;
            let is_needed = begin(added, first) < end(added, last);
            if let Some(ours) = self.take_chunk(&stored, is_present, is_needed)? {
                let sql = "INSERT OR REPLACE INTO taken(theirs, ours) VALUES(?1, ?2)";
                self.db.execute(sql, params![number(stored.chunk), ours])?;
            }
        }
        Ok(())
    }

    fn take_chunk(&mut self, stored: &StoredChunk, is_present: bool, is_needed: bool) -> Result<Option<i64>, Error> {
        let bytes = i64::try_from(stored.bytes).unwrap_or(i64::MAX);
        let sql = "SELECT id, bytes FROM chunks WHERE key = ?1";
        let known = self.db.prepare(sql)?.row([&stored.key.0[..]], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        let is_new = match known {
            None if !is_needed => return Ok(None),
            None => true,
            // It was not there when an inventory was written before this one.
            Some((_, known)) => known == 0 && bytes > 0,
        };
        let ours = match known {
            Some((ours, _)) => ours,
            None => self.db.add_chunk(&stored.key, bytes)?,
        };
        // One that was known there may be damaged, or about to be deleted: whether it counts is not for an inventory to say. One that was
        // not may be known from another target.
        if is_new && is_present {
            self.db.size_chunk(ours, &stored.key, bytes)?;
        }
        if (is_new || self.is_fresh) && is_present {
            let sql = "INSERT OR IGNORE INTO presence(target, chunk) VALUES(?1, ?2)";
            self.db.execute(sql, params![self.identity, ours])?;
        }
        self.done.chunks += u64::from(is_new);
        Ok(Some(ours))
    }

    /// The backups of a chain that are not remembered, and what they need.
    fn take_backups<E: From<Error>>(
        &mut self,
        theirs: &Theirs,
        is_there: &mut dyn FnMut(&NewBackup) -> Result<bool, E>,
    ) -> Result<(), E> {
        let chain = self.db.chain(self.identity, &theirs.root, &theirs.signer)?;
        let known = self.db.present(self.identity)?.0.remove(&chain).unwrap_or_default();
        let mut added = Vec::new();
        for backup in &theirs.backups {
            if known.binary_search(&signed(backup)).is_ok() {
                self.done.known += 1;
            } else if is_there(backup)? {
                added.push(backup);
            }
        }
        let sequences: Vec<_> = added.iter().copied().map(signed).collect();
        self.take_chunks(theirs.id, &sequences)?;
        // Ranges of what is remembered do not speak of a backup that comes to be where there was none.
        let sql = "SELECT ifnull(min(first), 0), ifnull(max(last), 0) FROM refs WHERE chain = ?1";
        let range = self.db.prepare(sql)?.row([chain], |row| Ok(row.get(0)?..=row.get::<_, i64>(1)?))?;
        for sequence in sequences.iter().filter(|sequence| range.as_ref().is_some_and(|range| range.contains(sequence)))
        {
            self.db.make_room(chain, *sequence)?;
        }
        let digests = self.take_refs(theirs.id, chain, &sequences, &known)?;
        let sql = "INSERT INTO backups(id, chain, sequence, name, footer, created, entries, bytes, chunks, sum, complete, checksum)
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11)";
        // Older than all that is remembered: which chain of a root is the current one goes by these numbers.
        let first = self.db.number("SELECT min(0, ifnull(min(id), 0)) FROM backups")? - added.len() as i64;
        for ((id, backup), refs) in (first..).zip(added).zip(digests) {
            if refs.chunks != backup.chunks {
                return Err(self.inventory.rotten().into());
            }
            let (link, sequence) = (&backup.link, signed(backup));
            let sum = row_checksum(chain, sequence, link, backup.created, refs);
            let (name, footer, counts) = (&link.backup, &link.footer[..], (backup.entries, backup.bytes));
            let row = params![
                id,
                chain,
                sequence,
                name,
                footer,
                backup.created,
                counts.0,
                counts.1,
                refs.chunks,
                refs.sum,
                sum
            ];
            self.db.execute(sql, row)?;
            self.done.backups += 1;
        }
        Ok(())
    }

    /// The ranges of a chain, as far as they speak of backups that are added; and what each of these needs.
    fn take_refs(&mut self, theirs: i64, chain: i64, added: &[i64], known: &[i64]) -> Result<Vec<RefsDigest>, Error> {
        let runs = runs(added, known);
        let mut steps = vec![RefsDigest::default(); added.len() + 1];
        let mut statement =
            self.inventory.prepare("SELECT chunk, first, last FROM refs WHERE chain = ?1 ORDER BY chunk")?;
        let mut rows = statement.rows([theirs])?;
        while let Some((chunk, first, last)) =
            rows.next(|row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))?
        {
            let (begin, end) = (begin(added, first), end(added, last));
            if begin == end {
                continue;
            }
            let ours = self.number(chunk)?.ok_or_else(|| self.inventory.rotten())?;
            for (from, to) in &runs {
                let (first, last) = (first.max(*from), last.min(*to));
                if first <= last {
                    let sql = "INSERT OR REPLACE INTO refs(chunk, chain, first, last) VALUES(?1, ?2, ?3, ?4)";
                    self.db.execute(sql, params![ours, chain, first, last])?;
                }
            }
            steps[begin].add(ours, 1);
            steps[end].add(ours, -1);
        }
        let sums = steps.into_iter().scan(RefsDigest::default(), |there, step| {
            there.chunks += step.chunks;
            there.sum = there.sum.wrapping_add(step.sum);
            Some(*there)
        });
        Ok(sums.take(added.len()).collect())
    }

    /// What is known of the files of the newest backup of a chain.
    fn take_hints(&mut self, chain: &Theirs) -> Result<(), Error> {
        let sql = "SELECT id, tag FROM sources WHERE name = ?1 AND target = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?));
        let found = self.inventory.prepare(sql)?.row([&chain.root, &chain.signer], read)?;
        let Some((theirs, tag)) = found else { return Ok(()) };
        let mut hints = StatCache::open(self.db, self.db.hint_source(&chain.root, self.identity, &tag)?);
        let mut statement =
            self.inventory.prepare("SELECT path, part, record FROM files WHERE source = ?1 ORDER BY path, part")?;
        let (mut rows, mut key, mut record) = (statement.rows([theirs])?, Vec::new(), Vec::new());
        loop {
            let mut read = |row: &rusqlite::Row<'_>| {
                let part = row.get::<_, u32>(1)?;
                key.clear();
                key.extend_from_slice(blob(row, 0)?);
                record.clear();
                let sealed = checksum::open(&[&key, &part.to_le_bytes()], blob(row, 2)?);
                record.extend_from_slice(sealed.unwrap_or_default());
                Ok(part)
            };
            let Some(part) = rows.next(&mut read)? else { break };
            // Not one that is in a chunk which has been collected since.
            if let Some(ours) = self.renumber(part, &record)? {
                hints.put(&key, part, &ours)?;
                self.done.files += u64::from(part == 0);
            }
        }
        hints.flush()
    }

    /// A record, or a part of one, with our numbers of chunks, if we have all of them.
    fn renumber(&mut self, part: u32, record: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut ours = Vec::with_capacity(record.len());
        let rotten = || self.inventory.rotten();
        if part == 0 {
            let mut entry = Entry::read_record(record).ok_or_else(rotten)?;
            let is_whole = self.renumber_items(&mut entry.items)?;
            entry.push_record(&mut ours);
            return Ok(is_whole.then_some(ours));
        }
        let mut items = read_items(record).ok_or_else(rotten)?;
        let is_whole = self.renumber_items(&mut items)?;
        push_items(&items, &mut ours);
        Ok(is_whole.then_some(ours))
    }

    fn renumber_items(&mut self, items: &mut [Item<ChunkNo>]) -> Result<bool, Error> {
        for item in items {
            if let Item::Extent { chunk, .. } = item {
                let Some(ours) = self.number(number(*chunk))? else { return Ok(false) };
                *chunk = ChunkNo(u64::try_from(ours).unwrap_or(0));
            }
        }
        Ok(true)
    }

    fn number(&mut self, theirs: i64) -> Result<Option<i64>, Error> {
        let slot = (theirs as u64 % SLOTS as u64) as usize;
        if let Some((of, ours)) = self.numbers[slot]
            && of == theirs
        {
            return Ok(Some(ours));
        }
        let ours = self.db.prepare("SELECT ours FROM taken WHERE theirs = ?1")?.row([theirs], |row| row.get(0))?;
        self.numbers[slot] = ours.map(|ours| (theirs, ours));
        Ok(ours)
    }
}

fn signed(backup: &NewBackup) -> i64 {
    i64::try_from(backup.link.sequence).unwrap_or(i64::MAX)
}

/// Numbers that are added, from the first to the last of each run that none of the known ones is between.
fn runs(added: &[i64], known: &[i64]) -> Vec<(i64, i64)> {
    let runs = added.chunk_by(|one, next| begin(known, *one) == begin(known, *next));
    runs.filter_map(|run| run.first().copied().zip(run.last().copied())).collect()
}
