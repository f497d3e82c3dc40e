//! How fast this box does each step of a backup, measured with the code that a backup uses, and what follows for a first backup.
//!
//! Steps are measured one after the other, each for about as long as it is told, in the buffers of a backup (I8). At a target only
//! what was written for it here is removed again; a source is only read.

mod cpu;
mod error;
mod estimate;
mod measured;
mod reading;
mod remembering;
mod writing;

pub use error::Error;
pub use estimate::{Estimate, Step};
pub use measured::{Measured, What};
pub use reading::Totals;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::seal::Suite;
use crate::source::WalkOptions;
use crate::target::Target;

/// What is measured, and how.
#[expect(missing_debug_implementations, reason = "it holds a target and a closure")]
pub struct Options<'a> {
    /// About how long each step is measured.
    pub time: Duration,
    /// Of a piece.
    pub piece_bytes: usize,
    /// Largest payload of an object that is written.
    pub chunk_bytes: u64,
    /// zstd level, or no compression.
    pub compression: Option<i32>,
    /// What would seal.
    pub suite: Suite,
    /// The tree that is walked and read, if there is one, and how.
    pub source: Option<(&'a Path, WalkOptions<'a>)>,
    /// Where objects are written to, if anywhere.
    pub target: Option<&'a dyn Target>,
    /// For a database that is filled and removed.
    pub spool_dir: &'a Path,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which it was.
    pub measured: Vec<Measured>,
    /// What there is in the source.
    pub totals: Option<Totals>,
    /// It was ended from outside.
    pub interrupted: bool,
    /// Why nothing was written at the target. The rest is true all the same.
    pub failed: Option<Error>,
}

/// Measures step by step, and tells each as it is known. `stop` ends it cleanly.
pub fn run(options: Options<'_>, stop: &AtomicBool, each: &mut dyn FnMut(&Measured)) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut told = |report: &mut Report, measured: Vec<Measured>| {
        for measured in measured.into_iter().filter(|measured| measured.count > 0) {
            each(&measured);
            report.measured.push(measured);
        }
    };
    let bench = cpu::Bench::new(&options, stop)?;
    if let Some((path, walk)) = options.source {
        let (totals, walked) = reading::walk(path, walk, stop)?;
        told(&mut report, walked.into_iter().collect());
        told(&mut report, reading::read(path, walk, &totals, &bench)?);
        report.totals = Some(totals);
    }
    told(&mut report, vec![bench.sha1(), bench.blake3()]);
    if report.of(What::Compress).is_none() {
        told(&mut report, bench.compress()?.into_iter().collect());
    }
    told(&mut report, vec![remembering::rows(options.spool_dir, options.time, stop)?]);
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        told(&mut report, vec![bench.seal(suite)?]);
    }
    if let Some(target) = options.target {
        match writing::objects(target, &bench, options.suite, options.chunk_bytes) {
            Ok(written) => told(&mut report, vec![written]),
            Err(error) => report.failed = Some(error),
        }
    }
    report.interrupted = stop.load(Ordering::Relaxed);
    Ok(report)
}

impl Report {
    /// One of the steps, if it was measured.
    pub fn of(&self, what: What) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.what == what)
    }

    /// The part of the time that steps which never wait had a CPU: 1 on a box that does nothing else.
    pub fn cpu_share(&self) -> f64 {
        let is_busy = |measured: &&Measured| {
            matches!(measured.what, What::Sha1 | What::Blake3 | What::SealAes | What::SealChaCha)
        };
        let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
        for measured in self.measured.iter().filter(is_busy) {
            wall += measured.wall;
            cpu += measured.cpu;
        }
        if wall.is_zero() { 1.0 } else { (cpu.as_secs_f64() / wall.as_secs_f64()).min(1.0) }
    }

    /// The suite that was faster by more than a tenth, which is more than chance.
    pub fn faster_suite(&self) -> Option<Suite> {
        let [aes, chacha] = [What::SealAes, What::SealChaCha].map(|what| self.of(what).map(Measured::per_second));
        let (aes, chacha) = (aes?, chacha?);
        match () {
            () if aes > chacha * 1.1 => Some(Suite::Aes256Gcm),
            () if chacha > aes * 1.1 => Some(Suite::ChaCha20Poly1305),
            () => None,
        }
    }
}
