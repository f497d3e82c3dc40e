//! What a box does over the years: backups go, and what is remembered of those that stay.

use std::collections::BTreeSet;
use std::time::SystemTime;

use brackup::catalog;
use brackup::date::Utc;
use brackup::db::Db;
use brackup::digest::Key;
use brackup::fsck;
use brackup::gc;
use brackup::monitor::{Problem, Quiet, Tally};
use brackup::policy::Policy;
use brackup::retention::{self, Pruning};
use brackup::target::Target;

use super::nas::Nas;

impl Nas {
    /// Collects garbage through a target.
    pub(crate) fn try_gc(
        &self,
        target: &dyn Target,
        grace_seconds: i64,
        force: Option<u64>,
    ) -> Result<(Vec<Problem>, gc::Report), gc::Error> {
        self.try_compact(target, grace_seconds, force, None)
    }

    /// The same; chunks of which too little is used are retired.
    pub(crate) fn try_compact(
        &self,
        target: &dyn Target,
        grace_seconds: i64,
        force: Option<u64>,
        compaction: Option<gc::Compaction>,
    ) -> Result<(Vec<Problem>, gc::Report), gc::Error> {
        let (quiet, db) = (Quiet::default(), Db::open(&self.state)?);
        let identity = target.identify(db.target_identity(self.target_name)?.as_deref())?;
        if let Some(calls) = self.db_calls {
            db.fail_after(calls);
        }
        db.begin_run()?;
        let options = gc::Options {
            target,
            db: &db,
            identity: &identity,
            signer: self.box_key().unwrap().public(),
            spool: &self.state,
            grace_seconds,
            compaction,
            force,
            dry_run: false,
            may_delete: None,
        };
        let collected = gc::run(&options, &Tally::new(&quiet), &self.stop);
        let ended = if collected.is_ok() { db.end_run() } else { db.abandon_run() };
        let report = collected?;
        ended?;
        Ok((quiet.problems(), report))
    }

    /// After a collection without grace: what lies there is what is needed.
    pub(crate) fn assert_nothing_else_is_there(&self) {
        let names = self.backups().into_iter().flat_map(|name| self.chunks_of(&name.to_string()));
        let needed: BTreeSet<_> = names.collect();
        let there = self.files(".chunk").into_iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(there.collect::<BTreeSet<_>>(), needed);
    }

    /// Removes backups through a target; what was told, and the names of those that went.
    pub(crate) fn try_prune(
        &self,
        target: &dyn Target,
        policy: &Policy,
    ) -> Result<(Vec<Problem>, Vec<String>), retention::Error> {
        let (quiet, db) = (Quiet::default(), Db::open(&self.state)?);
        let tally = Tally::new(&quiet);
        let identity = target.identify(db.target_identity(self.target_name)?.as_deref())?;
        if let Some(calls) = self.db_calls {
            db.fail_after(calls);
        }
        db.begin_run()?;
        catalog::settle::<retention::Error>(target, &db, &identity)?;
        let pruning = Pruning {
            target,
            db: &db,
            identity: &identity,
            box_key: &self.box_key().unwrap(),
            policy: &|_| policy.clone(),
            only: None,
            is_pinned: &|_| false,
            now: Utc::from_system(SystemTime::now()).to_unix(),
        };
        let plan = pruning.plan(&tally)?;
        let mut removed = Vec::new();
        let carried_out = pruning.carry_out(&plan, &tally, &self.stop, |backup| removed.push(backup.name.to_string()));
        let ended = db.end_run();
        carried_out?;
        ended?;
        Ok((quiet.problems(), removed))
    }

    /// Of each backup that is there it is known what it needs, and of no other: else nothing could ever be removed.
    pub(crate) fn assert_all_remembered(&self) {
        let db = Db::open(&self.state).unwrap();
        let identity = db.target_identity(self.target_name).unwrap().unwrap();
        db.check_refs(&identity).unwrap();
        let signer = self.box_key().unwrap().public().to_string();
        let remembered = db.remembered(&identity, "tree", &signer).unwrap();
        let remembered: Vec<_> = remembered.into_iter().map(|backup| backup.link.backup).collect();
        let there: Vec<_> = self.backups().iter().map(ToString::to_string).collect();
        assert_eq!(remembered, there);
        assert_eq!(db.pending(&identity).unwrap(), []);
        let mut needed = BTreeSet::new();
        let each = |key: Key, _| {
            needed.insert(format!("{key}.chunk"));
            Ok::<_, brackup::db::Error>(())
        };
        db.each_needed(&identity, each).unwrap();
        let by_metafiles: BTreeSet<_> = there.iter().flat_map(|name| self.chunks_of(name)).collect();
        assert_eq!(needed, by_metafiles);
    }
}

/// What a look may do.
#[derive(Clone, Copy, Default)]
pub(crate) struct May<'a> {
    pub(crate) repair: bool,
    pub(crate) read: bool,
    pub(crate) from: Option<&'a dyn Target>,
    pub(crate) force: Option<u64>,
    pub(crate) forget: bool,
}

impl Nas {
    /// Where damaged objects are kept.
    pub(crate) fn quarantine(&self) -> std::path::PathBuf {
        self.state.join("quarantine")
    }

    /// Holds what is remembered against a target; what was told, and what was found.
    pub(crate) fn try_fsck(
        &self,
        target: &dyn Target,
        may: May<'_>,
    ) -> Result<(Vec<Problem>, fsck::Report), fsck::Error> {
        let (quiet, db) = (Quiet::default(), Db::open_as_it_is(&self.state)?);
        let identity = target.identify(db.target_identity("disk")?.as_deref())?;
        if let Some(calls) = self.db_calls {
            db.fail_after(calls);
        }
        let quarantine = self.quarantine();
        let options = fsck::Options {
            target,
            memory: Some((&db, &identity)),
            signer: Some(self.box_key().unwrap().public()),
            spool: &self.state,
            read: may.read,
            clock: &|| 1_800_000_000,
            mending: may.repair.then_some(fsck::Mending {
                quarantine: &quarantine,
                from: may.from,
                force: may.force,
                forget_missing_backups: may.forget,
            }),
        };
        if may.repair {
            db.begin_run()?;
        }
        let mut report = fsck::Report::default();
        let looked = fsck::run(&options, &mut report, &Tally::new(&quiet), &self.stop);
        let ended = if may.repair { db.end_run() } else { Ok(()) };
        looked?;
        ended?;
        Ok((quiet.problems(), report))
    }
}
