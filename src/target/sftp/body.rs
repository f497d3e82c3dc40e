//! The bytes of an object as they come, over as many sessions as it takes.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::Sftp;
use super::packet::{Answer, Ask, Attributes, Code, Handle, READ, Status};
use super::session::{Fail, Session};
use crate::limits::RETRY_TRIES;
use crate::target::error::{Error, ErrorKind};
use crate::target::retry::Failed;

/// What every server gives in one answer.
const READ_BYTES: u32 = 32 * 1024;
/// Answers that are waited for at once: 256 KiB.
const READS_IN_FLIGHT: usize = 8;
/// Of those, with what servers gave less than was asked for.
const PARTS_MAX: usize = 64;

/// A part that was asked for, in the order of the bytes.
struct Part {
    id: u32,
    offset: u64,
    length: u32,
    /// Once it has come.
    bytes: Option<Vec<u8>>,
}

/// An open file.
struct Open {
    session: Session,
    handle: Handle,
    parts: VecDeque<Part>,
    /// The offset behind the last part.
    asked: u64,
}

/// A part of an object. Where a connection is cut, the next one goes on.
pub(super) struct Body<'a> {
    sftp: &'a Sftp,
    name: String,
    offset: u64,
    left: u64,
    /// Bytes of the first part that were given out.
    taken: usize,
    /// Of the object that was begun: another one would not fit on.
    begun: Option<Attributes>,
    open: Option<Open>,
    /// Cuts since the last byte came.
    cuts: u32,
}

impl<'a> Body<'a> {
    /// Asks at once, so that an object that is not there is told.
    pub(super) fn open(sftp: &'a Sftp, name: String, offset: u64, length: u64) -> Result<Self, Error> {
        let mut body = Self { sftp, name, offset, left: length, taken: 0, begun: None, open: None, cuts: 0 };
        if length > 0 {
            body.connect()?;
        }
        Ok(body)
    }

    /// The length of the whole object.
    pub(super) fn total(&self) -> Option<u64> {
        self.begun.and_then(|begun| begun.length)
    }

    fn what(&self) -> String {
        self.sftp.what("read", &self.name)
    }

    fn connect(&mut self) -> Result<(), Error> {
        let (what, path) = (self.what(), self.sftp.path(&self.name));
        let (sftp, offset, left) = (self.sftp, self.offset, self.left);
        let (mut open, found) = sftp.retry.run(|_| {
            let mut session = sftp.session(&what)?;
            match begin(&mut session, &path) {
                Ok((handle, found)) => Ok((Open { session, handle, parts: VecDeque::new(), asked: offset }, found)),
                Err(fail) => {
                    // It is not there if its folder is.
                    let is_absent = matches!(&fail, Fail::Refused(status) if status.code == Code::NoSuchFile);
                    let folder =
                        if is_absent { sftp.length(&mut session, &self.name, &what).map(drop) } else { Ok(()) };
                    sftp.give_back(session);
                    folder.and_then(|()| Err(sftp.failed(fail, &what)))
                }
            }
        })?;
        let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format!("{what}: {why}"));
        let total = found.length.ok_or_else(|| corrupt("the server does not tell its length"))?;
        if self.begun.is_some_and(|begun| begun.length != found.length || begun.modified != found.modified) {
            return Err(corrupt("it became another one while it was read"));
        }
        self.left = left.min(total.saturating_sub(offset));
        self.begun = Some(found);
        // So that the answers are on their way when the first is read.
        if let Err(broken) = open.ask_on(offset + self.left) {
            return match broken.failed(&what) {
                Failed::ForGood(error) => Err(error),
                // The first read meets it again.
                Failed::ForNow(..) => Ok(()),
            };
        }
        self.open = Some(open);
        Ok(())
    }

    /// Waits until the first part is here.
    fn wait(&mut self) -> Result<(), Failed> {
        let (what, end) = (self.what(), self.offset + self.left);
        let Some(open) = &mut self.open else { return Ok(()) };
        let came = open.ask_on(end).map_err(Fail::from).and_then(|()| open.first());
        came.map_err(|fail| match fail {
            Fail::Refused(Status { code: Code::End, .. }) => {
                Error::new(ErrorKind::Corrupt, format!("{what}: it became shorter while it was read")).into()
            }
            fail => self.sftp.failed(fail, &what),
        })
    }

    /// Takes off the first part.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        let Some(bytes) = open.parts.front().and_then(|part| part.bytes.as_deref()) else { return 0 };
        let rest = &bytes[self.taken..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.taken += read;
        if self.taken == bytes.len() {
            open.parts.pop_front();
            self.taken = 0;
        }
        self.offset += read as u64;
        self.left -= read as u64;
        self.cuts = 0;
        if self.left == 0 {
            self.close();
        }
        read
    }

    fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.session.abandon(&open.handle);
            self.sftp.give_back(open.session);
        }
    }
}

impl Open {
    /// Asks for as much as may be in flight.
    fn ask_on(&mut self, end: u64) -> Result<(), super::words::Broken> {
        while self.asked < end && self.parts.len() < READS_IN_FLIGHT {
            let length = u32::try_from(end - self.asked).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let id = self.session.ask(&Ask::Read(&self.handle, self.asked, length))?;
            self.parts.push_back(Part { id, offset: self.asked, length, bytes: None });
            self.asked += u64::from(length);
        }
        Ok(())
    }

    /// Takes answers until that to the first part is here.
    fn first(&mut self) -> Result<(), Fail> {
        while self.parts.front().is_some_and(|part| part.bytes.is_none()) {
            let (id, answer) = self.session.any()?;
            let Some(at) = self.parts.iter().position(|part| part.id == id) else {
                return Err(self.session.odd().into());
            };
            let bytes = match answer {
                Answer::Data(bytes) => bytes,
                Answer::Status(status) if status.code != Code::Ok => return Err(Fail::Refused(status)),
                _ => return Err(self.session.odd().into()),
            };
            let part = &mut self.parts[at];
            let came = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            if came == 0 || came > part.length {
                return Err(self.session.odd().into());
            }
            let (rest, behind) = (part.length - came, part.offset + u64::from(came));
            (part.length, part.bytes) = (came, Some(bytes));
            // A server may give less than it was asked for.
            if rest > 0 {
                let id = self.session.ask(&Ask::Read(&self.handle, behind, rest))?;
                if self.parts.len() >= PARTS_MAX {
                    return Err(self.session.odd().into());
                }
                self.parts.insert(at + 1, Part { id, offset: behind, length: rest, bytes: None });
            }
        }
        Ok(())
    }
}

/// Opens a file and looks at it.
fn begin(session: &mut Session, path: &[u8]) -> Result<(Handle, Attributes), Fail> {
    let handle = session.handle(&Ask::Open(path, READ))?;
    match session.call(&Ask::Fstat(&handle)) {
        Ok(Answer::Attributes(attributes)) => Ok((handle, attributes)),
        Ok(_) => Err(session.odd().into()),
        Err(fail) => {
            session.abandon(&handle);
            Err(fail)
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left > 0 && !buffer.is_empty() {
            if self.open.is_none() {
                self.taken = 0;
                self.connect().map_err(io::Error::other)?;
            }
            let error = match self.wait() {
                Ok(()) => match self.take(buffer) {
                    0 => Error::new(ErrorKind::Io, format!("{}: a part is missing", self.what())),
                    read => return Ok(read),
                },
                Err(Failed::ForGood(error)) => {
                    self.close();
                    return Err(io::Error::other(error));
                }
                Err(Failed::ForNow(error, _)) => error,
            };
            self.open = None;
            self.cuts += 1;
            if self.cuts >= RETRY_TRIES || !self.sftp.retry.wait(self.cuts, None) {
                return Err(io::Error::other(error));
            }
        }
        Ok(0)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
