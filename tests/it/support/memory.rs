//! A target that keeps its objects in memory. It has no line in common with those of src/target: what they share is [`Target`] alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::time::SystemTime;

use brackup::digest::Sha1;
use brackup::target::{Error, ErrorKind, Finished, ObjectName, Stage, Target};

use super::Place;

const ID_FILE: &str = "brackup-target.id";

type Objects = BTreeMap<String, Vec<u8>>;

/// Objects by name; none, not even no objects, once it is gone.
pub(crate) struct Memory {
    objects: Mutex<Option<Objects>>,
    /// What was given out to be written to: a [`Finished`] does not give its bytes to those outside.
    stages: Mutex<Vec<File>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { objects: Mutex::new(Some(Objects::new())), stages: Mutex::new(Vec::new()) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Objects) -> Result<T, Error>) -> Result<T, Error> {
        let mut objects = self.objects.lock().unwrap();
        act(objects.as_mut().ok_or_else(|| Error::new(ErrorKind::Unreachable, "this memory is gone"))?)
    }

    fn staged(&self, finished: &Finished) -> Vec<u8> {
        let mut stages = self.stages.lock().unwrap();
        let length = usize::try_from(finished.length()).unwrap();
        let mut bytes = vec![0; length];
        let place = stages.iter().position(|file| {
            file.metadata().unwrap().len() == finished.length()
                && file.read_exact_at(&mut bytes, 0).is_ok()
                && Sha1::of(&bytes) == finished.sha1()
        });
        stages.remove(place.unwrap());
        bytes
    }
}

impl Target for Memory {
    fn stage(&self) -> Result<Stage, Error> {
        let file = tempfile::tempfile().unwrap();
        self.stages.lock().unwrap().push(file.try_clone().unwrap());
        Ok(Stage::unnamed(file))
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.with(|objects| match objects.get(&name.to_string()) {
            Some(there) if name.tells_contents() && there.len() as u64 == finished.length() => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Exists, format!("{name} is there already"))),
            None => {
                objects.insert(name.to_string(), self.staged(&finished));
                Ok(())
            }
        })
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.with(|objects| {
            let bytes = objects.get(&name.to_string());
            let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{name} is not there")))?;
            let mut object = Cursor::new(bytes.clone());
            object.set_position(offset);
            Ok(Box::new(object.take(length)) as Box<dyn Read>)
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.with(|objects| Ok(objects.get(&name.to_string()).map(|bytes| bytes.len() as u64)))
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        let all = self.with(|objects| {
            let own = |(name, bytes): (&String, &Vec<u8>)| Some((ObjectName::parse(name)?, bytes.len() as u64));
            Ok(objects.iter().filter_map(own).collect::<Vec<_>>())
        })?;
        all.into_iter().try_for_each(|(name, length)| each(name, length))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.with(|objects| {
            objects.remove(&name.to_string());
            Ok(())
        })
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.with(|objects| {
            let other = || Error::new(ErrorKind::OtherTarget, "this memory is not the one that is remembered");
            if expected.is_none() && !objects.contains_key(ID_FILE) {
                objects.insert(ID_FILE.into(), format!("brackup target 1\nid: {:032x}\n", 1).into_bytes());
            }
            let text = String::from_utf8(objects.get(ID_FILE).ok_or_else(other)?.clone()).unwrap();
            let id = text.strip_prefix("brackup target 1\nid: ").and_then(|rest| rest.strip_suffix('\n'));
            let id = id.ok_or_else(|| Error::new(ErrorKind::Corrupt, "this is no id"))?;
            if expected.is_some_and(|expected| expected != id) {
                return Err(other());
            }
            Ok(id.into())
        })
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.with(|_| Ok(SystemTime::now()))
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

impl Place for Memory {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|objects| Ok(objects.get(name).cloned())).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.with(|objects| Ok(objects.insert(name.into(), bytes.to_vec()))).unwrap();
    }

    fn remove(&self, name: &str) {
        self.with(|objects| Ok(objects.remove(name))).unwrap();
    }

    fn vanish(&self) {
        *self.objects.lock().unwrap() = None;
    }
}
