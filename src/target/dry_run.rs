//! A target that takes everything and stores nothing: for `--dry-run`. Reads pass.

use std::fs::OpenOptions;
use std::io::Read;
use std::time::SystemTime;

use super::Target;
use super::error::Error;
use super::name::ObjectName;
use super::stage::{Finished, Stage};

/// Wraps a target; writes go nowhere.
pub struct DryRun<'a>(&'a dyn Target);

impl<'a> DryRun<'a> {
    /// Over this target.
    pub fn over(target: &'a dyn Target) -> Self {
        Self(target)
    }
}

impl std::fmt::Debug for DryRun<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DryRun({})", self.0.describe())
    }
}

impl Target for DryRun<'_> {
    fn stage(&self) -> Result<Stage, Error> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        null.map(Stage::unnamed).map_err(|error| Error::io("can't open /dev/null", error))
    }

    fn put(&self, _: &ObjectName, _: Finished) -> Result<(), Error> {
        Ok(())
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.0.get(name, offset, length)
    }

    fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), Error> {
        self.0.beginning(name, length)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.0.stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.0.list(each)
    }

    fn list_of(&self, root: &str, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.0.list_of(root, each)
    }

    fn delete(&self, _: &ObjectName) -> Result<(), Error> {
        Ok(())
    }

    fn may_delete(&self) -> Result<(), Error> {
        self.0.may_delete()
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        match expected {
            Some(_) => self.0.identify(expected),
            // Identifying a new target would make its id: a dry run makes nothing.
            None => Ok("dry run".into()),
        }
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.0.clock()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
