//! A host's folder, and how much is in it. All of this waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::refusal::Refusal;
use crate::config::HostOptions;
use crate::target::{ErrorKind, Filesystem, Finished, ID_FILE, ObjectName, Target as _};

/// What was removed in the folder is found out where it matters, but not more often than this.
const RECOUNT: Duration = Duration::from_secs(60);

/// What an object takes of a disk is a multiple of this, or nearly.
const BLOCK_BYTES: u64 = 4096;

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Object(ObjectName),
    Id,
}

impl Name {
    /// As it stands in the path. No name has a letter that would be encoded: what is, is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == ID_FILE { Some(Self::Id) } else { ObjectName::parse(text).map(Self::Object) }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object(name) => name.fmt(f),
            Self::Id => f.write_str(ID_FILE),
        }
    }
}

/// One host.
pub(super) struct Host {
    pub(super) name: String,
    path: PathBuf,
    pub(super) folder: Filesystem,
    pub(super) quota: Option<u64>,
    ledger: Arc<Ledger>,
}

/// Bytes of a folder, each object in whole blocks: many small ones take room too.
#[derive(Default)]
struct Ledger {
    /// Of objects; nothing: not counted yet. Whoever changes what is stored has it, and waits for a disk with it: no thread but those
    /// of disks takes it.
    used: Mutex<Option<(u64, Instant)>>,
    /// Of objects that are on their way. Nobody waits for anything with it.
    reserved: Mutex<u64>,
    /// Somebody may have tidied up.
    is_stale: AtomicBool,
}

/// Room for an object that is on its way.
pub(super) struct Reserved {
    pub(super) host: Arc<Host>,
    bytes: u64,
}

impl Host {
    pub(super) fn new(options: &HostOptions, before: Option<&Self>) -> Self {
        let ledger = before.map(|host| host.ledger.clone()).unwrap_or_default();
        ledger.is_stale.store(true, Ordering::Relaxed);
        let folder = Filesystem::at(&options.path);
        Self { name: options.name.clone(), path: options.path.clone(), folder, quota: options.quota, ledger }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn counted(&self) -> Result<MutexGuard<'_, Option<(u64, Instant)>>, Refusal> {
        let mut used = self.ledger.used.lock().map_err(failed)?;
        if self.ledger.is_stale.swap(false, Ordering::Relaxed) {
            *used = None;
        }
        Ok(used)
    }

    /// The folder is there and has an id: without one it is the mount point of a disk that is not there, or nobody has begun yet.
    pub(super) fn is_ready(&self) -> Result<(), Refusal> {
        match self.folder.file(&ID_FILE) {
            Err(error) if error.kind == ErrorKind::NotFound => {
                let words = "the folder of this host has no id yet, or its disk is not mounted";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, words))
            }
            found => Ok(found.map(drop)?),
        }
    }

    /// Bytes that its objects have.
    pub(super) fn used(&self) -> Result<u64, Refusal> {
        let mut counted = self.counted()?;
        match *counted {
            Some((used, _)) => Ok(used),
            // It has stored nothing yet.
            None => match self.count(&mut counted) {
                Err(refusal) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => Ok(0),
                counted => counted,
            },
        }
    }

    fn count(&self, counted: &mut Option<(u64, Instant)>) -> Result<u64, Refusal> {
        let mut used = 0_u64;
        for object in self.folder.objects()? {
            used = used.saturating_add(in_blocks(object?.1));
        }
        *counted = Some((used, Instant::now()));
        Ok(used)
    }

    /// Whether an object of this name is there, and how long it is. That the folder is not there is an error.
    pub(super) fn length(&self, name: &Name) -> Result<Option<u64>, Refusal> {
        match self.folder.file(name) {
            Ok((_, length)) => Ok(Some(length)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Room for an object that is not there yet.
    pub(super) fn reserve(self: Arc<Self>, name: &Name, bytes: u64) -> Result<Reserved, Refusal> {
        if self.length(name)?.is_some() {
            // Whoever hears that takes it for stored.
            self.folder.sync()?;
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, format!("{name} is there already")));
        }
        let bytes = in_blocks(bytes);
        // As long as it is held nobody else adds to what is reserved.
        let counted = self.quota.map(|quota| self.with_room(quota, bytes)).transpose()?;
        {
            let mut reserved = self.ledger.reserved.lock().map_err(failed)?;
            *reserved = reserved.saturating_add(bytes);
        }
        drop(counted);
        Ok(Reserved { host: self, bytes })
    }

    /// What is counted, if so many bytes fit beside it.
    fn with_room(&self, quota: u64, bytes: u64) -> Result<MutexGuard<'_, Option<(u64, Instant)>>, Refusal> {
        let mut counted = self.counted()?;
        let mut used = match *counted {
            Some((used, _)) => used,
            None => self.count(&mut counted)?,
        };
        let is_fresh = counted.is_some_and(|(_, counted)| counted.elapsed() < RECOUNT);
        let reserved = *self.ledger.reserved.lock().map_err(failed)?;
        let has_room = |used: u64| used.saturating_add(reserved).saturating_add(bytes) <= quota;
        if !has_room(used) && !is_fresh {
            used = self.count(&mut counted)?;
        }
        if has_room(used) {
            return Ok(counted);
        }
        let words = format!(
            "the quota of {} is {quota} bytes, of which {used} are used and {reserved} reserved: no room for {bytes}",
            self.name
        );
        Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, words))
    }

    /// Leftovers of those who went away cost space, not safety.
    pub(super) fn sweep(&self) {
        let _ = self.folder.sweep();
    }
}

impl Reserved {
    /// Stores what has been held against its digest.
    pub(super) fn store(mut self, name: &ObjectName, finished: Finished) -> Result<(), Refusal> {
        let not_stored = |error| Refusal::of(&crate::target::Error::io(format!("can't store {name}"), error));
        // Before the ledger is taken: others may store meanwhile.
        finished.sync().map_err(not_stored)?;
        let host = self.host.clone();
        let mut counted = host.counted()?;
        // Another one of the same name may have been faster. What is counted is counted once.
        if host.folder.stat(name)?.is_some() {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, format!("{name} is there already")));
        }
        let stored = host.folder.put(name, finished);
        // If it failed it may be there or not: then it is counted anew.
        match (&stored, &mut *counted) {
            (Ok(()), Some((used, _))) => *used = used.saturating_add(self.bytes),
            (Ok(()), None) => {}
            (Err(_), counted) => *counted = None,
        }
        self.give_back();
        drop(counted);
        Ok(stored?)
    }

    fn give_back(&mut self) {
        if let Ok(mut reserved) = self.host.ledger.reserved.lock() {
            *reserved = reserved.saturating_sub(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn in_blocks(bytes: u64) -> u64 {
    bytes.max(1).checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX)
}

fn failed<T>(_: std::sync::PoisonError<T>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "another thread failed")
}
