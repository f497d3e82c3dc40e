//! Progress and problems as they come: a bar on a terminal, lines elsewhere, JSON lines on request.

#[cfg(feature = "desk")]
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use brackup::catalog::OpenBackup;
use brackup::metafile::Record;
use brackup::monitor::{Counter, Counts, Monitor, Phase, Problem, Severity};
use brackup::relpath::RelPath;
use brackup::restore::Selection;
use brackup::seal::Identity;
use brackup::thread;
#[cfg(feature = "desk")]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Global, ProgressKind};
use crate::term;

/// How often a bar, or the JSON lines, are brought up to date.
const QUICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const SLOW: Duration = Duration::from_secs(30);
/// Paths between two looks at the clock, which show where there are a million of them; and bytes after which it is looked at anyway.
const CALLS_A_LOOK: u32 = 64;
const BYTES_A_LOOK: u64 = 64 * 1024;

/// A monitor that talks to people or to programs.
pub(crate) struct Progress {
    kind: Kind,
    verbose: u8,
    calls: AtomicU32,
    state: Mutex<State>,
}

enum Kind {
    #[cfg(feature = "desk")]
    Bar(ProgressBar),
    Json,
    Lines,
    None,
}

struct State {
    counts: Counts,
    phase: Phase,
    path: RelPath,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub(crate) fn new(global: &Global) -> Self {
        let kind = match global.progress {
            ProgressKind::Json => Kind::Json,
            ProgressKind::None => Kind::None,
            ProgressKind::Auto if global.quiet => Kind::None,
            #[cfg(feature = "desk")]
            ProgressKind::Auto if std::io::stderr().is_terminal() => Kind::Bar(bar()),
            ProgressKind::Auto => Kind::Lines,
        };
        let now = Instant::now();
        let counts = Counts::default();
        let state = State { counts, phase: Phase::Backup, path: RelPath::root(), began: now, told: now };
        Self { kind, verbose: global.verbose, calls: AtomicU32::new(0), state: Mutex::new(state) }
    }

    /// Whether it pays to find out beforehand how much there is: somebody waits. Not so every night, from cron.
    pub(crate) fn wants_totals(&self) -> bool {
        match self.kind {
            #[cfg(feature = "desk")]
            Kind::Bar(_) => true,
            Kind::Json => true,
            Kind::Lines | Kind::None => false,
        }
    }

    /// Does something with a backup while a thread of its own reads through it and finds out how much that will be.
    pub(crate) fn with_totals<T>(
        &self,
        backup: &OpenBackup,
        identities: &[Identity],
        selection: &Selection,
        act: impl FnOnce() -> T,
    ) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if self.wants_totals() {
                // Without them the time left is not known.
                let _ = thread::named("totals")
                    .spawn_scoped(scope, || self.expect(backup, identities, selection.clone(), &is_over));
            }
            let acted = act();
            is_over.store(true, Ordering::Relaxed);
            acted
        })
    }

    fn expect(&self, backup: &OpenBackup, identities: &[Identity], mut selection: Selection, is_over: &AtomicBool) {
        // What is wrong with it is told by whoever acts on it.
        let Ok(mut documents) = backup.documents(identities) else { return };
        while let Ok(Some(record)) = documents.next() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            if let Record::Entry(found) = record
                && found.entry.stat.kind.has_contents()
                && selection.selects(&found.path)
            {
                self.count(Counter::ExpectedFiles, 1);
                self.count(Counter::ExpectedBytes, found.entry.stat.size);
            }
        }
    }

    /// Takes the bar away: what follows is the result.
    pub(crate) fn finish(&self) {
        #[cfg(feature = "desk")]
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells, if it was long ago that it did.
    fn tell(&self, mut state: std::sync::MutexGuard<'_, State>) {
        let every = if matches!(self.kind, Kind::Lines) { SLOW } else { QUICK };
        if state.told.elapsed() < every {
            return;
        }
        state.told = Instant::now();
        let (counts, phase, path, began) = (state.counts, state.phase, state.path.clone(), state.began);
        drop(state);
        let done = Done::of(&counts);
        match &self.kind {
            #[cfg(feature = "desk")]
            Kind::Bar(bar) => {
                bar.set_length(counts.of(Counter::ExpectedBytes).max(done.bytes));
                bar.set_position(done.bytes);
                bar.set_prefix(done.things());
                bar.set_message(term::safe(&path.escaped()));
            }
            Kind::Json => json(phase, &path, &counts, began.elapsed()),
            Kind::Lines => line(phase, &done, began.elapsed()),
            Kind::None => {}
        }
    }
}

impl Monitor for Progress {
    fn count(&self, counter: Counter, by: u64) {
        let mut state = self.state();
        state.counts.by[counter as usize] += by;
        let is_work = matches!(counter, Counter::ReadBytes | Counter::StoredBytes);
        if is_work && by >= BYTES_A_LOOK {
            self.tell(state);
        }
    }

    fn at(&self, phase: Phase, path: &RelPath) {
        if self.verbose > 1 {
            term::say(format_args!("{}", term::safe(&path.escaped())));
        }
        let mut state = self.state();
        state.phase = phase;
        state.path.clone_from(path);
        if self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(CALLS_A_LOOK) {
            self.tell(state);
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
            say_whole(&line);
            return;
        }
        let word = if is_notice { "note" } else { "problem" };
        let say = || {
            term::say(format_args!("brackup: {word}: {}: {}", term::safe(&problem.subject), term::safe(&problem.what)));
        };
        match &self.kind {
            #[cfg(feature = "desk")]
            Kind::Bar(bar) => bar.suspend(say),
            _ => say(),
        }
    }
}

#[cfg(feature = "desk")]
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
        Phase::Delete => "delete",
        Phase::Copy => "copy",
    }
}

fn line(phase: Phase, done: &Done, elapsed: Duration) {
    let rate = done.bytes as f64 / elapsed.as_secs_f64().max(0.001);
    term::say(format_args!(
        "brackup: {}: {}, {}, {}/s",
        word(phase),
        done.things(),
        term::bytes(done.bytes),
        term::bytes(rate as u64)
    ));
}

/// What is done: files, or objects where no files are looked at.
struct Done {
    count: u64,
    bytes: u64,
    is_files: bool,
}

impl Done {
    fn of(counts: &Counts) -> Self {
        let of = |counter| counts.of(counter);
        let is_files = of(Counter::Files) + of(Counter::FileBytes) > 0 || of(Counter::Chunks) == 0;
        let (count, bytes) = if is_files {
            (of(Counter::Files), of(Counter::FileBytes))
        } else {
            (of(Counter::Chunks), of(Counter::StoredBytes))
        };
        Self { count, bytes, is_files }
    }

    fn things(&self) -> String {
        if self.is_files {
            term::plural(self.count, "file", "files")
        } else {
            term::plural(self.count, "object", "objects")
        }
    }
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
    say_whole(&line);
}

/// In one write: others may have the same terminal.
fn say_whole(line: &serde_json::Value) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
