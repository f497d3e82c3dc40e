//! Owner, attributes, mode and times, in the order in which the kernel lets them stand: changing the owner clears setuid bits and
//! capabilities, changing an attribute changes ctime only, and the times come last.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Group, Uid, User, fchown, fchownat};
use xattr::FileExt as _;

use super::error::Error;
use super::place::{Made, NO_FOLLOW};
use crate::entry::{Kind, Time};
use crate::metafile::Found;
use crate::monitor::Tally;

const SET_IDS: u32 = 0o6000;

/// Sets metadata, and remembers the numbers of owners' names here.
#[derive(Debug)]
pub(super) struct Metadata {
    numeric_ids: bool,
    is_root: bool,
    users: HashMap<String, Option<u32>>,
    groups: HashMap<String, Option<u32>>,
    told_owner: bool,
    told_xattr: bool,
}

impl Metadata {
    pub(super) fn new(numeric_ids: bool) -> Self {
        let is_root = Uid::effective().is_root();
        Self {
            numeric_ids,
            is_root,
            users: HashMap::new(),
            groups: HashMap::new(),
            told_owner: false,
            told_xattr: false,
        }
    }

    pub(super) fn apply_to_file(&mut self, made: &Made, found: &Found, tally: &Tally<'_>) -> Result<(), Error> {
        let Some(file) = made.open_file() else { return Ok(()) };
        self.apply(file.as_fd(), found, tally, |name, value| file.set_xattr(name, value))
    }

    pub(super) fn apply_to_directory(
        &mut self,
        directory: BorrowedFd<'_>,
        found: &Found,
        tally: &Tally<'_>,
    ) -> Result<(), Error> {
        let file = File::from(directory.try_clone_to_owned().map_err(Error::io("can't open the directory"))?);
        self.apply(file.as_fd(), found, tally, |name, value| file.set_xattr(name, value))
    }

    /// For what can't be opened without effect: a link, a fifo, a device.
    pub(super) fn apply_to_node(&mut self, made: &Made, found: &Found, tally: &Tally<'_>) -> Result<(), Error> {
        let (directory, name) = made.place();
        let (uid, gid) = self.owner(found);
        let owned = fchownat(directory, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW);
        let mode = self.mode_after(owned, found, tally)?;
        let path = made.proc_path();
        self.xattrs(found, tally, |name, value| xattr::set(&path, name, value))?;
        if found.entry.stat.kind != Kind::Symlink {
            // A link has no mode of its own.
            let changed = fchmodat(directory, name, mode, NO_FOLLOW)
                .or_else(|_| fchmodat(directory, name, mode, nix::sys::stat::FchmodatFlags::FollowSymlink));
            changed.map_err(Error::call("can't set its mode"))?;
        }
        let time = timespec(found.entry.stat.mtime);
        utimensat(directory, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(Error::call("can't set its times"))
    }

    fn apply(
        &mut self,
        fd: BorrowedFd<'_>,
        found: &Found,
        tally: &Tally<'_>,
        set: impl Fn(&OsStr, &[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let (uid, gid) = self.owner(found);
        let owned = fchown(fd, Some(uid), Some(gid));
        let mode = self.mode_after(owned, found, tally)?;
        self.xattrs(found, tally, set)?;
        fchmod(fd, mode).map_err(Error::call("can't set its mode"))?;
        let time = timespec(found.entry.stat.mtime);
        futimens(fd, &time, &time).map_err(Error::call("can't set its times"))
    }

    /// The mode to set: without setuid and setgid if the owner could not be set.
    fn mode_after(&mut self, owned: nix::Result<()>, found: &Found, tally: &Tally<'_>) -> Result<Mode, Error> {
        let mode = found.entry.stat.mode;
        match owned {
            Ok(()) => Ok(Mode::from_bits_truncate(mode as _)),
            Err(Errno::EPERM) => {
                let (uid, _) = self.owner(found);
                if !std::mem::replace(&mut self.told_owner, true) && uid != Uid::effective() {
                    tally.notice(found.path.escaped(), "its owner can't be set (not root); this is said once for all");
                }
                let is_own = uid == Uid::effective();
                Ok(Mode::from_bits_truncate(if is_own { mode } else { mode & !SET_IDS } as _))
            }
            Err(errno) => Err(Error::call("can't set its owner")(errno)),
        }
    }

    fn xattrs(
        &mut self,
        found: &Found,
        tally: &Tally<'_>,
        set: impl Fn(&OsStr, &[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        for (name, value) in &found.entry.xattrs {
            let Err(error) = set(OsStr::from_bytes(name), value) else { continue };
            let what = format!("its attribute {} can't be set: {error}", Path::new(OsStr::from_bytes(name)).display());
            if self.is_root {
                tally.problem(found.path.escaped(), what);
            } else if !std::mem::replace(&mut self.told_xattr, true) {
                tally.notice(found.path.escaped(), format!("{what}; this is said once for all"));
            }
        }
        Ok(())
    }

    /// By name if this machine knows it, else by number.
    fn owner(&mut self, found: &Found) -> (Uid, Gid) {
        let stat = &found.entry.stat;
        let (mut uid, mut gid) = (stat.uid, stat.gid);
        if !self.numeric_ids {
            if let Some(name) = &found.user {
                let find = || User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
                uid = remember(&mut self.users, name, find).unwrap_or(uid);
            }
            if let Some(name) = &found.group {
                let find = || Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
                gid = remember(&mut self.groups, name, find).unwrap_or(gid);
            }
        }
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }
}

fn remember(names: &mut HashMap<String, Option<u32>>, name: &str, find: impl FnOnce() -> Option<u32>) -> Option<u32> {
    if let Some(known) = names.get(name) {
        return *known;
    }
    if names.len() >= 1024 {
        names.clear();
    }
    let id = find();
    names.insert(name.to_owned(), id);
    id
}

fn timespec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds as _, time.nanoseconds as _)
}
