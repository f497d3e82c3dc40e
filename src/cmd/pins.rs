//! `pins` in key_dir: backups that stay whatever the rules say. It is not in state_dir, which is a cache.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use brackup::fsutil;
use brackup::limits::KEY_FILE_BYTES_MAX;
use brackup::target::BackupName;

/// One name a line. What is pinned is pinned at every target.
pub(crate) struct Pins {
    path: PathBuf,
}

impl Pins {
    pub(crate) fn of(key_dir: &Path) -> Self {
        Self { path: key_dir.join("pins") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All of them. A line that is no name is an error: it may be one that somebody counts on.
    pub(crate) fn all(&self) -> io::Result<BTreeSet<BackupName>> {
        let bytes = match fsutil::read_small(&self.path, KEY_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            read => read?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let name = |line: &str| {
            let odd = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is not the name of a backup"));
            BackupName::parse(line).ok_or_else(odd)
        };
        text.lines().filter(|line| !line.trim().is_empty()).map(name).collect()
    }

    /// Pins one; whether it was not.
    pub(crate) fn add(&self, name: &BackupName) -> io::Result<bool> {
        let mut pins = self.all()?;
        Ok(pins.insert(name.clone()) && self.write(&pins).map(|()| true)?)
    }

    /// Unpins one; whether it was pinned.
    pub(crate) fn remove(&self, name: &BackupName) -> io::Result<bool> {
        let mut pins = self.all()?;
        Ok(pins.remove(name) && self.write(&pins).map(|()| true)?)
    }

    fn write(&self, pins: &BTreeSet<BackupName>) -> io::Result<()> {
        let lines: String = pins.iter().map(|name| format!("{name}\n")).collect();
        if lines.len() as u64 > KEY_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("there is room for pins of {KEY_FILE_BYTES_MAX} bytes in all")));
        }
        fsutil::replace_secret(&self.path, lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_kept_until_it_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::of(folder.path());
        let [one, two] = ["a-2026112300", "a-2026112400"].map(|name| BackupName::parse(name).unwrap());
        assert!(pins.all().unwrap().is_empty() && !pins.remove(&one).unwrap());
        assert!(pins.add(&two).unwrap() && pins.add(&one).unwrap() && !pins.add(&one).unwrap());
        assert_eq!(std::fs::read_to_string(pins.path()).unwrap(), "a-2026112300\na-2026112400\n");
        assert!(pins.remove(&one).unwrap() && !pins.remove(&one).unwrap());
        assert_eq!(pins.all().unwrap().into_iter().collect::<Vec<_>>(), [two]);
        std::fs::write(pins.path(), "a-20261124\n").unwrap();
        assert!(pins.all().unwrap_err().to_string().contains("is not the name of a backup"));
    }
}
