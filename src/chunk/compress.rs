//! Compression of one piece: one zstd frame (RFC 8878), kept only if it saves a sixteenth.

use std::io;

use crate::limits::PIECE_BYTES_MAX;

/// A piece from this size on is first tried by a sample of its middle: photographs and films don't get smaller.
const SAMPLED_FROM_BYTES: usize = 32 * 1024;
const SAMPLE_BYTES: usize = 4 * 1024;
/// Below this the frame's own bytes eat what is saved.
const SMALLEST_BYTES: usize = 128;

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

    /// The piece made smaller, if it is worth it.
    pub fn compress(&mut self, piece: &[u8]) -> Option<&[u8]> {
        if piece.len() < SMALLEST_BYTES || piece.len() > PIECE_BYTES_MAX {
            return None;
        }
        if piece.len() >= SAMPLED_FROM_BYTES {
            let middle = piece.len() / 2;
            self.shrinks(&piece[middle..middle + SAMPLE_BYTES])?;
        }
        let length = self.shrinks(piece)?;
        Some(&self.buffer[..length])
    }

    /// Compresses into the buffer; the length if it is at most fifteen sixteenths.
    fn shrinks(&mut self, bytes: &[u8]) -> Option<usize> {
        let most = bytes.len() - bytes.len() / 16;
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        // It fails if the result does not fit: that is the answer.
        self.zstd.compress_to_buffer(bytes, &mut self.buffer[..most]).ok()
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
        let small = compressor.compress(&text).unwrap().to_vec();
        assert!(small.len() < text.len() / 4);
        assert_eq!(zstd::stream::decode_all(&small[..]).unwrap(), text);
        let mut noise = vec![0; 100_000];
        getrandom::fill(&mut noise).unwrap();
        assert_eq!(compressor.compress(&noise), None);
        assert_eq!(compressor.compress(&noise[..1000]), None);
        assert_eq!(compressor.compress(b"aaaaaaaaaaaaaaaa"), None);
    }
}
