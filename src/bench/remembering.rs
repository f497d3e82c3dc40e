//! What a new file costs in the local database: a row of the stat cache, and a piece that is looked up and inserted.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::Error;
use super::measured::{Measured, What};
use crate::blob::{ChunkNo, Codec, Item};
use crate::db::{Blobs, Db, StatCache};
use crate::digest::{PieceKey, Sha1};
use crate::entry::{Entry, Stat, push_items};

/// So many rows are some megabytes of disk.
const ROWS_MAX: u64 = 20_000;
/// Files between two looks at the clock.
const ROWS_A_TURN: u64 = 100;

/// Fills a database of its own, and removes it.
pub(super) fn rows(spool_dir: &Path, time: Duration, stop: &AtomicBool) -> Result<Measured, Error> {
    let folder = Folder::create(spool_dir).map_err(|error| Error::Spool(spool_dir.into(), error))?;
    let db = Db::open(&folder.0)?;
    db.begin_run()?;
    let source = db.source("bench", "bench", &[0; 16])?;
    let (mut cache, mut blobs) = (StatCache::open(&db, source), Blobs::open(&db)?);
    let key = PieceKey::derive(&[0; 32], "bench", &[]);
    let mut measured = Measured::new(What::Remember);
    while measured.count < ROWS_MAX && measured.wall < time && !stop.load(Ordering::Relaxed) {
        let first = measured.count;
        measured
            .time(|| (first..first + ROWS_A_TURN).try_for_each(|number| row(number, &key, &mut cache, &mut blobs)))?;
        measured.count += ROWS_A_TURN;
    }
    measured.time(|| {
        cache.flush()?;
        blobs.finish()?;
        db.commit()
    })?;
    drop(cache);
    Ok(measured)
}

fn row(number: u64, key: &PieceKey, cache: &mut StatCache<'_>, blobs: &mut Blobs<'_>) -> Result<(), crate::db::Error> {
    let path = format!("some/folder\0{number:020}");
    cache.look_up(path.as_bytes())?;
    let digest = key.digest(&number.to_le_bytes());
    let extent = Item::Extent { chunk: ChunkNo(1), offset: number * 100, length: 100, codec: Codec::Raw };
    if blobs.look_up(&digest)?.is_none() {
        let mut items = Vec::with_capacity(32);
        push_items(&[extent], &mut items);
        blobs.insert(&digest, &items)?;
    }
    let mut entry = Entry::new(Stat { size: 100, inode: number, ..Stat::default() });
    (entry.sha1, entry.items) = (Some(Sha1(digest.0)), vec![extent]);
    let mut record = Vec::new();
    entry.push_record(&mut record);
    cache.put(path.as_bytes(), 0, &record)
}

/// A folder that is removed when it goes, with the database in it.
struct Folder(PathBuf);

impl Folder {
    fn create(above: &Path) -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = above.join(format!(".brackup-bench-{}-{number}", std::process::id()));
        // Not one that is there.
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
