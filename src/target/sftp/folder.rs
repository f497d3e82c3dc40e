//! The folder itself: whether it is there, what lies in it, what was left behind in it.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Sftp;
use super::packet::{Answer, Ask, Attributes, CREATE, Code, EXCLUSIVE, WRITE};
use super::session::{Fail, Session};
use crate::digest::hex;
use crate::limits::LISTED_NAMES_MAX;
use crate::target::error::{Error, ErrorKind};
use crate::target::listing::Listing;
use crate::target::retry::Failed;
use crate::target::{ObjectName, Target as _};

/// So many of them are swept at a time.
const STALE_MAX: usize = 1000;
/// A stage that nobody wrote to for so many seconds is one of a run that was cut off.
const STALE_SECONDS: u64 = 24 * 3600;

/// Called back for a name in the folder.
type Each<'a> = dyn FnMut(&mut Session, &[u8], Attributes) -> Result<(), Failed> + 'a;

/// One folder is written in one way: a target is remembered by what it describes itself as.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// As it is sent. A session begins at home.
pub(super) fn path(path: &Path) -> Vec<u8> {
    let path = plain(path).into_os_string().into_vec();
    if path.is_empty() { b".".to_vec() } else { path }
}

impl Sftp {
    /// Whether the folder is.
    pub(super) fn is_there(&self) -> Result<bool, Error> {
        let what = format!("can't look at {}", self.describe());
        self.run(&what, |session| match session.call(&Ask::Stat(&self.folder)) {
            Ok(Answer::Attributes(attributes)) if attributes.is_folder() => Ok(true),
            Ok(Answer::Attributes(_)) => {
                let what = format!("the target {} is not a folder", self.describe());
                Err(Error::new(ErrorKind::Unreachable, what).into())
            }
            Ok(_) => Err(session.odd().failed(&what)),
            Err(Fail::Refused(status)) if status.code == Code::NoSuchFile => Ok(false),
            Err(fail) => Err(self.failed(fail, &what)),
        })
    }

    /// Makes the folder. What is above it is not made: a disk that is not mounted must not be backed up to its mount point's file system.
    pub(super) fn make(&self) -> Result<(), Error> {
        let what = format!("can't make the folder {}", self.describe());
        self.run(&what, |session| match session.done(&Ask::MakeFolder(&self.folder)) {
            Ok(()) => Ok(()),
            Err(Fail::Refused(status)) => {
                // Another box was faster, or the answer to the first try was lost.
                if let Ok(Answer::Attributes(attributes)) = session.call(&Ask::Stat(&self.folder))
                    && attributes.is_folder()
                {
                    return Ok(());
                }
                if status.code == Code::NoSuchFile {
                    let what = format!(
                        "the target's folder {} can't be made: the folder above it is not there",
                        self.describe()
                    );
                    return Err(Error::new(ErrorKind::Unreachable, what)
                        .advise("is the disk of the server mounted, and is `path` right?")
                        .into());
                }
                Err(self.failed(Fail::Refused(status), &what))
            }
            Err(fail) => Err(self.failed(fail, &what)),
        })
    }

    /// Calls back for every object. The whole list is fetched first: one that was cut off is begun again, and no object is told twice.
    pub(super) fn each_object(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        let what = format!("can't list {}", self.describe());
        let listed = self.run(&what, |session| {
            let mut listing = Listing::new(&self.spool)?;
            self.each_name(session, &what, &mut |session, name, attributes| {
                let Some(name) = std::str::from_utf8(name).ok().and_then(ObjectName::parse) else { return Ok(()) };
                let length = match attributes.length {
                    Some(length) => length,
                    // It may have gone by now.
                    None => match self.length(session, &name.to_string(), &what)? {
                        Some(length) => length,
                        None => return Ok(()),
                    },
                };
                listing.add(&name, length).map_err(|error| Error::io("can't write to the spool", error).into())
            })?;
            Ok(listing.finish(&what)?)
        })?;
        listed.each(&what, each)
    }

    /// Calls back for everything in the folder, page by page.
    fn each_name(&self, session: &mut Session, what: &str, each: &mut Each<'_>) -> Result<(), Failed> {
        let handle = match session.handle(&Ask::OpenFolder(&self.folder)) {
            Ok(handle) => handle,
            Err(Fail::Refused(status)) if status.code == Code::NoSuchFile => return Err(self.is_no_folder().into()),
            Err(fail) => return Err(self.failed(fail, what)),
        };
        let mut names = 0;
        let all = loop {
            let page = match session.call(&Ask::ReadFolder(&handle)) {
                Ok(Answer::Names(page)) if !page.is_empty() => page,
                Ok(_) => break Err(session.odd().failed(what)),
                Err(Fail::Refused(status)) if status.code == Code::End => break Ok(()),
                Err(fail) => break Err(self.failed(fail, what)),
            };
            names += page.len();
            if names > LISTED_NAMES_MAX {
                let what = format!("{what}: it has more than {LISTED_NAMES_MAX} names");
                break Err(Error::new(ErrorKind::Io, what).into());
            }
            if let Err(failed) = page.iter().try_for_each(|(name, attributes)| each(session, name, *attributes)) {
                break Err(failed);
            }
        };
        session.abandon(&handle);
        all
    }

    /// Removes stages of runs that were cut off, by their age: another box may be writing here now. By the clock of the server, which may
    /// not be ours.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let what = format!("can't clean up in {}", self.describe());
        let ours = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let mut stale = Vec::new();
        self.run(&what, |session| {
            stale.clear();
            self.each_name(session, &what, &mut |_, name, attributes| {
                let is_stage = name.starts_with(b".stage-") && name.ends_with(b".partial");
                match attributes.modified.filter(|_| is_stage && stale.len() < STALE_MAX) {
                    Some(modified) if is_stale(modified, ours) => stale.push((name.to_vec(), modified)),
                    _ => {}
                }
                Ok(())
            })
        })?;
        if stale.is_empty() {
            return Ok(());
        }
        self.run(&what, |session| {
            let now = self.now(session).map_err(|fail| self.failed(fail, &what))?;
            for (name, _) in stale.iter().filter(|(_, modified)| is_stale(*modified, now)) {
                let path = [&self.folder, &b"/"[..], name].concat();
                match session.done(&Ask::Remove(&path)) {
                    Err(fail @ Fail::Broken(_)) => return Err(self.failed(fail, &what)),
                    // Another box was faster, or it is not ours to remove.
                    Ok(()) | Err(Fail::Refused(_)) => {}
                }
            }
            Ok(())
        })
    }

    /// See [`crate::target::Target::clock`].
    pub(super) fn server_clock(&self) -> Result<SystemTime, Error> {
        let what = format!("can't see what time it is at {}", self.describe());
        let seconds = self.run(&what, |session| self.now(session).map_err(|fail| self.failed(fail, &what)))?;
        // A server need not tell the age of a file.
        let is_told = seconds > 0;
        let not_told = || Error::new(ErrorKind::Io, format!("{what}: it does not tell the age of files"));
        is_told.then(|| UNIX_EPOCH + Duration::from_secs(seconds)).ok_or_else(not_told)
    }

    /// What the clock of the server shows: the age of a file that is made now.
    fn now(&self, session: &mut Session) -> Result<u64, Fail> {
        let mut bytes = [0; 8];
        let _ = getrandom::fill(&mut bytes);
        let path = self.path(&format!(".stage-{}.partial", hex(&bytes)));
        let handle = session.handle(&Ask::Open(&path, WRITE | CREATE | EXCLUSIVE))?;
        let looked = session.call(&Ask::Fstat(&handle));
        session.done(&Ask::Close(&handle))?;
        session.done(&Ask::Remove(&path))?;
        match looked? {
            // Not told: as if no time had passed.
            Answer::Attributes(attributes) => Ok(attributes.modified.unwrap_or_default().into()),
            _ => Err(session.odd().into()),
        }
    }
}

fn is_stale(modified: u32, now: u64) -> bool {
    now.saturating_sub(modified.into()) > STALE_SECONDS
}
