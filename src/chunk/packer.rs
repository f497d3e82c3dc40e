//! The packer: the fixed buffers that all contents pass through, and the arithmetic of where a piece lies.
//!
//! A piece is read straight into the tail of the open buffer; it becomes part of the stream only if it is kept. A buffer
//! that is full goes on its way and an empty one is taken, so that reading and sealing overlap.

use crate::blob::{ChunkNo, Codec, Item};

/// Bytes on their way to be sealed.
#[derive(Debug, Default)]
pub struct Buffer {
    /// Stored bytes of pieces.
    pub bytes: Vec<u8>,
    /// Where in them a chunk begins, in order.
    pub cuts: Vec<Cut>,
}

/// Here a chunk begins, and the one before it ends at its full size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the buffer.
    pub at: usize,
    /// The chunk that begins.
    pub chunk: ChunkNo,
}

/// Lays pieces into chunks.
#[derive(Debug)]
pub struct Packer {
    chunk_bytes: u64,
    /// The open chunk and how much of it is taken.
    open: Option<(ChunkNo, u64)>,
    buffer: Buffer,
    used: usize,
}

impl Packer {
    /// A packer for chunks of `chunk_bytes`, with its first buffer.
    pub fn new(chunk_bytes: u64, buffer_bytes: usize) -> Self {
        Self { chunk_bytes, open: None, buffer: Buffer { bytes: vec![0; buffer_bytes], cuts: Vec::new() }, used: 0 }
    }

    /// Whether a piece of `length` bytes still fits the buffer.
    pub fn has_room(&self, length: usize) -> bool {
        self.buffer.bytes.len() - self.used >= length
    }

    /// Takes the filled buffer away and goes on with an empty one.
    pub fn exchange(&mut self, mut empty: Buffer) -> Buffer {
        let capacity = self.buffer.bytes.len();
        // Both are already this long: nothing is allocated or cleared.
        empty.bytes.resize(capacity, 0);
        empty.cuts.clear();
        let mut filled = std::mem::replace(&mut self.buffer, empty);
        filled.bytes.truncate(self.used);
        self.used = 0;
        filled
    }

    /// The last buffer, as far as it is filled.
    pub fn finish(mut self) -> Buffer {
        self.buffer.bytes.truncate(self.used);
        self.buffer
    }

    /// Where the next piece is to be read to.
    pub fn tail(&mut self) -> &mut [u8] {
        &mut self.buffer.bytes[self.used..]
    }

    /// Keeps the first `length` bytes of the tail as stored bytes: they get their place, in the open chunk and perhaps the one after it.
    pub fn keep<E>(
        &mut self,
        length: usize,
        codec: Codec,
        mut next_chunk: impl FnMut() -> Result<ChunkNo, E>,
    ) -> Result<Vec<Item<ChunkNo>>, E> {
        let mut items = Vec::with_capacity(2);
        let mut rest = length as u64;
        while rest > 0 {
            let (chunk, taken) = match self.open {
                Some((chunk, taken)) if taken < self.chunk_bytes => (chunk, taken),
                _ => {
                    let chunk = next_chunk()?;
                    let at = self.used + length - rest as usize;
                    self.buffer.cuts.push(Cut { at, chunk });
                    (chunk, 0)
                }
            };
            let now = rest.min(self.chunk_bytes - taken);
            items.push(Item::Extent { chunk, offset: taken, length: now, codec });
            self.open = Some((chunk, taken + now));
            rest -= now;
        }
        self.used += length;
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_one_after_the_other_and_go_on_in_the_next_chunk() {
        let mut packer = Packer::new(1000, 900);
        let mut number = 0;
        let mut keep = |packer: &mut Packer, length| {
            let items = packer.keep(length, Codec::Raw, || {
                number += 1;
                Ok::<_, ()>(ChunkNo(number))
            });
            items.unwrap()
        };
        let extent = |chunk, offset, length| Item::Extent { chunk: ChunkNo(chunk), offset, length, codec: Codec::Raw };
        assert_eq!(keep(&mut packer, 700), [extent(1, 0, 700)]);
        assert!(!packer.has_room(400));
        let first = packer.exchange(Buffer::default());
        assert_eq!((first.bytes.len(), first.cuts), (700, vec![Cut { at: 0, chunk: ChunkNo(1) }]));
        assert_eq!(keep(&mut packer, 400), [extent(1, 700, 300), extent(2, 0, 100)]);
        assert_eq!(keep(&mut packer, 0), []);
        let second = packer.exchange(first_emptied());
        assert_eq!((second.bytes.len(), second.cuts), (400, vec![Cut { at: 300, chunk: ChunkNo(2) }]));
        // Exactly full: the next chunk begins only with the next byte.
        assert_eq!(keep(&mut packer, 900), [extent(2, 100, 900)]);
        assert_eq!(packer.exchange(Buffer::default()).cuts, []);
        assert_eq!(keep(&mut packer, 1), [extent(3, 0, 1)]);
    }

    fn first_emptied() -> Buffer {
        Buffer { bytes: vec![7; 700], cuts: vec![Cut { at: 5, chunk: ChunkNo(9) }] }
    }
}
