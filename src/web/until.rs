//! How long a request may take in all, however little of it comes or goes at a time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::pieces::Pieces;

/// When the request that goes on at a connection must have ended; nothing: it needs no end.
#[derive(Clone)]
pub(super) struct Until {
    at: Arc<Mutex<Option<Instant>>>,
    whole: Duration,
}

impl Until {
    pub(super) fn new(whole: Duration) -> Self {
        Self { at: Arc::new(Mutex::new(Some(Instant::now() + whole))), whole }
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.set(Some(Instant::now() + self.whole));
    }

    /// Who watches may go on: there is room for others beside all who do.
    pub(super) fn answered(&self, body: &Pieces) {
        if matches!(body, Pieces::Live(_)) {
            self.set(None);
        }
    }

    fn set(&self, until: Option<Instant>) {
        if let Ok(mut at) = self.at.lock() {
            *at = until;
        }
    }

    /// Ends when it should have.
    pub(super) async fn over(&self) {
        loop {
            let at = self.at.lock().map_or(None, |at| *at);
            let left = at.map_or(self.whole, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}
