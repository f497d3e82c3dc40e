//! Where stored bytes lie: [`Item`]s of a file's contents, and [`Sealed`], the only bytes that may reach a target.
//!
//! Invariant I5 is a type: a stage takes `Sealed`, and only the envelope makes one
//! (`tests/it/layers.rs` holds the second half: no other file calls the constructor).

/// Bytes that an envelope has sealed or that belong to its public frame.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a>(&'a [u8]);

impl<'a> Sealed<'a> {
    /// For `src/seal/` alone.
    pub(crate) fn by_the_envelope(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, to write them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The number of a chunk in the local database; its key is known only when it has been sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkNo(pub u64);

/// How an extent's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    Raw,
    /// As part of a stream of zstd frames.
    Zstd,
}

/// A run of a file's contents, FORMAT.md section 6.3. `C` is a [`ChunkNo`] on the box, a key in a metafile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<C> {
    /// Stored bytes: `length` bytes of the chunk's payload from `offset`.
    Extent {
        /// The chunk that holds them.
        chunk: C,
        /// Where they begin in its payload.
        offset: u64,
        /// How many stored bytes.
        length: u64,
        /// How they are stored.
        codec: Codec,
    },
    /// Zero bytes that are not stored.
    Hole {
        /// How many.
        length: u64,
    },
}

impl<C: PartialEq> Item<C> {
    /// Takes `next` in if it directly follows, so that neighbouring extents are written as one.
    pub fn absorb(&mut self, next: &Self) -> bool {
        match (self, next) {
            (Self::Hole { length }, Self::Hole { length: more }) => {
                *length += more;
                true
            }
            (
                Self::Extent { chunk, offset, length, codec },
                Self::Extent { chunk: next_chunk, offset: next_offset, length: more, codec: next_codec },
            ) if chunk == next_chunk && codec == next_codec && *offset + *length == *next_offset => {
                *length += more;
                true
            }
            _ => false,
        }
    }
}

/// Appends items to a list, each joined to the one before where it directly follows.
pub fn push_item<C: PartialEq>(items: &mut Vec<Item<C>>, next: Item<C>) {
    if !items.last_mut().is_some_and(|last| last.absorb(&next)) {
        items.push(next);
    }
}

/// Chunks, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub chunks: u64,
    /// Sealed bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.chunks += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(chunk: u64, offset: u64, length: u64, codec: Codec) -> Item<ChunkNo> {
        Item::Extent { chunk: ChunkNo(chunk), offset, length, codec }
    }

    #[test]
    fn neighbours_become_one_and_others_do_not() {
        let mut items = Vec::new();
        for item in [
            extent(1, 0, 10, Codec::Raw),
            extent(1, 10, 5, Codec::Raw),
            extent(1, 15, 5, Codec::Zstd),
            extent(2, 20, 5, Codec::Zstd),
            Item::Hole { length: 3 },
            Item::Hole { length: 4 },
            extent(2, 26, 5, Codec::Zstd),
        ] {
            push_item(&mut items, item);
        }
        assert_eq!(
            items,
            [
                extent(1, 0, 15, Codec::Raw),
                extent(1, 15, 5, Codec::Zstd),
                extent(2, 20, 5, Codec::Zstd),
                Item::Hole { length: 7 },
                extent(2, 26, 5, Codec::Zstd),
            ]
        );
    }
}
