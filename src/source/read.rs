//! The contents of an entry: of a file through one buffer, of a link, and the extended attributes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Whence, lseek};
use xattr::FileExt as _;

use super::{Met, stat_of};
use crate::entry::{Stat, Time, Xattrs};
use crate::fsutil;
use crate::limits::XATTR_BYTES_MAX;

/// The grain of a file system's clock: what changed so shortly before it was read may change again without a new time.
const FINE_GRAIN_NANOSECONDS: i128 = 20_000_000;
/// Of a file system that keeps whole or even seconds only (vfat, old NFS).
const COARSE_GRAIN_NANOSECONDS: i128 = 2_000_000_000;

/// An open file, or one that was read ahead.
#[derive(Debug)]
pub struct Contents {
    file: Opened,
    offset: u64,
    dropped: u64,
    sparse: bool,
}

#[derive(Debug)]
enum Opened {
    Ahead(Box<Ahead>),
    File(File),
}

/// A small file that was read ahead as a whole, and what was seen of it then.
#[derive(Debug)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    after: Stat,
}

/// What the next bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub enum Span {
    /// So many bytes were read.
    Data(usize),
    /// So many bytes are a hole.
    Hole(u64),
}

impl Met {
    /// Opens a regular file. It is not opened through a link, nor does a fifo in its place hang us.
    pub fn open(&mut self) -> io::Result<Contents> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Contents { file: Opened::Ahead(ahead), offset: 0, dropped: 0, sparse: false });
        }
        let file = Opened::File(self.open_file()?);
        Ok(Contents { file, offset: 0, dropped: 0, sparse: self.stat.sparse })
    }

    /// Reads a small file ahead, and says how many bytes that takes. If anything is odd it is left to be read, and told of, in its
    /// turn.
    pub(super) fn read_ahead(&mut self) -> io::Result<usize> {
        let file = self.open_file()?;
        let mut bytes = vec![0; usize::try_from(self.stat.size).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        let xattrs = gather(file.list_xattr(), |name| file.get_xattr(name)).map_err(io::Error::other)?;
        let length = bytes.len() + xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.ahead = Some(Box::new(Ahead { bytes, xattrs, after: stat_of(&fstat(&file)?) }));
        Ok(length)
    }

    fn open_file(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(open_unnoticed(&self.directory, self.c_name()?.as_c_str(), flags)?.into())
    }

    /// The target of a symbolic link.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.directory, self.c_name()?.as_c_str())?.into_vec())
    }

    /// The extended attributes, ACLs among them, of any kind of entry.
    pub fn xattrs(&self, contents: Option<&Contents>) -> Result<Xattrs, XattrError> {
        match contents {
            Some(Contents { file: Opened::Ahead(ahead), .. }) => Ok(ahead.xattrs.clone()),
            Some(Contents { file: Opened::File(file), .. }) => gather(file.list_xattr(), |name| file.get_xattr(name)),
            None => {
                // There is no call for a name relative to an open directory, but /proc names that directory.
                let path = self.proc_path();
                gather(xattr::list(&path), |name| xattr::get(&path, name))
            }
        }
    }

    fn proc_path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(OsStr::from_bytes(self.name()))
    }
}

/// Opens something to be read without an access time being written for it, as a backup would every night. Only an owner may ask
/// for that; others read as everybody does.
pub(super) fn open_unnoticed<P: NixPath + ?Sized>(
    directory: impl AsFd + Copy,
    name: &P,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let open = |flags| openat(directory, name, flags, Mode::empty());
    match open(flags | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open(flags),
        other => other,
    }
}

/// Why attributes are missing.
#[derive(Debug)]
pub enum XattrError {
    /// The system said so.
    Io(io::Error),
    /// More than are kept.
    TooMuch,
}

impl std::error::Error for XattrError {}

impl std::fmt::Display for XattrError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "its extended attributes can't be read: {error}"),
            Self::TooMuch => f.write_str("it has more than 128 KiB of extended attributes: they are left out"),
        }
    }
}

fn gather(
    names: io::Result<xattr::XAttrs>,
    get: impl Fn(&OsStr) -> io::Result<Option<Vec<u8>>>,
) -> Result<Xattrs, XattrError> {
    let names = match names {
        // A file system that has none.
        Err(error) if error.raw_os_error() == Some(Errno::ENOTSUP as i32) => return Ok(Vec::new()),
        Err(error) if error.raw_os_error() == Some(Errno::ENOSYS as i32) => return Ok(Vec::new()),
        other => other.map_err(XattrError::Io)?,
    };
    let mut attributes = Vec::new();
    let mut bytes = 0;
    for name in names {
        // One that went away between the two calls, or that this file system lists but does not give.
        let Some(value) = get(&name).or_else(absent).map_err(XattrError::Io)? else { continue };
        bytes += name.len() + value.len();
        if bytes > XATTR_BYTES_MAX {
            return Err(XattrError::TooMuch);
        }
        attributes.push((name.into_vec(), value));
    }
    attributes.sort_unstable();
    Ok(attributes)
}

fn absent(error: io::Error) -> io::Result<Option<Vec<u8>>> {
    let code = error.raw_os_error();
    if code == Some(Errno::ENODATA as i32) || code == Some(Errno::ENOTSUP as i32) { Ok(None) } else { Err(error) }
}

impl Contents {
    /// Opens a block device, or a file in its place, as one image; with its length.
    pub fn open_image(path: &Path) -> io::Result<(Self, u64)> {
        let file = File::open(path)?;
        fsutil::will_read_in_order(&file);
        let length = lseek(&file, 0, Whence::SeekEnd)?;
        lseek(&file, 0, Whence::SeekSet)?;
        let length = u64::try_from(length).unwrap_or(0);
        Ok((Self { file: Opened::File(file), offset: 0, dropped: 0, sparse: false }, length))
    }

    /// Fills `into` unless the file ends first. A piece that lies in a hole as a whole is not read.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Span> {
        if self.sparse
            && let Some(hole) = self.hole(into.len() as u64)
        {
            self.offset += hole;
            return Ok(Span::Hole(hole));
        }
        let filled = match &self.file {
            Opened::Ahead(ahead) => {
                let rest =
                    usize::try_from(self.offset).ok().and_then(|offset| ahead.bytes.get(offset..)).unwrap_or(&[]);
                let length = rest.len().min(into.len());
                into[..length].copy_from_slice(&rest[..length]);
                length
            }
            Opened::File(file) => fill(file, self.offset, into)?,
        };
        self.offset += filled as u64;
        Ok(Span::Data(filled))
    }

    /// Fills `into` with the bytes at an offset, beside the reading.
    pub(super) fn peek(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.file {
            Opened::File(file) => file.read_exact_at(into, offset),
            Opened::Ahead(ahead) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| ahead.bytes.get(offset..));
                into.copy_from_slice(rest.and_then(|rest| rest.get(..into.len())).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        (self.offset, self.dropped) = (0, 0);
    }

    /// Lets go of the page cache of what has been read, a megabyte and more at a time.
    pub fn drop_cache(&mut self) {
        if let Opened::File(file) = &self.file
            && self.offset - self.dropped >= 1 << 20
        {
            fsutil::drop_cache(file, self.dropped, self.offset - self.dropped);
            self.dropped = self.offset;
        }
    }

    /// Lets go of all of the file that is in the page cache, so that it comes from the disk.
    pub fn drop_whole_cache(&self) {
        if let Opened::File(file) = &self.file {
            fsutil::drop_cache(file, 0, 0);
        }
    }

    /// What fstat() says behind the reading.
    pub fn stat(&self) -> io::Result<Stat> {
        match &self.file {
            Opened::Ahead(ahead) => Ok(ahead.after.clone()),
            Opened::File(file) => Ok(stat_of(&fstat(file)?)),
        }
    }

    /// The length of the hole at the offset if a whole piece of it is one, up to the piece's end.
    fn hole(&mut self, piece: u64) -> Option<u64> {
        let Opened::File(file) = &self.file else { return None };
        let offset = i64::try_from(self.offset).ok()?;
        match lseek(file, offset, Whence::SeekData) {
            Ok(data) => (u64::try_from(data).ok()? >= self.offset + piece).then_some(piece),
            // No data behind the offset: a hole up to the end of the file.
            Err(Errno::ENXIO) => {
                let end = u64::try_from(lseek(file, 0, Whence::SeekEnd).ok()?).ok()?;
                (end > self.offset).then(|| piece.min(end - self.offset))
            }
            Err(_) => {
                // A file system that can't say (before Linux 3.1, old NFS and FUSE): it is not asked again, and zeros are read.
                self.sparse = false;
                None
            }
        }
    }
}

/// Reads by offset, so that a hole that was stepped over needs no seek; fewer bytes only at the end of the file.
fn fill(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => break,
            other => filled += other?,
        }
    }
    Ok(filled)
}

/// Whether a file that has these times when it is read at `read_start` may still change without getting other times (I3).
pub fn is_racy(stat: &Stat, read_start: SystemTime) -> bool {
    let nanoseconds = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let start = read_start.duration_since(UNIX_EPOCH).map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0));
    [stat.mtime, stat.ctime].into_iter().any(|time| {
        let grain = if time.nanoseconds == 0 { COARSE_GRAIN_NANOSECONDS } else { FINE_GRAIN_NANOSECONDS };
        nanoseconds(time) + grain > start
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_changed_just_now_is_racy() {
        let at = |seconds, nanoseconds| Time { seconds, nanoseconds };
        let start = UNIX_EPOCH + Duration::from_secs(100);
        for (mtime, ctime, racy) in [
            (at(90, 0), at(90, 0), false),
            (at(99, 0), at(90, 0), true),
            (at(99, 1), at(99, 1), false),
            (at(90, 1), at(99, 990_000_000), true),
            (at(5_000_000_000, 0), at(90, 0), true),
        ] {
            let stat = Stat { mtime, ctime, ..Stat::default() };
            assert_eq!(is_racy(&stat, start), racy, "{mtime:?} {ctime:?}");
        }
    }
}
