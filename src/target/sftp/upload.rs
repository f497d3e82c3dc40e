//! A staged file on its way to a server: to a name of its own, made durable, then to its final name.
//!
//! What was answered before a cut is there after it, but for a server that has lost its power: so it is asked to make durable what it
//! has, again and again, and after a cut goes on from there.

use std::cell::Cell;
use std::os::unix::fs::FileExt as _;

use super::Sftp;
use super::packet::{Answer, Ask, CREATE, Code, EXCLUSIVE, READ, Status, WRITE};
use super::session::{Fail, Session};
use super::words::Broken;
use crate::digest::hex;
use crate::fsutil;
use crate::target::error::{Error, ErrorKind};
use crate::target::retry::Failed;
use crate::target::stage::Finished;

/// What every server takes in a packet, with what is around it.
const WRITE_BYTES: usize = 32 * 1024;
/// Bytes on their way: 1 MiB.
const WRITES_IN_FLIGHT: usize = 32;
/// Bytes after which they are made durable; fewer on a line that is cut.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;
const SYNC_BYTES_AFTER_CUT: u64 = 1024 * 1024;

/// One object on its way.
struct Upload<'a> {
    finished: &'a Finished,
    partial: Vec<u8>,
    /// Tries so far.
    tried: u32,
    /// There may be something of it.
    is_begun: bool,
    /// Bytes that need not be sent again.
    safe: &'a Cell<u64>,
}

impl Sftp {
    /// Stores a file under a name that has none. False: it has one, and `tells_contents` or not, that is another object.
    pub(super) fn store(&self, name: &str, finished: &Finished, tells_contents: bool) -> Result<bool, Error> {
        let what = self.what("store", &name);
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Io, format!("{what}: no random numbers")))?;
        // Of a name that nobody else has: what is there of it is ours.
        let partial = self.path(&format!(".stage-{}.partial", hex(&bytes)));
        let safe = Cell::new(0);
        let mut upload = Upload { finished, partial, tried: 0, is_begun: false, safe: &safe };
        let stored = self.retry.go_on(
            || safe.get(),
            |_| {
                let done =
                    self.with(&what, |session| self.try_to_store(session, name, &mut upload, tells_contents, &what));
                upload.tried += 1;
                done
            },
        );
        fsutil::drop_cache(&finished.file, 0, 0);
        if upload.is_begun && !matches!(stored, Ok(Placed::Here)) {
            self.discard(&upload.partial);
        }
        match stored? {
            Placed::Here | Placed::Same => Ok(true),
            Placed::Other => Ok(false),
            // An answer was lost, and there is something: ours, or not.
            Placed::Perhaps => self.holds(name, finished),
        }
    }

    fn try_to_store(
        &self,
        session: &mut Session,
        name: &str,
        upload: &mut Upload<'_>,
        tells_contents: bool,
        what: &str,
    ) -> Result<Placed, Failed> {
        let there = |session: &mut Session, upload: &Upload<'_>| {
            let length = self.length(session, name, what)?;
            Ok::<_, Failed>(length.map(|length| match length == upload.finished.length() {
                true if tells_contents => Placed::Same,
                true if upload.tried > 0 => Placed::Perhaps,
                _ => Placed::Other,
            }))
        };
        if let Some(placed) = there(session, upload)? {
            // Its name may be of a try, or of a run, that was cut off before this.
            self.sync_folder(session).map_err(|broken| broken.failed(what))?;
            return Ok(placed);
        }
        let sent = upload.send(session);
        sent.map_err(|fail| self.write_failed(session, fail, upload.finished.length(), what))?;
        let is_linked = match self.give_name(session, &upload.partial, &self.path(name), tells_contents) {
            Ok(is_linked) => is_linked,
            Err(Fail::Broken(broken)) => return Err(broken.failed(what)),
            // Some say no more than that it does not go.
            Err(fail) => return there(session, upload)?.ok_or_else(|| self.lost_or_failed(fail, what)),
        };
        self.sync_folder(session).map_err(|broken| broken.failed(what))?;
        // Renamed by a server that may replace: whose is there now is seen by what it holds.
        Ok(if is_linked || tells_contents { Placed::Here } else { Placed::Perhaps })
    }

    /// Gives a complete file its name. One that must not be taken is linked where that goes: there are servers whose rename replaces. Whether
    /// it was linked.
    fn give_name(
        &self,
        session: &mut Session,
        partial: &[u8],
        path: &[u8],
        tells_contents: bool,
    ) -> Result<bool, Fail> {
        if session.extensions.link && !tells_contents {
            match session.done(&Ask::Link(partial, path)) {
                Ok(()) => {
                    return match session.done(&Ask::Remove(partial)) {
                        Err(Fail::Broken(broken)) => Err(broken.into()),
                        // It is swept some day.
                        _ => Ok(true),
                    };
                }
                Err(Fail::Broken(broken)) => return Err(broken.into()),
                // No links on vfat, exfat, some shares, or the name is taken.
                Err(Fail::Refused(_)) => match session.call(&Ask::Stat(path)) {
                    Err(Fail::Refused(Status { code: Code::NoSuchFile, .. })) => {}
                    Err(fail) => return Err(fail),
                    Ok(_) => return Err(Fail::Refused(Status { code: Code::Failure, message: "it is there".into() })),
                },
            }
        }
        session.done(&Ask::Rename(partial, path)).map(|()| false)
    }

    /// Makes the names in the folder durable, where a server can do that to a folder.
    pub(super) fn sync_folder(&self, session: &mut Session) -> Result<(), Broken> {
        if !session.extensions.fsync {
            return Ok(());
        }
        let handle = match session.handle(&Ask::Open(&self.folder, READ)) {
            Ok(handle) => handle,
            Err(Fail::Refused(_)) => return Ok(()),
            Err(Fail::Broken(broken)) => return Err(broken),
        };
        let synced = session.done(&Ask::Fsync(&handle));
        session.abandon(&handle);
        match synced {
            Err(Fail::Broken(broken)) => Err(broken),
            _ => Ok(()),
        }
    }

    /// Removes what was not completed, if that can be done at once. If not it is swept some day.
    fn discard(&self, partial: &[u8]) {
        if let Some(mut session) = self.free_session() {
            session.be_deaf();
            let removed = session.done(&Ask::Remove(partial));
            session.hear();
            if !matches!(removed, Err(Fail::Broken(_))) {
                self.give_back(session);
            }
        }
    }

    /// The folder is there. That what was just taken is not may pass: somebody swept it, or a server is not done with it yet.
    fn lost_or_failed(&self, fail: Fail, what: &str) -> Failed {
        let is_lost = matches!(&fail, Fail::Refused(status) if status.code == Code::NoSuchFile);
        match self.failed(fail, what) {
            Failed::ForGood(error) if is_lost => Failed::ForNow(error.of_kind(ErrorKind::Io), None),
            failed => failed,
        }
    }

    /// A server of version 3 has one word for a full disk and for all else.
    fn write_failed(&self, session: &mut Session, fail: Fail, length: u64, what: &str) -> Failed {
        if let Fail::Refused(Status { code: Code::Failure, .. }) = fail
            && session.extensions.space
            && let Ok(Answer::Space(free)) = session.call(&Ask::Space(&self.folder))
            && free < length
        {
            return Error::new(ErrorKind::Full, format!("{what}: the disk of the server is full")).into();
        }
        self.lost_or_failed(fail, what)
    }
}

/// How a try to store ended that was not cut.
enum Placed {
    /// It has its name now.
    Here,
    /// What was there is the same.
    Same,
    /// What is there may be ours, from a try whose answer was lost.
    Perhaps,
    Other,
}

impl Upload<'_> {
    /// Sends what the server does not have yet, and makes all of it durable.
    fn send(&mut self, session: &mut Session) -> Result<(), Fail> {
        // A first try whose answer was lost may have made it.
        let first = if self.is_begun { 0 } else { EXCLUSIVE };
        self.is_begun = true;
        let handle = session.handle(&Ask::Open(&self.partial, WRITE | CREATE | first))?;
        let sent = self.write(session, &handle).and_then(|()| self.settle(session, &handle));
        if sent.is_err() {
            session.abandon(&handle);
            return sent;
        }
        session.done(&Ask::Close(&handle))
    }

    fn write(&mut self, session: &mut Session, handle: &[u8]) -> Result<(), Fail> {
        // What was promised to be there may not be, and then it is sent from the beginning.
        if self.safe.get() > 0 && length_of(session, handle)?.is_some_and(|there| there < self.safe.get()) {
            self.safe.set(0);
        }
        let stride = if self.tried == 0 { SYNC_BYTES } else { SYNC_BYTES_AFTER_CUT };
        let length = self.finished.length();
        let (mut next, mut synced) = (self.safe.get(), self.safe.get());
        let mut in_flight: Vec<(u32, Sent)> = Vec::new();
        let mut buffer = vec![0; WRITE_BYTES];
        while next < length || !in_flight.is_empty() {
            while next < length && in_flight.len() < WRITES_IN_FLIGHT {
                let most = usize::try_from(length - next).map_or(WRITE_BYTES, |left| left.min(WRITE_BYTES));
                self.finished
                    .file
                    .read_exact_at(&mut buffer[..most], next)
                    .map_err(|error| Broken::new(ErrorKind::Io, format!("can't read the spool: {error}")).for_good())?;
                in_flight.push((session.ask(&Ask::Write(handle, next, &buffer[..most]))?, Sent::Bytes(next)));
                next += most as u64;
                if session.extensions.fsync && next - synced >= stride {
                    in_flight.push((session.ask(&Ask::Fsync(handle))?, Sent::Sync(next)));
                    synced = next;
                }
            }
            let (id, answer) = session.any()?;
            let Some(at) = in_flight.iter().position(|(asked, _)| *asked == id) else {
                return Err(session.odd().into());
            };
            let (_, sent) = in_flight.remove(at);
            match answer {
                Answer::Status(Status { code: Code::Ok, .. }) => {}
                Answer::Status(status) => return Err(Fail::Refused(status)),
                _ => return Err(session.odd().into()),
            }
            let waiting =
                in_flight.iter().filter_map(|(_, sent)| if let Sent::Bytes(at) = sent { Some(*at) } else { None });
            let taken = waiting.min().unwrap_or(next);
            match sent {
                Sent::Sync(to) => self.safe.set(to.min(taken)),
                // What is not made durable before the end can't be made safer.
                Sent::Bytes(_) if !session.extensions.fsync => self.safe.set(taken),
                Sent::Bytes(_) => {}
            }
        }
        Ok(())
    }

    /// Everything was taken. It is to be there after a power cut, and it is to be all.
    fn settle(&self, session: &mut Session, handle: &[u8]) -> Result<(), Fail> {
        if session.extensions.fsync {
            session.done(&Ask::Fsync(handle))?;
        }
        let there = length_of(session, handle)?;
        if there.is_some_and(|there| there != self.finished.length()) {
            self.safe.set(0);
            return Err(Broken::new(ErrorKind::Io, "the server has another length than what was sent").into());
        }
        Ok(())
    }
}

/// What is in flight.
enum Sent {
    Bytes(u64),
    Sync(u64),
}

fn length_of(session: &mut Session, handle: &[u8]) -> Result<Option<u64>, Fail> {
    match session.call(&Ask::Fstat(handle))? {
        Answer::Attributes(attributes) => Ok(attributes.length),
        _ => Err(session.odd().into()),
    }
}
