//! A reader with an end, whatever it reads from.

use std::io::{self, BufRead, Read};

/// Ends what is too long, so that nothing grows in memory.
pub(super) struct Metered<R> {
    from: R,
    left: usize,
    in_all: u64,
}

impl<R: BufRead> Metered<R> {
    /// So much for now, and so much ever.
    pub(super) fn over(from: R, left: usize, in_all: u64) -> Self {
        Self { from, left, in_all }
    }

    /// So much from here on.
    pub(super) fn go_on(&mut self, left: usize) {
        self.left = left;
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.left.min(usize::try_from(self.in_all).unwrap_or(usize::MAX));
        let filled = self.from.fill_buf()?;
        if left == 0 && !filled.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a part of it is too long"));
        }
        Ok(&filled[..filled.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.in_all = self.in_all.saturating_sub(amount as u64);
        self.from.consume(amount);
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.fill_buf()?;
        let read = filled.len().min(buffer.len());
        buffer[..read].copy_from_slice(&filled[..read]);
        self.consume(read);
        Ok(read)
    }
}
