//! What a CPU does to the bytes: digests, compression, sealing. A piece at a time, as a backup does.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::measured::{Measured, What};
use super::{Error, Options};
use crate::blob::Sealed;
use crate::chunk::Compressor;
use crate::digest::{PieceKey, Sha1Hasher};
use crate::seal::{Identity, Recipient, Role, Sealing, Suite};

/// What all steps need.
pub(super) struct Bench<'a> {
    pub(super) time: Duration,
    pub(super) stop: &'a AtomicBool,
    /// A recipient whose secret key is lost already.
    pub(super) recipients: [Recipient; 1],
    pub(super) piece_key: PieceKey,
    pub(super) compression: Option<i32>,
    /// A piece of noise.
    pub(super) piece: Vec<u8>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(options: &Options<'_>, stop: &'a AtomicBool) -> Result<Self, Error> {
        let recipients = [Identity::generate()?.recipient().clone()];
        let mut piece = vec![0; options.piece_bytes];
        fill_with_noise(&mut piece);
        Ok(Self {
            time: options.time,
            stop,
            piece_key: PieceKey::derive(&[0; 32], "bench", &[]),
            recipients,
            compression: options.compression,
            piece,
        })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether a step that has taken so long is to go on.
    pub(super) fn goes_on(&self, spent: Duration) -> bool {
        spent < self.time && !self.is_stopped()
    }

    pub(super) fn sha1(&self) -> Measured {
        let mut hasher = Sha1Hasher::default();
        self.each_piece(What::Sha1, |piece| hasher.update(piece))
    }

    pub(super) fn blake3(&self) -> Measured {
        self.each_piece(What::Blake3, |piece| {
            black_box(self.piece_key.digest(piece));
        })
    }

    fn each_piece(&self, what: What, mut work: impl FnMut(&[u8])) -> Measured {
        let mut measured = Measured::new(what);
        while self.goes_on(measured.wall) {
            measured.time(|| work(black_box(&self.piece)));
            measured.add_bytes(self.piece.len());
        }
        measured
    }

    /// Compression of made-up bytes, of which about half is left; nothing if nothing is compressed.
    pub(super) fn compress(&self) -> Result<Option<Measured>, Error> {
        let Some(mut compressor) = self.compressor()? else { return Ok(None) };
        let mut measured = Measured::new(What::Compress);
        let mut piece = vec![0; self.piece.len()];
        while self.goes_on(measured.wall) {
            piece.iter_mut().zip(&self.piece).for_each(|(letter, noise)| *letter = b'a' + (noise & 15));
            let left = measured.time(|| compressor.compress(&mut piece)).map_err(Error::Compression)?;
            measured.add_bytes(piece.len());
            measured.left += left.unwrap_or(piece.len()) as u64;
        }
        Ok(Some(measured))
    }

    pub(super) fn compressor(&self) -> Result<Option<Compressor>, Error> {
        self.compression.map(Compressor::new).transpose().map_err(Error::Compression)
    }

    pub(super) fn seal(&self, suite: Suite) -> Result<Measured, Error> {
        let mut measured = Measured::new(What::seal(suite));
        let sink = |sealed: Sealed<'_>| {
            black_box(sealed.as_bytes());
            Ok::<_, Error>(())
        };
        let mut sealing = Sealing::create(suite, Role::Chunk, &self.recipients, sink)?;
        while self.goes_on(measured.wall) {
            measured.time(|| sealing.write(&self.piece, sink))?;
            measured.add_bytes(self.piece.len());
        }
        Ok(measured)
    }
}

/// Bytes that do not compress: BLAKE3 in counter mode, so that a box without much randomness is not asked for a megabyte.
fn fill_with_noise(piece: &mut [u8]) {
    let key = PieceKey::derive(&[0; 32], "noise", &[]);
    for (number, block) in piece.chunks_mut(20).enumerate() {
        let digest = key.digest(&number.to_le_bytes()).0;
        block.copy_from_slice(&digest[..block.len()]);
    }
}
