//! A folder on a server that speaks SFTP, by the system's own ssh.
//!
//! An object is staged in a file without a name in the spool, goes to a `.partial` file beside its final place, is made durable there
//! where the server can do that, and gets its name last. Where a connection is cut the next one goes on.

mod body;
mod folder;
mod packet;
mod session;
mod ssh;
mod upload;
mod words;

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::time::{Duration, SystemTime};

use crate::provider::SshFolder;
use crate::target::error::{Error, ErrorKind};
use crate::target::id::{self, ID_BYTES_MAX, ID_FILE};
use crate::target::retry::{Failed, Retry};
use crate::target::spool::Spool;
use crate::target::stage::{Finished, Stage};
use crate::target::way::Way;
use crate::target::{ObjectName, Target};
use body::Body;
use packet::{Answer, Ask, Attributes, Code, READ, Status};
use session::{Fail, Session};

/// How long what is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Without a byte either way. Five times that for what a server does with its disk.
    pub idle: Duration,
    /// What waits between tries are counted from: the first is a fifth of it, the second twice as long.
    pub first_wait: Duration,
}

/// Without a byte either way.
const IDLE: Duration = Duration::from_secs(60);

/// A folder of objects on a server.
pub struct Sftp {
    at: SshFolder,
    /// Its path as it is sent.
    folder: Vec<u8>,
    spool: Spool,
    idle: Duration,
    retry: Retry,
    way: Way,
    /// Sessions that nobody uses now.
    free: Mutex<Vec<Session>>,
    /// By whoever writes first: a look changes nothing.
    swept: Once,
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sftp({})", self.describe())
    }
}

impl Sftp {
    /// The folder. Nothing is asked yet. Objects wait in `spool_dir`.
    pub fn open(at: SshFolder, spool_dir: PathBuf, way: Way) -> Result<Self, Error> {
        let readable = |file: Option<&Path>, key: &str, advice: String| {
            let Some((file, Err(error))) = file.map(|file| (file, File::open(file))) else { return Ok(()) };
            let error = Error::io(format!("can't read the {key} {}", file.display()), error);
            Err(error.of_kind(ErrorKind::Refused).advise(advice))
        };
        let make = "`ssh-keygen -t ed25519 -N '' -f FILE` makes a key; its public half goes to ~/.ssh/authorized_keys on the server";
        readable(at.identity_file.as_deref(), "identity_file", make.into())?;
        readable(at.known_hosts.as_deref(), "known_hosts", words::add_command(&at))?;
        let (folder, spool) = (folder::path(&at.path), Spool::in_folder(spool_dir));
        let retry = Retry::new(way.clone());
        Ok(Self { at, folder, spool, idle: IDLE, retry, way, free: Mutex::default(), swept: Once::new() })
    }

    /// With less patience, or more.
    #[must_use]
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.idle = pace.idle;
        self.retry = Retry::new(self.way.clone()).beginning_with(pace.first_wait);
        self
    }

    fn what(&self, verb: &str, name: &dyn Display) -> String {
        format!("can't {verb} {name} in {}", self.describe())
    }

    fn path(&self, name: &str) -> Vec<u8> {
        [&self.folder, &b"/"[..], name.as_bytes()].concat()
    }

    /// A session that is free, or a new one.
    fn session(&self, what: &str) -> Result<Session, Failed> {
        match self.free_session() {
            Some(session) => Ok(session),
            None => Session::open(&self.at, self.idle, self.way.clone()).map_err(|broken| broken.failed(what)),
        }
    }

    fn free_session(&self) -> Option<Session> {
        let mut free = self.free.lock().ok()?;
        while let Some(mut session) = free.pop() {
            if session.is_usable() {
                return Some(session);
            }
        }
        None
    }

    /// It may be of use to others.
    fn give_back(&self, mut session: Session) {
        if let (true, Ok(mut free)) = (session.is_usable(), self.free.lock()) {
            free.push(session);
        }
    }

    /// One try with a session.
    fn with<T>(&self, what: &str, each: impl FnOnce(&mut Session) -> Result<T, Failed>) -> Result<T, Failed> {
        let mut session = self.session(what)?;
        let done = each(&mut session);
        self.give_back(session);
        done
    }

    /// As many tries as it takes.
    fn run<T>(&self, what: &str, mut each: impl FnMut(&mut Session) -> Result<T, Failed>) -> Result<T, Error> {
        self.retry.run(|_| self.with(what, &mut each))
    }

    /// The length of what has this name in the folder; nothing if there is nothing, and the folder is there.
    fn length(&self, session: &mut Session, name: &str, what: &str) -> Result<Option<u64>, Failed> {
        let failed = |fail: Fail| self.failed(fail, what);
        let (path, folder) = (self.path(name), &self.folder);
        let asked = session.ask(&Ask::Stat(&path)).and_then(|one| Ok((one, session.ask(&Ask::Stat(folder))?)));
        let (one, other) = asked.map_err(|broken| broken.failed(what))?;
        let mut stat = |id| match session.answer(id)? {
            Answer::Attributes(attributes) => Ok(Some(attributes)),
            Answer::Status(status) if status.code == Code::NoSuchFile => Ok(None),
            Answer::Status(status) => Err(Fail::Refused(status)),
            _ => Err(session.odd().into()),
        };
        let found = match stat(one) {
            Err(broken @ Fail::Broken(_)) => return Err(failed(broken)),
            found => found,
        };
        let above = stat(other);
        match found.map_err(failed)? {
            Some(Attributes { length: Some(length), .. }) => Ok(Some(length)),
            Some(_) => Err(Error::new(ErrorKind::Io, format!("{what}: the server does not tell its length")).into()),
            None if above.map_err(failed)?.is_some_and(|above| above.is_folder()) => Ok(None),
            None => Err(self.is_no_folder().into()),
        }
    }

    fn is_no_folder(&self) -> Error {
        Error::new(ErrorKind::Unreachable, format!("the target's folder is not there: {}", self.describe()))
            .advise("is the disk of the server mounted, and is `path` right?")
    }

    /// What a server refuses is refused for good, but for what it calls a loss of its own connection.
    fn failed(&self, fail: Fail, what: &str) -> Failed {
        match fail {
            Fail::Broken(broken) => broken.failed(what),
            Fail::Refused(status) if status.code == Code::Lost => Failed::ForNow(refused(&status, what), None),
            Fail::Refused(status) => refused(&status, what).into(),
        }
    }

    fn read_id(&self) -> Result<Option<String>, Error> {
        let what = self.what("read", &ID_FILE);
        let path = self.path(ID_FILE);
        self.run(&what, |session| {
            let mut read = || -> Result<Vec<u8>, Fail> {
                let handle = session.handle(&Ask::Open(&path, READ))?;
                let answer = session.call(&Ask::Read(&handle, 0, u32::try_from(ID_BYTES_MAX).unwrap_or(u32::MAX)));
                session.abandon(&handle);
                match answer {
                    Ok(Answer::Data(bytes)) => Ok(bytes),
                    Ok(_) => Err(session.odd().into()),
                    Err(Fail::Refused(status)) if status.code == Code::End => Ok(Vec::new()),
                    Err(fail) => Err(fail),
                }
            };
            match read() {
                Ok(bytes) => Ok(Some(id::parse(&bytes, &self.describe())?)),
                Err(Fail::Refused(status)) if status.code == Code::NoSuchFile => Ok(None),
                Err(fail) => Err(self.failed(fail, &what)),
            }
        })
    }

    /// Whether the object there is this one.
    fn holds(&self, name: &str, finished: &Finished) -> Result<bool, Error> {
        let mut reader = Body::open(self, name.to_owned(), 0, finished.length())?;
        if reader.total() != Some(finished.length()) {
            return Ok(false);
        }
        finished.is_same(&mut reader).map_err(|error| Error::io(self.what("read", &name), error))
    }
}

impl Target for Sftp {
    fn stage(&self) -> Result<Stage, Error> {
        self.spool.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        // Leftovers cost space, not safety.
        self.swept.call_once(|| drop(self.sweep()));
        if self.store(&name.to_string(), &finished, name.tells_contents())? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Exists, format!("{name} is there already in {}", self.describe())))
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(Body::open(self, name.to_string(), offset, length)?))
    }

    fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), Error> {
        let body = Body::open(self, name.to_string(), 0, length)?;
        let whole = body.total().unwrap_or(0);
        Ok((Box::new(body), whole))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        let what = self.what("look at", name);
        self.run(&what, |session| self.length(session, &name.to_string(), &what))
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.each_object(each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let (path, what) = (self.path(&name.to_string()), self.what("delete", name));
        // Who deletes after a stop cleans up, and has a moment for it.
        let was_stopped = self.way.is_stopped();
        self.run(&what, |session| {
            if was_stopped {
                session.be_deaf();
            }
            let done = match session.done(&Ask::Remove(&path)) {
                // If the folder is.
                Err(Fail::Refused(status)) if status.code == Code::NoSuchFile => {
                    self.length(session, &name.to_string(), &what).map(|_| ())
                }
                Err(fail) => Err(self.failed(fail, &what)),
                Ok(()) => self.sync_folder(session).map_err(|broken| broken.failed(&what)),
            };
            session.hear();
            done
        })
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        let place = self.describe();
        let found = self.read_id()?;
        let is_there = found.is_some() || self.is_there()?;
        if let Some(found) = id::check(found, expected, &place, is_there)? {
            return Ok(found);
        }
        if !is_there {
            self.make()?;
        }
        let (_, text) = id::generate()?;
        let finished = self.spool.finished(text.as_bytes())?;
        self.store(ID_FILE, &finished, false)?;
        // Another box may have been faster: what is there now is the target's.
        self.read_id()?.ok_or_else(|| Error::new(ErrorKind::Io, format!("{place}: the target's id went away")))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.server_clock()
    }

    fn describe(&self) -> String {
        let SshFolder { host, port, user, path, .. } = &self.at;
        let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let port = port.filter(|port| *port != 22).map(|port| format!(":{port}")).unwrap_or_default();
        let home = if path.is_absolute() { "" } else { "/~/" };
        format!("sftp://{user}{host}{port}{home}{}", folder::plain(path).display())
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        // All at once, so that they are waited for together.
        if let Ok(free) = self.free.get_mut() {
            free.iter_mut().for_each(Session::hang_up);
        }
    }
}

/// What a server said no to.
fn refused(status: &Status, what: &str) -> Error {
    let said = if status.message.is_empty() { "the server says no" } else { status.message.as_str() };
    let lower = said.to_lowercase();
    let kind = match status.code {
        Code::NoSuchFile => ErrorKind::NotFound,
        Code::Denied => ErrorKind::Denied,
        Code::Lost => ErrorKind::Unreachable,
        _ if ["no space", "quota", "disk full"].iter().any(|text| lower.contains(text)) => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{what}: {said}"))
}

#[cfg(test)]
fn of_test() -> SshFolder {
    SshFolder {
        host: "nas.lan".into(),
        port: None,
        user: None,
        path: "/b".into(),
        identity_file: None,
        known_hosts: None,
        ssh_command: "/bin/sh".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_where_it_is() {
        let describe = |at| Sftp::open(at, "/nonexistent".into(), Way::default()).unwrap().describe();
        assert_eq!(describe(of_test()), "sftp://nas.lan/b");
        let at = SshFolder { port: Some(8022), user: Some("me".into()), ..of_test() };
        assert_eq!(describe(at), "sftp://me@nas.lan:8022/b");
        let at = SshFolder { host: "::1".into(), port: Some(22), path: "b//c/".into(), ..of_test() };
        assert_eq!(describe(at), "sftp://[::1]/~/b/c");
    }

    #[test]
    fn files_that_ssh_would_pass_over_are_told() {
        let told = |at| {
            let error = Sftp::open(at, "/nonexistent".into(), Way::default()).unwrap_err();
            format!("{error}; {}", error.hint().unwrap_or_default())
        };
        let text = told(SshFolder { identity_file: Some("/nonexistent/key".into()), ..of_test() });
        assert!(text.contains("identity_file /nonexistent/key") && text.contains("ssh-keygen -t ed25519"), "{text}");
        let text = told(SshFolder { known_hosts: Some("/nonexistent/known".into()), ..of_test() });
        assert!(text.contains("known_hosts /nonexistent/known") && text.contains("ssh-keyscan"), "{text}");
    }
}
