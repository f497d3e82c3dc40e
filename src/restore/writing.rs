//! The contents of one file on their way to the disk, digested as they come.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use super::place::{Made, Place};
use crate::blob::Item;
use crate::catalog::{self, ChunkReader, FileReader, Span, slices};
use crate::digest::{Key, Sha1Hasher};
use crate::entry::Entry;
use crate::monitor::{Counter, Tally};
use crate::relpath::RelPath;

/// What file systems allocate in.
const BLOCK_BYTES: usize = 4096;

/// A file being written.
pub(super) struct Writing {
    made: Made,
    reader: FileReader,
    sink: Sink,
}

struct Sink {
    sha1: Sha1Hasher,
    length: u64,
    /// The end of the last bytes that were written: a hole behind it only has a length.
    written: u64,
    sparse: bool,
}

impl Writing {
    /// A temporary file for the contents of `path`, of at most `size` bytes.
    pub(super) fn create(place: &mut Place, path: &RelPath, size: u64, sparse: bool) -> Result<Self, Error> {
        let sink = Sink { sha1: Sha1Hasher::default(), length: 0, written: 0, sparse };
        Ok(Self { made: place.make_file(path)?, reader: FileReader::new(size), sink })
    }

    /// Writes what the next items hold.
    pub(super) fn read(
        &mut self,
        items: &[Item<Key>],
        chunks: &mut ChunkReader<'_>,
        tally: &Tally<'_>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let Some(file) = self.made.open_file() else { return Ok(()) };
        let sink = &mut self.sink;
        self.reader.read(items, chunks, |span| {
            sink.take(file, span, |taken| {
                tally.count(Counter::FileBytes, taken);
                tally.count(Counter::ReadBytes, taken);
                if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
            })
        })
    }

    /// Checks that it is what was backed up.
    pub(super) fn finish<C>(self, entry: &Entry<C>) -> Result<Made, Error> {
        self.reader.finish()?;
        if self.sink.length != entry.stat.size {
            return Err(catalog::Error::Contents("there is more or less of it than its size says").into());
        }
        if let Some(file) = self.made.open_file()
            && self.sink.written < self.sink.length
        {
            file.set_len(self.sink.length).map_err(Error::io("can't write the file"))?;
        }
        match &entry.sha1 {
            Some(sha1) if self.sink.sha1.finish() == *sha1 => Ok(self.made),
            _ => Err(Error::Digest),
        }
    }
}

impl Sink {
    fn take(
        &mut self,
        file: &File,
        span: Span<'_>,
        mut each: impl FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match span {
            Span::Hole(length) => {
                // Before so many zeros are digested: whether this file system has such files at all.
                let end = self.length.saturating_add(length);
                file.set_len(end).map_err(Error::io("can't make the file as large as its size says"))?;
                for slice in slices(length) {
                    self.sha1.update_with_zeros(slice);
                    self.length += slice;
                    each(slice)?;
                }
            }
            Span::Data(data) => {
                each(data.len() as u64)?;
                self.sha1.update(data);
                let mut rest = data;
                while !rest.is_empty() {
                    let length = if self.sparse { self.to_block_end(rest.len()) } else { rest.len() };
                    let (block, behind) = rest.split_at(length);
                    if !(self.sparse && block.iter().all(|byte| *byte == 0)) {
                        file.write_all_at(block, self.length).map_err(Error::io("can't write the file"))?;
                        self.written = self.length + length as u64;
                    }
                    self.length += length as u64;
                    rest = behind;
                }
            }
        }
        Ok(())
    }

    fn to_block_end(&self, most: usize) -> usize {
        (BLOCK_BYTES - (self.length % BLOCK_BYTES as u64) as usize).min(most)
    }
}
