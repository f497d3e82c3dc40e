//! The contents of one file: read, digested, looked up, compressed and packed, piece by piece.

use std::sync::atomic::Ordering;

use super::Intake;
use crate::backup::{Error, spool};
use crate::blob::{ChunkNo, Codec, Item, push_item};
use crate::digest::Sha1Hasher;
use crate::entry::{Entry, push_items, read_items};
use crate::limits::ITEMS_PER_DOCUMENT;
use crate::monitor::{Counter, Phase};
use crate::relpath::RelPath;
use crate::source::{Contents, Seams, Span};

impl Intake<'_> {
    /// Takes contents in from beginning to end; if that can't be, nothing of them (I10). Whether it could.
    pub(super) fn take_whole(
        &mut self,
        path: &RelPath,
        contents: &mut Contents,
        size: u64,
        seams: Seams,
        entry: &mut Entry<ChunkNo>,
    ) -> Result<bool, Error> {
        let mark = self.draft.mark();
        let Err(error) = self.take(path, contents, size, seams, entry)? else { return Ok(true) };
        self.lacks(entry, path, format!("can't be read: {error}"));
        if self.draft.mark() != mark {
            self.draft.rewind(mark).map_err(|error| spool(self.options, error))?;
        }
        Ok(false)
    }

    /// Piece by piece, digested and packed from one read (I4). The inner error is the file's own.
    fn take(
        &mut self,
        path: &RelPath,
        contents: &mut Contents,
        size: u64,
        seams: Seams,
        entry: &mut Entry<ChunkNo>,
    ) -> Result<std::io::Result<()>, Error> {
        let (mut sha1, mut taken) = (Sha1Hasher::default(), 0);
        while taken < size && !self.stop.load(Ordering::Relaxed) {
            let want = usize::try_from(seams.room(taken, size)).unwrap_or(usize::MAX).min(self.options.piece_bytes);
            if !self.packer.has_room(want) {
                self.send_buffer()?;
            }
            match contents.read(&mut self.packer.tail()[..want]) {
                Err(error) => return Ok(Err(error)),
                Ok(Span::Data(0)) => break,
                Ok(Span::Data(length)) => {
                    sha1.update(&self.packer.tail()[..length]);
                    self.tally.count(Counter::ReadBytes, length as u64);
                    self.tally.count(Counter::FileBytes, length as u64);
                    self.piece(length, &mut entry.items)?;
                    taken += length as u64;
                }
                Ok(Span::Hole(length)) => {
                    sha1.update_with_zeros(length);
                    push_item(&mut entry.items, Item::Hole { length });
                    self.tally.count(Counter::FileBytes, length);
                    taken += length;
                }
            }
            self.tally.at(Phase::Backup, path);
            contents.drop_cache();
            if entry.items.len() > ITEMS_PER_DOCUMENT {
                self.part(path, entry)?;
            }
        }
        (entry.stat.size, entry.sha1, entry.changed) = (taken, Some(sha1.finish()), taken != size);
        Ok(Ok(()))
    }

    /// The piece in the packer's tail: a hole, known, or new.
    fn piece(&mut self, length: usize, items: &mut Vec<Item<ChunkNo>>) -> Result<(), Error> {
        let piece = &self.packer.tail()[..length];
        if piece[0] == 0 && piece.iter().all(|byte| *byte == 0) {
            push_item(items, Item::Hole { length: length as u64 });
            return Ok(());
        }
        let digest = self.piece_key.digest(piece);
        let known = self.blobs.look_up(&digest)?.and_then(|known| read_items(&known));
        if let Some(known) = known
            && self.chunks.have(&known)?
        {
            known.into_iter().for_each(|item| push_item(items, item));
            return Ok(());
        }
        let piece = &mut self.packer.tail()[..length];
        let compressed = self.compressor.as_mut().map(|compressor| compressor.compress(piece)).transpose();
        let compressed = compressed.map_err(Error::Compression)?.flatten();
        let (stored, codec) = compressed.map_or((length, Codec::Raw), |length| (length, Codec::Zstd));
        let places = self.packer.keep(stored, codec, || self.chunks.create())?;
        let mut encoded = Vec::with_capacity(32);
        push_items(&places, &mut encoded);
        self.blobs.insert(&digest, &encoded)?;
        places.into_iter().for_each(|item| push_item(items, item));
        Ok(())
    }

    /// A file with very many items goes to the draft and the cache in parts.
    fn part(&mut self, path: &RelPath, entry: &mut Entry<ChunkNo>) -> Result<(), Error> {
        let rest = entry.items.split_off(ITEMS_PER_DOCUMENT);
        let mut encoded = Vec::new();
        push_items(&entry.items, &mut encoded);
        self.draft.part(path, &encoded).map_err(|error| spool(self.options, error))?;
        entry.parts += 1;
        self.cache.put(&self.sort_key, entry.parts, &encoded)?;
        entry.items = rest;
        Ok(())
    }
}
