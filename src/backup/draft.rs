//! The draft of a metafile: entries as they come, with chunk numbers, because the names of chunks that are still open are not known.
//!
//! An unnamed file in the spool directory, written once and read once. Local, and no part of the format.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::fsutil;
use crate::limits::{DOCUMENT_BYTES_MAX, PATH_BYTES_MAX};
use crate::relpath::RelPath;

const BUFFER_BYTES: usize = 64 * 1024;
const ENTRY: u8 = 1;
const PART: u8 = 2;

/// A draft being written.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    buffer: Vec<u8>,
    written: u64,
}

/// One record of a draft.
#[derive(Debug, Default)]
pub(super) struct Drafted {
    pub(super) is_part: bool,
    pub(super) path: RelPath,
    pub(super) hardlink: Option<RelPath>,
    /// A record of [`crate::entry`], or the items of a part.
    pub(super) record: Vec<u8>,
}

/// Where a draft was, to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Draft {
    pub(super) fn create(spool: &Path) -> io::Result<Self> {
        Ok(Self { file: fsutil::unnamed_file(spool)?, buffer: Vec::with_capacity(BUFFER_BYTES), written: 0 })
    }

    pub(super) fn entry(&mut self, path: &RelPath, hardlink: Option<&RelPath>, record: &[u8]) -> io::Result<()> {
        self.push(ENTRY, path.as_bytes(), hardlink.map_or(b"", RelPath::as_bytes), record)
    }

    pub(super) fn part(&mut self, path: &RelPath, items: &[u8]) -> io::Result<()> {
        self.push(PART, path.as_bytes(), b"", items)
    }

    /// Where it is now.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.written + self.buffer.len() as u64)
    }

    /// Takes back everything since the mark.
    pub(super) fn rewind(&mut self, mark: Mark) -> io::Result<()> {
        self.flush()?;
        self.file.set_len(mark.0)?;
        self.file.seek(SeekFrom::Start(mark.0))?;
        self.written = mark.0;
        Ok(())
    }

    /// Reads it from the beginning.
    pub(super) fn read(mut self) -> io::Result<DraftReader> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(DraftReader { source: BufReader::with_capacity(BUFFER_BYTES, self.file), rest: self.written })
    }

    fn push(&mut self, tag: u8, path: &[u8], hardlink: &[u8], record: &[u8]) -> io::Result<()> {
        if self.buffer.len() + path.len() + hardlink.len() + record.len() + 13 > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.push(tag);
        for bytes in [path, hardlink, record] {
            self.buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        }
        for bytes in [path, hardlink, record] {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        let length = self.buffer.len() as u64;
        // One window back: those pages are on the disk by now.
        fsutil::drop_cache(&self.file, self.written.saturating_sub(1 << 20), length + (1 << 20));
        self.written += length;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        Ok(())
    }
}

/// Reads a draft in order.
#[derive(Debug)]
pub(super) struct DraftReader {
    source: BufReader<File>,
    rest: u64,
}

impl DraftReader {
    /// The next record, into `drafted`; false at the end.
    pub(super) fn next(&mut self, drafted: &mut Drafted) -> io::Result<bool> {
        if self.rest == 0 {
            return Ok(false);
        }
        let mut head = [0; 13];
        self.source.read_exact(&mut head)?;
        let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (path, hardlink, record) = (length(1), length(5), length(9));
        let malformed = || io::Error::other("the draft of the metafile is damaged");
        if path > PATH_BYTES_MAX || hardlink > PATH_BYTES_MAX || record > DOCUMENT_BYTES_MAX {
            return Err(malformed());
        }
        drafted.is_part = head[0] == PART;
        drafted.path = self.path(path)?.ok_or_else(malformed)?;
        drafted.hardlink = if hardlink == 0 { None } else { self.path(hardlink)? };
        drafted.record.resize(record, 0);
        self.source.read_exact(&mut drafted.record)?;
        self.rest = self.rest.checked_sub((13 + path + hardlink + record) as u64).ok_or_else(malformed)?;
        Ok(true)
    }

    fn path(&mut self, length: usize) -> io::Result<Option<RelPath>> {
        if length == 0 {
            return Ok(Some(RelPath::root()));
        }
        let mut bytes = vec![0; length];
        self.source.read_exact(&mut bytes)?;
        Ok(RelPath::parse(&bytes).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order_without_what_was_taken_back() {
        let spool = tempfile::tempdir().unwrap();
        let mut draft = Draft::create(spool.path()).unwrap();
        let path = |text: &str| RelPath::parse(text.as_bytes()).unwrap();
        draft.entry(&RelPath::root(), None, b"root").unwrap();
        let mark = draft.mark();
        draft.part(&path("gone"), &vec![1; BUFFER_BYTES * 2]).unwrap();
        draft.rewind(mark).unwrap();
        draft.part(&path("a"), b"items").unwrap();
        draft.entry(&path("a"), Some(&path("b")), b"").unwrap();
        let mut reader = draft.read().unwrap();
        let mut found = Vec::new();
        let mut drafted = Drafted::default();
        while reader.next(&mut drafted).unwrap() {
            let link = drafted.hardlink.as_ref().map(RelPath::escaped);
            found.push((drafted.is_part, drafted.path.escaped(), link, drafted.record.clone()));
        }
        let expected = [
            (false, ".".to_owned(), None, b"root".to_vec()),
            (true, "a".to_owned(), None, b"items".to_vec()),
            (false, "a".to_owned(), Some("b".to_owned()), Vec::new()),
        ];
        assert_eq!(found, expected);
    }
}
