//! Owner, attributes, mode and times, in the order in which the kernel lets them stand: changing the owner clears setuid bits and
//! capabilities, changing an attribute changes ctime only, and the times come last. An ACL that was inherited goes before all of them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Group, Uid, User};

use super::error::Error;
use super::handle::Handle;
use super::place::Made;
use crate::entry::{Kind, Stat, Xattrs};
use crate::limits::OWNER_NAME_BYTES_MAX;
use crate::metafile::Found;
use crate::monitor::Tally;
use crate::relpath::RelPath;

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// What is set: of an entry, all but its path and its contents.
pub(super) struct Wanted {
    stat: Stat,
    /// Names of users and groups that this machine may know: longer ones are none.
    user: Option<Box<str>>,
    group: Option<Box<str>>,
    xattrs: Xattrs,
}

impl Wanted {
    /// Takes it out of an entry.
    pub(super) fn of(found: &mut Found) -> Self {
        let name = |name: &mut Option<String>| {
            name.take().filter(|name| name.len() <= OWNER_NAME_BYTES_MAX).map(String::into_boxed_str)
        };
        let (user, group) = (name(&mut found.user), name(&mut found.group));
        Self { stat: found.entry.stat.clone(), user, group, xattrs: std::mem::take(&mut found.entry.xattrs) }
    }
}

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

    pub(super) fn apply_to_file(&mut self, made: &Made, path: &RelPath, wanted: &Wanted, tally: &Tally<'_>) {
        if let Some(file) = made.open_file() {
            disinherit(&Handle::Open(file), path, wanted, tally);
            self.apply(&Handle::Open(file), path, wanted, tally);
        }
    }

    /// `is_made`: it was not there before.
    pub(super) fn apply_to_directory(
        &mut self,
        directory: BorrowedFd<'_>,
        is_made: bool,
        path: &RelPath,
        wanted: &Wanted,
        tally: &Tally<'_>,
    ) -> Result<(), Error> {
        let file = File::from(directory.try_clone_to_owned().map_err(Error::io("can't open the directory"))?);
        if is_made {
            disinherit(&Handle::Open(&file), path, wanted, tally);
        }
        self.apply(&Handle::Open(&file), path, wanted, tally);
        Ok(())
    }

    /// For what can't be opened without effect: a link, a fifo, a device.
    pub(super) fn apply_to_node(
        &mut self,
        made: &Made,
        path: &RelPath,
        wanted: &Wanted,
        tally: &Tally<'_>,
    ) -> Result<(), Error> {
        let handle = Handle::hold(made, &wanted.stat)?;
        disinherit(&handle, path, wanted, tally);
        self.apply(&handle, path, wanted, tally);
        Ok(())
    }

    /// What can't be set is told. It costs no contents: a file with another owner or mode is better than none.
    fn apply(&mut self, handle: &Handle<'_>, path: &RelPath, wanted: &Wanted, tally: &Tally<'_>) {
        let mode = self.own(handle, path, wanted, tally);
        self.xattrs(handle, path, wanted, tally);
        let told = |set: nix::Result<()>, what| {
            if let Err(errno) = set {
                tally.problem(path.escaped(), format!("its {what} can't be set: {}", io::Error::from(errno)));
            }
        };
        told(handle.set_mode(mode), "mode");
        told(handle.set_times(wanted.stat.mtime), "times");
    }

    /// Sets owner and group, or the group alone; gives the mode that is safe then.
    fn own(&mut self, handle: &Handle<'_>, path: &RelPath, wanted: &Wanted, tally: &Tally<'_>) -> Mode {
        let (uid, gid) = self.owner(wanted);
        let has = || {
            let there = handle.stat().map(|there| (there.uid == uid.as_raw(), there.gid == gid.as_raw()));
            there.unwrap_or_default()
        };
        let mut set = Ok(());
        let (mut has_user, mut has_group) = has();
        if !(has_user && has_group) {
            set = handle.set_owner(Some(uid), Some(gid));
            if set.is_err() {
                // Whether it helped is seen below.
                let _ = handle.set_owner(None, Some(gid));
            }
            // Some file systems say yes and keep their own: only what is there counts.
            (has_user, has_group) = has();
        }
        if !(has_user && has_group) {
            let may_not = !self.is_root && (uid != Uid::effective() || set == Err(Errno::EPERM));
            let what = if has_user { "group" } else { "owner" };
            if !may_not {
                let why = match set {
                    Err(errno) => io::Error::from(errno).to_string(),
                    Ok(()) => "the file system keeps its own".to_owned(),
                };
                tally.problem(path.escaped(), format!("its {what} can't be set: {why}"));
            } else if !std::mem::replace(&mut self.told_owner, true) {
                let what = "its owner or group can't be set (not root); this is said once for all";
                tally.notice(path.escaped(), what);
            }
        }
        let lost = match wanted.stat.kind {
            _ if has_user && has_group => 0,
            // What is made in it gets its group: no right of anybody's.
            Kind::Directory if has_group => SET_UID,
            _ => SET_UID | SET_GID,
        };
        Mode::from_bits_truncate((wanted.stat.mode & !lost) as _)
    }

    fn xattrs(&mut self, handle: &Handle<'_>, path: &RelPath, wanted: &Wanted, tally: &Tally<'_>) {
        for (name, value) in &wanted.xattrs {
            let Err(error) = handle.set_xattr(OsStr::from_bytes(name), value) else { continue };
            let what = format!("its attribute {} can't be set: {error}", Path::new(OsStr::from_bytes(name)).display());
            if self.is_root {
                tally.problem(path.escaped(), what);
            } else if !std::mem::replace(&mut self.told_xattr, true) {
                tally.notice(path.escaped(), format!("{what}; this is said once for all"));
            }
        }
    }

    /// By name if this machine knows it, else by number.
    fn owner(&mut self, wanted: &Wanted) -> (Uid, Gid) {
        let stat = &wanted.stat;
        let (mut uid, mut gid) = (stat.uid, stat.gid);
        if !self.numeric_ids {
            if let Some(name) = &wanted.user {
                let find = || User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
                uid = remember(&mut self.users, name, find).unwrap_or(uid);
            }
            if let Some(name) = &wanted.group {
                let find = || Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
                gid = remember(&mut self.groups, name, find).unwrap_or(gid);
            }
        }
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }
}

/// Takes away what an ACL of the folder gave to what was made in it: with the mode that is set later it would be access that was not
/// there. Before the owner is set, since it is its owner that may.
fn disinherit(handle: &Handle<'_>, path: &RelPath, wanted: &Wanted, tally: &Tally<'_>) {
    let is_directory = wanted.stat.kind == Kind::Directory;
    let default = is_directory.then_some("system.posix_acl_default");
    for name in ["system.posix_acl_access"].into_iter().chain(default) {
        // To look is cheap, to remove what is not there is a transaction of the file system for each file.
        if matches!(handle.has_xattr(name), Ok(false)) {
            continue;
        }
        let Err(error) = handle.remove_xattr(name) else { continue };
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        // None was inherited, or there is no such thing here.
        if !matches!(errno, Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ENOSYS) {
            tally.problem(path.escaped(), format!("{name} of its folder can't be taken from it: {error}"));
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::entry::Entry;
    use crate::monitor::Quiet;
    use crate::restore::place::Place;

    #[test]
    fn what_is_swapped_in_for_a_node_is_left_as_it_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let (to, outside) = (folder.path().join("to"), folder.path().join("outside"));
        fs::write(&outside, b"mine").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
        let stat = Stat { kind: Kind::Fifo, mode: 0o666, uid: 1, gid: 1, ..Stat::default() };
        let path = RelPath::parse(b"fifo").unwrap();
        let mut found = Found { path, entry: Entry::new(stat), user: None, group: None, hardlink: None };
        let (path, wanted) = (found.path.clone(), Wanted::of(&mut found));
        for is_link in [true, false] {
            let mut place = Place::open(&to, false).unwrap();
            let made = place.make_node(&found).unwrap();
            let name = to.join(made.place().1);
            fs::remove_file(&name).unwrap();
            if is_link { symlink(&outside, &name) } else { fs::hard_link(&outside, &name) }.unwrap();
            let quiet = Quiet::default();
            let applied = Metadata::new(true).apply_to_node(&made, &path, &wanted, &Tally::new(&quiet));
            let there = fs::metadata(&outside).unwrap();
            assert_eq!((there.mode() & 0o7777, there.uid()), (0o600, Uid::effective().as_raw()));
            assert!(there.mtime() > 0);
            assert!(matches!(applied, Err(Error::OtherKind(_))), "{applied:?}");
        }
    }
}
