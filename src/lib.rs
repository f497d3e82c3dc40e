//! Brackup: encrypted, over-the-net, multi-versioned backup as an appliance component.

pub mod backup;
pub mod bench;
pub mod blob;
pub mod catalog;
pub mod chunk;
pub mod config;
pub mod date;
pub mod db;
pub mod digest;
pub mod entry;
pub mod fsutil;
pub mod limits;
pub mod metafile;
pub mod monitor;
pub mod outcome;
pub mod probe;
pub mod provider;
pub mod relpath;
pub mod restore;
pub mod scheduler;
pub mod seal;
pub mod source;
pub mod target;
pub mod thread;
pub mod verify;
