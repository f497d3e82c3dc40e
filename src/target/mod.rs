//! Where objects are stored. [`Target`] is the one interface of all providers, blocking and small.
//!
//! Objects are put whole and durable, never changed, and have flat names (FORMAT.md section 2). What keeps its promise
//! here may be any provider: the conformance suite (tests/it/conformance.rs) is the promise written down.

mod ahead;
#[cfg(feature = "brackup")]
mod another_box;
#[cfg(any(feature = "brackup", feature = "gdrive", feature = "s3", feature = "webdav"))]
mod body;
#[cfg(feature = "gdrive")]
mod drive;
mod dry_run;
mod error;
mod filesystem;
#[cfg(feature = "http")]
#[cfg_attr(
    not(any(feature = "brackup", feature = "gdrive", feature = "s3", feature = "webdav")),
    allow(dead_code, reason = "alerts alone need less")
)]
mod http;
mod id;
mod listing;
mod name;
#[cfg(feature = "http")]
mod post;
#[cfg(feature = "http")]
mod resolver;
mod retry;
#[cfg(feature = "s3")]
mod s3;
mod sftp;
mod spool;
mod stage;
#[cfg(feature = "http")]
mod steady;
#[cfg(feature = "http")]
mod tls;
#[cfg(any(feature = "brackup", feature = "gdrive", feature = "s3", feature = "webdav"))]
mod upload;

// Without providers over a network nothing waits and nothing is sent.
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "there is the type only"))]
mod way;
#[cfg(feature = "webdav")]
mod webdav;

pub use ahead::read_ahead;
#[cfg(feature = "brackup")]
pub use another_box::Brackup;
#[cfg(feature = "gdrive")]
pub use drive::{DeviceCode, GoogleDrive, GrantFile, log_in};
pub use dry_run::DryRun;
pub use error::{Error, ErrorKind};
pub use filesystem::Filesystem;
#[cfg(feature = "web")]
pub(crate) use id::{ID_BYTES_MAX, ID_FILE};
pub(crate) use name::is_root_name;
pub use name::{BackupName, ObjectName};
#[cfg(feature = "http")]
pub use post::{Message, post};
#[cfg(feature = "s3")]
pub use s3::S3;
pub use sftp::{Pace, Sftp};
pub use stage::{Finished, Stage};
#[cfg(feature = "email")]
pub use tls::trusted_certificates;

pub use way::Way;
#[cfg(feature = "webdav")]
pub use webdav::WebDav;

use std::io::Read;
use std::time::SystemTime;

/// A provider. All methods may be called from several threads.
pub trait Target: Send + Sync {
    /// A place to write an object to whose name is not known yet.
    fn stage(&self) -> Result<Stage, Error>;

    /// Stores a finished stage under a name; durable when it returns. An object that is there already with the
    /// same length is success if its name tells its contents, [`ErrorKind::Exists`] otherwise.
    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error>;

    /// Reads `length` bytes from `offset`, fewer only at the end of the object.
    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error>;

    /// Reads the first `length` bytes, at least one, and says how long the object is: in one request, where one answer tells both and that
    /// it is the one of this name.
    fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), Error> {
        let missing = || Error::new(ErrorKind::NotFound, format!("{name} is missing"));
        let whole = self.stat(name)?.ok_or_else(missing)?;
        Ok((self.get(name, 0, length)?, whole))
    }

    /// The length of an object, or nothing if it is surely not there. An error is never "not there".
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error>;

    /// Calls back for every object, in no order, with its length. Names that are none of ours are left out.
    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error>;

    /// The same for the backups and tombstones of a root, where they are told without all chunks. Others may come too, and some twice.
    fn list_of(&self, root: &str, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        let _ = root;
        self.list(each)
    }

    /// Removes an object; that it is not there is no error.
    fn delete(&self, name: &ObjectName) -> Result<(), Error>;

    /// An error if it is known beforehand that nothing can be deleted.
    fn may_delete(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The target's random id, which is made at first use. `expected` is the id that this box remembers: then a target
    /// without it, or with another, is refused (an unmounted disk, a swapped bucket).
    fn identify(&self, expected: Option<&str>) -> Result<String, Error>;

    /// What its own clock shows, which may not be that of this box: from there times are remembered that are to pass.
    fn clock(&self) -> Result<SystemTime, Error>;

    /// What it is, for people, without secrets.
    fn describe(&self) -> String;
}
