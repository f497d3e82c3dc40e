//! What a target has, in one listing: chunks sorted by key in a file, links of chains in memory. A million chunks take the memory of a few
//! thousand.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::Error;
use super::chain::Link;
use crate::digest::{Key, Sha1};
use crate::fsutil;
use crate::target::{ObjectName, Target};

const RECORD_BYTES: usize = 28;
/// Chunks that are sorted in memory at a time.
const SORTED_RECORDS: usize = 32 * 1024;
/// Memory of all runs that are merged, and of one of them at least.
const MERGE_BYTES: usize = 1024 * 1024;
const RUN_BYTES_MIN: usize = RECORD_BYTES * 32;
const RUN_BYTES_MAX: usize = RECORD_BYTES * 256;

/// A listing that came to its end.
#[derive(Debug)]
pub struct Listing {
    /// Backups and tombstones, sorted by name. Where there are both there is the backup.
    pub links: Vec<Link>,
    /// Tombstones whose backups are there all the same, sorted by name.
    pub early: Vec<Link>,
    file: File,
    /// Where runs begin and end in the file, in bytes.
    runs: Vec<(u64, u64)>,
}

impl Listing {
    /// Lists a target. What is sorted lies in a file without a name in `spool`.
    pub fn take(target: &dyn Target, spool: &Path) -> Result<Self, Error> {
        let mut listing = Self::empty(spool)?;
        let (mut records, mut failed) = (Vec::with_capacity(SORTED_RECORDS), None);
        target.list(&mut |object, length| {
            if failed.is_some() {
                return Ok(());
            }
            match object {
                ObjectName::Chunk(key) => records.push((key.0, length)),
                object => listing.links.extend(Link::of(object, length)),
            }
            if records.len() == SORTED_RECORDS {
                failed = listing.spill(&mut records).err();
            }
            Ok(())
        })?;
        let spilled = failed.map_or_else(|| listing.spill(&mut records), Err);
        spilled.map_err(Error::Spool)?;
        listing.early = Link::sort(&mut listing.links);
        Ok(listing)
    }

    /// Of a target that is to be made yet.
    pub fn empty(spool: &Path) -> Result<Self, Error> {
        let file = fsutil::unnamed_file(spool).map_err(Error::Spool)?;
        Ok(Self { links: Vec::new(), early: Vec::new(), file, runs: Vec::new() })
    }

    /// Nothing of Brackup's is there.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.early.is_empty() && self.runs.iter().all(|(begin, end)| begin == end)
    }

    /// Its chunks in the order of their keys, each with its length. One that was listed twice comes once.
    pub fn chunks(&self) -> Chunks<'_> {
        let bytes = (MERGE_BYTES / self.runs.len().max(1)).clamp(RUN_BYTES_MIN, RUN_BYTES_MAX);
        let run = |(begin, end): &(u64, u64)| Run {
            rest: *begin..*end,
            buffer: Vec::new(),
            at: 0,
            // Whole records.
            bytes: bytes - bytes % RECORD_BYTES,
        };
        Chunks { file: &self.file, runs: self.runs.iter().map(run).collect(), last: None }
    }

    fn spill(&mut self, records: &mut Vec<([u8; 20], u64)>) -> io::Result<()> {
        records.sort_unstable();
        let begin = self.runs.last().map_or(0, |(_, end)| *end);
        let mut bytes = Vec::with_capacity(RUN_BYTES_MAX);
        let mut end = begin;
        for some in records.chunks(RUN_BYTES_MAX / RECORD_BYTES) {
            bytes.clear();
            for (key, length) in some {
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(&length.to_le_bytes());
            }
            self.file.write_all_at(&bytes, end)?;
            end += bytes.len() as u64;
        }
        self.runs.push((begin, end));
        records.clear();
        Ok(())
    }
}

/// See [`Listing::chunks`].
#[derive(Debug)]
pub struct Chunks<'l> {
    file: &'l File,
    runs: Vec<Run>,
    last: Option<[u8; 20]>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<(Key, u64), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.smallest().map_err(Error::Spool).transpose()
    }
}

impl Chunks<'_> {
    fn smallest(&mut self) -> io::Result<Option<(Key, u64)>> {
        loop {
            let mut smallest: Option<(usize, ([u8; 20], u64))> = None;
            for (index, run) in self.runs.iter_mut().enumerate() {
                let head = run.head(self.file)?;
                if let Some(head) = head
                    && smallest.is_none_or(|(_, smallest)| head < smallest)
                {
                    smallest = Some((index, head));
                }
            }
            let Some((index, (key, length))) = smallest else { return Ok(None) };
            self.runs[index].at += RECORD_BYTES;
            if self.last.replace(key) != Some(key) {
                return Ok(Some((Sha1(key), length)));
            }
        }
    }
}

#[derive(Debug)]
struct Run {
    /// What is not read yet.
    rest: std::ops::Range<u64>,
    buffer: Vec<u8>,
    at: usize,
    bytes: usize,
}

impl Run {
    fn head(&mut self, file: &File) -> io::Result<Option<([u8; 20], u64)>> {
        if self.at == self.buffer.len() {
            let length = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX).min(self.bytes);
            self.buffer.resize(length, 0);
            file.read_exact_at(&mut self.buffer, self.rest.start)?;
            self.rest.start += length as u64;
            self.at = 0;
        }
        let record = self.buffer[self.at..].first_chunk::<RECORD_BYTES>();
        let fields = record.and_then(|record| Some((record.first_chunk()?, record.last_chunk()?)));
        Ok(fields.map(|(key, length)| (*key, u64::from_le_bytes(*length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Error as TargetError, Filesystem};

    /// Lists what it is told to.
    fn listing(records: &[(u32, u64)]) -> Listing {
        let folder = tempfile::tempdir().unwrap();
        let target = Filesystem::at(folder.path());
        target.identify(None).unwrap();
        let mut listing = Listing::take(&target, folder.path()).unwrap();
        for some in records.chunks(1000) {
            let mut some: Vec<_> =
                some.iter().map(|(number, length)| (Sha1::of(&number.to_le_bytes()).0, *length)).collect();
            listing.spill(&mut some).unwrap();
        }
        listing
    }

    #[test]
    fn many_runs_come_in_one_order_and_twice() {
        let records: Vec<_> = (0..100_500_u32).map(|number| (number % 100_000, u64::from(number % 100_000))).collect();
        let listing = listing(&records);
        let mut expected: Vec<_> =
            records[..100_000].iter().map(|(n, length)| (Sha1::of(&n.to_le_bytes()), *length)).collect();
        expected.sort_by_key(|(key, _)| key.0);
        for _ in 0..2 {
            let found: Vec<_> = listing.chunks().map(Result::unwrap).collect();
            assert!(found == expected, "{} of {}", found.len(), expected.len());
        }
    }

    #[test]
    fn a_target_that_fails_makes_no_listing() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Filesystem::at(&folder.path().join("gone"));
        let error = Listing::take(&gone, folder.path()).unwrap_err();
        assert!(matches!(error, Error::Target(TargetError { .. })), "{error}");
    }
}
