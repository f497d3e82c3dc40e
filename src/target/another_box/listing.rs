//! All objects that this host has there, as lines: `NAME LENGTH`, and `end COUNT` behind the last.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use super::Brackup;
use super::ask::Ask;
use crate::limits::{LISTED_LINE_BYTES_MAX, LISTED_NAMES_MAX};
use crate::target::ObjectName;
use crate::target::error::{Error, ErrorKind};
use crate::target::retry::Failed;

impl Brackup {
    /// The lines of objects, in the spool: an answer that is cut off in the middle is asked for again, and nobody has acted on half of it.
    pub(super) fn listing(&self, what: &str) -> Result<File, Failed> {
        let answer = self.ask(&Ask::of("GET", ""), &[200], what)?.map_err(|refusal| refusal.failed(what))?;
        let spool = |error| Error::io(format!("{what}: can't write to the spool"), error);
        let mut lines = BufWriter::new(self.spool.file()?);
        let told = |why: &str| Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {why}")), None);
        let mut reader = BufReader::new(self.http.body(answer));
        let (mut line, mut count) = (String::new(), 0);
        loop {
            line.clear();
            let read = (&mut reader).take(LISTED_LINE_BYTES_MAX).read_line(&mut line);
            read.map_err(|error| Failed::ForNow(Error::io(what, error), None))?;
            let Some(text) = line.strip_suffix('\n') else { return Err(told("the listing was cut off")) };
            if let Some(said) = text.strip_prefix("end ") {
                return match said.parse() == Ok(count) {
                    true => lines
                        .into_inner()
                        .map_err(io::IntoInnerError::into_error)
                        .and_then(rewound)
                        .map_err(spool)
                        .map_err(Failed::from),
                    false => Err(told("the listing has not as many lines as it says")),
                };
            }
            count += 1;
            if object(text).is_none() || count > LISTED_NAMES_MAX {
                return Err(told("the listing is malformed"));
            }
            lines.write_all(line.as_bytes()).map_err(spool)?;
        }
    }
}

fn rewound(mut file: File) -> io::Result<File> {
    file.rewind().map(|()| file)
}

/// A line. No name: it is none of ours, of a later version perhaps.
pub(super) fn object(line: &str) -> Option<(Option<ObjectName>, u64)> {
    let (name, length) = line.rsplit_once(' ')?;
    Some((ObjectName::parse(name), length.parse().ok()?))
}
