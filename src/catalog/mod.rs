//! What is on a target: its backups by name, who signed them, their documents, and the payloads of chunks.
//!
//! Between the modules that know one thing each (target, seal, metafile) and the lines that use all of them. Nothing here
//! writes to a target.

mod backup;
mod contents;
mod error;
mod window;

pub use backup::{Documents, Fetched, OpenBackup, Trust, Verdict};
pub use contents::{ChunkReader, FileReader, Span, slices};
pub use error::Error;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use crate::date::Utc;
use crate::db::ChainHead;
use crate::seal::{BoxPublic, Fault, Footer, split_footer};
use crate::target::{self, BackupName, ObjectName, Target};

/// Backups whose signatures are looked at between two listings.
const BACKUPS_AT_A_TIME: usize = 64;
/// Roots that are named when a backup is not found.
const ROOTS_TOLD_MAX: usize = 16;

/// The backups on a target, sorted, with the lengths of their metafiles.
pub fn backups(target: &dyn Target) -> Result<Vec<(BackupName, u64)>, target::Error> {
    let mut backups = Vec::new();
    target.list(&mut |name, length| {
        if let ObjectName::Metafile(name) = name {
            backups.push((name, length));
        }
        Ok(())
    })?;
    backups.sort();
    Ok(backups)
}

/// The backup that a person means: a name with or without `.meta`, `ROOT:latest`, or `ROOT` with a date.
pub fn find(target: &dyn Target, text: &str, as_of: Option<Utc>) -> Result<(BackupName, u64), Error> {
    let root = text.strip_suffix(":latest").unwrap_or(text);
    let exact = if root == text && as_of.is_none() { BackupName::parse(text) } else { None };
    let is_by_root = root != text || as_of.is_some();
    let last_day = as_of.map(Utc::yyyymmdd);
    let is_meant = |name: &BackupName| match &exact {
        Some(exact) => exact == name,
        None => is_by_root && name.root() == root && last_day.as_deref().is_none_or(|last| name.day() <= last),
    };
    let (mut found, mut newest) = (None, None);
    let mut roots = BTreeSet::new();
    target.list(&mut |name, length| {
        let ObjectName::Metafile(name) = name else { return Ok(()) };
        if is_meant(&name) && found.as_ref().is_none_or(|(found, _)| *found < name) {
            found = Some((name.clone(), length));
        }
        if roots.len() < ROOTS_TOLD_MAX {
            roots.insert(name.root().to_owned());
        }
        newest = newest.take().max(Some(name));
        Ok(())
    })?;
    found.ok_or_else(|| {
        let there = match newest {
            None => "there is no backup at all".into(),
            Some(newest) => {
                let roots: Vec<_> = roots.into_iter().collect();
                format!("there are backups of {}, the last of them {newest}", roots.join(", "))
            }
        };
        let text = match last_day {
            Some(day) => format!("of {text} up to {day}"),
            None => text.into(),
        };
        Error::NoSuchBackup { text, place: target.describe(), there }
    })
}

/// The footer of a backup, its signature checked, and the digest that the next one names.
pub fn footer(target: &dyn Target, name: &BackupName, length: u64) -> Result<(Footer, [u8; 32]), Error> {
    let object = ObjectName::Metafile(name.clone());
    let tail_bytes = length.min(Footer::TAIL_BYTES_MAX as u64);
    let mut tail = Vec::new();
    let read = target.get(&object, length - tail_bytes, tail_bytes)?.read_to_end(&mut tail);
    read.map_err(|error| target::Error::io(format!("can't read {name}"), error))?;
    let parsed = split_footer(&tail).and_then(Footer::parse);
    // A copy under another name is no other backup.
    let is_its_own = |(footer, _): &(Footer, [u8; 32])| footer.backup == name.to_string();
    let parsed = parsed.and_then(|parsed| if is_its_own(&parsed) { Ok(parsed) } else { Err(Fault::Signature) });
    parsed.map_err(|fault| Error::Object { name: object.to_string(), fault })
}

/// The newest link of a box's chain for a root at a target: the one that it remembers, or one on the target if that is newer or all there is.
pub fn chain_head(
    target: &dyn Target,
    remembered: Option<ChainHead>,
    root: &str,
    signer: &BoxPublic,
) -> Result<Option<ChainHead>, target::Error> {
    let mut below = None;
    loop {
        let newest = newest_backups(target, root, below.as_ref())?;
        // From the newest name backwards, to the first that this box has signed.
        for (name, length) in newest.iter().rev() {
            let (footer, digest) = match footer(target, name, *length) {
                Ok(found) => found,
                // Nobody knows what it is, and an older one would make a fork of the chain.
                Err(Error::Target(error)) if remembered.is_none() && error.kind != target::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(_) => continue,
            };
            if footer.signer == *signer && footer.root == root {
                let found = ChainHead { backup: footer.backup, sequence: footer.sequence, footer: digest };
                let is_newer = remembered.as_ref().is_none_or(|remembered| remembered.sequence < found.sequence);
                return Ok(if is_newer { Some(found) } else { remembered });
            }
        }
        match newest.into_iter().next() {
            Some((oldest, _)) => below = Some(oldest),
            None => return Ok(remembered),
        }
    }
}

/// The newest backups of a root, before one of them if it is given: a few at a time, since over the years there may be very many.
fn newest_backups(
    target: &dyn Target,
    root: &str,
    below: Option<&BackupName>,
) -> Result<BTreeMap<BackupName, u64>, target::Error> {
    let mut newest = BTreeMap::new();
    target.list(&mut |name, length| {
        if let ObjectName::Metafile(name) = name
            && name.root() == root
            && below.is_none_or(|below| name < *below)
        {
            newest.insert(name, length);
            if newest.len() > BACKUPS_AT_A_TIME {
                newest.pop_first();
            }
        }
        Ok(())
    })?;
    Ok(newest)
}
