//! Any bytes as a record of the stat cache: what is read comes back when it is written.
#![no_main]

use brackup::entry::{Entry, push_items, read_items};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(entry) = Entry::read_record(bytes) {
        let mut record = Vec::new();
        entry.push_record(&mut record);
        assert_eq!(Entry::read_record(&record), Some(entry));
    }
    if let Some(items) = read_items(bytes) {
        let mut list = Vec::new();
        push_items(&items, &mut list);
        assert_eq!(read_items(&list), Some(items));
    }
});
