//! The body of an answer: words, or what a disk has, piece by piece and one in memory at a time.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Sleep, sleep};

/// Gives the next piece; nothing: that was all.
type Source = Box<dyn FnMut() -> io::Result<Option<Bytes>> + Send>;

/// See the module.
pub(super) enum Pieces {
    /// Known whole.
    Words(Option<Bytes>),
    /// To be asked for; how many bytes are left, if that is known.
    Disk(Source, Option<u64>),
    /// Asked for.
    Asked(JoinHandle<(Source, io::Result<Option<Bytes>>)>, Option<u64>),
    /// Comes as it changes, for as long as somebody listens.
    Live(Ticks),
    /// Nothing comes any more.
    Over,
}

/// Looks every second for what has changed.
pub(super) struct Ticks {
    next: Box<dyn FnMut() -> Tick + Send>,
    pause: Pin<Box<Sleep>>,
    quiet: u32,
}

/// What a look has shown.
pub(super) enum Tick {
    Same,
    Changed(Bytes),
    /// Who looks may not look any more.
    End,
}

const TICK: Duration = Duration::from_secs(1);
/// So many ticks without a change, and a line says that the line still stands.
const QUIET_TICKS: u32 = 20;

impl Ticks {
    pub(super) fn new(next: impl FnMut() -> Tick + Send + 'static) -> Self {
        Self { next: Box::new(next), pause: Box::pin(sleep(Duration::ZERO)), quiet: 0 }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = Box::pin(sleep(TICK));
            self.quiet += 1;
            let line = match (self.next)() {
                Tick::End => return Poll::Ready(None),
                Tick::Changed(line) => line,
                Tick::Same if self.quiet >= QUIET_TICKS => Bytes::from_static(b":\n\n"),
                Tick::Same => continue,
            };
            self.quiet = 0;
            return Poll::Ready(Some(line));
        }
    }
}

impl Pieces {
    pub(super) fn words(text: impl Into<Bytes>) -> Self {
        Self::Words(Some(text.into()))
    }

    pub(super) fn of_disk(
        length: Option<u64>,
        source: impl FnMut() -> io::Result<Option<Bytes>> + Send + 'static,
    ) -> Self {
        Self::Disk(Box::new(source), length)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut *self, Self::Over) {
                Self::Words(words) => return Poll::Ready(words.map(|words| Ok(Frame::data(words)))),
                Self::Over => return Poll::Ready(None),
                Self::Live(mut ticks) => {
                    let polled = ticks.poll(context);
                    if !matches!(polled, Poll::Ready(None)) {
                        *self = Self::Live(ticks);
                    }
                    return polled.map(|line| line.map(|line| Ok(Frame::data(line))));
                }
                Self::Disk(mut source, left) => {
                    let ask = move || {
                        let piece = source();
                        (source, piece)
                    };
                    *self = Self::Asked(spawn_blocking(ask), left);
                }
                Self::Asked(mut asked, left) => match Pin::new(&mut asked).poll(context) {
                    Poll::Pending => {
                        *self = Self::Asked(asked, left);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(io::Error::other("a thread failed")))),
                    Poll::Ready(Ok((_, Err(error)))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Ok((_, Ok(None)))) => return Poll::Ready(None),
                    Poll::Ready(Ok((source, Ok(Some(piece))))) => {
                        *self = Self::Disk(source, left.map(|left| left.saturating_sub(piece.len() as u64)));
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                },
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Words(words) => SizeHint::with_exact(words.as_ref().map_or(0, |words| words.len() as u64)),
            Self::Disk(_, Some(left)) | Self::Asked(_, Some(left)) => SizeHint::with_exact(*left),
            Self::Disk(_, None) | Self::Asked(_, None) | Self::Live(_) => SizeHint::default(),
            Self::Over => SizeHint::with_exact(0),
        }
    }
}
