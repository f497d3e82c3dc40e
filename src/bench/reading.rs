//! The source: how many entries a second the walk finds, and how fast a sample of the files is read, from the disk and not from memory.
//!
//! The sample is taken along the walk: the time that reading may take is spread evenly over the files, so that it is not only the
//! first folder that is looked at.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Error;
use super::cpu::Bench;
use super::measured::{Measured, What};
use crate::chunk::Compressor;
use crate::digest::Sha1Hasher;
use crate::entry::Kind;
use crate::monitor::{Quiet, Tally};
use crate::source::{self, Contents, Met, Span, Walk, WalkOptions};

/// The walk that finds out how much there is ends then.
const WALK_TIME_MAX: Duration = Duration::from_secs(10);
/// Up to this size it is opening that takes the time.
pub(super) const SMALL_BYTES: u64 = 128 * 1024;

/// What there is in a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Entries of all kinds.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Of these, small files.
    pub small_files: u64,
    /// The sum of the sizes of small files.
    pub small_bytes: u64,
    /// The walk came to its end.
    pub whole: bool,
}

/// Walks the tree for a while, and counts.
pub(super) fn walk(
    path: &Path,
    options: WalkOptions<'_>,
    stop: &AtomicBool,
) -> Result<(Totals, Option<Measured>), Error> {
    let mut totals = Totals::default();
    if is_image(path) {
        let (_, bytes) = open_image(path)?;
        return Ok((Totals { entries: 1, files: 1, bytes, whole: true, ..totals }, None));
    }
    let (quiet, mut measured) = (Quiet::default(), Measured::new(What::Walk));
    let tally = Tally::new(&quiet);
    let mut walk = measured.time(|| Walk::open(path, options))?;
    while measured.wall < WALK_TIME_MAX && !stop.load(Ordering::Relaxed) {
        let Some(met) = measured.time(|| walk.next(&tally))? else {
            totals.whole = true;
            break;
        };
        measured.count += 1;
        totals.take(&met);
    }
    Ok((totals, Some(measured)))
}

/// Reads a sample of the files, digests it and compresses it, each timed by itself.
pub(super) fn read(
    path: &Path,
    options: WalkOptions<'_>,
    totals: &Totals,
    bench: &Bench<'_>,
) -> Result<Vec<Measured>, Error> {
    let mut sample = Sample {
        small: Measured::new(What::ReadSmall),
        large: Measured::new(What::Read),
        compress: Measured::new(What::Compress),
        compressor: bench.compressor()?,
        digested: Measured::new(What::Sha1),
        piece: vec![0; bench.piece.len()],
        bench,
    };
    if is_image(path) {
        let (mut contents, bytes) = open_image(path)?;
        contents.drop_whole_cache();
        let _ = sample.contents(&mut contents, bytes, false, bench.time)?;
        return Ok(sample.finish());
    }
    let quiet = Quiet::default();
    let tally = Tally::new(&quiet);
    let mut walk = Walk::open(path, options)?;
    let mut files = 0;
    while files < totals.files && bench.goes_on(sample.spent()) {
        let Some(mut met) = walk.next(&tally)? else { break };
        if met.stat.kind == Kind::File {
            files += 1;
            // The share of the time that all files up to this one have.
            let share = bench.time.mul_f64(files as f64 / totals.files as f64);
            if sample.spent() < share {
                // One that can't be read is not in the sample.
                let _ = sample.file(&mut met, share)?;
            }
        }
    }
    Ok(sample.finish())
}

impl Totals {
    fn take(&mut self, met: &Met) {
        self.entries += 1;
        if met.stat.kind == Kind::File {
            self.files += 1;
            self.bytes += met.stat.size;
            if met.stat.size <= SMALL_BYTES {
                self.small_files += 1;
                self.small_bytes += met.stat.size;
            }
        }
    }
}

/// Files that are read.
struct Sample<'a> {
    small: Measured,
    large: Measured,
    compress: Measured,
    compressor: Option<Compressor>,
    /// Time that is not reading and not compressing.
    digested: Measured,
    piece: Vec<u8>,
    bench: &'a Bench<'a>,
}

impl Sample<'_> {
    fn spent(&self) -> Duration {
        self.small.wall + self.large.wall + self.compress.wall + self.digested.wall
    }

    /// Reads a file until its end or until so much time is spent. The inner error is the file's own.
    fn file(&mut self, met: &mut Met, until: Duration) -> Result<std::io::Result<()>, Error> {
        let is_small = met.stat.size <= SMALL_BYTES;
        let size = met.stat.size;
        let mut contents = match self.reading(is_small).time(|| met.open()) {
            Ok(contents) => contents,
            Err(error) => return Ok(Err(error)),
        };
        contents.drop_whole_cache();
        let attributes = self.reading(is_small).time(|| met.xattrs(Some(&contents)));
        if let Err(error) = self.contents(&mut contents, size, is_small, until)? {
            return Ok(Err(error));
        }
        let looked = self.reading(is_small).time(|| contents.stat());
        if is_small {
            self.small.count += 1;
        }
        contents.drop_whole_cache();
        self.reading(is_small).time(|| drop(contents));
        Ok(attributes.map_err(std::io::Error::other).and_then(|_| looked.map(drop)))
    }

    fn contents(
        &mut self,
        contents: &mut Contents,
        size: u64,
        is_small: bool,
        until: Duration,
    ) -> Result<std::io::Result<()>, Error> {
        let mut taken = 0;
        let mut sha1 = Sha1Hasher::default();
        while taken < size && (taken == 0 || self.spent() < until) && !self.bench.is_stopped() {
            let mut piece = std::mem::take(&mut self.piece);
            let want = usize::try_from(size - taken).unwrap_or(usize::MAX).min(piece.len());
            let read = self.reading(is_small).time(|| contents.read(&mut piece[..want]));
            let length = match read {
                Ok(Span::Data(length)) => length,
                Ok(Span::Hole(length)) => {
                    taken += length;
                    self.piece = piece;
                    continue;
                }
                Err(error) => return Ok(Err(error)),
            };
            self.take(&mut piece[..length], is_small, &mut sha1)?;
            self.piece = piece;
            self.reading(is_small).time(|| contents.drop_cache());
            taken += length as u64;
            if length == 0 {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// A piece that was read: digested and compressed, so that the disk meanwhile does what it does in a backup.
    fn take(&mut self, piece: &mut [u8], is_small: bool, sha1: &mut Sha1Hasher) -> Result<(), Error> {
        let reading = self.reading(is_small);
        reading.bytes += piece.len() as u64;
        if !is_small {
            reading.count += piece.len() as u64;
        }
        self.digested.time(|| {
            sha1.update(piece);
            std::hint::black_box(self.bench.piece_key.digest(piece));
        });
        if let Some(compressor) = &mut self.compressor {
            let left = self.compress.time(|| compressor.compress(piece)).map_err(Error::Compression)?;
            self.compress.add_bytes(piece.len());
            self.compress.left += left.unwrap_or(piece.len()) as u64;
        }
        Ok(())
    }

    fn reading(&mut self, is_small: bool) -> &mut Measured {
        if is_small { &mut self.small } else { &mut self.large }
    }

    fn finish(self) -> Vec<Measured> {
        vec![self.small, self.large, self.compress]
    }
}

fn is_image(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.is_file() || there.file_type().is_block_device())
}

fn open_image(path: &Path) -> Result<(Contents, u64), Error> {
    Contents::open_image(path).map_err(|source| source::Error { path: path.into(), source }.into())
}
