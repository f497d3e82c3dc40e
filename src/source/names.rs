//! The names in a directory, sorted, in bounded memory: what does not fit the budget spills to sorted runs in an unnamed file, one
//! for all directories of a walk. A name carries the type that the listing told.

use std::io;

use super::spool::{Merge, RUN_BYTES, Run, Spool};
use crate::limits::NAMES_BYTES_MAX;

/// Runs that are merged at once; more of them are first merged to one.
const RUNS_MAX: usize = 64;
/// Names are sorted so many at a time, however little may be kept of them: runs that are too short are merged too often.
const SORTED_BYTES_MIN: usize = 64 * 1024;
/// So few are kept whatever the budget: a run at rest takes about as much.
const KEPT_BYTES_MIN: usize = 128;

/// Collects the names of one directory.
#[derive(Debug)]
pub(super) struct Gathering {
    sorted_max: usize,
    kept_max: usize,
    bytes: Vec<u8>,
    places: Vec<(u32, u16)>,
    runs: Vec<Run>,
}

impl Gathering {
    /// Of whose names so many bytes may be kept in memory.
    pub(super) fn within(budget: usize) -> Self {
        Self {
            sorted_max: budget.clamp(SORTED_BYTES_MIN, NAMES_BYTES_MAX),
            kept_max: budget.max(KEPT_BYTES_MIN),
            bytes: Vec::new(),
            places: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes a name. Names have at most 255 bytes.
    pub(super) fn push(&mut self, kind: u8, name: &[u8], spool: &mut Spool<'_>) -> io::Result<()> {
        if self.bytes.len() + self.places.len() * 8 + name.len() + 16 > self.sorted_max {
            self.spill(spool)?;
        }
        self.places.push((self.bytes.len() as u32, name.len() as u16 + 1));
        self.bytes.extend_from_slice(name);
        self.bytes.push(kind);
        Ok(())
    }

    /// All names, ready to be taken in order.
    pub(super) fn finish(mut self, spool: &mut Spool<'_>) -> io::Result<Names> {
        if self.runs.is_empty() && self.bytes.len() + self.places.len() * 8 <= self.kept_max {
            self.sort();
            // Not a byte more than needed: a deep tree has many of these.
            self.bytes.shrink_to_fit();
            self.places.shrink_to_fit();
            return Ok(Names::Memory { bytes: self.bytes, places: self.places, at: 0 });
        }
        self.spill(spool)?;
        if self.runs.len() > 1 && self.runs.len() * RUN_BYTES > self.kept_max {
            self.merge_runs(spool)?;
        }
        self.runs.shrink_to_fit();
        Ok(Names::Spilled(Merge { runs: self.runs, is_at_rest: true }))
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let name = |(start, length): &(u32, u16)| &bytes[*start as usize..*start as usize + usize::from(*length) - 1];
        self.places.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    fn spill(&mut self, spool: &mut Spool<'_>) -> io::Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        self.sort();
        if self.runs.len() >= RUNS_MAX {
            self.merge_runs(spool)?;
        }
        let (places, bytes) = (&self.places, &self.bytes);
        let record = |(start, length): &(u32, u16)| &bytes[*start as usize..*start as usize + usize::from(*length)];
        let run = spool.write(|writer| places.iter().try_for_each(|place| writer.push(record(place))))?;
        self.runs.push(run);
        self.bytes.clear();
        self.places.clear();
        Ok(())
    }

    /// Merges all runs into one behind them: the number of runs stays bounded however many names there are.
    fn merge_runs(&mut self, spool: &mut Spool<'_>) -> io::Result<()> {
        let mut merge = Merge { runs: std::mem::take(&mut self.runs), is_at_rest: true };
        let mut name = Vec::new();
        let run = spool.write(|writer| {
            while merge.next(&mut name, writer.file)? {
                writer.push(&name)?;
            }
            Ok(())
        })?;
        self.runs.push(run);
        Ok(())
    }
}

/// The names of one directory in order.
#[derive(Debug)]
pub(super) enum Names {
    /// Nearly always.
    Memory { bytes: Vec<u8>, places: Vec<(u32, u16)>, at: usize },
    /// A directory with very many names, or deep down in a tree with many.
    Spilled(Merge),
}

impl Names {
    /// The next name and its type, into `name`; false at the end.
    pub(super) fn next(&mut self, name: &mut Vec<u8>, spool: &Spool<'_>) -> io::Result<Option<u8>> {
        let more = match self {
            Self::Spilled(merge) => merge.next(name, spool.file()?)?,
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
            Self::Spilled(merge) => merge.runs.iter().all(|run| run.is_read_out()),
        }
    }

    /// Lets go of its buffers: for as long as the walk is below it, nobody asks.
    pub(super) fn rest(&mut self) {
        if let Self::Spilled(merge) = self {
            merge.runs.iter_mut().for_each(Run::rest);
            merge.is_at_rest = true;
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Memory { bytes, places, .. } => bytes.capacity() + places.capacity() * 8,
            Self::Spilled(Merge { runs, is_at_rest: true }) => runs.len() * size_of::<Run>(),
            Self::Spilled(Merge { runs, is_at_rest: false }) => runs.len() * (size_of::<Run>() + RUN_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorts names, `sorted_max` bytes at a time if it says so, within a budget. `rests` lets go of the buffers behind each name.
    fn sorted(count: u32, sorted_max: Option<usize>, budget: usize, rests: bool) -> (Vec<Vec<u8>>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::in_folder(folder.path());
        let mut gathering = Gathering::within(budget);
        gathering.sorted_max = sorted_max.unwrap_or(gathering.sorted_max);
        for number in 0..count {
            let name = format!("name-{:08x}", number.wrapping_mul(2_654_435_761));
            gathering.push(b'f', name.as_bytes(), &mut spool).unwrap();
        }
        let mut names = gathering.finish(&mut spool).unwrap();
        let (mut all, mut name, mut held) = (Vec::new(), Vec::new(), 0);
        while let Some(kind) = names.next(&mut name, &spool).unwrap() {
            assert_eq!(kind, b'f');
            all.push(name.clone());
            held = held.max(names.held());
            assert_eq!(names.is_at_end(), all.len() == count as usize);
            if rests {
                names.rest();
            }
        }
        (all, held)
    }

    #[test]
    fn spilled_names_come_in_the_same_order_in_bounded_memory() {
        let (in_memory, _) = sorted(3000, None, NAMES_BYTES_MAX, false);
        assert_eq!(in_memory.len(), 3000);
        assert!(in_memory.is_sorted());
        for (budget, rests, most) in
            [(NAMES_BYTES_MAX, false, RUNS_MAX + 1), (NAMES_BYTES_MAX, true, RUNS_MAX + 1), (0, false, 1)]
        {
            // So small runs are hundreds, so that they are merged into one on the way.
            let (spilled, held) = sorted(3000, Some(600), budget, rests);
            assert!(in_memory == spilled, "{budget} {rests}");
            assert!(held <= most * (RUN_BYTES + size_of::<Run>()), "{budget} {rests}: {held}");
        }
        assert!(in_memory == sorted(3000, None, 0, false).0);
    }

    #[test]
    fn directories_in_each_other_share_one_file_and_give_their_space_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::in_folder(folder.path());
        let read = |level: usize, spool: &mut Spool<'_>| {
            let mut gathering = Gathering::within(0);
            for number in 0..100 {
                gathering.push(b'f', format!("{number:03} of {level:0>200}").as_bytes(), spool).unwrap();
            }
            gathering.finish(spool).unwrap()
        };
        let mut name = Vec::new();
        let mut levels = Vec::new();
        for level in 0..100 {
            let start = spool.end();
            let mut names = read(level, &mut spool);
            names.next(&mut name, &spool).unwrap();
            names.rest();
            levels.push((start, names));
        }
        assert!(levels.iter().map(|(_, names)| names.held()).sum::<usize>() < 100 * KEPT_BYTES_MIN);
        while let Some((start, mut names)) = levels.pop() {
            for number in 1..100 {
                assert!(names.next(&mut name, &spool).unwrap().is_some());
                assert!(name == format!("{number:03} of {:0>200}", levels.len()).as_bytes());
            }
            assert!(names.next(&mut name, &spool).unwrap().is_none());
            spool.give_back(start);
            // As if another directory came behind it.
            read(levels.len(), &mut spool);
            spool.give_back(start);
        }
        assert_eq!(spool.end(), 0);
    }
}
