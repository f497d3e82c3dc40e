//! Storing, by an upload that goes on after a cut (Drive API, "Perform a resumable upload"): a file is there when all of it is, and Google
//! tells the digest of what it has.

use std::cell::{Cell, RefCell};

use serde_json::json;

use super::GoogleDrive;
use super::api::Ask;
use super::files::{FIELDS, File};
use super::oauth;
use crate::digest::hex;
use crate::provider::{Endpoint, percent_encode};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, header};
use crate::target::retry::Failed;
use crate::target::stage::Finished;
use crate::target::upload::Payload;

/// How far an upload is.
enum State {
    /// All of it.
    Stored(File),
    /// So many bytes.
    Taken(u64),
    /// Nobody knows of it any more.
    Gone,
}

impl GoogleDrive {
    /// Stores a file under a name, whether or not there are others.
    pub(super) fn store(&self, name: &str, finished: &Finished, what: &str) -> Result<File, Error> {
        let (session, taken, begun) = (RefCell::new(None::<String>), Cell::new(0_u64), Cell::new(false));
        let file = self.retry.go_on(
            || taken.get(),
            |_| {
                let goes_on = session.borrow().clone();
                let state = match goes_on {
                    Some(path) => self.state(&path, finished, what)?,
                    None => {
                        // It may have been stored, and then the answer was lost, and the upload with it.
                        if begun.get()
                            && let Some(file) = self.stored_already(name, finished, what)?
                        {
                            return Ok(file);
                        }
                        begun.set(true);
                        *session.borrow_mut() = Some(self.begin(name, finished, what)?);
                        State::Taken(0)
                    }
                };
                let path = session.borrow().clone().unwrap_or_default();
                let state = match state {
                    State::Taken(offset) if offset < finished.length() => {
                        taken.set(offset);
                        self.send(&path, finished, offset, what)?
                    }
                    state => state,
                };
                let later = |why: &str| Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: {why}")), None);
                match state {
                    State::Stored(file) => {
                        *session.borrow_mut() = None;
                        self.hold(file, finished, what)
                    }
                    State::Taken(bytes) => {
                        taken.set(bytes);
                        Err(later(&format!("{bytes} bytes of {} were taken", finished.length())))
                    }
                    State::Gone => {
                        *session.borrow_mut() = None;
                        taken.set(0);
                        Err(later("the upload is not known any more"))
                    }
                }
            },
        )?;
        self.known.learn(name, &file.id);
        Ok(file)
    }

    /// The path that the bytes go to.
    fn begin(&self, name: &str, finished: &Finished, what: &str) -> Result<String, Failed> {
        let folder = self.folder()?;
        let kind = "application/octet-stream";
        let about = json!({ "name": name, "parents": [folder], "mimeType": kind }).to_string();
        let headers = vec![
            ("content-type", "application/json; charset=UTF-8".to_owned()),
            ("x-upload-content-type", kind.to_owned()),
            ("x-upload-content-length", finished.length().to_string()),
        ];
        // Not seen by everybody of a company whose files usually are.
        let path = format!(
            "/upload/drive/v3/files?uploadType=resumable&ignoreDefaultVisibility=true&fields={}&prettyPrint=false",
            percent_encode(FIELDS)
        );
        let ask = Ask { method: "POST", path: &path, headers, body: Some(Payload::Text(&about)) };
        let answer = match self.api.ask(&ask, &[200], what)? {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_not_found() => return Err(self.folder_is_gone().into()),
            Err(refusal) => return Err(self.refused(refusal, what)),
        };
        let place = header(&answer, "location").map(str::to_owned);
        http::drain(answer);
        let Some(place) = place else {
            return Err(Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: no upload was begun")), None));
        };
        // Whoever has this address may write there, and with every request goes the token.
        match Endpoint::split(&place) {
            Some((endpoint, path)) if endpoint == self.folder.api && path.starts_with('/') => Ok(path.to_owned()),
            _ => {
                let why = format!("{what}: the server sends the bytes to an address that is not its own");
                Err(Error::new(ErrorKind::Denied, why).advise("is something in between? see `api_endpoint`").into())
            }
        }
    }

    /// Sends what is behind `offset`.
    fn send(&self, path: &str, finished: &Finished, offset: u64, what: &str) -> Result<State, Failed> {
        let length = finished.length();
        let headers = vec![("content-range", format!("bytes {offset}-{}/{length}", length - 1))];
        let body = Some(Payload::File { finished, offset, length: length - offset });
        self.put(&Ask { method: "PUT", path, headers, body }, finished, what)
    }

    /// Asks how far it is.
    fn state(&self, path: &str, finished: &Finished, what: &str) -> Result<State, Failed> {
        let headers = vec![("content-range", format!("bytes */{}", finished.length()))];
        self.put(&Ask { method: "PUT", path, headers, body: Some(Payload::Text("")) }, finished, what)
    }

    fn put(&self, ask: &Ask<'_>, finished: &Finished, what: &str) -> Result<State, Failed> {
        match self.api.ask(ask, &[200, 201, 308], what)? {
            Ok(answer) if answer.status() == 308 => {
                let taken = taken(&answer).filter(|taken| *taken <= finished.length());
                http::drain(answer);
                let why = || Error::new(ErrorKind::Io, format!("{what}: it is not told how much was taken"));
                taken.map(State::Taken).ok_or_else(|| Failed::ForNow(why(), None))
            }
            Ok(answer) => Ok(State::Stored(oauth::json(answer, what)?)),
            Err(refusal) if matches!(refusal.status, 404 | 410) => Ok(State::Gone),
            Err(refusal) => Err(self.refused(refusal, what)),
        }
    }

    /// Holds what Google says that it stored against what was sent. What is another thing is removed.
    fn hold(&self, file: File, finished: &Finished, what: &str) -> Result<File, Failed> {
        let not_told =
            || Failed::ForNow(Error::new(ErrorKind::Io, format!("{what}: it is not told what was stored")), None);
        if file.id.is_empty() {
            return Err(not_told());
        }
        let is_told = file.length().is_some() && (file.sha1_checksum.is_some() || file.md5_checksum.is_some());
        let file = if is_told { file } else { self.file(&file.id, what)?.ok_or_else(not_told)? };
        let is_same = match (&file.sha1_checksum, &file.md5_checksum) {
            _ if file.length() != Some(finished.length()) => false,
            (Some(sha1), _) => sha1.eq_ignore_ascii_case(&finished.sha1().to_string()),
            (None, Some(md5)) => md5.eq_ignore_ascii_case(&hex(&Payload::of(finished).digest::<md5::Md5>(what)?)),
            (None, None) => return Err(not_told()),
        };
        if file.trashed {
            let _ = self.remove(&file.id, what);
            return Err(self.folder_is_gone().into());
        }
        if is_same {
            return Ok(file);
        }
        let why = Error::new(ErrorKind::Io, format!("{what}: what was stored is not what was sent"));
        self.remove(&file.id, what)?;
        Err(Failed::ForNow(why, None))
    }

    /// What a try before this one has stored: what is sealed is like nothing else.
    fn stored_already(&self, name: &str, finished: &Finished, what: &str) -> Result<Option<File>, Error> {
        let sha1 = finished.sha1().to_string();
        let is_ours = |file: &File| {
            let has_sha1 = file.sha1_checksum.as_ref().is_some_and(|there| there.eq_ignore_ascii_case(&sha1));
            has_sha1 && file.length() == Some(finished.length())
        };
        Ok(self.named(name, what)?.into_iter().find(is_ours))
    }
}

/// How many bytes from the beginning are there, by `Range: bytes=0-42`; without it none.
fn taken(answer: &Answer) -> Option<u64> {
    let Some(range) = header(answer, "range") else { return Some(0) };
    range
        .trim()
        .strip_prefix("bytes=0-")
        .or_else(|| range.trim().strip_prefix("0-"))?
        .parse::<u64>()
        .ok()?
        .checked_add(1)
}
