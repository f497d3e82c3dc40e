//! `brackup --from=SOURCE --to=TARGET`.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brackup::backup::{self, Options, Padding, Report};
use brackup::config::{self, BoxOptions, Cipher, Compress, SourceOptions};
use brackup::entry::Kind;
use brackup::monitor::{Counter, Monitor, Quiet, Tally};
use brackup::outcome::Outcome;
use brackup::seal::{Keyring, Recipient, Suite};
use brackup::source::Walk;
use brackup::target::{DryRun, Target};

use super::open::{self, NamedTarget, State};
use crate::cli::{BackupArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Backs up one source of the configuration to one target.
pub(crate) fn run(args: &BackupArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let (Some(from), Some(to)) = (&args.from, &args.to) else {
        return Err(Failure::usage("what is to be done?")
            .hint("`brackup --from=SOURCE --to=TARGET` makes a backup, `brackup quickstart DIR` sets everything up, `brackup --help` tells more"));
    };
    let config = open::config(global)?;
    let source = config.source(from)?;
    let target = open::target(Some(to), global)?;
    one(source, &target, &config.own, args.dry_run, global, stop).map(|(_, outcome)| outcome)
}

/// Backs up one source to one target, and says what came of it.
pub(crate) fn one(
    source: &SourceOptions,
    target: &NamedTarget,
    own: &BoxOptions,
    dry_run: bool,
    global: &Global,
    stop: &AtomicBool,
) -> Result<(Report, Outcome), Failure> {
    if is_same(&source.path, &target.path) {
        return Err(Failure::usage(format!("the source {} is the target itself", source.path.display()))
            .hint("a target in a folder below the source is left out of the backup; the source as a whole can't be"));
    }
    let keyring = Keyring::at(&own.key_dir);
    let recipients = source.recipients.iter().map(|text| keyring.resolve(text)).collect::<Result<Vec<_>, _>>()?;
    let was_used = own.state_dir.join("brackup.db").exists();
    let state = State::open(own)?;
    if was_used && !own.key_dir.join("box.key").exists() {
        term::warning(&format!(
            "the box's own key in {} is gone; a new one signs from now on, everything is stored anew, and a restore will ask whether to trust it",
            own.key_dir.display()
        ));
    }
    let box_key = keyring.box_key()?;
    let progress = Progress::new(global);
    let ignores = |path: &[u8], is_directory: bool| source.ignore.ignores(path, is_directory);
    let excluded = [target.path.clone(), own.state_dir.clone(), own.spool_dir.clone()];
    let remembered_as = target.remembered_as();
    let host = nix::unistd::gethostname().unwrap_or_default();
    let options = Options {
        root: &source.name,
        path: &source.path,
        target_name: &remembered_as,
        recipients: &recipients,
        chunk_bytes: source.chunk_size,
        piece_bytes: own.piece_size as usize,
        buffers: own.buffers as usize,
        connections: own.connections as usize,
        suite: suite(own.cipher),
        padding: padding(source.padding),
        compression: compression(source.compress),
        ignores: &ignores,
        excluded: &excluded,
        one_filesystem: source.one_filesystem,
        spool_dir: &own.spool_dir,
        host: std::os::unix::ffi::OsStrExt::as_bytes(host.as_os_str()),
        dry_run,
    };
    let began = Instant::now();
    let dry = DryRun::over(&*target.target);
    let to: &dyn Target = if dry_run { &dry } else { &*target.target };
    let tally = Tally::new(&progress);
    let counting = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        if progress.wants_totals() && source.path.is_dir() {
            scope.spawn(|| count_ahead(&options, &progress, &counting));
        }
        let report = backup::run(&options, to, &state.db, &box_key, &tally, stop);
        counting.store(true, Ordering::Relaxed);
        report
    });
    progress.finish();
    let report = report?;
    let outcome = if report.interrupted { Outcome::Interrupted } else { Outcome::of_problems(report.counts.problems) };
    say(&report, &recipients, began.elapsed(), dry_run, global)?;
    Ok((report, outcome))
}

/// Finds out how much there is, so that the time left can be told. A walk of its own, just ahead of the other, which finds what it read in memory.
fn count_ahead(options: &Options<'_>, monitor: &dyn Monitor, stop: &AtomicBool) {
    let (quiet, excluded) = (Quiet::default(), options.excluded_directories());
    let tally = Tally::new(&quiet);
    let Ok(mut walk) = Walk::open(options.path, options.walk(&excluded)) else { return };
    while let Ok(Some(met)) = walk.next(&tally) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if met.stat.kind == Kind::File {
            monitor.count(Counter::ExpectedFiles, 1);
            monitor.count(Counter::ExpectedBytes, met.stat.size);
        }
    }
}

fn say(
    report: &Report,
    recipients: &[Recipient],
    elapsed: Duration,
    dry_run: bool,
    global: &Global,
) -> Result<(), Failure> {
    let counts = &report.counts;
    let of = |counter| counts.of(counter);
    if global.json {
        let ids: Vec<_> = recipients.iter().map(|recipient| recipient.id().to_string()).collect();
        let value = serde_json::json!({
            "command": "backup",
            "backup": report.backup.as_ref().map(ToString::to_string),
            "dry_run": dry_run,
            "interrupted": report.interrupted,
            "recipients": ids,
            "files": of(Counter::Files),
            "unchanged_files": of(Counter::UnchangedFiles),
            "other_entries": of(Counter::OtherEntries),
            "bytes": of(Counter::FileBytes),
            "read_bytes": of(Counter::ReadBytes),
            "chunks_stored": of(Counter::Chunks),
            "stored_bytes": of(Counter::StoredBytes),
            "problems": counts.problems,
            "notices": counts.notices,
            "seconds": elapsed.as_secs_f64(),
        });
        return Ok(writeln!(std::io::stdout(), "{value}")?);
    }
    if global.quiet {
        return Ok(());
    }
    let unchanged = of(Counter::UnchangedFiles);
    let what = match (&report.backup, dry_run) {
        (Some(name), _) => format!("backup {name}"),
        (None, true) => "dry run".to_owned(),
        (None, false) => "interrupted; what was stored is used by the next run".to_owned(),
    };
    let mut out = term::out();
    writeln!(
        out,
        "{what}: {} ({} unchanged), {}; read {}, stored {} in {}; {:.1} s",
        term::plural(of(Counter::Files), "file", "files"),
        unchanged,
        term::bytes(of(Counter::FileBytes)),
        term::bytes(of(Counter::ReadBytes)),
        term::bytes(of(Counter::StoredBytes)),
        term::plural(of(Counter::Chunks), "chunk", "chunks"),
        elapsed.as_secs_f64()
    )?;
    if counts.problems > 0 {
        writeln!(
            out,
            "{} listed above: these are not in the backup",
            term::plural(counts.problems, "problem", "problems")
        )?;
    }
    Ok(out.flush()?)
}

pub(super) fn suite(cipher: Cipher) -> Suite {
    match cipher {
        Cipher::Auto => Suite::for_this_cpu(),
        Cipher::Aes => Suite::Aes256Gcm,
        Cipher::ChaCha => Suite::ChaCha20Poly1305,
    }
}

fn padding(padding: config::Padding) -> Padding {
    match padding {
        config::Padding::Padme => Padding::Padme,
        config::Padding::Chunk => Padding::Chunk,
        config::Padding::None => Padding::None,
    }
}

pub(super) fn compression(compress: Compress) -> Option<i32> {
    match compress {
        Compress::None => None,
        Compress::Zstd { level } => Some(level),
    }
}

/// Whether two paths lead to the same directory.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|there| (there.dev(), there.ino()));
    identity(one).is_some_and(|identity_of_one| identity(other) == Some(identity_of_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brackup::monitor::{Phase, Problem};
    use brackup::relpath::RelPath;
    use std::sync::atomic::AtomicU64;

    #[derive(Default)]
    struct Expected(AtomicU64);

    impl Monitor for Expected {
        fn count(&self, counter: Counter, by: u64) {
            if counter == Counter::ExpectedBytes {
                self.0.fetch_add(by, Ordering::Relaxed);
            }
        }

        fn at(&self, _: Phase, _: &RelPath) {}

        fn problem(&self, _: Problem) {}
    }

    #[test]
    fn what_the_run_leaves_out_is_not_expected() {
        let tree = tempfile::tempdir().unwrap();
        let target = tree.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("chunk"), [1; 1000]).unwrap();
        std::fs::write(tree.path().join("file"), [1; 10]).unwrap();
        let options = Options {
            root: "tree",
            path: tree.path(),
            target_name: "disk",
            recipients: &[],
            chunk_bytes: 1 << 20,
            piece_bytes: 1 << 16,
            buffers: 3,
            connections: 1,
            suite: Suite::ChaCha20Poly1305,
            padding: Padding::None,
            compression: None,
            ignores: &|_, _| false,
            excluded: &[target],
            one_filesystem: false,
            spool_dir: tree.path(),
            host: b"box",
            dry_run: true,
        };
        let expected = Expected::default();
        count_ahead(&options, &expected, &AtomicBool::new(false));
        assert_eq!(expected.0.into_inner(), 10);
    }
}
