//! Where the tags of an MP3 file end and begin: an ID3v2 tag at its head, an ID3v1 tag (and what is called TAG+) at its tail.
//!
//! Only a guess at good places to cut, from two small looks before the contents are read: what is stored is what is read then (I4).
//! Whatever does not fit together is no tag, and the file is cut as any other. One tag at each end; APE and Lyrics3 are audio here.

use super::{Contents, Met};

const ID3V2_HEADER_BYTES: usize = 10;
/// Behind the tag, if a flag says so, there is a copy of its header.
const ID3V2_FOOTER_FLAG: u8 = 0x10;
const ID3V1_BYTES: usize = 128;
/// Lies before the ID3v1 tag.
const TAG_PLUS_BYTES: usize = 227;

/// Offsets in a file at which a piece ends, whatever its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seams {
    head: u64,
    tail: u64,
}

impl Seams {
    /// How many bytes there are from an offset to the next seam, or to the end of the file.
    pub fn room(&self, offset: u64, size: u64) -> u64 {
        let next = [self.head, self.tail].into_iter().find(|seam| *seam > offset);
        next.unwrap_or(size).min(size).saturating_sub(offset)
    }
}

impl Met {
    /// The seams of an MP3 file, which its name tells; none of another.
    pub fn mp3_seams(&self, contents: &Contents) -> Seams {
        let name = self.name();
        match name.len().checked_sub(4) {
            Some(at) if name[at..].eq_ignore_ascii_case(b".mp3") => contents.mp3_seams(self.stat.size),
            _ => Seams::default(),
        }
    }
}

impl Contents {
    /// None if it can't be read, which reading it will tell.
    fn mp3_seams(&self, size: u64) -> Seams {
        let tail = self.tail_tag(size);
        match self.head_tag() {
            head if head + tail <= size => Seams { head, tail: size - tail },
            _ => Seams { head: 0, tail: size - tail },
        }
    }

    fn head_tag(&self) -> u64 {
        let mut header = [0; ID3V2_HEADER_BYTES];
        if self.peek(0, &mut header).is_err() {
            return 0;
        }
        match header {
            [b'I', b'D', b'3', version, revision, flags, size @ ..]
                if version != 0xff && revision != 0xff && size.iter().all(|byte| *byte < 0x80) =>
            {
                let footer = if flags & ID3V2_FOOTER_FLAG == 0 { 0 } else { ID3V2_HEADER_BYTES as u64 };
                // Seven bits of each byte.
                ID3V2_HEADER_BYTES as u64 + size.iter().fold(0, |sum, byte| sum << 7 | u64::from(*byte)) + footer
            }
            _ => 0,
        }
    }

    fn tail_tag(&self, size: u64) -> u64 {
        let has = |length: usize, magic: &[u8]| {
            let mut found = [0; 4];
            let found = &mut found[..magic.len()];
            size.checked_sub(length as u64).is_some_and(|at| self.peek(at, found).is_ok() && found == magic)
        };
        if !has(ID3V1_BYTES, b"TAG") {
            0
        } else if has(ID3V1_BYTES + TAG_PLUS_BYTES, b"TAG+") {
            (ID3V1_BYTES + TAG_PLUS_BYTES) as u64
        } else {
            ID3V1_BYTES as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seams(bytes: &[u8]) -> (u64, u64) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.mp3");
        std::fs::write(&path, bytes).unwrap();
        let (contents, size) = Contents::open_image(&path).unwrap();
        let Seams { head, tail } = contents.mp3_seams(size);
        (head, size - tail)
    }

    fn head(flags: u8, size: [u8; 4], length: usize) -> Vec<u8> {
        let mut bytes = [&[b'I', b'D', b'3', 4, 0, flags][..], &size].concat();
        bytes.resize(length, 1);
        bytes
    }

    fn tail(length: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.resize(length, b' ');
        bytes
    }

    #[test]
    fn tags_are_found_where_they_are() {
        let (audio, v1, plus) = (vec![0xff; 1000], tail(128, b"TAG"), tail(227, b"TAG+"));
        let v2 = head(0, [0, 0, 2, 1], 267);
        for (parts, expected) in [
            (vec![&audio], (0, 0)),
            (vec![&v2, &audio], (267, 0)),
            (vec![&v2, &audio, &v1], (267, 128)),
            (vec![&audio, &v1], (0, 128)),
            (vec![&audio, &plus, &v1], (0, 355)),
            (vec![&audio, &plus], (0, 0)),
            (vec![&v2, &v1], (267, 128)),
            (vec![&v2], (267, 0)),
            (vec![&v1], (0, 128)),
        ] {
            assert_eq!(seams(&parts.into_iter().flatten().copied().collect::<Vec<_>>()), expected);
        }
        assert_eq!(seams(&[head(0x10, [0, 0, 2, 1], 277), audio].concat()), (277, 0), "a footer");
        assert_eq!(seams(&head(0, [0x7f; 4], 1 << 10)), (0, 0), "longer than the file");
    }

    #[test]
    fn what_does_not_fit_together_is_no_tag() {
        let v2 = head(0, [0, 0, 2, 1], 267);
        for (what, bytes) in [
            ("empty", vec![]),
            ("tiny", b"I".to_vec()),
            ("a magic alone", b"ID3".to_vec()),
            ("another magic", b"TAG".to_vec()),
            ("cut off in the header", v2[..9].to_vec()),
            ("cut off in the tag", v2[..266].to_vec()),
            ("a version that can't be", [b"ID3\xff\0\0\0\0\0\x01", &[0; 100][..]].concat()),
            ("a revision that can't be", [b"ID3\x04\xff\0\0\0\0\x01", &[0; 100][..]].concat()),
            ("a byte of eight bits", [b"ID3\x04\0\0\0\0\0\x80", &[0; 1000][..]].concat()),
            ("an ID3v1 tag a byte too short", tail(127, b"TAG")),
        ] {
            assert_eq!(seams(&bytes), (0, 0), "{what}");
        }
        assert_eq!(seams(&[&v2[..260], &tail(128, b"TAG")].concat()), (0, 128), "a head that goes on in the tail");
    }

    #[test]
    fn a_piece_ends_at_a_seam() {
        let seams = Seams { head: 10, tail: 90 };
        let rooms = [0, 9, 10, 89, 90, 99, 100, 101].map(|offset| seams.room(offset, 100));
        assert_eq!(rooms, [10, 1, 80, 1, 10, 1, 0, 0]);
        assert_eq!(Seams::default().room(7, 100), 93);
        // The file was shorter than its seams when it was looked at again.
        assert_eq!(seams.room(0, 5), 5);
    }
}
