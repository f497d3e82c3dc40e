//! A metafile that is a file here: fetched while its target was whole, or written beside a backup. Its footer says whose it is, whatever it is
//! called, and is checked as that of a metafile at a target.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{Error, OpenBackup, Trust};
use crate::seal::{Fault, Footer, split_footer};
use crate::target::BackupName;

/// See the module.
#[derive(Debug)]
pub struct LocalMetafile {
    /// The backup that it is of, as its footer says: nothing is checked yet.
    pub name: BackupName,
    /// Its bytes.
    pub length: u64,
    file: File,
}

impl LocalMetafile {
    /// Reads its footer, or, where that is damaged, its name.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |error| Error::Local { path: path.into(), source: error };
        let file = File::open(path).map_err(unreadable)?;
        let there = file.metadata().map_err(unreadable)?;
        if !there.is_file() {
            return Err(unreadable(io::Error::other("it is no file")));
        }
        let length = there.len();
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(Footer::TAIL_BYTES_MAX);
        let mut tail = vec![0; most];
        file.read_exact_at(&mut tail, length - most as u64).map_err(unreadable)?;
        let footer = split_footer(&tail).and_then(Footer::parse);
        let told = footer.ok().and_then(|(footer, _)| BackupName::parse(&footer.backup));
        let called = || path.file_name().and_then(|name| name.to_str()).and_then(BackupName::parse);
        let is_none = || Error::Object { name: path.display().to_string(), fault: Fault::NotBrackup };
        let name = told.or_else(called).ok_or_else(is_none)?;
        Ok(Self { name, length, file })
    }

    /// Opens the backup, as [`OpenBackup::open`] does.
    pub fn backup(&mut self, trust: &Trust, spool: &Path) -> Result<OpenBackup, Error> {
        self.file.seek(SeekFrom::Start(0)).map_err(Error::Spool)?;
        OpenBackup::read(&mut self.file, &self.name, self.length, trust, spool)
    }
}
