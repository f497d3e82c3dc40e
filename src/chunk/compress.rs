//! Compression of one piece, in place: a run of zstd frames (RFC 8878) of one block each, kept only if it saves a sixteenth.
//!
//! Block by block because the compressor's memory is that of its block, and because a frame is never longer than what
//! it replaces once the first has made room: no second buffer of the size of a piece.

use std::io;

use crate::limits::PIECE_BYTES_MAX;

/// What is compressed at a time.
const BLOCK_BYTES: usize = 128 * 1024;
/// What zstd may add to a block that does not get smaller (its ZSTD_COMPRESSBOUND, rounded up).
const BLOCK_EXCESS_BYTES: usize = 1024;
/// A piece from this size on is first tried by a sample of its middle: photographs and films don't get smaller.
const SAMPLED_FROM_BYTES: usize = 32 * 1024;
const SAMPLE_BYTES: usize = 4 * 1024;
/// Below this the frame's own bytes eat what is saved.
const SMALLEST_BYTES: usize = 128;

// The sixteenth that the first block saves is more than all that the others may add.
const _: () = assert!(PIECE_BYTES_MAX / BLOCK_BYTES * BLOCK_EXCESS_BYTES <= BLOCK_BYTES / 16);

/// A compressor with its one buffer.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    buffer: Vec<u8>,
}

impl Compressor {
    /// At a level of zstd.
    pub fn new(level: i32) -> io::Result<Self> {
        let mut zstd = zstd::bulk::Compressor::new(level)?;
        // The piece's length is known from the entry, its digest too: no need for either in each frame.
        zstd.include_contentsize(false)?;
        zstd.include_checksum(false)?;
        Ok(Self { zstd, buffer: Vec::new() })
    }

    /// Makes the piece smaller if that is worth it: its new length. Otherwise it is as it was, but for an error: then it is lost.
    pub fn compress(&mut self, piece: &mut [u8]) -> io::Result<Option<usize>> {
        if piece.len() < SMALLEST_BYTES || piece.len() > PIECE_BYTES_MAX {
            return Ok(None);
        }
        if piece.len() >= SAMPLED_FROM_BYTES {
            let middle = piece.len() / 2;
            if self.shrink(&piece[middle..middle + SAMPLE_BYTES], SAMPLE_BYTES - SAMPLE_BYTES / 16).is_err() {
                return Ok(None);
            }
        }
        let first = piece.len().min(BLOCK_BYTES);
        // It fails if the result does not fit: that is the answer.
        let Ok(mut done) = self.shrink(&piece[..first], first - first / 16) else { return Ok(None) };
        piece[..done].copy_from_slice(&self.buffer[..done]);
        let mut next = first;
        while next < piece.len() {
            let block = next..piece.len().min(next + BLOCK_BYTES);
            let length = self.shrink(&piece[block.clone()], block.len() + BLOCK_EXCESS_BYTES)?;
            piece[done..done + length].copy_from_slice(&self.buffer[..length]);
            done += length;
            next = block.end;
        }
        Ok(Some(done))
    }

    /// Compresses into the buffer; an error if the length would be more than `most`.
    fn shrink(&mut self, bytes: &[u8], most: usize) -> io::Result<usize> {
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        self.zstd.compress_to_buffer(bytes, &mut self.buffer[..most])
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gets_smaller_and_noise_is_left_alone() {
        let mut compressor = Compressor::new(1).unwrap();
        let text = b"all work and no play ".repeat(100);
        let mut small = text.clone();
        let length = compressor.compress(&mut small).unwrap().unwrap();
        assert!(length < text.len() / 4);
        assert_eq!(zstd::stream::decode_all(&small[..length]).unwrap(), text);
        let mut noise = vec![0; 100_000];
        getrandom::fill(&mut noise).unwrap();
        let before = noise.clone();
        assert_eq!(compressor.compress(&mut noise).unwrap(), None);
        assert_eq!(compressor.compress(&mut noise[..1000]).unwrap(), None);
        assert_eq!(noise, before);
        assert_eq!(compressor.compress(&mut b"aaaaaaaaaaaaaaaa".to_vec()).unwrap(), None);
    }

    /// Strategies that a small build leaves out (cross/targets.toml) are replaced, not refused.
    #[test]
    fn every_level_that_can_be_configured_compresses() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|line| format!("line {} of a text\n", line * line % 9973).into_bytes()).collect();
        for level in [-7, -1, 1, 2, 3, 5, 7, 9, 13, 16, 18, 19] {
            let mut piece = text.clone();
            let length = Compressor::new(level).unwrap().compress(&mut piece).unwrap().unwrap();
            assert_eq!(zstd::stream::decode_all(&piece[..length]).unwrap(), text, "{level}");
        }
    }

    #[test]
    fn a_piece_that_is_noise_behind_its_first_block_still_fits() {
        let mut compressor = Compressor::new(1).unwrap();
        let mut piece = vec![0; PIECE_BYTES_MAX];
        getrandom::fill(&mut piece).unwrap();
        piece[..BLOCK_BYTES].fill(b'x');
        let middle = piece.len() / 2;
        piece[middle..middle + SAMPLE_BYTES].fill(b'x');
        let before = piece.clone();
        let length = compressor.compress(&mut piece).unwrap().unwrap();
        assert_eq!(zstd::stream::decode_all(&piece[..length]).unwrap(), before);
    }
}
