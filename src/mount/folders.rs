//! What is above the backups: a folder for each source, in it a folder for each of its backups, and the link `latest`.
//!
//! Numbers of inodes: 1 is the top, then two for each source, its folder and its link; from 2^32 on a backup's number and that of an entry
//! in it. So an index that was put away to make room is the same when it is made again.

use std::ops::Range;
use std::time::SystemTime;

use fuser::{Errno, FileAttr};
use nix::unistd::{Gid, Uid};

use super::attributes;
use crate::entry::{Kind, Stat, Time};
use crate::target::BackupName;

pub(super) const TOP: u64 = 1;
const LATEST: &str = "latest";

/// What an inode is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Top,
    Source(usize),
    Latest(usize),
    Entry(usize, u32),
}

/// One of these in a listing.
pub(super) struct Named {
    pub(super) ino: u64,
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    /// Where a listing goes on behind it.
    pub(super) next: u64,
}

/// The backups, by source.
pub(super) struct Folders<'a> {
    backups: &'a [BackupName],
    sources: Vec<Range<usize>>,
    /// What is like this: a folder that is in no backup.
    stat: Stat,
}

impl<'a> Folders<'a> {
    /// Of backups that are sorted.
    pub(super) fn of(backups: &'a [BackupName]) -> Self {
        let mut sources: Vec<Range<usize>> = Vec::new();
        for (at, backup) in backups.iter().enumerate() {
            match sources.last_mut() {
                Some(source) if backups[source.start].root() == backup.root() => source.end = at + 1,
                _ => sources.push(at..at + 1),
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Time { seconds: now.as_secs() as i64, nanoseconds: 0 };
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        let stat = Stat { kind: Kind::Directory, mode: 0o500, uid, gid, mtime: now, ctime: now, ..Stat::default() };
        Self { backups, sources, stat }
    }

    /// What an inode is.
    pub(super) fn place(&self, ino: u64) -> Result<Place, Errno> {
        let (high, low) = (ino >> 32, ino as u32);
        let place = match (high.checked_sub(1), ino.checked_sub(2)) {
            (Some(backup), _) if backup < self.backups.len() as u64 => Place::Entry(backup as usize, low),
            (None, None) if ino == TOP => Place::Top,
            (None, Some(number)) if number / 2 < self.sources.len() as u64 => {
                let source = (number / 2) as usize;
                if number % 2 == 0 { Place::Source(source) } else { Place::Latest(source) }
            }
            _ => return Err(Errno::ESTALE),
        };
        Ok(place)
    }

    /// The folder that a backup's is in.
    pub(super) fn above(&self, backup: usize) -> u64 {
        self.sources.iter().position(|source| source.contains(&backup)).map_or(TOP, source_ino)
    }

    /// The folders of sources.
    pub(super) fn named_sources(&self, from: u64) -> impl Iterator<Item = Named> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.sources.iter().enumerate().skip(from).map(|(at, source)| Named {
            ino: source_ino(at),
            kind: Kind::Directory,
            name: self.backups[source.start].root().as_bytes().to_vec(),
            next: at as u64 + 3,
        })
    }

    /// The backups of a source, and the link behind them.
    pub(super) fn named_backups(&self, source: usize, from: u64) -> impl Iterator<Item = Named> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let backups = self.sources[source].clone().map(|backup| {
            let name = self.backups[backup].to_string().into_bytes();
            (entry_ino(backup, 0), Kind::Directory, name)
        });
        let latest = (source_ino(source) + 1, Kind::Symlink, LATEST.as_bytes().to_vec());
        let named = |(at, (ino, kind, name))| Named { ino, kind, name, next: at as u64 + 3 };
        backups.chain([latest]).enumerate().skip(from).map(named)
    }

    /// The name of its newest backup.
    pub(super) fn latest(&self, source: usize) -> String {
        self.backups[self.sources[source].end - 1].to_string()
    }

    /// A folder that is in no backup, or of a backup that nobody has entered.
    pub(super) fn folder(&self, ino: u64) -> FileAttr {
        // One link: whoever looks for folders must not conclude that there are none.
        attributes::of_stat(ino, &self.stat, 0, 0, 1)
    }

    /// The link to the newest.
    pub(super) fn link(&self, ino: u64, source: usize) -> FileAttr {
        let stat = Stat { kind: Kind::Symlink, mode: 0o777, ..self.stat.clone() };
        attributes::of_stat(ino, &stat, self.latest(source).len() as u64, 0, 1)
    }
}

fn source_ino(source: usize) -> u64 {
    2 + 2 * source as u64
}

/// The number of an entry's inode.
pub(super) fn entry_ino(backup: usize, number: u32) -> u64 {
    (backup as u64 + 1) << 32 | u64::from(number)
}
