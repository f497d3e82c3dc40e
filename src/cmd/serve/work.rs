//! Something that goes on on a thread of its own, and its answer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use brackup::scheduler::Runs;
use brackup::thread;

use super::bell::Bell;
use super::orders::Wish;
use super::task::{self, Ran};
use crate::term::Failure;

/// What a thread of its own does.
pub(super) struct Work {
    /// The job; nothing: it recalls.
    pub(super) job: Option<String>,
    /// The state that it is about.
    pub(super) state_dir: PathBuf,
    /// Since it began SIGHUP was heard: what it waits for may have come.
    pub(super) is_outdated: bool,
    /// Somebody wants it now, whatever time it is.
    pub(super) wish: Option<Wish>,
    /// When it began, by the clock of the box.
    began: i64,
    /// Set: it is to park.
    stop: Arc<AtomicBool>,
    answer: Receiver<Answer>,
}

pub(super) enum Answer {
    Recalled(Result<Runs, Failure>),
    Ran(Ran),
    /// The thread ended without a word.
    Nothing,
}

impl Work {
    /// Starts it. The bell rings when there is an answer.
    pub(super) fn start(
        job: Option<String>,
        state_dir: PathBuf,
        bell: &Bell,
        stop: Arc<AtomicBool>,
        act: impl FnOnce() -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let ringer = bell.ringer()?;
        let (send, answer) = channel();
        let worker = move || {
            // It goes last, and rings then.
            let _ringer = ringer;
            let _ = send.send(act());
            drop(send);
        };
        thread::named("job").stack_size(thread::LINE_STACK_BYTES).spawn(worker)?;
        Ok(Self { job, state_dir, is_outdated: false, wish: None, began: task::now(), stop, answer })
    }

    /// The answer, if it has come.
    pub(super) fn answer(&self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Answer::Nothing),
        }
    }

    /// Whether it does what can wait, and what may run since this time can't.
    pub(super) fn is_in_the_way_of(&self, since: i64) -> bool {
        self.wish == Some(Wish::Verify) && since > self.began
    }

    /// It was told to.
    pub(super) fn is_parked(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// It is to park; whether that is new.
    pub(super) fn park(&self) -> bool {
        !self.stop.swap(true, Ordering::Relaxed)
    }

    /// Waits for the end; the answer, if it came in time.
    pub(super) fn ends_within(&self, most: Duration) -> Option<Answer> {
        self.answer.recv_timeout(most).ok()
    }
}
