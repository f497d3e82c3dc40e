//! The file that names spill to, one for all directories of a walk, and the sorted runs in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::fsutil;

pub(super) const RUN_BUFFER_BYTES: usize = 2048;
/// What a run in use takes: its buffer, and a name.
pub(super) const RUN_BYTES: usize = RUN_BUFFER_BYTES + 512;
/// Space of the spool file from which on it is worth a call to give it back.
const GIVEN_BACK_BYTES_MIN: u64 = 1024 * 1024;

/// The file that names spill to. What a directory has in it lies behind what those above it have, and goes when the walk leaves it.
#[derive(Debug)]
pub(super) struct Spool<'a> {
    folder: &'a Path,
    file: Option<File>,
    end: u64,
}

impl<'a> Spool<'a> {
    /// It makes its file when something spills.
    pub(super) fn in_folder(folder: &'a Path) -> Self {
        Self { folder, file: None, end: 0 }
    }

    /// Where the next names will lie.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Lets go of what lies behind a place.
    pub(super) fn give_back(&mut self, start: u64) {
        if let Some(file) = &self.file
            && self.end.saturating_sub(start) >= GIVEN_BACK_BYTES_MIN
        {
            // Only space: it is written over, or gone with the file.
            let _ = file.set_len(start);
        }
        self.end = self.end.min(start);
    }

    /// A run at the end, of the records that `write` pushes.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut RunWriter<'_>) -> io::Result<()>) -> io::Result<Run> {
        if self.file.is_none() {
            self.file = Some(fsutil::unnamed_file(self.folder)?);
        }
        let mut writer = RunWriter::at(self.file()?, self.end);
        write(&mut writer)?;
        let run = writer.finish()?;
        self.end = run.end;
        Ok(run)
    }

    pub(super) fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::Error::other("no spool file"))
    }
}

/// Sorted runs in a file, read side by side.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) runs: Vec<Run>,
    pub(super) is_at_rest: bool,
}

impl Merge {
    /// The smallest head of all runs. Few runs: a look at each is quick enough beside the stat() that follows.
    pub(super) fn next(&mut self, name: &mut Vec<u8>, file: &File) -> io::Result<bool> {
        name.clear();
        if std::mem::take(&mut self.is_at_rest) {
            self.runs.iter_mut().try_for_each(|run| run.advance(file))?;
        }
        let heads = self.runs.iter().enumerate().filter(|(_, run)| !run.head.is_empty());
        let Some(smallest) = heads.min_by(|(_, a), (_, b)| a.name().cmp(&b.name())).map(|(at, _)| at) else {
            return Ok(false);
        };
        let run = &mut self.runs[smallest];
        std::mem::swap(name, &mut run.head);
        run.advance(file)?;
        Ok(true)
    }
}

/// A sorted run: records of length (u16), name, type.
#[derive(Debug, Default)]
pub(super) struct Run {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    head: Vec<u8>,
}

impl Run {
    /// The head without its type.
    fn name(&self) -> Option<&[u8]> {
        self.head.split_last().map(|(_, name)| name)
    }

    /// Whether nothing is left of it.
    pub(super) fn is_read_out(&self) -> bool {
        self.head.is_empty() && self.at == self.end
    }

    /// As it was before the head was read, without buffers.
    pub(super) fn rest(&mut self) {
        let head = if self.head.is_empty() { 0 } else { 2 + self.head.len() };
        let at = self.at - (self.buffer.len() - self.used + head) as u64;
        *self = Self { at, end: self.end, ..Self::default() };
    }

    /// Takes the next record as head; an empty head is the end.
    pub(super) fn advance(&mut self, file: &File) -> io::Result<()> {
        self.head.clear();
        let mut length = [0; 2];
        if !self.take(file, &mut length)? {
            return Ok(());
        }
        self.head.resize(usize::from(u16::from_le_bytes(length)), 0);
        let mut head = std::mem::take(&mut self.head);
        self.take(file, &mut head)?;
        self.head = head;
        Ok(())
    }

    fn take(&mut self, file: &File, mut into: &mut [u8]) -> io::Result<bool> {
        while !into.is_empty() {
            if self.used == self.buffer.len() {
                let length = usize::try_from(self.end - self.at).unwrap_or(RUN_BUFFER_BYTES).min(RUN_BUFFER_BYTES);
                if length == 0 {
                    return Ok(false);
                }
                self.buffer.resize(length, 0);
                file.read_exact_at(&mut self.buffer, self.at)?;
                self.at += length as u64;
                self.used = 0;
            }
            let now = into.len().min(self.buffer.len() - self.used);
            into[..now].copy_from_slice(&self.buffer[self.used..self.used + now]);
            self.used += now;
            into = &mut into[now..];
        }
        Ok(true)
    }
}

pub(super) struct RunWriter<'a> {
    pub(super) file: &'a File,
    start: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    fn at(file: &'a File, start: u64) -> Self {
        Self { file, start, at: start, buffer: Vec::with_capacity(32 * 1024) }
    }

    pub(super) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(&(record.len() as u16).to_le_bytes());
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= 31 * 1024 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Run> {
        self.flush()?;
        Ok(Run { at: self.start, end: self.at, ..Run::default() })
    }
}
