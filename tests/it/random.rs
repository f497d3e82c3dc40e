//! A file's contents from any place.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;

use brackup::blob::Item;
use brackup::catalog::{ChunkReader, RandomReader};
use brackup::digest::Key;
use brackup::metafile::Record;

use crate::support::{Nas, Tree, noise};

pub(crate) const SEGMENT: u64 = 64 << 10;

/// Lines that compress, no two alike.
pub(crate) fn text(lines: u32) -> Vec<u8> {
    (0..lines).flat_map(|line| format!("line {line} of a text, {}\n", line * 7919 % 9973).into_bytes()).collect()
}

/// Files of every kind: of many pieces, compressed, not, both by turns, with holes, with more items than a document takes.
pub(crate) fn fill_with_files(tree: &Tree) {
    tree.file("empty", b"");
    tree.file("small", b"contents");
    tree.file("noise", noise(1, 3_000_000));
    tree.file("text", text(120_000));
    let turns: Vec<u8> = (0..40).flat_map(|turn| [noise(turn, 90_000), text(3000)].concat()).collect();
    tree.file("turns", turns);
    let pieces: Vec<_> = (0..1300_u64).map(|number| (number * 2 * SEGMENT, noise(number + 100, 16))).collect();
    let data: Vec<_> = pieces.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    tree.sparse("parts", 2600 * SEGMENT + 5, &data);
    tree.sparse("holes", 10 << 20, &[(0, b"begin"), (5 << 20, b"middle")]);
}

/// Without the kernel, which reads ahead and keeps what it has read.
#[test]
fn any_place_of_a_file_is_read_alone() {
    let (mut nas, tree) = (Nas::new(), Tree::new());
    fill_with_files(&tree);
    for piece_bytes in [64 << 10, 1 << 20] {
        nas.piece_bytes = piece_bytes;
        let name = nas.backup(&tree).name();
        let target = nas.target();
        for (path, (size, items)) in files(&nas, &name) {
            let original = fs::read(tree.at(&path)).unwrap();
            assert_eq!(original.len() as u64, size);
            let mut chunks = ChunkReader::new(&target, &nas.identities);
            let mut reader = RandomReader::new(items, size);
            for (at, length) in places(size) {
                let mut bytes = Vec::new();
                reader.read(at, length as usize, &mut chunks, &mut bytes, &AtomicBool::new(false)).unwrap();
                let expected = &original[at.min(size) as usize..(at + length).min(size) as usize];
                assert!(bytes == expected, "{path} at {at}, {length} bytes");
            }
        }
    }
}

#[test]
fn one_place_of_a_large_file_costs_its_segments() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("noise", noise(1, 20_000_000));
    let name = nas.backup(&tree).name();
    let (target, (size, items)) = (nas.target(), files(&nas, &name).remove("noise").unwrap());
    let mut chunks = ChunkReader::new(&target, &nas.identities);
    let mut bytes = Vec::new();
    RandomReader::new(items, size).read(15_000_000, 100, &mut chunks, &mut bytes, &AtomicBool::new(false)).unwrap();
    assert_eq!(bytes, noise(1, 20_000_000)[15_000_000..15_000_100]);
    assert!(chunks.fetched() <= 2 * (SEGMENT + 16), "{} bytes for 100", chunks.fetched());
}

/// Size and items of each file with contents.
fn files(nas: &Nas, name: &str) -> BTreeMap<String, (u64, Vec<Item<Key>>)> {
    let mut documents = nas.open(&nas.target(), name).unwrap().documents(&nas.identities).unwrap();
    let (mut files, mut parts) = (BTreeMap::new(), Vec::new());
    while let Some(record) = documents.next().unwrap() {
        match record {
            Record::Part { items, .. } => parts.extend(items),
            Record::Entry(found) if found.entry.stat.kind.has_contents() => {
                parts.extend(found.entry.items);
                files.insert(found.path.escaped(), (found.entry.stat.size, std::mem::take(&mut parts)));
            }
            Record::Entry(_) => {}
        }
    }
    files
}

/// Places all over a file: its ends, and where a die falls.
fn places(size: u64) -> Vec<(u64, u64)> {
    let mut places = vec![(0, 1), (size.saturating_sub(1), 10), (size, 5), (size + 5, 5), (0, 300_000)];
    for die in noise(size, 300 * 8).chunks(8) {
        let die = u64::from_le_bytes(die.try_into().unwrap());
        places.push((die % (size + 1), 1 + (die >> 40) % 200_000));
    }
    places
}
