//! What stat() says of an entry that is mounted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use super::index::Listed;
use crate::entry::{Kind, Stat, Time};

/// The kind of an entry, as the kernel knows it.
pub(super) fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharDevice,
        Kind::Directory => FileType::Directory,
        Kind::Fifo => FileType::NamedPipe,
        Kind::File | Kind::Image => FileType::RegularFile,
        Kind::Socket => FileType::Socket,
        Kind::Symlink => FileType::Symlink,
    }
}

/// Of an entry of a backup, which is an inode of so many names.
pub(super) fn of_entry(ino: u64, listed: &Listed, links: u32) -> FileAttr {
    let stat = &listed.entry.stat;
    let size = if stat.kind == Kind::Symlink { listed.entry.target.len() as u64 } else { stat.size };
    // Holes take no room; what is compressed takes less than it did.
    let bytes = if stat.kind.has_contents() { listed.stored } else { 0 };
    of_stat(ino, stat, size, bytes.div_ceil(512), links)
}

/// Of what is in no backup: the folders above them, and links to the newest.
pub(super) fn of_stat(ino: u64, stat: &Stat, size: u64, blocks: u64, links: u32) -> FileAttr {
    let mtime = time(stat.mtime);
    let (major, minor) = stat.node;
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks,
        atime: mtime,
        mtime,
        ctime: time(stat.ctime),
        crtime: UNIX_EPOCH,
        kind: kind(stat.kind),
        perm: (stat.mode & 0o7777) as u16,
        nlink: links,
        uid: stat.uid,
        gid: stat.gid,
        // The kernel's encoding of 32 bits.
        rdev: (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12,
        blksize: 4096,
        flags: 0,
    }
}

fn time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanoseconds.into())));
    exact.unwrap_or(UNIX_EPOCH)
}
