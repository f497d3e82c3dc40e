//! The answers: from the folders, from the index of a backup, which is made when it is entered, and from its chunks.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use fuser::{Errno, FileAttr, FileHandle, FopenFlags, Generation, INodeNo, ReplyDirectory};

use super::folders::{Folders, Named, Place, TOP, entry_ino};
use super::front::{Request, answer_xattr};
use super::index::{Index, Listed};
use super::{Error, Options, attributes};
use crate::catalog::{ChunkReader, OpenBackup, RandomReader};
use crate::entry::Kind;
use crate::monitor::{Tally, one_line};
use crate::seal::Identity;
use crate::target::{BackupName, Target};

/// Nothing changes while it is mounted; but what a backup's folder is like is known only when it was entered.
const FOR_LONG: Duration = Duration::from_secs(3600);
/// Indexes, and files, that stay open.
const INDEXES: usize = 8;
const READERS: usize = 8;
/// A backup that can't be opened is not tried again before.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Things that went wrong which are told once.
const TOLD_MAX: usize = 1000;

pub(super) struct Tree<'a> {
    backups: &'a [BackupName],
    folders: Folders<'a>,
    open: &'a dyn Fn(&BackupName) -> Option<OpenBackup>,
    spool: &'a Path,
    identities: &'a [Identity],
    tally: &'a Tally<'a>,
    stop: &'a AtomicBool,
    chunks: ChunkReader<'a>,
    /// The last ones that were used, the newest last.
    indexes: Vec<(usize, Index)>,
    readers: Vec<(u64, RandomReader)>,
    /// The folders of backups that were entered.
    entered: Vec<Option<FileAttr>>,
    failed: Vec<Option<Instant>>,
    told: BTreeSet<(String, String)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        options: &'a Options<'a>,
        target: &'a dyn Target,
        identities: &'a [Identity],
        tally: &'a Tally<'a>,
        stop: &'a AtomicBool,
    ) -> Self {
        let backups = &options.backups[..];
        Self {
            backups,
            folders: Folders::of(backups),
            open: options.open,
            spool: options.spool,
            identities,
            tally,
            stop,
            chunks: ChunkReader::new(target, identities),
            indexes: Vec::new(),
            readers: Vec::new(),
            entered: vec![None; backups.len()],
            failed: vec![None; backups.len()],
            told: BTreeSet::new(),
        }
    }

    /// Answers a question of the kernel.
    pub(super) fn answer(&mut self, request: Request) {
        let opened = |kept| if kept { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
        match request {
            Request::Attributes(ino, reply) => match self.attributes(ino) {
                Ok((attributes, lasts)) => reply.attr(&lasts, &attributes),
                Err(errno) => reply.error(errno),
            },
            Request::Lookup(parent, name, reply) => match self.lookup(parent, &name) {
                Ok((attributes, lasts)) => reply.entry(&lasts, &attributes, Generation(0)),
                Err(errno) => reply.error(errno),
            },
            Request::LinkTarget(ino, reply) => match self.link_target(ino) {
                Ok(target) => reply.data(&target),
                Err(errno) => reply.error(errno),
            },
            Request::Open(ino, reply) => match self.open_file(ino) {
                Ok(()) => reply.opened(FileHandle(0), opened(true)),
                Err(errno) => reply.error(errno),
            },
            Request::Read(ino, offset, size, reply) => match self.read(ino, offset, size) {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            },
            Request::OpenDirectory(ino, reply) => match self.open_directory(ino) {
                Ok(()) => reply.opened(FileHandle(0), opened(false)),
                Err(errno) => reply.error(errno),
            },
            Request::List(ino, offset, reply) => self.list(ino, offset, reply),
            Request::Xattr(ino, name, size, reply) => answer_xattr(self.xattr(ino, &name), size, reply),
            Request::XattrNames(ino, size, reply) => answer_xattr(self.xattr_names(ino), size, reply),
        }
    }

    fn attributes(&mut self, ino: u64) -> Result<(FileAttr, Duration), Errno> {
        match self.folders.place(ino)? {
            Place::Top | Place::Source(_) => Ok((self.folders.folder(ino), FOR_LONG)),
            Place::Latest(source) => Ok((self.folders.link(ino, source), FOR_LONG)),
            Place::Entry(backup, 0) => match self.entered[backup] {
                Some(attributes) => Ok((attributes, FOR_LONG)),
                None => Ok((self.folders.folder(ino), Duration::ZERO)),
            },
            Place::Entry(backup, number) => {
                let listed = self.entry(backup, number)?;
                Ok((self.of_entry(backup, &listed)?, FOR_LONG))
            }
        }
    }

    fn lookup(&mut self, parent: u64, name: &[u8]) -> Result<(FileAttr, Duration), Errno> {
        let ino = match self.folders.place(parent)? {
            Place::Top => self.folders.named_sources(0).find(|named| named.name == name).map(|named| named.ino),
            Place::Source(source) => {
                self.folders.named_backups(source, 0).find(|named| named.name == name).map(|named| named.ino)
            }
            Place::Latest(_) => return Err(Errno::ENOTDIR),
            Place::Entry(backup, number) => {
                let found = self.index(backup)?.find(number, name);
                let found = self.told(backup, number, found)?;
                let inode = found.map(|found| self.entry(backup, found).map(|listed| listed.inode)).transpose()?;
                inode.map(|inode| entry_ino(backup, inode))
            }
        };
        self.attributes(ino.ok_or(Errno::ENOENT)?)
    }

    fn link_target(&mut self, ino: u64) -> Result<Vec<u8>, Errno> {
        match self.folders.place(ino)? {
            Place::Latest(source) => Ok(self.folders.latest(source).into_bytes()),
            Place::Entry(backup, number) => {
                let listed = self.whole_entry(backup, number)?;
                if listed.entry.stat.kind == Kind::Symlink { Ok(listed.entry.target) } else { Err(Errno::EINVAL) }
            }
            Place::Top | Place::Source(_) => Err(Errno::EINVAL),
        }
    }

    fn open_file(&mut self, ino: u64) -> Result<(), Errno> {
        match self.folders.place(ino)? {
            Place::Entry(backup, number) => self.whole_entry(backup, number).map(drop),
            _ => Err(Errno::EISDIR),
        }
    }

    /// What lacks some of its entries is shown all the same, and told.
    fn open_directory(&mut self, ino: u64) -> Result<(), Errno> {
        if let Place::Entry(backup, number) = self.folders.place(ino)? {
            self.index(backup)?;
            if let Some(problem) = self.entry(backup, number)?.entry.problem {
                self.tell(backup, number, format!("was not backed up whole: {problem}"));
            }
        }
        Ok(())
    }

    fn read(&mut self, ino: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let Place::Entry(backup, number) = self.folders.place(ino)? else { return Err(Errno::EISDIR) };
        let mut reader = match self.readers.iter().position(|(of, _)| *of == ino) {
            Some(at) => self.readers.remove(at).1,
            None => {
                let listed = self.whole_entry(backup, number)?;
                let items = self.index(backup)?.items(&listed);
                RandomReader::new(self.told(backup, number, items)?, listed.entry.stat.size)
            }
        };
        let mut bytes = Vec::new();
        let read = reader.read(offset, size as usize, &mut self.chunks, &mut bytes, self.stop).map_err(Error::from);
        if self.readers.len() == READERS {
            self.readers.remove(0);
        }
        self.readers.push((ino, reader));
        self.told(backup, number, read)?;
        Ok(bytes)
    }

    fn list(&mut self, ino: u64, offset: u64, mut reply: ReplyDirectory) {
        match self.fill(ino, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    /// `.` is at 0, `..` at 1; behind the others it goes on at 3 and their number.
    fn fill(&mut self, ino: u64, offset: u64, reply: &mut ReplyDirectory) -> Result<(), Errno> {
        let place = self.folders.place(ino)?;
        let mut add = |named: Named| {
            reply.add(INodeNo(named.ino), named.next, attributes::kind(named.kind), OsStr::from_bytes(&named.name))
        };
        let dots = [(0, &b"."[..], ino), (1, b"..", self.above(place))];
        for (at, name, ino) in dots.into_iter().filter(|(at, ..)| *at >= offset) {
            if add(Named { ino, kind: Kind::Directory, name: name.to_vec(), next: at + 1 }) {
                return Ok(());
            }
        }
        let behind = offset.checked_sub(3);
        match place {
            Place::Top => drop(self.folders.named_sources(behind.map_or(0, |at| at + 1)).any(add)),
            Place::Source(source) => drop(self.folders.named_backups(source, behind.map_or(0, |at| at + 1)).any(add)),
            Place::Latest(_) => return Err(Errno::ENOTDIR),
            Place::Entry(backup, directory) => {
                let mut behind = behind.and_then(|at| u32::try_from(at).ok());
                while let Some(number) = self.index(backup)?.next(directory, behind) {
                    let Listed { name, entry, inode, .. } = self.entry(backup, number)?;
                    let next = u64::from(number) + 3;
                    if add(Named { ino: entry_ino(backup, inode), kind: entry.stat.kind, name, next }) {
                        break;
                    }
                    behind = Some(number);
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, ino: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let Place::Entry(backup, number) = self.folders.place(ino)? else { return Err(Errno::NO_XATTR) };
        let xattrs = self.entry(backup, number)?.entry.xattrs;
        xattrs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value).ok_or(Errno::NO_XATTR)
    }

    fn xattr_names(&mut self, ino: u64) -> Result<Vec<u8>, Errno> {
        let Place::Entry(backup, number) = self.folders.place(ino)? else { return Ok(Vec::new()) };
        let xattrs = self.entry(backup, number)?.entry.xattrs;
        Ok(xattrs.into_iter().flat_map(|(name, _)| name.into_iter().chain([0])).collect())
    }

    fn above(&self, place: Place) -> u64 {
        match place {
            Place::Top | Place::Source(_) | Place::Latest(_) => TOP,
            Place::Entry(backup, 0) => self.folders.above(backup),
            Place::Entry(backup, number) => {
                let index = self.indexes.iter().find(|(of, _)| *of == backup);
                entry_ino(backup, index.map_or(0, |(_, index)| index.parent(number)))
            }
        }
    }

    fn of_entry(&mut self, backup: usize, listed: &Listed) -> Result<FileAttr, Errno> {
        let links = self.index(backup)?.links(listed.inode);
        Ok(attributes::of_entry(entry_ino(backup, listed.inode), listed, links))
    }

    fn entry(&mut self, backup: usize, number: u32) -> Result<Listed, Errno> {
        let entry = self.index(backup)?.entry(number);
        self.told(backup, number, entry)
    }

    /// One that is no entry of which something is missing.
    fn whole_entry(&mut self, backup: usize, number: u32) -> Result<Listed, Errno> {
        let listed = self.entry(backup, number)?;
        match &listed.entry.problem {
            None => Ok(listed),
            Some(problem) => {
                self.tell(backup, number, format!("its contents are not in this backup: {problem}"));
                Err(Errno::EIO)
            }
        }
    }

    /// The index of a backup, which is made if it is not at hand.
    fn index(&mut self, backup: usize) -> Result<&Index, Errno> {
        if let Some(at) = self.indexes.iter().position(|(of, _)| *of == backup) {
            self.indexes[at..].rotate_left(1);
        } else {
            if self.failed[backup].is_some_and(|failed| failed.elapsed() < AGAIN_AFTER) {
                return Err(Errno::EIO);
            }
            let Some(index) = self.build(backup) else {
                self.failed[backup] = Some(Instant::now());
                return Err(Errno::EIO);
            };
            if self.indexes.len() == INDEXES {
                self.indexes.remove(0);
            }
            if let Ok(root) = index.entry(0) {
                self.entered[backup] = Some(attributes::of_entry(entry_ino(backup, 0), &root, 1));
            }
            self.indexes.push((backup, index));
        }
        self.indexes.last().map(|(_, index)| index).ok_or(Errno::EIO)
    }

    fn build(&self, backup: usize) -> Option<Index> {
        let name = &self.backups[backup];
        let opened = (self.open)(name)?;
        let mut told = |path: &crate::relpath::RelPath, what: &str| self.tally.problem(format!("{name}: {path}"), what);
        let documents = opened.documents(self.identities).map_err(Error::from);
        let built = documents.and_then(|documents| Index::build(documents, self.spool, self.stop, &mut told));
        built.map_err(|error| self.tally.problem(name.to_string(), one_line(&error))).ok()
    }

    /// A failure is told, and is an error of input and output to whoever asked.
    fn told<T>(&mut self, backup: usize, number: u32, result: Result<T, Error>) -> Result<T, Errno> {
        result.map_err(|error| {
            self.tell(backup, number, one_line(&error));
            Errno::EIO
        })
    }

    /// Once: the kernel asks again, in smaller portions.
    fn tell(&mut self, backup: usize, number: u32, what: String) {
        let index = self.indexes.iter().find(|(of, _)| *of == backup);
        let path = index.map(|(_, index)| index.path(number)).unwrap_or_default();
        let subject = format!("{}: {path}", self.backups[backup]);
        if self.told.len() == TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert((subject.clone(), what.clone())) {
            self.tally.problem(subject, what);
        }
    }
}
