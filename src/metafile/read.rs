//! Reading the documents: cut at the `---` lines, each parsed alone within a budget, every value checked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::corner;
use super::document::{ChunkItem, Document, parse};
use super::{Header, Trailer};
use crate::blob::Item;
use crate::digest::{Key, Sha1};
use crate::entry::{Entry, Kind, Stat, Time, Xattrs};
use crate::limits::{DOCUMENT_BYTES_MAX, ITEMS_PER_DOCUMENT, XATTR_BYTES_MAX};
use crate::relpath::{RelPath, unescape};

/// Reads a metafile's documents in order.
pub struct Reader<R> {
    source: BufReader<R>,
    header: Header,
    trailer: Option<Trailer>,
    document: Vec<u8>,
    number: u64,
    entries: u64,
    part: Option<(RelPath, u32)>,
    /// The path of the entry before.
    last: Option<RelPath>,
}

/// A document between header and trailer.
#[derive(Debug)]
pub enum Record {
    /// An entry.
    Entry(Box<Found>),
    /// Items that come before those of the entry that follows.
    Part {
        /// The same as the entry's.
        path: RelPath,
        /// In the order of the file.
        items: Vec<Item<Key>>,
    },
}

/// An entry as it was found in a metafile.
#[derive(Debug, Clone)]
pub struct Found {
    /// Relative to the root.
    pub path: RelPath,
    /// Everything but its path and its owners' names.
    pub entry: Entry<Key>,
    /// Name of the owner, bytes as text.
    pub user: Option<String>,
    /// Name of the group.
    pub group: Option<String>,
    /// An earlier entry that is the same inode.
    pub hardlink: Option<RelPath>,
}

/// Why a metafile can't be read on.
#[derive(Debug)]
pub enum Error {
    /// A document is malformed.
    Document {
        /// Which, counted from 1.
        number: u64,
        /// What is wrong with it.
        what: String,
    },
    /// What lies below failed: fetching, opening, decompressing.
    Io(io::Error),
    /// It ends before its trailer, or its trailer counts otherwise.
    Truncated,
    /// A version that this program does not know.
    Version(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { number, what } => write!(f, "document {number} of the metafile is malformed: {what}"),
            Self::Io(_) => f.write_str("the metafile can't be read"),
            Self::Truncated => f.write_str("the metafile is cut short: its end is missing or does not agree"),
            Self::Version(version) => {
                write!(f, "the metafile has version {version} of the format, which this program does not know")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn open(source: R) -> Result<Self, Error> {
        let header = Header {
            root: String::new(),
            host: Vec::new(),
            path: Vec::new(),
            created: String::new(),
            software: String::new(),
        };
        let mut reader = Self {
            source: BufReader::with_capacity(16 * 1024, source),
            header,
            trailer: None,
            document: Vec::new(),
            number: 0,
            entries: 0,
            part: None,
            last: None,
        };
        let mut line = Vec::new();
        reader.read_line(&mut line)?;
        if line != b"---\n" {
            return Err(if line.is_empty() {
                Error::Truncated
            } else {
                reader.malformed("it does not begin with ---")
            });
        }
        let document = reader.document()?.ok_or(Error::Truncated)?;
        reader.header = reader.read_header(document)?;
        Ok(reader)
    }

    /// The first document.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last document, once it was reached.
    pub fn trailer(&self) -> Option<Trailer> {
        self.trailer
    }

    /// The next record; nothing behind the trailer, which is checked.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails, and an iterator of results invites to go on after one"
    )]
    pub fn next(&mut self) -> Result<Option<Record>, Error> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        let document = self.document()?.ok_or(Error::Truncated)?;
        self.record(document)
    }

    /// The next entry whose path is wanted; nothing behind the trailer. Of others the path is read and no more. Each path is asked for once.
    pub fn find(&mut self, mut is_wanted: impl FnMut(&RelPath) -> bool) -> Result<Option<Box<Found>>, Error> {
        while self.trailer.is_none() {
            if !self.load()? {
                return Err(Error::Truncated);
            }
            let path = corner::path(&self.document).filter(|_| self.part.is_none());
            if let Some(path) = path.map(|text| self.path(Some(&text))).transpose()? {
                self.is_in_order(&path)?;
                if !is_wanted(&path) {
                    self.entries += 1;
                    self.last = Some(path);
                    continue;
                }
                return match self.parsed().and_then(|document| self.record(document))? {
                    Some(Record::Entry(found)) => Ok(Some(found)),
                    _ => Err(self.malformed("a path, and no entry")),
                };
            }
            let document = self.parsed()?;
            if let Some(Record::Entry(found)) = self.record(document)?
                && is_wanted(&found.path)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn record(&mut self, document: Document) -> Result<Option<Record>, Error> {
        if document.end == Some(true) {
            self.trailer = Some(self.read_trailer(&document)?);
            return Ok(None);
        }
        if document.part.is_some() { self.read_part(document) } else { self.read_entry(document) }.map(Some)
    }

    fn read_header(&self, document: Document) -> Result<Header, Error> {
        let version = document.brackup.ok_or_else(|| self.malformed("the first one has no `brackup:` version"))?;
        if version != 1 {
            return Err(Error::Version(version));
        }
        Ok(Header {
            root: document.root.unwrap_or_default(),
            host: self.bytes(document.host)?.unwrap_or_default(),
            path: self.bytes(document.path)?.unwrap_or_default(),
            created: document.created.unwrap_or_default(),
            software: document.software.unwrap_or_default(),
        })
    }

    fn read_trailer(&mut self, document: &Document) -> Result<Trailer, Error> {
        let mut rest = [0; 1];
        let is_end = self.source.read(&mut rest).map_err(Error::Io)? == 0;
        let number = |field: Option<u64>| field.ok_or(Error::Truncated);
        let trailer = Trailer {
            entries: number(document.entries)?,
            files: number(document.files)?,
            bytes: number(document.bytes)?,
            problems: number(document.problems)?,
        };
        if is_end && trailer.entries == self.entries && self.part.is_none() {
            Ok(trailer)
        } else {
            Err(Error::Truncated)
        }
    }

    fn read_part(&mut self, document: Document) -> Result<Record, Error> {
        let path = self.path(document.path.as_deref())?;
        let number = document.part.unwrap_or_default();
        let expected = match &self.part {
            None => 0,
            Some((of, number)) if *of == path => number + 1,
            Some(_) => return Err(self.malformed("a part of one file among those of another")),
        };
        if number != expected {
            return Err(self.malformed("a part out of order"));
        }
        self.part = Some((path.clone(), number));
        Ok(Record::Part { path, items: self.items(document.chunks)? })
    }

    fn read_entry(&mut self, document: Document) -> Result<Record, Error> {
        let path = self.path(document.path.as_deref())?;
        let parts = match self.part.take() {
            None => 0,
            Some((of, number)) if of == path => number + 1,
            Some(_) => return Err(self.malformed("parts without their entry")),
        };
        self.is_in_order(&path)?;
        let kind = document.kind.as_deref().and_then(Kind::parse).ok_or_else(|| self.malformed("no known `type`"))?;
        let device = document.device.unwrap_or_default();
        let stat = Stat {
            kind,
            size: self.size(document.size)?,
            mode: self.mode(document.mode.as_deref())?,
            uid: document.uid.ok_or_else(|| self.malformed("no `uid`"))?,
            gid: document.gid.ok_or_else(|| self.malformed("no `gid`"))?,
            mtime: self.time(document.mtime.as_deref())?,
            ctime: self.time(document.ctime.as_deref())?,
            node: (device.0, device.1),
            sparse: document.sparse.unwrap_or_default(),
            ..Stat::default()
        };
        let sha1 =
            document.sha1.map(|text| Sha1::parse(&text).ok_or_else(|| self.malformed("`sha1` is none"))).transpose()?;
        let entry = Entry {
            sha1,
            target: self.bytes(document.target)?.unwrap_or_default(),
            xattrs: self.xattrs(document.xattrs)?,
            changed: document.changed.unwrap_or_default(),
            problem: self.name(document.problem)?,
            parts,
            items: self.items(document.chunks)?,
            ..Entry::new(stat)
        };
        let hardlink = document.hardlink.map(|text| self.path(Some(&text))).transpose()?;
        self.entries += 1;
        self.last = Some(path.clone());
        let (user, group) = (self.name(document.user)?, self.name(document.group)?);
        Ok(Record::Entry(Box::new(Found { path, entry, user, group, hardlink })))
    }

    /// Ascending: so a link can't come first and a directory in its place after it.
    fn is_in_order(&self, path: &RelPath) -> Result<(), Error> {
        let is_behind = self.last.as_ref().is_none_or(|last| last < path);
        if is_behind { Ok(()) } else { Err(self.malformed("a path out of order")) }
    }

    fn items(&self, chunks: Option<Vec<ChunkItem>>) -> Result<Vec<Item<Key>>, Error> {
        let chunks = chunks.unwrap_or_default();
        if chunks.len() > ITEMS_PER_DOCUMENT {
            return Err(self.malformed("more than 1024 items in `chunks`"));
        }
        Ok(chunks.into_iter().map(|item| item.0).collect())
    }

    fn size(&self, size: Option<u64>) -> Result<u64, Error> {
        let size = size.unwrap_or_default();
        if i64::try_from(size).is_ok() { Ok(size) } else { Err(self.malformed("a `size` that no file has")) }
    }

    fn xattrs(&self, xattrs: Option<BTreeMap<String, String>>) -> Result<Xattrs, Error> {
        let mut attributes = Vec::new();
        let mut bytes = 0;
        for (name, value) in xattrs.unwrap_or_default() {
            let name = unescape(&name).ok_or_else(|| self.malformed("an xattr's name"))?;
            let value = STANDARD.decode(value).map_err(|_| self.malformed("an xattr's value is no base64"))?;
            bytes += name.len() + value.len();
            if bytes > XATTR_BYTES_MAX {
                return Err(self.malformed("more than 128 KiB of xattrs"));
            }
            attributes.push((name, value));
        }
        attributes.sort_unstable();
        Ok(attributes)
    }

    fn path(&self, text: Option<&str>) -> Result<RelPath, Error> {
        RelPath::parse_escaped(text.ok_or_else(|| self.malformed("no `path`"))?)
            .map_err(|why| self.malformed(&why.to_string()))
    }

    fn bytes(&self, text: Option<String>) -> Result<Option<Vec<u8>>, Error> {
        text.map(|text| unescape(&text).ok_or_else(|| self.malformed("an escape"))).transpose()
    }

    /// Bytes that are text to those who use them: `CORP\user` has a backslash, which is escaped.
    fn name(&self, text: Option<String>) -> Result<Option<String>, Error> {
        Ok(self.bytes(text)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn mode(&self, text: Option<&str>) -> Result<u32, Error> {
        text.and_then(|text| u32::from_str_radix(text, 8).ok())
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| self.malformed("no octal `mode`"))
    }

    fn time(&self, text: Option<&str>) -> Result<Time, Error> {
        text.and_then(parse_time).ok_or_else(|| self.malformed("a time is not 'seconds.nanoseconds'"))
    }

    fn document(&mut self) -> Result<Option<Document>, Error> {
        if self.load()? { self.parsed().map(Some) } else { Ok(None) }
    }

    /// Takes in the next document, without the `---` line that begins it; the one behind it is consumed. Whether there is one.
    fn load(&mut self) -> Result<bool, Error> {
        self.number += 1;
        let mut text = std::mem::take(&mut self.document);
        text.clear();
        loop {
            let start = text.len();
            self.read_line(&mut text)?;
            let line = &text[start..];
            if line.is_empty() || line == b"---\n" {
                text.truncate(start);
                break;
            }
            if !line.ends_with(b"\n") {
                return Err(Error::Truncated);
            }
        }
        self.document = text;
        Ok(!self.document.is_empty())
    }

    /// What was taken in.
    fn parsed(&self) -> Result<Document, Error> {
        parse(&self.document).map_err(|what| self.malformed(&what))
    }

    fn read_line(&mut self, into: &mut Vec<u8>) -> Result<(), Error> {
        let most = (DOCUMENT_BYTES_MAX + 1).saturating_sub(into.len()) as u64;
        self.source.by_ref().take(most).read_until(b'\n', into).map_err(Error::Io)?;
        if into.len() > DOCUMENT_BYTES_MAX { Err(self.malformed("longer than 2 MiB")) } else { Ok(()) }
    }

    fn malformed(&self, what: &str) -> Error {
        Error::Document { number: self.number, what: what.to_owned() }
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(document {})", self.number)
    }
}

fn parse_time(text: &str) -> Option<Time> {
    let (seconds, nanoseconds) = text.split_once('.')?;
    let is_nine = nanoseconds.len() == 9 && nanoseconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = seconds.parse().ok()?;
    is_nine.then(|| nanoseconds.parse().ok()).flatten().map(|nanoseconds| Time { seconds, nanoseconds })
}
