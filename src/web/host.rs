//! A host's folder, and how much is in it. All of this waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::refusal::Refusal;
use crate::config::HostOptions;
use crate::fsutil::Space;
use crate::limits::{KEPT_FREE_BYTES, RECEIVED_LINKS_MAX};
use crate::target::{self, ErrorKind, Filesystem, Finished, ID_FILE, ObjectName, Target as _};

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
    pub(super) token_sha256: [u8; 32],
    path: PathBuf,
    pub(super) folder: Filesystem,
    pub(super) quota: Option<u64>,
    ledger: Arc<Ledger>,
}

/// What objects of a folder take.
#[derive(Clone, Copy, Default)]
struct Share {
    /// Of each in whole blocks: many small ones take room too.
    bytes: u64,
    /// Those that are no chunks.
    links: u64,
}

impl Share {
    fn of(name: &ObjectName, length: u64) -> Self {
        let bytes = length.max(1).checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX);
        Self { bytes, links: u64::from(!matches!(name, ObjectName::Chunk(_))) }
    }

    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), links: self.links.saturating_add(other.links) }
    }

    fn without(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), links: self.links.saturating_sub(other.links) }
    }
}

/// What was counted, and when.
type Counted = Option<(Share, Instant)>;

/// What is in a folder.
#[derive(Default)]
struct Ledger {
    /// Nothing: not counted yet. Whoever changes what is stored has it, and waits for a disk with it: no thread but those of disks
    /// takes it.
    used: Mutex<Counted>,
    /// Of objects that are on their way. Nobody waits for anything with it.
    reserved: Mutex<Share>,
    /// Somebody may have tidied up.
    is_stale: AtomicBool,
}

/// Room for an object that is on its way.
pub(super) struct Reserved {
    pub(super) host: Arc<Host>,
    share: Share,
}

impl Host {
    pub(super) fn new(options: &HostOptions, before: Option<&Self>) -> Self {
        let ledger = before.map(|host| host.ledger.clone()).unwrap_or_default();
        ledger.is_stale.store(true, Ordering::Relaxed);
        Self {
            name: options.name.clone(),
            token_sha256: options.token_sha256,
            path: options.path.clone(),
            folder: Filesystem::at(&options.path),
            quota: options.quota,
            ledger,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn counted(&self) -> Result<MutexGuard<'_, Counted>, Refusal> {
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
            Some((used, _)) => Ok(used.bytes),
            // It has stored nothing yet.
            None => match self.count(&mut counted) {
                Err(refusal) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => Ok(0),
                counted => Ok(counted?.bytes),
            },
        }
    }

    fn count(&self, counted: &mut Counted) -> Result<Share, Refusal> {
        let mut used = Share::default();
        for object in self.folder.objects()? {
            let (name, length) = object?;
            used = used.and(Share::of(&name, length));
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
    pub(super) fn reserve(self: Arc<Self>, name: &ObjectName, length: u64) -> Result<Reserved, Refusal> {
        if self.folder.stat(name)?.is_some() {
            // Whoever hears that takes it for stored.
            self.folder.sync()?;
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, format!("{name} is there already")));
        }
        let share = Share::of(name, length);
        self.spares(share.bytes)?;
        let is_counted = self.quota.is_some() || share.links > 0;
        // As long as it is held nobody else adds to what is reserved.
        let counted = is_counted.then(|| self.with_room(share)).transpose()?;
        {
            let mut reserved = self.ledger.reserved.lock().map_err(failed)?;
            *reserved = reserved.and(share);
        }
        drop(counted);
        Ok(Reserved { host: self, share })
    }

    /// What is counted, if this fits beside it.
    fn with_room(&self, share: Share) -> Result<MutexGuard<'_, Counted>, Refusal> {
        let mut counted = self.counted()?;
        let mut used = match *counted {
            Some((used, _)) => used,
            None => self.count(&mut counted)?,
        };
        let is_fresh = counted.is_some_and(|(_, counted)| counted.elapsed() < RECOUNT);
        let reserved = *self.ledger.reserved.lock().map_err(failed)?;
        if !is_fresh && self.is_too_much(used, reserved, share).is_some() {
            used = self.count(&mut counted)?;
        }
        match self.is_too_much(used, reserved, share) {
            None => Ok(counted),
            Some(words) => Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, words)),
        }
    }

    /// Why this does not fit beside what there is, if it does not.
    fn is_too_much(&self, used: Share, reserved: Share, share: Share) -> Option<String> {
        let (all, name) = (used.and(reserved).and(share), &self.name);
        // Chunks of a backup that could not end would be sent for nothing, night after night.
        if all.links > RECEIVED_LINKS_MAX || share.links == 0 && all.links == RECEIVED_LINKS_MAX {
            return Some(format!(
                "{name} has {} backups and tombstones here, and {RECEIVED_LINKS_MAX} are the most: who owns this box can remove some",
                used.links
            ));
        }
        let quota = self.quota.filter(|quota| all.bytes > *quota)?;
        let (used, reserved, bytes) = (used.bytes, reserved.bytes, share.bytes);
        Some(format!(
            "the quota of {name} is {quota} bytes, of which {used} are used and {reserved} reserved: no room for {bytes}"
        ))
    }

    /// Whether the disk has so many bytes, and what is kept for the box itself beside them.
    pub(super) fn spares(&self, bytes: u64) -> Result<(), Refusal> {
        let not_seen = |error| target::Error::io(format!("can't see what is free in {}", self.path.display()), error);
        let Space { free, all } = Space::at(&self.path).map_err(not_seen)?;
        let kept = KEPT_FREE_BYTES.min(all / 20);
        if all == 0 || free >= kept.saturating_add(bytes) {
            return Ok(());
        }
        // How full it is concerns nobody but the owner.
        let words = "the disk is full, but for what is kept for the box itself";
        let inside = Some(format!("{free} bytes are free in {}, of which {kept} are kept", self.path.display()));
        Err(Refusal { inside, ..Refusal::new(StatusCode::INSUFFICIENT_STORAGE, words) })
    }

    /// Leftovers of those who went away cost space, not safety.
    pub(super) fn sweep(&self) {
        let _ = self.folder.sweep();
    }
}

impl Reserved {
    /// Stores what has been held against its digest.
    pub(super) fn store(mut self, name: &ObjectName, finished: Finished) -> Result<(), Refusal> {
        let not_stored = |error| Refusal::of(&target::Error::io(format!("can't store {name}"), error));
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
            (Ok(()), Some((used, _))) => *used = used.and(self.share),
            (Ok(()), None) => {}
            (Err(_), counted) => *counted = None,
        }
        self.give_back();
        drop(counted);
        Ok(stored?)
    }

    fn give_back(&mut self) {
        if let Ok(mut reserved) = self.host.ledger.reserved.lock() {
            *reserved = reserved.without(std::mem::take(&mut self.share));
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn failed<T>(_: std::sync::PoisonError<T>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "another thread failed")
}
