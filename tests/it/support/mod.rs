//! Fixtures: [`Tree`] to back up and compare, [`Nas`] that does it through the library, [`Program`] that does it through the
//! binary, and targets that count, fail or stop.

#[cfg(feature = "s3")]
mod backblaze;
mod between;
mod box_root;
#[cfg(feature = "web")]
mod browser;
#[cfg(any(feature = "email", feature = "s3", feature = "webdav"))]
mod certificate;
mod cutter;
#[cfg(feature = "webdav")]
mod dav;
#[cfg(feature = "web")]
mod doorway;
#[cfg(feature = "gdrive")]
pub(crate) mod drive;
pub(crate) mod fake_ssh;
mod faulty;
#[cfg(feature = "s3")]
mod garage;
#[cfg(feature = "http")]
mod hook;
#[cfg(feature = "rebuild")]
mod lost;
mod memory;
#[cfg(feature = "s3")]
mod ministack;
mod mount;
mod nas;
mod place;
mod ports;
mod program;
mod relay;
#[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web")))]
mod scripted;
mod sealed;
pub(crate) mod servers;
mod service;
pub(crate) mod shipped;
#[cfg(feature = "email")]
mod smtp;
mod sshd;
mod targets;
mod tree;
#[cfg(feature = "s3")]
mod weed;
mod years;

#[cfg(feature = "s3")]
pub(crate) use backblaze::Backblaze;
pub(crate) use between::Between;
pub(crate) use box_root::{BoxRoot, Disk, has_ended, runs, tool};
#[cfg(feature = "web")]
pub(crate) use browser::Browser;
#[cfg(feature = "email")]
pub(crate) use certificate::Certificate;
pub(crate) use cutter::{Cut, Cutter};
#[cfg(feature = "webdav")]
pub(crate) use dav::{Dav, Kind, PASSWORD, USER};
#[cfg(feature = "web")]
pub(crate) use doorway::{Asked, Doorway, Watcher, digested, quick_limits, wait_until};
pub(crate) use faulty::{Direction, Faulty, Harm};
#[cfg(feature = "s3")]
pub(crate) use garage::Garage;
#[cfg(feature = "http")]
pub(crate) use hook::Hook;
#[cfg(feature = "rebuild")]
pub(crate) use lost::{Lost, json};
pub(crate) use memory::Memory;
#[cfg(feature = "s3")]
pub(crate) use ministack::{MiniStack, Owned, aws};
pub(crate) use mount::{Mount, fill};
pub(crate) use nas::{Done, Event, Nas, Watch};
pub(crate) use place::Place;
pub(crate) use ports::free_port;
pub(crate) use program::{Program, code, stderr};
#[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web")))]
pub(crate) use scripted::{Scripted, answer};
pub(crate) use sealed::seal_into;
pub(crate) use service::Service;
#[cfg(feature = "email")]
pub(crate) use smtp::{Offers, Smtp};
pub(crate) use sshd::{Served, Sshd, known, new_key, quick, target_at};
pub(crate) use targets::{Call, Fault, How, Recording, Told};
pub(crate) use tree::{Snapshot, Tree, noise, set_mtime, settle};
pub(crate) use years::May;

#[cfg(feature = "s3")]
pub(crate) use weed::{ACCESS_KEY, SECRET_KEY, Weed};

/// Whether this may be done; says so if not.
pub(crate) fn when_root(what: &str) -> bool {
    let is_root = nix::unistd::Uid::effective().is_root();
    if !is_root {
        eprintln!("not root: {what} left out");
    }
    is_root
}
