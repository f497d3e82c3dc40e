//! Where an object waits until it is stored: most servers must be told its name, its length and its digest before its first byte.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::error::Error;
use super::stage::{Finished, Stage};
use crate::digest::Sha1;
use crate::fsutil;

/// A folder of this box, in files without names.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A place to write an object to.
    pub(super) fn stage(&self) -> Result<Stage, Error> {
        Ok(Stage::unnamed(self.file()?))
    }

    /// A small object that is known whole.
    pub(super) fn finished(&self, bytes: &[u8]) -> Result<Finished, Error> {
        let file = self.file()?;
        file.write_all_at(bytes, 0).map_err(|error| self.failed(error))?;
        Ok(Finished::of_file(file, bytes.len() as u64, Sha1::of(bytes)))
    }

    /// A file without a name.
    pub(super) fn file(&self) -> Result<File, Error> {
        let file = fsutil::create_private_directory(&self.folder).and_then(|()| fsutil::unnamed_file(&self.folder));
        file.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("can't write to the spool {}", self.folder.display()), error)
            .advise("an object waits there until it is stored: free some space, or see spool_dir in [BOX]")
    }
}
