//! Any bytes as a path and as escaped text: there and back, and never out of the directory.
#![no_main]

use brackup::relpath::{RelPath, escape, unescape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut text = String::new();
    escape(bytes, &mut text);
    assert_eq!(unescape(&text).as_deref(), Some(bytes));
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{feff}'));
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(unescaped) = unescape(text)
    {
        let mut again = String::new();
        escape(&unescaped, &mut again);
        assert_eq!(unescape(&again), Some(unescaped));
    }
    let Ok(path) = RelPath::parse(bytes) else { return };
    assert!(path.names().all(|name| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0)));
    assert_eq!(RelPath::parse_escaped(&path.escaped()), Ok(path.clone()));
    let mut key = Vec::new();
    path.sort_key(&mut key);
    assert_eq!(RelPath::from_sort_key(&key), path);
    if let Some((folder, name)) = path.split_last() {
        assert!(path.is_within(folder) && path.as_bytes().ends_with(name));
        let mut folder = RelPath::parse(if folder.is_empty() { b"." } else { folder }).unwrap();
        assert!(folder < path);
        folder.push(name);
        assert_eq!(folder, path);
    }
});
