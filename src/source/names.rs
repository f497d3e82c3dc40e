//! The names in a directory, sorted, in bounded memory: what does not fit the budget spills to sorted runs in an unnamed file.
//! A name carries the type that the listing told.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::fsutil;
use crate::limits::NAMES_BYTES_MAX;

/// Runs that are merged at once; more of them are first merged to one.
const RUNS_MAX: usize = 64;
const RUN_BUFFER_BYTES: usize = 2048;

/// Collects the names of one directory.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    bytes: Vec<u8>,
    places: Vec<(u32, u16)>,
    runs: Vec<Run>,
    file: Option<File>,
    written: u64,
}

impl Gathering {
    /// Takes a name. Names have at most 255 bytes.
    pub(super) fn push(&mut self, kind: u8, name: &[u8], budget: usize, spool: &Path) -> io::Result<()> {
        if self.bytes.len() + self.places.len() * 8 + name.len() + 16 > budget.min(NAMES_BYTES_MAX) {
            self.spill(spool)?;
        }
        self.places.push((self.bytes.len() as u32, name.len() as u16 + 1));
        self.bytes.extend_from_slice(name);
        self.bytes.push(kind);
        Ok(())
    }

    /// All names, ready to be taken in order.
    pub(super) fn finish(mut self, spool: &Path) -> io::Result<Names> {
        self.sort();
        if self.runs.is_empty() {
            // Not a byte more than needed: a deep tree has many of these.
            self.bytes.shrink_to_fit();
            self.places.shrink_to_fit();
            return Ok(Names::Memory { bytes: self.bytes, places: self.places, at: 0 });
        }
        self.spill(spool)?;
        let file = self.file.take().ok_or_else(|| io::Error::other("no spool file"))?;
        let mut merge = Merge { file, runs: self.runs };
        for run in &mut merge.runs {
            run.advance(&merge.file)?;
        }
        Ok(Names::Spilled(merge))
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let name = |(start, length): &(u32, u16)| &bytes[*start as usize..*start as usize + usize::from(*length) - 1];
        self.places.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    fn spill(&mut self, spool: &Path) -> io::Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        self.sort();
        if self.file.is_none() {
            self.file = Some(fsutil::unnamed_file(spool)?);
        }
        if self.runs.len() >= RUNS_MAX {
            self.merge_runs()?;
        }
        let Some(file) = &self.file else { return Ok(()) };
        let mut writer = RunWriter::at(file, self.written);
        for (start, length) in &self.places {
            writer.push(&self.bytes[*start as usize..*start as usize + usize::from(*length)])?;
        }
        let run = writer.finish()?;
        self.written = run.end;
        self.runs.push(run);
        self.bytes.clear();
        self.places.clear();
        Ok(())
    }

    /// Merges all runs into one behind them: the number of runs stays bounded however many names there are.
    fn merge_runs(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut merge = Merge { file: file.try_clone()?, runs: std::mem::take(&mut self.runs) };
        for run in &mut merge.runs {
            run.advance(&merge.file)?;
        }
        let mut writer = RunWriter::at(file, self.written);
        let mut name = Vec::new();
        while merge.next(&mut name)? {
            writer.push(&name)?;
        }
        let run = writer.finish()?;
        self.written = run.end;
        self.runs.push(run);
        Ok(())
    }
}

/// The names of one directory in order.
#[derive(Debug)]
pub(super) enum Names {
    /// Nearly always.
    Memory { bytes: Vec<u8>, places: Vec<(u32, u16)>, at: usize },
    /// A directory with very many names.
    Spilled(Merge),
}

impl Names {
    /// The next name and its type, into `name`; false at the end.
    pub(super) fn next(&mut self, name: &mut Vec<u8>) -> io::Result<Option<u8>> {
        let more = match self {
            Self::Spilled(merge) => merge.next(name)?,
            Self::Memory { bytes, places, at } => {
                name.clear();
                let place = places.get(*at);
                *at += 1;
                place.is_some_and(|(start, length)| {
                    name.extend_from_slice(&bytes[*start as usize..*start as usize + usize::from(*length)]);
                    true
                })
            }
        };
        Ok(if more { name.pop() } else { None })
    }

    /// Whether all of them were taken.
    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Self::Memory { places, at, .. } => *at >= places.len(),
            Self::Spilled(merge) => merge.runs.iter().all(|run| run.head.is_empty()),
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Memory { bytes, places, .. } => bytes.capacity() + places.capacity() * 8,
            Self::Spilled(merge) => merge.runs.len() * RUN_BUFFER_BYTES,
        }
    }
}

/// Sorted runs in a file, read side by side.
#[derive(Debug)]
pub(super) struct Merge {
    file: File,
    runs: Vec<Run>,
}

impl Merge {
    /// The smallest head of all runs. Few runs: a look at each is quick enough beside the stat() that follows.
    fn next(&mut self, name: &mut Vec<u8>) -> io::Result<bool> {
        name.clear();
        let key = |run: &Run| run.head.split_last().map(|(_, name)| name.to_vec());
        let heads = self.runs.iter().enumerate().filter(|(_, run)| !run.head.is_empty());
        let Some(smallest) = heads.min_by(|(_, a), (_, b)| key(a).cmp(&key(b))).map(|(at, _)| at) else {
            return Ok(false);
        };
        let run = &mut self.runs[smallest];
        std::mem::swap(name, &mut run.head);
        run.advance(&self.file)?;
        Ok(true)
    }
}

/// A sorted run: records of length (u16), name, type.
#[derive(Debug, Default)]
struct Run {
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
    head: Vec<u8>,
}

impl Run {
    /// Takes the next record as head; an empty head is the end.
    fn advance(&mut self, file: &File) -> io::Result<()> {
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

struct RunWriter<'a> {
    file: &'a File,
    start: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    fn at(file: &'a File, start: u64) -> Self {
        Self { file, start, at: start, buffer: Vec::with_capacity(32 * 1024) }
    }

    fn push(&mut self, record: &[u8]) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(count: u32, budget: usize) -> (Vec<Vec<u8>>, usize) {
        let spool = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::default();
        for number in 0..count {
            let name = format!("name-{:08x}", number.wrapping_mul(2_654_435_761));
            gathering.push(b'f', name.as_bytes(), budget, spool.path()).unwrap();
        }
        let mut names = gathering.finish(spool.path()).unwrap();
        let held = names.held();
        let (mut all, mut name) = (Vec::new(), Vec::new());
        while let Some(kind) = names.next(&mut name).unwrap() {
            assert_eq!(kind, b'f');
            all.push(name.clone());
        }
        (all, held)
    }

    #[test]
    fn spilled_names_come_in_the_same_order_in_bounded_memory() {
        let (in_memory, _) = sorted(3000, usize::MAX);
        // So small a budget makes hundreds of runs, so that runs are merged into one on the way.
        let (spilled, held) = sorted(3000, 600);
        assert_eq!(in_memory.len(), 3000);
        assert!(in_memory.is_sorted());
        assert_eq!(in_memory, spilled);
        assert!(held <= (RUNS_MAX + 1) * RUN_BUFFER_BYTES, "{held}");
    }
}
