//! What lies at a target, looked at and meddled with past Brackup.

use std::fs;
use std::path::Path;

/// A place of objects.
pub(crate) trait Place {
    fn read(&self, name: &str) -> Option<Vec<u8>>;
    fn write(&self, name: &str, bytes: &[u8]);
    fn remove(&self, name: &str);
    /// Everything goes, and what it was in.
    fn vanish(&self);
}

impl Place for Path {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.join(name)).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.join(name)).unwrap();
    }

    fn vanish(&self) {
        fs::remove_dir_all(self).unwrap();
    }
}
