//! `brackup restore-test`: some files of the newest backups are restored, and compared with those on the disk.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use brackup::catalog::{self, OpenBackup};
use brackup::config::BoxOptions;
use brackup::fsutil;
use brackup::monitor::{Counter, Tally};
use brackup::outcome::Outcome;
use brackup::restore::{self, Conflict, Drawn, Options, Since};

use brackup::seal::SecretFile;
use brackup::target::{BackupName, Target};

use super::open::{self, Opened};
use super::provider::NamedTarget;
use super::values::{self, Number};
use crate::cli::{Global, RestoreTestArgs};
use crate::progress::Progress;
use crate::term::{self, Failure};

const FILES: u64 = 20;
/// Their paths are in memory.
const FILES_MAX: u64 = 1_000;

/// Of each [`Since`], and what did not fit into the spool.
#[derive(Default)]
struct Sums {
    backups: u64,
    same: u64,
    differs: u64,
    changed: u64,
    gone: u64,
    left_out: u64,
}

struct Testing<'a> {
    opened: &'a Opened,
    /// Nothing: nobody watches.
    progress: Option<&'a Progress>,
    tally: &'a Tally<'a>,
    stop: &'a AtomicBool,
    files: u64,
    sums: Sums,
    /// Backups that could be opened; and the first that no key fits.
    opens: u64,
    shut: Option<Failure>,
}

/// Tests whether what is stored can be restored.
pub(crate) fn run(args: &RestoreTestArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let files = values::read::<Number>("--files", args.files.as_deref())?.map_or(FILES, |files| files.0);
    if !(1..=FILES_MAX).contains(&files) {
        return Err(Failure::usage(format!("--files is {files}, expected a number from 1 to {FILES_MAX}")));
    }
    if args.open.from.len() > 1 {
        return Err(Failure::usage("--from names several targets")
            .hint("a test is of one: what is told of it would be another's"));
    }
    let opened = Opened::new(&args.open, global)?;
    let target = &*opened.target.target;
    let newest = newest(target, |root| args.source.as_deref().is_none_or(|source| source == root))?;
    if newest.is_empty() {
        let of = args.source.as_ref().map_or(String::new(), |source| format!(" of {source}"));
        return Err(Failure::new(Outcome::Failed, format!("there is no backup{of} at {}", target.describe())));
    }
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let tested = Testing::of(&opened, Some(&progress), &tally, stop, files).all(&newest);
    progress.finish();
    let sums = tested?;
    result(&sums, &tally, global, stop, began)?;
    let interrupted = stop.load(Ordering::Relaxed);
    Ok(if interrupted { Outcome::Interrupted } else { Outcome::of_problems(tally.sums().problems) })
}

/// For a job: files of the newest backups of these sources, with the secret key of a file that nobody can be asked the passphrase of.
pub(crate) fn of_sources(
    sources: &[String],
    target: NamedTarget,
    key: &Path,
    own: &BoxOptions,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<String, Failure> {
    let secret = SecretFile::open(key, || None)?;
    let opened = Opened {
        target,
        others: Vec::new(),
        trust: secret.boxes.clone(),
        identities: vec![secret.identity],
        accept_unsigned: false,
        own: Some(own.clone()),
    };
    let newest = newest(&*opened.target.target, |root| sources.iter().any(|source| source == root))?;
    for source in sources.iter().filter(|source| !newest.iter().any(|name| name.root() == source.as_str())) {
        tally.problem(source.as_str(), "there is no backup of it, so no file was restored");
    }
    let sums = Testing::of(&opened, None, tally, stop, FILES).all(&newest)?;
    let counts = tally.sums();
    Ok(amounts(&sums, counts.of(Counter::Files), counts.of(Counter::FileBytes)))
}

/// The newest backup of each source.
fn newest(target: &dyn Target, is_meant: impl Fn(&str) -> bool) -> Result<Vec<BackupName>, Failure> {
    let mut newest: Vec<BackupName> = Vec::new();
    for (name, _) in catalog::backups(target)? {
        if !is_meant(name.root()) {
            continue;
        }
        if newest.last().is_some_and(|before| before.root() == name.root()) {
            newest.pop();
        }
        newest.push(name);
    }
    Ok(newest)
}

impl<'a> Testing<'a> {
    fn of(
        opened: &'a Opened,
        progress: Option<&'a Progress>,
        tally: &'a Tally<'a>,
        stop: &'a AtomicBool,
        files: u64,
    ) -> Self {
        Self { opened, progress, tally, stop, files, sums: Sums::default(), opens: 0, shut: None }
    }

    fn all(mut self, newest: &[BackupName]) -> Result<Sums, Failure> {
        newest.iter().try_for_each(|name| self.one(&name.to_string()))?;
        self.shut.filter(|_| self.opens == 0).map_or(Ok(self.sums), Err)
    }

    /// What is wrong with one backup does not hide the others, nor that it is another box's; a key that opens none is the person's error.
    fn one(&mut self, name: &str) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.sums.backups += 1;
        match self.opened.backup(name, None).and_then(|backup| self.test(&backup)) {
            Err(_) if self.stop.load(Ordering::Relaxed) => Ok(()),
            Err(failure) if matches!(failure.outcome, Outcome::Failed | Outcome::WrongKey) => {
                self.tally.problem(name, failure.message.clone());
                if failure.outcome == Outcome::WrongKey {
                    self.shut.get_or_insert(failure);
                }
                Ok(())
            }
            tested => tested,
        }
    }

    fn test(&mut self, backup: &OpenBackup) -> Result<(), Failure> {
        let identities = &self.opened.identities;
        let mut drawn = restore::draw(backup, identities, self.files as usize, self.stop)?;
        self.opens += 1;
        let folder = Folder::make(&open::spool(self.opened.own.as_ref()))?;
        let left_out = self.sums.left_out;
        self.leave_out(&mut drawn, &folder, &backup.name.to_string())?;
        if drawn.is_empty() {
            if self.sums.left_out > left_out {
                self.tally.problem(
                    backup.name.to_string(),
                    "nothing of it was tested: no file that was drawn fits into the spool",
                );
            }
            return Ok(());
        }
        let selection = restore::selection(&drawn);
        let (conflict, destination) = (Conflict::Abort, folder.0.as_path());
        let options = Options { destination, selection, conflict, numeric_ids: true, dry_run: false, others: &[] };
        let target = &*self.opened.target.target;
        let restored = || restore::run(&options, backup, target, identities, self.tally, self.stop);
        match self.progress {
            Some(progress) => progress.with_totals(backup, identities, &options.selection, restored),
            None => restored(),
        }?;
        let documents = backup.documents(identities)?;
        let header = documents.header();
        let host = nix::unistd::gethostname().unwrap_or_default();
        let is_here = host.as_bytes() == header.host;
        if !is_here {
            let what = "was backed up on another machine: what is on this one's disk is not compared";
            self.tally.notice(backup.name.to_string(), what);
        }
        let root = Path::new(std::ffi::OsStr::from_bytes(&header.path));
        for drawn in &drawn {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.compare(drawn, &folder, is_here.then_some(root));
        }
        Ok(())
    }

    /// What would not fit is not restored.
    fn leave_out(&mut self, drawn: &mut Vec<Drawn>, folder: &Folder, name: &str) -> Result<(), Failure> {
        let space = nix::sys::statvfs::statvfs(&folder.0).map_err(|errno| folder.failed(&errno.into()))?;
        let mut room = (space.blocks_available() as u64).saturating_mul(space.fragment_size() as u64) / 2;
        let before = drawn.len();
        drawn.retain(|drawn| match room.checked_sub(drawn.size) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        });
        let left_out = (before - drawn.len()) as u64;
        if left_out > 0 {
            let files = term::plural(left_out, "file", "files");
            self.tally.notice(name, format!("{files} left out: too large for half of the room in the spool"));
        }
        self.sums.left_out += left_out;
        Ok(())
    }

    fn compare(&mut self, drawn: &Drawn, folder: &Folder, root: Option<&Path>) {
        let Some(root) = root else {
            self.sums.gone += 1;
            return;
        };
        let path = std::ffi::OsStr::from_bytes(drawn.path.as_bytes());
        // What could not be restored was told.
        let Ok(mut restored) = File::open(folder.0.join(path)) else { return };
        match drawn.compare(&mut restored, &root.join(path), self.stop) {
            // Not compared to its end.
            Ok(_) if self.stop.load(Ordering::Relaxed) => {}
            Ok(Since::Same) => self.sums.same += 1,
            Ok(Since::Changed) => self.sums.changed += 1,
            Ok(Since::Gone) => self.sums.gone += 1,
            Ok(Since::Differs) => {
                self.sums.differs += 1;
                let what = "is restored as it was backed up, but the file on the disk has other contents with the same size and time: it was changed and its time set back, or the disk has not kept it";
                self.tally.problem(drawn.path.escaped(), what);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.tally.notice(drawn.path.escaped(), format!("can't be compared with the disk: {error}"));
            }
            Err(error) => {
                self.tally.problem(drawn.path.escaped(), format!("can't be compared with the disk: {error}"));
            }
        }
    }
}

/// A folder of its own in the spool, which goes with all that is in it.
struct Folder(PathBuf);

impl Folder {
    fn make(spool: &Path) -> Result<Self, Failure> {
        Self::sweep(spool);
        let made = fsutil::temporary_directory(spool, "restore-test").map(Self);
        made.map_err(|error| Self(spool.into()).failed(&error))
    }

    /// Folders of tests that were killed hold files in clear. What can't be removed now is tried again by the next.
    fn sweep(spool: &Path) {
        for folder in fsutil::left_behind(spool, "restore-test").into_iter().filter(|folder| folder.is_dir()) {
            drop(Self(folder));
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(Outcome::Failed, format!("can't use {}: {error}", self.0.display()))
            .hint("set TMPDIR to a folder with some space")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0).or_else(|_| {
            // Folders that were not even their owner's to change.
            open_up(&self.0);
            fs::remove_dir_all(&self.0)
        });
        if let Err(error) = removed {
            term::warning(&format!("{} holds restored files and can't be removed: {error}", self.0.display()));
        }
    }
}

fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

fn result(sums: &Sums, tally: &Tally<'_>, global: &Global, stop: &AtomicBool, began: Instant) -> Result<(), Failure> {
    let counts = tally.sums();
    let interrupted = stop.load(Ordering::Relaxed);
    let (files, bytes) = (counts.of(Counter::Files), counts.of(Counter::FileBytes));
    let seconds = began.elapsed().as_secs_f64();
    if global.json {
        let value = serde_json::json!({
            "command": "restore-test",
            "interrupted": interrupted,
            "backups": sums.backups,
            "files": files,
            "bytes": bytes,
            "same": sums.same,
            "differ": sums.differs,
            "changed": sums.changed,
            "gone": sums.gone,
            "left_out": sums.left_out,
            "problems": counts.problems,
            "notices": counts.notices,
            "seconds": seconds,
        });
        writeln!(io::stdout(), "{value}")?;
    } else if !global.quiet {
        let begin = if interrupted { "interrupted; so far restored" } else { "restored" };
        let verdict = match counts.problems {
            0 => "no problem".to_owned(),
            problems => term::plural(problems, "problem", "problems"),
        };
        writeln!(io::stdout(), "{begin} {}: {verdict}; {seconds:.1} s", amounts(sums, files, bytes),)?;
    }
    Ok(())
}

fn amounts(sums: &Sums, files: u64, bytes: u64) -> String {
    format!(
        "{}, {} of {}; of these on the disk {} the same, {} changed since, {} not there",
        term::plural(files, "file", "files"),
        term::bytes(bytes),
        term::plural(sums.backups, "backup", "backups"),
        sums.same,
        sums.changed,
        sums.gone,
    )
}
