//! Amazon S3 and what speaks it.
//!
//! An object is staged in a file without a name in the spool, since its key, its length and its digest must be known before the first
//! byte goes out. The server is given the digest and stores nothing else (`x-amz-checksum-sha1`). A key is never written twice: the
//! request says so (`If-None-Match`), and before a metafile it is asked, because some servers don't look at that.

mod answer;
mod body;
mod sign;
mod upload;

pub use sign::Credentials;

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::http::Response;

use crate::date::Utc;
use crate::digest::Sha1;
use crate::fsutil;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Http, header};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::stage::{Finished, Stage};
use crate::target::{ObjectName, Target};
use answer::Refusal;
use body::Body;
use sign::{Parts, UNSIGNED_PAYLOAD, authorization, encode, query};
use upload::Upload;

/// Which bucket, and how to get there.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// `https://s3.eu-central-1.amazonaws.com`; a path behind the host is not possible.
    pub endpoint: String,
    /// As the server has it in its signatures.
    pub region: String,
    /// It must exist.
    pub bucket: String,
    /// Whether the bucket is the first part of the path, and not of the host's name.
    pub path_style: bool,
    /// Before the name of each object; letters, digits and `._-/`.
    pub prefix: String,
    /// `STANDARD_IA` and the like.
    pub storage_class: Option<String>,
    /// `AES256` or `aws:kms`.
    pub encryption: Option<String>,
    /// Certificates that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub credentials: Credentials,
    /// Where objects lie until they are stored.
    pub spool_dir: PathBuf,
}

/// A bucket, or what lies below a prefix of it.
#[derive(Debug)]
pub struct S3 {
    options: S3Options,
    http: Http,
    retry: Retry,
    is_tls: bool,
    host: String,
    base: String,
}

/// Names of a page: with all that is said of them, far below what an answer may have.
const PAGE_NAMES: &str = "500";
/// From this length on the server is asked before a body is sent.
const EXPECT_BYTES_MIN: u64 = 256 * 1024;

type Answer = Response<ureq::Body>;

/// What goes with a request.
#[derive(Default)]
struct Ask<'a> {
    method: &'static str,
    /// Of an object; empty: the bucket.
    name: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(&'a str, String)>,
    body: Option<&'a Finished>,
}

impl S3 {
    /// The bucket. Nothing is asked yet. Waiting for a second try ends when `stop` is set.
    pub fn open(options: S3Options, stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let not_usable = |why: &str| {
            Error::new(ErrorKind::Unreachable, format!("the endpoint {} {why}", options.endpoint))
                .advise("write it like endpoint = https://s3.example.com")
        };
        let (is_tls, authority) = match options.endpoint.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(not_usable("has neither https:// nor http://")),
        };
        let authority = authority.trim_end_matches('/');
        // What is sent as the host has no port that goes without saying, and what is signed must be the same.
        let authority = authority.strip_suffix(if is_tls { ":443" } else { ":80" }).unwrap_or(authority);
        let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if options.bucket.is_empty() || !options.bucket.chars().all(is_ours) {
            return Err(Error::new(ErrorKind::Unreachable, format!("{:?} is no name of a bucket", options.bucket))
                .advise("a bucket's name has letters, digits, dots and hyphens"));
        }
        if !is_tls && options.credentials.session_token.is_some() {
            return Err(not_usable("has no TLS, and a session token is sent as it is"));
        }
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(not_usable("is more than a host and a port"));
        }
        let http = Http::new(is_tls, options.ca_file.as_deref())?;
        let (host, path) = if options.path_style {
            (authority.to_owned(), format!("/{}", encode(&options.bucket)))
        } else {
            (format!("{}.{authority}", options.bucket), String::new())
        };
        Ok(Self { retry: Retry::new(stop), http, is_tls, host, base: path, options })
    }

    /// One request, once. Every status but those in `good` is a refusal.
    fn ask(&self, ask: &Ask<'_>, good: &[u16], what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        let now = Utc::from_system(SystemTime::now());
        let payload = match ask.body {
            // The connection protects it, and the file need not be read twice.
            _ if self.is_tls => UNSIGNED_PAYLOAD.into(),
            body => upload::sha256(body, what)?,
        };
        let mut path = format!("{}/", self.base);
        if !ask.name.is_empty() {
            for segment in self.options.prefix.split_inclusive('/') {
                let name = segment.trim_end_matches('/');
                path.push_str(&encode(name));
                path.push_str(&segment[name.len()..]);
            }
            path.push_str(&encode(ask.name));
        }
        let date = now.basic();
        let token = self.options.credentials.session_token.as_ref().map(|token| token.as_str());
        let mut headers = vec![("host", self.host.as_str()), ("x-amz-date", &date), ("x-amz-content-sha256", &payload)];
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers.extend(ask.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let parts = Parts { method: ask.method, path: &path, query: ask.query, headers: &headers, payload: &payload };
        let authorization = authorization(&self.options.credentials, &self.options.region, now, &parts);

        let scheme = if self.is_tls { "https" } else { "http" };
        let mut uri = format!("{scheme}://{}{path}", self.host);
        if !ask.query.is_empty() {
            let _ = write!(uri, "?{}", query(ask.query));
        }
        let mut request = ureq::http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request.header("content-length", body.length());
            // A refusal then comes before the body is on its way, and not instead of an answer.
            if body.length() >= EXPECT_BYTES_MIN {
                request = request.header("expect", "100-continue");
            }
        }
        let request = request.header("authorization", authorization).body(());
        let request = request.map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("{what}: {error}")).advise("is the target's address right?")
        })?;
        let mut reader = ask.body.map(Upload::of);
        let body = reader.as_mut().map(|reader| reader as &mut dyn Read);
        let answer = self.http.send(request, body, what)?;
        if good.contains(&answer.status().as_u16()) { Ok(Ok(answer)) } else { Ok(Err(Refusal::read(answer))) }
    }

    fn what(&self, verb: &str, name: &dyn std::fmt::Display) -> String {
        format!("can't {verb} {name} in {}", self.describe())
    }

    /// The first answer of a part of an object; nothing if the part is behind its end. `etag`: of this very object.
    fn part(&self, name: &str, offset: u64, length: u64, etag: Option<&str>) -> Result<Option<Answer>, Failed> {
        let what = self.what("read", &name);
        let range = match offset.checked_add(length - 1).filter(|last| i64::try_from(*last).is_ok()) {
            Some(last) => format!("bytes={offset}-{last}"),
            // Servers count in 63 bits.
            None => format!("bytes={offset}-"),
        };
        let mut headers = vec![("range", range)];
        headers.extend(etag.map(|etag| ("if-match", etag.to_owned())));
        let ask = Ask { method: "GET", name, headers, ..Ask::default() };
        let answer = match self.ask(&ask, &[206, 200], &what)? {
            Ok(answer) => answer,
            Err(refusal) if refusal.status == 416 => return Ok(None),
            Err(refusal) => return Err(refusal.failed(&what)),
        };
        let begins_there = match answer.status().as_u16() {
            200 => offset == 0,
            _ => header(&answer, "content-range").is_some_and(|range| range.starts_with(&format!("bytes {offset}-"))),
        };
        if !begins_there {
            return Err(Error::new(ErrorKind::Corrupt, format!("{what}: the server sent another part")).into());
        }
        Ok(Some(answer))
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what("read", &ID_FILE);
        let failed = |error| Failed::ForNow(Error::io(what.clone(), error), None);
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name: ID_FILE, ..Ask::default() };
            match self.ask(&ask, &[200], &what)? {
                Ok(mut answer) => {
                    let mut bytes = Vec::new();
                    answer.body_mut().as_reader().take(ID_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
                    Ok(Some(id::parse(&bytes, &self.describe())?))
                }
                Err(refusal) if refusal.is_no_such_object() => Ok(None),
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }

    /// Stores a file under a name that has none. False: it has one.
    fn store(&self, name: &str, finished: &Finished, what: &str) -> Result<bool, Error> {
        let mut headers = vec![
            ("if-none-match", "*".to_owned()),
            ("x-amz-checksum-sha1", BASE64.encode(finished.sha1().0)),
            ("content-type", "application/octet-stream".to_owned()),
        ];
        headers.extend(self.options.storage_class.iter().map(|class| ("x-amz-storage-class", class.clone())));
        headers.extend(self.options.encryption.iter().map(|kind| ("x-amz-server-side-encryption", kind.clone())));
        let ask = Ask { method: "PUT", name, headers, body: Some(finished), ..Ask::default() };
        self.retry.run(|tried| match self.ask(&ask, &[200, 201], what)? {
            Ok(answer) => {
                let is_s3 = header(&answer, "etag").is_some();
                http::drain(answer);
                let other = || Error::new(ErrorKind::Io, format!("{what}: what answers is not a server of S3"));
                if is_s3 { Ok(true) } else { Err(Failed::ForNow(other(), None)) }
            }
            // The first try may have been stored and its answer lost.
            Err(refusal) if refusal.status == 412 => Ok(tried > 0 && self.holds(name, finished)?),
            Err(refusal) => Err(refusal.failed(what)),
        })
    }

    /// Whether the object there is this one.
    fn holds(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        let there = self.length(name)?;
        if there != Some(finished.length()) {
            return Ok(false);
        }
        let mut hasher = crate::digest::Sha1Hasher::default();
        let mut reader = Body::new(self, name.to_owned(), 0, finished.length());
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer).map_err(|error| Error::io(self.what("read", &name), error))? {
                0 => return Ok(hasher.finish() == finished.sha1()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// By a part of one byte: where the answer to HEAD says 404, it can't say of what.
    fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = self.what("look at", &name);
        let not_told = || Error::new(ErrorKind::Io, format!("{what}: the server does not tell its length"));
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name, headers: vec![("range", "bytes=0-0".into())], ..Ask::default() };
            match self.ask(&ask, &[206], &what)? {
                Ok(answer) => {
                    let total = body::total(&answer);
                    http::drain(answer);
                    Ok(Some(total.ok_or_else(not_told)?))
                }
                // It is there and empty: none of ours.
                Err(refusal) if refusal.status == 416 => Ok(Some(0)),
                Err(refusal) if refusal.is_no_such_object() => Ok(None),
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }

    fn unnamed(&self) -> Result<std::fs::File, Error> {
        let spool_dir = &self.options.spool_dir;
        fsutil::create_private_directory(spool_dir).and_then(|()| fsutil::unnamed_file(spool_dir)).map_err(|error| {
            Error::io(format!("can't write to the spool {}", spool_dir.display()), error)
                .advise("an object waits there until it is stored: free some space, or see spool_dir in [BOX]")
        })
    }
}

impl Target for S3 {
    fn stage(&self) -> Result<Stage, Error> {
        Ok(Stage::unnamed(self.unnamed()?))
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        let what = self.what("store", name);
        let text = name.to_string();
        let exists = || Error::new(ErrorKind::Exists, format!("{name} is there already in {}", self.describe()));
        // Not every server looks at If-None-Match, and a metafile that is overwritten is lost.
        if !name.tells_contents() && self.length(&text)?.is_some() {
            return Err(exists());
        }
        if self.store(&text, &finished, &what)? {
            return Ok(());
        }
        let same = name.tells_contents() && self.length(&text)? == Some(finished.length());
        if same { Ok(()) } else { Err(exists()) }
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(Body::open(self, name.to_string(), offset, length)?))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.length(&name.to_string())
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        let what = format!("can't list {}", self.describe());
        let mut next: Option<String> = None;
        let mut last = String::new();
        loop {
            let mut pairs = vec![("list-type", "2"), ("prefix", &self.options.prefix), ("max-keys", PAGE_NAMES)];
            pairs.extend(next.as_deref().map(|token| ("continuation-token", token)));
            let page = self.retry.run(|_| {
                let ask = Ask { method: "GET", query: &pairs, ..Ask::default() };
                let mut answer = self.ask(&ask, &[200], &what)?.map_err(|refusal| refusal.failed(&what))?;
                let xml =
                    http::text(&mut answer).map_err(|error| Failed::ForNow(Error::io(what.clone(), error), None))?;
                let malformed = |why| Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {why}")), None);
                answer::page(&xml, &self.options.prefix).map_err(malformed)
            })?;
            // Sorted by key, page by page: one that goes back would come for ever.
            if let Some((first, end)) = page.keys {
                if first <= last {
                    return Err(Error::new(ErrorKind::Io, format!("{what}: the server sends the same page again")));
                }
                last = end;
            }
            for (name, length) in page.objects {
                each(name, length)?;
            }
            next = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what("delete", name));
        let ask = Ask { method: "DELETE", name: &text, ..Ask::default() };
        self.retry.run(|_| match self.ask(&ask, &[200, 202, 204], &what)? {
            Err(refusal) if !refusal.is_no_such_object() => Err(refusal.failed(&what)),
            _ => Ok(()),
        })
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let place = self.describe();
        if let Some(found) = id::check(self.read_id()?, expected, &place, true)? {
            return Ok(found);
        }
        let (_, text) = id::generate()?;
        let file = self.unnamed()?;
        let failed = |error| Error::io(self.what("write", &ID_FILE), error);
        file.write_all_at(text.as_bytes(), 0).map_err(failed)?;
        let finished = Finished::of_file(file, text.len() as u64, Sha1::of(text.as_bytes()));
        self.store(ID_FILE, &finished, &self.what("write", &ID_FILE))?;
        // Another box may have been faster, or as fast at a server that does not look: what is there now is the target's.
        self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn describe(&self) -> String {
        let S3Options { endpoint, bucket, prefix, .. } = &self.options;
        let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host).trim_end_matches('/');
        format!("s3://{host}/{bucket}/{prefix}")
    }
}
