//! The chunks that this box has stored, held against the listing and against what reading them has shown.

use super::{Error, Fsck, Kind};
use crate::catalog::{self, Cursor, Listing, Look};
use crate::db::{Check, Checks, Db, Held, Lacking};
use crate::digest::{Key, Sha1};
use crate::monitor::{Counter, Phase, one_line};
use crate::relpath::RelPath;
use crate::target::{Finished, ObjectName};

/// What goes along with the listing.
struct Beside<'a> {
    db: &'a Db,
    identity: &'a str,
    checks: Checks<'a>,
    lacking: Lacking<'a>,
}

/// What a chunk turned out to be.
enum State {
    Missing,
    /// Of another length.
    Odd,
    /// With the SHA-1 that it has, if it could be read to its end.
    Damaged(Option<Sha1>),
    /// Whole, or nothing says otherwise.
    Fine,
    /// Nothing can be said of it.
    Unsaid,
}

impl Fsck<'_> {
    pub(super) fn chunks(&mut self, listing: &Listing) -> Result<(), Error> {
        let Some((db, identity)) = self.options.memory else {
            return listing.chunks().try_for_each(|chunk| {
                self.unknown_to_all(chunk?.1);
                Ok(())
            });
        };
        let mends = self.mending.is_some();
        let checks = if mends { Checks::open_to_write(db, identity) } else { Checks::open(db, identity) };
        let mut beside = Beside { db, identity, checks, lacking: Lacking::open(db, identity)? };
        let mut there = Cursor::over(listing)?;
        db.each_held(identity, |held| {
            self.go_on()?;
            while let Some((key, length)) = there.passed(Some(&held.stored.key))? {
                self.unknown(&key, length, &mut beside)?;
            }
            let found = there.at(&held.stored.key)?;
            self.held(&held, found, &mut beside)
        })?;
        while let Some((key, length)) = there.passed(None)? {
            self.go_on()?;
            self.unknown(&key, length, &mut beside)?;
        }
        if mends {
            beside.checks.finish()?;
            db.commit()?;
        }
        self.report.incomplete = beside.lacking.backups()?;
        for (name, lacks) in self.report.incomplete.clone() {
            self.tally.problem(&*name, format!("is not whole: it lacks {lacks} of its chunks"));
            self.found(Kind::IncompleteBackup, name, false);
        }
        Ok(())
    }

    /// One chunk of this box, and the length with which it is listed.
    fn held(&mut self, held: &Held, listed: Option<u64>, beside: &mut Beside<'_>) -> Result<(), Error> {
        let check = if listed.is_some() { beside.checks.of(&held.stored.key)? } else { None };
        // Marked or being deleted, or of another target: nobody counts on it.
        if !held.is_needed && !held.is_believed {
            return Ok(());
        }
        self.report.chunks += 1;
        let is_doubted = held.is_needed && !held.is_believed;
        let mut state = self.presence(held, listed)?;
        let reads = self.options.read || check.is_some_and(|check| !check.is_whole);
        if matches!(state, State::Fine) && (reads || is_doubted && self.mending.is_some()) {
            let length = if held.stored.bytes == 0 { self.measure(held, listed, beside)? } else { held.stored.bytes };
            state = self.look(&held.stored.key, length, &mut beside.checks)?;
        }
        let name = ObjectName::Chunk(held.stored.key);
        let (kind, is_there) = match state {
            State::Unsaid => {
                // Nobody brings a metafile that may lack it (I1).
                self.has_unsaid |= held.is_needed;
                return Ok(());
            }
            State::Fine => {
                if is_doubted {
                    self.found(Kind::DoubtedChunk, name, self.mending.is_some());
                    self.believe(held, beside)?;
                }
                return Ok(());
            }
            State::Missing => (Kind::MissingChunk, false),
            State::Odd => (Kind::OddChunk, true),
            State::Damaged(_) => (Kind::DamagedChunk, true),
        };
        let seen = if let State::Damaged(seen) = state { seen } else { None };
        let (is_mended, is_replaced) = self.mend(held, is_there, seen, beside)?;
        if held.is_needed && !is_replaced {
            beside.lacking.add(held.stored.chunk)?;
        }
        self.found(kind, name, is_mended);
        Ok(())
    }

    /// Whether it is there as it was stored. A listing may be older than what is there; an answer about one object is not.
    fn presence(&self, held: &Held, listed: Option<u64>) -> Result<State, Error> {
        if listed == Some(held.stored.bytes) || held.stored.bytes == 0 && listed.is_some() {
            return Ok(State::Fine);
        }
        let name = ObjectName::Chunk(held.stored.key);
        match self.options.target.stat(&name) {
            Ok(None) => Ok(State::Missing),
            Ok(Some(length)) if length == held.stored.bytes || held.stored.bytes == 0 => Ok(State::Fine),
            Ok(Some(_)) => Ok(State::Odd),
            Err(error) if error.is_of_the_way() => Err(error.into()),
            Err(error) => {
                self.tally.problem(name.to_string(), one_line(&error));
                Ok(State::Unsaid)
            }
        }
    }

    /// The length that it has, which an inventory did not know; written down if anything may be.
    fn measure(&self, held: &Held, listed: Option<u64>, beside: &Beside<'_>) -> Result<u64, Error> {
        let length = match listed {
            Some(length) => length,
            None => self.options.target.stat(&ObjectName::Chunk(held.stored.key))?.unwrap_or(0),
        };
        self.mending.map_or(Ok(()), |_| beside.db.measured(&held.stored, length))?;
        Ok(length)
    }

    fn look(&mut self, key: &Key, length: u64, checks: &mut Checks<'_>) -> Result<State, Error> {
        let name = ObjectName::Chunk(*key);
        self.tally.at(Phase::Verify, &RelPath::parse(name.to_string().as_bytes()).unwrap_or_default());
        self.tally.count(Counter::Chunks, 1);
        let tally = self.tally;
        let mut count = |bytes| tally.count(Counter::StoredBytes, bytes);
        let looked = catalog::look(self.options.target, key, length, &mut self.buffer, &mut count)?;
        let state = match looked {
            Look::Whole => State::Fine,
            Look::Damaged(_, seen) => State::Damaged(seen),
            Look::Gone(_) => return Ok(State::Missing),
            Look::Unknown(what) => {
                self.tally.problem(name.to_string(), what);
                return Ok(State::Unsaid);
            }
        };
        if self.mending.is_some() {
            checks.remember(key, Check { at: (self.options.clock)(), is_whole: matches!(state, State::Fine) })?;
        }
        Ok(state)
    }

    /// What can be done about a chunk that is missing or not whole: whether nothing wrong is left, and whether a good one is there.
    fn mend(
        &mut self,
        held: &Held,
        is_there: bool,
        seen: Option<Sha1>,
        beside: &mut Beside<'_>,
    ) -> Result<(bool, bool), Error> {
        let Some(mending) = self.mending else { return Ok((false, false)) };
        // On a disk that dropped out nothing can be read, and nothing may be stored in its place.
        self.options.target.identify(Some(beside.identity))?;
        let name = ObjectName::Chunk(held.stored.key);
        // Out of the database first: whatever comes then, no backup is built on it.
        beside.db.forget_presence(beside.identity, held.stored.chunk)?;
        beside.db.commit()?;
        let good = if held.is_needed { self.good(&name)? } else { None };
        // Segments of it that are whole still restore: without a better one it goes when no backup needs it any more.
        if is_there && good.is_none() && held.is_needed {
            return Ok((false, false));
        }
        if is_there && !self.put_aside(&name, seen, mending.quarantine)? {
            return Ok((false, false));
        }
        let Some(good) = good else { return Ok((is_there || held.is_believed, false)) };
        beside.db.measured(&held.stored, good.length())?;
        self.store(&name, good, beside)?;
        self.believe(held, beside)?;
        Ok((true, true))
    }

    fn store(&mut self, name: &ObjectName, good: Finished, beside: &mut Beside<'_>) -> Result<(), Error> {
        self.options.target.put(name, good)?;
        if let ObjectName::Chunk(key) = name {
            beside.checks.remember(key, Check { at: (self.options.clock)(), is_whole: true })?;
        }
        Ok(())
    }

    /// It was read just now, and is whole.
    fn believe(&self, held: &Held, beside: &Beside<'_>) -> Result<(), Error> {
        match self.mending {
            Some(_) => Ok(beside.db.is_there_too(beside.identity, held.stored.chunk)?),
            None => Ok(()),
        }
    }

    /// A chunk of which nothing is known here.
    fn unknown(&mut self, key: &Key, length: u64, beside: &mut Beside<'_>) -> Result<(), Error> {
        self.unknown_to_all(length);
        let check = beside.checks.of(key)?;
        if !self.options.read && check.is_none_or(|check| check.is_whole) {
            return Ok(());
        }
        let State::Damaged(seen) = self.look(key, length, &mut beside.checks)? else { return Ok(()) };
        let name = ObjectName::Chunk(*key);
        // Whose it is nobody knows: it goes only where a good one comes in its place.
        let mut is_mended = false;
        if let Some(mending) = self.mending
            && let Some(good) = self.good(&name)?
            && self.put_aside(&name, seen, mending.quarantine)?
        {
            self.store(&name, good, beside)?;
            is_mended = true;
        }
        self.found(Kind::DamagedChunk, name, is_mended);
        Ok(())
    }

    fn unknown_to_all(&mut self, length: u64) {
        self.report.unknown += 1;
        self.report.unknown_bytes += length;
    }
}
