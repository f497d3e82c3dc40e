//! The metafile's documents: FORMAT.md section 6. A stream of YAML, written entry by entry and read one document at a time.
//!
//! Pure text: compression and sealing are put around it by the line. Neither side ever holds more than one document.

mod corner;
mod document;
mod read;
mod write;
mod yaml;

pub use read::{Error, Found, Reader, Record};
pub use write::{push_entry, push_header, push_part, push_trailer};

/// The first document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The source's name.
    pub root: String,
    /// The box's host name.
    pub host: Vec<u8>,
    /// What was backed up, on the box.
    pub path: Vec<u8>,
    /// Start of the backup.
    pub created: String,
    /// What wrote it.
    pub software: String,
}

/// The last document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Trailer {
    /// Entry documents.
    pub entries: u64,
    /// Files and images.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Entries that lack their contents, and directories that could not be read.
    pub problems: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Codec, Item};
    use crate::digest::Sha1;
    use crate::entry::{Entry, Kind, Stat, Time};
    use crate::relpath::RelPath;

    fn header() -> Header {
        Header {
            root: "proj".into(),
            host: b"box".to_vec(),
            path: b"/raid/it's \xff".to_vec(),
            created: "2026-11-23T22:51:00Z".into(),
            software: "brackup 0.1.0".into(),
        }
    }

    fn full_entry() -> Entry<Sha1> {
        let stat = Stat {
            kind: Kind::File,
            size: 30,
            mode: 0o4755,
            uid: 1000,
            gid: 1001,
            mtime: Time { seconds: -2, nanoseconds: 900_000_000 },
            ctime: Time { seconds: 5_000_000_000, nanoseconds: 1 },
            sparse: true,
            ..Stat::default()
        };
        Entry {
            // All digits: YAML would take it for a number if it were not quoted.
            sha1: Some(Sha1([0x11; 20])),
            changed: true,
            xattrs: vec![(b"user.\xff'".to_vec(), vec![0, 1, 255])],
            items: vec![
                Item::Extent { chunk: Sha1([1; 20]), offset: 5, length: 10, codec: Codec::Raw },
                Item::Hole { length: 8 },
                Item::Extent { chunk: Sha1([2; 20]), offset: 0, length: 12, codec: Codec::Zstd },
            ],
            ..Entry::new(stat)
        }
    }

    fn written() -> String {
        let mut text = String::new();
        push_header(&header(), &mut text);
        let root = Entry::new(Stat { kind: Kind::Directory, mode: 0o755, ..Stat::default() });
        push_entry(&RelPath::root(), &root, (Some("root"), None), None, &mut text);
        let path = RelPath::parse(b"a'b/\xe9").unwrap();
        push_part(&path, 0, &full_entry().items, &mut text);
        push_entry(
            &path,
            &full_entry(),
            (Some("CORP\\o'neil"), Some("users")),
            Some(&RelPath::parse(b"a").unwrap()),
            &mut text,
        );
        push_trailer(&Trailer { entries: 2, files: 1, bytes: 30, problems: 0 }, &mut text);
        text
    }

    #[test]
    fn what_is_written_is_read() {
        let text = written();
        let mut reader = Reader::open(text.as_bytes()).unwrap();
        assert_eq!(*reader.header(), header());
        let Some(Record::Entry(root)) = reader.next().unwrap() else { panic!("no root") };
        assert!(root.path.is_root() && root.entry.stat.kind == Kind::Directory);
        assert_eq!((root.user.as_deref(), root.group.as_deref()), (Some("root"), None));
        let Some(Record::Part { path, items }) = reader.next().unwrap() else { panic!("no part") };
        assert_eq!((path.as_bytes(), items), (&b"a'b/\xe9"[..], full_entry().items));
        let Some(Record::Entry(found)) = reader.next().unwrap() else { panic!("no entry") };
        assert_eq!(found.entry, Entry { parts: 1, ..full_entry() });
        assert_eq!(found.hardlink, Some(RelPath::parse(b"a").unwrap()));
        assert_eq!(found.user.as_deref(), Some("CORP\\o'neil"));
        assert!(reader.next().unwrap().is_none());
        assert_eq!(reader.trailer().map(|trailer| trailer.bytes), Some(30));
    }

    #[test]
    fn a_stream_cut_short_anywhere_is_an_error() {
        let text = written();
        for length in 0..text.len() - 1 {
            let read = Reader::open(&text.as_bytes()[..length]).and_then(|mut reader| {
                while reader.next()?.is_some() {}
                Ok(())
            });
            assert!(read.is_err(), "cut at {length} of {}", text.len());
        }
    }

    #[test]
    fn what_is_looked_for_is_found_and_the_rest_is_counted() {
        let text = written();
        // As another writer may have it.
        let other = text.replace("path: '.'", "path: \".\"").replace("part: 0\n", "");
        let other = other.replacen("zstd]\n---", "zstd]\npart: 0\n---", 1);
        assert_eq!(other.matches("part: 0").count(), 1, "{other}");
        for text in [&text, &other] {
            for wanted in [&[][..], &[b"".as_slice()], &[b"a'b/\xe9"], &[b"", b"a'b/\xe9"]] {
                let mut reader = Reader::open(text.as_bytes()).unwrap();
                let (mut asked, mut found) = (Vec::new(), Vec::new());
                let mut is_wanted = |path: &RelPath| {
                    asked.push(path.as_bytes().to_vec());
                    wanted.contains(&path.as_bytes())
                };
                while let Some(entry) = reader.find(&mut is_wanted).unwrap() {
                    found.push(entry.path.as_bytes().to_vec());
                    assert!(entry.path.is_root() || entry.entry == Entry { parts: 1, ..full_entry() });
                }
                assert_eq!(found, wanted);
                assert_eq!(asked, [&b""[..], b"a'b/\xe9"]);
                assert_eq!(reader.trailer().map(|trailer| trailer.entries), Some(2));
            }
        }
        for length in 0..text.len() - 1 {
            let read = Reader::open(&text.as_bytes()[..length]).and_then(|mut reader| reader.find(|_| false));
            assert!(read.is_err(), "cut at {length} of {}", text.len());
        }
        let twice = text.replacen("path: '.'", "path: 'b'", 1);
        assert!(Reader::open(twice.as_bytes()).unwrap().find(|_| false).is_err(), "out of order");
    }

    #[test]
    fn counts_that_do_not_agree_are_an_error() {
        let text = written().replace("entries: 2", "entries: 3");
        let mut reader = Reader::open(text.as_bytes()).unwrap();
        let end = std::iter::from_fn(|| reader.next().transpose()).find_map(Result::err);
        assert!(matches!(end, Some(Error::Truncated)), "{end:?}");
    }
}
