//! An entry of a tree: what stat() says of it, what its contents are, and its compact binary form.
//!
//! The binary form is what the stat cache and the draft of a metafile hold. It begins with the
//! identity of the inode, so that "unchanged since" is a comparison of two byte strings and an unchanged
//! entry is copied from the cache to the draft as it is. It is local to the box and no part of the format.

use crate::blob::{ChunkNo, Codec, Item};
use crate::digest::Sha1;
use crate::limits;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// A block device inside the tree.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A regular file.
    #[default]
    File,
    /// The contents of a block device that is itself the source.
    Image,
    /// A socket: noted, not restored.
    Socket,
    /// A symbolic link.
    Symlink,
}

impl Kind {
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::File, "file"),
        (Self::Directory, "directory"),
        (Self::Symlink, "symlink"),
        (Self::Fifo, "fifo"),
        (Self::CharDevice, "chardev"),
        (Self::BlockDevice, "blockdev"),
        (Self::Socket, "socket"),
        (Self::Image, "image"),
    ];

    /// The word in a metafile.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("file", |(_, word)| word)
    }

    /// The kind that a word in a metafile means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }

    /// Whether it has contents of its own.
    pub fn has_contents(self) -> bool {
        matches!(self, Self::File | Self::Image)
    }

    fn to_byte(self) -> u8 {
        Self::ALL.iter().position(|(kind, _)| *kind == self).unwrap_or_default() as u8
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).map(|(kind, _)| *kind)
    }
}

/// A point in time, floor seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999, always forward.
    pub nanoseconds: u32,
}

/// What stat() says of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The file system it lies on.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Bytes; 0 for what has no contents.
    pub size: u64,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Permission bits with setuid, setgid, sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of the inode.
    pub links: u64,
    /// Major and minor number of a device node.
    pub node: (u32, u32),
    /// Whether fewer blocks are allocated than the size needs.
    pub sparse: bool,
}

/// Names and values of extended attributes.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry without its path. `C` as in [`Item`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<C> {
    /// What stat() said.
    pub stat: Stat,
    /// Of the contents, if they were read.
    pub sha1: Option<Sha1>,
    /// Of a symbolic link.
    pub target: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// The contents changed while they were read.
    pub changed: bool,
    /// Why the contents are missing.
    pub problem: Option<String>,
    /// How many part records precede it.
    pub parts: u32,
    /// Its contents, or the last part of them.
    pub items: Vec<Item<C>>,
}

impl<C> Entry<C> {
    /// An entry with metadata only.
    pub fn new(stat: Stat) -> Self {
        Self {
            stat,
            sha1: None,
            target: Vec::new(),
            xattrs: Vec::new(),
            changed: false,
            problem: None,
            parts: 0,
            items: Vec::new(),
        }
    }
}

const RECORD_VERSION: u8 = 1;
const HAS_SHA1: u8 = 1;
const IS_SPARSE: u8 = 2;
const IS_CHANGED: u8 = 4;
const HAS_PROBLEM: u8 = 8;

/// Appends what identifies the state of an inode: the beginning of its record. If the record of a path begins
/// with this, neither contents nor metadata have changed: every change of either sets ctime.
///
/// The device is not part of it: it differs from one boot or one snapshot to the next.
pub fn push_identity(stat: &Stat, out: &mut Vec<u8>) {
    out.push(RECORD_VERSION);
    out.push(stat.kind.to_byte());
    push_varint(stat.inode, out);
    push_varint(stat.size, out);
    for time in [stat.mtime, stat.ctime] {
        push_varint(zigzag(time.seconds), out);
        push_varint(u64::from(time.nanoseconds), out);
    }
}

impl Entry<ChunkNo> {
    /// Appends the record.
    pub fn push_record(&self, out: &mut Vec<u8>) {
        let stat = &self.stat;
        push_identity(stat, out);
        for number in [stat.mode, stat.uid, stat.gid, stat.node.0, stat.node.1] {
            push_varint(u64::from(number), out);
        }
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            flag(self.sha1.is_some(), HAS_SHA1)
                | flag(stat.sparse, IS_SPARSE)
                | flag(self.changed, IS_CHANGED)
                | flag(self.problem.is_some(), HAS_PROBLEM),
        );
        if let Some(sha1) = &self.sha1 {
            out.extend_from_slice(&sha1.0);
        }
        if let Some(problem) = &self.problem {
            push_bytes(problem.as_bytes(), out);
        }
        push_bytes(&self.target, out);
        push_varint(self.xattrs.len() as u64, out);
        for (name, value) in &self.xattrs {
            push_bytes(name, out);
            push_bytes(value, out);
        }
        push_varint(u64::from(self.parts), out);
        push_items(&self.items, out);
    }

    /// Reads a record; nothing if it is not one. `device` and `links` are not in it.
    pub fn read_record(record: &[u8]) -> Option<Self> {
        let mut reader = RecordReader(record);
        let mut entry = reader.head()?;
        let count = reader.varint()?;
        for _ in 0..count {
            let name = reader.bytes(limits::XATTR_BYTES_MAX)?.to_vec();
            let value = reader.bytes(limits::XATTR_BYTES_MAX)?.to_vec();
            entry.xattrs.push((name, value));
        }
        entry.parts = u32::try_from(reader.varint()?).ok()?;
        entry.items = reader.items()?;
        Some(entry)
    }
}

/// Appends a list of items: of an entry, or of a part of one.
pub fn push_items(items: &[Item<ChunkNo>], out: &mut Vec<u8>) {
    push_varint(items.len() as u64, out);
    let mut previous = 0;
    for item in items {
        match item {
            Item::Hole { length } => push_varint(length << 2 | 2, out),
            Item::Extent { chunk, offset, length, codec } => {
                push_varint(length << 2 | u64::from(*codec == Codec::Zstd), out);
                push_varint(zigzag(chunk.0.wrapping_sub(previous) as i64), out);
                push_varint(*offset, out);
                previous = chunk.0;
            }
        }
    }
}

/// Reads a list of items.
pub fn read_items(bytes: &[u8]) -> Option<Vec<Item<ChunkNo>>> {
    RecordReader(bytes).items()
}

/// Reads the fields of a record in order; every length is checked against what is there.
struct RecordReader<'a>(&'a [u8]);

impl<'a> RecordReader<'a> {
    fn head(&mut self) -> Option<Entry<ChunkNo>> {
        if self.byte()? != RECORD_VERSION {
            return None;
        }
        let mut stat = Stat { kind: Kind::from_byte(self.byte()?)?, ..Stat::default() };
        stat.inode = self.varint()?;
        stat.size = self.varint()?;
        stat.mtime = self.time()?;
        stat.ctime = self.time()?;
        stat.mode = self.varint32()?;
        stat.uid = self.varint32()?;
        stat.gid = self.varint32()?;
        stat.node = (self.varint32()?, self.varint32()?);
        let flags = self.byte()?;
        stat.sparse = flags & IS_SPARSE != 0;
        let mut entry = Entry::new(stat);
        entry.changed = flags & IS_CHANGED != 0;
        if flags & HAS_SHA1 != 0 {
            entry.sha1 = Some(Sha1(self.take(20)?.try_into().ok()?));
        }
        if flags & HAS_PROBLEM != 0 {
            entry.problem = Some(std::str::from_utf8(self.bytes(limits::LINK_BYTES_MAX)?).ok()?.to_owned());
        }
        entry.target = self.bytes(limits::LINK_BYTES_MAX)?.to_vec();
        Some(entry)
    }

    fn items(&mut self) -> Option<Vec<Item<ChunkNo>>> {
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= limits::ITEMS_PER_DOCUMENT)?;
        let mut items = Vec::with_capacity(count);
        let mut previous = 0_u64;
        for _ in 0..count {
            let head = self.varint()?;
            let (length, tag) = (head >> 2, head & 3);
            if tag == 2 {
                items.push(Item::Hole { length });
                continue;
            }
            previous = previous.wrapping_add(unzigzag(self.varint()?) as u64);
            let codec = if tag == 1 { Codec::Zstd } else { Codec::Raw };
            items.push(Item::Extent { chunk: ChunkNo(previous), offset: self.varint()?, length, codec });
        }
        Some(items)
    }

    fn time(&mut self) -> Option<Time> {
        Some(Time { seconds: unzigzag(self.varint()?), nanoseconds: self.varint32()? })
    }

    fn bytes(&mut self, most: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok().filter(|length| *length <= most)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn varint32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// Appends a number, seven bits a byte, the lowest first.
pub fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry<ChunkNo> {
        let stat = Stat {
            kind: Kind::File,
            inode: u64::MAX,
            size: 1 << 40,
            mtime: Time { seconds: -1, nanoseconds: 999_999_999 },
            ctime: Time { seconds: 5_000_000_000, nanoseconds: 0 },
            mode: 0o4755,
            uid: 1000,
            gid: u32::MAX,
            sparse: true,
            ..Stat::default()
        };
        Entry {
            sha1: Some(Sha1([7; 20])),
            target: b"to".to_vec(),
            xattrs: vec![(b"user.a".to_vec(), vec![0, 255])],
            changed: true,
            problem: Some("why".into()),
            parts: 3,
            items: vec![
                Item::Extent { chunk: ChunkNo(9), offset: 1 << 30, length: 1 << 20, codec: Codec::Raw },
                Item::Hole { length: 5 },
                Item::Extent { chunk: ChunkNo(2), offset: 0, length: 1, codec: Codec::Zstd },
            ],
            ..Entry::new(stat)
        }
    }

    #[test]
    fn a_record_comes_back() {
        let entry = sample();
        let mut record = Vec::new();
        entry.push_record(&mut record);
        assert_eq!(Entry::read_record(&record), Some(entry.clone()));
        let mut identity = Vec::new();
        push_identity(&entry.stat, &mut identity);
        assert!(record.starts_with(&identity));
    }

    #[test]
    fn a_record_cut_short_is_none() {
        let mut record = Vec::new();
        sample().push_record(&mut record);
        for length in 0..record.len() {
            assert_eq!(Entry::read_record(&record[..length]), None, "{length}");
        }
    }

    /// Its replacement would be longer, and longer than what is read again.
    #[test]
    fn words_that_are_no_text_make_no_record() {
        let mut record = Vec::new();
        sample().push_record(&mut record);
        let at = record.windows(3).position(|three| three == b"why").unwrap();
        record[at] = 0xff;
        assert_eq!(Entry::read_record(&record), None);
    }

    #[test]
    fn any_change_of_an_identity_shows() {
        let stat = sample().stat;
        let mut before = Vec::new();
        push_identity(&stat, &mut before);
        let later = Time { seconds: 1, nanoseconds: 1 };
        for changed in [
            Stat { inode: 1, ..stat.clone() },
            Stat { size: 1, ..stat.clone() },
            Stat { mtime: later, ..stat.clone() },
            Stat { ctime: later, ..stat.clone() },
            Stat { kind: Kind::Fifo, ..stat.clone() },
        ] {
            let mut after = Vec::new();
            push_identity(&changed, &mut after);
            assert_ne!(before, after, "{changed:?}");
        }
    }
}
