//! Fixtures: [`Tree`] to back up and compare, [`Nas`] that does it through the library, [`Program`] that does it through the
//! binary, and targets that count, fail or stop.

mod box_root;
mod mount;
mod nas;
mod program;
mod sealed;
mod service;
mod targets;
mod tree;

pub(crate) use box_root::{BoxRoot, Disk, runs, tool};
pub(crate) use mount::{Mount, fill};
pub(crate) use nas::{Done, Event, Nas, Watch};
pub(crate) use program::{Program, code, stderr};
pub(crate) use sealed::seal_into;
pub(crate) use service::Service;
pub(crate) use targets::{Call, Fault, How, Recording};
pub(crate) use tree::{Snapshot, Tree, noise, set_mtime, settle};

/// Whether this may be done; says so if not.
pub(crate) fn when_root(what: &str) -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root {
        eprintln!("not root: {what} left out");
    }
    is_root
}
