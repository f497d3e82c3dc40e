//! `brackup --from=SOURCE --du-stats`: how much there is to back up, by directory, as du(1) says it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use brackup::entry::Kind;
use brackup::fsutil;
use brackup::monitor::Tally;
use brackup::outcome::Outcome;
use brackup::relpath::RelPath;
use brackup::source::{Walk, WalkOptions};

use super::open;
use crate::cli::{BackupArgs, Global};
use crate::progress::Progress;
use crate::term::{self, Failure};

/// Walks a source as a backup does, without what that would leave out, and reads nothing.
pub(crate) fn run(args: &BackupArgs, global: &Global, stop: &AtomicBool) -> Result<Outcome, Failure> {
    let Some(from) = &args.from else {
        return Err(Failure::usage("the sizes of which source?").hint("name it: `brackup --from=SOURCE --du-stats`"));
    };
    let config = open::config(global)?;
    let source = config.source(from)?;
    let own = &config.own;
    let mut left_out = vec![own.state_dir.clone(), own.spool_dir.clone()];
    for to in &args.to {
        left_out.extend(open::target(Some(to), global)?.folder);
    }
    let excluded: Vec<_> = left_out.iter().filter_map(|path| fsutil::identity(path)).collect();
    let ignores = |path: &[u8], is_directory: bool| source.ignore.ignores(path, is_directory);
    let spool = open::spool(Some(own));
    let options =
        WalkOptions { ignores: &ignores, excluded: &excluded, one_filesystem: source.one_filesystem, spool: &spool };
    let progress = Progress::new(global);
    let tally = Tally::new(&progress);
    let mut sizes = Sizes { out: term::out(), above: Vec::new(), json: global.json };
    if source.path.is_dir() {
        let with_files = std::env::var_os("BRACKUP_DU_ALL").is_some_and(|all| !all.is_empty() && all != "0");
        let failed = |error: brackup::source::Error| Failure::of(Outcome::Failed, &error, None);
        let mut walk = Walk::open(&source.path, options).map_err(failed)?;
        while let Some(met) = walk.next(&tally).map_err(failed)? {
            if stop.load(Ordering::Relaxed) {
                progress.finish();
                return Ok(Outcome::Interrupted);
            }
            sizes.leave(|above| !met.path.is_within(above.as_bytes()))?;
            match met.stat.kind {
                Kind::Directory => sizes.above.push((met.path, 0)),
                Kind::File => {
                    let kib = met.stat.size.div_ceil(1024);
                    if with_files {
                        sizes.line(&met.path, kib)?;
                    }
                    sizes.add(kib);
                }
                _ => {}
            }
        }
    } else {
        let image = File::open(&source.path).and_then(|mut image| image.seek(SeekFrom::End(0)));
        let cannot = |error| Failure::new(Outcome::Failed, format!("can't read {}: {error}", source.path.display()));
        sizes.above.push((RelPath::root(), image.map_err(cannot)?.div_ceil(1024)));
    }
    sizes.leave(|_| true)?;
    sizes.out.flush()?;
    progress.finish();
    Ok(Outcome::of_problems(tally.sums().problems))
}

/// The directories that the walk is in, and how much of each was met.
struct Sizes<W> {
    out: W,
    above: Vec<(RelPath, u64)>,
    json: bool,
}

impl<W: Write> Sizes<W> {
    fn add(&mut self, kib: u64) {
        if let Some((_, sum)) = self.above.last_mut() {
            *sum += kib;
        }
    }

    /// Prints the directories that the walk has left.
    fn leave(&mut self, is_left: impl Fn(&RelPath) -> bool) -> Result<(), Failure> {
        while let Some((path, kib)) = self.above.pop_if(|(path, _)| is_left(path)) {
            self.line(&path, kib)?;
            self.add(kib);
        }
        Ok(())
    }

    fn line(&mut self, path: &RelPath, kib: u64) -> Result<(), Failure> {
        let path = if path.is_root() { ".".to_owned() } else { path.escaped() };
        if self.json {
            return Ok(writeln!(self.out, "{}", serde_json::json!({ "path": path, "kib": kib }))?);
        }
        Ok(writeln!(self.out, "{kib:<20}{path}")?)
    }
}
