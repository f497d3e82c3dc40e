//! What wakes the thread that waits: a signal, the end of a job, or time.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A pair of sockets: whoever has something to tell writes a byte to one, who waits reads the other.
pub(super) struct Bell {
    hear: UnixStream,
    ring: UnixStream,
}

/// Rings once, when it goes: also if the thread that has it ends by a panic.
pub(super) struct Ringer(UnixStream);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (hear, ring) = UnixStream::pair()?;
        Ok(Self { hear, ring })
    }

    /// Rings when the signal comes.
    pub(super) fn on(&self, signal: i32) -> io::Result<()> {
        signal_hook::low_level::pipe::register(signal, self.ring.try_clone()?).map(drop)
    }

    pub(super) fn ringer(&self) -> io::Result<Ringer> {
        self.ring.try_clone().map(Ringer)
    }

    /// One that rings as often as somebody presses it.
    pub(super) fn button(&self) -> io::Result<Button> {
        self.ring.set_nonblocking(true)?;
        self.ring.try_clone().map(Button)
    }

    /// Waits until it has rung, but no longer than this.
    pub(super) fn wait(&self, most: Option<Duration>) {
        // Zero would be for ever.
        let most = most.map(|most| most.max(Duration::from_millis(1)));
        // Whatever comes of it: the caller looks around again.
        let _ = self.hear.set_read_timeout(most).and_then(|()| (&self.hear).read(&mut [0; 64]));
    }
}

/// See [`Bell::button`].
pub(super) struct Button(UnixStream);

impl Button {
    pub(super) fn press(&self) {
        // Full: it has rung often enough.
        let _ = (&self.0).write(&[0]);
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        let _ = self.0.write_all(&[0]);
    }
}
