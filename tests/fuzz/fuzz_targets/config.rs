//! A configuration of any bytes: it is read, or the error says a line.
#![no_main]

use std::path::Path;

use brackup::config::{Config, Surroundings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let around = Surroundings { home: Some("/home/user".into()), uid: 1000, env: |_| None, etc: "/etc".into() };
    match Config::parse_in(Path::new("/etc/brackup.conf"), bytes, &around) {
        Ok(config) => {
            for source in &config.sources {
                assert!(config.source(&source.name).map_or(true, |found| found.name == source.name));
                source.ignore.ignores(b"a/b.jpg", false);
            }
            for target in &config.targets {
                let _ = config.target(&target.name);
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(|c: char| c.is_control()), "{text:?}");
            assert!(error.hint().is_none_or(|hint| !hint.contains(|c: char| c.is_control())));
        }
    }
});
