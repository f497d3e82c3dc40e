//! The threads behind the reader: one seals buffers into stages, some store closed stages. What they did comes back as events.
//!
//! Buffers go round: as many as the configuration says exist, and no more. A chunk that is closed has its name; it counts
//! only when its put has returned (I2).

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use super::{Error, Options, Padding};
use crate::blob::{ChunkNo, Sealed};
use crate::chunk::Buffer;
use crate::db::Puts;
use crate::digest::Key;
use crate::limits::CHUNK_BYTES_MIN;
use crate::seal::{Recipient, Role, Sealing, Suite, padme};
use crate::target::{Finished, ObjectName, Stage, Target};
use crate::thread;

/// The reader's end of the line.
pub(super) struct Line {
    filled: SyncSender<Buffer>,
    empty: Receiver<Buffer>,
    events: Receiver<Result<Stored, Error>>,
    /// What was found stored while looking for why the line stands still.
    late: RefCell<Vec<Stored>>,
    /// What is begun and not recorded.
    pub(super) puts: Arc<Puts>,
}

/// A chunk whose put has returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) chunk: ChunkNo,
    pub(super) key: Key,
    pub(super) bytes: u64,
}

impl Line {
    /// Starts the threads. They end when the line is finished or dropped.
    pub(super) fn start<'s, 'e: 's>(
        scope: &'s Scope<'s, 'e>,
        options: &'e Options<'e>,
        target: &'e dyn Target,
        puts: &Arc<Puts>,
    ) -> Result<Self, Error> {
        let (filled, to_seal) = sync_channel(options.buffers);
        let (back, empty) = channel();
        // No queue: a closed stage waits for whoever stores, and takes no more room in the spool directory than one.
        let (closed, to_store) = sync_channel::<(ChunkNo, Finished)>(0);
        let (tell, events) = channel();
        // One buffer is the packer's own.
        for _ in 1..options.buffers {
            let _ = back.send(Buffer { bytes: vec![0; options.piece_bytes], cuts: Vec::new() });
        }
        let sealer_tell = tell.clone();
        let sealing = move || {
            let sealer = Sealer::new(options, target, closed);
            if let Err(error) = sealer.run(&to_seal, &back) {
                let _ = sealer_tell.send(Err(error));
            }
        };
        thread::named("seal").spawn_scoped(scope, sealing).map_err(Error::Thread)?;
        // The receiver is shared by the threads that store; it lives as long as the last of them.
        let to_store = Arc::new(Mutex::new(to_store));
        for _ in 0..options.connections {
            let (to_store, tell) = (to_store.clone(), tell.clone());
            let puts = (!options.dry_run).then(|| puts.clone());
            let storing = move || store(target, puts.as_deref(), &to_store, &tell);
            thread::named("store").spawn_scoped(scope, storing).map_err(Error::Thread)?;
        }
        Ok(Self { filled, empty, events, late: RefCell::default(), puts: puts.clone() })
    }

    /// An empty buffer, waiting for one if all are on their way.
    pub(super) fn empty_buffer(&self) -> Result<Buffer, Error> {
        // If the sealer is gone it has said why.
        self.empty.recv().map_err(|_| self.last_words())
    }

    /// Sends a buffer to be sealed.
    pub(super) fn send(&self, buffer: Buffer) -> Result<(), Error> {
        self.filled.send(buffer).map_err(|_| self.last_words())
    }

    /// What has been stored since the last call.
    pub(super) fn stored(&self) -> Result<Option<Stored>, Error> {
        self.events.try_recv().ok().transpose()
    }

    /// Lets the line run empty: closes the last chunk, and calls back for everything that is still stored, whatever else failed.
    pub(super) fn finish(self, last: Buffer, mut each: impl FnMut(Stored) -> Result<(), Error>) -> Result<(), Error> {
        let mut outcome = self.send(last);
        drop(self.filled);
        for event in self.late.into_inner().into_iter().map(Ok).chain(&self.events) {
            let recorded = event.and_then(&mut each);
            outcome = outcome.and(recorded);
        }
        outcome
    }

    fn last_words(&self) -> Error {
        for event in &self.events {
            match event {
                Ok(stored) => self.late.borrow_mut().push(stored),
                Err(error) => return error,
            }
        }
        Error::Stopped
    }
}

/// `puts`: where it is written down before; nowhere in a dry run.
fn store(
    target: &dyn Target,
    puts: Option<&Puts>,
    closed: &Mutex<Receiver<(ChunkNo, Finished)>>,
    tell: &Sender<Result<Stored, Error>>,
) {
    loop {
        let next = closed.lock().map_or(None, |closed| closed.recv().ok());
        let Some((chunk, finished)) = next else { return };
        let (key, bytes) = (finished.sha1(), finished.length());
        let begun = puts.map_or(Ok(()), |puts| puts.begin(&key)).map_err(Error::State);
        let stored = begun.and_then(|()| target.put(&ObjectName::Chunk(key), finished).map_err(Error::Target));
        let event = stored.map(|()| Stored { chunk, key, bytes });
        if tell.send(event).is_err() {
            return;
        }
    }
}

/// Seals the stream of buffers into chunks.
struct Sealer<'a> {
    suite: Suite,
    recipients: &'a [Recipient],
    padding: Padding,
    chunk_bytes: u64,
    target: &'a dyn Target,
    closed: SyncSender<(ChunkNo, Finished)>,
    open: Option<Open>,
}

struct Open {
    chunk: ChunkNo,
    sealing: Sealing,
    stage: Stage,
    payload: u64,
}

impl<'a> Sealer<'a> {
    fn new(options: &'a Options<'a>, target: &'a dyn Target, closed: SyncSender<(ChunkNo, Finished)>) -> Self {
        Self {
            suite: options.suite,
            recipients: options.recipients,
            padding: options.padding,
            chunk_bytes: options.chunk_bytes,
            target,
            closed,
            open: None,
        }
    }

    fn run(mut self, to_seal: &Receiver<Buffer>, back: &Sender<Buffer>) -> Result<(), Error> {
        for buffer in to_seal {
            let mut done = 0;
            for cut in &buffer.cuts {
                self.write(&buffer.bytes[done..cut.at])?;
                self.close()?;
                self.begin(cut.chunk)?;
                done = cut.at;
            }
            self.write(&buffer.bytes[done..])?;
            // At the end nobody takes it back.
            let _ = back.send(buffer);
        }
        self.pad()?;
        self.close()
    }

    fn begin(&mut self, chunk: ChunkNo) -> Result<(), Error> {
        let mut stage = self.target.stage()?;
        let to_stage = |sealed: Sealed<'_>| stage.write(sealed).map_err(Error::Target);
        let sealing = Sealing::create(self.suite, Role::Chunk, self.recipients, to_stage)?;
        self.open = Some(Open { chunk, sealing, stage, payload: 0 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.payload += bytes.len() as u64;
        open.sealing.write(bytes, |sealed| open.stage.write(sealed).map_err(Error::Target))
    }

    /// Pads the last chunk of the run, so that its size does not tell.
    fn pad(&mut self) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let padded = match self.padding {
            Padding::None => open.payload,
            Padding::Chunk => self.chunk_bytes,
            Padding::Padme => padme(open.payload).min(self.chunk_bytes.max(CHUNK_BYTES_MIN)),
        };
        let zeros = padded.saturating_sub(open.payload);
        open.sealing.pad(zeros, |sealed| open.stage.write(sealed).map_err(Error::Target))
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Open { chunk, sealing, mut stage, .. }) = self.open.take() else { return Ok(()) };
        sealing.finish(|sealed| stage.write(sealed).map_err(Error::Target))?;
        self.closed.send((chunk, stage.finish())).map_err(|_| Error::Stopped)
    }
}
