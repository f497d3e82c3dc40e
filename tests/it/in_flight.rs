//! How many chunks are on their way to a target at a time.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use brackup::monitor::Quiet;
use brackup::target::{Error, Finished, ObjectName, Stage, Target};

use crate::support::{Nas, Tree, noise};

const WAIT_MAX: Duration = Duration::from_secs(30);

/// Keeps chunks on their way until so many were there at a time.
struct Crowd<'a> {
    inner: &'a dyn Target,
    expected: usize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Target for Crowd<'_> {
    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        if name.tells_contents() {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let began = Instant::now();
            while self.most.load(Ordering::SeqCst) < self.expected && began.elapsed() < WAIT_MAX {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let stored = self.inner.put(name, finished);
        if name.tells_contents() {
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
        stored
    }

    fn stage(&self) -> Result<Stage, Error> {
        self.inner.stage()
    }

    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        self.inner.get(name, offset, length)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.inner.stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.list(each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.inner.delete(name)
    }

    fn identify(&self, expected: Option<&str>) -> Result<String, Error> {
        self.inner.identify(expected)
    }

    fn clock(&self) -> Result<SystemTime, Error> {
        self.inner.clock()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn as_many_chunks_are_on_their_way_as_there_are_connections() {
    for connections in [1, 4] {
        let mut nas = Nas::new();
        (nas.chunk_bytes, nas.connections) = (64 << 10, connections);
        let tree = Tree::new();
        tree.file("noise", noise(1, 1_000_000));
        let target = nas.target();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let crowd = Crowd { inner: &target, expected: connections, now, most };
        nas.try_backup(&tree.root, &crowd, &Quiet::default()).unwrap();
        assert_eq!(crowd.most.into_inner(), connections);
    }
}
