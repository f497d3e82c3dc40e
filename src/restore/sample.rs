//! Files of a backup drawn at random, to be restored for a test and compared with what is on the disk: in one pass over the metafile, with
//! memory for as many as are drawn.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;

use super::error::Error;
use super::selection::Selection;
use crate::catalog::OpenBackup;
use crate::entry::{Kind, Time};
use crate::metafile::{Found, Record};
use crate::relpath::RelPath;
use crate::seal::Identity;

/// What is compared at a time.
const BUFFER_BYTES: u64 = 64 * 1024;

/// A file that was drawn.
#[derive(Debug)]
pub struct Drawn {
    /// Where it is in the backup.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    mtime: Time,
    /// What was backed up need not be what is on the disk: it changed while it was read, or is a device.
    is_its_own: bool,
}

/// What became of a file since it was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Size, time and contents are as they were.
    Same,
    /// Size and time are, contents are not.
    Differs,
    /// It has another size or time.
    Changed,
    /// It is not there.
    Gone,
}

/// Draws up to `count` files with contents, each with the same chance.
pub fn draw(
    backup: &OpenBackup,
    identities: &[Identity],
    count: usize,
    stop: &AtomicBool,
) -> Result<Vec<Drawn>, Error> {
    let mut documents = backup.documents(identities)?;
    let mut drawn = Vec::new();
    let mut met = 0;
    while let Some(record) = documents.next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let Record::Entry(found) = record else { continue };
        let entry = &found.entry;
        if !entry.stat.kind.has_contents() || entry.stat.size == 0 || entry.problem.is_some() {
            continue;
        }
        met += 1;
        if drawn.len() < count {
            drawn.push(Drawn::of(*found));
            continue;
        }
        // The one that was met last stays with a chance of count in met, in the place of any.
        let random = getrandom::u64().map_err(|error| Error::Io("no random number", io::Error::other(error)))? % met;
        if let Some(place) = usize::try_from(random).ok().and_then(|random| drawn.get_mut(random)) {
            *place = Drawn::of(*found);
        }
    }
    Ok(drawn)
}

/// Those files and nothing else.
pub fn selection(drawn: &[Drawn]) -> Selection {
    Selection::exactly(drawn.iter().map(|drawn| drawn.path.as_bytes().to_vec()).collect())
}

impl Drawn {
    fn of(found: Found) -> Self {
        let stat = &found.entry.stat;
        let is_its_own = stat.kind == Kind::File && !found.entry.changed;
        Self { size: stat.size, mtime: stat.mtime, is_its_own, path: found.path }
    }

    /// Compares what was restored with what is there, as far as it comes until it is stopped.
    pub fn compare(&self, restored: &mut File, there: &Path, stop: &AtomicBool) -> io::Result<Since> {
        match fs::symlink_metadata(there) {
            Ok(stat) if stat.is_file() && self.is_as_it_was(&stat) => {}
            Ok(_) => return Ok(Since::Changed),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Since::Gone);
            }
            Err(error) => return Err(error),
        }
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut file = File::options().read(true).custom_flags(flags).open(there)?;
        let (mut here, mut theirs) = (Vec::new(), Vec::new());
        loop {
            here.clear();
            theirs.clear();
            restored.take(BUFFER_BYTES).read_to_end(&mut here)?;
            (&mut file).take(BUFFER_BYTES).read_to_end(&mut theirs)?;
            if here != theirs {
                // Somebody may be writing to it.
                return Ok(if self.is_as_it_was(&file.metadata()?) { Since::Differs } else { Since::Changed });
            }
            if here.is_empty() || stop.load(Ordering::Relaxed) {
                return Ok(Since::Same);
            }
        }
    }

    fn is_as_it_was(&self, stat: &Metadata) -> bool {
        let mtime = Time { seconds: stat.mtime(), nanoseconds: stat.mtime_nsec() as u32 };
        self.is_its_own && (stat.len(), mtime) == (self.size, self.mtime)
    }
}
