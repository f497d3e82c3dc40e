//! One short function a verb: read the configuration, open what it names, call the line, say the result.

pub(crate) mod alert;
mod ask;
pub(crate) mod backup;
#[cfg(feature = "bench")]
pub(crate) mod bench;
mod beside;
pub(crate) mod browse;
pub(crate) mod config;
pub(crate) mod copy;
mod du;
mod failure;
#[cfg(feature = "original")]
pub(crate) mod fetch;
pub(crate) mod fsck;
pub(crate) mod gc;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod known_targets;
#[cfg(feature = "manual")]
pub(crate) mod manual;
mod memory;
mod metafile;
#[cfg(feature = "mount")]
pub(crate) mod mount;
mod mounts;
pub(crate) mod open;
pub(crate) mod pair;
#[cfg(feature = "web")]
pub(crate) mod password;
mod past;
mod pins;
mod provider;
pub(crate) mod prune;
pub(crate) mod quickstart;
#[cfg(feature = "rebuild")]
pub(crate) mod rebuild;
pub(crate) mod restore;
#[cfg(feature = "restore-test")]
pub(crate) mod restore_test;
pub(crate) mod serve;
mod several;
pub(crate) mod status;
pub(crate) mod target;
mod values;
pub(crate) mod verify;
