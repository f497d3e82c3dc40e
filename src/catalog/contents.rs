//! Contents by extents: only the segments that hold them are fetched and opened, so that one small file costs its segments and
//! not its chunk. Headers of a few chunks stay open, and the last segments of a few places stay in memory, since neighbours in a tree are neighbours
//! in a chunk, or in one of a few.

use std::collections::VecDeque;
use std::io;

use zeroize::Zeroizing;
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::Error;
use super::window::{IN_TURN, Windows};
use crate::blob::{Codec, Item};
use crate::digest::Key;
use crate::limits::{HEADER_BYTES_MAX, SEGMENT_BYTES, ZSTD_WINDOW_LOG_MAX};
use crate::monitor::one_line;
use crate::seal::{Fault, Identity, Opening, Role};
use crate::target::{ObjectName, Target};

/// Chunks whose headers stay open.
const OPEN_CHUNKS: usize = 16;
/// Segments that one request fetches when a file goes on behind the first.
const FETCH_SEGMENTS: u64 = 4;

/// Calls in a row that a place has not answered before nobody waits for it again.
const UNANSWERED_MAX: u32 = 3;

/// Reads from the payloads of chunks, for one file after the other: what costs to be made anew for each small file is kept here.
#[derive(Debug)]
pub struct ChunkReader<'a> {
    pub(super) segments: Segments<'a>,
    pub(super) inflater: Inflater,
}

impl<'a> ChunkReader<'a> {
    /// Reads from this target with these keys.
    pub fn new(target: &'a dyn Target, identities: &'a [Identity]) -> Self {
        Self::over(target, &[], identities)
    }

    /// The same; what the target lacks, or has not whole, is read from the first of the others that has it.
    pub fn over(target: &'a dyn Target, others: &[&'a dyn Target], identities: &'a [Identity]) -> Self {
        let place = |target: &&'a dyn Target| Place { target: *target, windows: Windows::of(*target), unanswered: 0 };
        let segments = Segments {
            places: [target].iter().chain(others).map(place).collect(),
            identities,
            open: Vec::new(),
            at_hand: Vec::new(),
            bytes: Zeroizing::default(),
            fetched: 0,
            turned: Vec::new(),
            told: Vec::new(),
        };
        Self { segments, inflater: Inflater::default() }
    }

    /// Objects that were read from another target than the first since the last call, each with why.
    pub fn told(&mut self) -> Vec<(ObjectName, String)> {
        std::mem::take(&mut self.segments.told)
    }

    /// Sealed bytes that were fetched so far.
    pub fn fetched(&self) -> u64 {
        self.segments.fetched
    }
}

pub(super) struct Segments<'a> {
    /// The first is asked first.
    places: Vec<Place<'a>>,
    identities: &'a [Identity],
    open: Vec<(Key, Opening)>,
    /// The segments that were fetched last; those that were read last are the last.
    at_hand: Vec<AtHand>,
    /// For those that are fetched next.
    bytes: Zeroizing<Vec<u8>>,
    fetched: u64,
    /// Chunks that are read from another place than the first: which.
    turned: Vec<(Key, usize)>,
    told: Vec<(ObjectName, String)>,
}

/// Segments that follow each other.
struct AtHand {
    chunk: Key,
    /// The index of the first.
    first: u64,
    /// Opened.
    bytes: Zeroizing<Vec<u8>>,
}

impl AtHand {
    /// The bytes from there on, if there are any.
    fn rest(&self, chunk: &Key, offset: u64) -> Option<&[u8]> {
        let start = offset.checked_sub(self.first * SEGMENT_BYTES as u64).filter(|_| self.chunk == *chunk)?;
        self.bytes.get(usize::try_from(start).ok()?..).filter(|rest| !rest.is_empty())
    }
}

/// A target that is read from.
struct Place<'a> {
    target: &'a dyn Target,
    windows: Windows<'a>,
    /// How often it has not answered since it last did. Such a one is asked last, and then not for ever.
    unanswered: u32,
}

impl Segments<'_> {
    /// Payload bytes from `offset`, as many as lie at hand, at least one and at most `most`.
    pub(super) fn read(&mut self, key: &Key, offset: u64, most: u64) -> Result<&[u8], Error> {
        let segment_bytes = SEGMENT_BYTES as u64;
        let index = offset / segment_bytes;
        match self.at_hand.iter().rposition(|at_hand| at_hand.rest(key, offset).is_some()) {
            Some(at) => self.at_hand[at..].rotate_left(1),
            None => {
                let wanted = (offset % segment_bytes + most).div_ceil(segment_bytes);
                self.fetch(key, index, wanted.clamp(1, FETCH_SEGMENTS))?;
            }
        }
        let rest = self.at_hand.last().and_then(|at_hand| at_hand.rest(key, offset));
        let rest = rest.ok_or(Error::Contents("an extent reaches behind the end of its chunk"))?;
        Ok(&rest[..rest.len().min(usize::try_from(most).unwrap_or(usize::MAX))])
    }

    /// From the place where the chunk was found whole the last time, else from the first that has it whole.
    fn fetch(&mut self, key: &Key, first: u64, count: u64) -> Result<(), Error> {
        let from = self.turned.iter().find(|(turned, _)| turned == key).map_or(0, |(_, at)| *at);
        let mut failed = None;
        let is_gone = |at: &usize| self.places[*at].unanswered > 0;
        let mut order: VecDeque<_> = (from..self.places.len()).filter(|at| !is_gone(at)).collect();
        order.extend((0..self.places.len()).filter(is_gone));
        let last = order.back().copied();
        while let Some(at) = order.pop_front() {
            if self.places[at].unanswered >= UNANSWERED_MAX && (failed.is_some() || Some(at) != last) {
                continue;
            }
            let error = match self.fetch_from(at, key, first, count) {
                Ok(()) => {
                    self.places[at].unanswered = 0;
                    self.turn(*key, at, failed.as_ref());
                    return Ok(());
                }
                Err(error) => error,
            };
            // What it says of its length there may be wrong.
            self.open.retain(|(open, _)| open != key);
            self.places[at].windows.forget(key);
            let unanswered = &mut self.places[at].unanswered;
            *unanswered = if error.is_unreachable() { unanswered.saturating_add(1) } else { 0 };
            // It may have been for a moment: once more, behind the others.
            if *unanswered == 1 && self.places.len() > 1 {
                order.push_back(at);
            }
            // That one does not answer matters only if none does.
            failed = match failed {
                Some(before) if !before.is_unreachable() || error.is_unreachable() => Some(before),
                _ => Some(error),
            };
        }
        Err(failed.unwrap_or(Error::Contents("there is no target to read from")))
    }

    /// Remembers where a chunk is read from, and why not where it was looked for.
    fn turn(&mut self, key: Key, at: usize, why: Option<&Error>) {
        let Some(why) = why else { return };
        self.turned.retain(|(turned, _)| *turned != key);
        if self.turned.len() >= OPEN_CHUNKS {
            self.turned.remove(0);
        }
        self.turned.push((key, at));
        let what = format!("is read from {}: {}", self.places[at].target.describe(), one_line(why));
        self.told.push((ObjectName::Chunk(key), what));
    }

    fn fetch_from(&mut self, place: usize, key: &Key, first: u64, count: u64) -> Result<(), Error> {
        self.bytes.clear();
        let name = ObjectName::Chunk(*key);
        let at = self.opened(place, key, first)?;
        let opening = &self.open[at].1;
        let end = opening.segments().min(first.saturating_add(count));
        if first >= end {
            return Err(Error::Contents("an extent reaches behind the end of its chunk"));
        }
        let (from, _) = opening.place(first);
        let (last, last_length) = opening.place(end - 1);
        let length = last + last_length as u64 - from;
        if self.bytes.capacity() < length as usize {
            // Not grown: that would leave what was opened before where it was.
            self.bytes = Zeroizing::new(Vec::with_capacity(length as usize));
        }
        let (final_at, final_length) = opening.place(opening.segments() - 1);
        let windows = &mut self.places[place].windows;
        windows.read(key, from, length, final_at + final_length as u64, &mut self.bytes)?;
        self.fetched += self.bytes.len() as u64;
        let damaged = |fault| Error::Object { name: name.to_string(), fault };
        if self.bytes.len() as u64 != length {
            return Err(damaged(Fault::Damaged));
        }
        // They are opened in place, each moved down to the end of the one before.
        let (mut start, mut opened) = (0, 0);
        for index in first..end {
            let sealed = start..start + opening.place(index).1;
            start = sealed.end;
            let payload = opening.segment(index, &mut self.bytes[sealed.clone()]).map_err(damaged)?.len();
            self.bytes.copy_within(sealed.start..sealed.start + payload, opened);
            opened += payload;
        }
        self.bytes.truncate(opened);
        // The next ones come where those lay that were read longest ago.
        let is_full = self.at_hand.len() >= IN_TURN;
        let next = if is_full { self.at_hand.remove(0).bytes } else { Zeroizing::default() };
        let bytes = std::mem::replace(&mut self.bytes, next);
        self.at_hand.push(AtHand { chunk: *key, first, bytes });
        Ok(())
    }

    /// Opens the header of a chunk of which this segment is wanted, or finds it open.
    fn opened(&mut self, place: usize, key: &Key, segment: u64) -> Result<usize, Error> {
        if let Some(at) = self.open.iter().position(|(open, _)| open == key) {
            return Ok(at);
        }
        let (head, length) =
            self.places[place].windows.begin(key, HEADER_BYTES_MAX, segment.saturating_mul(SEGMENT_BYTES as u64))?;
        let opening = Opening::open(&head, length, Role::Chunk, self.identities)
            .map_err(|fault| Error::Object { name: ObjectName::Chunk(*key).to_string(), fault })?;
        if self.open.len() >= OPEN_CHUNKS {
            self.open.remove(0);
        }
        self.open.push((*key, opening));
        Ok(self.open.len() - 1)
    }
}

impl std::fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segments({} open)", self.open.len())
    }
}

/// What a file's contents come out as, in order.
#[derive(Debug)]
pub enum Span<'b> {
    /// Bytes.
    Data(&'b [u8]),
    /// So many zero bytes.
    Hole(u64),
}

/// A length in slices: between two of them whoever digests a hole of terabytes can be stopped.
pub fn slices(length: u64) -> impl Iterator<Item = u64> {
    const SLICE_BYTES: u64 = 64 * 1024 * 1024;
    let last = length % SLICE_BYTES;
    let full = (0..length / SLICE_BYTES).map(|_| SLICE_BYTES);
    full.chain((last > 0).then_some(last))
}

/// Turns a file's items into its contents. Items may come in several lists (parts), but those of one file before those of the next.
#[derive(Debug)]
pub struct FileReader {
    /// Bytes that may still come: more would not be the file.
    left: u64,
    stream: Stream,
}

/// Where a file is in its compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    None,
    InFrame,
    AtFrameEnd,
}

impl FileReader {
    /// A file of at most `size` bytes, or of as many as there are up to the limit.
    pub fn new(size: u64) -> Self {
        Self { left: size, stream: Stream::None }
    }

    /// Reads the next items, calling back with what comes out.
    pub fn read<E: From<Error>>(
        &mut self,
        items: &[Item<Key>],
        chunks: &mut ChunkReader<'_>,
        mut each: impl FnMut(Span<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for item in items {
            match item {
                Item::Hole { length } => {
                    self.end_stream()?;
                    self.take(*length)?;
                    each(Span::Hole(*length))?;
                }
                Item::Extent { chunk, offset, length, codec } => {
                    if *codec == Codec::Raw {
                        self.end_stream()?;
                        self.take(*length)?;
                    }
                    let (mut offset, mut rest) = (*offset, *length);
                    while rest > 0 {
                        let stored = chunks.segments.read(chunk, offset, rest)?;
                        let got = stored.len() as u64;
                        match codec {
                            Codec::Raw => each(Span::Data(stored))?,
                            Codec::Zstd => self.inflate(stored, &mut chunks.inflater, &mut each)?,
                        }
                        offset = offset.checked_add(got).ok_or(Error::Contents("an extent is out of range"))?;
                        rest -= got;
                    }
                }
            }
        }
        Ok(())
    }

    /// All items were read: nothing may be missing.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.end_stream()?;
        Ok(self.left)
    }

    fn take(&mut self, length: u64) -> Result<(), Error> {
        self.left = self.left.checked_sub(length).ok_or(Error::Contents("there is more of it than its size says"))?;
        Ok(())
    }

    fn end_stream(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.stream, Stream::None) {
            Stream::InFrame => Err(Error::Contents("a compressed run is cut short")),
            Stream::None | Stream::AtFrameEnd => Ok(()),
        }
    }

    fn inflate<E: From<Error>>(
        &mut self,
        mut stored: &[u8],
        inflater: &mut Inflater,
        each: &mut impl FnMut(Span<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let corrupt = |_: io::Error| Error::Contents("a compressed run is corrupt");
        let (decoder, buffer) = inflater.parts()?;
        if self.stream == Stream::None {
            // Whatever the file before has left in it.
            decoder.reinit().map_err(corrupt)?;
            self.stream = Stream::AtFrameEnd;
        }
        buffer.resize(SEGMENT_BYTES, 0);
        loop {
            let status = decoder.run_on_buffers(stored, buffer).map_err(corrupt)?;
            stored = &stored[status.bytes_read..];
            if status.bytes_read > 0 || status.bytes_written > 0 {
                // Having done nothing it tells what it wants for the next frame.
                self.stream = if status.remaining == 0 { Stream::AtFrameEnd } else { Stream::InFrame };
            }
            self.take(status.bytes_written as u64)?;
            if status.bytes_written > 0 {
                each(Span::Data(&buffer[..status.bytes_written]))?;
            }
            // A buffer filled to its end may mean that more is waiting inside.
            if stored.is_empty() && status.bytes_written < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Decompresses, one stream after the other.
#[derive(Default)]
pub(super) struct Inflater {
    decoder: Option<Decoder<'static>>,
    buffer: Zeroizing<Vec<u8>>,
}

impl Inflater {
    pub(super) fn parts(&mut self) -> Result<(&mut Decoder<'static>, &mut Vec<u8>), Error> {
        let Self { decoder, buffer } = self;
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => decoder.insert(Self::decoder().map_err(|_| Error::Contents("a compressed run is corrupt"))?),
        };
        Ok((decoder, buffer))
    }

    fn decoder() -> io::Result<Decoder<'static>> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(decoder)
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}
