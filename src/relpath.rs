//! Paths relative to a root, as bytes, and the escaping rule of FORMAT.md section 6.1.
//!
//! A [`RelPath`] exists only by parsing: no empty, `.` or `..` names, no NUL, so that joining it below a
//! directory can't leave it. The root itself is the empty path, written `.`.

use std::fmt;

use crate::limits;

/// A path below a root: names joined by `/`, or empty for the root itself.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root itself.
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// Parses the bytes of a path; `.` is the root.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPath> {
        if bytes == b"." {
            return Ok(Self::root());
        }
        if bytes.len() > limits::PATH_BYTES_MAX {
            return Err(BadPath::TooLong);
        }
        if bytes.contains(&0) {
            return Err(BadPath::Nul);
        }
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" => return Err(BadPath::EmptyName),
                b"." | b".." => return Err(BadPath::Dots),
                _ => {}
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Parses the escaped form.
    pub fn parse_escaped(text: &str) -> Result<Self, BadPath> {
        Self::parse(&unescape(text).ok_or(BadPath::Escape)?)
    }

    /// The bytes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the top down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The directory that holds this entry, and its name in it; nothing for the root.
    pub fn split_last(&self) -> Option<(&[u8], &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&[], &self.0),
        })
    }

    /// Whether this is `directory` itself or lies below it.
    pub fn is_within(&self, directory: &[u8]) -> bool {
        directory.is_empty()
            || self.0 == directory
            || (self.0.starts_with(directory) && self.0.get(directory.len()) == Some(&b'/'))
    }

    /// Appends a name that came from a directory listing.
    pub fn push(&mut self, name: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    /// Takes the last name off.
    pub fn pop(&mut self) {
        let at = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.0.truncate(at);
    }

    /// The form that sorts as the walk goes: `/` below every other byte.
    pub fn sort_key(&self, into: &mut Vec<u8>) {
        into.clear();
        into.extend(self.0.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }));
    }

    /// The path whose sort key this is.
    pub fn from_sort_key(key: &[u8]) -> Self {
        Self(key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect())
    }

    /// The escaped form, without quotes.
    pub fn escaped(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        self.push_escaped(&mut text);
        text
    }

    /// Appends the escaped form.
    pub fn push_escaped(&self, text: &mut String) {
        if self.is_root() {
            text.push('.');
        } else {
            escape(&self.0, text);
        }
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

/// Why bytes are not a relative path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPath {
    /// `.` or `..` as a name: would leave the directory it is joined to.
    Dots,
    /// Two slashes in a row, a leading or a trailing one.
    EmptyName,
    /// A backslash that begins no escape.
    Escape,
    /// A NUL byte.
    Nul,
    /// Longer than any path that is written.
    TooLong,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dots => "a path must not have . or .. as a name",
            Self::EmptyName => "a path must be relative, without empty names",
            Self::Escape => "a backslash must begin \\\\ or \\x and two hex digits",
            Self::Nul => "a path must not hold a NUL byte",
            Self::TooLong => "a path must not be longer than 128 KiB",
        })
    }
}

impl std::error::Error for BadPath {}

/// Appends `bytes` as text by the escaping rule.
pub fn escape(bytes: &[u8], text: &mut String) {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'\\';
    if bytes.iter().all(plain) {
        // Nearly every name: no character to look at one by one.
        text.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    for part in bytes.utf8_chunks() {
        for character in part.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                _ if must_escape(character) => {
                    let mut utf8 = [0; 4];
                    character.encode_utf8(&mut utf8).bytes().for_each(|byte| push_byte(byte, text));
                }
                _ => text.push(character),
            }
        }
        part.invalid().iter().for_each(|byte| push_byte(*byte, text));
    }
}

/// The bytes that escaped text stands for.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'x', high, low, tail @ ..] => {
                let digits = [*high, *low];
                bytes.push(crate::digest::unhex::<1>(std::str::from_utf8(&digits).ok()?)?[0]);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// Characters that are never written as they are.
pub(crate) fn must_escape(character: char) -> bool {
    let code = u32::from(character);
    matches!(code, 0..=0x1f | 0x7f..=0x9f | 0x2028 | 0x2029 | 0xfeff) || code & 0xfffe == 0xfffe
}

fn push_byte(byte: u8, text: &mut String) {
    text.push_str("\\x");
    crate::digest::push_hex(&[byte], text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut text = String::new();
        escape(bytes, &mut text);
        text
    }

    #[test]
    fn what_could_leave_the_directory_is_no_path() {
        for (bytes, why) in [
            (&b"../x"[..], BadPath::Dots),
            (b"a/./b", BadPath::Dots),
            (b"/etc/passwd", BadPath::EmptyName),
            (b"a//b", BadPath::EmptyName),
            (b"a/", BadPath::EmptyName),
            (b"a\0b", BadPath::Nul),
        ] {
            assert_eq!(RelPath::parse(bytes), Err(why), "{bytes:?}");
        }
    }

    #[test]
    fn order_is_that_of_the_walk() {
        let mut paths: Vec<_> =
            ["a.b", "a/c", "a", "a-/x", "."].iter().map(|p| RelPath::parse(p.as_bytes()).unwrap()).collect();
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(RelPath::escaped).collect();
        assert_eq!(sorted, [".", "a", "a/c", "a-/x", "a.b"]);
    }

    #[test]
    fn sort_key_orders_as_the_path_does_and_comes_back() {
        let path = RelPath::parse(b"a/b c/d").unwrap();
        let mut key = Vec::new();
        path.sort_key(&mut key);
        assert_eq!(key, b"a\0b c\0d");
        assert_eq!(RelPath::from_sort_key(&key), path);
    }

    #[test]
    fn escaping_by_example() {
        assert_eq!(escaped("naïve 'q'".as_bytes()), "naïve 'q'");
        assert_eq!(escaped(b"back\\slash"), "back\\\\slash");
        assert_eq!(escaped(b"caf\xe9\n"), "caf\\xe9\\x0a");
        assert_eq!(escaped("\u{85}\u{feff}\u{1fffe}".as_bytes()), "\\xc2\\x85\\xef\\xbb\\xbf\\xf0\\x9f\\xbf\\xbe");
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escaped(&all)), Some(all));
        for bad in ["\\", "\\x", "\\x1", "\\xZZ", "\\n", "\\xAB"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    #[test]
    fn within_goes_by_whole_names() {
        let path = RelPath::parse(b"photos/2006/a.jpg").unwrap();
        assert!(path.is_within(b"photos") && path.is_within(b"") && path.is_within(b"photos/2006/a.jpg"));
        assert!(!path.is_within(b"photo") && !path.is_within(b"photos/2006/a.jpg/b"));
    }
}
