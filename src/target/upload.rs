//! A staged file on its way to a server, as often as it takes.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use super::stage::Finished;

const BUFFER_BYTES: usize = 64 * 1024;

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

/// Reads to the end, and calls back with what comes.
pub(super) fn read_through(reader: &mut dyn Read, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
