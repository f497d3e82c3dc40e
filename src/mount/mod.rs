//! Backups as a file system to look into, read-only: `SOURCE/BACKUP/…`, and `SOURCE/latest`, a link to the newest.
//!
//! The kernel's questions come on a thread of their own (`front`) and are answered one after the other on the one that called [`run`]
//! (`tree`). When a backup is entered its metafile is read once, to an index in a file without a name (`index`): what stays in memory
//! is sixteen bytes an entry. Contents are fetched when they are read, by segments. What can't be read is an error of that file or that
//! range (EIO), and told; nothing else stops for it.

mod attributes;
mod error;
mod folders;
mod front;
mod index;
mod tree;

pub use error::Error;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use fuser::{Config, MountOption, Session};

use crate::catalog::OpenBackup;
use crate::monitor::Tally;
use crate::seal::Identity;
use crate::target::{BackupName, Target};
use crate::thread;

use front::Front;
use tree::Tree;

/// How often it is looked whether it is to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is mounted, and where.
pub struct Options<'a> {
    /// The directory.
    pub at: &'a Path,
    /// The backups, sorted.
    pub backups: Vec<BackupName>,
    /// Opens one of them; if it can't, it says why.
    pub open: &'a dyn Fn(&BackupName) -> Option<OpenBackup>,
    /// Where indexes lie.
    pub spool: &'a Path,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options({} backups at {})", self.backups.len(), self.at.display())
    }
}

/// Mounts, says so by `mounted`, and answers until it is stopped or unmounted.
pub fn run(
    options: Options<'_>,
    target: &dyn Target,
    identities: &[Identity],
    tally: &Tally<'_>,
    stop: &AtomicBool,
    mounted: impl FnOnce(),
) -> Result<(), Error> {
    let failed = |error| Error::Mount(options.at.into(), error);
    let at = options.at.canonicalize().map_err(failed)?;
    if !at.is_dir() {
        return Err(failed(std::io::ErrorKind::NotADirectory.into()));
    }
    // The target, or the spool, may lie below it: who answers would wait for himself.
    if std::fs::read_dir(&at).map_err(failed)?.next().is_some() {
        return Err(failed(std::io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let (sender, requests) = mpsc::channel();
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("brackup".into())];
    let session = Session::new(Front(sender), &at, &config).and_then(Session::spawn).map_err(failed)?;
    mounted();
    let mut tree = Tree::new(&options, target, identities, tally, stop);
    while !stop.load(Ordering::Relaxed) {
        match requests.recv_timeout(PATIENCE) {
            Ok(request) => tree.answer(request),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Unmounted from outside: what is mounted there by now is not ours to unmount.
                std::mem::forget(session);
                return Ok(());
            }
        }
    }
    // Whoever asks from now on is answered with an error at once.
    drop(requests);
    let (tell, told) = mpsc::channel();
    let ending = move || drop(tell.send(session.umount_and_join()));
    thread::named("unmount").spawn(ending).map_err(failed)?;
    // A user's own is detached by a program of the system although somebody is in it, and the join waits until he has left: whoever
    // asked for the end has it now, and the kernel forgets the rest with this process.
    if let Ok(Err(_)) = told.recv_timeout(Duration::from_secs(1)) {
        // Somebody is in it: out of sight now, and gone when he leaves.
        nix::mount::umount2(&at, nix::mount::MntFlags::MNT_DETACH)
            .map_err(|errno| Error::Unmount(options.at.into(), errno.into()))?;
    }
    Ok(())
}
