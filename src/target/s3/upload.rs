//! A staged file on its way to a server, as often as it takes.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use sha2::Digest as _;

use crate::digest::hex;
use crate::target::error::Error;
use crate::target::stage::Finished;

/// A file from its beginning, however often it was read before.
pub(super) struct Upload<'a> {
    finished: &'a Finished,
    offset: u64,
}

impl<'a> Upload<'a> {
    pub(super) fn of(finished: &'a Finished) -> Self {
        Self { finished, offset: 0 }
    }
}

impl Read for Upload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.finished.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The SHA-256 of a body, or of none, in hexadecimal digits.
pub(super) fn sha256(body: Option<&Finished>, what: &str) -> Result<String, Error> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut reader = body.map(Upload::of);
    while let Some(reader) = &mut reader {
        let read =
            reader.read(&mut buffer).map_err(|error| Error::io(format!("{what}: can't read the spool"), error))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hex(&hasher.finalize()))
}
