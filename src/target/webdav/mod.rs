//! A folder of a server that speaks WebDAV (RFC 4918): Nextcloud, Apache, a router's share.
//!
//! An object is stored under a temporary name and gets its own when it is whole, unless that is taken (`MOVE` with `Overwrite: F`): what is there under
//! its name is all of it. Whether a server keeps to that is tried before anything is stored, see [`probe`].

mod ask;
mod auth;
mod listing;
mod metered;
mod multistatus;
mod probe;
mod refusal;
mod store;

use std::fmt::Display;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use crate::provider::{Collection, Login};
use crate::target::body::{self, Body, Ranged};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::spool::Spool;
use crate::target::stage::{Finished, Stage};
use crate::target::{ObjectName, Target, Way};
use ask::Ask;
use auth::Session;
use refusal::Refusal;

/// A folder of a server.
#[derive(Debug)]
pub struct WebDav {
    collection: Collection,
    session: Session,
    spool: Spool,
    http: Http,
    retry: Retry,
    /// Whether it is asked before a large body is sent; not if it does not know that.
    expects: AtomicBool,
    /// Whether it has been tried out.
    is_tried: Mutex<bool>,
    /// What a listing showed to be left over. It goes with the next object that is stored: who only reads deletes nothing.
    left_over: Mutex<Vec<String>>,
}

impl WebDav {
    /// The folder. Nothing is asked yet. Objects wait in `spool_dir`.
    pub fn open(collection: Collection, login: Option<Login>, spool_dir: PathBuf, way: Way) -> Result<Self, Error> {
        let http = Http::new(collection.endpoint.is_tls(), &collection.trust, way.clone())?;
        let is_clear_allowed =
            collection.endpoint.is_tls() || collection.endpoint.is_this_machine() || collection.is_clear_allowed;
        Ok(Self {
            session: Session::new(login, is_clear_allowed),
            collection,
            spool: Spool::in_folder(spool_dir),
            http,
            retry: Retry::new(way),
            expects: true.into(),
            is_tried: Mutex::default(),
            left_over: Mutex::default(),
        })
    }

    fn place(&self) -> String {
        let scheme = if self.collection.endpoint.is_tls() { "webdavs" } else { "webdav" };
        format!("{scheme}://{}{}", self.collection.endpoint.authority(), self.collection.path_of(""))
    }

    fn what_of(&self, verb: &str, name: &dyn Display) -> String {
        format!("can't {verb} {name} in {}", self.place())
    }

    fn folder_is_gone(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the folder {} is not there", self.place()))
            .advise("is the path in `url` right? has the folder been moved?")
    }

    /// A refusal of something that is done in the folder. That the folder is gone is said in many ways.
    fn refused(&self, refusal: Refusal, what: &str) -> Failed {
        if refusal.may_be_the_folder() && matches!(self.is_folder(&self.collection), Ok(false)) {
            return self.folder_is_gone().into();
        }
        refusal.failed(what)
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what_of("read", &ID_FILE);
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name: ID_FILE, ..Ask::default() };
            match self.ask(&ask, &[200], &what)? {
                Ok(mut answer) => {
                    let bytes = http::short(&mut answer, ID_BYTES_MAX).map_err(http::cut(&what))?;
                    match id::parse(&bytes, &self.place()) {
                        Ok(id) => Ok(Some(id)),
                        Err(malformed) => Err(self.damaged_or_no_webdav(malformed, &what)),
                    }
                }
                Err(refusal) if refusal.is_not_found() => Ok(None),
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }

    /// What was read as the id is none: it is damaged, or a page to log in on, or of a router.
    fn damaged_or_no_webdav(&self, malformed: Error, what: &str) -> Failed {
        match self.propfind(&self.collection.path_of(""), "0", what) {
            Err(failed) => failed,
            Ok(Ok(_)) => malformed.into(),
            Ok(Err(refusal)) if matches!(refusal.status, 401 | 403 | 408 | 423..=425 | 429 | 500 | 502..) => {
                refusal.failed(what)
            }
            Ok(Err(_)) => {
                let error =
                    Error::new(ErrorKind::Unreachable, format!("{what}: what answers is not a server of WebDAV"));
                Failed::ForNow(error.advise("see `url`: is it the address of WebDAV?"), None)
            }
        }
    }

    /// Makes the folder, not what is above it: an address that is wrong must not become a folder.
    fn make_folder(&self) -> Result<(), Error> {
        let what = format!("can't make the folder {}", self.place());
        let made = self.retry.run(|_| {
            let ask = Ask { method: "MKCOL", ..Ask::default() };
            match self.ask(&ask, &[200, 201, 204], &what)? {
                Ok(answer) => http::drain(answer),
                // Another box was faster.
                Err(refusal) if refusal.status == 405 && self.is_folder(&self.collection)? => {}
                Err(refusal) => return Err(refusal.failed(&what)),
            }
            Ok(())
        });
        made.map_err(|error| match self.collection.parent().map(|parent| self.is_folder(&parent)) {
            Some(Ok(false)) => Error::new(ErrorKind::Unreachable, format!("{what}: the folder above it is not there"))
                .advise("is the path in `url` right? brackup makes the last folder of it and no other"),
            _ => error,
        })?;
        if self.is_folder(&self.collection)? { Ok(()) } else { Err(self.folder_is_gone()) }
    }

    /// By a part of one byte: not every server tells the length to HEAD.
    fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = self.what_of("look at", &name);
        let not_told = || Error::new(ErrorKind::Io, format!("{what}: the server does not tell its length"));
        self.retry.run(|_| {
            let ask = Ask { method: "GET", name, headers: vec![("range", body::range(0, 1))], ..Ask::default() };
            match self.ask(&ask, &[200, 206], &what)? {
                Ok(answer) => {
                    let total = body::total(&answer);
                    http::drain(answer);
                    Ok(Some(total.ok_or_else(not_told)?))
                }
                // It is there and empty: none of ours.
                Err(refusal) if refusal.status == 416 => Ok(Some(0)),
                Err(refusal) if refusal.is_not_found() => {
                    self.surely_absent(name, &what)?;
                    Ok(None)
                }
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }
}

impl Ranged for WebDav {
    fn part(&self, name: &str, offset: u64, length: u64, _: Option<&str>) -> Result<Option<Answer>, Failed> {
        let what = self.what_of("read", &name);
        let ask = Ask { method: "GET", name, headers: vec![("range", body::range(offset, length))], ..Ask::default() };
        match self.ask(&ask, &[206, 200], &what)? {
            Ok(answer) if body::begins_at(&answer, offset) => Ok(Some(answer)),
            Ok(_) => Err(Error::new(ErrorKind::Corrupt, format!("{what}: the server sent another part")).into()),
            Err(refusal) if refusal.status == 416 => Ok(None),
            Err(refusal) if refusal.is_not_found() => {
                self.surely_absent(name, &what)?;
                Err(refusal.failed(&what))
            }
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

impl Target for WebDav {
    fn stage(&self) -> Result<Stage, Error> {
        self.spool.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.try_out()?;
        let (text, what) = (name.to_string(), self.what_of("store", name));
        let exists = || Error::new(ErrorKind::Exists, format!("{name} is there already in {}", self.place()));
        // Most servers look whether a name is taken, and then rename: two boxes may come between. So before, and after.
        if !name.tells_contents() && self.length(&text)?.is_some() {
            return Err(exists());
        }
        let is_stored = self.store(&text, &finished, &what)?;
        let is_right = match name.tells_contents() {
            true => is_stored || self.length(&text)? == Some(finished.length()),
            // A proxy may have said it twice: then it is there already, and ours.
            false => self.holds(&text, &finished)?,
        };
        self.sweep();
        if is_right { Ok(()) } else { Err(exists()) }
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
        let what = format!("can't list {}", self.place());
        self.retry.run(|_| self.listing(&what))?.each(&what, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what_of("delete", name));
        self.retry.run(|_| {
            let ask = Ask { method: "DELETE", name: &text, ..Ask::default() };
            match self.ask(&ask, &[200, 202, 204], &what)? {
                Ok(answer) => {
                    http::drain(answer);
                    Ok(())
                }
                Err(refusal) if refusal.is_not_found() => Ok(self.surely_absent(&text, &what)?),
                Err(refusal) => Err(refusal.failed(&what)),
            }
        })
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let place = self.place();
        let found = self.read_id()?;
        let is_there = found.is_some() || self.is_folder(&self.collection)?;
        if let Some(found) = id::check(found, expected, &place, is_there)? {
            return Ok(found);
        }
        if !is_there {
            self.make_folder()?;
        }
        self.try_out()?;
        let (_, text) = id::generate()?;
        let finished = self.spool.finished(text.as_bytes())?;
        let is_ours = self.store(ID_FILE, &finished, &self.what_of("write", &ID_FILE))?;
        let listed = if is_ours { self.lists(ID_FILE, finished.length()) } else { Ok(true) };
        if !matches!(listed, Ok(true)) {
            // With an id it would count as tried out.
            self.remove(ID_FILE);
            listed?;
            return Err(probe::bad(self, "it does not list what is there"));
        }
        // Another box may have been faster: what is there now is the target's.
        self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.http().clock(&self.place())
    }

    fn describe(&self) -> String {
        self.place()
    }
}
