//! What a server lists, in the spool: an answer that is cut off in the middle is asked for again, and nobody has acted on half of it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use super::ObjectName;
use super::error::{Error, ErrorKind};
use super::spool::Spool;

/// Objects as they are listed.
pub(super) struct Listing(BufWriter<File>);

/// All that was listed.
pub(super) struct Listed(File);

impl Listing {
    pub(super) fn new(spool: &Spool) -> Result<Self, Error> {
        Ok(Self(BufWriter::new(spool.file()?)))
    }

    pub(super) fn add(&mut self, name: &ObjectName, length: u64) -> io::Result<()> {
        writeln!(self.0, "{length} {name}")
    }

    /// The listing came to its end.
    pub(super) fn finish(self, what: &str) -> Result<Listed, Error> {
        let file = self.0.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.and_then(|mut file| file.rewind().map(|()| file));
        file.map(Listed).map_err(|error| Error::io(format!("{what}: can't write to the spool"), error))
    }
}

impl Listed {
    /// Calls back for every object.
    pub(super) fn each(
        self,
        what: &str,
        each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for line in BufReader::new(self.0).lines() {
            let line = line.map_err(|error| Error::io(format!("{what}: can't read the spool"), error))?;
            let object =
                line.split_once(' ').and_then(|(length, name)| Some((ObjectName::parse(name)?, length.parse().ok()?)));
            let damaged = || Error::new(ErrorKind::Io, format!("{what}: the spool is damaged"));
            let (name, length) = object.ok_or_else(damaged)?;
            each(name, length)?;
        }
        Ok(())
    }
}
