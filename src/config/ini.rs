//! The lines of an INI file, cut into sections of `key = value`; what the values mean is not known here.
//!
//! The original's rules: `#` begins a comment at the start of a line or behind white space, a value ends with its
//! line, nothing is quoted or escaped. Ours beside it: `;` at the start of a line, CRLF, a UTF-8 byte order mark.
//! Values are bytes, because paths are. A wrong line is reported and stepped over, so that later passes
//! can find an earlier one.

use super::error::{Error, ErrorKind, quoted};
use super::findings::Findings;
use super::limits::{LINE_BYTES_MAX, NAME_BYTES_MAX, SECTIONS_MAX};
use super::nearest::did_you_mean;

const HEADERS: &str = "[BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]";
const NAME: &str = "1 to 64 of A-Z a-z 0-9 . _ -, not beginning with . or -";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Box,
    Source,
    Target,
    Job,
    Alert,
    Serve,
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    pub line: usize,
}

#[derive(Debug)]
pub(super) struct Section<'a> {
    pub kind: Kind,
    /// Empty for `[BOX]` and `[SERVE]`.
    pub name: &'a str,
    pub line: usize,
    pub entries: Vec<Entry<'a>>,
}

/// The sections of a file in their order, without those that are not known or not the first of their name.
pub(super) fn read<'a>(bytes: &'a [u8], findings: &mut Findings) -> Vec<Section<'a>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { sections: Vec::new(), now: Now::Before };
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if let Err(error) = reader.line(index + 1, line) {
            findings.wrong(index + 1, error);
        }
    }
    reader.sections
}

/// Whether an object on a target can be called after it.
pub(super) fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(known) && !name.starts_with(['.', '-'])
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Box => "BOX",
            Self::Source => "SOURCE",
            Self::Target => "TARGET",
            Self::Job => "JOB",
            Self::Alert => "ALERT",
            Self::Serve => "SERVE",
            Self::Host => "HOST",
        }
    }
}

impl Section<'_> {
    /// As it stands in the file.
    pub(super) fn title(&self) -> String {
        match self.kind {
            kind @ (Kind::Box | Kind::Serve) => format!("[{}]", kind.word()),
            kind => format!("[{}:{}]", kind.word(), self.name),
        }
    }
}

struct Reader<'a> {
    sections: Vec<Section<'a>>,
    now: Now,
}

enum Now {
    /// No section has begun.
    Before,
    /// In the last of the sections.
    Inside,
    /// In one that was wrong: its lines say nothing more.
    Skipping,
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: usize, line: &'a [u8]) -> Result<(), Error> {
        if line.len() > LINE_BYTES_MAX {
            let found = format!("a line of {} bytes", line.len());
            let expected = format!("at most {LINE_BYTES_MAX}");
            return Err(Error::new(ErrorKind::TooLarge, found).expected(expected));
        }
        if line.contains(&0) {
            return Err(Error::new(ErrorKind::Syntax, "a NUL byte").expected("UTF-8 text"));
        }
        match without_comment(line) {
            [] => Ok(()),
            [b'[', title @ .., b']'] => self.section(number, title.trim_ascii()),
            line @ [b'[', ..] => Err(bogus(line).expected("a ] at its end")),
            line => self.entry(number, line),
        }
    }

    fn section(&mut self, line: usize, title: &'a [u8]) -> Result<(), Error> {
        self.now = Now::Skipping;
        let (kind, name) = header(title)?;
        let same = |section: &&Section<'_>| section.kind == kind && section.name == name;
        if let Some(first) = self.sections.iter().find(same) {
            let found = format!("{} is in line {} already", first.title(), first.line);
            return Err(Error::new(ErrorKind::DuplicateSection, found).expected("each section once"));
        }
        if self.sections.len() == SECTIONS_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "one section more").expected(format!("at most {SECTIONS_MAX}")));
        }
        self.now = Now::Inside;
        self.sections.push(Section { kind, name, line, entries: Vec::new() });
        Ok(())
    }

    fn entry(&mut self, number: usize, line: &'a [u8]) -> Result<(), Error> {
        let equals = line.iter().position(|byte| *byte == b'=');
        let (key, value) = match equals.map(|at| (&line[..at], &line[at + 1..])) {
            Some((key, value)) => (key.trim_ascii(), value.trim_ascii()),
            None => return Err(bogus(line).expected("key = value, [section] or # comment")),
        };
        let key = match std::str::from_utf8(key) {
            Ok(key) if !key.is_empty() => key,
            _ => return Err(bogus(line).expected("a key before the =")),
        };
        if value.is_empty() {
            let found = format!("{} has no value", shown_key(key));
            return Err(Error::new(ErrorKind::Syntax, found).expected("key = value"));
        }
        match (&self.now, self.sections.last_mut()) {
            (Now::Skipping, _) => Ok(()),
            (Now::Inside, Some(section)) => {
                let line = number;
                section.entries.push(Entry { key, value, line });
                Ok(())
            }
            _ => {
                let found = format!("{} is before any section", shown_key(key));
                Err(Error::new(ErrorKind::Syntax, found).expected(format!("{HEADERS} first")))
            }
        }
    }
}

/// The line without comment and without white space at its ends.
fn without_comment(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    if let [b'#' | b';', ..] = line {
        return b"";
    }
    let comment = |pair: &[u8]| pair[0].is_ascii_whitespace() && pair[1] == b'#';
    match line.windows(2).position(comment) {
        Some(end) => line[..end].trim_ascii_end(),
        None => line,
    }
}

fn bogus(line: &[u8]) -> Error {
    let shown = if has_secret(line) { "that has a secret".into() } else { quoted(line) };
    Error::new(ErrorKind::Syntax, format!("the line {shown}"))
}

/// `aws_secret_access_key: …` or `token: …` has the wrong sign and the right secret, and so has an address with a login, or one of a webhook.
fn has_secret(line: &[u8]) -> bool {
    let has = |what: &[u8]| line.windows(what.len()).any(|word| word.eq_ignore_ascii_case(what));
    has(b"secret") || has(b"password") || has(b"token") || (has(b"://") && (has(b"@") || has(b"url")))
}

/// A key as it is shown where it is wrong: without what a wrong sign made part of it.
pub(super) fn shown_key(key: &str) -> String {
    match key.split_once(':') {
        Some((key, _)) if has_secret(key.as_bytes()) => format!("{} and a colon", quoted(key.as_bytes())),
        Some(_) if has_secret(key.as_bytes()) => "a key with an address".into(),
        _ => quoted(key.as_bytes()),
    }
}

/// What stands between the brackets.
fn header(title: &[u8]) -> Result<(Kind, &str), Error> {
    let unknown = || {
        let found = format!("unknown section [{}]", quoted(title).trim_matches('"'));
        Error::new(ErrorKind::UnknownSection, found).expected(HEADERS)
    };
    let title = std::str::from_utf8(title).map_err(|_| unknown())?;
    let (word, name) = match title.split_once(':') {
        Some((word, name)) => (word, Some(name)),
        None => (title, None),
    };
    let kind = match (word, name) {
        ("BOX", None) => return Ok((Kind::Box, "")),
        ("SERVE", None) => return Ok((Kind::Serve, "")),
        ("SOURCE", Some(_)) => Kind::Source,
        ("TARGET", Some(_)) => Kind::Target,
        ("JOB", Some(_)) => Kind::Job,
        ("ALERT", Some(_)) => Kind::Alert,
        ("HOST", Some(_)) => Kind::Host,
        _ => return Err(unknown().with_hint(header_hint(word))),
    };
    match name {
        Some(name) if is_name(name) => Ok((kind, name)),
        _ => {
            let name = quoted(name.unwrap_or_default().as_bytes());
            let found = format!("the name {name} in [{}:…]", kind.word());
            Err(Error::new(ErrorKind::BadName, found).expected(NAME))
        }
    }
}

fn header_hint(word: &str) -> Option<String> {
    match word {
        "WEB" => Some("WEB comes in a later version".into()),
        _ => did_you_mean(word, ["BOX", "SOURCE", "TARGET", "JOB", "ALERT", "SERVE", "HOST"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> Error {
        let mut findings = Findings::new("f".into());
        read(text, &mut findings);
        findings.finish().expect_err(&String::from_utf8_lossy(text))
    }

    /// Sections as `kind name line` and their entries as `line key=value`.
    fn told(text: &[u8]) -> Vec<String> {
        let mut findings = Findings::new("f".into());
        let mut told = Vec::new();
        for section in read(text, &mut findings) {
            told.push(format!("{} {}", section.line, section.title()));
            for Entry { key, value, line } in section.entries {
                told.push(format!("{line} {key}={}", String::from_utf8_lossy(value)));
            }
        }
        assert_eq!(findings.finish().map_err(|error| error.to_string()), Ok(vec![]));
        told
    }

    #[test]
    fn lines_become_sections() {
        let text =
            b"# a comment\n\n [SOURCE:a]  # the first\n path=/x\nignore = a=b\n;c\n\t[BOX]\n[ TARGET:a ]\nx =  y z\t";
        assert_eq!(told(text), ["3 [SOURCE:a]", "4 path=/x", "5 ignore=a=b", "7 [BOX]", "8 [TARGET:a]", "9 x=y z"]);
        assert_eq!(told(b""), [""; 0]);
        assert_eq!(told(b"\xef\xbb\xbf"), [""; 0]);
    }

    #[test]
    fn byte_order_mark_and_crlf_are_nothing() {
        let text = b"\xef\xbb\xbf[BOX]\r\nbuffers = 3\r\n\r\n# x\r\n";
        assert_eq!(told(text), ["1 [BOX]", "2 buffers=3"]);
    }

    #[test]
    fn comments_are_the_originals() {
        for (line, value) in [
            ("x = a # b", "a"),
            ("x = a #b # c", "a"),
            ("x = a\t#b", "a"),
            ("x = a#b", "a#b"),
            ("x = a;b ;c", "a;b ;c"),
            ("x =#b", "#b"),
            ("x = [ ]#b", "[ ]#b"),
            ("x = a\\s#b", "a\\s#b"),
        ] {
            let told = told(format!("[BOX]\n{line}").as_bytes());
            assert_eq!(told, ["1 [BOX]".into(), format!("2 x={value}")], "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_told() {
        for (text, told) in [
            (
                "path = /x\n[BOX]",
                "f:1: \"path\" is before any section, expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name] first",
            ),
            ("[BOX]\nhello", "f:2: the line \"hello\", expected key = value, [section] or # comment"),
            ("[BOX]\n = x", "f:2: the line \"= x\", expected a key before the ="),
            ("[BOX]\nx =", "f:2: \"x\" has no value, expected key = value"),
            ("[BOX]\nx = # y", "f:2: \"x\" has no value, expected key = value"),
            ("\n[BOX\nx = y", "f:2: the line \"[BOX\", expected a ] at its end"),
            ("[BOX]\na\0", "f:2: a NUL byte, expected UTF-8 text"),
            (
                "[WEB:x]",
                "f:1: unknown section [WEB:x], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[]",
                "f:1: unknown section [], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[SOURCE]",
                "f:1: unknown section [SOURCE], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[BOX:x]",
                "f:1: unknown section [BOX:x], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[source:x]",
                "f:1: unknown section [source:x], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[\x1b]",
                "f:1: unknown section [\\u{1b}], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]",
            ),
            (
                "[SOURCE:a b]",
                "f:1: the name \"a b\" in [SOURCE:…], expected 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with . or -",
            ),
            (
                "[TARGET:]",
                "f:1: the name \"\" in [TARGET:…], expected 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with . or -",
            ),
            (
                "[BOX]\n[SOURCE:a]\n[TARGET:a]\n[SOURCE:a]",
                "f:4: [SOURCE:a] is in line 2 already, expected each section once",
            ),
        ] {
            assert_eq!(error(text.as_bytes()).to_string(), told);
        }
        assert_eq!(
            error(b"[\xff]").to_string(),
            "f:1: unknown section [\\xff], expected [BOX], [SOURCE:name], [TARGET:name], [JOB:name], [ALERT:name], [SERVE] or [HOST:name]"
        );
        assert_eq!(error(b"[BOX]\n\xff=x").to_string(), "f:2: the line \"\\xff=x\", expected a key before the =");
    }

    #[test]
    fn a_wrong_section_says_nothing_more() {
        assert_eq!(error(b"[WEB]\nport = 80\nx = y").line(), Some(1));
        assert_eq!(error(b"[SOURCE:a]\n[SOURCE:a]\nx = y").line(), Some(2));
        assert_eq!(error(b"[WEB]\nport").line(), Some(1), "the first of two");
    }

    #[test]
    fn unknown_sections_have_hints() {
        let hint = |text: &[u8]| error(text).hint();
        assert_eq!(hint(b"[WEB]").as_deref(), Some("WEB comes in a later version"));
        assert_eq!(hint(b"[ALERTS:x]").as_deref(), Some("did you mean \"ALERT\"?"));
        assert_eq!(hint(b"[SORCE:x]").as_deref(), Some("did you mean \"SOURCE\"?"));
        assert_eq!(hint(b"[JOBS:x]").as_deref(), Some("did you mean \"JOB\"?"));
        assert_eq!(hint(b"[target:x]").as_deref(), Some("did you mean \"TARGET\"?"));
        assert_eq!(hint(b"[printers]"), None);
    }

    #[test]
    fn names_are_those_of_objects() {
        for name in ["a", "A.b_c-9", "9", "_", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".a", "-a", "a b", "a/b", "a:b", "\u{e9}", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn lines_and_sections_have_limits() {
        let line = |bytes| [b"[BOX]\n#".to_vec(), vec![b'x'; bytes - 1]].concat();
        assert_eq!(told(&line(LINE_BYTES_MAX)), ["1 [BOX]"]);
        assert_eq!(error(&line(LINE_BYTES_MAX + 1)).to_string(), "f:2: a line of 16385 bytes, expected at most 16384");
        let sections = |n| (0..n).map(|i| format!("[TARGET:{i}]\n")).collect::<String>();
        assert_eq!(told(sections(SECTIONS_MAX).as_bytes()).len(), SECTIONS_MAX);
        assert_eq!(
            error(sections(SECTIONS_MAX + 1).as_bytes()).to_string(),
            "f:1001: one section more, expected at most 1000"
        );
    }
}
