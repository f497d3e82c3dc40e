//! What commands take that go through the backups of years: which stay, what goes, what was.

// Values are texts here, and read where they are used: a parser of clap's for each type would take flash.

use std::path::PathBuf;

use clap::Args;

#[cfg(feature = "original")]
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Names of backups, or ROOT:latest [default: all]
    pub(crate) backup: Vec<String>,
    /// Where they are: a [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    #[arg(long, value_name = "TARGET")]
    pub(crate) from: Option<String>,
    /// The folder to fetch to [default: this one]
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Names of backups, or ROOT:latest, of those that this box has made [default: all that is there, whoever stored it]
    pub(crate) backup: Vec<String>,
    /// Where they are: a [TARGET:x], or filesystem:/path
    #[arg(long, value_name = "TARGET")]
    pub(crate) from_target: String,
    /// Where they are to be too
    #[arg(long, value_name = "TARGET")]
    pub(crate) to_target: String,
    /// Copy backups too whose chunks can't all be copied
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be copied, and store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// A [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    pub(crate) target: Option<String>,
    /// Read every chunk too
    #[arg(long)]
    pub(crate) read: bool,
    /// Mend what can be mended; what is damaged is moved to the quarantine in spool_dir
    #[arg(long)]
    pub(crate) repair: bool,
    /// Fetch good objects from this target (with --repair)
    #[arg(long, value_name = "TARGET")]
    pub(crate) from_target: Option<String>,
    /// Go on although N of the chunks that this box has stored are not there (with --repair)
    #[arg(long, value_name = "N")]
    pub(crate) force: Option<String>,
    /// Forget backups that are gone without a tombstone; what they alone needed is garbage then (with --repair)
    #[arg(long)]
    pub(crate) forget_missing_backups: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// A [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    pub(crate) target: Option<String>,
    /// How long a chunk stays after it was found not to be needed, such as 36h or 0s [default: that of the target, 7d]
    #[arg(long, value_name = "TIME")]
    pub(crate) grace: Option<String>,
    /// Retire chunks of which the newest backups use less than this; 0% for none [default: that of the target, 30% if backups are pruned there]
    #[arg(long, value_name = "SHARE")]
    pub(crate) compact_under: Option<String>,
    /// Bytes that the next backup may store anew for it [default: that of the target, 500MB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) compact_max: Option<String>,
    /// Go on although N of the chunks that this box has stored are not there
    #[arg(long, value_name = "N")]
    pub(crate) force: Option<String>,
    /// Say what would be deleted, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Ask on the terminal before anything is deleted
    #[cfg(feature = "original")]
    #[arg(long)]
    interactive: bool,
}

impl GcArgs {
    /// Whether to ask first.
    pub(crate) fn is_interactive(&self) -> bool {
        #[cfg(feature = "original")]
        return self.interactive && !self.dry_run;
        #[cfg(not(feature = "original"))]
        false
    }
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The source's name, which the names of its backups begin with
    pub(crate) root: String,
    /// Where the backups are: a [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    #[arg(long, value_name = "TARGET")]
    pub(crate) from: Option<String>,
    /// A head that was seen before, as it is shown: NUMBER, or NUMBER:DIGEST. Exit code 3 if it is not in the chain any more
    #[arg(long, value_name = "HEAD")]
    pub(crate) expect_head: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What `brackup rebuild` wrote
    pub(crate) file: PathBuf,
    /// The target that it is of: a [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    pub(crate) target: Option<String>,
    /// A key that this box signed with before it lost it too; may be repeated. Never that of another box: its chunks would be
    /// collected as this one's
    #[arg(long, value_name = "BOX")]
    pub(crate) signer: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Name of the backup, or ROOT:latest. A pin holds at every target
    pub(crate) backup: String,
    /// Where the backup is: a [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    #[arg(long, value_name = "TARGET")]
    pub(crate) from: Option<String>,
}

/// Rules; each stands in for the same one of the configuration, whose others hold too. What any rule keeps stays.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// Keep the newest N backups of each source
    #[arg(long, value_name = "N", alias = "keep-backups")]
    pub(crate) keep_last: Option<String>,
    /// Keep the newest backup of each of the N last days that have one
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<String>,
    /// The same for weeks, from Monday
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<String>,
    /// The same for months
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<String>,
    /// The same for years
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<String>,
    /// Keep all backups that are at most so much older than the newest, such as 2y5m7d3h
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_within: Option<String>,
    /// Keep fewer the older they are, AGE:GAP in days, such as 7:2,14:4,31:delete
    #[arg(long, value_name = "BANDS")]
    pub(crate) thinning: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// A [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    pub(crate) target: Option<String>,
    /// Only backups of this source
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Say of each backup whether it stays and why, and remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Remove this backup and no other, whatever the rules say
    #[cfg(feature = "original")]
    #[arg(long, value_name = "BACKUP")]
    backup: Option<String>,
    /// Ask on the terminal before each backup that is to go
    #[cfg(feature = "original")]
    #[arg(long)]
    interactive: bool,
}

impl PruneArgs {
    /// The one backup that is to go.
    pub(crate) fn backup(&self) -> Option<&str> {
        #[cfg(feature = "original")]
        return self.backup.as_deref();
        #[cfg(not(feature = "original"))]
        None
    }

    /// Whether to ask first.
    pub(crate) fn is_interactive(&self) -> bool {
        #[cfg(feature = "original")]
        return self.interactive && !self.dry_run;
        #[cfg(not(feature = "original"))]
        false
    }
}

#[cfg(feature = "rebuild")]
#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// A [TARGET:x], or filesystem:/path [default: the only target of the configuration]
    pub(crate) target: Option<String>,
    /// Secret key file; may be repeated [default: $BRACKUP_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Where to write the inventory; nothing is overwritten [default: brackup-inventory-ID.db here]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
