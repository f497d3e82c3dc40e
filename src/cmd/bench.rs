//! `brackup bench`: how fast this box is at each step of a backup, and how long a first one would take.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use brackup::bench::{self, Estimate, Measured, Report, Totals, What};
use brackup::config::{BoxOptions, Cipher, Compress, SourceOptions};
use brackup::fsutil::identity;
use brackup::limits::CHUNK_BYTES_MAX;
use brackup::outcome::Outcome;
use brackup::seal::Suite;
use brackup::source::WalkOptions;
use brackup::target::{Filesystem, Target};
use nix::unistd::{AccessFlags, access};

use super::open;
use super::pair::{compression, suite};
use super::provider::NamedTarget;
use crate::cli::{BenchArgs, Global};
use crate::term::{self, Failure};

/// What a source without a word of its own has.
const COMPRESS_DEFAULT: Compress = Compress::Zstd { level: 1 };
const CHUNK_BYTES_DEFAULT: u64 = 64 << 20;

/// Measures, and says what came of it.
pub(crate) fn run(args: &BenchArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let own = open::own(global)?;
    let config = args.from.as_ref().map(|_| open::config(global)).transpose()?;
    let source = match (&args.from, &config) {
        (Some(name), Some(config)) => Some(config.source(name)?),
        _ => None,
    };
    let target = args.to.as_deref().map(|to| open::target(Some(to), global)).transpose()?;
    let (place, folder) = target.map(place).transpose()?.unzip();
    let folder = folder.flatten();
    let spool = spool(&own);
    let ignores = |path: &[u8], is_directory: bool| {
        source.is_some_and(|source: &SourceOptions| source.ignore.ignores(path, is_directory))
    };
    let excluded = [folder.as_ref(), Some(&own.state_dir), Some(&own.spool_dir)];
    let excluded: Vec<_> = excluded.into_iter().flatten().filter_map(|folder| identity(folder)).collect();
    let walk = |source: &SourceOptions| WalkOptions {
        ignores: &ignores,
        excluded: &excluded,
        one_filesystem: source.one_filesystem,
        spool: &spool,
    };
    let options = bench::Options {
        time: args.seconds,
        piece_bytes: own.piece_size as usize,
        chunk_bytes: source.map_or(CHUNK_BYTES_DEFAULT, |source| source.chunk_size).min(CHUNK_BYTES_MAX),
        compression: compression(source.map_or(COMPRESS_DEFAULT, |source| source.compress)),
        suite: suite(own.cipher),
        source: source.map(|source| (&*source.path, walk(source))),
        target: place.as_deref(),
        spool_dir: &spool,
    };
    let mut told = Ok(());
    let report = bench::run(options, stop, &mut |measured| {
        if !global.json && told.is_ok() {
            told = say_row(measured);
        }
    })?;
    told?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let on_one_disk = source.zip(folder.as_ref()).is_some_and(|(source, folder)| is_one_disk(&source.path, folder));
    let estimate = report.estimate(suite(own.cipher), cpus, on_one_disk);
    if global.json {
        say_json(&report, &own, cpus, source, estimate)?;
    } else if report.interrupted {
        writeln!(std::io::stdout(), "interrupted")?;
    } else {
        let lines = cipher_lines(&report, own.cipher, Suite::for_this_cpu());
        std::io::stdout().write_all(lines.as_bytes())?;
        say_others(report.cpu_share())?;
        if let (Some(source), Some(estimate), Some(totals)) = (source, estimate, &report.totals) {
            say_estimate(&source.name, totals, &estimate)?;
        }
    }
    match report.failed {
        // Something may lie there that could not be removed.
        Some(error) if !error.is_stopped() => Err(error.into()),
        _ if report.interrupted => Ok(Outcome::Interrupted),
        _ => Ok(Outcome::Done),
    }
}

/// Where the state is, or will be: a box that has none yet is asked before all others how fast it is.
fn spool(own: &BoxOptions) -> PathBuf {
    let is_usable = |folder: &&Path| access(*folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    let is_inside = |folder: &&Path| std::env::var_os("TMPDIR").is_none() && folder.parent().is_some();
    let above = own.spool_dir.ancestors().take_while(is_inside).find(is_usable);
    above.map_or_else(|| open::spool(Some(own)), Path::to_path_buf)
}

/// Where to write to: the target, or the folder above one that is not made yet, which lies on the same disk.
fn place(target: NamedTarget) -> Result<(Box<dyn Target>, Option<PathBuf>), Failure> {
    let Some(path) = target.folder else { return Ok((target.target, None)) };
    let above = path.parent().filter(|above| above.is_dir());
    match above {
        _ if path.exists() => Ok((target.target, Some(path))),
        Some(above) => {
            term::say(format_args!(
                "brackup: note: {} is not made yet; what is measured is {}",
                term::safe(&path.display().to_string()),
                term::safe(&above.display().to_string())
            ));
            Ok((Box::new(Filesystem::at(above)), Some(above.to_owned())))
        }
        None => {
            let path = path.display();
            Err(Failure::new(
                Outcome::NoSuchTarget,
                format!("the folder above the target's folder {path} is not there"),
            )
            .hint("is the disk mounted? is the path right?"))
        }
    }
}

fn is_one_disk(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| identity(path).map(|(device, _)| device);
    device(one).is_some_and(|device_of_one| device(other) == Some(device_of_one))
}

fn say_row(measured: &Measured) -> std::io::Result<()> {
    let (what, rate) = (measured.what.word(), measured.per_second());
    let mut out = std::io::stdout();
    match measured.what.unit() {
        "bytes" => writeln!(out, "{what:24} {:10.1} MB/s", rate / 1e6)?,
        unit => writeln!(out, "{what:24} {rate:10.0} {unit}/s")?,
    }
    out.flush()
}

/// Which cipher seals and why, and which was faster.
fn cipher_lines(report: &Report, cipher: Cipher, auto: Suite) -> String {
    let taken = if cipher == Cipher::Auto { auto } else { suite(cipher) };
    let why = match auto {
        Suite::Aes256Gcm => "this CPU has AES instructions",
        Suite::ChaCha20Poly1305 => "this CPU has no AES instructions that could be used",
    };
    let mut lines = match cipher {
        Cipher::Auto => format!("cipher = auto takes {}: {why}\n", auto.word()),
        _ => format!("cipher = {} is set; auto would take {}: {why}\n", taken.word(), auto.word()),
    };
    if let Some(faster) = report.faster_suite().filter(|faster| *faster != taken) {
        let word = faster.word();
        lines += &format!("{word} was faster here: set `cipher = {word}` in [BOX] of the configuration\n");
    }
    lines
}

fn say_others(cpu_share: f64) -> std::io::Result<()> {
    if cpu_share > 0.9 {
        return Ok(());
    }
    let others = (1.0 - cpu_share) * 100.0;
    let what = "a quiet box is faster, and a backup beside them slower than estimated";
    writeln!(std::io::stdout(), "other programs had the CPU for {others:.0} % of the time: {what}")
}

fn say_estimate(source: &str, totals: &Totals, estimate: &Estimate) -> std::io::Result<()> {
    let mut out = term::out();
    let how_much = format!("{} in {}", term::bytes(totals.bytes), term::plural(totals.files, "file", "files"));
    let (time, slowest) = (term::about(estimate.seconds), estimate.slowest.word());
    if totals.whole {
        writeln!(out, "a first backup of {source} ({how_much}) would take about {time}: {slowest} is the slowest")?;
    } else {
        let seen = format!("{how_much}, as far as the walk came in 10 s");
        writeln!(out, "a first backup of {source} ({seen}) would take more than {time}: {slowest} is the slowest")?;
    }
    if !estimate.is_written {
        writeln!(out, "writing is not in it: --to TARGET measures it too")?;
    }
    writeln!(out, "this is an estimate from the rates above")?;
    out.flush()
}

fn say_json(
    report: &Report,
    own: &BoxOptions,
    cpus: usize,
    source: Option<&SourceOptions>,
    estimate: Option<Estimate>,
) -> std::io::Result<()> {
    let row = |measured: &Measured| {
        serde_json::json!({
            "what": measured.what.word(),
            "unit": measured.what.unit(),
            "count": measured.count,
            "seconds": measured.wall.as_secs_f64(),
            "cpu_seconds": measured.cpu.as_secs_f64(),
            "per_second": measured.per_second(),
        })
    };
    let estimate = estimate.zip(report.totals).zip(source).map(|((estimate, totals), source)| {
        serde_json::json!({
            "source": source.name,
            "files": totals.files,
            "bytes": totals.bytes,
            "whole": totals.whole,
            "written": estimate.is_written,
            "seconds": estimate.seconds,
            "slowest": estimate.slowest.word(),
        })
    });
    let compressed = report.of(What::Compress).map(Measured::part_left);
    let value = serde_json::json!({
        "command": "bench",
        "interrupted": report.interrupted,
        "cpus": cpus,
        "piece_bytes": own.piece_size,
        "measured": report.measured.iter().map(row).collect::<Vec<_>>(),
        "compressed_to": compressed,
        "cipher": suite(own.cipher).word(),
        "auto_cipher": Suite::for_this_cpu().word(),
        "faster_cipher": report.faster_suite().map(Suite::word),
        "estimate": estimate,
    });
    writeln!(std::io::stdout(), "{value}")
}

/// Parses a number of seconds, which may have a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it is a number of seconds from 0.01 to 600".to_owned())
}

impl From<bench::Error> for Failure {
    fn from(error: bench::Error) -> Self {
        match error {
            bench::Error::Target(error) => error.into(),
            bench::Error::Database(error) => error.into(),
            bench::Error::Seal(error) => error.into(),
            other => Self::of(Outcome::Failed, &other, other.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_that_is_slower_is_told() {
        let seal = |what, milliseconds| {
            let wall = Duration::from_millis(milliseconds);
            Measured { what, count: 1000, bytes: 1000, left: 0, wall, cpu: wall }
        };
        let chacha_wins = Report {
            measured: vec![seal(What::SealAes, 200), seal(What::SealChaCha, 100)],
            totals: None,
            interrupted: false,
            failed: None,
        };
        let lines = |cipher, auto| cipher_lines(&chacha_wins, cipher, auto);
        let advice =
            "chacha20-poly1305 was faster here: set `cipher = chacha20-poly1305` in [BOX] of the configuration\n";
        let has = "cipher = auto takes aes-256-gcm: this CPU has AES instructions\n";
        assert_eq!(lines(Cipher::Auto, Suite::Aes256Gcm), format!("{has}{advice}"));
        let none = "chacha20-poly1305: this CPU has no AES instructions that could be used\n";
        assert_eq!(lines(Cipher::Auto, Suite::ChaCha20Poly1305), format!("cipher = auto takes {none}"));
        let set = format!("cipher = aes-256-gcm is set; auto would take {none}{advice}");
        assert_eq!(lines(Cipher::Aes, Suite::ChaCha20Poly1305), set);
        assert!(!lines(Cipher::ChaCha, Suite::Aes256Gcm).contains("was faster here"));
    }
}
