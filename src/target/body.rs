//! The bytes of an object as they come, over as many connections as it takes.

use std::fmt::Display;
use std::io::{self, Read};
#[cfg(feature = "s3")]
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use super::error::{Error, ErrorKind};
use super::http::{Answer, CRAWL, Http, header};
#[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
use super::name::ObjectName;
use super::retry::{Failed, Retry};
#[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
use super::stage::Finished;
use super::steady::Count;
use crate::limits::RETRY_TRIES;

#[cfg(feature = "s3")]
const BEGINNING_BYTES: u64 = 4096;

/// What hands out parts of objects, over HTTP (RFC 9110, section 14).
pub(super) trait Ranged {
    /// The answer to a request for a part of an object, once; nothing if the part is behind its end. `etag`: of this very object.
    fn part(&self, name: &str, offset: u64, length: u64, etag: Option<&str>) -> Result<Option<Answer>, Failed>;

    /// When to try again.
    fn retry(&self) -> &Retry;

    /// What asks.
    fn http(&self) -> &Http;

    /// What is being done, for an error.
    fn what(&self, verb: &str, name: &dyn Display) -> String;
}

/// Whether the object there, which has this length if it is there, is this one.
#[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
pub(super) fn holds(from: &dyn Ranged, name: &str, length: Option<u64>, finished: &Finished) -> Result<bool, Error> {
    if length != Some(finished.length()) {
        return Ok(false);
    }
    let mut reader = Body::new(from, name.to_owned(), 0, finished.length());
    finished.is_same(&mut reader).map_err(|error| Error::io(from.what("read", &name), error))
}

/// The same by its length and its beginning, which is different in any two objects: whose it is, not whether it is whole.
#[cfg(feature = "s3")]
pub(super) fn begins_as(
    from: &dyn Ranged,
    name: &str,
    length: Option<u64>,
    finished: &Finished,
) -> Result<bool, Error> {
    if length != Some(finished.length()) {
        return Ok(false);
    }
    let (mut there, mut here) =
        (Vec::new(), vec![0; usize::try_from(finished.length().min(BEGINNING_BYTES)).unwrap_or(0)]);
    let failed = |error| Error::io(from.what("read", &name), error);
    Body::new(from, name.to_owned(), 0, here.len() as u64).read_to_end(&mut there).map_err(failed)?;
    finished.file.read_exact_at(&mut here, 0).map_err(|error| Error::io("can't read the spool", error))?;
    Ok(here == there)
}

/// The same where a try before may have stored it. A chunk that is another one, of the same length, is damaged: nobody is to count on it.
#[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
pub(super) fn came_through(
    from: &dyn Ranged,
    name: &str,
    length: Option<u64>,
    finished: &Finished,
) -> Result<bool, Error> {
    let holds = holds(from, name, length, finished)?;
    let is_chunk = ObjectName::parse(name).is_some_and(|name| name.tells_contents());
    if !holds && is_chunk && length == Some(finished.length()) {
        let why = format!("{}: what is there of this name is something else", from.what("store", &name));
        return Err(Error::new(ErrorKind::Corrupt, why).advise("when it is moved away there, it is stored anew"));
    }
    Ok(holds)
}

/// The value of the header `range`.
pub(super) fn range(offset: u64, length: u64) -> String {
    match offset.checked_add(length.saturating_sub(1)).filter(|last| i64::try_from(*last).is_ok()) {
        Some(last) => format!("bytes={offset}-{last}"),
        // Servers count in 63 bits.
        None => format!("bytes={offset}-"),
    }
}

/// Whether what a server sends begins where it was asked to.
pub(super) fn begins_at(answer: &Answer, offset: u64) -> bool {
    match answer.status().as_u16() {
        200 => offset == 0,
        _ => header(answer, "content-range").is_some_and(|range| range.starts_with(&format!("bytes {offset}-"))),
    }
}

/// The length of the whole object, by an answer with a part of it or with all of it.
pub(super) fn total(answer: &Answer) -> Option<u64> {
    match header(answer, "content-range") {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None if answer.status() == 206 => None,
        None => answer.body().content_length(),
    }
}

#[derive(PartialEq, Eq)]
struct Begun {
    /// Without its mark if it was weak.
    etag: Option<String>,
    total: u64,
}

/// A part of an object. Where a connection is cut, the next one goes on.
pub(super) struct Body<'a> {
    from: &'a dyn Ranged,
    name: String,
    offset: u64,
    left: u64,
    /// Of the object that was begun: another one would not fit on.
    begun: Option<Begun>,
    /// Its tag, if that may be asked for.
    strong: Option<String>,
    answer: Option<Box<dyn Read>>,
    /// Cuts since the last byte came.
    cuts: u32,
    /// How long it takes, over all connections.
    count: Count,
}

impl<'a> Body<'a> {
    /// Asks at the first read.
    pub(super) fn new(from: &'a dyn Ranged, name: String, offset: u64, length: u64) -> Self {
        Self {
            from,
            name,
            offset,
            left: length,
            begun: None,
            strong: None,
            answer: None,
            cuts: 0,
            count: Count::default(),
        }
    }

    /// Asks at once, so that an object that is not there is told.
    pub(super) fn open(from: &'a dyn Ranged, name: String, offset: u64, length: u64) -> Result<Self, Error> {
        let mut body = Self::new(from, name, offset, length);
        if length > 0 {
            body.connect()?;
        }
        Ok(body)
    }

    /// The first bytes, and the length of the whole object.
    #[cfg(any(feature = "brackup", feature = "s3", feature = "webdav"))]
    pub(super) fn beginning(
        from: &'a dyn Ranged,
        name: String,
        length: u64,
    ) -> Result<(Box<dyn Read + 'a>, u64), Error> {
        let body = Self::open(from, name, 0, length)?;
        let whole = body.begun.as_ref().map_or(0, |begun| begun.total);
        Ok((Box::new(body), whole))
    }

    fn connect(&mut self) -> Result<(), Error> {
        let strong = self.strong.as_deref();
        let answer = self.from.retry().run(|_| self.from.part(&self.name, self.offset, self.left, strong))?;
        let other = |why: &str| {
            let what = self.from.what("read", &self.name);
            Error::new(ErrorKind::Corrupt, format!("{what}: {why}"))
        };
        let Some(answer) = answer else {
            if self.begun.is_some() {
                return Err(other("it became shorter while it was read"));
            }
            self.left = 0;
            return Ok(());
        };
        let not_told = || Error { kind: ErrorKind::Io, ..other("the server does not tell its length") };
        let total = total(&answer).ok_or_else(not_told)?;
        // A tag that was weak, as Apache's are for a second, may be strong when it is asked for again (RFC 9110, 8.8.3.2).
        let etag = header(&answer, "etag");
        let opaque = etag.map(|etag| etag.strip_prefix("W/").unwrap_or(etag).to_owned());
        let now = Begun { etag: opaque, total };
        self.strong = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        if self.begun.as_ref().is_some_and(|begun| *begun != now) {
            return Err(other("it became another one while it was read"));
        }
        self.left = self.left.min(total.saturating_sub(self.offset));
        self.begun = Some(now);
        self.answer = Some(self.from.http().body(answer));
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left > 0 && !buffer.is_empty() {
            let began = Instant::now();
            if self.answer.is_none() {
                self.connect().map_err(io::Error::other)?;
            }
            let Some(answer) = &mut self.answer else { continue };
            let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let error = match answer.read(&mut buffer[..most]) {
                Ok(0) => io::Error::from(io::ErrorKind::UnexpectedEof),
                Ok(read) => {
                    self.offset += read as u64;
                    self.left -= read as u64;
                    self.cuts = 0;
                    self.count.add(began.elapsed(), read);
                    if self.left == 0 {
                        // Where the body ends the connection is given back.
                        let _ = answer.read(&mut [0]);
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.answer = None;
            self.cuts += 1;
            // A byte between two cuts gets nobody anywhere.
            let is_crawling = self.count.add(began.elapsed(), 0) >= CRAWL * RETRY_TRIES;
            if self.cuts >= RETRY_TRIES || is_crawling || !self.from.retry().wait(self.cuts, None) {
                let what = self.from.what("read", &self.name);
                let advice = Some(super::http::NETWORK.to_owned());
                return Err(io::Error::other(Error { kind: ErrorKind::Unreachable, advice, ..Error::io(what, error) }));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::provider::Trust;
    use crate::target::way::Way;

    const LENGTH: u64 = 1 << 20;

    /// Gives so many bytes at a time, then the connection is cut.
    struct Cut {
        piece: u64,
        asked: AtomicU32,
        http: Http,
        retry: Retry,
    }

    impl Cut {
        fn after(piece: u64) -> Self {
            let way = Way::default();
            let http = Http::new(false, &Trust::default(), way.clone()).unwrap();
            let retry = Retry::new(way).beginning_with(Duration::from_micros(1));
            Self { piece, asked: AtomicU32::new(0), http, retry }
        }
    }

    impl Ranged for Cut {
        fn part(&self, _: &str, offset: u64, _: u64, _: Option<&str>) -> Result<Option<Answer>, Failed> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let body = io::repeat(1).take(self.piece);
            let range = format!("bytes {offset}-{}/{LENGTH}", LENGTH - 1);
            let answer = ureq::http::Response::builder().status(206).header("content-range", range);
            Ok(Some(answer.body(ureq::Body::builder().reader(body)).unwrap()))
        }

        fn retry(&self) -> &Retry {
            &self.retry
        }

        fn http(&self) -> &Http {
            &self.http
        }

        fn what(&self, verb: &str, name: &dyn Display) -> String {
            format!("can't {verb} {name}")
        }
    }

    #[test]
    fn what_is_cut_goes_on_as_long_as_enough_comes_through() {
        // What is counted so far, what comes between two cuts, how often it is asked for, whether all comes.
        let nearly = CRAWL * RETRY_TRIES - Duration::from_nanos(1);
        for (counted, piece, asked, is_whole) in [
            (Duration::ZERO, 1024, LENGTH / 1024, true),
            (Duration::ZERO, 0, RETRY_TRIES.into(), false),
            (nearly, 1024, 1, false),
            (nearly, 64 * 1024, LENGTH / (64 * 1024), true),
        ] {
            let from = Cut::after(piece);
            let mut body = Body::new(&from, "it".into(), 0, LENGTH);
            body.count.add(counted, 0);
            let read = io::copy(&mut body, &mut io::sink());
            assert_eq!((u64::from(from.asked.into_inner()), read.is_ok()), (asked, is_whole), "{counted:?} {piece}");
        }
    }
}
