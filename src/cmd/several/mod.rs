//! One source and several targets: read and sealed once, stored to each.
//!
//! One target leads: the tree is backed up to it, and from there the others get what they lack, byte for byte. If the first is not there the
//! next one leads, with what is known of the source, and the one that was away gets what it missed when it is back. A target whose backups are not
//! those of the others, because it was backed up to alone, gets a backup of its own.

mod command;
mod member;

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::catalog;
use brackup::config::{BoxOptions, SourceOptions};
use brackup::copy::Which;
use brackup::db::{ChainHead, Db};
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::seal::{BoxPublic, Keyring};
use brackup::target::{BackupName, ObjectName};

use super::copy::Between;
use super::open::State;
use super::pair::{Pair, Watcher};
use super::provider::NamedTarget;
use crate::term::{self, Failure};

pub(crate) use command::run;
use member::tell_failures;
pub(crate) use member::{Came, Member, NOT_WHOLE, nights};

/// Backs up to several targets together.
pub(crate) struct Several<'a> {
    root: &'a str,
    own: &'a BoxOptions,
    signer: BoxPublic,
    state: &'a State,
    watcher: Watcher<'a>,
    stop: &'a AtomicBool,
}

/// Targets to be, before anything is made for a run; one that is not there has failed.
pub(crate) fn members<'a>(
    source: &'a SourceOptions,
    targets: &'a [NamedTarget],
    folders: &[PathBuf],
    own: &'a BoxOptions,
) -> Result<Vec<Member<'a>>, Failure> {
    let mut members = Vec::new();
    for target in targets {
        let mut pair = Pair::new(source, target, own)?;
        pair.other_folders = folders.to_vec();
        let came = match pair.look() {
            Err(failure) if failure.outcome == Outcome::NoSuchTarget => Some(Came::Failed(failure)),
            looked => looked.map(|()| None)?,
        };
        members.push(Member { target, pair, identity: None, head: None, came });
    }
    Ok(members)
}

impl<'a> Several<'a> {
    pub(crate) fn of(
        source: &'a SourceOptions,
        own: &'a BoxOptions,
        state: &'a State,
        watcher: Watcher<'a>,
        stop: &'a AtomicBool,
    ) -> Result<Self, Failure> {
        let signer = Keyring::at(&own.key_dir).box_key()?.public();
        Ok(Self { root: &source.name, own, signer, state, watcher, stop })
    }

    /// A dry run at each.
    pub(crate) fn try_out(&self, members: &mut [Member<'_>]) {
        for member in members.iter_mut().filter(|member| member.came.is_none()) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let watcher = Watcher { wants_totals: false, ..self.watcher };
            let done = member.pair.back_up(self.state, None, true, watcher, self.stop);
            member.came = Some(done.map_or_else(Came::Failed, |done| Came::BackedUp(Box::new(done))));
        }
    }

    /// An error: nothing was stored anywhere, and what went wrong before is told. Without one that is so too, if all have failed.
    pub(crate) fn run(&self, members: &mut [Member<'_>]) -> Result<(), Failure> {
        let ran = self.recall(members).and_then(|()| self.back_up(members));
        if ran.is_err() {
            tell_failures(members);
        }
        ran
    }

    fn back_up(&self, members: &mut [Member<'_>]) -> Result<(), Failure> {
        // Those that have backups first, of these folders first, since the others read from it.
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|at| (members[*at].head.is_none(), members[*at].target.folder.is_none(), *at));
        let known_under = self.known_under(members, &order)?;
        let Some(lead) = self.lead(members, &order, known_under.as_deref())? else { return Ok(()) };
        let Some(newest) = members[lead].backup().cloned() else { return Ok(()) };
        // What keeps up does not wait for what lags: one that never comes to its end in its time keeps nothing from another. Of those that
        // have the same, a folder is quick: it does not wait for a line that is slow.
        let mut behind: Vec<usize> = (0..members.len()).collect();
        let has = |at: usize| members[at].head.as_ref().map_or(0, |head| head.sequence);
        behind.sort_by_key(|at| (Reverse(has(*at)), members[*at].target.folder.is_none()));
        for at in behind {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if members[at].came.is_none() {
                let came = self.follow(&members[lead], &members[at], &newest);
                members[at].came = Some(came.unwrap_or_else(Came::Failed));
            }
        }
        Ok(())
    }

    /// The target under which something is known of the source: one of these if there is, in this order, else one that has
    /// their backups too.
    fn known_under(&self, members: &[Member<'_>], order: &[usize]) -> Result<Option<String>, Failure> {
        let db = self.state.database()?;
        let under = db.known_under(self.root)?;
        let known =
            order.iter().filter_map(|at| members[*at].identity.clone()).find(|identity| under.contains(identity));
        if known.is_some() {
            return Ok(known);
        }
        for head in order.iter().filter_map(|at| members[*at].head.as_ref()) {
            if let Some(identity) = db.known_with(self.root, head)? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }

    /// What is remembered of each, and which of them are there.
    fn recall(&self, members: &mut [Member<'_>]) -> Result<(), Failure> {
        let db = self.state.database()?;
        for member in members.iter_mut() {
            let Some(identity) = db.target_identity(&member.target.remembered_as())? else { continue };
            if member.came.is_none() {
                let is_there = member.target.target.identify(Some(&identity)).map_err(Failure::from);
                let is_known = is_there.and_then(|_| settle(&db, member.target, &identity));
                member.came = is_known.err().map(Came::Failed);
            }
            member.head = db.chain_head(&identity, self.root, &self.signer.to_string())?;
            member.identity = Some(identity);
        }
        Ok(())
    }

    /// Backs up to the first that can be backed up to; gives which that was, if any was.
    fn lead(
        &self,
        members: &mut [Member<'_>],
        order: &[usize],
        known_under: Option<&str>,
    ) -> Result<Option<usize>, Failure> {
        let mut above = self.above(members)?;
        for at in order {
            if members[*at].came.is_some() {
                continue;
            }
            self.catch_up(members, *at);
            members[*at].pair.above.clone_from(&above);
            match members[*at].pair.back_up(self.state, known_under, false, self.watcher, self.stop) {
                Ok(done) => {
                    members[*at].came = Some(Came::BackedUp(Box::new(done)));
                    return Ok(Some(*at));
                }
                Err(failure) if matches!(failure.outcome, Outcome::Failed | Outcome::NoSuchTarget) => {
                    let member = &mut members[*at];
                    if let Some(name) = self.stored_all_the_same(member) {
                        member.came = Some(Came::Stored(name, failure));
                        return Ok(Some(*at));
                    }
                    // Its number, and its name, are taken even if the database does not know it.
                    let before = member.head.as_ref().map_or(0, |head| head.sequence);
                    let target = &*member.target.target;
                    let head = catalog::chain_head(target, member.head.clone(), self.root, &self.signer);
                    let head = head.ok().flatten().filter(|head| head.sequence > before);
                    member.came = Some(Came::Failed(failure));
                    let heads = [above, head, self.above(members)?];
                    above = heads.into_iter().flatten().max_by_key(|head| head.sequence);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    /// The newest backup that may or may not have been stored at one of these, which can't be asked now: its number and its name are taken.
    fn above(&self, members: &[Member<'_>]) -> Result<Option<ChainHead>, Failure> {
        let (db, mut above) = (self.state.database()?, None::<ChainHead>);
        for identity in members.iter().filter_map(|member| member.identity.as_deref()) {
            let pending = db.pending(identity)?.into_iter().map(|pending| pending.link);
            let of_root =
                pending.filter(|link| BackupName::parse(&link.backup).is_some_and(|name| name.root() == self.root));
            above = above.into_iter().chain(of_root).max_by_key(|link| link.sequence);
        }
        Ok(above)
    }

    /// The backup that a run at this target has stored, although it ended with an error behind that.
    fn stored_all_the_same(&self, member: &Member<'_>) -> Option<BackupName> {
        let db = self.state.database().ok()?;
        let identity = db.target_identity(&member.target.remembered_as()).ok()??;
        if db.pending(&identity).ok()?.is_empty() {
            return None;
        }
        settle(&db, member.target, &identity).ok()?;
        let head = db.chain_head(&identity, self.root, &self.signer.to_string()).ok()??;
        let before = member.head.as_ref().map_or(0, |head| head.sequence);
        BackupName::parse(&head.backup).filter(|_| head.sequence > before)
    }

    /// The one that leads was away, and others have backups that it would not follow: it gets them first.
    fn catch_up(&self, members: &[Member<'_>], lead: usize) {
        let lead = &members[lead];
        let Some(head) = &lead.head else { return };
        let newer = members.iter().filter(|member| member.came.is_none());
        let newer = newer.filter(|member| member.head.as_ref().is_some_and(|newer| newer.sequence > head.sequence));
        let Some(from) = newer.max_by_key(|member| member.head.as_ref().map(|head| head.sequence)) else { return };
        let Some(since) = BackupName::parse(&head.backup) else { return };
        let is_missed = |name: &BackupName| name.root() == self.root && *name > since;
        let caught = self.state.database().and_then(|db| {
            let identity = from.identity.as_deref().unwrap_or_default();
            if !self.goes_on_from(&db, from.target, identity, head)? {
                // They do not go the same way.
                return Ok(());
            }
            let between = Between { from: from.target, to: lead.target, own: self.own, db: Some(&db) };
            let tally = Tally::new(self.watcher.monitor);
            between.copy(Which::Own(&is_missed), (false, false), &tally, self.stop).map(drop)
        });
        if let Err(failure) = caught {
            let what = "does not get what it missed while it was away";
            term::warning(&format!("{}: {what}: {}", lead.target.name, failure.message));
        }
    }

    /// What the one that leads has comes to another too.
    fn follow(&self, lead: &Member<'_>, member: &Member<'_>, newest: &BackupName) -> Result<Came, Failure> {
        let db = self.state.database()?;
        let between = Between { from: lead.target, to: member.target, own: self.own, db: Some(&db) };
        between.identify(false)?;
        // It may have backups that this box has forgotten.
        let head = catalog::chain_head(&*member.target.target, member.head.clone(), self.root, &self.signer)?;
        if let Some(head) = &head
            && !self.is_behind(&db, lead, head)?
        {
            drop(db);
            let watcher = Watcher { wants_totals: false, ..self.watcher };
            let done = member.pair.back_up(self.state, None, false, watcher, self.stop)?;
            return Ok(Came::BackedUp(Box::new(done)));
        }
        let since = head.as_ref().and_then(|head| BackupName::parse(&head.backup));
        let is_missed =
            |name: &BackupName| name.root() == self.root && since.as_ref().map_or(name == newest, |since| name > since);
        let tally = Tally::new(self.watcher.monitor);
        let report = between.copy(Which::Own(&is_missed), (false, false), &tally, self.stop)?;
        let is_there = report.backups.contains(newest);
        Ok(Came::Copied(is_there.then(|| newest.clone()), report, tally.sums().problems))
    }

    /// Whether a target's newest backup is one that the one that leads has too.
    fn is_behind(&self, db: &Db, lead: &Member<'_>, head: &ChainHead) -> Result<bool, Failure> {
        match db.target_identity(&lead.target.remembered_as())? {
            Some(identity) => self.goes_on_from(db, lead.target, &identity, head),
            None => Ok(false),
        }
    }

    /// Whether a target has this link of the chain too, or had it, or has the one that follows it.
    fn goes_on_from(&self, db: &Db, at: &NamedTarget, identity: &str, head: &ChainHead) -> Result<bool, Failure> {
        if db.remembers_link(identity, head)? || was_there(at, head)? {
            return Ok(true);
        }
        let backups = db.remembered(identity, self.root, &self.signer.to_string())?;
        let next = backups.into_iter().find(|backup| backup.link.sequence == head.sequence + 1);
        let Some(next) = next.and_then(|next| BackupName::parse(&next.link.backup)) else { return Ok(false) };
        let length = at.target.stat(&ObjectName::Metafile(next.clone()))?.unwrap_or(0);
        let (footer, _) = catalog::footer(&*at.target, &next, length)?;
        Ok(footer.previous == head.footer)
    }
}

/// Finds out what became of backups of which that is not known.
fn settle(db: &Db, target: &NamedTarget, identity: &str) -> Result<(), Failure> {
    if db.pending(identity)?.is_empty() {
        return Ok(());
    }
    db.begin_run()?;
    let settled = catalog::settle::<brackup::copy::Error>(&*target.target, db, identity);
    db.end_run()?;
    Ok(settled?)
}

/// Whether a tombstone says that this link was at a target, and was pruned there.
fn was_there(target: &NamedTarget, head: &ChainHead) -> Result<bool, Failure> {
    let Some(name) = BackupName::parse(&head.backup) else { return Ok(false) };
    let target = &*target.target;
    let Some(length) = target.stat(&ObjectName::Tombstone(name.clone()))? else { return Ok(false) };
    Ok(catalog::tombstone(target, &name, length).is_ok_and(|stone| stone.footer_digest == head.footer))
}
