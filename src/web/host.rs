//! A host's folder, and how much is in it. All of this waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::refusal::Refusal;
use crate::config::HostOptions;
use crate::target::{ErrorKind, Filesystem, Finished, ID_FILE, ObjectName, Target as _};

/// What was removed in the folder is found out where it matters, but not more often than this.
const RECOUNT: Duration = Duration::from_secs(60);

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
    ledger: Arc<Mutex<Ledger>>,
}

/// Bytes of a folder. Whoever changes what is stored there has it.
#[derive(Default)]
struct Ledger {
    /// Of objects; nothing: not counted yet.
    used: Option<(u64, Instant)>,
    /// Of objects that are on their way.
    reserved: u64,
}

/// Room for an object that is on its way.
pub(super) struct Reserved {
    pub(super) host: Arc<Host>,
    bytes: u64,
}

impl Host {
    pub(super) fn new(options: &HostOptions, before: Option<&Self>) -> Self {
        let ledger = before.map(|host| host.ledger.clone()).unwrap_or_default();
        // Somebody may have tidied up.
        if let Ok(mut ledger) = ledger.lock() {
            ledger.used = None;
        }
        let folder = Filesystem::at(&options.path);
        Self { name: options.name.clone(), path: options.path.clone(), folder, quota: options.quota, ledger }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, Refusal> {
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "another thread failed");
        self.ledger.lock().map_err(failed)
    }

    /// Bytes that its objects have.
    pub(super) fn used(&self) -> Result<u64, Refusal> {
        let mut ledger = self.ledger()?;
        match ledger.used {
            Some((used, _)) => Ok(used),
            // It has stored nothing yet.
            None => match self.count(&mut ledger) {
                Err(refusal) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => Ok(0),
                counted => counted,
            },
        }
    }

    fn count(&self, ledger: &mut Ledger) -> Result<u64, Refusal> {
        let mut used = 0_u64;
        for object in self.folder.objects()? {
            used = used.saturating_add(object?.1);
        }
        ledger.used = Some((used, Instant::now()));
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
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, format!("{name} is there already")));
        }
        let mut ledger = self.ledger()?;
        let used = match ledger.used {
            Some((used, _)) => used,
            None => self.count(&mut ledger)?,
        };
        if !self.has_room(used, &ledger, bytes) {
            let is_fresh = ledger.used.is_some_and(|(_, counted)| counted.elapsed() < RECOUNT);
            let used = if is_fresh { used } else { self.count(&mut ledger)? };
            if !self.has_room(used, &ledger, bytes) {
                let quota = self.quota.unwrap_or_default();
                let words = format!(
                    "the quota of {} is {quota} bytes, of which {used} are used and {} reserved: no room for {bytes}",
                    self.name, ledger.reserved
                );
                return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, words));
            }
        }
        ledger.reserved = ledger.reserved.saturating_add(bytes);
        drop(ledger);
        Ok(Reserved { host: self, bytes })
    }

    fn has_room(&self, used: u64, ledger: &Ledger, bytes: u64) -> bool {
        self.quota.is_none_or(|quota| used.saturating_add(ledger.reserved).saturating_add(bytes) <= quota)
    }

    /// Leftovers of those who went away cost space, not safety.
    pub(super) fn sweep(&self) {
        let _ = self.folder.sweep();
    }
}

impl Reserved {
    /// Stores what has been held against its digest.
    pub(super) fn store(self, name: &ObjectName, finished: Finished) -> Result<(), Refusal> {
        let failed = |error| Refusal::of(&crate::target::Error::io(format!("can't store {name}"), error));
        // Before the ledger is taken: others may store meanwhile.
        finished.sync().map_err(failed)?;
        let mut ledger = self.host.ledger()?;
        // Another one of the same name may have been faster. What is counted is counted once.
        if self.host.folder.stat(name)?.is_some() {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, format!("{name} is there already")));
        }
        self.host.folder.put(name, finished)?;
        if let Some((used, _)) = &mut ledger.used {
            *used = used.saturating_add(self.bytes);
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Ok(mut ledger) = self.host.ledger.lock() {
            ledger.reserved = ledger.reserved.saturating_sub(self.bytes);
        }
    }
}
