//! What a backup leaves here beside itself: a copy of its metafile, what it said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use brackup::date::Utc;
use brackup::outcome::Outcome;
use brackup::target::{BackupName, ObjectName};
use serde_json::Value;

use super::metafile::{self, Temporary};
use super::provider::NamedTarget;
use crate::cli::BackupArgs;
use crate::term::{self, Failure};

/// The files that are asked for.
pub(crate) struct Copies {
    metafile: Option<PathBuf>,
    stats: Option<PathBuf>,
}

impl Copies {
    /// Looked at before a backup that may take hours: their folders are there.
    pub(crate) fn asked(args: &BackupArgs) -> Result<Self, Failure> {
        let none = Self { metafile: None, stats: None };
        let Some(beside) = args.beside() else { return Ok(none) };
        let usual = || {
            let from = args.from.as_deref().unwrap_or_default();
            let to = args.to.first().map(|to| to.replace(['/', ':'], "_")).unwrap_or_default();
            PathBuf::from(format!("{from}-{to}-{}.stats", Utc::now().yyyymmdd()))
        };
        let stats = beside.save_stats.clone().map(|file| file.unwrap_or_else(usual));
        let copies = Self { metafile: beside.output.as_deref().map(at_home), stats: stats.as_deref().map(at_home) };
        if args.to.len() > 1 && (copies.metafile.is_some() || copies.stats.is_some()) {
            return Err(Failure::usage("--output and --save-stats are for a backup to one target")
                .hint("`brackup fetch` copies metafiles afterwards, and --json prints what would be saved"));
        }
        for (option, file) in [("--output", &copies.metafile), ("--save-stats", &copies.stats)] {
            let Some(file) = file else { continue };
            let folder =
                file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            if file.file_name().is_none() || !folder.is_dir() || file.is_dir() {
                return Err(Failure::usage(format!("{option} is {}, which can't be made a file", file.display()))
                    .hint("name a file in a folder that is there"));
            }
        }
        Ok(copies)
    }

    /// Writes them, of a backup that is over.
    pub(crate) fn write(
        &self,
        said: &Value,
        backup: Option<&BackupName>,
        target: &NamedTarget,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        if let (Some(path), Some(backup)) = (&self.metafile, backup) {
            self.copy(path, backup, target, stop).map_err(|failure| Failure {
                message: format!("{backup} is stored, and its metafile was not copied: {}", failure.message),
                hint: Some(format!("`brackup fetch {backup}` tries again")),
                ..failure
            })?;
        }
        if let Some(path) = &self.stats {
            let mut temporary = Temporary::beside(path)?;
            let written = writeln!(temporary.file, "{said}");
            written
                .map_err(|error| Failure::new(Outcome::Failed, format!("can't write {}: {error}", path.display())))?;
            told(path, &temporary.place_somewhere(path)?);
        }
        Ok(())
    }

    fn copy(&self, path: &Path, backup: &BackupName, target: &NamedTarget, stop: &AtomicBool) -> Result<(), Failure> {
        let mut temporary = Temporary::beside(path)?;
        let length = target.target.stat(&ObjectName::Metafile(backup.clone()))?;
        let gone = || Failure::new(Outcome::Failed, "it is not there any more");
        metafile::copy(&*target.target, backup, length.ok_or_else(gone)?, &mut temporary.file, stop)?;
        told(path, &temporary.place_somewhere(path)?);
        Ok(())
    }
}

/// It has another name than was asked for if that was taken.
fn told(asked: &Path, written: &Path) {
    if asked != written {
        term::note(&format!("{} is there already: written to {}", asked.display(), written.display()));
    }
}

/// No shell replaces `~` behind `=`.
fn at_home(path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}
