//! `known_targets` in key_dir: the ids of the targets that this box has backed up to. What remembers them otherwise may be on the same disk
//! as the target, and with that disk gone the empty folder that it was mounted at must not be taken for a new target.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use brackup::fsutil;
use brackup::limits::KEY_FILE_BYTES_MAX;
use brackup::outcome::Outcome;

use crate::term::Failure;

/// Lines of an id and the name by which the target is remembered; of two for one name the last counts.
pub(crate) struct KnownTargets {
    path: PathBuf,
}

impl KnownTargets {
    pub(crate) fn of(key_dir: &Path) -> Self {
        Self { path: key_dir.join("known_targets") }
    }

    /// The id that a target of this name had; in words if that can't be read.
    pub(crate) fn expected(&self, name: &str) -> Result<Option<String>, Failure> {
        let unread = |error| Failure::new(Outcome::Failed, format!("can't read {}: {error}", self.path.display()));
        self.id(name).map_err(unread)
    }

    /// Remembers it if that is possible: keys may lie where nothing can be written, and then it is as safe as it was.
    pub(crate) fn note(&self, name: &str, id: &str) {
        if let Err(error) = self.remember(name, id) {
            log::info!("the target's id can't be written to {}: {error}", self.path.display());
        }
    }

    /// The id that a target of this name had.
    fn id(&self, name: &str) -> io::Result<Option<String>> {
        let text = match fsutil::read_small(&self.path, KEY_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => String::from_utf8_lossy(&read?).into_owned(),
        };
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.rev().find(|(_, known)| *known == name).map(|(id, _)| id.to_owned()))
    }

    /// Remembers it. What is known already is not written again: this may be on flash.
    fn remember(&self, name: &str, id: &str) -> io::Result<()> {
        if self.id(name)?.as_deref() == Some(id) {
            return Ok(());
        }
        let mut known = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        known.write_all(format!("{id} {name}\n").as_bytes())?;
        known.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_id_of_a_name_counts_and_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownTargets::of(folder.path());
        assert_eq!(known.id("disk filesystem:/a b").unwrap(), None);
        for (name, id) in [("disk filesystem:/a b", "1"), ("disk filesystem:/a", "2"), ("disk filesystem:/a b", "3")] {
            known.remember(name, id).unwrap();
            known.remember(name, id).unwrap();
            assert_eq!(known.id(name).unwrap().as_deref(), Some(id));
        }
        assert_eq!(known.id("disk filesystem:/a").unwrap().as_deref(), Some("2"));
        assert_eq!(std::fs::read_to_string(&known.path).unwrap().lines().count(), 3);
    }
}
