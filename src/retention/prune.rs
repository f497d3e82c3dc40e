//! Removing backups that no rule keeps: tombstone, metafile, row, in this order.
//!
//! Cut off behind the first, the backup is still there and listed; behind the second, the tombstone says what became of it, and the next
//! run forgets the row. Never is a backup listed that lacks something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use super::rules::{Rule, decide};
use super::times::straighten;
use crate::catalog;
use crate::date::Utc;
use crate::db::{Db, Remembered};
use crate::monitor::{Tally, one_line};
use crate::policy::Policy;
use crate::seal::{BoxKey, Footer, write_tombstone};
use crate::target::{self, BackupName, ErrorKind, ObjectName, Target};

/// What is pruned by what.
#[expect(missing_debug_implementations, reason = "it holds closures")]
pub struct Pruning<'a> {
    /// Where.
    pub target: &'a dyn Target,
    /// What this box remembers of it.
    pub db: &'a Db,
    /// The target's id.
    pub identity: &'a str,
    /// Of this box: what another signed is not touched.
    pub box_key: &'a BoxKey,
    /// The rules for a root; a root without any is left.
    pub policy: &'a dyn Fn(&str) -> Policy,
    /// Only this root.
    pub only: Option<&'a str>,
    /// Whether somebody wants to keep it whatever the rules say.
    pub is_pinned: &'a dyn Fn(&BackupName) -> bool,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// A backup, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub name: BackupName,
    /// When it was made, as far as is known: seconds since 1970.
    pub time: i64,
    /// What keeps it. Nothing: it goes.
    pub rules: BTreeSet<Rule>,
    /// Size of the files in it.
    pub bytes: u64,
    length: u64,
    /// Of the tombstone, if a run that was cut off left one.
    tombstone: Option<u64>,
    remembered: Remembered,
}

impl Planned {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// All backups of this box, by root, in the order of their chains.
    pub backups: Vec<Planned>,
    /// Rows of backups that a run before this one removed.
    forgotten: Vec<Remembered>,
}

impl Pruning<'_> {
    /// Decides, and changes nothing.
    pub fn plan(&self, tally: &Tally<'_>) -> Result<Plan, Error> {
        let there = Listed::at(self.target)?;
        let signer = self.box_key.public().to_string();
        let mut plan = Plan::default();
        for chain in self.db.chains(self.identity)? {
            let root = &*chain.root;
            if chain.signer != signer || self.only.is_some_and(|only| only != root) {
                continue;
            }
            let backups = self.present(root, &signer, &there, &mut plan, tally)?;
            self.tell_unknown(root, &backups, &there, tally);
            let policy = (self.policy)(root);
            if policy.is_empty() {
                tally.notice(root, "no rule says which of its backups stay: all are left");
                continue;
            }
            let told: Vec<_> = backups.iter().map(|backup| backup.time).collect();
            let mut straight = told.clone();
            straighten(&mut straight, self.now);
            // Which clock was wrong is a guess: what is kept by either stays.
            let by_either = decide(&policy, &straight, self.now).into_iter().zip(decide(&policy, &told, self.now));
            for ((mut backup, time), (one, other)) in backups.into_iter().zip(straight).zip(by_either) {
                (backup.time, backup.rules) = (time, &one | &other);
                if (self.is_pinned)(&backup.name) {
                    backup.rules.insert(Rule::Pinned);
                }
                plan.backups.push(backup);
            }
        }
        Ok(plan)
    }

    /// One backup is to go, whatever the rules say, unless it is pinned; the others of its chain stay.
    pub fn plan_of(&self, name: &BackupName, tally: &Tally<'_>) -> Result<Plan, Error> {
        let (there, signer) = (Listed::at(self.target)?, self.box_key.public().to_string());
        let mut plan = Plan::default();
        let backups = self.present(name.root(), &signer, &there, &mut plan, tally)?;
        for mut backup in backups {
            if backup.name != *name {
                backup.rules.insert(Rule::Owner);
            } else if (self.is_pinned)(name) {
                backup.rules.insert(Rule::Pinned);
            }
            plan.backups.push(backup);
        }
        Ok(plan)
    }

    /// The backups of a chain that are remembered and there.
    fn present(
        &self,
        root: &str,
        signer: &str,
        there: &Listed,
        plan: &mut Plan,
        tally: &Tally<'_>,
    ) -> Result<Vec<Planned>, Error> {
        let mut present = Vec::new();
        for remembered in self.db.remembered(self.identity, root, signer)? {
            let Some(name) = BackupName::parse(&remembered.link.backup) else { continue };
            let tombstone = there.tombstones.get(&name).copied();
            match there.metafiles.get(&name) {
                Some(length) => present.push(Planned {
                    time: remembered.created,
                    rules: BTreeSet::new(),
                    bytes: remembered.bytes,
                    length: *length,
                    tombstone,
                    name,
                    remembered,
                }),
                None if self.is_gone(&name, tombstone, &remembered)? => {
                    if (self.is_pinned)(&name) {
                        tally.problem(name.to_string(), "is pinned, and was removed before: its tombstone says so");
                    }
                    plan.forgotten.push(remembered);
                }
                None => tally.problem(
                    name.to_string(),
                    "is remembered and not there, and nothing says who removed it: what it needs is kept",
                ),
            }
        }
        Ok(present)
    }

    /// Backups of a root of which nothing is remembered.
    fn tell_unknown(&self, root: &str, known: &[Planned], there: &Listed, tally: &Tally<'_>) {
        let known: BTreeSet<_> = known.iter().map(|backup| &backup.name).collect();
        let unknown = there.metafiles.keys().filter(|name| name.root() == root && !known.contains(name)).count();
        if unknown > 0 {
            let what =
                format!("{unknown} of its backups are another box's, or this box has forgotten them: they are left");
            tally.notice(root, what);
        }
    }

    /// Removes what is not kept, the oldest first, and calls back for each that is gone.
    pub fn carry_out(
        &self,
        plan: &Plan,
        tally: &Tally<'_>,
        stop: &AtomicBool,
        mut removed: impl FnMut(&Planned),
    ) -> Result<(), Error> {
        // Before a tombstone says that something is gone.
        if plan.backups.iter().any(|backup| !backup.is_kept()) {
            self.target.may_delete()?;
        }
        for remembered in &plan.forgotten {
            self.db.forget_backup(remembered)?;
        }
        for backup in plan.backups.iter().filter(|backup| !backup.is_kept()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match self.remove(backup) {
                Ok(()) => removed(backup),
                Err(Refusal::Backup(why)) => tally.problem(backup.name.to_string(), format!("{why}: it is left")),
                Err(Refusal::All(error)) => {
                    self.db.sweep_refs()?;
                    return Err(error);
                }
            }
        }
        Ok(self.db.sweep_refs()?)
    }

    fn remove(&self, backup: &Planned) -> Result<(), Refusal> {
        let name = &backup.name;
        let text = catalog::footer_text(self.target, name, backup.length)?;
        let is_ours = |(footer, digest): (Footer, [u8; 32])| {
            footer.signer == self.box_key.public()
                && footer.backup == name.to_string()
                && digest == backup.remembered.link.footer
        };
        if !Footer::parse(&text).is_ok_and(is_ours) {
            return Err(Refusal::Backup("what is there is not what this box stored".into()));
        }
        match self.grave(name, backup.tombstone, &backup.remembered)? {
            Grave::Own => {}
            Grave::Anothers => return Err(Refusal::Backup("there is a tombstone that is not its own".into())),
            Grave::None => self.bury(name, &text)?,
            // A power cut may leave one that is cut short, or empty. It says nothing.
            Grave::Broken => {
                self.target.delete(&ObjectName::Tombstone(name.clone()))?;
                self.bury(name, &text)?;
            }
        }
        self.target.delete(&ObjectName::Metafile(name.clone()))?;
        self.db.forget_backup(&backup.remembered)?;
        self.db.commit()?;
        Ok(())
    }

    /// Whether a run before this one has removed it: it is surely not there, and its own tombstone is.
    fn is_gone(&self, name: &BackupName, tombstone: Option<u64>, backup: &Remembered) -> Result<bool, target::Error> {
        // A listing may be older than what is there.
        Ok(self.grave(name, tombstone, backup)? == Grave::Own
            && self.target.stat(&ObjectName::Metafile(name.clone()))?.is_none())
    }

    fn grave(&self, name: &BackupName, tombstone: Option<u64>, backup: &Remembered) -> Result<Grave, target::Error> {
        let Some(length) = tombstone else { return Ok(Grave::None) };
        match catalog::tombstone(self.target, name, length) {
            Ok(stone) if stone.footer_digest == backup.link.footer => Ok(Grave::Own),
            Ok(_) => Ok(Grave::Anothers),
            Err(catalog::Error::Target(error)) => Err(error),
            Err(_) => Ok(Grave::Broken),
        }
    }

    fn bury(&self, name: &BackupName, footer_text: &[u8]) -> Result<(), target::Error> {
        let mut stage = self.target.stage()?;
        write_tombstone(footer_text, self.box_key, Utc::from_unix(self.now), |sealed| stage.write(sealed))?;
        self.target.put(&ObjectName::Tombstone(name.clone()), stage.finish())
    }
}

/// The tombstone of a backup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grave {
    None,
    Own,
    Anothers,
    /// It is none, whatever its name says.
    Broken,
}

/// Why one backup, or none at all, can be removed.
enum Refusal {
    Backup(String),
    All(Error),
}

impl From<target::Error> for Refusal {
    fn from(error: target::Error) -> Self {
        Self::All(error.into())
    }
}

impl From<crate::db::Error> for Refusal {
    fn from(error: crate::db::Error) -> Self {
        Self::All(error.into())
    }
}

impl From<catalog::Error> for Refusal {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::Target(error) if error.kind != ErrorKind::NotFound => Self::All(error.into()),
            error => Self::Backup(one_line(&error)),
        }
    }
}

/// What one listing shows of backups.
struct Listed {
    metafiles: BTreeMap<BackupName, u64>,
    tombstones: BTreeMap<BackupName, u64>,
}

impl Listed {
    fn at(target: &dyn Target) -> Result<Self, target::Error> {
        let (mut metafiles, mut tombstones) = (BTreeMap::new(), BTreeMap::new());
        target.list(&mut |name, length| {
            match name {
                ObjectName::Metafile(name) => metafiles.insert(name, length),
                ObjectName::Tombstone(name) => tombstones.insert(name, length),
                ObjectName::Chunk(_) => None,
            };
            Ok(())
        })?;
        Ok(Self { metafiles, tombstones })
    }
}
