//! SIGHUP: the configuration is read again.

use std::sync::Arc;
use std::time::Duration;

use brackup::config::Config;
use brackup::monitor::one_line;
use brackup::outcome::Outcome;

use super::Service;
use super::peek::Peek;
use crate::term::{self, Failure};

impl Service {
    /// A configuration that is wrong changes nothing. A job that runs ends as it began.
    pub(super) fn reload(&mut self) {
        // Who calls it does not want to wait for the next look at the lock.
        self.scheduler.free_all();
        self.locked.clear();
        self.absent.clear();
        self.had_state = false;
        if let Some(work) = &mut self.work {
            work.is_outdated = true;
        }
        self.recall_from = Duration::ZERO;
        self.asked.hurry();
        match Config::open(&self.file) {
            Ok(config) => {
                let is_elsewhere = config.own.state_dir != self.config.own.state_dir;
                let before = std::mem::replace(&mut self.config, Arc::new(config));
                if is_elsewhere {
                    self.runs = None;
                }
                Peek::change(&mut self.peek, &self.config, &self.board);
                self.alerts.changed(&before, &self.config);
                self.set_zone();
                self.said = None;
                self.show_all();
                self.greet("has read again and serves");
                self.door.change(&self.config);
            }
            Err(error) => {
                let message = format!("{}; the configuration of before stays in force", one_line(&error));
                term::error(&Failure { outcome: Outcome::Usage, message, hint: error.hint() });
            }
        }
    }
}
