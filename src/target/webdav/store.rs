//! Storing: under a temporary name, and then under its own.

use super::ask::Ask;
use super::{WebDav, probe};
use crate::digest::hex;
use crate::target::body;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, header};
use crate::target::retry::Failed;
use crate::target::stage::Finished;
use crate::target::upload::Payload;

/// What servers say to PUT and to MOVE when it is done: nginx says 204 to what is new, too.
pub(super) const STORED: &[u16] = &[200, 201, 204];
pub(super) const MOVED: &[u16] = STORED;

impl WebDav {
    /// Before the first object is stored.
    pub(super) fn try_out(&self) -> Result<(), Error> {
        let Ok(mut is_tried) = self.is_tried.lock() else {
            return Err(Error::new(ErrorKind::Io, "another thread failed while it tried out the server"));
        };
        if !*is_tried {
            probe::run(self)?;
            *is_tried = true;
        }
        Ok(())
    }

    pub(super) fn renaming<'a>(&self, from: &'a str, to: &str) -> Ask<'a> {
        let destination = format!("{}{}", self.collection.endpoint, self.collection.path_of(to));
        let headers = vec![("destination", destination), ("overwrite", "F".to_owned())];
        Ask { method: "MOVE", name: from, headers, ..Ask::default() }
    }

    /// Stores a file under a name that has none. False: it has one.
    pub(super) fn store(&self, name: &str, finished: &Finished, what: &str) -> Result<bool, Error> {
        let stage = self.upload(finished, what)?;
        let stored = self.give_name(&stage, name, finished, what);
        if !matches!(stored, Ok(true)) {
            self.remove(&stage);
        }
        stored
    }

    /// The name that it has for now. Each try has its own: what a proxy still holds of the one before must not come over it.
    fn upload(&self, finished: &Finished, what: &str) -> Result<String, Error> {
        let headers = || {
            // ownCloud holds what it stores against the first, Nextcloud keeps it, and answers the second with the digest of what came.
            vec![
                ("oc-checksum", format!("SHA1:{}", finished.sha1())),
                ("x-hash", "sha1".to_owned()),
                ("content-type", "application/octet-stream".to_owned()),
            ]
        };
        self.retry.run(|_| {
            let stage = temporary_name("stage")?;
            let ask = Ask { method: "PUT", name: &stage, headers: headers(), body: Some(Payload::of(finished)) };
            let stored = self.ask(&ask, STORED, what).and_then(|answer| {
                let answer = answer.map_err(|refusal| self.refused(refusal, what))?;
                let came = header(&answer, "x-hash-sha1").map(str::to_owned);
                http::drain(answer);
                match came.filter(|came| !came.trim().eq_ignore_ascii_case(&finished.sha1().to_string())) {
                    Some(_) => {
                        let why = format!("{what}: the server has got other bytes than those that were sent");
                        let error = Error::new(ErrorKind::Corrupt, why);
                        Err(Failed::ForNow(error.advise("a line or a memory that garbles them?"), None))
                    }
                    None => Ok(self.length(&stage)?),
                }
            });
            if !matches!(stored, Ok(Some(length)) if length == finished.length()) {
                self.remove(&stage);
            }
            match stored? {
                Some(length) if length == finished.length() => Ok(stage),
                there => {
                    let (there, length) = (there.unwrap_or_default(), finished.length());
                    let why = format!("{what}: the server says that it is stored, and has {there} bytes of {length}");
                    Err(Failed::ForNow(Error::new(ErrorKind::Io, why), None))
                }
            }
        })
    }

    fn give_name(&self, stage: &str, name: &str, finished: &Finished, what: &str) -> Result<bool, Error> {
        self.retry.run(|tried| match self.ask(&self.renaming(stage, name), MOVED, what)? {
            Ok(answer) => {
                http::drain(answer);
                match self.length(name)? {
                    // Another box came between, or not: who stores a metafile reads it back.
                    Some(there) => Ok(there == finished.length()),
                    // A page to log in on says 200 to this, too.
                    None => {
                        let why = format!("{what}: the server says that it is renamed, and it is not there");
                        Err(Failed::ForNow(Error::new(ErrorKind::Io, why), None))
                    }
                }
            }
            // The first try may have been done and its answer lost.
            Err(refusal) if tried > 0 && refusal.status < 500 && self.came_through(name, finished)? => Ok(true),
            Err(refusal) if refusal.status == 412 => Ok(false),
            Err(refusal) => Err(self.refused(refusal, what)),
        })
    }

    /// Whether the object there is this one.
    pub(super) fn holds(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        body::holds(self, name, self.length(name)?, finished)
    }

    fn came_through(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        body::came_through(self, name, self.length(name)?, finished)
    }

    /// Removes a file that is no object, if it can be.
    pub(super) fn remove(&self, name: &str) {
        let ask = Ask { method: "DELETE", name, ..Ask::default() };
        if let Ok(Ok(answer)) = self.ask(&ask, &[200, 202, 204], "") {
            http::drain(answer);
        }
    }

    /// By the listing that was last read.
    pub(super) fn sweep(&self) {
        let names = self.left_over.lock().map(|mut names| std::mem::take(&mut *names)).unwrap_or_default();
        names.iter().for_each(|name| self.remove(name));
    }
}

/// Of a file that is no object yet; no other box has it.
pub(super) fn temporary_name(what: &str) -> Result<String, Error> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Io, "no random numbers for a temporary name"))?;
    Ok(format!(".{what}-{}.partial", hex(&bytes)))
}
