//! A folder of Google Drive (API version 3), made by this program: its login sees nothing else (`drive.file`).
//!
//! Names are no keys there: what is stored never replaces anything, and several files may have one name. A chunk is any of them whose bytes
//! are its own. Of a metafile there is one: whoever stores a second finds the first, before or after, and takes the own one away.

mod api;
mod files;
mod grant;
mod known;
mod login;
mod oauth;
mod refusal;
mod upload;

use std::fmt::Display;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::json;

use crate::limits::RETRY_TRIES;
use crate::provider::{DriveFolder, OauthClient, percent_encode};
use crate::target::body::{self, Body, Ranged};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::spool::Spool;
use crate::target::stage::{Finished, Stage};
use crate::target::upload::Payload;
use crate::target::{ObjectName, Target, Way};
use api::{Api, Ask};
use files::{FOLDER_TYPE, File};
pub use grant::GrantFile;
use known::KnownIds;
pub use login::{DeviceCode, log_in};
use oauth::{Oauth, Session};
use refusal::Refusal;

/// A folder of Google Drive.
#[derive(Debug)]
pub struct GoogleDrive {
    folder: DriveFolder,
    api: Api,
    spool: Spool,
    retry: Retry,
    known: KnownIds,
    /// The folder's id, once it was found.
    folder_id: Mutex<Option<String>>,
}

impl GoogleDrive {
    /// The folder, asked for by who has logged in. Nothing is asked yet. Objects wait in `spool_dir`.
    pub fn open(
        folder: DriveFolder,
        client: OauthClient,
        login: GrantFile,
        spool_dir: PathBuf,
        way: Way,
    ) -> Result<Self, Error> {
        let http = Http::new(folder.api.is_tls() || folder.oauth.is_tls(), &folder.trust, way.clone())?;
        let session = Session::open(Oauth { endpoint: folder.oauth.clone(), client }, login)?;
        Ok(Self {
            api: Api { endpoint: folder.api.clone(), session, http },
            folder,
            spool: Spool::in_folder(spool_dir),
            retry: Retry::new(way),
            known: KnownIds::default(),
            folder_id: Mutex::default(),
        })
    }

    fn refused(&self, refusal: Refusal, what: &str) -> Failed {
        self.api.session.failed(refusal, what)
    }

    fn what_of(&self, verb: &str, name: &dyn Display) -> String {
        format!("can't {verb} {name} in {}", self.folder)
    }

    fn folder_is_gone(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the folder {} is not there", self.folder)).advise(
            "is it in the trash, or moved? is `path` right? a login sees only what its own `client_id` has made",
        )
    }

    /// The id of the folder, which must be there.
    fn folder(&self) -> Result<String, Error> {
        let Ok(mut known) = self.folder_id.lock() else {
            return Err(Error::new(ErrorKind::Io, "another thread failed while it looked for the folder"));
        };
        if known.is_none() {
            *known = self.find_folder(false)?;
        }
        known.clone().ok_or_else(|| self.folder_is_gone())
    }

    /// Goes down from the top, and makes what is not there if it is to.
    fn find_folder(&self, makes: bool) -> Result<Option<String>, Error> {
        let what = format!("can't look for {}", self.folder);
        let mut id = "root".to_owned();
        for name in self.folder.names() {
            id = match self.folder_in(&id, name, &what)? {
                Some(id) => id,
                None if makes => self.make_folder(&id, name)?,
                None => return Ok(None),
            };
        }
        Ok(Some(id))
    }

    /// Another box may make it at the same time: then the oldest is the one, and the other stays empty.
    fn make_folder(&self, parent: &str, name: &str) -> Result<String, Error> {
        let what = format!("can't make the folder {}", self.folder);
        let about = json!({ "name": name, "parents": [parent], "mimeType": FOLDER_TYPE }).to_string();
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        let ask = Ask {
            method: "POST",
            path: "/drive/v3/files?fields=id&prettyPrint=false",
            headers,
            body: Some(Payload::Text(&about)),
        };
        self.retry.run(|tried| {
            // The first try may have been done and its answer lost.
            if tried > 0 && self.folder_in(parent, name, &what)?.is_some() {
                return Ok(());
            }
            let answer = self.api.ask(&ask, &[200, 201], &what)?.map_err(|refusal| self.refused(refusal, &what))?;
            http::drain(answer);
            Ok(())
        })?;
        self.retry.run(|_| {
            let not_yet = || Error::new(ErrorKind::Io, format!("{what}: it is made, and is not there yet"));
            self.folder_in(parent, name, &what)?.ok_or_else(|| Failed::ForNow(not_yet(), None))
        })
    }

    /// Nothing of a name is there: that is so if the folder is.
    fn surely_there(&self) -> Result<(), Error> {
        let id = self.folder()?;
        if self.file(&id, &format!("can't look at {}", self.folder))?.is_some() {
            return Ok(());
        }
        if let Ok(mut known) = self.folder_id.lock() {
            *known = None;
        }
        Err(self.folder_is_gone())
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what_of("read", &ID_FILE);
        let Some(file) = self.look(ID_FILE, &what)? else {
            self.surely_there()?;
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = Body::open(self, ID_FILE.into(), 0, file.length().unwrap_or_default().min(ID_BYTES_MAX))?;
        { read }.read_to_end(&mut bytes).map_err(|error| Error::io(what, error))?;
        id::parse(&bytes, &self.describe()).map(Some)
    }

    /// Whether what was stored is the only one of its name. Two that come together both go: nothing of either was told to be stored.
    fn is_alone(&self, name: &str, file: &File, what: &str) -> Result<bool, Error> {
        let others = self.retry.run(|_| {
            let all = self.named(name, what)?;
            if all.iter().any(|there| there.id == file.id) {
                // The same bytes are of a try before.
                let is_same = |there: &File| file.sha1_checksum.is_some() && there.sha1_checksum == file.sha1_checksum;
                return Ok(all.into_iter().any(|there| there.id != file.id && !is_same(&there)));
            }
            Err(Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: it is stored, and not listed yet")), None))
        })?;
        if others {
            self.known.forget(name);
            self.remove(&file.id, what)?;
        }
        Ok(!others)
    }

    /// By id: this file, and no other of its name.
    fn remove(&self, id: &str, what: &str) -> Result<(), Error> {
        let path = format!("/drive/v3/files/{}", percent_encode(id));
        self.retry.run(|_| {
            let ask = Ask { method: "DELETE", path: &path, ..Ask::default() };
            match self.api.ask(&ask, &[200, 204], what)? {
                Err(refusal) if !refusal.is_not_found() => Err(self.refused(refusal, what)),
                _ => Ok(()),
            }
        })
    }
}

impl Ranged for GoogleDrive {
    fn part(&self, name: &str, offset: u64, length: u64, _: Option<&str>) -> Result<Option<Answer>, Failed> {
        let what = self.what_of("read", &name);
        let mut is_remembered = true;
        loop {
            let remembered = self.known.id(name).filter(|_| is_remembered);
            is_remembered = remembered.is_some();
            let id = match remembered {
                Some(id) => id,
                None => match self.look(name, &what)? {
                    Some(file) => file.id,
                    None => {
                        self.surely_there()?;
                        return Err(Error::new(ErrorKind::NotFound, format!("{what}: it is not there")).into());
                    }
                },
            };
            let path = format!("/drive/v3/files/{}?alt=media", percent_encode(&id));
            let headers = vec![("range", body::range(offset, length))];
            let ask = Ask { method: "GET", path: &path, headers, ..Ask::default() };
            return match self.api.ask(&ask, &[206, 200], &what)? {
                Ok(answer) if body::begins_at(&answer, offset) => Ok(Some(answer)),
                Ok(_) => Err(Error::new(ErrorKind::Corrupt, format!("{what}: the server sent another part")).into()),
                Err(refusal) if refusal.status == 416 => Ok(None),
                Err(refusal) if refusal.is_not_found() && is_remembered => {
                    self.known.forget(name);
                    continue;
                }
                Err(refusal) => Err(self.refused(refusal, &what)),
            };
        }
    }

    fn retry(&self) -> &Retry {
        &self.retry
    }

    fn http(&self) -> &Http {
        &self.api.http
    }

    fn what(&self, verb: &str, name: &dyn Display) -> String {
        self.what_of(verb, name)
    }
}

impl Target for GoogleDrive {
    fn stage(&self) -> Result<Stage, Error> {
        self.spool.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what_of("store", name));
        let exists = || Error::new(ErrorKind::Exists, format!("{name} is there already in {}", self.folder));
        // Beside a chunk that is not what its name says the right one is stored, and is then the one.
        if let Some(there) = self.look(&text, &what)?.filter(|there| there.fits(&text)) {
            let is_it = name.tells_contents() && there.length() == Some(finished.length());
            return if is_it { Ok(()) } else { Err(exists()) };
        }
        let file = self.store(&text, &finished, &what)?;
        if name.tells_contents() || self.is_alone(&text, &file, &what)? { Ok(()) } else { Err(exists()) }
    }

    // The beginning only behind a look at it: what was known by its id may be in the trash by now.
    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(Body::open(self, name.to_string(), offset, length)?))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        let what = self.what_of("look at", name);
        let Some(file) = self.look(&name.to_string(), &what)? else {
            self.surely_there()?;
            return Ok(None);
        };
        let not_told = || Error::new(ErrorKind::Io, format!("{what}: its length is not told"));
        file.length().map(Some).ok_or_else(not_told)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.objects(&format!("can't list {}", self.folder), each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let (text, what) = (name.to_string(), self.what_of("delete", name));
        // What was stored just now may not be listed yet.
        let remembered = self.known.id(&text);
        let listed = self.named(&text, &what)?;
        let is_another = |file: &File| listed.iter().any(|other| other.sha1_checksum != file.sha1_checksum);
        if !name.tells_contents() && listed.iter().any(is_another) {
            // Whoever wants it deleted has looked at one of them.
            let why = format!("{what}: several files have this name, and they are not the same");
            return Err(
                Error::new(ErrorKind::Corrupt, why).advise("two boxes with sources of one name need a folder each")
            );
        }
        let is_listed = |id: &String| listed.iter().any(|file| file.id == *id);
        for id in remembered.iter().filter(|id| !is_listed(id)).chain(listed.iter().map(|file| &file.id)) {
            self.remove(id, &what)?;
        }
        self.known.forget(&text);
        if listed.is_empty() { self.surely_there() } else { Ok(()) }
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let place = self.describe();
        let remember = |id: Option<String>| {
            if let Ok(mut known) = self.folder_id.lock() {
                *known = id;
            }
        };
        let folder = self.find_folder(false)?;
        let is_there = folder.is_some();
        remember(folder);
        let found = if is_there { self.read_id()? } else { None };
        if let Some(found) = id::check(found, expected, &place, is_there)? {
            return Ok(found);
        }
        if !is_there {
            remember(self.find_folder(true)?);
        }
        let what = self.what_of("write", &ID_FILE);
        for tried in 1..RETRY_TRIES {
            let (id, text) = id::generate()?;
            let file = self.store(ID_FILE, &self.spool.finished(text.as_bytes())?, &what)?;
            if self.is_alone(ID_FILE, &file, &what)? {
                return Ok(id);
            }
            // Another box was faster, or as fast, and then neither has stored one.
            if !self.retry.wait(tried, None) {
                break;
            }
            if let Some(found) = self.read_id()? {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.http().clock(&self.describe())
    }

    fn describe(&self) -> String {
        self.folder.to_string()
    }
}
