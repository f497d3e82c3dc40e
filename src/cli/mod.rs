//! The command line: structure and help texts, no logic.

mod backup;
mod kinds;
#[cfg(feature = "original")]
pub(crate) mod original;
mod serve;
mod years;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use backup::{BackupArgs, Beside};
pub(crate) use kinds::{AlertCommand, ConfigCommand, HostCommand, KeyCommand, TargetCommand};
pub(crate) use serve::ServeArgs;
#[cfg(feature = "original")]
pub(crate) use years::FetchArgs;
#[cfg(feature = "rebuild")]
pub(crate) use years::RebuildArgs;
pub(crate) use years::{CopyArgs, FsckArgs, GcArgs, HistoryArgs, ImportArgs, KeepArgs, PinArgs, PruneArgs};

/// Encrypted, over-the-net, multi-versioned backup.
///
/// `brackup --from=SOURCE --to=TARGET` makes a backup of a source of the configuration. To begin with nothing
/// set up: `brackup quickstart DIR`.
#[derive(Debug, Parser)]
#[command(name = "brackup", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done with problems, 10 no such target, \
                        11 locked by another run, 12 wrong key, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) backup: BackupArgs,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct Global {
    /// Configuration file [default: $BRACKUP_CONF, ~/.brackup.conf, /etc/brackup/brackup.conf]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Results as JSON on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Progress on stderr: a bar on a terminal, else lines now and then
    #[arg(long, global = true, value_enum, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressKind,
    /// Say more; twice for what developers want to know
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors and problems
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Set by the first signal.
    #[arg(skip)]
    pub(crate) stop: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar on a terminal, lines elsewhere
    Auto,
    /// JSON lines
    Json,
    /// None
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try an alert
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Make a backup (the same as without the word)
    Backup(BackupArgs),
    /// Measure how fast this box is, and estimate what a first backup takes
    #[cfg(feature = "bench")]
    Bench(BenchArgs),
    /// Print one file of a backup
    Cat(CatArgs),
    /// Print the completion script of a shell
    #[cfg(feature = "manual")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Copy backups from one target to another, as they are: no key is needed
    Copy(CopyArgs),
    /// Compare two backups
    Diff(DiffArgs),
    /// Fetch metafiles, sealed as they are, to a folder
    #[cfg(feature = "original")]
    Fetch(FetchArgs),
    /// Find a file in all backups
    Find(FindArgs),
    /// Hold what this box remembers against what is at a target, say what does not agree, and mend it with --repair
    Fsck(FsckArgs),
    /// Delete the chunks that no backup needs any more
    Gc(GcArgs),
    /// Show the chain of signatures of a source's backups, with what was removed and what is missing
    History(HistoryArgs),
    /// Let other hosts store their backups here
    #[command(subcommand)]
    Host(HostCommand),
    /// Take in what rebuild wrote, at the box that has lost its memory
    Import(ImportArgs),
    /// Look at keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make a key pair
    Keygen(KeygenArgs),
    /// List the backups on a target
    List {
        /// A [TARGET:x], or filesystem:/path
        target: Option<String>,
    },
    /// List what is in a backup
    Ls(LsArgs),
    /// Print the manual page
    #[cfg(feature = "manual")]
    Man,
    /// Show the backups of a target as folders, until it is unmounted or ended
    #[cfg(feature = "mount")]
    Mount(MountArgs),
    /// Keep a backup whatever the rules of prune say
    Pin(PinArgs),
    /// Remove the backups that no rule keeps, as keep_daily and the like in the configuration say; their space is given back by gc
    Prune(PruneArgs),
    /// Begin with nothing set up: make keys, a configuration and a first backup of DIR
    Quickstart(QuickstartArgs),
    /// Write down what a box that has lost its memory needs to know, where the secret key is
    #[cfg(feature = "rebuild")]
    Rebuild(RebuildArgs),
    /// Restore a backup, or parts of it
    Restore(RestoreArgs),
    /// Restore some files of the newest backups, and compare them with those on the disk; nothing is left of them
    #[cfg(feature = "restore-test")]
    RestoreTest(RestoreTestArgs),
    /// Run the jobs of the configuration every day, and let other hosts store here, in the foreground
    Serve(ServeArgs),
    /// Tell whether the data is safe: last backups, what goes on, what went wrong
    Status,
    /// Look at a target
    #[command(subcommand)]
    Target(TargetCommand),
    /// Take away the pin of a backup
    Unpin(PinArgs),
    /// Check that what is stored is whole, without a key or with one
    Verify(VerifyArgs),
}

/// What every command that opens a backup needs.
#[derive(Debug, Args, Clone)]
pub(crate) struct OpenArgs {
    /// Where the backup is: a [TARGET:x], or filesystem:/path; may be repeated: what one lacks is taken from the next [default: the only
    /// target of the configuration]
    #[arg(long, value_name = "TARGET")]
    pub(crate) from: Vec<String>,
    /// Secret key file; may be repeated [default: $BRACKUP_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Go on without a good signature
    #[arg(long)]
    pub(crate) accept_unsigned: bool,
}

#[cfg(feature = "bench")]
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The [SOURCE:x] to walk and to read some files of; nothing of it is changed
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: Option<String>,
    /// The [TARGET:x] to write to, or filesystem:/path; what is written is removed again
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// About how long each step is measured
    #[arg(long, value_name = "N", default_value = "2", value_parser = crate::cmd::bench::seconds)]
    pub(crate) seconds: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// Name of the backup, or ROOT:latest
    pub(crate) backup: String,
    /// The file
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older backup
    pub(crate) before: String,
    /// The newer one
    pub(crate) after: String,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    /// A name, path or glob, such as '*.jpg'
    pub(crate) pattern: PathBuf,
    /// Only in backups of this root
    #[arg(long)]
    pub(crate) root: Option<String>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Where to write the secret key; it is never overwritten [default: brackup-secret-KEYID.key here]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Lock the secret key with a passphrase ($BRACKUP_PASSPHRASE, or asked)
    #[arg(long)]
    pub(crate) passphrase: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Name of the backup, or ROOT:latest
    pub(crate) backup: String,
    /// Only these paths or globs
    pub(crate) path: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[cfg(feature = "mount")]
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// A [TARGET:x], or filesystem:/path
    pub(crate) target: String,
    /// The directory to mount at
    pub(crate) at: PathBuf,
    /// Secret key file; may be repeated [default: $BRACKUP_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Go on without a good signature
    #[arg(long)]
    pub(crate) accept_unsigned: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {
    /// What to back up
    pub(crate) dir: PathBuf,
    /// The folder to back up to, best on another disk [default: ~/brackup-backups]
    #[arg(long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Name of the backup, with or without .meta, or ROOT:latest
    pub(crate) backup: String,
    /// Only these paths or globs; a directory brings what is below it
    pub(crate) path: Vec<PathBuf>,
    /// The folder to restore to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// The newest backup of a root up to a day, such as 2026-11-23; BACKUP is then the root
    #[arg(long, value_name = "DATE")]
    pub(crate) as_of: Option<String>,
    /// What to do with files that are there: abort, skip, overwrite, update (overwrite if the backup's is newer), identical
    /// (overwrite if contents differ)
    #[arg(long, value_name = "RULE", default_value = "abort", value_parser = ["abort", "skip", "overwrite", "update", "identical"])]
    pub(crate) conflict: String,
    /// What to do when something can't be restored: continue with all else, or abort [default: continue]
    #[cfg(feature = "original")]
    #[arg(long, value_name = "HOW")]
    pub(crate) on_error: Option<String>,
    /// Owners by number, not by name
    #[arg(long)]
    pub(crate) numeric_ids: bool,
    /// Say what would be restored and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[cfg(feature = "restore-test")]
#[derive(Debug, Args)]
pub(crate) struct RestoreTestArgs {
    /// Only of this source [default: of each that has backups there]
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// How many files of each source [default: 20]
    #[arg(long, value_name = "N")]
    pub(crate) files: Option<String>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A [TARGET:x], or filesystem:/path
    pub(crate) target: Option<String>,
    /// Secret key file: open everything and compare every file's digest; may be repeated [default: $BRACKUP_KEY; without any key
    /// names, signatures and presence are checked]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Check without a key although $BRACKUP_KEY is set
    #[arg(long, conflicts_with = "key")]
    pub(crate) no_key: bool,
    /// Only this backup (with a key), or ROOT:latest; may be repeated
    #[arg(long, value_name = "BACKUP")]
    pub(crate) backup: Vec<String>,
    /// Read only such a part of the chunks, those that were not looked at for longest, such as 5% (without a key)
    #[arg(long, value_name = "SHARE")]
    pub(crate) sample: Option<String>,
    /// Read only chunks that were not looked at for so long, such as 30d (without a key)
    #[arg(long, value_name = "TIME")]
    pub(crate) older_than: Option<String>,
    /// Go on without a good signature
    #[arg(long)]
    pub(crate) accept_unsigned: bool,
    /// Compare the SHA-1 of each chunk below a folder with its name, and look at nothing else: for the box that has the disk
    #[cfg(feature = "original")]
    #[arg(long, value_name = "DIR")]
    pub(crate) chunks: Option<PathBuf>,
}

// What a build without the feature does not take is never given, and what is done for it is left out with it.

impl RestoreArgs {
    /// What to do when something can't be restored.
    pub(crate) fn on_error(&self) -> Option<&str> {
        #[cfg(feature = "original")]
        return self.on_error.as_deref();
        #[cfg(not(feature = "original"))]
        None
    }
}

impl VerifyArgs {
    /// A folder whose chunks are all that is looked at.
    pub(crate) fn chunks(&self) -> Option<&Path> {
        #[cfg(feature = "original")]
        return self.chunks.as_deref();
        #[cfg(not(feature = "original"))]
        None
    }
}
