//! One document of any kind, as YAML has it: every key that there is, parsed within a budget, or without YAML if it is as writers write
//! it. What the values mean is for the reader.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};

use super::corner;
use crate::blob::{Codec, Item};
use crate::digest::Key;
use crate::limits::YAML_DEPTH_MAX;

/// Every key that a document may have. Unknown ones are ignored (FORMAT.md section 10).
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
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
    #[serde(rename = "type")]
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
        debug_assert_eq!(Ok(&document), yaml(text).as_ref(), "{text}");
        return Ok(document);
    }
    yaml(text)
}

pub(super) fn yaml(text: &str) -> Result<Document, String> {
    // FORMAT.md sections 6 and 9. What one entry may hold is bounded by the length of its document.
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: YAML_DEPTH_MAX, max_anchors: 0, max_aliases: 0 },
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| error.to_string())
}

/// One item of `chunks`: `['key', offset, length]`, the same with `zstd`, or `[hole, length]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChunkItem(pub(super) Item<Key>);

impl<'de> Deserialize<'de> for ChunkItem {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = ChunkItem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("['key', offset, length], with zstd behind it or not, or [hole, length]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ChunkItem, A::Error> {
                let short = || de::Error::invalid_length(0, &self);
                let first: String = seq.next_element()?.ok_or_else(short)?;
                let number: u64 = seq.next_element()?.ok_or_else(short)?;
                let item = if first == "hole" {
                    Item::Hole { length: number }
                } else {
                    let chunk =
                        Key::parse(&first).ok_or_else(|| de::Error::custom("a chunk's key is 40 hex digits"))?;
                    let length: u64 = seq.next_element()?.ok_or_else(short)?;
                    let codec = match seq.next_element::<String>()?.as_deref() {
                        None => Codec::Raw,
                        Some("zstd") => Codec::Zstd,
                        Some(_) => return Err(de::Error::custom("a chunk item is compressed by something unknown")),
                    };
                    Item::Extent { chunk, offset: number, length, codec }
                };
                let (Item::Hole { length } | Item::Extent { length, .. }) = item;
                if length == 0 {
                    return Err(de::Error::custom("a chunk item has no length"));
                }
                if seq.next_element::<String>()?.is_some() {
                    return Err(de::Error::invalid_length(5, &self));
                }
                Ok(ChunkItem(item))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}
