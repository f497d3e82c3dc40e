//! All objects that this host has there, as lines: `NAME LENGTH`, and `end COUNT` behind the last.

use std::io::{BufRead as _, BufReader, Read as _};

use super::Brackup;
use super::ask::Ask;
use crate::limits::{LISTED_LINE_BYTES_MAX, LISTED_NAMES_MAX};
use crate::target::ObjectName;
use crate::target::error::{Error, ErrorKind};
use crate::target::http;
use crate::target::listing::{Listed, Listing};
use crate::target::retry::Failed;

impl Brackup {
    pub(super) fn listing(&self, what: &str) -> Result<Listed, Failed> {
        let answer = self.ask(&Ask::of("GET", ""), &[200], what)?.map_err(|refusal| refusal.failed(what))?;
        let mut listing = Listing::new(&self.spool)?;
        let told = |why: &str| Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {why}")), None);
        let mut reader = BufReader::new(self.http.body(answer));
        let (mut line, mut count) = (String::new(), 0);
        loop {
            line.clear();
            let read = (&mut reader).take(LISTED_LINE_BYTES_MAX).read_line(&mut line);
            read.map_err(http::cut(what))?;
            let Some(text) = line.strip_suffix('\n') else { return Err(told("the listing was cut off")) };
            if let Some(said) = text.strip_prefix("end ") {
                return match said.parse() == Ok(count) {
                    true => Ok(listing.finish(what)?),
                    false => Err(told("the listing has not as many lines as it says")),
                };
            }
            count += 1;
            let Some((name, length)) = object(text).filter(|_| count <= LISTED_NAMES_MAX) else {
                return Err(told("the listing is malformed"));
            };
            if let Some(name) = name {
                listing
                    .add(&name, length)
                    .map_err(|error| Error::io(format!("{what}: can't write to the spool"), error))?;
            }
        }
    }
}

/// A line. No name: it is none of ours, of a later version perhaps.
fn object(line: &str) -> Option<(Option<ObjectName>, u64)> {
    let (name, length) = line.rsplit_once(' ')?;
    Some((ObjectName::parse(name), length.parse().ok()?))
}
