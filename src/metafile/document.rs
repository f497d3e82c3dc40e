//! One document of any kind, as YAML has it: every key that there is, parsed within a budget, or without YAML if it is as writers write
//! it. What the values mean is for the reader.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{corner, yaml};
use crate::blob::{Codec, Item};
use crate::digest::Key;

/// Every key that a document may have. Unknown ones are ignored (FORMAT.md section 10).
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub(super) struct Document {
    pub(super) brackup: Option<u64>,
    pub(super) root: Option<String>,
    pub(super) host: Option<String>,
    pub(super) created: Option<String>,
    pub(super) software: Option<String>,
    pub(super) end: Option<bool>,
    pub(super) entries: Option<u64>,
    pub(super) files: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) problems: Option<u64>,
    pub(super) path: Option<String>,
    pub(super) part: Option<u32>,
    #[cfg_attr(test, serde(rename = "type"))]
    pub(super) kind: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mtime: Option<String>,
    pub(super) ctime: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) sha1: Option<String>,
    pub(super) target: Option<String>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) hardlink: Option<String>,
    pub(super) xattrs: Option<BTreeMap<String, String>>,
    pub(super) sparse: Option<bool>,
    pub(super) changed: Option<bool>,
    pub(super) problem: Option<String>,
    pub(super) chunks: Option<Vec<ChunkItem>>,
}

pub(super) fn parse(text: &[u8]) -> Result<Document, String> {
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
    if let Some(document) = corner::parse(text) {
        // Tests and fuzzers hold the one against the other, whatever they read.
        debug_assert_eq!(Ok(&document), yaml::parse(text).as_ref(), "{text}");
        return Ok(document);
    }
    yaml::parse(text)
}

/// One item of `chunks`: `['key', offset, length]`, the same with `zstd`, or `[hole, length]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChunkItem(pub(super) Item<Key>);

/// An item of these words.
pub(super) fn item(first: &str, rest: &[&str]) -> Option<ChunkItem> {
    let item = match (first, rest) {
        ("hole", [length]) => Item::Hole { length: number(length)? },
        ("hole", _) => return None,
        (key, [offset, length, codec @ ..]) => {
            let codec = match codec {
                [] => Codec::Raw,
                ["zstd"] => Codec::Zstd,
                _ => return None,
            };
            let (chunk, offset, length) = (Key::parse(key)?, number(offset)?, number(length)?);
            Item::Extent { chunk, offset, length, codec }
        }
        _ => return None,
    };
    let (Item::Hole { length } | Item::Extent { length, .. }) = item;
    (length > 0).then_some(ChunkItem(item))
}

/// A plain one in decimal.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The same by another reader, made for all of YAML: what that finds is what is there.
#[cfg(test)]
pub(super) mod peer {
    use serde::Deserialize;
    use serde::de::{self, Deserializer};

    use super::{ChunkItem, Document, item};

    pub(in super::super) fn parse(text: &str) -> Result<Document, String> {
        // A key that nobody knows may come twice; of others our own readers say so.
        let options = serde_yaml::options! { duplicate_keys: serde_yaml::DuplicateKeyPolicy::LastWins };
        serde_yaml::from_str_with_options(text, options).map_err(|error| error.to_string())
    }

    impl<'de> Deserialize<'de> for ChunkItem {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let words = Vec::<String>::deserialize(deserializer)?;
            let words: Vec<_> = words.iter().map(|word| &**word).collect();
            let found = words.split_first().and_then(|(first, rest)| item(first, rest));
            found.ok_or_else(|| de::Error::custom("no chunk item"))
        }
    }
}
