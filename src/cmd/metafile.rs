//! The metafile of a backup, sealed as it is, as a file here.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::fsutil;
use brackup::outcome::Outcome;
use brackup::target::{self, BackupName, ObjectName, Target};

use crate::term::Failure;

/// Names that are tried before it is given up to find a free one.
const NAMES_MAX: u32 = 10_000;

/// Why a metafile was not copied.
pub(crate) enum Uncopied {
    /// It can't be read where it is, or not whole: others may be.
    There(Failure),
    /// It can't be written here, or not now.
    Here(Failure),
}

impl From<Uncopied> for Failure {
    fn from(uncopied: Uncopied) -> Self {
        let (Uncopied::There(failure) | Uncopied::Here(failure)) = uncopied;
        failure
    }
}

/// The bytes of a metafile as they are at the target.
pub(crate) fn copy(
    target: &dyn Target,
    name: &BackupName,
    length: u64,
    into: &mut File,
    stop: &AtomicBool,
) -> Result<(), Uncopied> {
    let object = ObjectName::Metafile(name.clone());
    let there = |error: target::Error| {
        let is_of_the_way = error.is_of_the_way();
        if is_of_the_way { Uncopied::Here(error.into()) } else { Uncopied::There(error.into()) }
    };
    let mut source = target.get(&object, 0, length).map_err(there)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            let failure = Failure::new(Outcome::Interrupted, format!("interrupted: {object} was not copied"));
            return Err(Uncopied::Here(failure));
        }
        let got = source.read(&mut buffer);
        let got = got.map_err(|error| there(target::Error::io(format!("can't read {object}"), error)))?;
        if got == 0 {
            break;
        }
        let unwritten = |error| Failure::new(Outcome::Failed, format!("can't write {object}: {error}"));
        into.write_all(&buffer[..got]).map_err(|error| Uncopied::Here(unwritten(error)))?;
        copied += got as u64;
    }
    if copied == length {
        return Ok(());
    }
    let what = format!("{object} at {} ended after {copied} of {length} bytes", target.describe());
    Err(Uncopied::There(Failure::new(Outcome::Failed, what)))
}

/// A file that gets its name when it is whole, or goes.
pub(crate) struct Temporary {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

impl Temporary {
    /// In the folder of a file that is to be.
    pub(crate) fn beside(file: &Path) -> Result<Self, Failure> {
        let made = fsutil::named_temporary(folder_of(file), "fetch");
        made.map(|(file, path)| Self { file, path }).map_err(|error| unwritable(file, &error))
    }

    /// Gives it its name, durably; nothing is written over.
    pub(crate) fn place(&self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fsutil::rename_new(&self.path, path)?;
        fsutil::sync_directory(folder_of(path))
    }

    /// Gives it its name, or if that is taken the first of NAME.1, NAME.2 and so on that is free; tells which.
    pub(crate) fn place_somewhere(&self, path: &Path) -> Result<PathBuf, Failure> {
        for number in 0..NAMES_MAX {
            let mut name = path.as_os_str().to_owned();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            match self.place(Path::new(&name)) {
                Ok(()) => return Ok(name.into()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(path, &error)),
            }
        }
        Err(unwritable(path, &io::Error::from(io::ErrorKind::AlreadyExists)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is not there any more if it got its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Outcome::Failed, format!("can't write {}: {error}", path.display()))
}
