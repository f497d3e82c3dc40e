//! Looking at the folder: whether it is there, and what is in it.

use std::io::BufReader;

use super::WebDav;
use super::ask::Ask;
use super::multistatus::{self, Entry, Malformed};
use super::refusal::Refusal;
use crate::date::Utc;
use crate::digest::unhex;
use crate::provider::Collection;
use crate::target::ObjectName;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{Answer, Http, header};
use crate::target::listing::{Listed, Listing};
use crate::target::retry::Failed;
use crate::target::upload::Payload;

/// A temporary file that nobody wrote to for so long is one of a run that was cut off.
const STALE_SECONDS: i64 = 24 * 3600;
/// Left-overs that are remembered; more go with the next run.
const LEFT_OVER_MAX: usize = 100;
const PROPERTIES: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>";

impl WebDav {
    /// Asks for what is in the folder, or for the folder alone.
    pub(super) fn propfind(&self, path: &str, depth: &str, what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        let headers = vec![("depth", depth.to_owned()), ("content-type", "application/xml; charset=utf-8".to_owned())];
        let ask = Ask { method: "PROPFIND", headers, body: Some(Payload::Text(PROPERTIES)), ..Ask::default() };
        self.ask_at(path, &ask, &[207], what)
    }

    /// Whether this is a folder that is there; everything but yes and 404 is an error.
    pub(super) fn is_folder(&self, folder: &Collection) -> Result<bool, Error> {
        let what = format!("can't look at {}", self.place());
        self.retry.run(|_| match self.propfind(&folder.path_of(""), "0", &what)? {
            Ok(answer) => {
                read_listing(&self.http, answer, folder.path(), &what, &mut |_| Ok(()))?;
                Ok(true)
            }
            Err(refusal) if refusal.is_not_found() => Ok(false),
            Err(refusal) => Err(refusal.failed(&what)),
        })
    }

    /// Nothing of a name is there: that is so if the folder is, and if that is said twice. Nextcloud says it of what may not be read, too, but
    /// when it is asked what is there.
    pub(super) fn surely_absent(&self, name: &str, what: &str) -> Result<(), Error> {
        if !self.is_folder(&self.collection)? {
            return Err(self.folder_is_gone());
        }
        if self.is_named(name, what)? {
            let why = format!("{what}: it is there, but the server sends nothing of it");
            return Err(Error::new(ErrorKind::Denied, why).advise("may this user read that file there?"));
        }
        Ok(())
    }

    fn is_named(&self, name: &str, what: &str) -> Result<bool, Error> {
        self.retry.run(|_| match self.propfind(&self.collection.path_of(name), "0", what)? {
            Ok(answer) => {
                let path = format!("{}{name}/", self.collection.path());
                match multistatus::read(BufReader::new(self.http.body(answer)), &path, &mut |_| Ok(())) {
                    // It is a file.
                    Err(Malformed::NoFolder) => Ok(true),
                    read => read.map(|()| true).map_err(|malformed| unreadable(malformed, what)),
                }
            }
            Err(refusal) if refusal.is_not_found() => Ok(false),
            Err(refusal) => Err(refusal.failed(what)),
        })
    }

    /// Whether the listing has a file that is there: what a server leaves out would be taken for gone.
    pub(super) fn lists(&self, name: &str, length: u64) -> Result<bool, Error> {
        let what = format!("can't list {}", self.place());
        self.retry.run(|_| {
            let answer = self.propfind(&self.collection.path_of(""), "1", &what)?;
            let answer = answer.map_err(|refusal| refusal.failed(&what))?;
            let mut is_listed = false;
            read_listing(&self.http, answer, self.collection.path(), &what, &mut |entry| {
                is_listed |= entry.name == name && entry.length == Some(length);
                Ok(())
            })?;
            Ok(is_listed)
        })
    }

    /// Names and lengths of our objects.
    pub(super) fn listing(&self, what: &str) -> Result<Listed, Failed> {
        let answer = match self.propfind(&self.collection.path_of(""), "1", what)? {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_not_found() => return Err(self.folder_is_gone().into()),
            Err(refusal) => return Err(refusal.failed(what)),
        };
        let now = header(&answer, "date").and_then(Utc::parse_http);
        let (mut listing, mut left_over) = (Listing::new(&self.spool)?, Vec::new());
        read_listing(&self.http, answer, self.collection.path(), what, &mut |entry| {
            if is_left_over(&entry, now) && left_over.len() < LEFT_OVER_MAX {
                left_over.push(entry.name);
            } else if let Some(name) = ObjectName::parse(&entry.name).filter(|_| !entry.is_folder) {
                let why = || entry.failed.clone().unwrap_or_else(|| "no length is told".into());
                let Some(length) = entry.length.filter(|_| entry.failed.is_none()) else {
                    return Err(format!("of {}: {}", entry.name, why()).into());
                };
                listing.add(&name, length).map_err(Malformed::Io)?;
            }
            Ok(())
        })?;
        if let Ok(mut known) = self.left_over.lock() {
            *known = left_over;
        }
        Ok(listing.finish(what)?)
    }
}

fn read_listing(
    http: &Http,
    answer: Answer,
    folder: &str,
    what: &str,
    each: &mut dyn FnMut(Entry) -> Result<(), Malformed>,
) -> Result<(), Failed> {
    multistatus::read(BufReader::new(http.body(answer)), folder, each).map_err(|malformed| unreadable(malformed, what))
}

fn unreadable(malformed: Malformed, what: &str) -> Failed {
    let told = |kind, why: &str| Error::new(kind, format!("{what}: {why}"));
    match malformed {
        Malformed::Io(error) => Failed::ForNow(Error::io(what, error), None),
        Malformed::Xml(why) => Failed::ForNow(told(ErrorKind::Io, &why), None),
        Malformed::NoFolder => {
            let error = told(ErrorKind::Unreachable, "it is a file and no folder");
            Failed::ForGood(error.advise("is the path in `url` right?"))
        }
    }
}

/// By the clock of the server, which may not be ours.
fn is_left_over(entry: &Entry, now: Option<Utc>) -> bool {
    let inside =
        [".stage-", ".probe-"].iter().find_map(|begin| entry.name.strip_prefix(begin)?.strip_suffix(".partial"));
    let is_ours = !entry.is_folder && inside.is_some_and(|digits| unhex::<12>(digits).is_some());
    let modified = entry.modified.as_deref().filter(|_| is_ours).and_then(Utc::parse_http);
    now.zip(modified).is_some_and(|(now, modified)| now.to_unix() - modified.to_unix() > STALE_SECONDS)
}
