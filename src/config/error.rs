//! What can be wrong with a configuration: what kind of thing, where, what was found and what was expected.
//!
//! Display prints `file:line: found, expected …` and nothing of the source error below it. Whatever comes from
//! the file is escaped and cut before it gets in here, so that a terminal can be shown the text as it is.

use std::fmt;
use std::io;

/// Characters of a value that an error repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// A configuration that cannot be used, and why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    place: String,
    line: usize,
    found: String,
    expected: Option<String>,
    hint: Option<String>,
    source: Option<io::Error>,
}

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no configuration file.
    NotFound,
    /// There is one and it could not be read.
    Unreadable,
    /// The file, a line or the number of sections or rules is beyond the limit.
    TooLarge,
    /// A line that is no section, no `key = value` and no comment.
    Syntax,
    /// A section of no known kind.
    UnknownSection,
    /// A section that stands in the file already.
    DuplicateSection,
    /// The name of a source or target breaks the rule for names.
    BadName,
    /// A key that this section cannot have.
    UnknownKey,
    /// A key that can stand in a section only once.
    RepeatedKey,
    /// A key that is needed and not there.
    MissingKey,
    /// A value that its key cannot have.
    BadValue,
    /// `inherit` names nothing, goes round or too far.
    Inherit,
    /// A target type that is unknown, gone or refused.
    UnsupportedType,
    /// A target type that this build of the program is without.
    BuiltWithout,
    /// No source of that name.
    NoSuchSource,
    /// No target of that name.
    NoSuchTarget,
    /// A default needs the home directory and `$HOME` is not set.
    NoHome,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, found: impl Into<String>) -> Self {
        Self { kind, place: String::new(), line: 0, found: found.into(), expected: None, hint: None, source: None }
    }

    /// A value of a key that could not be taken for what it should be.
    pub(super) fn value(key: &str, value: &[u8], expected: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadValue, format!("{key} is {}", quoted(value))).expected(expected)
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(super) fn with_source(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// Where it is wrong: a file or a variable, and the line if it has one (from 1).
    pub(super) fn at(mut self, place: &str, line: usize) -> Self {
        self.place = place.to_owned();
        self.line = line;
        self
    }

    /// What kind of wrong it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The wrong line, from 1, if it is one line that is wrong.
    pub fn line(&self) -> Option<usize> {
        (self.line > 0).then_some(self.line)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// Whether a target was asked for that there is not, so that the name may be tried as something else.
    pub fn is_no_such_target(&self) -> bool {
        self.kind == ErrorKind::NoSuchTarget
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place.as_str(), self.line) {
            ("", _) => {}
            (place, 0) => write!(f, "{place}: ")?,
            (place, line) => write!(f, "{place}:{line}: ")?,
        }
        f.write_str(&self.found)?;
        match &self.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// The bytes in double quotes, escaped for a terminal and cut if long.
pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", shown(bytes, QUOTED_CHARS_MAX))
}

/// The bytes escaped for a terminal. A backslash stays one: regular expressions are full of them.
pub(super) fn shown(bytes: &[u8], max_chars: usize) -> String {
    let mut text = String::new();
    let mut room = max_chars;
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if room == 0 {
                return text + "…";
            }
            room -= 1;
            match char {
                '\\' | '\'' => text.push(char),
                _ => text.extend(char.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            if room == 0 {
                return text + "…";
            }
            room -= 1;
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// `a, b or c`.
pub(super) fn listed<S: AsRef<str>>(names: &[S], last: &str) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 && index + 1 == names.len() {
            text.push_str(&format!(" {last} "));
        } else if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn display_has_place_line_found_and_expected() {
        let plain = || Error::new(ErrorKind::Syntax, "no sense").expected("some");
        assert_eq!(plain().to_string(), "no sense, expected some");
        assert_eq!(plain().at("$X", 0).to_string(), "$X: no sense, expected some");
        assert_eq!(plain().at("~/.brackup.conf", 12).to_string(), "~/.brackup.conf:12: no sense, expected some");
        assert_eq!(plain().at("f", 12).line(), Some(12));
        assert_eq!(plain().line(), None);
        assert_eq!(Error::new(ErrorKind::NotFound, "none").to_string(), "none");
    }

    #[test]
    fn source_is_kept_out_of_the_text() {
        let error =
            Error::new(ErrorKind::Unreadable, "cannot be read").with_source(io::Error::other("the disk is gone"));
        assert_eq!(error.to_string(), "cannot be read");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the disk is gone"));
    }

    #[test]
    fn quoted_escapes_for_a_terminal() {
        for (bytes, text) in [
            (&b"^\\.thumbnails/"[..], r#""^\.thumbnails/""#),
            (b"it's", r#""it's""#),
            (b"a\x1b[31m", r#""a\u{1b}[31m""#),
            (b"say \"x\"", r#""say \"x\"""#),
            (b"caf\xe9", r#""caf\xe9""#),
            ("caf\u{e9}".as_bytes(), "\"caf\u{e9}\""),
            ("\u{202e}".as_bytes(), r#""\u{202e}""#),
        ] {
            assert_eq!(quoted(bytes), text);
        }
        assert_eq!(quoted(&[b'x'; 60]), format!("\"{}\"", "x".repeat(60)));
        assert_eq!(quoted(&[b'x'; 61]), format!("\"{}…\"", "x".repeat(60)));
        assert_eq!(shown(&[0xff; 2], 1), "\\xff…");
    }

    #[test]
    fn lists_read_like_english() {
        assert_eq!(listed(&["a"], "or"), "a");
        assert_eq!(listed(&["a", "b"], "and"), "a and b");
        assert_eq!(listed(&["a", "b", "c"], "or"), "a, b or c");
        assert_eq!(listed::<&str>(&[], "or"), "");
    }
}
