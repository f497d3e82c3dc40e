//! How an object is moved to quarantine, and how a good one comes from another target. At every moment its bytes are somewhere.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{Error, Fsck};
use crate::catalog::{self, Failed};
use crate::digest::{Sha1, Sha1Hasher};
use crate::fsutil;
use crate::monitor::one_line;
use crate::target::{self, ErrorKind, Finished, ObjectName};

/// An object in quarantine that is not deleted from the target yet.
struct Kept {
    path: PathBuf,
    sha1: Sha1,
}

impl Fsck<'_> {
    /// Moves an object that is not what its name says to quarantine, so that the name is free. False, and that is told, if it stays.
    /// `seen` is what reading it showed before: unless that is seen again nobody knows what lies there.
    pub(super) fn put_aside(
        &mut self,
        name: &ObjectName,
        seen: Option<Sha1>,
        quarantine: &Path,
    ) -> Result<bool, Error> {
        let subject = name.to_string();
        let kept = match self.keep(name, quarantine) {
            Ok(kept) => kept,
            Err(error) if error.is_of_the_way() => return Err(error.into()),
            Err(error) => {
                self.tally.problem(subject, format!("can't be kept, so it is left: {}", one_line(&error)));
                return Ok(false);
            }
        };
        // It was read once more: should that have gone well, nothing is wrong with it.
        let is_good = matches!(name, ObjectName::Chunk(key) if *key == kept.sha1);
        let is_unsteady = seen.is_some_and(|seen| seen != kept.sha1);
        let deleted = if is_good || is_unsteady { Ok(()) } else { self.options.target.delete(name) };
        let left = match deleted {
            Ok(()) if !is_good && !is_unsteady => return Ok(true),
            Ok(()) if is_unsteady && !is_good => {
                "reads differently each time, so it is left: is it the memory, the controller, the cable?".into()
            }
            Ok(()) => "can be read now, and is what its name says: it is left".into(),
            Err(error) => {
                if error.is_of_the_way() {
                    return Err(error.into());
                }
                format!("is damaged, and stays: {}", one_line(&error))
            }
        };
        let _ = fs::remove_file(&kept.path);
        self.tally.problem(subject, left);
        Ok(false)
    }

    /// Copies an object as it is, durably.
    fn keep(&mut self, name: &ObjectName, quarantine: &Path) -> Result<Kept, target::Error> {
        let there = |error| target::Error::io(format!("can't read {name}"), error);
        let here = |error| target::Error::io(format!("can't write to {}", quarantine.display()), error);
        fsutil::create_private_directory(quarantine).map_err(here)?;
        for path in fsutil::left_behind(quarantine, "kept") {
            let _ = fs::remove_file(path);
        }
        let length = self.options.target.stat(name)?;
        let gone = || target::Error::new(ErrorKind::NotFound, format!("{name} is not there any more"));
        let length = length.ok_or_else(gone)?;
        let (mut file, temporary) = fsutil::named_temporary(quarantine, "kept").map_err(here)?;
        let (mut sha1, mut copied) = (Sha1Hasher::default(), 0);
        let mut copy = || {
            // Nothing can be asked for of an empty one.
            if length == 0 {
                return Ok(());
            }
            let mut source = self.options.target.get(name, 0, length)?;
            loop {
                match source.read(&mut self.buffer).map_err(there)? {
                    0 => return Ok(()),
                    got => {
                        sha1.update(&self.buffer[..got]);
                        file.write_all(&self.buffer[..got]).map_err(here)?;
                        copied += got as u64;
                    }
                }
            }
        };
        let placed = copy().and_then(|()| {
            if copied != length {
                return Err(target::Error::new(ErrorKind::Corrupt, format!("{name} can't be read to its end")));
            }
            place(&file, &temporary, quarantine, name).map_err(here)
        });
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        Ok(Kept { path: placed?, sha1: sha1.finish() })
    }

    /// What another target has of this name, staged, if that is good. Who that can't be asked of is told.
    pub(super) fn good(&mut self, name: &ObjectName) -> Result<Option<Finished>, Error> {
        let Some(from) = self.mending.and_then(|mending| mending.from) else { return Ok(None) };
        let brought = match from.stat(name) {
            Ok(None) => return Ok(None),
            Ok(Some(length)) => catalog::bring(from, self.options.target, name, length, &mut self.buffer, self.tally),
            Err(error) => Err(Failed::There(error.into())),
        };
        match brought {
            Ok(finished) => Ok(Some(finished)),
            Err(Failed::Here(error)) => Err(error.into()),
            Err(Failed::There(catalog::Error::Target(error))) if error.is_of_the_way() => Err(error.into()),
            Err(Failed::There(error)) => {
                self.tally.problem(format!("{name} at {}", from.describe()), one_line(&error));
                Ok(None)
            }
        }
    }
}

/// Gives what is kept a name that nothing has, durable.
fn place(file: &File, temporary: &Path, quarantine: &Path, name: &ObjectName) -> io::Result<PathBuf> {
    file.sync_all()?;
    let mut number = 1;
    loop {
        let more = if number == 1 { String::new() } else { format!("-{number}") };
        let stem = name.to_string();
        let path = quarantine.join(format!("{}.damaged{more}", stem.strip_suffix(".chunk").unwrap_or(&stem)));
        match fsutil::rename_new(temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            renamed => {
                renamed?;
                fsutil::sync_directory(quarantine)?;
                return Ok(path);
            }
        }
    }
}
