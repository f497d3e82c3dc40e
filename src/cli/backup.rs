//! What a backup takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args, Clone)]
pub(crate) struct BackupArgs {
    /// The [SOURCE:x] to back up
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: Option<String>,
    /// The [TARGET:x] to back up to, or filesystem:/path; may be repeated: read and sealed once, stored to each
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Vec<String>,
    /// Read everything and store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[cfg(feature = "original")]
    #[command(flatten)]
    beside: Beside,
}

/// What is done beside a backup, or in place of one.
#[derive(Debug, Default, Args, Clone)]
pub(crate) struct Beside {
    /// Also write the metafile, sealed as it is, to a file here; never over one that is there: FILE.1, FILE.2 and so on
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Also write what --json says to a file, never over one that is there [default name: SOURCE-TARGET-YYYYMMDD.stats here]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) save_stats: Option<Option<PathBuf>>,
    /// Back up nothing; print how much lies below each directory that would be, in KiB ($BRACKUP_DU_ALL: below each file too)
    #[arg(long)]
    pub(crate) du_stats: bool,
    /// Print the names of the sources of the configuration
    #[arg(long)]
    pub(crate) list_sources: bool,
    /// Print the names of the targets of the configuration
    #[arg(long)]
    pub(crate) list_targets: bool,
}

impl BackupArgs {
    /// What else is to be done; nothing where the program is built without that.
    pub(crate) fn beside(&self) -> Option<&Beside> {
        #[cfg(feature = "original")]
        return Some(&self.beside);
        #[cfg(not(feature = "original"))]
        None
    }

    /// Whether anything is said of a backup.
    pub(crate) fn is_any(&self) -> bool {
        self.from.is_some() || !self.to.is_empty() || self.dry_run || self.beside().is_some_and(Beside::is_any)
    }
}

impl Beside {
    fn is_any(&self) -> bool {
        self.output.is_some() || self.save_stats.is_some() || self.du_stats || self.list_sources || self.list_targets
    }
}
