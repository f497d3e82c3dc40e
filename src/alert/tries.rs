//! What is asked of a server is asked again where that may help.

use std::time::{Duration, Instant};

use super::{Error, Until};

/// One try of several.
const TRY: Duration = Duration::from_secs(10);
/// Before the second try, and before the third, which is the last.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

impl Until<'_> {
    /// Tries it, and again where that may help. An attempt is given the time that it may take.
    pub(super) fn tries(self, attempt: impl Fn(Duration) -> Result<(), Error>) -> Result<(), Error> {
        for wait in WAITS {
            match attempt(self.left().min(TRY)) {
                Err(error) if error.may_pass && self.left() > wait => self.wait(wait),
                ended => return ended,
            }
            if self.is_over() {
                return Err(Error { may_pass: true, ..Error::new("there is no time left for it") });
            }
        }
        attempt(self.left().min(TRY))
    }

    fn wait(self, most: Duration) {
        let end = (Instant::now() + most).min(self.end);
        while Instant::now() < end && !self.is_over() {
            std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
        }
    }
}
