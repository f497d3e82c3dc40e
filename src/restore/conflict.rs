//! What to do when something is already where an entry goes.

use std::fs::File;
use std::io::Read as _;

use super::error::Error;
use super::place::Place;
use crate::digest::Sha1Hasher;
use crate::entry::{Kind, Stat};
use crate::metafile::Found;
use crate::relpath::RelPath;

/// The rule for what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Stop.
    Abort,
    /// Leave a file alone if it is the same already, else replace it.
    Identical,
    /// Replace it.
    Overwrite,
    /// Leave it alone.
    Skip,
    /// Replace it if the backup's is newer.
    Update,
}

impl Conflict {
    /// Parses the word of the command line.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "abort" => Self::Abort,
            "identical" => Self::Identical,
            "overwrite" => Self::Overwrite,
            "skip" => Self::Skip,
            "update" => Self::Update,
            _ => return None,
        })
    }

    /// Whether what is there may be changed at all.
    pub(super) fn replaces(self) -> bool {
        matches!(self, Self::Identical | Self::Overwrite | Self::Update)
    }

    /// Whether the entry is to be restored.
    pub(super) fn allows(self, place: &mut Place, found: &Found) -> Result<bool, Error> {
        let Some(there) = place.stat(&found.path)? else { return Ok(true) };
        match self.decides(&found.path, &there)? {
            Some(decided) => Ok(decided),
            None if self == Self::Update => Ok(found.entry.stat.mtime > there.mtime),
            None => Ok(!is_identical(place, found, &there)?),
        }
    }

    /// Whether a file whose first part has come may be restored, as far as that can be said before its entry has.
    pub(super) fn allows_parts(self, place: &mut Place, path: &RelPath) -> Result<bool, Error> {
        let Some(there) = place.stat(path)? else { return Ok(true) };
        Ok(self.decides(path, &there)?.unwrap_or(true))
    }

    /// What needs only what is there; nothing: it depends on the entry.
    fn decides(self, path: &RelPath, there: &Stat) -> Result<Option<bool>, Error> {
        if there.kind == Kind::Directory {
            return Err(Error::OtherKind("a directory is in its place"));
        }
        match self {
            Self::Abort => Err(Error::Exists(path.escaped())),
            Self::Overwrite => Ok(Some(true)),
            Self::Skip => Ok(Some(false)),
            Self::Update | Self::Identical => Ok(None),
        }
    }
}

fn is_identical(place: &mut Place, found: &Found, there: &Stat) -> Result<bool, Error> {
    let same_kind =
        there.kind == found.entry.stat.kind || found.entry.stat.kind == Kind::Image && there.kind == Kind::File;
    if !same_kind || there.size != found.entry.stat.size {
        return Ok(false);
    }
    match there.kind {
        Kind::File => {
            let file = place.open_file(&found.path)?;
            Ok(Some(digest(file)?) == found.entry.sha1)
        }
        Kind::Symlink => Ok(place.read_link(&found.path)? == found.entry.target),
        _ => Ok(false),
    }
}

fn digest(mut file: File) -> Result<crate::digest::Sha1, Error> {
    let mut sha1 = Sha1Hasher::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(Error::io("can't read what is in its place"))? {
            0 => return Ok(sha1.finish()),
            got => sha1.update(&buffer[..got]),
        }
    }
}
