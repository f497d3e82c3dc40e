//! A target between whose calls something else happens.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use brackup::target::{Error, Finished, ObjectName, Stage, Target};

/// Does something just before one call, counted from 1.
pub(crate) struct Between<'a> {
    inner: &'a dyn Target,
    at: usize,
    what: &'a (dyn Fn() + Sync),
    calls: AtomicUsize,
}

impl<'a> Between<'a> {
    pub(crate) fn over(inner: &'a dyn Target, at: usize, what: &'a (dyn Fn() + Sync)) -> Self {
        Self { inner, at, what, calls: AtomicUsize::new(0) }
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self) -> &dyn Target {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            (self.what)();
        }
        self.inner
    }
}

impl Target for Between<'_> {
    fn stage(&self) -> Result<Stage, Error> {
        self.call().stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.call().put(name, finished)
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.call().get(name, offset, length)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.call().stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.call().list(each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.call().delete(name)
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.call().identify(expected)
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.call().clock()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
