//! Threads that transfer chunks, a few at a time.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use super::{Error, Options};
use crate::blob::ChunkNo;
use crate::catalog::{Failed, TRANSFER_BYTES, transfer};
use crate::digest::Key;
use crate::monitor::Tally;
use crate::target::{ObjectName, Target};
use crate::thread;

/// A chunk that is to be there too. Nothing is known of one without a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) bytes: u64,
    pub(super) chunk: Option<ChunkNo>,
}

pub(super) type Transferred = (Wanted, Result<(), Failed>);

/// The threads, as whoever gives them work sees them.
pub(super) struct Workers {
    work: SyncSender<Wanted>,
    done: Receiver<Transferred>,
}

impl Workers {
    /// Starts them. They end when this is finished or dropped.
    pub(super) fn start<'s, 'e: 's>(
        scope: &'s Scope<'s, 'e>,
        options: &Options<'e>,
        tally: &'e Tally<'e>,
    ) -> Result<Self, Error> {
        let (from, to) = (options.from, options.to);
        let (work, to_do) = sync_channel(0);
        let (tell, done) = channel();
        let to_do = Arc::new(Mutex::new(to_do));
        for _ in 0..options.connections.max(1) {
            let (to_do, tell) = (to_do.clone(), tell.clone());
            let working = move || copy((from, to), &to_do, &tell, tally);
            thread::named("copy").spawn_scoped(scope, working).map_err(Error::Thread)?;
        }
        Ok(Self { work, done })
    }

    /// Waits until one of them takes it.
    pub(super) fn give(&self, wanted: Wanted) {
        // They end behind whoever gives.
        let _ = self.work.send(wanted);
    }

    /// What is done since the last call.
    pub(super) fn done(&self) -> Option<Transferred> {
        self.done.try_recv().ok()
    }

    /// What is done when there is no more work.
    pub(super) fn finish(self) -> impl Iterator<Item = Transferred> {
        drop(self.work);
        self.done.into_iter()
    }
}

fn copy(
    (from, to): (&dyn Target, &dyn Target),
    to_do: &Mutex<Receiver<Wanted>>,
    tell: &Sender<Transferred>,
    tally: &Tally<'_>,
) {
    let mut buffer = vec![0; TRANSFER_BYTES];
    loop {
        let next = to_do.lock().map_or(None, |to_do| to_do.recv().ok());
        let Some(wanted) = next else { return };
        let name = ObjectName::Chunk(wanted.key);
        let done = transfer(from, to, &name, wanted.bytes, &mut buffer, tally);
        if tell.send((wanted, done)).is_err() {
            return;
        }
    }
}
