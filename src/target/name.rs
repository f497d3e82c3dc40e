//! Names of objects: FORMAT.md section 2. They exist only by parsing or by being made here.

use std::fmt;

use crate::date::Utc;
use crate::digest::Key;

/// The name of any object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    /// File contents.
    Chunk(Key),
    /// A backup.
    Metafile(BackupName),
    /// What is left of a backup that was removed.
    Tombstone(BackupName),
}

impl ObjectName {
    /// Parses a name as it is stored; nothing for a name that is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_suffix(".chunk") {
            return Key::parse(digits).map(Self::Chunk);
        }
        // `a-2026112300.meta.meta` is no name.
        let backup = |end| text.strip_suffix(end).filter(|name| !name.ends_with(".meta")).and_then(BackupName::parse);
        backup(".meta").map(Self::Metafile).or_else(|| backup(".tombstone").map(Self::Tombstone))
    }

    /// Whether the name is a digest of the contents, so that two objects of one name are the same.
    pub fn tells_contents(&self) -> bool {
        matches!(self, Self::Chunk(_))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(key) => write!(f, "{key}.chunk"),
            Self::Metafile(name) => write!(f, "{name}.meta"),
            Self::Tombstone(name) => write!(f, "{name}.tombstone"),
        }
    }
}

/// `<root>-<yyyymmdd><nn>`. Sorts by root, then day, then number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    root: String,
    day: String,
    number: u32,
}

impl BackupName {
    /// The name of the `number`th backup of `root` on a day.
    pub fn new(root: &str, day: Utc, number: u32) -> Option<Self> {
        is_root_name(root).then(|| Self { root: root.into(), day: day.yyyymmdd(), number })
    }

    /// Parses a name, with or without `.meta`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix(".meta").unwrap_or(text);
        let (root, digits) = text.rsplit_once('-')?;
        let (day, number) = digits.split_at_checked(8)?;
        let is_number = number.len() >= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
        // 007 is not another way to write 07.
        let is_canonical = number.len() == 2 || !number.starts_with('0');
        if !is_root_name(root) || !is_number || !is_canonical {
            return None;
        }
        Utc::parse(day).filter(|utc| utc.yyyymmdd() == day)?;
        Some(Self { root: root.into(), day: day.into(), number: number.parse().ok()? })
    }

    /// The source's name.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The day, `yyyymmdd`.
    pub fn day(&self) -> &str {
        &self.day
    }

    /// Which of that day's.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}{:02}", self.root, self.day, self.number)
    }
}

/// Whether a source may be called so.
pub(crate) fn is_root_name(root: &str) -> bool {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&root.len()) && root.bytes().all(is_ours) && !root.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for text in [
            "a9993e364706816aba3e25717850c26c9cd0d89d.chunk",
            "proj-2026112300.meta",
            "my-home.box-20261123100.meta",
            "proj-2026112300.tombstone",
        ] {
            assert_eq!(ObjectName::parse(text).map(|name| name.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_no_name() {
        for text in [
            "brackup-target.id",
            "A9993E364706816ABA3E25717850C26C9CD0D89D.chunk",
            "a9993e364706816aba3e25717850c26c9cd0d89d.chunk.partial",
            "proj-2026112300.meta.partial",
            "proj-20261123.meta",
            "proj-2026130100.meta",
            "proj-20261123007.meta",
            ".proj-2026112300.meta",
            "../proj-2026112300.meta",
            "pr/oj-2026112300.meta",
            "proj-2026112300.meta.meta",
            "proj-2026112300.meta.tombstone",
            "proj-2026112300",
        ] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn backups_sort_by_day_and_number() {
        let mut names: Vec<_> = ["p-20261123100", "p-2026112399", "p-2026112200"]
            .iter()
            .map(|text| BackupName::parse(text).unwrap())
            .collect();
        names.sort();
        let sorted: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["p-2026112200", "p-2026112399", "p-20261123100"]);
    }
}
