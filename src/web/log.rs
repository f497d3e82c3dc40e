//! What is refused is logged, but not more than a log can take: who is refused decides how often he asks.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Say;

const LINES_MAX: u32 = 20;
const WITHIN: Duration = Duration::from_secs(60);

/// The log, a few lines a minute; others are counted.
pub(super) struct Log {
    say: Say,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    began: Option<Instant>,
    lines: u32,
}

impl Log {
    pub(super) fn new(say: Say) -> Self {
        Self { say, minute: Mutex::default() }
    }

    pub(super) fn say(&self, text: &str) {
        let Ok(mut minute) = self.minute.lock() else { return };
        if minute.began.is_none_or(|began| began.elapsed() >= WITHIN) {
            let more = minute.lines.saturating_sub(LINES_MAX);
            if more > 0 {
                (self.say)(&format!("{more} more refusals are not listed"));
            }
            *minute = Minute { began: Some(Instant::now()), lines: 0 };
        }
        minute.lines = minute.lines.saturating_add(1);
        if minute.lines <= LINES_MAX {
            (self.say)(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_storm_is_a_few_lines_and_a_number() {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let heard = lines.clone();
        let log = Log::new(Box::new(move |line| heard.lock().unwrap().push(line.into())));
        (0..1000).for_each(|_| log.say("no"));
        assert_eq!(lines.lock().unwrap().len(), LINES_MAX as usize);
        log.minute.lock().unwrap().began = Instant::now().checked_sub(WITHIN);
        log.say("later");
        assert_eq!(lines.lock().unwrap()[LINES_MAX as usize..], ["980 more refusals are not listed", "later"]);
    }
}
