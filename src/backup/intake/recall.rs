//! Files of an inventory that was imported ([`crate::db::Db::hints`]): of each it is known what it was like, but not by the inode, so it is
//! read. If it has the size and the SHA-1 that it had, its contents lie where they lay, and nothing is stored; if not, it is read again
//! as any other.
//!
//! Nothing is sealed here: what the metafile says is what was read, and what is in the chunks (I4). That SHA-1 decides is against the
//! rule; what it costs is in docs/THREAT-MODEL.md.

use std::sync::atomic::Ordering;

use super::Intake;
use crate::backup::{Error, spool};
use crate::blob::{ChunkNo, Codec, Item};
use crate::digest::{PieceDigest, Sha1Hasher};
use crate::entry::{Entry, push_items, read_items};
use crate::monitor::{Counter, Phase};
use crate::source::{Contents, Met, Seams, Span};

/// Pieces of one file that are remembered as known: of what lies behind them a change is stored with all that follows it.
const PIECES_MAX: usize = 2048;

/// A piece as it was read.
struct Piece {
    offset: u64,
    length: u64,
    digest: PieceDigest,
}

impl Intake<'_> {
    /// Whether it is known what was in the source.
    pub(in crate::backup) fn is_known(&mut self) -> Result<bool, Error> {
        Ok(self.hints.is_some() || !self.is_first()?)
    }

    /// Whether the contents are those that an inventory tells of; then the entry has them.
    pub(super) fn recalled(
        &mut self,
        met: &Met,
        contents: &mut Contents,
        seams: Seams,
        entry: &mut Entry<ChunkNo>,
    ) -> Result<bool, Error> {
        let Some(hint) = self.hint(met.stat.size)? else { return Ok(false) };
        let mark = self.draft.mark();
        let pieces = self.reads_as(&hint, met, contents, seams)?;
        if let Some(pieces) = pieces
            && self.recall_parts(met, hint.parts)?
        {
            if hint.parts == 0 {
                self.remember_pieces(&pieces, &hint)?;
            }
            self.tally.count(Counter::FileBytes, hint.stat.size);
            (entry.sha1, entry.parts, entry.items) = (hint.sha1, hint.parts, hint.items);
            return Ok(true);
        }
        if self.draft.mark() != mark {
            self.draft.rewind(mark).map_err(|error| spool(self.options, error))?;
        }
        contents.rewind();
        Ok(false)
    }

    fn hint(&mut self, size: u64) -> Result<Option<Entry<ChunkNo>>, Error> {
        let Some(hints) = &mut self.hints else { return Ok(None) };
        let hint = hints.look_up(&self.sort_key)?.and_then(Entry::read_record);
        let Some(hint) = hint.filter(|hint| hint.stat.size == size && size > 0 && hint.sha1.is_some()) else {
            return Ok(None);
        };
        Ok(self.chunks.have(&hint.items)?.then_some(hint))
    }

    /// Reads the file into the packer's tail, where nothing is kept; its pieces, if all of it has the digest.
    fn reads_as(
        &mut self,
        hint: &Entry<ChunkNo>,
        met: &Met,
        contents: &mut Contents,
        seams: Seams,
    ) -> Result<Option<Vec<Piece>>, Error> {
        let (size, mut sha1, mut offset, mut pieces) = (hint.stat.size, Sha1Hasher::default(), 0, Vec::new());
        while offset < size {
            let want = usize::try_from(seams.room(offset, size)).unwrap_or(usize::MAX).min(self.options.piece_bytes);
            if !self.packer.has_room(want) {
                self.send_buffer()?;
            }
            offset += match contents.read(&mut self.packer.tail()[..want]) {
                // It is read again, and then told.
                Err(_) | Ok(Span::Data(0)) => return Ok(None),
                Ok(Span::Data(length)) => {
                    let (piece, length) = (&self.packer.tail()[..length], length as u64);
                    sha1.update(piece);
                    if hint.parts == 0 && pieces.len() < PIECES_MAX {
                        pieces.push(Piece { offset, length, digest: self.piece_key.digest(piece) });
                    }
                    self.tally.count(Counter::ReadBytes, length);
                    length
                }
                Ok(Span::Hole(length)) => {
                    sha1.update_with_zeros(length);
                    length
                }
            };
            self.tally.at(Phase::Backup, &met.path);
            contents.drop_cache();
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        Ok((Some(sha1.finish()) == hint.sha1).then_some(pieces))
    }

    /// The parts of a file with very many items, if the target has all of them.
    fn recall_parts(&mut self, met: &Met, parts: u32) -> Result<bool, Error> {
        for part in 1..=parts {
            let Some(hints) = &mut self.hints else { return Ok(false) };
            let Some(encoded) = hints.next_part()?.map(<[u8]>::to_vec) else { return Ok(false) };
            let Some(items) = read_items(&encoded) else { return Ok(false) };
            if !self.chunks.have(&items)? {
                return Ok(false);
            }
            self.draft.part(&met.path, &encoded).map_err(|error| spool(self.options, error))?;
            self.cache.put(&self.sort_key, part, &encoded)?;
        }
        Ok(true)
    }

    /// So that a change of the file, or a copy of it, stores no more than it would have.
    fn remember_pieces(&mut self, pieces: &[Piece], hint: &Entry<ChunkNo>) -> Result<(), Error> {
        for piece in pieces {
            let Some(items) = items_of(piece, hint) else { continue };
            let mut encoded = Vec::with_capacity(32);
            push_items(&items, &mut encoded);
            self.blobs.insert(&piece.digest, &encoded)?;
        }
        Ok(())
    }
}

/// The items that hold a piece: all of them if it is the whole file, or what is cut from those that are stored as they are. How much lies in a
/// compressed one, and so where those behind it begin, they do not tell.
fn items_of(piece: &Piece, hint: &Entry<ChunkNo>) -> Option<Vec<Item<ChunkNo>>> {
    if piece.length == hint.stat.size {
        return Some(hint.items.clone()).filter(|items| items.iter().all(|item| matches!(item, Item::Extent { .. })));
    }
    let (mut begin, piece_end, mut items) = (0_u64, piece.offset + piece.length, Vec::new());
    for item in &hint.items {
        if begin >= piece_end {
            break;
        }
        let (Item::Hole { length } | Item::Extent { length, .. }) = *item;
        let (from, to) = (begin.max(piece.offset), (begin + length).min(piece_end));
        match *item {
            Item::Extent { codec: Codec::Zstd, .. } => return None,
            Item::Extent { chunk, offset, codec, .. } if from < to => {
                items.push(Item::Extent { chunk, offset: offset + (from - begin), length: to - from, codec });
            }
            // A piece of zeros is a hole without being looked up.
            Item::Hole { .. } if from < to => return None,
            _ => {}
        }
        begin += length;
    }
    (begin >= piece_end).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha1;
    use crate::entry::Stat;

    fn extent(chunk: u64, offset: u64, length: u64, codec: Codec) -> Item<ChunkNo> {
        Item::Extent { chunk: ChunkNo(chunk), offset, length, codec }
    }

    fn cut(items: &[Item<ChunkNo>], offset: u64, length: u64) -> Option<Vec<Item<ChunkNo>>> {
        let hint = Entry { items: items.to_vec(), ..Entry::new(Stat { size: 300, ..Stat::default() }) };
        items_of(&Piece { offset, length, digest: PieceDigest(Sha1::of(b"").0) }, &hint)
    }

    #[test]
    fn a_piece_is_cut_from_what_is_stored_as_it_is() {
        let raw = [extent(1, 7, 150, Codec::Raw), extent(2, 0, 50, Codec::Raw), Item::Hole { length: 100 }];
        assert_eq!(cut(&raw, 0, 100), Some(vec![extent(1, 7, 100, Codec::Raw)]));
        assert_eq!(cut(&raw, 100, 100), Some(vec![extent(1, 107, 50, Codec::Raw), extent(2, 0, 50, Codec::Raw)]));
        assert_eq!(cut(&raw, 200, 100), None, "a hole");
        let mixed = [extent(1, 0, 100, Codec::Raw), extent(1, 100, 20, Codec::Zstd), extent(1, 120, 100, Codec::Raw)];
        assert_eq!(cut(&mixed, 0, 100), Some(vec![extent(1, 0, 100, Codec::Raw)]));
        assert_eq!((cut(&mixed, 100, 100), cut(&mixed, 200, 100)), (None, None));
        assert_eq!(cut(&mixed[1..2], 0, 300), Some(vec![extent(1, 100, 20, Codec::Zstd)]), "the file is one piece");
        assert_eq!(cut(&mixed[..1], 100, 100), None, "too few items");
    }
}
