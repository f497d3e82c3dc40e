//! A folder on a local or mounted file system: a RAID path, a USB disk, an NFS share.
//!
//! A stage is a temporary file beside its final place, so that storing is fsync, rename, fsync of the folder. All objects
//! lie flat in one folder.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use super::Target;
use super::error::{Error, ErrorKind};
use super::id::{self, ID_BYTES_MAX, ID_FILE};
use super::name::ObjectName;
use super::stage::{Finished, Stage};
use crate::fsutil;

/// A stage that nobody wrote to for so long is one of a run that was cut off.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Filesystem {
    folder: PathBuf,
    /// By whoever writes first: a look changes nothing.
    swept: Arc<Once>,
}

impl Filesystem {
    /// The target at a folder. Nothing is touched yet.
    pub fn at(folder: &Path) -> Self {
        // `/raid/b/` and `/raid//b` are `/raid/b`: a target is remembered by what it describes itself as.
        Self { folder: folder.components().collect(), swept: Arc::new(Once::new()) }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    fn error(&self, verb: &str, name: &dyn std::fmt::Display, error: io::Error) -> Error {
        Error::io(format!("can't {verb} {name} in {}", self.folder.display()), error)
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        match fsutil::read_small(&self.folder.join(ID_FILE), ID_BYTES_MAX) {
            Ok(bytes) => id::parse(&bytes, &self.folder.display().to_string()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(self.is_no_folder()),
            Err(error) => Err(self.error("read", &ID_FILE, error)),
        }
    }

    fn is_no_folder(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the target {} is not a folder", self.folder.display()))
    }

    fn create_folder(&self) -> Result<(), Error> {
        // The folder itself is made, what is above it is not: an unmounted disk must not be backed up to its mount point's file system.
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!(
                    "the target's folder {} can't be made: the folder above it is not there",
                    self.folder.display()
                );
                return Err(Error::new(ErrorKind::Unreachable, what));
            }
            Err(error) => return Err(Error::io(format!("can't make the folder {}", self.folder.display()), error)),
            Ok(()) => {
                let above = self.folder.parent().unwrap_or(&self.folder);
                fsutil::sync_directory(above).map_err(|error| self.error("make", &"the folder", error))?;
            }
        }
        Ok(())
    }

    fn create(&self) -> Result<String, Error> {
        let (id, text) = id::generate()?;
        match self.create_as(text.as_bytes()) {
            // Another box was faster: its id is the target's.
            Err(error) if error.kind == ErrorKind::Exists => {
                self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, "the target's id went away"))
            }
            created => created.map(|()| id),
        }
    }

    /// Makes the target with an object of somebody's that holds its id.
    pub(crate) fn create_as(&self, text: &[u8]) -> Result<(), Error> {
        id::parse(text, &self.folder.display().to_string())?;
        self.create_folder()?;
        fsutil::create_secret(&self.folder.join(ID_FILE), text).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::new(ErrorKind::Exists, format!("{ID_FILE} is there already")),
            _ => self.error("write", &ID_FILE, error),
        })
    }

    /// The file of an object, or of the id, and its length.
    pub(crate) fn file(&self, name: &dyn std::fmt::Display) -> Result<(File, u64), Error> {
        let failed = |error| self.failed("read", name, error);
        let file = File::open(self.folder.join(name.to_string())).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok((file, length))
    }

    /// Its objects, in no order.
    pub(crate) fn objects(&self) -> Result<Objects, Error> {
        let entries = fs::read_dir(&self.folder).map_err(|error| self.not_listed(error))?;
        Ok(Objects { entries, folder: self.clone() })
    }

    fn not_listed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotADirectory => self.is_no_folder(),
            io::ErrorKind::NotFound => self.is_gone(),
            _ => Error::io(format!("can't list {}", self.folder.display()), error),
        }
    }

    /// What the clock of the target shows: the age of a file that is made now.
    fn now(&self) -> io::Result<SystemTime> {
        let (file, path) = fsutil::named_temporary(&self.folder, "stage")?;
        fs::remove_file(path)?;
        file.metadata()?.modified()
    }

    /// Removes stages of runs that were cut off, by their age: another box may be writing here now. By the clock of the target, which
    /// may not be ours.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_stage = name.to_str().is_some_and(|name| name.starts_with(".stage-") && name.ends_with(".partial"));
            if is_stage && is_stale(&entry, SystemTime::now()) && is_stale(&entry, self.now()?) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// See [`Filesystem::objects`].
pub(crate) struct Objects {
    entries: fs::ReadDir,
    folder: Filesystem,
}

impl Iterator for Objects {
    type Item = Result<(ObjectName, u64), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(self.folder.not_listed(error))),
            };
            let Some(name) = entry.file_name().to_str().and_then(ObjectName::parse) else { continue };
            match entry.metadata() {
                // Somebody has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.folder.is_dir() => {}
                there => {
                    let there = there.map_err(|error| self.folder.not_listed(error));
                    return Some(there.map(|there| (name, there.len())));
                }
            }
        }
    }
}

impl Filesystem {
    /// What is not there because the folder is not is another matter.
    fn failed(&self, verb: &str, name: &dyn std::fmt::Display, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound if !self.folder.is_dir() => self.is_gone(),
            _ => self.error(verb, name, error),
        }
    }

    /// What has a name has it after a power cut too.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        fsutil::sync_directory(&self.folder).map_err(|error| self.failed("store", &"what is there", error))
    }

    fn is_gone(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the target's folder {} is not there", self.folder.display()))
    }
}

impl Target for Filesystem {
    fn stage(&self) -> Result<Stage, Error> {
        // Leftovers cost space, not safety.
        self.swept.call_once(|| drop(self.sweep()));
        let (file, path) = fsutil::named_temporary(&self.folder, "stage")
            .map_err(|error| self.failed("write", &"a new object", error))?;
        Ok(Stage::named(file, path))
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        let failed = |error| self.failed("store", name, error);
        let place = self.path(name);
        if let Ok(there) = fs::metadata(&place) {
            let same = there.len() == finished.length() && name.tells_contents();
            let exists =
                || Error::new(ErrorKind::Exists, format!("{name} is there already in {}", self.folder.display()));
            // Whoever gave it its name may have gone before that was durable.
            return if same { self.sync() } else { Err(exists()) };
        }
        finished.file.sync_data().map_err(failed)?;
        fsutil::drop_cache(&finished.file, 0, 0);
        let staged = finished.path().ok_or_else(|| Error::new(ErrorKind::Io, "a stage of another target"))?;
        if name.tells_contents() {
            fs::rename(staged, &place).map_err(failed)?;
            finished.keep();
        } else {
            // Two boxes must not overwrite each other's metafile.
            fsutil::rename_new(staged, &place).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::new(ErrorKind::Exists, format!("{name} is there already")),
                _ => failed(error),
            })?;
            finished.keep();
        }
        fsutil::sync_directory(&self.folder).map_err(failed)
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        let (mut file, _) = self.file(name)?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(|error| self.error("read", name, error))?;
        }
        Ok(Box::new(file.take(length)))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        match fs::metadata(self.path(name)) {
            Ok(there) => Ok(Some(there.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => Ok(None),
            Err(error) => Err(self.failed("look at", name, error)),
        }
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        for object in self.objects()? {
            let (name, length) = object?;
            each(name, length)?;
        }
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error("delete", name, error)),
            _ => fsutil::sync_directory(&self.folder).map_err(|error| self.error("delete", name, error)),
        }
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let (place, is_there) = (self.folder.display().to_string(), self.folder.is_dir());
        id::check(self.read_id()?, expected, &place, is_there)?.map_or_else(|| self.create(), Ok)
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.now().map_err(|error| self.failed("write", &"a file to see the time", error))
    }

    fn describe(&self) -> String {
        format!("filesystem:{}", self.folder.display())
    }
}

fn is_stale(entry: &fs::DirEntry, now: SystemTime) -> bool {
    let age = |modified: SystemTime| now.duration_since(modified).unwrap_or_default();
    entry.metadata().and_then(|there| there.modified()).is_ok_and(|modified| age(modified) > STALE)
}
