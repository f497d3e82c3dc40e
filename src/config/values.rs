//! The values that hold for one section: its own and the inherited ones, and how each kind of value is read.
//!
//! A wrong value is reported with the line it stands in and read as absent.

use std::path::PathBuf;

use super::error::{Error, ErrorKind, listed};
use super::findings::Findings;
use super::ini::shown_key;
use super::ini::{Entry, Section};
use super::nearest::did_you_mean;
use super::surroundings::Surroundings;

/// A key that a section can have.
pub(super) struct Key {
    pub name: &'static str,
    pub takes: Takes,
}

pub(super) enum Takes {
    Once,
    Often,
    /// Accepted for the original's sake. Why it does nothing here.
    Nothing(&'static str),
}

pub(super) const fn once(name: &'static str) -> Key {
    let takes = Takes::Once;
    Key { name, takes }
}

pub(super) const fn often(name: &'static str) -> Key {
    let takes = Takes::Often;
    Key { name, takes }
}

pub(super) const fn idle(name: &'static str, why: &'static str) -> Key {
    let takes = Takes::Nothing(why);
    Key { name, takes }
}

#[derive(Debug)]
pub(super) struct Values<'a> {
    /// As in the file: `[SOURCE:proj]`.
    pub title: String,
    pub name: &'a str,
    /// The line of the section, and its last line.
    pub lines: (usize, usize),
    entries: Vec<Entry<'a>>,
    /// So many of them stand in the section itself.
    own: usize,
}

impl<'a> Values<'a> {
    pub(super) fn of(section: &Section<'a>) -> Self {
        let end = section.entries.last().map_or(section.line, |entry| entry.line);
        Values {
            title: section.title(),
            name: section.name,
            lines: (section.line, end),
            entries: section.entries.clone(),
            own: section.entries.len(),
        }
    }

    /// Takes from a section whatever has no value yet. A list is taken whole or not at all.
    pub(super) fn inherit(&mut self, section: &Section<'a>) {
        let had = self.entries.len();
        for entry in &section.entries {
            let mut known = self.entries[..had].iter();
            if !known.any(|known| canonical(known.key) == canonical(entry.key)) {
                self.entries.push(*entry);
            }
        }
    }

    /// All entries of the key, under whichever of its names.
    pub(super) fn all<'v>(&'v self, key: &'v str) -> impl Iterator<Item = &'v Entry<'a>> {
        self.entries.iter().filter(move |entry| canonical(entry.key) == key)
    }

    /// The first entry of the key that stands in the section itself.
    pub(super) fn own(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries[..self.own].iter().find(|entry| canonical(entry.key) == key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.all(key).next().is_some()
    }

    /// The value of the key as `parse` makes it, whose error is what was expected.
    pub(super) fn read<T>(
        &self,
        key: &str,
        findings: &mut Findings,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.all(key).next()?;
        match parse(entry.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                findings.wrong(entry.line, Error::value(key, entry.value, expected));
                None
            }
        }
    }

    pub(super) fn flag(&self, key: &str, findings: &mut Findings) -> bool {
        self.read(key, findings, flag).unwrap_or_default()
    }

    pub(super) fn path(&self, key: &str, around: &Surroundings, findings: &mut Findings) -> Option<PathBuf> {
        self.read(key, findings, |value| around.path(value))
    }

    pub(super) fn missing(&self, key: &str, expected: &str, findings: &mut Findings) {
        findings.missing(&self.title, self.lines, key, expected);
    }

    /// Holds the section's own keys against those it can have, and notes the idle ones.
    pub(super) fn check(&self, keys: &[Key], findings: &mut Findings) {
        self.check_with(keys, &[], findings);
    }

    /// The same for a section that has keys of several tables.
    pub(super) fn check_with(&self, keys: &[Key], more: &[&[Key]], findings: &mut Findings) {
        let keys: Vec<&Key> = keys.iter().chain(more.iter().copied().flatten()).collect();
        let mut first_lines = vec![None; keys.len()];
        for entry in &self.entries[..self.own] {
            let Some(at) = keys.iter().position(|key| key.name == entry.key) else {
                findings.wrong(entry.line, self.unknown(entry.key, &keys));
                continue;
            };
            match (&keys[at].takes, first_lines[at]) {
                (Takes::Often, _) => {}
                (_, Some(line)) => {
                    let found = format!("{} is in line {line} already", entry.key);
                    let error = Error::new(ErrorKind::RepeatedKey, found);
                    findings.wrong(entry.line, error.expected("it once in a section"));
                }
                (Takes::Once, None) => {}
                (Takes::Nothing(why), None) => {
                    let key = entry.key;
                    findings.note(entry.line, &format!("{key} is accepted but does nothing in this version: {why}"));
                }
            }
            first_lines[at].get_or_insert(entry.line);
        }
    }

    fn unknown(&self, key: &str, keys: &[&Key]) -> Error {
        let useful = keys.iter().filter(|key| !matches!(key.takes, Takes::Nothing(_)));
        let useful: Vec<&str> = useful.map(|key| key.name).collect();
        let found = format!("unknown key {} in {}", shown_key(key), self.title);
        Error::new(ErrorKind::UnknownKey, found)
            .expected(format!("one of {}", listed(&useful, "or")))
            .with_hint(did_you_mean(key, keys.iter().map(|key| key.name)))
    }
}

/// The original's name of a key is its second one.
fn canonical(key: &str) -> &str {
    match key {
        "gpg_recipient" => "recipient",
        "keep_backups" => "keep_last",
        _ => key,
    }
}

pub(super) fn text(value: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(value).map_err(|_| "UTF-8 text".into())
}

/// Printable, without spaces.
pub(super) fn plain(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.into()) } else { Err("letters, digits and signs without spaces".into()) }
}

pub(super) fn flag(value: &[u8]) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_slice() {
        b"1" | b"true" | b"yes" | b"on" => Ok(true),
        b"0" | b"false" | b"no" | b"off" => Ok(false),
        _ => Err("yes or no".into()),
    }
}

/// A plain number from `min` to `max`.
pub(super) fn number(value: &[u8], min: u32, max: u32) -> Result<u32, String> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let number = text(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| format!("a number from {min} to {max}"))
}

/// One of the words, as it is spelt.
pub(super) fn choice<T: Copy>(value: &[u8], choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(word, _)| word.as_bytes() == value);
    chosen.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        listed(&words, "or")
    })
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    const KEYS: &[Key] = &[once("path"), often("ignore"), idle("gpg_path", "no gpg")];

    fn checked(text: &str) -> Result<Vec<String>, Error> {
        let mut findings = Findings::new("f".into());
        for section in ini::read(text.as_bytes(), &mut findings) {
            Values::of(&section).check(KEYS, &mut findings);
        }
        findings.finish()
    }

    #[test]
    fn keys_are_held_against_the_table() {
        assert_eq!(checked("[BOX]\npath=a\nignore=b\nignore=c").unwrap(), [""; 0]);
        for (text, told, hint) in [
            (
                "[SOURCE:x]\npth = a",
                "f:2: unknown key \"pth\" in [SOURCE:x], expected one of path or ignore",
                Some("did you mean \"path\"?"),
            ),
            (
                "[BOX]\ngpg-path = a",
                "f:2: unknown key \"gpg-path\" in [BOX], expected one of path or ignore",
                Some("did you mean \"gpg_path\"?"),
            ),
            ("[BOX]\ncompletely = a", "f:2: unknown key \"completely\" in [BOX], expected one of path or ignore", None),
            ("[BOX]\npath = a\n\npath = b", "f:4: path is in line 2 already, expected it once in a section", None),
            (
                "[BOX]\ngpg_path = a\ngpg_path = b",
                "f:3: gpg_path is in line 2 already, expected it once in a section",
                None,
            ),
        ] {
            let error = checked(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (told, hint));
        }
        assert_eq!(
            checked("[BOX]\ngpg_path = a").unwrap(),
            ["f:2: gpg_path is accepted but does nothing in this version: no gpg"]
        );
    }

    #[test]
    fn inherited_lists_are_taken_whole_and_by_any_name() {
        let text =
            b"[SOURCE:a]\nrecipient=1\n[SOURCE:b]\ngpg_recipient=2\nignore=x\nignore=y\n[SOURCE:c]\nignore=z\npath=/c";
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text, &mut findings);
        let mut values = Values::of(&sections[0]);
        values.inherit(&sections[1]);
        values.inherit(&sections[2]);
        let all = |key| values.all(key).map(|entry| entry.value).collect::<Vec<_>>();
        assert_eq!(all("recipient"), [b"1"]);
        assert_eq!(all("ignore"), [b"x", b"y"]);
        assert_eq!(all("path"), [b"/c"]);
        assert_eq!(values.lines, (1, 2));
        values.check(&[once("recipient")], &mut findings);
        assert!(findings.finish().is_ok(), "inherited keys are checked where they stand");
    }

    #[test]
    fn a_wrong_value_is_told_once_and_absent() {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(b"[BOX]\nx = maybe\ny = yes", &mut findings);
        let values = Values::of(&sections[0]);
        assert!(values.flag("y", &mut findings));
        assert!(!values.flag("z", &mut findings));
        assert!(!values.flag("x", &mut findings));
        assert_eq!(findings.finish().unwrap_err().to_string(), "f:2: x is \"maybe\", expected yes or no");
    }

    #[test]
    fn flags() {
        for value in ["1", "true", "yes", "on", "Yes", "TRUE"] {
            assert_eq!(flag(value.as_bytes()), Ok(true));
        }
        for value in ["0", "false", "no", "off", "Off"] {
            assert_eq!(flag(value.as_bytes()), Ok(false));
        }
        for value in ["", "2", "y", "si", "\u{2713}"] {
            assert_eq!(flag(value.as_bytes()), Err("yes or no".into()));
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"2", 2, 8), Ok(2));
        assert_eq!(number(b"8", 2, 8), Ok(8));
        for value in ["1", "9", "", "+3", "3.0", "99999999999", "three"] {
            assert_eq!(number(value.as_bytes(), 2, 8), Err("a number from 2 to 8".into()));
        }
    }

    #[test]
    fn choices() {
        let choices = [("a", 1), ("b", 2), ("c", 3)];
        assert_eq!(choice(b"b", &choices), Ok(2));
        assert_eq!(choice(b"B", &choices), Err("a, b or c".into()));
        assert_eq!(text(b"\xff"), Err("UTF-8 text".into()));
    }
}
