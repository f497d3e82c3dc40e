//! A box with all that it has: state, keys, a folder to back up to, and the secret keys that are not on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use brackup::backup::{self, Options, Padding, Report};
use brackup::catalog::{self, OpenBackup, Trust};
use brackup::db::Db;
use brackup::metafile::Record;
use brackup::monitor::{Counter, Monitor, Phase, Problem, Quiet, Severity, Tally};
use brackup::relpath::RelPath;
use brackup::restore::{self, Conflict, Selection};
use brackup::seal::{BoxKey, BoxPublic, Identity, Keyring, Recipient, Suite};
use brackup::target::{BackupName, Filesystem, Target};
use brackup::verify;
use tempfile::TempDir;

use super::tree::Tree;

/// The box. Chunks and pieces are small, so that their borders are met often.
pub(crate) struct Nas {
    _temporary: TempDir,
    /// The source's name.
    pub(crate) root: &'static str,
    /// What its target is called, and where objects are.
    pub(crate) target_name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) keys: PathBuf,
    /// One for each recipient.
    pub(crate) identities: Vec<Identity>,
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) chunk_bytes: u64,
    pub(crate) piece_bytes: usize,
    pub(crate) suite: Suite,
    pub(crate) padding: Padding,
    pub(crate) compression: Option<i32>,
    pub(crate) smart_mp3: bool,
    /// Chunks in flight.
    pub(crate) connections: usize,
    #[expect(clippy::type_complexity, reason = "a closure, said once")]
    pub(crate) ignores: Box<dyn Fn(&[u8], bool) -> bool + Sync>,
    /// Boxes whose signature is trusted. None: any, as at a first restore.
    pub(crate) pinned: Vec<BoxPublic>,
    /// Ends a run from a [`Watch`].
    pub(crate) stop: AtomicBool,
    /// Database calls after which it fails, if it does.
    pub(crate) db_calls: Option<u64>,
}

/// A run, and what it told.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) report: Report,
    pub(crate) told: Vec<Problem>,
}

impl Done {
    /// The backup's name.
    pub(crate) fn name(&self) -> String {
        self.report.backup.as_ref().expect("a backup").to_string()
    }

    pub(crate) fn of(&self, counter: Counter) -> u64 {
        self.report.counts.of(counter)
    }
}

impl Nas {
    pub(crate) fn new() -> Self {
        Self::with_recipients(1)
    }

    pub(crate) fn with_recipients(count: usize) -> Self {
        let temporary = TempDir::new().unwrap();
        let [folder, state, keys] = ["target", "state", "keys"].map(|name| temporary.path().join(name));
        fs::create_dir(&state).unwrap();
        let identities: Vec<_> = (0..count).map(|_| Identity::generate().unwrap()).collect();
        let recipients = identities.iter().map(|identity| identity.recipient().clone()).collect();
        Self {
            _temporary: temporary,
            root: "tree",
            target_name: "disk",
            folder,
            state,
            keys,
            identities,
            recipients,
            chunk_bytes: 1 << 20,
            piece_bytes: 64 << 10,
            suite: Suite::ChaCha20Poly1305,
            padding: Padding::Padme,
            compression: Some(1),
            smart_mp3: false,
            connections: 2,
            ignores: Box::new(|_, _| false),
            pinned: Vec::new(),
            stop: AtomicBool::new(false),
            db_calls: None,
        }
    }

    /// Another box that is the same in everything.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Self::with_recipients(0);
        fs::remove_dir(&copy.state).unwrap();
        for (from, to) in [(&self.folder, &copy.folder), (&self.state, &copy.state), (&self.keys, &copy.keys)] {
            fs::create_dir(to).unwrap();
            for name in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()) {
                fs::copy(from.join(&name), to.join(&name)).unwrap();
            }
        }
        copy.identities = self.identities.iter().map(|one| Identity::parse(&one.to_text()).unwrap()).collect();
        copy.recipients.clone_from(&self.recipients);
        copy.pinned.clone_from(&self.pinned);
        copy
    }

    pub(crate) fn target(&self) -> Filesystem {
        Filesystem::at(&self.folder)
    }

    pub(crate) fn box_key(&self) -> Result<BoxKey, brackup::seal::Error> {
        Keyring::at(&self.keys).box_key()
    }

    /// A backup that must succeed.
    pub(crate) fn backup(&self, source: &Tree) -> Done {
        self.try_backup(&source.root, &self.target(), &Quiet::default()).unwrap()
    }

    /// A backup of a path, through a target, watched by a monitor. The database is opened for it and closed, as by a process.
    pub(crate) fn try_backup(
        &self,
        path: &Path,
        target: &dyn Target,
        monitor: &dyn Monitor,
    ) -> Result<Done, backup::Error> {
        let db = Db::open(&self.state)?;
        if let Some(calls) = self.db_calls {
            db.fail_after(calls);
        }
        let options = Options {
            root: self.root,
            path,
            target_name: self.target_name,
            target_id: None,
            known_under: None,
            above: None,
            recipients: &self.recipients,
            chunk_bytes: self.chunk_bytes,
            piece_bytes: self.piece_bytes,
            buffers: 3,
            connections: self.connections,
            suite: self.suite,
            padding: self.padding,
            compression: self.compression,
            smart_mp3: self.smart_mp3,
            ignores: &*self.ignores,
            excluded: &[self.folder.clone(), self.state.clone()],
            one_filesystem: false,
            spool_dir: &self.state,
            host: b"box",
            dry_run: false,
        };
        let kept = Keeping { monitor, kept: Quiet::default() };
        let report = backup::run(&options, target, &db, &self.box_key()?, &Tally::new(&kept), &self.stop)?;
        Ok(Done { report, told: kept.kept.problems() })
    }

    /// Opens a backup and checks who signed it.
    pub(crate) fn open(&self, target: &dyn Target, name: &str) -> Result<OpenBackup, catalog::Error> {
        let (name, length) = catalog::find(target, name, None)?;
        let trust = Trust { pinned: self.pinned.clone(), accept_unsigned: false };
        OpenBackup::open(target, &name, length, &trust, &self.state)
    }

    /// Restores a backup to a new folder; what it told must be nothing.
    pub(crate) fn restore(&self, name: &str) -> Tree {
        let tree = Tree::absent();
        let told = self.try_restore(name, &tree.root, Conflict::Abort).unwrap();
        assert_eq!(told, [], "{name}");
        tree
    }

    /// Restores a backup; tells what it told.
    pub(crate) fn try_restore(
        &self,
        name: &str,
        to: &Path,
        conflict: Conflict,
    ) -> Result<Vec<Problem>, restore::Error> {
        self.restore_watched(name, to, conflict, &Quiet::default())
    }

    /// The same with a monitor.
    pub(crate) fn restore_watched(
        &self,
        name: &str,
        to: &Path,
        conflict: Conflict,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Problem>, restore::Error> {
        self.restore_from(&self.target(), name, to, conflict, monitor)
    }

    /// The same through a target.
    pub(crate) fn restore_from(
        &self,
        target: &dyn Target,
        name: &str,
        to: &Path,
        conflict: Conflict,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Problem>, restore::Error> {
        let backup = self.open(target, name)?;
        let options = restore::Options {
            destination: to,
            selection: Selection::default(),
            conflict,
            numeric_ids: true,
            dry_run: false,
            others: &[],
        };
        let kept = Keeping { monitor, kept: Quiet::default() };
        restore::run(&options, &backup, target, &self.identities, &Tally::new(&kept), &self.stop)?;
        Ok(kept.kept.problems())
    }

    /// Verifies without any key, with what this box remembers; the problems.
    pub(crate) fn verify(&self) -> Result<Vec<Problem>, verify::Error> {
        self.verify_at(&self.target())
    }

    /// The same through a target.
    pub(crate) fn verify_at(&self, target: &dyn Target) -> Result<Vec<Problem>, verify::Error> {
        let (quiet, db) = (Quiet::default(), Db::open(&self.state)?);
        let tally = Tally::new(&quiet);
        let identity = db.target_identity(self.target_name)?;
        let known = identity.as_deref().map(|identity| (&db, identity));
        target.identify(identity.as_deref())?;
        let part = verify::Part::default();
        let options = verify::Options { target, memory: known, spool: &self.state, part, clock: &|| 1_800_000_000 };
        db.begin_run()?;
        let verified = verify::objects(&options, &tally, &self.stop, &mut |_| {});
        db.end_run()?;
        verified?;
        let chains = identity.as_deref().map_or(Ok(Vec::new()), |identity| db.chains(identity))?;
        verify::chain(target, &chains, &tally)?;
        Ok(quiet.problems().into_iter().filter(|problem| problem.severity == Severity::Problem).collect())
    }

    /// Verifies every backup with the key; the problems.
    pub(crate) fn verify_with_key(&self) -> Result<Vec<Problem>, verify::Error> {
        self.verify_with_key_at(&self.target())
    }

    /// The same through a target.
    pub(crate) fn verify_with_key_at(&self, target: &dyn Target) -> Result<Vec<Problem>, verify::Error> {
        let quiet = Quiet::default();
        let tally = Tally::new(&quiet);
        for name in self.backups() {
            let backup = self.open(target, &name.to_string())?;
            verify::contents(target, &backup, &self.identities, &tally, &self.stop)?;
        }
        verify::chain(target, &[], &tally)?;
        Ok(quiet.problems().into_iter().filter(|problem| problem.severity == Severity::Problem).collect())
    }

    /// The names of all backups, sorted.
    pub(crate) fn backups(&self) -> Vec<BackupName> {
        catalog::backups(&self.target()).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    /// The names of the chunks that a backup needs.
    pub(crate) fn chunks_of(&self, name: &str) -> BTreeSet<String> {
        let mut documents = self.open(&self.target(), name).unwrap().documents(&self.identities).unwrap();
        let mut chunks = BTreeSet::new();
        while let Some(record) = documents.next().unwrap() {
            let items = match record {
                Record::Part { items, .. } => items,
                Record::Entry(found) => found.entry.items,
            };
            chunks.extend(items.iter().filter_map(|item| match item {
                brackup::blob::Item::Extent { chunk, .. } => Some(format!("{chunk}.chunk")),
                brackup::blob::Item::Hole { .. } => None,
            }));
        }
        chunks
    }

    /// The files in the folder whose names end so, sorted.
    pub(crate) fn files(&self, end: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
        files.sort();
        files
    }
}

/// Passes on, and keeps what was told.
struct Keeping<'a> {
    monitor: &'a dyn Monitor,
    kept: Quiet,
}

impl Monitor for Keeping<'_> {
    fn count(&self, counter: Counter, by: u64) {
        self.monitor.count(counter, by);
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        self.monitor.at(phase, path);
    }

    fn problem(&self, problem: Problem) {
        self.kept.problem(problem.clone());
        self.monitor.problem(problem);
    }
}

/// What a [`Watch`] sees.
pub(crate) enum Event<'a> {
    At(&'a str),
    Count(Counter),
}

/// A monitor that calls back: the place for a test to step in while a run goes on.
pub(crate) struct Watch<F>(pub(crate) F);

impl<F: Fn(Event<'_>) + Send + Sync> Monitor for Watch<F> {
    fn count(&self, counter: Counter, _: u64) {
        self.0(Event::Count(counter));
    }

    fn at(&self, _: Phase, path: &RelPath) {
        self.0(Event::At(&path.escaped()));
    }

    fn problem(&self, _: Problem) {}
}
