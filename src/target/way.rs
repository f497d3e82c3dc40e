//! The way to a server: how fast it may be used, and whether there is still time for it. All bytes of a body pass here.

#[cfg(feature = "http")]
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a transfer that is under way may go on when the run is to stop: on a fast line it ends, on a slow one it is given up.
#[cfg(feature = "http")]
const GRACE: Duration = Duration::from_secs(5);
/// The rate is asked for again after this.
const RATE_FOR: Duration = Duration::from_secs(1);
/// How long a signal may have to wait.
const SLICE: Duration = Duration::from_millis(50);
/// The most that is read at once, so that a slow line is used evenly.
#[cfg(feature = "http")]
const PIECE_BYTES: usize = 16 * 1024;

/// Bytes a second now; nothing: as fast as it goes.
type Rate = dyn Fn() -> Option<u64> + Send + Sync;

/// How the way to a server may be used. Copies share their rate.
#[derive(Clone, Default)]
pub struct Way {
    stop: Arc<AtomicBool>,
    throttle: Option<Arc<Throttle>>,
    patience: Option<Duration>,
}

impl Way {
    /// As fast as it goes; waiting and transfers end when `stop` is set.
    pub fn until(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// With at most so many bytes a second in both directions together, as the function says at the time.
    #[must_use]
    pub fn at_most(self, rate: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        let throttle = Throttle { rate: Box::new(rate), line: Mutex::default() };
        Self { throttle: Some(Arc::new(throttle)), ..self }
    }

    /// A connection to a server of HTTP is given up when nothing has moved on it for so long, whatever it waits for, and when 64 KiB of a body
    /// took longer.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// How long it may stand still where so long is usual.
    #[cfg(feature = "http")]
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        self.patience.map_or(usual, |patience| patience.min(usual))
    }

    /// Whether the run is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits. False: not to the end, the run is to stop.
    pub(super) fn wait(&self, wait: Duration) -> bool {
        let mut left = wait;
        while !left.is_zero() && !self.is_stopped() {
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
        !self.is_stopped()
    }

    /// So many bytes have gone this way: waits as long as the rate asks for.
    pub(super) fn passed(&self, bytes: usize) {
        if let Some(throttle) = &self.throttle {
            self.wait(throttle.take(bytes, Instant::now()));
        }
    }

    /// A body that goes this way.
    #[cfg(feature = "http")]
    pub(super) fn carry<R: Read>(&self, body: R) -> Carried<R> {
        Carried { body, way: self.clone(), stop_seen: None }
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.throttle.is_some() { "Way(throttled)" } else { "Way" })
    }
}

/// See [`Way::carry`].
#[cfg(feature = "http")]
pub(super) struct Carried<R> {
    body: R,
    way: Way,
    stop_seen: Option<Instant>,
}

#[cfg(feature = "http")]
impl<R: Read> Read for Carried<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.way.is_stopped() && self.stop_seen.get_or_insert_with(Instant::now).elapsed() > GRACE {
            return Err(io::Error::other("interrupted"));
        }
        let most = if self.way.throttle.is_some() { buffer.len().min(PIECE_BYTES) } else { buffer.len() };
        let read = self.body.read(&mut buffer[..most])?;
        self.way.passed(read);
        Ok(read)
    }
}

/// A bucket of tokens (RFC 2697 has the idea) that may be overdrawn by one piece.
struct Throttle {
    rate: Box<Rate>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    rate: Option<u64>,
    asked: Option<Instant>,
    /// When what was sent so far has passed at the rate.
    free_at: Option<Instant>,
}

impl Throttle {
    /// How long whoever has sent these bytes must wait.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let Ok(mut line) = self.line.lock() else { return Duration::ZERO };
        if line.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= RATE_FOR) {
            line.rate = (self.rate)();
            line.asked = Some(now);
        }
        let Some(rate) = line.rate else {
            line.free_at = None;
            return Duration::ZERO;
        };
        let begin = line.free_at.map_or(now, |free_at| free_at.max(now));
        let free_at = begin + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        line.free_at = Some(free_at);
        free_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn throttle(rate: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Throttle {
        Throttle { rate: Box::new(rate), line: Mutex::default() }
    }

    #[test]
    fn a_line_carries_what_it_may_whoever_sends() {
        let throttle = throttle(|| Some(1_000_000));
        let began = Instant::now();
        // Two senders that wait as they are told, on a clock that stands still otherwise.
        let mut at = [began; 2];
        for _ in 0..100 {
            for sender in &mut at {
                *sender += throttle.take(16_000, *sender);
            }
        }
        let took = at[0].max(at[1]) - began;
        assert_eq!(took.as_secs_f64().round(), (2.0 * 100.0 * 16_000.0 / 1e6_f64).round(), "{took:?}");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let throttle = throttle(|| Some(1000));
        let began = Instant::now();
        assert_eq!(throttle.take(500, began), Duration::from_millis(500));
        let later = began + Duration::from_secs(3600);
        assert_eq!(throttle.take(500, later), Duration::from_millis(500));
    }

    #[test]
    fn the_rate_is_that_of_the_time() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let throttle = throttle(move || (counted.fetch_add(1, Ordering::Relaxed) == 0).then_some(1000));
        let began = Instant::now();
        assert_eq!(throttle.take(1000, began), Duration::from_secs(1));
        assert_eq!(throttle.take(1000, began + Duration::from_millis(900)), Duration::from_millis(1100));
        assert_eq!(throttle.take(1000, began + Duration::from_secs(2)), Duration::ZERO, "no limit any more");
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_body_is_whole_and_ends_some_time_after_a_stop() {
        let stop = Arc::new(AtomicBool::new(false));
        let way = Way::until(stop.clone()).at_most(|| Some(u64::MAX));
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let mut back = Vec::new();
        way.carry(&bytes[..]).read_to_end(&mut back).unwrap();
        assert!(back == bytes);
        stop.store(true, Ordering::Relaxed);
        let mut carried = Carried { stop_seen: Some(Instant::now()), ..way.carry(&bytes[..]) };
        assert!(carried.read(&mut [0; 10]).is_ok(), "what is nearly done may end");
        carried.stop_seen = Instant::now().checked_sub(GRACE + Duration::from_secs(1));
        assert!(carried.read(&mut [0; 10]).is_err());
    }
}
