//! Amazon S3 and what speaks it.
//!
//! An object is staged in a file without a name in the spool, since its key, its length and its digest must be known before the first
//! byte goes out. The server is given the digest and stores nothing else (`x-amz-checksum-sha1`). A key is never written twice: the
//! request says so (`If-None-Match`), and before a metafile it is asked, because some servers don't look at that.

mod answer;
mod client;
mod dialect;
mod listing;
mod lock;
mod parts;
mod refusal;
mod sign;

use std::cell::Cell;
use std::fmt::Display;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use crate::date::Utc;
use crate::provider::{AccessKey, Bucket, Lock};
use crate::target::body::{self, Body, Ranged};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http, header};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::spool::Spool;
use crate::target::stage::{Finished, Stage};
use crate::target::upload::Payload;
use crate::target::way::Way;
use crate::target::{ObjectName, Target};
use client::{Ask, Client};
use dialect::Dialect;
use refusal::Refusal;

/// A bucket, or what lies below a prefix of it.
#[derive(Debug)]
pub struct S3 {
    client: Client,
    dialect: Dialect,
    spool: Spool,
    retry: Retry,
    /// Uploads in parts that were abandoned are looked for before the first one.
    is_swept: Once,
    /// That it locks what is stored, if it is to, is asked before anything is.
    is_asked_for_locks: AtomicBool,
}

/// What came of giving an object a name.
enum Naming {
    /// It is done; whether the server was sure that no other object had the name.
    Answered(Answer, bool),
    /// Another one has it, or this one by a try before.
    Taken,
    Refused(Refusal),
}

/// Of what is locked.
const DAY_SECONDS: i64 = 86_400;

impl S3 {
    /// The bucket. Nothing is asked yet. Objects wait in `spool_dir`.
    pub fn open(bucket: Bucket, access_key: AccessKey, spool_dir: PathBuf, way: Way) -> Result<Self, Error> {
        let client = Client::new(bucket, access_key, way.clone())?;
        let (spool, retry) = (Spool::in_folder(spool_dir), Retry::new(way));
        Ok(Self {
            client,
            dialect: Dialect::default(),
            spool,
            retry,
            is_swept: Once::new(),
            is_asked_for_locks: AtomicBool::new(false),
        })
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what("read", &ID_FILE);
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name: ID_FILE, ..Ask::default() };
            match self.client.ask(&ask, &[200], &what)? {
                // A page to log in on, or of a router.
                Ok(answer) if header(&answer, "etag").is_none() => Err(Failed::ForNow(no_s3(&what), None)),
                Ok(mut answer) => {
                    let bytes = http::short(&mut answer, ID_BYTES_MAX).map_err(http::cut(&what))?;
                    Ok(Some(id::parse(&bytes, &self.describe())?))
                }
                Err(refusal) if refusal.is_no_such_object() => Ok(None),
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }

    /// Stores a file under a name that has none. False: it has one.
    fn store(&self, name: &str, finished: &Finished, what: &str) -> Result<bool, Error> {
        self.locks()?;
        let part_bytes = self.client.bucket.part_bytes;
        if finished.length() > part_bytes
            && let Some(is_new) = self.store_in_parts(name, finished, part_bytes, what)?
        {
            return Ok(is_new);
        }
        let payload = Payload::of(finished);
        let (says_sha1, was_cut) = (Cell::new(false), Cell::new(false));
        let ask = || {
            let mut headers = self.kept_with_the_object();
            let checksum = self.dialect.checksum(finished, what)?;
            says_sha1.set(checksum.0 == dialect::SHA1);
            headers.push(checksum);
            Ok(Ask { method: "PUT", name, headers, body: Some(payload), ..Ask::default() })
        };
        self.retry.run(|tried| {
            if was_cut.get() && finished.length() > Bucket::PART_BYTES_MIN {
                // The first try may have been stored; and if not, the next cut costs less.
                if self.came_through(name, finished)? {
                    return Ok(true);
                }
                if let Some(is_new) = self.store_in_parts(name, finished, Bucket::PART_BYTES_MIN, what)? {
                    return Ok(is_new || self.came_through(name, finished)?);
                }
            }
            let asked = self.ask_for_name(name, ask, &[200, 201], what);
            // 408 and the code: of what did not come in time.
            was_cut.set(match &asked {
                Err(Failed::ForNow(..)) => true,
                Ok(Naming::Refused(refusal)) => refusal.status == 408 || refusal.code == "RequestTimeout",
                _ => false,
            });
            match asked? {
                Naming::Answered(answer, is_sure) => {
                    let (is_s3, is_held) =
                        (header(&answer, "etag").is_some(), header(&answer, dialect::SHA1).is_some());
                    http::drain(answer);
                    if !is_s3 {
                        return Err(Failed::ForNow(no_s3(what), None));
                    }
                    if says_sha1.get() && !is_held {
                        self.dialect.says_nothing();
                        return self.came_through(name, finished).map_err(|error| self.not_to_be_kept(name, error));
                    }
                    self.is_still(name, finished, is_sure)
                }
                // The first try may have been stored and its answer lost.
                Naming::Taken => Ok(tried > 0 && self.came_through(name, finished)?),
                Naming::Refused(refusal) => Err(self.of_storing(refusal).failed(what)),
            }
        })
    }

    /// Asks for what gives an object its name if no other has it, and in other words when the server turns out not to know these.
    fn ask_for_name<'a>(
        &self,
        name: &str,
        ask: impl Fn() -> Result<Ask<'a>, Error>,
        good: &[u16],
        what: &str,
    ) -> Result<Naming, Failed> {
        loop {
            let condition = self.dialect.condition();
            let is_sure = condition.is_some();
            // It would be written over.
            if !is_sure && self.length(name)?.is_some() {
                return Ok(Naming::Taken);
            }
            let mut ask = ask()?;
            ask.headers.extend(condition);
            match self.client.ask(&ask, good, what)? {
                Ok(answer) => return Ok(Naming::Answered(answer, is_sure)),
                Err(refusal) if self.dialect.learns(&ask, &refusal) => {}
                Err(refusal) if refusal.status == 412 => return Ok(Naming::Taken),
                Err(refusal) => return Ok(Naming::Refused(refusal)),
            }
        }
    }

    /// What has the name now is this object, and not that of a box that was as fast: there are servers that pass over a condition, and those that know
    /// none. Of a chunk there is only one. Of two metafiles the beginnings tell which it is.
    fn is_still(&self, name: &str, finished: &Finished, is_sure: bool) -> Result<bool, Failed> {
        if ObjectName::parse(name).is_some_and(|name| name.tells_contents()) {
            return Ok(true);
        }
        let length = self.length(name)?;
        Ok(if is_sure {
            body::begins_as(self, name, length, finished)?
        } else {
            body::holds(self, name, length, finished)?
        })
    }

    fn of_storing(&self, mut refusal: Refusal) -> Refusal {
        refusal.is_of_a_lock = self.client.bucket.lock.is_some();
        refusal
    }

    fn kept_with_the_object(&self) -> Vec<(&'static str, String)> {
        let Bucket { storage_class, encryption, lock, .. } = &self.client.bucket;
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        headers.extend(storage_class.iter().map(|class| ("x-amz-storage-class", class.clone())));
        headers.extend(encryption.iter().map(|kind| ("x-amz-server-side-encryption", kind.clone())));
        if let Some(Lock { days, mode }) = lock {
            let until = Utc::now().to_unix() + i64::from(*days) * DAY_SECONDS;
            headers.push(("x-amz-object-lock-mode", mode.name().to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", Utc::from_unix(until).to_string()));
        }
        headers
    }

    fn came_through(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        body::came_through(self, name, self.length(name)?, finished)
    }

    /// A chunk that was just stored, and reads back otherwise, is not to be taken for stored by whoever looks at names and lengths.
    fn not_to_be_kept(&self, name: &str, error: Error) -> Failed {
        // A metafile may be another box's.
        let object = ObjectName::parse(name).filter(ObjectName::tells_contents);
        if let (ErrorKind::Corrupt, Some(object)) = (error.kind, object) {
            // Who may not delete it is told that it lies there, damaged.
            return match self.delete(&object) {
                Ok(()) => Failed::ForNow(error, None),
                Err(_) => Failed::ForGood(error),
            };
        }
        if error.is_of_the_way() { Failed::ForNow(error, None) } else { Failed::ForGood(error) }
    }

    /// By a part of one byte: where the answer to HEAD says 404, it can't say of what.
    fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = self.what("look at", &name);
        let not_told = || Error::new(ErrorKind::Io, format!("{what}: the server does not tell its length"));
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name, headers: vec![("range", "bytes=0-0".into())], ..Ask::default() };
            match self.client.ask(&ask, &[206], &what)? {
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
}

impl Ranged for S3 {
    fn part(&self, name: &str, offset: u64, length: u64, etag: Option<&str>) -> Result<Option<Answer>, Failed> {
        let what = self.what("read", &name);
        let mut headers = vec![("range", body::range(offset, length))];
        headers.extend(etag.map(|etag| ("if-match", etag.to_owned())));
        let ask = Ask { method: "GET", name, headers, ..Ask::default() };
        match self.client.ask(&ask, &[206, 200], &what)? {
            // A page to log in on, or of a router.
            Ok(answer) if answer.status() == 200 && header(&answer, "etag").is_none() => {
                Err(Failed::ForNow(no_s3(&what), None))
            }
            Ok(answer) if body::begins_at(&answer, offset) => Ok(Some(answer)),
            Ok(_) => Err(Error::new(ErrorKind::Corrupt, format!("{what}: the server sent another part")).into()),
            Err(refusal) if refusal.status == 416 => Ok(None),
            Err(refusal) => Err(refusal.failed(&what)),
        }
    }

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn http(&self) -> &Http {
        &self.client.http
    }

    fn what(&self, verb: &str, name: &dyn Display) -> String {
        format!("can't {verb} {name} in {}", self.describe())
    }
}

impl Target for S3 {
    fn stage(&self) -> Result<Stage, Error> {
        self.spool.stage()
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

    fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), Error> {
        Body::beginning(self, name.to_string(), length)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.length(&name.to_string())
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.pages("", each)
    }

    fn list_of(&self, root: &str, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        match self.pages(&format!("{root}-"), each) {
            // A policy, or a server, may want to be asked for all of a folder only, and not every one says so in words of S3.
            Err(error) if error.kind != ErrorKind::Stopped => self.list(each),
            listed => listed,
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what("delete", name));
        let ask = Ask { method: "DELETE", name: &text, ..Ask::default() };
        self.retry.run(|_| match self.client.ask(&ask, &[200, 202, 204], &what)? {
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
        let finished = self.spool.finished(text.as_bytes())?;
        self.store(ID_FILE, &finished, &self.what("write", &ID_FILE))?;
        // Another box may have been faster, or as fast at a server that does not look: what is there now is the target's.
        self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.client.http.clock(&self.describe())
    }

    fn describe(&self) -> String {
        let Bucket { endpoint, name, prefix, .. } = &self.client.bucket;
        format!("s3://{}/{name}/{prefix}", endpoint.authority())
    }
}

/// What answers does not know what was asked.
fn no_s3(what: &str) -> Error {
    let why = format!("{what}: what answers is not a server of S3");
    Error::new(ErrorKind::Unreachable, why).advise("see `endpoint`: is it the address of S3, and its port?")
}
