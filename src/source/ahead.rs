//! The walk on a thread of its own, a little ahead of what is made of it: finding and looking at the next entries overlaps with
//! digesting the last ones. In a first backup, where everything must be read, small files are read ahead too, by whichever of the
//! two threads has time: a taker that waits is given what there is, unread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::{Error, Met, Walk};
use crate::entry::Kind;
use crate::monitor::Tally;
use crate::thread;

/// Entries that go over at a time, and the bytes of their paths and of what was read ahead of them from which on no more are added.
const BATCH_ENTRIES: usize = 32;
const BATCH_BYTES: usize = 16 * 1024;
/// So few entries go over if the taker waits.
const BATCH_ENTRIES_MIN: usize = 8;
/// Batches that wait: what the taker does comes in bursts, since it writes to the database in batches too.
const BATCHES: usize = 4;
/// Up to this size a file is small.
const SMALL_BYTES: u64 = 16 * 1024;

type Batch = Result<Vec<Met>, Error>;

/// A walk that goes ahead.
#[derive(Debug)]
pub struct WalkAhead {
    batches: Receiver<Batch>,
    waits: Arc<AtomicBool>,
    batch: std::vec::IntoIter<Met>,
}

impl WalkAhead {
    /// Starts it. It ends when this is dropped.
    pub fn start<'s, 'e: 's>(
        scope: &'s Scope<'s, 'e>,
        walk: Walk<'e>,
        tally: &'e Tally<'e>,
        read_small_files: bool,
    ) -> io::Result<Self> {
        let (send, batches) = sync_channel(BATCHES);
        let waits = Arc::new(AtomicBool::new(false));
        let taker_waits = waits.clone();
        thread::named("walk").spawn_scoped(scope, move || go(walk, tally, read_small_files, &taker_waits, &send))?;
        Ok(Self { batches, waits, batch: Vec::new().into_iter() })
    }

    /// The next entry.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and an iterator of results invites to go on after one"
    )]
    pub fn next(&mut self) -> Result<Option<Met>, Error> {
        loop {
            if let Some(met) = self.batch.next() {
                return Ok(Some(met));
            }
            let batch = self.batches.try_recv().or_else(|_| {
                self.waits.store(true, Ordering::Relaxed);
                let batch = self.batches.recv();
                self.waits.store(false, Ordering::Relaxed);
                batch
            });
            match batch {
                Ok(batch) => self.batch = batch?.into_iter(),
                // The walk has come to its end.
                Err(_) => return Ok(None),
            }
        }
    }
}

fn go(
    mut walk: Walk<'_>,
    tally: &Tally<'_>,
    read_small_files: bool,
    taker_waits: &AtomicBool,
    send: &SyncSender<Batch>,
) {
    let mut batch = Vec::with_capacity(BATCH_ENTRIES);
    let mut bytes = 0;
    loop {
        let is_waited_for = read_small_files && taker_waits.load(Ordering::Relaxed);
        match walk.next(tally) {
            Ok(Some(mut met)) => {
                bytes += met.path.as_bytes().len();
                if read_small_files && !is_waited_for && is_small(&met) {
                    bytes += met.read_ahead().unwrap_or(0);
                }
                batch.push(met);
            }
            Ok(None) => break,
            Err(error) => {
                let _ = send.send(Ok(batch));
                let _ = send.send(Err(error));
                return;
            }
        }
        let entries = if is_waited_for { BATCH_ENTRIES_MIN } else { BATCH_ENTRIES };
        if batch.len() >= entries || bytes >= BATCH_BYTES {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ENTRIES));
            bytes = 0;
            // Nobody takes it: the run has ended before the walk.
            if send.send(Ok(full)).is_err() {
                return;
            }
        }
    }
    let _ = send.send(Ok(batch));
}

/// Further names of an inode are not read again.
fn is_small(met: &Met) -> bool {
    let stat = &met.stat;
    stat.kind == Kind::File && (1..=SMALL_BYTES).contains(&stat.size) && !stat.sparse && stat.links == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Quiet;
    use crate::source::WalkOptions;

    #[test]
    fn long_paths_and_attributes_make_small_batches() {
        let temporary = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = (0..14).map(|_| "d".repeat(250)).collect();
        let deep = temporary.path().join("root").join(deep);
        std::fs::create_dir_all(&deep).unwrap();
        for number in 0..100 {
            let path = deep.join(number.to_string());
            std::fs::write(&path, "contents").unwrap();
            xattr::set(&path, "user.large", &[b'a'; 3000]).unwrap();
        }
        let (quiet, stop) = (Quiet::default(), AtomicBool::new(false));
        let tally = Tally::new(&quiet);
        let options =
            WalkOptions { ignores: &|_, _| false, excluded: &[], one_filesystem: false, spool: temporary.path() };
        let walk = Walk::open(&temporary.path().join("root"), options).unwrap();
        let (send, batches) = sync_channel(1000);
        go(walk, &tally, true, &stop, &send);
        drop(send);
        let batches: Vec<_> = batches.iter().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 115);
        // A file here is 6.5 KB, half of it its path.
        assert!(batches.iter().all(|batch| batch.len() <= 15), "directories on the way have shorter paths");
        assert!(batches.iter().skip(2).all(|batch| batch.len() <= 3), "{:?}", batches.iter().map(Vec::len));
    }
}
