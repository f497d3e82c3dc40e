//! A body that comes, as long as it gets on.
//!
//! A time-out for each read says nothing of a line on which a byte comes through now and then: that would be waited for for ever. So
//! what is counted is how long each 64 KiB are waited for, and only that: not the time in which nobody reads.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// What has come when a count begins anew.
const ENOUGH_BYTES: u64 = 64 * 1024;

/// How long was waited, and what came.
#[derive(Debug, Default)]
pub(super) struct Count {
    waited: Duration,
    came: u64,
}

impl Count {
    /// So many bytes came after that time. How long was waited since enough came.
    pub(super) fn add(&mut self, waited: Duration, bytes: usize) -> Duration {
        self.waited = self.waited.saturating_add(waited);
        self.came += bytes as u64;
        if self.came >= ENOUGH_BYTES {
            *self = Self::default();
        }
        self.waited
    }
}

/// A reader that fails when it waits for longer for 64 KiB.
pub(super) struct Steady<R> {
    body: R,
    within: Duration,
    count: Count,
}

impl<R> Steady<R> {
    pub(super) fn over(body: R, within: Duration) -> Self {
        Self { body, within, count: Count::default() }
    }
}

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let read = self.body.read(buffer)?;
        if self.count.add(began.elapsed(), read) >= self.within && read > 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "next to nothing comes through"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crawls_is_counted_and_what_is_slow_gets_there() {
        let second = Duration::from_secs(1);
        let mut count = Count::default();
        let mut longest = |bytes| (0..6000).map(|_| count.add(second, bytes)).max().unwrap();
        assert_eq!(longest(200), 327 * second, "64 KiB at 200 bytes a second");
        assert!(longest(1) > 5000 * second);
        assert_eq!(count.add(second, 64 * 1024), Duration::ZERO);
    }

    #[test]
    fn a_body_that_crawls_fails_but_not_at_its_end() {
        struct Slow(usize);
        impl Read for Slow {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(2));
                Ok(self.0)
            }
        }
        let read = |bytes, within| Steady::over(Slow(bytes), Duration::from_millis(within)).read(&mut [0; 10]);
        assert_eq!(read(1, 1).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!((read(1, 60_000).unwrap(), read(0, 1).unwrap(), read(1 << 16, 1).unwrap()), (1, 0, 1 << 16));
    }
}
