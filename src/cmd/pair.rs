//! One source and one target of the configuration: what both the command line and a job back up.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brackup::alert::Stats;
use brackup::backup::{self, Options, Padding, Report};
use brackup::config::{self, BoxOptions, Cipher, Compress, SourceOptions};
use brackup::db::{ChainHead, Db};
use brackup::entry::Kind;
use brackup::fsutil::identity;
use brackup::monitor::{Counter, Monitor, Quiet, Tally};
use brackup::outcome::Outcome;
use brackup::seal::{BoxKey, Keyring, Recipient, Suite};
use brackup::source::Walk;
use brackup::target::{DryRun, Target};
use brackup::thread;

use super::known_targets::KnownTargets;
use super::open::{self, State};
use super::provider::NamedTarget;
use crate::term::{self, Failure};

/// A source and a target that can be backed up: whom it is sealed to is known.
pub(crate) struct Pair<'a> {
    source: &'a SourceOptions,
    target: &'a NamedTarget,
    own: &'a BoxOptions,
    known: KnownTargets,
    pub(crate) recipients: Vec<Recipient>,
    /// Folders of other targets.
    pub(crate) other_folders: Vec<PathBuf>,
    /// A backup that another target may have, and that this one is not to be made beside.
    pub(crate) above: Option<ChainHead>,
}

/// Who is told of a run as it goes on.
#[derive(Clone, Copy)]
pub(crate) struct Watcher<'a> {
    pub(crate) monitor: &'a dyn Monitor,
    /// Whether to find out beforehand how much there is.
    pub(crate) wants_totals: bool,
}

/// What came of it.
pub(crate) struct Done {
    pub(crate) report: Report,
    pub(crate) elapsed: Duration,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        source: &'a SourceOptions,
        target: &'a NamedTarget,
        own: &'a BoxOptions,
    ) -> Result<Self, Failure> {
        if target.folder.as_ref().is_some_and(|folder| is_same(&source.path, folder)) {
            return Err(Failure::usage(format!("the source {} is the target itself", source.path.display())).hint(
                "a target in a folder below the source is left out of the backup; the source as a whole can't be",
            ));
        }
        let keyring = Keyring::at(&own.key_dir);
        let recipients = source.recipients.iter().map(|text| keyring.resolve(text)).collect::<Result<Vec<_>, _>>()?;
        let known = KnownTargets::of(&own.key_dir);
        Ok(Self { source, target, own, known, recipients, other_folders: Vec::new(), above: None })
    }

    /// Backs it up. `known_under` is one of several targets that are backed up to together, by its id, if that is not this one.
    pub(crate) fn back_up(
        &self,
        state: &State,
        known_under: Option<&str>,
        dry_run: bool,
        watcher: Watcher<'_>,
        stop: &AtomicBool,
    ) -> Result<Done, Failure> {
        let (source, target, own) = (self.source, self.target, self.own);
        let db = state.database()?;
        let is_lost = state.was_used && !own.key_dir.join("box.key").exists();
        let box_key = Keyring::at(&own.key_dir).box_key()?;
        if is_lost {
            term::warning(&format!(
                "the box's own key in {} is gone; a new one signs from now on, and everything is stored anew; a restore that knows the old one refuses until the secret key file has the line `box: {}`",
                own.key_dir.display(),
                box_key.public()
            ));
        }
        let elsewhere = self.known_elsewhere(&db, &box_key)?;
        let known_under = known_under.or(elsewhere.as_deref());
        let ignores = |path: &[u8], is_directory: bool| source.ignore.ignores(path, is_directory);
        let own_folders = [own.state_dir.clone(), own.spool_dir.clone()];
        let excluded: Vec<_> =
            own_folders.into_iter().chain(target.folder.clone()).chain(self.other_folders.iter().cloned()).collect();
        let remembered_as = target.remembered_as();
        let known_id = self.known_id()?;
        let host = nix::unistd::gethostname().unwrap_or_default();
        let options = Options {
            root: &source.name,
            path: &source.path,
            target_name: &remembered_as,
            target_id: known_id.as_deref(),
            known_under,
            above: self.above.as_ref(),
            recipients: &self.recipients,
            chunk_bytes: source.chunk_size,
            piece_bytes: own.piece_size as usize,
            buffers: own.buffers as usize,
            connections: own.connections as usize,
            suite: suite(own.cipher),
            padding: padding(source.padding),
            compression: compression(source.compress),
            smart_mp3: source.smart_mp3,
            ignores: &ignores,
            excluded: &excluded,
            one_filesystem: source.one_filesystem,
            spool_dir: &own.spool_dir,
            host: host.as_bytes(),
            dry_run,
        };
        let began = Instant::now();
        let dry = DryRun::over(&*target.target);
        let to: &dyn Target = if dry_run { &dry } else { &*target.target };
        let tally = Tally::new(watcher.monitor);
        let counting = AtomicBool::new(false);
        let report = std::thread::scope(|scope| {
            if watcher.wants_totals && source.path.is_dir() {
                // Without them the time left is not known.
                let _ =
                    thread::named("totals").spawn_scoped(scope, || count_ahead(&options, watcher.monitor, &counting));
            }
            let report = backup::run(&options, to, &db, &box_key, &tally, stop);
            counting.store(true, Ordering::Relaxed);
            report
        })?;
        if let Some(id) = db.target_identity(&remembered_as)? {
            self.known.note(&remembered_as, &id);
        }
        Ok(Done { report, elapsed: began.elapsed() })
    }

    /// At a target that has got its backups as copies the source is known under the one that they were made at.
    fn known_elsewhere(&self, db: &Db, box_key: &BoxKey) -> Result<Option<String>, Failure> {
        let Some(identity) = db.target_identity(&self.target.remembered_as())? else { return Ok(None) };
        let root = &self.source.name;
        let head = db.chain_head(&identity, root, &box_key.public().to_string())?;
        let is_known_here = db.known_under(root)?.contains(&identity);
        match head.filter(|_| !is_known_here) {
            Some(head) => Ok(db.known_with(root, &head)?),
            None => Ok(None),
        }
    }

    /// To be asked before anything is made for a run: with nothing remembered, a target that is known must be there. Else the disk that
    /// holds both is not, and all would go to the folder that it was mounted at.
    pub(crate) fn look(&self) -> Result<(), Failure> {
        if !open::has_database(self.own)
            && let Some(id) = self.known_id()?
        {
            self.target.target.identify(Some(&id))?;
        }
        Ok(())
    }

    fn known_id(&self) -> Result<Option<String>, Failure> {
        self.known.expected(&self.target.remembered_as())
    }
}

impl Done {
    pub(crate) fn outcome(&self) -> Outcome {
        if self.report.interrupted { Outcome::Interrupted } else { Outcome::of_problems(self.report.counts.problems) }
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { counts: self.report.counts, seconds: self.elapsed.as_secs_f64() }
    }

    /// `3 files (1 unchanged), 7.0 MiB; read 17 B, stored 1.5 KiB in 1 chunk; 0.1 s`.
    pub(crate) fn amounts(&self) -> String {
        let of = |counter| self.report.counts.of(counter);
        format!(
            "{} ({} unchanged), {}; read {}, stored {} in {}; {:.1} s",
            term::plural(of(Counter::Files), "file", "files"),
            of(Counter::UnchangedFiles),
            term::bytes(of(Counter::FileBytes)),
            term::bytes(of(Counter::ReadBytes)),
            term::bytes(of(Counter::StoredBytes)),
            term::plural(of(Counter::Chunks), "chunk", "chunks"),
            self.elapsed.as_secs_f64()
        )
    }
}

/// Finds out how much there is, so that the time left can be told. A walk of its own, just ahead of the other, which finds what it read in memory.
fn count_ahead(options: &Options<'_>, monitor: &dyn Monitor, stop: &AtomicBool) {
    let (quiet, excluded) = (Quiet::default(), options.excluded_directories());
    let tally = Tally::new(&quiet);
    let Ok(mut walk) = Walk::open(options.path, options.walk(&excluded)) else { return };
    while let Ok(Some(met)) = walk.next(&tally) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if met.stat.kind == Kind::File {
            monitor.count(Counter::ExpectedFiles, 1);
            monitor.count(Counter::ExpectedBytes, met.stat.size);
        }
    }
}

pub(super) fn suite(cipher: Cipher) -> Suite {
    match cipher {
        Cipher::Auto => Suite::for_this_cpu(),
        Cipher::Aes => Suite::Aes256Gcm,
        Cipher::ChaCha => Suite::ChaCha20Poly1305,
    }
}

fn padding(padding: config::Padding) -> Padding {
    match padding {
        config::Padding::Padme => Padding::Padme,
        config::Padding::Chunk => Padding::Chunk,
        config::Padding::None => Padding::None,
    }
}

pub(super) fn compression(compress: Compress) -> Option<i32> {
    match compress {
        Compress::None => None,
        Compress::Zstd { level } => Some(level),
    }
}

/// Whether two paths lead to the same directory.
fn is_same(one: &Path, other: &Path) -> bool {
    identity(one).is_some_and(|identity_of_one| identity(other) == Some(identity_of_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brackup::monitor::{Phase, Problem};
    use brackup::relpath::RelPath;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Expected(Mutex<u64>);

    impl Monitor for Expected {
        fn count(&self, counter: Counter, by: u64) {
            if counter == Counter::ExpectedBytes {
                *self.0.lock().unwrap() += by;
            }
        }

        fn at(&self, _: Phase, _: &RelPath) {}

        fn problem(&self, _: Problem) {}
    }

    #[test]
    fn what_the_run_leaves_out_is_not_expected() {
        let tree = tempfile::tempdir().unwrap();
        let target = tree.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("chunk"), [1; 1000]).unwrap();
        std::fs::write(tree.path().join("file"), [1; 10]).unwrap();
        let options = Options {
            root: "tree",
            path: tree.path(),
            target_name: "disk",
            target_id: None,
            known_under: None,
            above: None,
            recipients: &[],
            chunk_bytes: 1 << 20,
            piece_bytes: 1 << 16,
            buffers: 3,
            connections: 1,
            suite: Suite::ChaCha20Poly1305,
            padding: Padding::None,
            compression: None,
            smart_mp3: false,
            ignores: &|_, _| false,
            excluded: &[target],
            one_filesystem: false,
            spool_dir: tree.path(),
            host: b"box",
            dry_run: true,
        };
        let expected = Expected::default();
        count_ahead(&options, &expected, &AtomicBool::new(false));
        assert_eq!(expected.0.into_inner().unwrap(), 10);
    }
}
