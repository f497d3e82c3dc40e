//! Names of users and groups by number, as this machine knows them, remembered in a small table.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// Owners that are remembered; a tree has few.
const REMEMBERED_MAX: usize = 1024;

/// The names of owners.
#[derive(Debug, Default)]
pub struct Owners {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Owners {
    /// The name of a user, if it has one.
    pub fn user(&mut self, uid: u32) -> Option<&str> {
        remember(&mut self.users, uid, || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name))
    }

    /// The name of a group, if it has one.
    pub fn group(&mut self, gid: u32) -> Option<&str> {
        remember(&mut self.groups, gid, || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name))
    }
}

fn remember(names: &mut HashMap<u32, Option<String>>, id: u32, find: impl FnOnce() -> Option<String>) -> Option<&str> {
    if names.len() >= REMEMBERED_MAX && !names.contains_key(&id) {
        names.clear();
    }
    names.entry(id).or_insert_with(find).as_deref()
}
