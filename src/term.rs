//! Words for people: `brackup: error: …`, then `brackup: hint: …`, lower case, no full stop. stdout is data, stderr is talk.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;
use std::sync::OnceLock;

use brackup::monitor::one_line;
use brackup::outcome::Outcome;

use crate::syslog::Syslog;

/// Where talk goes, if not to stderr.
static LOG: OnceLock<Syslog> = OnceLock::new();

/// Why a command ended otherwise than well.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what failed before why it did.
    pub(crate) fn named(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// With the whole chain of an error.
    pub(crate) fn of(outcome: Outcome, error: &dyn std::error::Error, hint: Option<&str>) -> Self {
        Self { outcome, message: one_line(error), hint: hint.map(str::to_owned) }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Outcome::Usage, message)
    }
}

impl From<io::Error> for Failure {
    /// Writing to stdout failed.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // `brackup ls … | head`: whoever read has enough.
            return Self::new(Outcome::Done, "");
        }
        Self::new(Outcome::Failed, format!("can't write the result: {error}"))
    }
}

pub(crate) fn error(failure: &Failure) {
    lines(failure).iter().for_each(|line| say(format_args!("{line}")));
}

/// Why the program ends: to stderr in any case, where whoever started it looks.
pub(crate) fn last_words(failure: &Failure) {
    error(failure);
    if LOG.get().is_some() {
        lines(failure).iter().for_each(|line| say_here(format_args!("{line}")));
    }
}

fn lines(failure: &Failure) -> Vec<String> {
    let error = Some(&failure.message).filter(|message| !message.is_empty());
    let error = error.map(|message| format!("brackup: error: {}", safe(message)));
    let hint = failure.hint.as_ref().map(|hint| format!("brackup: hint: {}", safe(hint)));
    error.into_iter().chain(hint).collect()
}

pub(crate) fn warning(text: &str) {
    say(format_args!("brackup: warning: {}", safe(text)));
}

/// What a daemon does.
pub(crate) fn note(text: &str) {
    say(format_args!("brackup: {}", safe(text)));
}

/// From now on talk goes to the system's log.
pub(crate) fn log_to(log: Syslog, path: &Path) {
    if let Err(error) = log.line("brackup: logs here") {
        warning(&format!("can't log to {}: {error}; lines are lost until somebody reads there", path.display()));
    }
    let _ = LOG.set(log);
}

/// A line of talk.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    if let Some(log) = LOG.get() {
        // Lost lines are counted there, and nothing waits for them.
        let _ = log.line(&text.to_string());
        return;
    }
    say_here(text);
}

fn say_here(text: fmt::Arguments<'_>) {
    // A line in one piece: others write to the same place. If stderr is gone there is nobody to tell.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Data.
pub(crate) fn out() -> BufWriter<Stdout> {
    BufWriter::with_capacity(32 * 1024, io::stdout())
}

/// Names from a disk or a metafile must not steer a terminal.
pub(crate) fn safe(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_odd) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_odd(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Bytes in words: 1536 is `1.5 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A length of time in words, as exactly as an estimate is.
#[cfg(feature = "bench")]
pub(crate) fn about(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 100.0 * 60.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(safe("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(safe("naïve"), "naïve");
    }

    #[cfg(feature = "bench")]
    #[test]
    fn times_in_words() {
        let about = [0.04, 9.6, 99.0, 720.0, 7200.0, 400_000.0].map(about);
        assert_eq!(about, ["1 s", "10 s", "99 s", "12 min", "2 h", "5 days"]);
    }

    #[test]
    fn sizes_in_words() {
        assert_eq!((bytes(1023), bytes(1536), bytes(5 << 40)), ("1023 B".into(), "1.5 KiB".into(), "5.0 TiB".into()));
    }
}
