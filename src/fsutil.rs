//! Durable small files, locks, spool files: the few things that several modules do to the local file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{Flock, FlockArg, OFlag, PosixFadviseAdvice, posix_fadvise};

/// Writes a file that must not exist yet, 0600, and makes it durable: the file and its name. It is there whole or not at all,
/// after a full disk or a power cut too.
pub fn create_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    write_whole(path, contents, |_| (), rename_new)
}

/// Writes a file, 0600, in place of the one that is there or of none, and makes it durable. Whoever reads it meets the one or the other, whole.
pub fn replace_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    write_whole(path, contents, |_| (), |from, to| fs::rename(from, to))
}

/// The same of a file that several runs share: [`make_shared`].
pub fn replace_shared(path: &Path, contents: &[u8]) -> io::Result<()> {
    write_whole(path, contents, |file| give(file, path), |from, to| fs::rename(from, to))
}

fn write_whole(
    path: &Path,
    contents: &[u8],
    made: impl FnOnce(&File),
    rename: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let (mut file, temporary) = named_temporary(directory, "stage")?;
    made(&file);
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| rename(&temporary, path));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed?;
    sync_directory(directory)
}

/// Gives a file a name that must not be taken, in place of its own. Of several that want one name at once, one gets it.
///
/// Not by renameat2: that is of Linux 3.15, and many file systems learned it later or never.
pub fn rename_new(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Ok(()) => fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No links on vfat, exfat, some shares.
        Err(_) => claim(file, name),
    }
}

/// Takes the name with an empty file, which nobody can take twice, and replaces that. A power cut just between leaves the empty file:
/// whatever reads it says so, and nothing of anybody's was replaced.
fn claim(file: &Path, name: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(name)?;
    fs::rename(file, name).inspect_err(|_| {
        let _ = fs::remove_file(name);
    })
}

/// Makes a directory and what is above it, 0700, if it is not there.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let are_roots = nix::unistd::geteuid().is_root();
    for made in missing.into_iter().rev().filter(|made| are_roots && made.file_name().is_some()) {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
        if let Ok(directory) = OpenOptions::new().read(true).custom_flags(flags).open(made) {
            give(&directory, made);
        }
    }
    Ok(())
}

/// Opens a file that several runs share, and makes it, 0600, if it is not there.
pub fn open_shared(path: &Path, options: &OpenOptions) -> io::Result<File> {
    make_shared(path)?;
    options.open(path)
}

/// Makes such a file, if it is not there. One that is there is not opened: to close it again would end SQLite's locks on it.
pub fn make_shared(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(|file| give(&file, path)),
    }
}

/// What root has made in a folder of somebody else is theirs, as what they make there: a run by hand must not lock out the service. Where it
/// can't be given away it stays as it is.
fn give(made: &File, path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if nix::unistd::geteuid().is_root()
        && let Ok(folder) = folder.canonicalize()
        && let Ok(owner) = fs::metadata(&folder)
        && owner.uid() != 0
        && folder.ancestors().skip(1).all(is_roots)
    {
        let _ = fchown(made, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Whether nobody else can change the names in it: what lies below is found again where it was.
fn is_roots(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0 && folder.mode() & 0o022 == 0)
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Reads a file of at most `most` bytes.
pub fn read_small(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // It does not grow while it is read: that would leave copies of what may be a secret.
    let length = file.metadata()?.len().min(most);
    let mut contents = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 32);
    file.take(most + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(contents)
}

/// A lock that ends with the process at the latest.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock, or nothing if another process has it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = open_shared(path, OpenOptions::new().write(true))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Some(Self { _file: file })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}

/// A file without a name in `directory`: it is gone with the process, however that ends.
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    // O_TMPFILE needs Linux 3.11 and the file system's support; a name that is unlinked at once does everywhere.
    let (file, path) = named_temporary(directory, "spool")?;
    fs::remove_file(path)?;
    Ok(file)
}

/// A new file with a name that nothing else has, `.<what>-<pid>-<n>.partial`.
pub fn named_temporary(directory: &Path, what: &str) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".{what}-{}-{number}.partial", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => return Ok((file, path)),
        }
    }
}

/// What [`named_temporary`] and [`temporary_directory`] made in a folder for this, of processes that are gone: they were killed.
pub fn left_behind(directory: &Path, what: &str) -> Vec<PathBuf> {
    use nix::sys::signal::kill;
    use nix::unistd::{Pid, geteuid};
    let is_dead = |process| kill(Pid::from_raw(process), None) == Err(nix::errno::Errno::ESRCH);
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_prefix(what)?.strip_prefix('-'));
        let process = of.and_then(|of| of.strip_suffix(".partial")?.split_once('-')?.0.parse().ok());
        let is_ours = || entry.metadata().is_ok_and(|stat| stat.uid() == geteuid().as_raw());
        process.is_some_and(|process| process > 0 && is_ours() && is_dead(process))
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(is_left).map(|entry| entry.path()).collect()
}

/// A new directory with a name that nothing else has, 0700.
pub fn temporary_directory(directory: &Path, what: &str) -> io::Result<PathBuf> {
    for number in 0..u32::MAX {
        let path = directory.join(format!(".{what}-{}-{number}.partial", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Room on a file system.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes that whoever is not root may still write.
    pub free: u64,
    /// Bytes in all; 0 where the file system does not say it.
    pub all: u64,
}

impl Space {
    /// Of the file system that this is on.
    pub fn at(path: &Path) -> io::Result<Self> {
        let found = nix::sys::statvfs::statvfs(path)?;
        // All are of the size of a word of the machine.
        #[allow(clippy::useless_conversion, reason = "32 bits on some machines")]
        let of = |blocks| u64::from(blocks).saturating_mul(u64::from(found.fragment_size()));
        Ok(Self { free: of(found.blocks_available()), all: of(found.blocks()) })
    }
}

/// Device and inode of what a path leads to, if anything is there: two paths to one thing have the same.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|there| (there.dev(), there.ino()))
}

/// Lets go of the page cache of what a file has passed through: a backup must not push out what the box's
/// other programs use, and completes under a memory limit that counts those pages. Dirty pages are sent on their way.
///
/// Advice: that it is not taken is no error.
pub fn drop_cache(file: &File, offset: u64, length: u64) {
    if let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) {
        let _ = posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

/// Tells the kernel that a file will be read from its beginning to its end.
pub fn will_read_in_order(file: &File) {
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// Eight threads want one name, a hundred times over.
    fn race(rename: fn(&Path, &Path) -> io::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(8);
        let won: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let runners = [0, 1, 2, 3, 4, 5, 6, 7].map(|runner| {
                let (folder, barrier) = (folder.path(), &barrier);
                let racing = move || {
                    let mut won = Vec::new();
                    for round in 0..100 {
                        let own = folder.join(format!("{round}-{runner}.partial"));
                        fs::write(&own, runner.to_string()).unwrap();
                        barrier.wait();
                        match rename(&own, &folder.join(round.to_string())) {
                            Ok(()) => won.push(round),
                            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists),
                        }
                        assert_eq!(own.exists(), won.last() != Some(&round));
                    }
                    won
                };
                crate::thread::named("race").spawn_scoped(scope, racing).unwrap()
            });
            runners.map(|runner| runner.join().unwrap()).into()
        });
        for round in 0..100 {
            let winners: Vec<_> = (0..8).filter(|runner| won[*runner].contains(&round)).collect();
            let there = fs::read_to_string(folder.path().join(round.to_string())).unwrap();
            assert_eq!(winners.iter().map(ToString::to_string).collect::<Vec<_>>(), [there], "round {round}");
        }
    }

    #[test]
    fn one_of_many_gets_a_new_name() {
        race(rename_new);
    }

    #[test]
    fn one_of_many_gets_a_new_name_without_links() {
        race(claim);
    }

    #[test]
    fn a_claim_that_comes_to_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        assert!(claim(&folder.path().join("absent"), &name).is_err());
        assert!(!name.exists());
    }
}
