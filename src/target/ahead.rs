//! A target of which objects are read ahead: while one piece is opened and written, the next ones come in.
//!
//! Whoever turns away from an object has had a few pieces read for nothing. Only where the line stands still in that moment is it waited for until
//! it is given up, as it would have been for who goes on.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::SystemTime;

use super::Target;
use super::error::Error;
use super::name::ObjectName;
use super::stage::{Finished, Stage};
use crate::thread;

const PIECE_BYTES: usize = 64 * 1024;
/// That lie ready, beside the one that is filled and the one that is read.
const PIECES: usize = 2;

/// Gives a target from which objects are read ahead, with a thread for each that is being read. All but reads passes.
pub fn read_ahead<T>(target: &dyn Target, act: impl FnOnce(&dyn Target) -> T) -> T {
    std::thread::scope(|scope| act(&ReadAhead { inner: target, scope }))
}

/// See [`read_ahead`].
struct ReadAhead<'scope, 'env> {
    inner: &'env dyn Target,
    scope: &'scope Scope<'scope, 'env>,
}

impl Target for ReadAhead<'_, '_> {
    fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, Error> {
        if length <= PIECE_BYTES as u64 {
            return self.inner.get(name, offset, length);
        }
        let (inner, wanted) = (self.inner, name.clone());
        match ahead(self.scope, length, move || Ok((inner.get(&wanted, offset, length)?, u64::MAX))) {
            Some(ahead) => Ok(Box::new(ahead?.0)),
            None => self.inner.get(name, offset, length),
        }
    }

    fn beginning(&self, name: &ObjectName, length: u64) -> Result<(Box<dyn Read + '_>, u64), Error> {
        if length <= PIECE_BYTES as u64 {
            return self.inner.beginning(name, length);
        }
        let (inner, wanted) = (self.inner, name.clone());
        match ahead(self.scope, length, move || inner.beginning(&wanted, length)) {
            Some(ahead) => ahead.map(|(ahead, whole)| (Box::new(ahead) as Box<dyn Read>, whole)),
            None => self.inner.beginning(name, length),
        }
    }

    fn stage(&self) -> Result<Stage, Error> {
        self.inner.stage()
    }

    fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), Error> {
        self.inner.put(name, finished)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, Error> {
        self.inner.stat(name)
    }

    fn list(&self, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.list(each)
    }

    fn list_of(&self, root: &str, each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>) -> Result<(), Error> {
        self.inner.list_of(root, each)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.inner.delete(name)
    }

    fn may_delete(&self) -> Result<(), Error> {
        self.inner.may_delete()
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

/// What comes of an object, first of all whether it is open. One kind of channel for all: each costs flash.
enum Came {
    /// How long it is, or more where that is not told.
    Opened(Result<u64, Error>),
    /// Bytes, or why there are no more; none are the end.
    Piece(io::Result<Vec<u8>>),
}

/// What both threads have.
#[derive(Default)]
struct Shared {
    is_unwanted: AtomicBool,
    /// Pieces that were read, to be filled again.
    empty: Mutex<Vec<Vec<u8>>>,
}

/// What a thread of its own opens and reads. Nothing: there can be no thread.
fn ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    length: u64,
    open: impl FnOnce() -> Result<(Box<dyn Read + 'scope>, u64), Error> + Send + 'scope,
) -> Option<Result<(Ahead, u64), Error>> {
    let (sender, came) = sync_channel(PIECES);
    let shared = Arc::<Shared>::default();
    let theirs = shared.clone();
    let fetch = move || match open() {
        Err(error) => drop(sender.send(Came::Opened(Err(error)))),
        Ok((reader, whole)) => {
            if sender.send(Came::Opened(Ok(whole))).is_ok() {
                fill(reader, &sender, &theirs);
            }
        }
    };
    thread::named("fetch").spawn_scoped(scope, fetch).ok()?;
    let said = match came.recv() {
        Ok(Came::Opened(said)) => said,
        _ => Err(Error::io("can't read ahead", ended())),
    };
    Some(said.map(|whole| {
        let left = length.min(whole);
        (Ahead { came, shared, piece: Vec::new(), at: 0, left, has_ended: false }, whole)
    }))
}

/// Fills one piece after the other, until the object ends or nobody wants more of it.
fn fill(mut reader: Box<dyn Read + '_>, sender: &SyncSender<Came>, shared: &Shared) {
    loop {
        let empty = shared.empty.lock().ok().and_then(|mut empty| empty.pop());
        let mut piece = empty.unwrap_or_default();
        piece.resize(PIECE_BYTES, 0);
        let (filled, failed) = read_full(&mut reader, &mut piece, &shared.is_unwanted);
        piece.truncate(filled);
        if filled > 0 && sender.send(Came::Piece(Ok(piece))).is_err() {
            return;
        }
        match failed {
            None if filled == PIECE_BYTES => {}
            None => {
                // Its connection is free again before anybody hears that this is the end.
                drop(reader);
                return drop(sender.send(Came::Piece(Ok(Vec::new()))));
            }
            Some(error) => return drop(sender.send(Came::Piece(Err(error)))),
        }
    }
}

/// As much as there is, unless nobody wants it any more.
fn read_full(reader: &mut dyn Read, piece: &mut [u8], is_unwanted: &AtomicBool) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < piece.len() && !is_unwanted.load(Ordering::Relaxed) {
        match reader.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

fn ended() -> io::Error {
    io::Error::other("whoever read it has ended")
}

/// What is read of it.
struct Ahead {
    came: Receiver<Came>,
    shared: Arc<Shared>,
    piece: Vec<u8>,
    at: usize,
    /// Bytes that were asked for and not read.
    left: u64,
    has_ended: bool,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.is_unwanted.store(true, Ordering::Relaxed);
    }
}

impl Ahead {
    fn next(&mut self) -> io::Result<()> {
        let Ok(Came::Piece(next)) = self.came.recv() else { return Err(ended()) };
        let next = next?;
        self.has_ended = next.is_empty();
        let read = std::mem::replace(&mut self.piece, next);
        if let Ok(mut empty) = self.shared.empty.lock() {
            empty.push(read);
        }
        self.at = 0;
        Ok(())
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.has_ended && !buffer.is_empty() {
            self.next()?;
        }
        let read = buffer.len().min(self.piece.len() - self.at);
        buffer[..read].copy_from_slice(&self.piece[self.at..self.at + read]);
        self.at += read;
        self.left = self.left.saturating_sub(read as u64);
        if self.left == 0 && self.at == self.piece.len() && !self.has_ended {
            // Who asks for what is behind this gets the same connection. All that was asked for is there, whatever comes now.
            let _ = self.next();
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::target::error::ErrorKind;

    const BYTES: usize = 1_000_000;

    /// So many bytes, then an error or the end.
    struct Counted<'a> {
        given: &'a AtomicUsize,
        most: usize,
        fails: bool,
        is_dropped: &'a AtomicBool,
    }

    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let given = self.given.load(Ordering::SeqCst);
            // As they come from a line: seldom as many as would fit.
            let read = buffer.len().min(10_007).min(self.most - given);
            if read == 0 && self.fails {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            (given..).zip(&mut buffer[..read]).for_each(|(at, byte)| *byte = (at % 251) as u8);
            self.given.store(given + read, Ordering::SeqCst);
            Ok(read)
        }
    }

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            std::thread::sleep(std::time::Duration::from_millis(50));
            self.is_dropped.store(true, Ordering::SeqCst);
        }
    }

    fn reads(fails: bool, read: impl FnOnce(&mut Ahead, &AtomicBool)) -> usize {
        let (given, is_dropped) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let counted = Counted { given: &given, most: BYTES, fails, is_dropped: &is_dropped };
            let wanted = (BYTES + usize::from(fails)) as u64;
            let (mut ahead, _) = ahead(scope, wanted, || Ok((Box::new(counted), u64::MAX))).unwrap().unwrap();
            read(&mut ahead, &is_dropped);
        });
        given.into_inner()
    }

    #[test]
    fn all_bytes_come_in_order_and_then_their_connection_is_free() {
        let given = reads(false, |ahead, is_dropped| {
            let mut back = vec![0; BYTES];
            ahead.read_exact(&mut back).unwrap();
            assert!(is_dropped.load(Ordering::SeqCst));
            assert!(back.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
            assert_eq!(ahead.read(&mut back).unwrap(), 0);
        });
        assert_eq!(given, BYTES);
    }

    #[test]
    fn an_error_comes_behind_what_was_read_before_it() {
        reads(true, |ahead, _| {
            let mut back = Vec::new();
            let error = ahead.by_ref().take(u64::MAX).read_to_end(&mut back).unwrap_err();
            assert_eq!((error.kind(), back.len()), (io::ErrorKind::ConnectionReset, BYTES));
            assert!(ahead.read(&mut [0; 10]).is_err(), "and it is no end");
        });
    }

    #[test]
    fn who_turns_away_has_had_a_few_pieces_read_for_nothing() {
        let given = reads(false, |ahead, _| ahead.read_exact(&mut [0; 1000]).unwrap());
        assert!((PIECE_BYTES..=PIECE_BYTES * (PIECES + 3)).contains(&given), "{given}");
    }

    #[test]
    fn what_can_not_be_opened_is_told_as_it_is() {
        std::thread::scope(|scope| {
            let opened = ahead(scope, 10, || Err(Error::new(ErrorKind::NotFound, "none")));
            assert_eq!(opened.unwrap().err().unwrap().kind, ErrorKind::NotFound);
        });
    }
}
