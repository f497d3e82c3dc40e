//! The corner of YAML that writers use, read without a YAML parser, which takes many times as long: every entry of every restore, `ls` and
//! `verify` passes here. What lies outside of it, be it by one space, is left to the parser: this one never judges.

use std::collections::BTreeMap;

use super::document::{ChunkItem, Document, item, number};
use crate::entry::Kind;
use crate::limits::ITEMS_PER_DOCUMENT;
use crate::relpath::must_escape;

/// An entry or a part, if every line of it is as FORMAT.md section 6 says that writers write it. Then it is what the YAML parser finds in it.
pub(super) fn parse(text: &str) -> Option<Document> {
    let mut found = Document::default();
    let mut rest = text.strip_suffix('\n')?.split('\n').peekable();
    while let Some(line) = rest.next() {
        match line {
            "chunks:" => {
                let lines = std::iter::from_fn(|| rest.next_if(|line| line.starts_with("- ")));
                let items: Option<Vec<_>> = lines.take(ITEMS_PER_DOCUMENT).map(listed).collect();
                set(&mut found.chunks, items.filter(|items| !items.is_empty()))
            }
            "xattrs:" => {
                let lines = std::iter::from_fn(|| rest.next_if(|line| line.starts_with("  ")));
                set(&mut found.xattrs, xattrs(lines))
            }
            _ => value(&mut found, line.split_once(": ")?),
        }?;
    }
    Some(found)
}

/// The path of an entry that is written so, and nothing of the rest.
pub(super) fn path(document: &[u8]) -> Option<String> {
    let mut lines = document.split(|byte| *byte == b'\n');
    let path = lines.next()?.strip_prefix(b"path: ")?;
    // A part has none.
    let has_type = lines.next()?.starts_with(b"type: ");
    quoted(std::str::from_utf8(path).ok()?).filter(|_| has_type)
}

fn value(found: &mut Document, (key, value): (&str, &str)) -> Option<()> {
    match key {
        "path" => set(&mut found.path, quoted(value)),
        "part" => set(&mut found.part, number(value)),
        "type" => set(&mut found.kind, Kind::parse(value).map(|kind| kind.word().to_owned())),
        "mode" => set(&mut found.mode, quoted(value)),
        "uid" => set(&mut found.uid, number(value)),
        "gid" => set(&mut found.gid, number(value)),
        "user" => set(&mut found.user, quoted(value)),
        "group" => set(&mut found.group, quoted(value)),
        "mtime" => set(&mut found.mtime, quoted(value)),
        "ctime" => set(&mut found.ctime, quoted(value)),
        "size" => set(&mut found.size, number(value)),
        "sha1" => set(&mut found.sha1, quoted(value)),
        "target" => set(&mut found.target, quoted(value)),
        "device" => {
            let (major, minor) = value.strip_prefix('[')?.strip_suffix(']')?.split_once(", ")?;
            set(&mut found.device, number(major).zip(number(minor)))
        }
        "hardlink" => set(&mut found.hardlink, quoted(value)),
        "sparse" => set(&mut found.sparse, (value == "true").then_some(true)),
        "changed" => set(&mut found.changed, (value == "true").then_some(true)),
        "problem" => set(&mut found.problem, quoted(value)),
        _ => None,
    }
}

/// No key comes twice.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    let is_first = place.is_none();
    *place = value;
    (is_first && place.is_some()).then_some(())
}

fn xattrs<'t>(lines: impl Iterator<Item = &'t str>) -> Option<BTreeMap<String, String>> {
    let mut xattrs = BTreeMap::new();
    for line in lines {
        let (name, value) = line.strip_prefix("  ")?.rsplit_once(": ")?;
        if xattrs.insert(quoted(name)?, quoted(value)?).is_some() {
            return None;
        }
    }
    Some(xattrs).filter(|xattrs| !xattrs.is_empty())
}

fn listed(line: &str) -> Option<ChunkItem> {
    let mut words = line.strip_prefix("- [")?.strip_suffix(']')?.split(", ");
    let first = words.next()?;
    let first = if first == "hole" { first } else { first.strip_prefix('\'')?.strip_suffix('\'')? };
    let mut rest = [""; 3];
    let mut count = 0;
    for word in words {
        *rest.get_mut(count)? = word;
        count += 1;
    }
    item(first, &rest[..count])
}

/// What stands between single quotes, in which only a quote is doubled.
fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    if !inner.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) && inner.chars().any(must_escape) {
        return None;
    }
    if !inner.contains('\'') {
        return Some(inner.to_owned());
    }
    let single = inner.replace("''", "\0");
    (!single.contains('\'')).then(|| single.replace('\0', "'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::document::peer;
    use super::super::{push_entry, push_part, yaml};
    use super::*;
    use crate::blob::{Codec, Item};
    use crate::digest::{Key, Sha1};
    use crate::entry::{Entry, Stat, Time};
    use crate::relpath::RelPath;

    /// What YAML reads otherwise than it looks, and what it refuses.
    const SPICES: [&str; 36] = [
        "'",
        "''",
        "\n",
        ": ",
        ":",
        " ",
        "  ",
        "#",
        " #",
        "null",
        "~",
        "true",
        "false",
        "yes",
        "0",
        "-",
        "- ",
        "[",
        "]",
        ", ",
        ",",
        "{",
        "}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "é",
        "0x1f",
        "1e3",
        "+1",
        "&a ",
        "*a",
        "!!str ",
        "\t",
        "path: 'x'\n",
    ];

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof!["[a-z '\\\\:#é\u{2028}]{1,8}".prop_map(String::into_bytes), prop::collection::vec(1..=255_u8, 1..8)]
    }

    fn path() -> impl Strategy<Value = RelPath> {
        bytes().prop_filter_map("no path", |bytes| RelPath::parse(&bytes).ok())
    }

    fn items() -> impl Strategy<Value = Vec<Item<Key>>> {
        let item =
            (any::<[u8; 20]>(), any::<u64>(), 1_u64.., 0..3_u8).prop_map(|(key, offset, length, kind)| match kind {
                0 => Item::Hole { length },
                1 => Item::Extent { chunk: Sha1(key), offset, length, codec: Codec::Raw },
                _ => Item::Extent { chunk: Sha1(key), offset, length, codec: Codec::Zstd },
            });
        prop::collection::vec(item, 0..5)
    }

    prop_compose! {
        fn entry()(
            kind in prop::sample::select(Kind::ALL.map(|(kind, _)| kind).to_vec()), numbers in any::<[u32; 4]>(), seconds in any::<i64>(),
            flags in any::<[bool; 3]>(), target in bytes(), xattrs in prop::collection::btree_map(bytes(), bytes(), 0..3), items in items(),
        ) -> Entry<Key> {
            let mtime = Time { seconds, nanoseconds: numbers[2] % 1_000_000_000 };
            let node = (numbers[0], numbers[1]);
            let [uid, gid, ..] = numbers;
            let stat = Stat { kind, uid, gid, mode: numbers[3] & 0o7777, size: items.len() as u64, mtime, node, sparse: flags[0], ..Stat::default() };
            let (sha1, problem) = (flags[1].then(|| Sha1::of(&target)), flags[2].then(|| "can't read it: it's gone".to_owned()));
            Entry { sha1, target, xattrs: xattrs.into_iter().collect(), changed: flags[1], problem, items, ..Entry::new(stat) }
        }
    }

    prop_compose! {
        /// Documents as they are written, without the line that begins them.
        fn written()(path in path(), entry in entry(), hardlink in prop::option::of(path()), user in bytes(), part in prop::option::of(any::<u32>())) -> String {
            let user = String::from_utf8_lossy(&user).into_owned();
            let mut text = String::new();
            match part {
                Some(number) => push_part(&path, number, &entry.items, &mut text),
                None => push_entry(&path, &entry, (Some(&user), None), hardlink.as_ref(), &mut text),
            }
            text.split_off("---\n".len())
        }
    }

    /// One line comes twice, or has another value, or something in it.
    fn changed(text: &str, line: &Index, at: &Index, how: u8, spice: &str) -> String {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let number = line.index(lines.len());
        let line = lines[number].clone();
        let key = line.find(": ").map_or(0, |at| at + 2);
        match how {
            0 => lines.insert(number, line),
            1 => lines[number] = format!("{}{spice}\n", &line[..key]),
            2 => lines[number] = format!("{}{spice}{}", &line[..key], &line[key..]),
            _ => {
                let places: Vec<usize> = line.char_indices().map(|(place, _)| place).collect();
                let place = places[at.index(places.len())];
                lines[number] = format!("{}{spice}{}", &line[..place], &line[place..]);
            }
        }
        lines.concat()
    }

    /// Fewer where a CPU is emulated.
    fn cases() -> u32 {
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        #[test]
        fn all_that_is_written_is_in_the_corner(text in written()) {
            let found = parse(&text).map(Ok);
            prop_assert_eq!(&found, &Some(yaml::parse(&text)), "{}", text);
            prop_assert_eq!(&found, &Some(peer::parse(&text)), "{}", text);
        }

        #[test]
        fn what_is_read_here_yaml_reads_as_the_same(
            text in written(),
            changes in prop::collection::vec((any::<Index>(), any::<Index>(), 0..4_u8, prop::sample::select(&SPICES[..])), 1..3),
        ) {
            let text = changes.iter().fold(text, |text, (line, at, how, spice)| changed(&text, line, at, *how, spice));
            let by_events = yaml::parse(&text);
            if let Some(document) = parse(&text) {
                prop_assert_eq!(&Ok(document), &by_events, "{}", text);
            }
            // The peer looks at what no key asks for too.
            if let (Ok(document), Ok(other)) = (by_events, peer::parse(&text)) {
                prop_assert_eq!(document, other, "{}", text);
            }
        }
    }
}
