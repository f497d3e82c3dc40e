//! The line forward: walk → stat cache → read → digest → known? → compress → pack → seal → name → store → record → metafile last.
//!
//! [`run`] reads like that. Three threads: this one reads and decides, one seals, some store; between them
//! go a few fixed buffers, so that memory does not depend on the size of anything (I8).

mod draft;
mod error;
mod forgotten;
mod intake;
mod line;
mod presence;
mod publish;

pub use error::Error;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::SystemTime;

use crate::catalog;
use crate::db::{ChainHead, Db};
use crate::fsutil;
use crate::monitor::{Counts, Tally};
use crate::seal::{BoxKey, Recipient, Suite};
use crate::source::{self, Contents, Walk, WalkAhead, WalkOptions};
use crate::target::{BackupName, ErrorKind, Target};

use draft::Draft;
use intake::Intake;
use line::Line;
use publish::Publication;

/// How the last chunk of a run, and the metafile, are padded inside the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// To the full chunk size.
    Chunk,
    /// Not at all: sizes tell.
    None,
    /// To a Padmé length: at most 12 % more.
    Padme,
}

/// What is backed up, and how.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Options<'a> {
    /// Name of the source: the root of the backups' names.
    pub root: &'a str,
    /// The tree, or a block device.
    pub path: &'a Path,
    /// Name of the target in the configuration, by which its id is remembered.
    pub target_name: &'a str,
    /// The id that it must have where the database does not know; nothing: any will do.
    pub target_id: Option<&'a str>,
    /// The id of the target under which what is known of the source is kept; nothing: of this one. Of several that are backed up to together
    /// it is one, so that another can go on in its place.
    pub known_under: Option<&'a str>,
    /// A backup of this chain that may be at another target: if it is newer than what is here, this one follows it.
    pub above: Option<&'a ChainHead>,
    /// Sealed to these.
    pub recipients: &'a [Recipient],
    /// Payload of a chunk.
    pub chunk_bytes: u64,
    /// Of a piece and of each buffer.
    pub piece_bytes: usize,
    /// How many buffers there are.
    pub buffers: usize,
    /// Stages in flight.
    pub connections: usize,
    /// Which AEAD.
    pub suite: Suite,
    /// How the end of a run is padded.
    pub padding: Padding,
    /// zstd level, or no compression.
    pub compression: Option<i32>,
    /// Whether the tags of MP3 files are cut from the audio.
    pub smart_mp3: bool,
    /// Whether a path (with its being a directory) is left out.
    pub ignores: &'a (dyn Fn(&[u8], bool) -> bool + Sync),
    /// Directories to leave out, by path: where this box keeps its backups and its state.
    pub excluded: &'a [PathBuf],
    /// Whether to stay on the root's file system.
    pub one_filesystem: bool,
    /// For drafts and names that spill; on a disk, not on flash.
    pub spool_dir: &'a Path,
    /// The box's host name.
    pub host: &'a [u8],
    /// Store nothing, remember nothing.
    pub dry_run: bool,
}

impl Options<'_> {
    /// Device and inode of the directories to leave out; one that is not there needs no leaving out.
    pub fn excluded_directories(&self) -> Vec<(u64, u64)> {
        self.excluded.iter().filter_map(|path| fsutil::identity(path)).collect()
    }

    /// How the tree is walked, without these directories.
    pub fn walk<'a>(&'a self, excluded: &'a [(u64, u64)]) -> WalkOptions<'a> {
        WalkOptions { ignores: self.ignores, excluded, one_filesystem: self.one_filesystem, spool: self.spool_dir }
    }
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Report {
    /// The backup's name; nothing if it was a dry run or was interrupted.
    pub backup: Option<BackupName>,
    /// Sums.
    pub counts: Counts,
    /// It was ended from outside. What was stored is used by the next run.
    pub interrupted: bool,
}

/// Backs up one source to one target. `stop` ends it cleanly.
pub fn run(
    options: &Options<'_>,
    target: &dyn Target,
    db: &Db,
    box_key: &BoxKey,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let started = SystemTime::now();
    let known = db.target_identity(options.target_name)?;
    let identity = target.identify(known.as_deref().or(options.target_id))?;
    db.begin_run()?;
    db.remember_target(options.target_name, &identity)?;
    catalog::settle::<Error>(target, db, &identity)?;
    presence::check(target, db, &identity, tally)?;
    let puts = Arc::new(db.puts(&identity)?);
    presence::adopt(target, db, &identity, &puts)?;
    forgotten::tell(options, target, db, &identity, &box_key.public(), tally)?;
    // A night as any other costs nothing here.
    if !options.dry_run && !puts.left().is_empty() {
        db.commit()?;
        puts.end().map_err(Error::State)?;
    }
    let mut draft = Draft::create(options.spool_dir).map_err(|error| spool(options, error))?;

    let excluded = options.excluded_directories();
    let stored = std::thread::scope(|scope| {
        let line = Line::start(scope, options, target, &puts)?;
        let mut intake = Intake::open(options, db, &identity, box_key, line, &mut draft, tally, stop)?;
        let walked = take_in(scope, &mut intake, options, &excluded, db, tally, stop);
        intake.finish(walked)
    });
    match stored {
        // In the middle of a transfer: as if the walk had ended there.
        Err(Error::Target(error)) if error.kind == ErrorKind::Stopped && stop.load(Ordering::Relaxed) => {}
        stored => stored?,
    }

    let interrupted = stop.load(Ordering::Relaxed);
    let report = |backup| Report { backup, counts: tally.sums(), interrupted };
    if options.dry_run {
        db.abandon_run()?;
        return Ok(report(None));
    }
    db.commit()?;
    puts.end().map_err(Error::State)?;
    if interrupted {
        db.end_run()?;
        return Ok(report(None));
    }
    let signer = box_key.public();
    let remembered = db.chain_head(&identity, options.root, &signer.to_string())?;
    let chain = catalog::chain_head(target, remembered, options.root, &signer)?;
    let chain = options.above.cloned().into_iter().chain(chain).max_by_key(|head| head.sequence);
    let publication = Publication { options, target, db, identity: &identity, box_key, chain, started, tally };
    let backup = publication.publish(draft)?;
    db.end_run()?;
    Ok(report(Some(backup)))
}

/// Takes in the image, or entry by entry the tree.
fn take_in<'s, 'e: 's>(
    scope: &'s Scope<'s, 'e>,
    intake: &mut Intake<'_>,
    options: &'e Options<'e>,
    excluded: &'e [(u64, u64)],
    db: &Db,
    tally: &'e Tally<'e>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    if is_image(options.path) {
        let (contents, length) = Contents::open_image(options.path).map_err(|error| unreadable(options, error))?;
        return intake.image(contents, length);
    }
    let walk = Walk::open(options.path, options.walk(excluded))?;
    let (is_first, is_known) = (intake.is_first()?, intake.is_known()?);
    let mut walk = WalkAhead::start(scope, walk, tally, is_first).map_err(Error::Thread)?;
    let mut entries = 0;
    while let Some(mut met) = walk.next()? {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        intake.entry(&mut met)?;
        entries += 1;
    }
    // Night after night, for as long as there is a backup of something.
    let was_full = || Ok::<_, Error>(is_known || db.has_been_full(options.root)?);
    if entries <= 1 && !stop.load(Ordering::Relaxed) && was_full()? {
        tally.problem(".", "there is nothing in it, and there was something before: is it mounted?");
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device() || metadata.is_file())
}

fn spool(options: &Options<'_>, error: std::io::Error) -> Error {
    Error::Spool(options.spool_dir.into(), error)
}

fn unreadable(options: &Options<'_>, source: std::io::Error) -> Error {
    Error::Source(source::Error { path: options.path.into(), source })
}
