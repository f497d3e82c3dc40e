//! Another box, which runs `brackup serve`: docs/PROTOCOL.md has what is said.
//!
//! It holds each object against its digest before it keeps it, writes over nothing and deletes nothing, whoever asks. What is listed there ends with
//! a mark, so that a listing that was cut off is not taken for all there is.

mod ask;
mod listing;

use std::fmt::Display;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::provider::{Server, Token};
use crate::target::body::{self, Body, Ranged};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http, header};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::spool::Spool;
use crate::target::stage::{Finished, Stage};
use crate::target::upload::Payload;
use crate::target::{ObjectName, Target, Way};
use ask::Ask;

/// What this host has at another box.
#[derive(Debug)]
pub struct Brackup {
    server: Server,
    token: Token,
    spool: Spool,
    http: Http,
    retry: Retry,
}

impl Brackup {
    /// The box. Nothing is asked yet. Objects wait in `spool_dir`.
    pub fn open(server: Server, token: Token, spool_dir: PathBuf, way: Way) -> Result<Self, Error> {
        let http = Http::new(server.endpoint.is_tls(), &server.trust, way.clone())?;
        Ok(Self { server, token, spool: Spool::in_folder(spool_dir), http, retry: Retry::new(way) })
    }

    fn place(&self) -> String {
        let scheme = if self.server.endpoint.is_tls() { "brackup://" } else { "brackup:http://" };
        format!("{scheme}{}/", self.server.endpoint.authority())
    }

    fn what_of(&self, verb: &str, name: &dyn Display) -> String {
        format!("can't {verb} {name} at {}", self.place())
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what_of("read", &ID_FILE);
        self.retry.run(|_| match self.ask(&Ask::of("GET", ID_FILE), &[200], &what)? {
            Ok(mut answer) => {
                let bytes = http::short(&mut answer, ID_BYTES_MAX).map_err(http::cut(&what))?;
                Ok(Some(id::parse(&bytes, &self.place())?))
            }
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(refusal.failed(&what)),
        })
    }

    /// Stores a file under a name that has none. False: it has one.
    fn store(&self, name: &str, finished: &Finished, tells_contents: bool, what: &str) -> Result<bool, Error> {
        let mut headers = vec![("if-none-match", "*".to_owned())];
        if !tells_contents {
            let sha256 = Payload::of(finished).digest::<sha2::Sha256>(what)?;
            headers.push(("content-digest", format!("sha-256=:{}:", BASE64.encode(sha256))));
        }
        self.retry.run(|tried| {
            let ask = Ask { headers: headers.clone(), body: Some(Payload::of(finished)), ..Ask::of("PUT", name) };
            match self.ask(&ask, &[201], what)? {
                Ok(answer) => {
                    http::drain(answer);
                    Ok(true)
                }
                // The first try may have been stored and its answer lost.
                Err(refusal) if refusal.status == 412 => Ok(tried > 0 && self.came_through(name, finished)?),
                Err(refusal) => Err(refusal.failed(what)),
            }
        })
    }

    fn came_through(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        body::came_through(self, name, self.length(name)?, finished)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = self.what_of("look at", &name);
        self.retry.run(|_| match self.ask(&Ask::of("HEAD", name), &[200], &what)? {
            Ok(answer) => match header(&answer, "content-length").and_then(|length| length.parse().ok()) {
                Some(length) => Ok(Some(length)),
                None => Err(Error::new(ErrorKind::Io, format!("{what}: the box does not tell its length")).into()),
            },
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(refusal.failed(&what)),
        })
    }
}

impl Ranged for Brackup {
    fn part(&self, name: &str, offset: u64, length: u64, _: Option<&str>) -> Result<Option<Answer>, Failed> {
        let what = self.what_of("read", &name);
        let ask = Ask { headers: vec![("range", body::range(offset, length))], ..Ask::of("GET", name) };
        match self.ask(&ask, &[206, 200], &what)? {
            Ok(answer) if body::begins_at(&answer, offset) => Ok(Some(answer)),
            Ok(_) => Err(Error::new(ErrorKind::Corrupt, format!("{what}: the box sent another part")).into()),
            Err(refusal) if refusal.status == 416 => Ok(None),
            Err(refusal) => Err(refusal.failed(&what)),
        }
    }

    fn http(&self) -> &Http {
        &self.http
    }

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn what(&self, verb: &str, name: &dyn Display) -> String {
        self.what_of(verb, name)
    }
}

impl Target for Brackup {
    fn stage(&self) -> Result<Stage, Error> {
        self.spool.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what_of("store", name));
        if self.store(&text, &finished, name.tells_contents(), &what)? {
            return Ok(());
        }
        let same = name.tells_contents() && self.length(&text)? == Some(finished.length());
        let exists = || Error::new(ErrorKind::Exists, format!("{name} is there already at {}", self.place()));
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
        let what = format!("can't list what is at {}", self.place());
        self.retry.run(|_| self.listing(&what))?.each(&what, each)
    }

    /// Refused without asking: the other box would refuse it.
    fn delete(&self, _: &ObjectName) -> Result<(), Error> {
        self.may_delete()
    }

    fn may_delete(&self) -> Result<(), Error> {
        let why = format!("nothing is deleted at {}: the other box lets nobody delete", self.place());
        Err(Error::new(ErrorKind::Denied, why)
            .advise("who may write to the folder of this host there can: docs/TARGETS.md, Another box"))
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let place = self.place();
        if let Some(found) = id::check(self.read_id()?, expected, &place, true)? {
            return Ok(found);
        }
        let (_, text) = id::generate()?;
        let finished = self.spool.finished(text.as_bytes())?;
        self.store(ID_FILE, &finished, false, &self.what_of("write", &ID_FILE))?;
        // Another process of this host may have been faster: what is there now is the target's.
        self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.http.clock(&self.place())
    }

    fn describe(&self) -> String {
        self.place()
    }
}
