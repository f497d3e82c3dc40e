//! Progress and problems as they come: a bar on a terminal, lines elsewhere, JSON lines on request.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use brackup::monitor::{Counter, Counts, Monitor, Phase, Problem, Severity};
use brackup::relpath::RelPath;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Global, ProgressKind};
use crate::term;

/// How often a bar, or the JSON lines, are brought up to date.
const QUICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const SLOW: Duration = Duration::from_secs(30);
/// Paths between two looks at the clock.
const CALLS_A_LOOK: u32 = 64;

/// A monitor that talks to people or to programs.
pub(crate) struct Progress {
    kind: Kind,
    verbose: u8,
    calls: AtomicU32,
    state: Mutex<State>,
}

enum Kind {
    Bar(ProgressBar),
    Json,
    Lines,
    None,
}

struct State {
    counts: Counts,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub(crate) fn new(global: &Global) -> Self {
        let kind = match global.progress {
            ProgressKind::Json => Kind::Json,
            ProgressKind::None => Kind::None,
            ProgressKind::Auto if global.quiet => Kind::None,
            ProgressKind::Auto if std::io::stderr().is_terminal() => Kind::Bar(bar()),
            ProgressKind::Auto => Kind::Lines,
        };
        let now = Instant::now();
        let state = State { counts: Counts::default(), began: now, told: now };
        Self { kind, verbose: global.verbose, calls: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// Whether it pays to find out beforehand how much there is.
    pub(crate) fn wants_totals(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }

    /// Takes the bar away: what follows is the result.
    pub(crate) fn finish(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, phase: Phase, path: &RelPath) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let every = if matches!(self.kind, Kind::Lines) { SLOW } else { QUICK };
        if state.told.elapsed() < every {
            return;
        }
        state.told = Instant::now();
        let (counts, began) = (state.counts, state.began);
        drop(state);
        match &self.kind {
            Kind::Bar(bar) => {
                bar.set_length(counts.of(Counter::ExpectedBytes).max(counts.of(Counter::FileBytes)));
                bar.set_position(counts.of(Counter::FileBytes));
                bar.set_prefix(term::plural(counts.of(Counter::Files), "file", "files"));
                bar.set_message(term::safe(&path.escaped()));
            }
            Kind::Json => json(phase, path, &counts, began.elapsed()),
            Kind::Lines => line(phase, &counts, began.elapsed()),
            Kind::None => {}
        }
    }
}

impl Monitor for Progress {
    fn count(&self, counter: Counter, by: u64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.counts.by[counter as usize] += by;
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        if self.verbose > 1 {
            term::say(format_args!("{}", term::safe(&path.escaped())));
        }
        // Looking at the clock for each of a million names would show.
        if self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(CALLS_A_LOOK) {
            self.tell(phase, path);
        }
    }

    fn problem(&self, problem: Problem) {
        let is_notice = problem.severity == Severity::Notice;
        if is_notice && self.verbose == 0 && matches!(self.kind, Kind::None) {
            return;
        }
        if matches!(self.kind, Kind::Json) {
            let severity = if is_notice { "notice" } else { "problem" };
            let line = serde_json::json!({"event": severity, "subject": problem.subject, "what": problem.what});
            let _ = writeln!(std::io::stderr(), "{line}");
            return;
        }
        let word = if is_notice { "note" } else { "problem" };
        let say = || {
            term::say(format_args!("brackup: {word}: {}: {}", term::safe(&problem.subject), term::safe(&problem.what)));
        };
        if let Kind::Bar(bar) = &self.kind { bar.suspend(say) } else { say() }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template =
        "{prefix:>14} {bytes:>11}/{total_bytes:<11} [{bar:24}] {bytes_per_sec:>12} {eta:>4} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Backup => "backup",
        Phase::Metafile => "metafile",
        Phase::Restore => "restore",
        Phase::Verify => "verify",
    }
}

fn line(phase: Phase, counts: &Counts, elapsed: Duration) {
    let done = counts.of(Counter::FileBytes);
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let expected = counts.of(Counter::ExpectedBytes);
    let left = if expected > done && rate > 0.0 {
        format!(", about {} s left", ((expected - done) as f64 / rate) as u64)
    } else {
        String::new()
    };
    let files = term::plural(counts.of(Counter::Files), "file", "files");
    term::say(format_args!(
        "brackup: {}: {files}, {}, {}/s{left}",
        word(phase),
        term::bytes(done),
        term::bytes(rate as u64)
    ));
}

fn json(phase: Phase, path: &RelPath, counts: &Counts, elapsed: Duration) {
    let line = serde_json::json!({
        "event": "progress",
        "phase": word(phase),
        "path": path.escaped(),
        "files": counts.of(Counter::Files),
        "bytes": counts.of(Counter::FileBytes),
        "expected_files": counts.of(Counter::ExpectedFiles),
        "expected_bytes": counts.of(Counter::ExpectedBytes),
        "stored_bytes": counts.of(Counter::StoredBytes),
        "seconds": elapsed.as_secs_f64(),
    });
    let _ = writeln!(std::io::stderr(), "{line}");
}
