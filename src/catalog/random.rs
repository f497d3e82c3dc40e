//! One file's contents from any place, in any order: only the segments that hold what is asked for are fetched.
//!
//! Where stored bytes are as they were, an offset in the file tells where they lie. Compressed bytes do not say how many they become, so
//! a run of them is read from the last place that is known: the ends of frames that were passed are, one in a mebibyte of contents.
//! Each segment is authenticated; the digest of the whole file is not compared, since not all of it is read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;
use zstd::stream::raw::{Decoder, Operation as _};

use super::Error;
use super::contents::ChunkReader;
use crate::blob::{Codec, Item};
use crate::digest::Key;
use crate::limits::SEGMENT_BYTES;

/// Decompressed bytes from one mark to the next, and what of them is kept.
const STRETCH_BYTES: usize = 1024 * 1024;
/// What is kept at most of a frame that is longer; none of ours is.
const STRETCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Items that are stepped over to find a place.
const ITEMS_A_MARK: usize = 64;

const CORRUPT: Error = Error::Contents("a compressed run is corrupt");
const RANGE: Error = Error::Contents("an extent is out of range");
const SHORT: Error = Error::Contents("there is less of it than its size says");
const LONG: Error = Error::Contents("there is more of it than its size says");

/// Reads one file at random.
#[derive(Debug)]
pub struct RandomReader {
    items: Vec<Item<Key>>,
    size: u64,
    /// Places in the contents where reading may begin.
    marks: BTreeMap<u64, Mark>,
    stretch: Stretch,
}

/// An item, and in a compressed one the beginning of a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    item: usize,
    stored: u64,
}

/// Contents that were decompressed last.
#[derive(Debug, Default)]
struct Stretch {
    at: u64,
    bytes: Zeroizing<Vec<u8>>,
}

impl Stretch {
    fn from(&self, at: u64) -> Option<&[u8]> {
        let start = usize::try_from(at.checked_sub(self.at)?).ok()?;
        self.bytes.get(start..).filter(|rest| !rest.is_empty())
    }

    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn begin(&mut self, at: u64) {
        self.at = at;
        self.bytes.clear();
    }
}

impl RandomReader {
    /// A file of `size` bytes that consists of these items.
    pub fn new(items: Vec<Item<Key>>, size: u64) -> Self {
        let mut reader = Self { items, size, marks: BTreeMap::new(), stretch: Stretch::default() };
        reader.mark_from_the_front();
        reader.mark_from_the_end();
        reader
    }

    /// Appends `length` bytes from `offset`, or those up to the end of the file. All of them, or an error; if it is stopped too.
    pub fn read(
        &mut self,
        offset: u64,
        length: usize,
        chunks: &mut ChunkReader<'_>,
        into: &mut Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let end = self.size.min(offset.saturating_add(length as u64));
        let mut at = offset;
        while at < end {
            at += self.some(at, end - at, chunks, into, stop)?;
        }
        Ok(())
    }

    /// Items before the first compressed one.
    fn mark_from_the_front(&mut self) {
        let mut at = 0;
        self.marks.insert(0, Mark::default());
        for (item, length) in self.items.iter().map(plain).enumerate() {
            let Some(length) = length else { return };
            if item % ITEMS_A_MARK == 0 {
                self.marks.insert(at, Mark { item, stored: 0 });
            }
            at = at.saturating_add(length);
        }
    }

    /// Items behind the last compressed one: what is damaged in that does not hide them.
    fn mark_from_the_end(&mut self) {
        let mut at = self.size;
        for (item, length) in self.items.iter().map(plain).enumerate().rev() {
            let Some(begin) = length.and_then(|length| at.checked_sub(length)) else { return };
            at = begin;
            let is_first = item.checked_sub(1).is_some_and(|before| plain(&self.items[before]).is_none());
            if is_first || item % ITEMS_A_MARK == 0 {
                self.marks.entry(at).or_insert(Mark { item, stored: 0 });
            }
        }
    }

    /// Appends at least one byte from `at`, at most `most`; how many.
    fn some(
        &mut self,
        at: u64,
        most: u64,
        chunks: &mut ChunkReader<'_>,
        into: &mut Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<u64, Error> {
        if self.stretch.from(at).is_none() {
            let (begin, mark) = self.marks.range(..=at).next_back().map(|(at, mark)| (*at, *mark)).unwrap_or_default();
            if let Some((item, inside)) = self.walk(begin, mark, at, chunks, stop)? {
                return match item {
                    Item::Hole { length } => {
                        let zeros = most.min(length - inside);
                        into.resize(into.len() + usize::try_from(zeros).map_err(|_| LONG)?, 0);
                        Ok(zeros)
                    }
                    Item::Extent { chunk, offset, length, .. } => {
                        let offset = offset.checked_add(inside).ok_or(RANGE)?;
                        let stored = chunks.segments.read(&chunk, offset, most.min(length - inside))?;
                        into.extend_from_slice(stored);
                        Ok(stored.len() as u64)
                    }
                };
            }
        }
        let bytes = self.stretch.from(at).ok_or(SHORT)?;
        let bytes = &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
        into.extend_from_slice(bytes);
        Ok(bytes.len() as u64)
    }

    /// Goes on from a mark to the item that holds `wanted`, and tells how far inside that is; nothing if it was decompressed to the stretch.
    fn walk(
        &mut self,
        mut at: u64,
        mut mark: Mark,
        wanted: u64,
        chunks: &mut ChunkReader<'_>,
        stop: &AtomicBool,
    ) -> Result<Option<(Item<Key>, u64)>, Error> {
        loop {
            let item = *self.items.get(mark.item).ok_or(SHORT)?;
            match plain(&item) {
                Some(length) if wanted - at < length => return Ok(Some((item, wanted - at))),
                Some(length) => {
                    at = at.checked_add(length).ok_or(LONG)?;
                    mark = Mark { item: mark.item + 1, stored: 0 };
                }
                None => {
                    (at, mark) = self.inflate(at, mark, wanted, chunks, stop)?;
                    if self.stretch.from(wanted).is_some() {
                        return Ok(None);
                    }
                    if at > wanted {
                        return Err(CORRUPT);
                    }
                }
            }
        }
    }

    /// Decompresses from the beginning of a frame until `wanted` is in the stretch and a frame ends, or the run does. What came before
    /// something that is damaged is good all the same.
    fn inflate(
        &mut self,
        at: u64,
        mark: Mark,
        wanted: u64,
        chunks: &mut ChunkReader<'_>,
        stop: &AtomicBool,
    ) -> Result<(u64, Mark), Error> {
        self.stretch.begin(at);
        match self.frames(mark, wanted, chunks, stop) {
            Err(error) if self.stretch.from(wanted).is_none() => Err(error),
            Err(_) => Ok((self.stretch.end(), mark)),
            Ok(mark) => Ok((self.stretch.end(), mark)),
        }
    }

    fn frames(
        &mut self,
        mut mark: Mark,
        wanted: u64,
        chunks: &mut ChunkReader<'_>,
        stop: &AtomicBool,
    ) -> Result<Mark, Error> {
        let ChunkReader { segments, inflater } = chunks;
        let (decoder, buffer) = inflater.parts()?;
        // Whatever the file before has left in it.
        decoder.reinit().map_err(|_| CORRUPT)?;
        buffer.resize(SEGMENT_BYTES, 0);
        let mut step = Step { read: 0, written: 0, is_frame_end: true };
        while let Some(Item::Extent { chunk, offset, length, codec: Codec::Zstd }) = self.items.get(mark.item).copied()
        {
            // A buffer filled to its end may mean that more is waiting inside.
            while mark.stored < length || (step.written == SEGMENT_BYTES && !step.is_frame_end) {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Contents("interrupted"));
                }
                let from = offset.checked_add(mark.stored).ok_or(RANGE)?;
                let rest = length - mark.stored;
                let stored = if rest > 0 { segments.read(&chunk, from, rest)? } else { &[] };
                step = self.stretch.step(stored, decoder, buffer, self.size)?;
                mark.stored += step.read;
                if step.is_frame_end && self.is_far_enough(mark, wanted) {
                    return Ok(mark);
                }
                if self.stretch.bytes.len() > STRETCH_BYTES_MAX {
                    if self.stretch.from(wanted).is_some() {
                        return Ok(mark);
                    }
                    self.stretch.begin(self.stretch.end());
                }
            }
            mark = Mark { item: mark.item + 1, stored: 0 };
        }
        if !step.is_frame_end {
            return Err(Error::Contents("a compressed run is cut short"));
        }
        self.marks.insert(self.stretch.end(), mark);
        Ok(mark)
    }

    /// At the end of a frame: marks it if it is time, and tells whether what is wanted is at hand.
    fn is_far_enough(&mut self, mark: Mark, wanted: u64) -> bool {
        if self.stretch.bytes.len() < STRETCH_BYTES {
            return false;
        }
        self.marks.insert(self.stretch.end(), mark);
        let is_there = self.stretch.from(wanted).is_some();
        if !is_there {
            self.stretch.begin(self.stretch.end());
        }
        is_there
    }
}

/// What one call of the decompressor did.
struct Step {
    read: u64,
    written: usize,
    is_frame_end: bool,
}

impl Stretch {
    fn step(
        &mut self,
        stored: &[u8],
        decoder: &mut Decoder<'static>,
        buffer: &mut [u8],
        size: u64,
    ) -> Result<Step, Error> {
        let status = decoder.run_on_buffers(stored, buffer).map_err(|_| CORRUPT)?;
        let (read, written, is_frame_end) = (status.bytes_read as u64, status.bytes_written, status.remaining == 0);
        self.bytes.extend_from_slice(&buffer[..written]);
        if self.end() > size {
            return Err(LONG);
        }
        if read == 0 && written == 0 && !is_frame_end && !stored.is_empty() {
            return Err(CORRUPT);
        }
        Ok(Step { read, written, is_frame_end })
    }
}

/// How many bytes of contents an item is, if it says.
fn plain(item: &Item<Key>) -> Option<u64> {
    match item {
        Item::Hole { length } | Item::Extent { length, codec: Codec::Raw, .. } => Some(*length),
        Item::Extent { codec: Codec::Zstd, .. } => None,
    }
}
