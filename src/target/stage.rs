//! A stage: a file that an object is written to while its name is not known. It takes sealed bytes only (I5), and
//! digests them as they come, so that the name is known when it closes.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use sha2::Digest as _;

use super::error::Error;
use crate::blob::Sealed;
use crate::digest::{Sha1, Sha1Hasher};
use crate::fsutil;

/// Bytes after which what was written is sent on its way to the disk: a steady trickle instead of a
/// burst at the fsync, and no more dirty pages than a small box can bear.
const FLUSH_BYTES: u64 = 1024 * 1024;
/// What is compared is read in parts of this length.
const SAME_BYTES: usize = 32 * 1024;

/// An object being written.
#[derive(Debug)]
pub struct Stage {
    file: File,
    path: Option<TemporaryPath>,
    length: u64,
    flushed: u64,
    sha1: Sha1Hasher,
    sha256: Option<sha2::Sha256>,
}

impl Stage {
    /// A stage in a named file, which goes with the stage unless it is renamed.
    pub fn named(file: File, path: PathBuf) -> Self {
        Self::over(file, Some(TemporaryPath(path)))
    }

    /// A stage in a file without a name.
    pub fn unnamed(file: File) -> Self {
        Self::over(file, None)
    }

    fn over(file: File, path: Option<TemporaryPath>) -> Self {
        Self { file, path, length: 0, flushed: 0, sha1: Sha1Hasher::default(), sha256: None }
    }

    /// Digests with SHA-256 too, from here on: metafiles are signed over it.
    pub fn with_sha256(mut self) -> Self {
        self.sha256 = Some(sha2::Sha256::new());
        self
    }

    /// Takes the next sealed bytes.
    pub fn write(&mut self, sealed: Sealed<'_>) -> Result<(), Error> {
        self.take(sealed.as_bytes())
    }

    /// Takes bytes that are sealed as another host says, or as they lie at another target: for src/web/ and catalog::transfer alone, which can't
    /// know (I5).
    pub(crate) fn write_received(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.take(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sha1.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        self.file.write_all(bytes).map_err(|error| Error::io(format!("can't write {}", self.place()), error))?;
        self.length += bytes.len() as u64;
        if self.length - self.flushed >= FLUSH_BYTES {
            // From one window before: those pages are clean by now and can go.
            let from = self.flushed.saturating_sub(FLUSH_BYTES);
            fsutil::drop_cache(&self.file, from, self.length - from);
            self.flushed = self.length;
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of what was written so far, if it was asked for.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256.clone().map(|sha256| sha256.finalize().into())
    }

    /// Closes it: its digest and length are known now.
    pub fn finish(self) -> Finished {
        Finished { file: self.file, path: self.path, length: self.length, sha1: self.sha1.finish() }
    }

    fn place(&self) -> String {
        self.path.as_ref().map_or_else(|| "the spool file".into(), |path| path.0.display().to_string())
    }
}

/// A stage that is complete.
#[derive(Debug)]
pub struct Finished {
    pub(super) file: File,
    path: Option<TemporaryPath>,
    length: u64,
    sha1: Sha1,
}

impl Finished {
    /// A file that is complete already.
    pub(super) fn of_file(file: File, length: u64, sha1: Sha1) -> Self {
        Self { file, path: None, length, sha1 }
    }

    /// Its length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-1 of all its bytes: the key of a chunk.
    pub fn sha1(&self) -> Sha1 {
        self.sha1
    }

    /// Whether what is read there to its end is this object, by its digest.
    pub(super) fn is_same(&self, there: &mut dyn Read) -> io::Result<bool> {
        let (mut hasher, mut buffer) = (Sha1Hasher::default(), vec![0; SAME_BYTES]);
        loop {
            match there.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish() == self.sha1),
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes its bytes durable, before it has its name.
    #[cfg(feature = "web")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The path of a named stage.
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        self.path.as_ref().map(|path| path.0.as_path())
    }

    /// The file has its final name: nothing is left to remove.
    pub(super) fn keep(mut self) {
        if let Some(path) = self.path.take() {
            path.forget();
        }
    }
}

/// A path that is removed when it goes out of scope.
#[derive(Debug)]
struct TemporaryPath(PathBuf);

impl TemporaryPath {
    fn forget(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // If it can't be removed it is swept at the next start: `.partial` names are nobody's.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
