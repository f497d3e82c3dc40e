//! What is in one backup, by number: entry after entry in the order of the metafile, so that what is below a directory follows it. The
//! entries are in a file without a name; in memory is where each begins, where what is below it ends, and what it is in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use crate::blob::{ChunkNo, Item};
use crate::catalog::Documents;
use crate::digest::Key;
use crate::entry::{Entry, Kind, Stat, push_items, read_items};
use crate::fsutil;
use crate::metafile::{Found, Record};
use crate::relpath::RelPath;

/// What is written, and read, at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Most records are shorter.
const GUESS_BYTES: usize = 512;
/// The kernel takes no longer name.
const NAME_BYTES_MAX: usize = 255;
/// Before the name: inode, where its parts begin, bytes stored, length of the name.
const HEAD_BYTES: usize = 4 + 8 + 8 + 4;

/// The index of a backup. Entry 0 is its root.
pub(super) struct Index {
    nodes: Vec<Node>,
    file: File,
    /// By their numbers in the records.
    keys: Vec<Key>,
    /// Inodes with several names: how many.
    links: BTreeMap<u32, u32>,
}

struct Node {
    record: u64,
    /// The entry behind all that are below this one.
    end: u32,
    parent: u32,
}

/// An entry.
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) entry: Entry<ChunkNo>,
    /// The first entry that is the same inode.
    pub(super) inode: u32,
    /// Bytes that it takes at the target, before sealing.
    pub(super) stored: u64,
    parts_at: u64,
}

impl Index {
    /// Reads all of a backup's documents. What can't be shown is told.
    pub(super) fn build(
        mut documents: Documents,
        spool: &Path,
        stop: &AtomicBool,
        told: &mut dyn FnMut(&RelPath, &str),
    ) -> Result<Self, Error> {
        let mut building = Building {
            index: Self {
                nodes: Vec::new(),
                file: fsutil::unnamed_file(spool).map_err(Error::Spool)?,
                keys: Vec::new(),
                links: BTreeMap::new(),
            },
            buffer: Vec::new(),
            flushed: 0,
            numbers: BTreeMap::new(),
            above: Vec::new(),
            deepest: RelPath::root(),
            parts: None,
        };
        while let Some(record) = documents.next()? {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            match record {
                Record::Part { items, .. } => building.part(&items)?,
                Record::Entry(found) => building.entry(*found, told)?,
            }
        }
        building.finish()
    }

    /// An entry by its number.
    pub(super) fn entry(&self, number: u32) -> Result<Listed, Error> {
        let node = self.nodes.get(number as usize).ok_or(Error::SpoolDamaged)?;
        Listed::read(&self.record(node.record)?).ok_or(Error::SpoolDamaged)
    }

    /// The number of an entry of a directory.
    pub(super) fn find(&self, directory: u32, name: &[u8]) -> Result<Option<u32>, Error> {
        let (mut low, mut high) = (directory + 1, self.end(directory));
        while low < high {
            // What is in the middle may lie deeper: what it is in is an entry of the directory.
            let mut at = low + (high - low) / 2;
            while self.parent(at) != directory {
                at = self.parent(at);
            }
            match self.entry(at)?.name.as_slice().cmp(name) {
                std::cmp::Ordering::Less => low = self.end(at),
                std::cmp::Ordering::Greater => high = at,
                std::cmp::Ordering::Equal => return Ok(Some(at)),
            }
        }
        Ok(None)
    }

    /// The first entry of a directory, or the one behind another.
    pub(super) fn next(&self, directory: u32, behind: Option<u32>) -> Option<u32> {
        let next = behind.map_or(directory + 1, |behind| self.end(behind));
        (next < self.end(directory)).then_some(next)
    }

    /// The directory that an entry is in; the root is in itself.
    pub(super) fn parent(&self, number: u32) -> u32 {
        self.nodes.get(number as usize).map_or(0, |node| node.parent)
    }

    /// How many names an inode has.
    pub(super) fn links(&self, inode: u32) -> u32 {
        self.links.get(&inode).copied().unwrap_or(1)
    }

    /// Its path in the backup.
    pub(super) fn path(&self, mut number: u32) -> RelPath {
        let mut names = Vec::new();
        while number != 0 {
            names.extend(self.entry(number).map(|listed| listed.name));
            number = self.parent(number);
        }
        let mut path = RelPath::root();
        names.iter().rev().for_each(|name| path.push(name));
        path
    }

    /// All that its contents consist of.
    pub(super) fn items(&self, listed: &Listed) -> Result<Vec<Item<Key>>, Error> {
        let mut items = Vec::new();
        let mut at = listed.parts_at;
        for _ in 0..listed.entry.parts {
            let part = self.record(at)?;
            at += 4 + part.len() as u64;
            items.extend(read_items(&part).ok_or(Error::SpoolDamaged)?);
        }
        items.extend_from_slice(&listed.entry.items);
        let with_key = |item| {
            Some(match item {
                Item::Hole { length } => Item::Hole { length },
                Item::Extent { chunk: ChunkNo(number), offset, length, codec } => {
                    let chunk = *self.keys.get(usize::try_from(number).ok()?)?;
                    Item::Extent { chunk, offset, length, codec }
                }
            })
        };
        items.into_iter().map(with_key).collect::<Option<_>>().ok_or(Error::SpoolDamaged)
    }

    fn end(&self, number: u32) -> u32 {
        let all = self.nodes.len() as u32;
        self.nodes.get(number as usize).map_or(all, |node| node.end.min(all))
    }

    /// A record, without its length.
    fn record(&self, at: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; GUESS_BYTES];
        let mut got = 0;
        while got < bytes.len() {
            match self.file.read_at(&mut bytes[got..], at + got as u64).map_err(Error::Spool)? {
                0 => break,
                more => got += more,
            }
        }
        bytes.truncate(got);
        let length = *bytes.first_chunk::<4>().ok_or(Error::SpoolDamaged)?;
        let length = u32::from_le_bytes(length) as usize;
        bytes.drain(..4);
        let known = bytes.len().min(length);
        bytes.resize(length, 0);
        self.file.read_exact_at(&mut bytes[known..], at + 4 + known as u64).map_err(Error::Spool)?;
        Ok(bytes)
    }
}

impl Listed {
    fn read(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_first_chunk::<HEAD_BYTES>()?;
        let (inode, head) = head.split_first_chunk::<4>()?;
        let (parts_at, head) = head.split_first_chunk::<8>()?;
        let (stored, head) = head.split_first_chunk::<8>()?;
        let name_bytes = u32::from_le_bytes(*head.first_chunk()?) as usize;
        let (name, entry) = rest.split_at_checked(name_bytes)?;
        Some(Self {
            name: name.to_vec(),
            entry: Entry::read_record(entry)?,
            inode: u32::from_le_bytes(*inode),
            stored: u64::from_le_bytes(*stored),
            parts_at: u64::from_le_bytes(*parts_at),
        })
    }
}

/// An index that grows.
struct Building {
    index: Index,
    buffer: Vec<u8>,
    flushed: u64,
    numbers: BTreeMap<[u8; 20], u64>,
    /// The directories that hold the next entry, from the root down, and how many bytes of `deepest` are their paths.
    above: Vec<(u32, usize)>,
    deepest: RelPath,
    /// Parts of the entry that follows: where they begin, and what they add up to.
    parts: Option<(u64, u64)>,
}

impl Building {
    fn part(&mut self, items: &[Item<Key>]) -> Result<(), Error> {
        let items = self.numbered(items);
        let mut record = Vec::new();
        push_items(&items, &mut record);
        let at = self.append(&record)?;
        let parts = self.parts.get_or_insert((at, 0));
        parts.1 = parts.1.saturating_add(stored(&items));
        Ok(())
    }

    fn entry(&mut self, found: Found, told: &mut dyn FnMut(&RelPath, &str)) -> Result<(), Error> {
        let (parts_at, before) = self.parts.take().unwrap_or_default();
        let is_directory = found.entry.stat.kind == Kind::Directory;
        if self.index.nodes.is_empty() && !(found.path.is_root() && is_directory) {
            self.push(b"", &Entry::new(stray_root()), None, (0, 0))?;
            self.above.push((0, 0));
        }
        self.leave(&found.path);
        let (folder, name) = found.path.split_last().unwrap_or_default();
        let is_root = self.index.nodes.is_empty();
        if !is_root && (name.is_empty() || folder != self.deepest.as_bytes()) {
            told(&found.path, "is left out: the folder that it is in is not in the backup");
            return Ok(());
        }
        if name.len() > NAME_BYTES_MAX {
            told(&found.path, "is left out: its name is longer than the kernel takes");
            return Ok(());
        }
        let first = match &found.hardlink {
            Some(first) => self.first(first, found.entry.stat.kind)?,
            None => None,
        };
        let name = name.to_vec();
        let items = self.numbered(&found.entry.items);
        let stored = before.saturating_add(stored(&items));
        let Entry { stat, sha1, target, xattrs, changed, problem, parts, .. } = found.entry;
        let entry = Entry { stat, sha1, target, xattrs, changed, problem, parts, items };
        let number = self.push(&name, &entry, first, (parts_at, stored))?;
        if is_directory {
            self.deepest = found.path;
            self.above.push((number, self.deepest.as_bytes().len()));
        }
        Ok(())
    }

    /// The directories that do not hold `path` are complete.
    fn leave(&mut self, path: &RelPath) {
        while let Some((number, _)) = self.above.last().copied().filter(|_| !path.is_within(self.deepest.as_bytes())) {
            self.index.nodes[number as usize].end = self.index.nodes.len() as u32;
            self.above.pop();
            let above = self.above.last().map_or(0, |(_, length)| *length);
            while self.deepest.as_bytes().len() > above {
                self.deepest.pop();
            }
        }
    }

    /// The entry that another is a further name of, if it is there and can be.
    fn first(&mut self, path: &RelPath, kind: Kind) -> Result<Option<u32>, Error> {
        self.flush()?;
        let mut number = 0;
        for name in path.names() {
            match self.index.find(number, name)? {
                Some(found) => number = found,
                None => return Ok(None),
            }
        }
        let first = self.index.entry(number)?;
        Ok((first.entry.stat.kind == kind && kind != Kind::Directory).then_some(first.inode))
    }

    fn numbered(&mut self, items: &[Item<Key>]) -> Vec<Item<ChunkNo>> {
        let (numbers, keys) = (&mut self.numbers, &mut self.index.keys);
        let numbered = |item: &Item<Key>| match *item {
            Item::Hole { length } => Item::Hole { length },
            Item::Extent { chunk, offset, length, codec } => {
                let number = *numbers.entry(chunk.0).or_insert_with(|| {
                    keys.push(chunk);
                    keys.len() as u64 - 1
                });
                Item::Extent { chunk: ChunkNo(number), offset, length, codec }
            }
        };
        items.iter().map(numbered).collect()
    }

    fn push(
        &mut self,
        name: &[u8],
        entry: &Entry<ChunkNo>,
        first: Option<u32>,
        (parts_at, stored): (u64, u64),
    ) -> Result<u32, Error> {
        let number = u32::try_from(self.index.nodes.len()).ok().filter(|number| *number < u32::MAX - 1);
        let number = number.ok_or(Error::Large)?;
        if let Some(first) = first {
            *self.index.links.entry(first).or_insert(1) += 1;
        }
        let mut record = Vec::with_capacity(GUESS_BYTES);
        record.extend_from_slice(&first.unwrap_or(number).to_le_bytes());
        record.extend_from_slice(&parts_at.to_le_bytes());
        record.extend_from_slice(&stored.to_le_bytes());
        record.extend_from_slice(&(name.len() as u32).to_le_bytes());
        record.extend_from_slice(name);
        entry.push_record(&mut record);
        let at = self.append(&record)?;
        // What is below a directory ends where it is left.
        let end = if entry.stat.kind == Kind::Directory { u32::MAX } else { number + 1 };
        let parent = self.above.last().map_or(0, |(above, _)| *above);
        self.index.nodes.push(Node { record: at, end, parent });
        Ok(number)
    }

    fn append(&mut self, record: &[u8]) -> Result<u64, Error> {
        let at = self.flushed + self.buffer.len() as u64;
        self.buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(at)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written: io::Result<()> = self.index.file.write_all_at(&self.buffer, self.flushed);
        written.map_err(Error::Spool)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Index, Error> {
        if self.index.nodes.is_empty() {
            self.push(b"", &Entry::new(stray_root()), None, (0, 0))?;
        }
        self.flush()?;
        self.index.nodes.shrink_to_fit();
        Ok(self.index)
    }
}

/// The folder of a backup that has none: of an image.
fn stray_root() -> Stat {
    let (uid, gid) = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
    Stat { kind: Kind::Directory, mode: 0o500, uid, gid, ..Stat::default() }
}

fn stored(items: &[Item<ChunkNo>]) -> u64 {
    let length = |item: &Item<ChunkNo>| match item {
        Item::Extent { length, .. } => *length,
        Item::Hole { .. } => 0,
    };
    items.iter().map(length).fold(0, u64::saturating_add)
}
