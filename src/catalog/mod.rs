//! What is on a target: its backups by name, who signed them, their documents, and the payloads of chunks.
//!
//! Between the modules that know one thing each (target, seal, metafile) and the lines that use all of them. Nothing here
//! writes to a target, but for [`transfer`], which brings to one what another has.

mod backup;
mod chain;
mod contents;
mod cursor;
mod error;
mod listing;
mod local;
mod look;
#[cfg(feature = "mount")]
mod random;
mod transfer;
mod window;

pub use backup::{Documents, Fetched, OpenBackup, Trust, Verdict};
pub use chain::{Link, chain_head, footer, footer_text, links, settle, tombstone};
pub use contents::{ChunkReader, FileReader, Span, slices};
pub use cursor::Cursor;
pub use error::Error;
pub use listing::{Chunks, Listing};
pub use local::LocalMetafile;
pub use look::{Look, look};
#[cfg(feature = "mount")]
pub use random::RandomReader;
pub use transfer::{Failed, TRANSFER_BYTES, bring, transfer};

use std::collections::BTreeSet;

use crate::date::Utc;
use crate::target::{self, BackupName, ObjectName, Target, is_root_name};

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
    let meant = |name: &BackupName, length| is_meant(name).then(|| (name.clone(), length));
    let mut found = None;
    let of = exact.as_ref().map(BackupName::root).or_else(|| is_by_root.then_some(root));
    if let Some(of) = of.filter(|of| is_root_name(of)) {
        target.list_of(of, &mut |name, length| {
            if let ObjectName::Metafile(name) = name {
                found = found.take().max(meant(&name, length));
            }
            Ok(())
        })?;
    }
    if let Some(found) = found {
        return Ok(found);
    }
    // What is there instead.
    let (mut newest, mut is_removed, mut roots) = (None, false, BTreeSet::new());
    target.list(&mut |name, length| {
        is_removed |= matches!(&name, ObjectName::Tombstone(name) if exact.as_ref() == Some(name));
        let ObjectName::Metafile(name) = name else { return Ok(()) };
        found = found.take().max(meant(&name, length));
        if roots.len() < ROOTS_TOLD_MAX {
            roots.insert(name.root().to_owned());
        }
        newest = newest.take().max(Some(name));
        Ok(())
    })?;
    found.ok_or_else(|| {
        let there = match newest {
            _ if is_removed => "it was there and has been pruned".into(),
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
