//! Any bytes as a metafile's documents: what is read can be written, and is then read as the same.
#![no_main]

use brackup::metafile::{Reader, Record, push_entry, push_header, push_part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::open(bytes) else { return };
    let mut text = String::new();
    push_header(reader.header(), &mut text);
    let header = text.len();
    while let Ok(Some(record)) = reader.next() {
        text.truncate(header);
        let again = |text: &str| Reader::open(text.as_bytes()).unwrap().next().unwrap().unwrap();
        match record {
            Record::Entry(found) => {
                let owners = (found.user.as_deref(), found.group.as_deref());
                push_entry(&found.path, &found.entry, owners, found.hardlink.as_ref(), &mut text);
                let Record::Entry(same) = again(&text) else { panic!("no entry") };
                assert_eq!((&same.path, &same.hardlink), (&found.path, &found.hardlink));
                assert_eq!((&same.user, &same.group), (&found.user, &found.group));
                assert_eq!(same.entry.problem, found.entry.problem);
                assert_eq!((&same.entry.items, &same.entry.xattrs), (&found.entry.items, &found.entry.xattrs));
                assert_eq!(
                    (same.entry.stat.mode, same.entry.stat.mtime),
                    (found.entry.stat.mode, found.entry.stat.mtime)
                );
            }
            Record::Part { path, items } => {
                push_part(&path, 0, &items, &mut text);
                let Record::Part { path: same, items: same_items } = again(&text) else { panic!("no part") };
                assert_eq!((same, same_items), (path, items));
            }
        }
    }
});
