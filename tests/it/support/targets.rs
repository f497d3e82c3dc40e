//! Targets that wrap a target: one writes down what is called, one fails when it is told to.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use brackup::target::{Error, ErrorKind, Finished, ObjectName, Stage, Target};

/// A call, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Stage,
    /// A put that begins, with the length of what is put.
    Put(ObjectName, u64),
    /// A put that returned Ok.
    Stored(ObjectName),
    Get(ObjectName),
    Stat(ObjectName),
    List,
    ListOf(String),
    Delete(ObjectName),
    Identify,
}

/// Writes every call down.
pub(crate) struct Recording<'a> {
    inner: &'a dyn Target,
    calls: Mutex<Vec<Call>>,
}

impl<'a> Recording<'a> {
    pub(crate) fn over(inner: &'a dyn Target) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Bytes of chunks that were put.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        let of = |call: &Call| if let Call::Put(ObjectName::Chunk(_), bytes) = call { *bytes } else { 0 };
        self.calls().iter().map(of).sum()
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Target for Recording<'_> {
    fn stage(&self) -> Result<Stage, Error> {
        self.note(Call::Stage);
        self.inner.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.note(Call::Put(name.clone(), finished.length()));
        self.inner.put(name, finished)?;
        self.note(Call::Stored(name.clone()));
        Ok(())
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.note(Call::Get(name.clone()));
        self.inner.get(name, offset, length)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.note(Call::Stat(name.clone()));
        self.inner.stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.note(Call::List);
        self.inner.list(each)
    }

    fn list_of(&self, root: &str, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.note(Call::ListOf(root.into()));
        self.inner.list_of(root, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.note(Call::Delete(name.clone()));
        self.inner.delete(name)
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.note(Call::Identify);
        self.inner.identify(expected)
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.inner.clock()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// How a call fails.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// Not at all.
    Never,
    /// This call and all that follow: the disk is gone.
    Stop,
    /// This call alone, with an error of the system.
    Once(io::ErrorKind),
    /// A put leaves half of the object under its final name in this folder, and then everything stops.
    Torn(PathBuf),
    /// This call and all that follow: nothing comes any more. An object that is being read then stops half-way.
    Away,
    /// This call alone: nothing comes.
    Blinks,
    /// Listings lack all chunks, as they may where they lag behind.
    ListsNoChunks,
    /// Nothing may be deleted.
    Denies,
    /// A metafile is stored, and said to have been there: the answer to the first try was lost.
    Doubts,
    /// Before a metafile is stored in this folder, another box stores this file under its name.
    Overtaken(PathBuf, PathBuf),
    /// Not at all, and the target's clock shows this.
    Shows(SystemTime),
}

/// Fails from or at one call, counted from 1.
pub(crate) struct Fault<'a> {
    inner: &'a dyn Target,
    at: usize,
    how: How,
    calls: AtomicUsize,
    failed: Mutex<Option<String>>,
}

impl<'a> Fault<'a> {
    pub(crate) fn over(inner: &'a dyn Target, at: usize, how: How) -> Self {
        Self { inner, at, how, calls: AtomicUsize::new(0), failed: Mutex::default() }
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// The call that failed first.
    pub(crate) fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap().clone()
    }

    fn call(&self, what: &str) -> Result<(), Error> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number == self.at {
            *self.failed.lock().unwrap() = Some(what.into());
        }
        let stopped = || Error::new(ErrorKind::Io, format!("{what}: call {number} is made to fail"));
        match &self.how {
            How::Stop | How::Torn(_) if number >= self.at => Err(stopped()),
            How::Away if number > self.at || (number == self.at && what != "get") => Err(away()),
            How::Blinks if number == self.at => Err(away()),
            How::Once(kind) if number == self.at => Err(Error::io(what, io::Error::from(*kind))),
            _ => Ok(()),
        }
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unreachable, "nothing comes any more")
}

/// Hands on what a target's reader says when its server is gone.
struct Dead;

impl Read for Dead {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(away()))
    }
}

impl Target for Fault<'_> {
    fn stage(&self) -> Result<Stage, Error> {
        self.call("stage")?;
        self.inner.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        let called = self.call("put");
        if let (Err(_), How::Torn(folder), true) = (&called, &self.how, self.calls() == self.at) {
            let length = finished.length();
            self.inner.put(name, finished)?;
            let stored = File::options().write(true).open(folder.join(name.to_string())).unwrap();
            stored.set_len(length / 2).unwrap();
            return called;
        }
        called?;
        if let (How::Overtaken(folder, by), false) = (&self.how, name.tells_contents()) {
            std::fs::copy(by, folder.join(name.to_string())).unwrap();
        }
        self.inner.put(name, finished)?;
        if matches!(self.how, How::Doubts) && !name.tells_contents() {
            return Err(Error::new(ErrorKind::Exists, format!("{name} is there already")));
        }
        Ok(())
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.call("get")?;
        let whole = self.inner.get(name, offset, length)?;
        if !matches!(self.how, How::Away) || self.calls() != self.at {
            return Ok(whole);
        }
        let half = length.min(self.inner.stat(name)?.unwrap_or(0)) / 2;
        Ok(Box::new(whole.take(half).chain(Dead)))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.call("stat")?;
        self.inner.stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.call("list")?;
        let hides = matches!(self.how, How::ListsNoChunks);
        self.inner.list(&mut |name, length| if hides && name.tells_contents() { Ok(()) } else { each(name, length) })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.call("delete")?;
        if matches!(self.how, How::Denies) {
            return Err(Error::new(ErrorKind::Denied, format!("{name} may not be deleted")));
        }
        self.inner.delete(name)
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.call("identify")?;
        self.inner.identify(expected)
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.call("clock")?;
        if let How::Shows(time) = self.how { Ok(time) } else { self.inner.clock() }
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Tells of each call, by name: when it begins, and when it has ended.
pub(crate) struct Told<'a> {
    pub(crate) inner: &'a dyn Target,
    pub(crate) begins: &'a (dyn Fn(&str) + Sync),
    pub(crate) ends: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Told<'a> {
    fn call<T>(&self, what: &str, call: impl FnOnce(&'a dyn Target) -> T) -> T {
        (self.begins)(what);
        let came = call(self.inner);
        (self.ends)(what);
        came
    }
}

impl Target for Told<'_> {
    fn stage(&self) -> Result<Stage, Error> {
        self.call("stage", |inner| inner.stage())
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.call("put", |inner| inner.put(name, finished))
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.call("get", |inner| inner.get(name, offset, length))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.call("stat", |inner| inner.stat(name))
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.call("list", |inner| inner.list(each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.call("delete", |inner| inner.delete(name))
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.call("identify", |inner| inner.identify(expected))
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.call("clock", |inner| inner.clock())
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
