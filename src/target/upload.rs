//! A staged file on its way to a server, as often as it takes.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use super::error::Error;
use super::stage::Finished;

#[cfg(any(feature = "brackup", feature = "gdrive", feature = "s3"))]
const BUFFER_BYTES: usize = 64 * 1024;

/// The body of a request: it can be read again from its beginning.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    /// A part of a staged file.
    File { finished: &'a Finished, offset: u64, length: u64 },
    /// A few words.
    #[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav"))]
    Text(&'a str),
}

impl<'a> Payload<'a> {
    /// All of a staged file.
    pub(super) fn of(finished: &'a Finished) -> Self {
        Self::File { finished, offset: 0, length: finished.length() }
    }

    pub(super) fn length(self) -> u64 {
        match self {
            Self::File { length, .. } => length,
            #[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav"))]
            Self::Text(text) => text.len() as u64,
        }
    }

    pub(super) fn reader(self) -> Box<dyn Read + 'a> {
        match self {
            Self::File { finished, offset, length } => Box::new(FileReader { finished, offset }.take(length)),
            #[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav"))]
            Self::Text(text) => Box::new(text.as_bytes()),
        }
    }

    /// Its digest, for which all of it is read.
    #[cfg(any(feature = "brackup", feature = "gdrive", feature = "s3"))]
    pub(super) fn digest<D: sha2::Digest>(self, what: &str) -> Result<sha2::digest::Output<D>, Error> {
        self.digest_beside::<D>(what, &mut |_| ())
    }

    /// The same, and what is read is shown.
    #[cfg(any(feature = "brackup", feature = "gdrive", feature = "s3"))]
    pub(super) fn digest_beside<D: sha2::Digest>(
        self,
        what: &str,
        beside: &mut dyn FnMut(&[u8]),
    ) -> Result<sha2::digest::Output<D>, Error> {
        let (mut digest, mut reader, mut buffer) = (D::new(), self.reader(), vec![0; BUFFER_BYTES]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(digest.finalize()),
                Ok(read) => {
                    digest.update(&buffer[..read]);
                    beside(&buffer[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(format!("{what}: can't read the spool"), error)),
            }
        }
    }
}

/// A file from an offset, whoever else reads it.
struct FileReader<'a> {
    finished: &'a Finished,
    offset: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |error| io::Error::other(Error::io("can't read the spool", error));
        let read = self.finished.file.read_at(buffer, self.offset).map_err(failed)?;
        self.offset += read as u64;
        Ok(read)
    }
}
