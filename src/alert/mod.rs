//! Telling somebody what became of a job: what is told, and how it gets there, a file for each way.
//!
//! Whatever happens is over in the time that the caller gives; a caller that must not wait calls from a thread of its own.
//! No address, token or password is in an error.

mod command;
#[cfg(feature = "email")]
mod email;
mod error;
mod event;
#[cfg(feature = "http")]
mod hook;
mod original;
#[cfg(feature = "http")]
mod tries;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::config::{AlertOptions, AlertType};

pub use error::Error;
pub use event::{Event, Part, Stats};
pub use original::{Original, tell_original};

/// How long an alert may take, with all its tries.
pub const WITHIN: Duration = Duration::from_secs(30);
/// Tells it, or says why it could not.
pub fn send(alert: &AlertOptions, event: &Event, within: Duration, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    let until = Until { end: Instant::now() + within, stop };
    match &alert.how {
        AlertType::Command(command) => command::run(command, event, until),
        #[cfg(feature = "http")]
        AlertType::Webhook(settings) => hook::webhook(settings, event, until),
        #[cfg(feature = "http")]
        AlertType::HealthChecks(settings) => hook::check(alert, settings, event, until),
        #[cfg(feature = "email")]
        AlertType::Email(settings) => email::write(settings, event, until),
        // The configuration hands out none of them.
        #[cfg(not(all(feature = "http", feature = "email")))]
        _ => Err(Error::new("this program has no alerts of this type")),
    }
}

/// Until when it must be over.
#[derive(Clone, Copy)]
struct Until<'a> {
    end: Instant,
    stop: &'a Arc<AtomicBool>,
}

impl Until<'_> {
    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn is_over(self) -> bool {
        self.left().is_zero() || self.stop.load(Ordering::Relaxed)
    }
}
