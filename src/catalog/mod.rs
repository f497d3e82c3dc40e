//! What is on a target: its backups by name, who signed them, their documents, and the payloads of chunks.
//!
//! Between the modules that know one thing each (target, seal, metafile) and the lines that use all of them. Nothing here
//! writes to a target.

mod backup;
mod contents;
mod error;

pub use backup::{Documents, Fetched, OpenBackup, Trust, Verdict};
pub use contents::{ChunkReader, FileReader, Span, slices};
pub use error::Error;

use std::io::Read as _;

use crate::date::Utc;
use crate::db::ChainHead;
use crate::seal::{BoxPublic, Footer, split_footer};
use crate::target::{self, BackupName, ObjectName, Target};

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
    let backups = backups(target)?;
    let no_such = || Error::NoSuchBackup { text: text.into(), place: target.describe(), there: summary(&backups) };
    let root = text.strip_suffix(":latest").unwrap_or(text);
    if root == text && as_of.is_none() {
        let name = BackupName::parse(text).ok_or_else(no_such)?;
        return backups.iter().find(|(there, _)| *there == name).cloned().ok_or_else(no_such);
    }
    let last_day = as_of.map(Utc::yyyymmdd);
    let is_in_time = |name: &BackupName| last_day.as_deref().is_none_or(|last| name.day() <= last);
    let mut of_root = backups.iter().filter(|(name, _)| name.root() == root && is_in_time(name));
    of_root.next_back().cloned().ok_or_else(no_such)
}

fn summary(backups: &[(BackupName, u64)]) -> String {
    let mut roots: Vec<_> = backups.iter().map(|(name, _)| name.root()).collect();
    roots.dedup();
    match backups.last() {
        None => "there is no backup at all".into(),
        Some((newest, _)) => format!("there are backups of {}, the last of them {newest}", roots.join(", ")),
    }
}

/// The footer of a backup, its signature checked, and the digest that the next one names.
pub fn footer(target: &dyn Target, name: &BackupName, length: u64) -> Result<(Footer, [u8; 32]), Error> {
    let object = ObjectName::Metafile(name.clone());
    let tail_bytes = length.min(Footer::TAIL_BYTES_MAX as u64);
    let mut tail = Vec::new();
    let read = target.get(&object, length - tail_bytes, tail_bytes)?.read_to_end(&mut tail);
    read.map_err(|error| target::Error::io(format!("can't read {name}"), error))?;
    let parsed = split_footer(&tail).and_then(Footer::parse);
    parsed.map_err(|fault| Error::Object { name: object.to_string(), fault })
}

/// The newest link of a box's chain for a root at a target: the one that it remembers, or one on the target if that is newer or all there is.
pub fn chain_head(
    target: &dyn Target,
    remembered: Option<ChainHead>,
    root: &str,
    signer: &BoxPublic,
) -> Result<Option<ChainHead>, target::Error> {
    let mut newest = remembered;
    // From the newest name backwards, to the first that this box has signed.
    for (name, length) in backups(target)?.iter().rev().filter(|(name, _)| name.root() == root) {
        let Ok((footer, digest)) = footer(target, name, *length) else { continue };
        if footer.signer == *signer && footer.root == root {
            let found = ChainHead { sequence: footer.sequence, footer: digest };
            if newest.is_none_or(|newest| newest.sequence < found.sequence) {
                newest = Some(found);
            }
            break;
        }
    }
    Ok(newest)
}
