//! Opening what the command line and the configuration name: configuration, target, keys, backup, state.

use std::path::{Path, PathBuf};

use brackup::catalog::{self, LocalMetafile, OpenBackup, Trust, Verdict};
use brackup::config::{self, BoxOptions, Config, Surroundings, TargetOptions};
use brackup::date::Utc;
use brackup::db::Db;
use brackup::fsutil::{self, Lock};
use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::seal::{self, Identity, Keyring, SecretFile};
use brackup::target::{self, BackupName};
use nix::unistd::{AccessFlags, access};

use super::ask;
use super::provider::{self, Folders, NamedTarget};
use crate::cli::{Global, OpenArgs};
use crate::term::{self, Failure};

/// The configuration. Once it is told what it says that does nothing yet, and with `-v` all notes.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    let config = Config::find(global.config.as_deref()).and_then(|path| Config::open(&path))?;
    static TOLD: std::sync::Once = std::sync::Once::new();
    TOLD.call_once(|| {
        let notes = if global.verbose > 0 { &config.notes } else { &config.promises };
        notes.iter().filter(|_| !global.quiet).for_each(|note| term::warning(note));
    });
    Ok(config)
}

/// The configuration, if there is one; a broken one may say what is to stay.
pub(crate) fn config_if_any(global: &Global) -> Result<Option<Config>, Failure> {
    match Config::find(global.config.as_deref()) {
        Ok(_) => config(global).map(Some),
        Err(error) if error.kind() == config::ErrorKind::NotFound && global.config.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the configuration says of a target that is open, if it has a section.
pub(crate) fn section_of<'c>(target: &NamedTarget, config: Option<&'c Config>) -> Option<&'c TargetOptions> {
    config?.targets.iter().find(|section| section.name == target.name)
}

/// What holds for this box: from the configuration if there is one.
pub(crate) fn own(global: &Global) -> Result<BoxOptions, Failure> {
    match Config::find(global.config.as_deref()) {
        Ok(path) => Ok(Config::open(&path)?.own),
        Err(error) if error.kind() == config::ErrorKind::NotFound && global.config.is_none() => {
            Ok(BoxOptions::default_for(&Surroundings::of_process())?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The target that is meant: a name of the configuration, a URL, or the only one there is.
pub(crate) fn target(text: Option<&str>, global: &Global) -> Result<NamedTarget, Failure> {
    let options = match text {
        Some(text) => match config::target_from_url(text) {
            Some(options) => options?,
            None => config_with_target(Some(text), global)?.target(text)?.clone(),
        },
        None => {
            let config = config_with_target(None, global)?;
            match config.targets.as_slice() {
                [only] => config.target(&only.name)?.clone(),
                [] => {
                    return Err(Failure::usage("which target? the configuration has none")
                        .hint("name a folder as filesystem:/path, or add a [TARGET:x] to the configuration"));
                }
                several => {
                    let names: Vec<_> = several.iter().map(|target| &*target.name).collect();
                    let what = format!("which target? the configuration has several: {}", names.join(", "));
                    return Err(Failure::usage(what).hint("name one of them, or a folder as filesystem:/path"));
                }
            }
        }
    };
    // A broken configuration must not stand in the way of a target that needs none.
    let without = || Folders { spool_dir: spool(None), key_dir: PathBuf::new() };
    let folders = || own(global).map_or_else(|_| without(), |own| Folders::from(&own));
    provider::open(options, None, folders, &global.stop)
}

/// The configuration, because a target was named that only it can know, or none. Who has none has backups all the same.
fn config_with_target(text: Option<&str>, global: &Global) -> Result<Config, Failure> {
    match Config::find(global.config.as_deref()) {
        Err(error) if error.kind() == config::ErrorKind::NotFound => {
            let hint = match text {
                Some(path) if path.starts_with('/') => format!("a folder is given as filesystem:{path}"),
                Some(_) => "without a configuration a target is given as filesystem:/path".into(),
                None => "without a configuration say where the backups are: --from filesystem:/path, for list and verify without the --from".into(),
            };
            Err(Failure::from(error).hint(hint))
        }
        _ => config(global),
    }
}

/// The secret keys of `--key`, or of `$BRACKUP_KEY`, and the boxes that their files trust.
pub(crate) fn keys(files: &[PathBuf]) -> Result<Vec<SecretFile>, Failure> {
    let mut files = files.to_vec();
    if files.is_empty() {
        let variable = std::env::var_os("BRACKUP_KEY").unwrap_or_default();
        files = std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    if files.is_empty() {
        return Err(Failure::new(Outcome::WrongKey, "no secret key was given")
            .hint("give the secret key file with --key FILE or in $BRACKUP_KEY"));
    }
    let (mut opened, mut locked) = (Vec::new(), None);
    for file in &files {
        match SecretFile::open(file, || ask::passphrase(file)) {
            Ok(secret) => opened.push(secret),
            // Another one may fit.
            Err(error @ seal::Error::Passphrase(_)) if files.len() > 1 => {
                term::warning(&format!("{error}; going on without it"));
                locked = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match locked {
        Some(error) if opened.is_empty() => Err(error.into()),
        _ => Ok(opened),
    }
}

/// Everything that reading a backup needs.
pub(crate) struct Opened {
    pub(crate) target: NamedTarget,
    /// Where else what it lacks may be.
    pub(super) others: Vec<NamedTarget>,
    pub(crate) identities: Vec<Identity>,
    pub(super) trust: Vec<seal::BoxPublic>,
    pub(super) accept_unsigned: bool,
    /// Nothing: what this box is set up for can't be read, and is not needed.
    pub(crate) own: Option<BoxOptions>,
}

impl Opened {
    pub(crate) fn new(args: &OpenArgs, global: &Global) -> Result<Self, Failure> {
        let target = target(args.from.first().map(String::as_str), global)?;
        let others = args.from.iter().skip(1).map(|text| self::target(Some(text), global));
        let others = others.collect::<Result<_, _>>()?;
        let secrets = keys(&args.key)?;
        let trust = secrets.iter().flat_map(|secret| secret.boxes.iter().copied()).collect();
        let identities = secrets.into_iter().map(|secret| secret.identity).collect();
        let is_url = !args.from.is_empty() && args.from.iter().all(|text| config::target_from_url(text).is_some());
        let own = match own(global) {
            // On the bad day a broken configuration must not stand in the way of a restore that needs none.
            Err(failure) if is_url && global.config.is_none() => {
                term::warning(&format!(
                    "{}; going on without, and without the boxes that are known here",
                    failure.message
                ));
                None
            }
            own => Some(own?),
        };
        Ok(Self { target, others, identities, trust, accept_unsigned: args.accept_unsigned, own })
    }

    /// Where else an object may be.
    pub(crate) fn others(&self) -> Vec<&dyn target::Target> {
        self.others.iter().map(|other| &*other.target).collect()
    }

    /// Opens the backup that is meant, says who wrote it, and pins a box that is seen for the first time. What the first target lacks, or has
    /// not whole, is taken from the next. With a `/` in it the text is the path of a metafile here, in place of those at targets.
    pub(crate) fn backup(&self, text: &str, as_of: Option<Utc>) -> Result<OpenBackup, Failure> {
        if cfg!(feature = "original") && as_of.is_none() && text.contains('/') {
            let mut here = LocalMetafile::open(Path::new(text))?;
            return self.judged(&here.name.clone(), &mut |trust, spool| here.backup(trust, spool));
        }
        if as_of.is_none()
            && self.others.is_empty()
            && let Some(opened) = self.by_name(text)
        {
            return opened;
        }
        let (mut failed, mut found) = (None, Vec::new());
        for place in [&self.target].into_iter().chain(&self.others) {
            match catalog::find(&*place.target, text, as_of) {
                Ok((name, length)) => found.push((name, length, place)),
                Err(error) => failed = failed.or_else(|| self.passed_by(place, error.into())),
            }
        }
        // The newest that any has, of those that are meant.
        let newest = found.iter().map(|(name, ..)| name.clone()).max();
        for (name, length, place) in found.into_iter().filter(|(name, ..)| Some(name) == newest.as_ref()) {
            match self.named(place, &name, length) {
                Err(failure) if matches!(failure.outcome, Outcome::Failed | Outcome::NoSuchTarget) => {
                    failed = failed.or_else(|| self.passed_by(place, failure));
                }
                opened => return opened,
            }
        }
        Err(failed.unwrap_or_else(|| Failure::new(Outcome::Failed, "there is no target to read from")))
    }

    /// The one of this name, which need not be looked for; nothing if it is no name, or none that is there.
    fn by_name(&self, text: &str) -> Option<Result<OpenBackup, Failure>> {
        let name = BackupName::parse(text)?;
        let mut is_absent = false;
        let opened = self.judged(&name, &mut |trust, spool| {
            let opened = OpenBackup::by_name(&*self.target.target, &name, trust, spool);
            is_absent =
                matches!(&opened, Err(catalog::Error::Target(error)) if error.kind == target::ErrorKind::NotFound);
            opened
        });
        (!is_absent).then_some(opened)
    }

    /// Says why a place is of no use, if there are others; and why none was.
    fn passed_by(&self, place: &NamedTarget, failure: Failure) -> Option<Failure> {
        if !self.others.is_empty() {
            term::warning(&format!("{}: {}", place.name, failure.message));
        }
        Some(failure)
    }

    /// Opens one that was listed there.
    pub(crate) fn named(&self, place: &NamedTarget, name: &BackupName, length: u64) -> Result<OpenBackup, Failure> {
        self.judged(name, &mut |trust, spool| OpenBackup::open(&*place.target, name, length, trust, spool))
    }

    fn judged(
        &self,
        name: &BackupName,
        open: &mut dyn FnMut(&Trust, &Path) -> Result<OpenBackup, catalog::Error>,
    ) -> Result<OpenBackup, Failure> {
        let known = self.own.as_ref().map(|own| Keyring::at(&own.key_dir).known_boxes());
        let mut pinned = self.trust.clone();
        if let Some(known) = &known {
            pinned.extend(known.of(name.root())?);
        }
        let trust = Trust { pinned, accept_unsigned: self.accept_unsigned };
        let backup = open(&trust, &spool(self.own.as_ref()))?;
        match &backup.verdict {
            Verdict::Trusted(_) => {}
            Verdict::FirstSeen(footer) => {
                term::say(format_args!("brackup: {name} is signed by {}, seen here for the first time", footer.signer));
                if let Some(Err(error)) = known.map(|known| known.pin(name.root(), &footer.signer)) {
                    term::warning(&format!("it can't be remembered: {}", one_line(&error)));
                }
            }
            Verdict::Accepted(why) => term::warning(&format!("{name} is used all the same: {why}")),
        }
        Ok(backup)
    }
}

/// Where temporary files lie: where `$TMPDIR` says, or in the spool of this box if there is one (/var/tmp may be in memory on an
/// appliance), or on a disk if there is a choice.
pub(crate) fn spool(own: Option<&BoxOptions>) -> PathBuf {
    if std::env::var_os("TMPDIR").is_some() { std::env::temp_dir() } else { spool_of(own) }
}

fn spool_of(own: Option<&BoxOptions>) -> PathBuf {
    let is_usable = |folder: &PathBuf| access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    let spool_dir = own.map(|own| own.spool_dir.clone()).filter(is_usable);
    let var_tmp = || Some(PathBuf::from("/var/tmp")).filter(|folder| folder.is_dir());
    spool_dir.or_else(var_tmp).unwrap_or_else(std::env::temp_dir)
}

/// The state of this box, locked: nobody else uses it while this is held.
pub(crate) struct State {
    pub(crate) directory: PathBuf,
    /// Whether there was a database when it was locked.
    pub(crate) was_used: bool,
    _lock: Lock,
}

impl State {
    pub(crate) fn lock(own: &BoxOptions) -> Result<Self, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::new(Outcome::Failed, format!("can't use {}: {error}", path.display()))
                .hint("see [BOX] state_dir and spool_dir in the configuration")
        };
        for directory in [&own.state_dir, &own.spool_dir] {
            fsutil::create_private_directory(directory).map_err(|error| failed(directory, error))?;
        }
        let path = own.state_dir.join("lock");
        let lock = Lock::take(&path).map_err(|error| failed(&path, error))?;
        let lock = lock.ok_or_else(|| {
            Failure::new(Outcome::Locked, format!("another run of brackup uses {}", own.state_dir.display()))
                .hint("wait until it has ended")
        })?;
        let directory = own.state_dir.clone();
        Ok(Self { was_used: has_database(own), directory, _lock: lock })
    }

    /// The database, for one run.
    pub(crate) fn database(&self) -> Result<Db, Failure> {
        let db = Db::open(&self.directory)?;
        if let Some(warning) = db.warning() {
            term::warning(warning);
        }
        Ok(db)
    }
}

/// Whether this box remembers anything.
pub(crate) fn has_database(own: &BoxOptions) -> bool {
    finds_database(own).unwrap_or(false)
}

/// The same, where it makes a difference that it can't be known.
pub(crate) fn finds_database(own: &BoxOptions) -> std::io::Result<bool> {
    own.state_dir.join("brackup.db").try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_lie_in_the_spool_of_this_box_once_it_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = Some(folder.path().into());
        let around = Surroundings { home, uid: 1000, env: |_| None, etc: "/etc".into() };
        let own = BoxOptions::default_for(&around).unwrap();
        assert!(!spool_of(Some(&own)).starts_with(folder.path()));
        std::fs::create_dir_all(&own.spool_dir).unwrap();
        assert_eq!(spool_of(Some(&own)), own.spool_dir);
        assert!(!spool_of(None).starts_with(folder.path()));
    }
}
