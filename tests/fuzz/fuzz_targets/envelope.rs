//! Any bytes as an object, opened with the key of the test vectors, and as the end of a metafile.
#![no_main]

use std::io::Read as _;
use std::sync::OnceLock;

use brackup::seal::{Fault, Footer, Header, Identity, Opener, Opening, Role, sealed_length, split_footer};
use libfuzzer_sys::fuzz_target;

/// alice of tests/vectors/make.py.
const TEST_KEY: &str = "BRACKUP-SECRET-KEY-18C9MM25D8HJ7A2UR83HMP5GFWCFZF3CZ5RVC564M3Y67Y796FYYQ2DJU09";

fn identities() -> &'static [Identity] {
    static IDENTITIES: OnceLock<Vec<Identity>> = OnceLock::new();
    IDENTITIES.get_or_init(|| Identity::parse(TEST_KEY).into_iter().collect())
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(identities().len(), 1);
    if let Ok(header) = Header::parse(bytes) {
        assert!(header.len() <= bytes.len() && (1..=32).contains(&header.recipients().count()));
    }
    for role in [Role::Chunk, Role::Metafile] {
        let opened = Opener::open(bytes, bytes.len() as u64, role, identities()).and_then(|mut opener| {
            let mut payload = Vec::new();
            opener.read_to_end(&mut payload).map(|_| payload)
        });
        match opened {
            Ok(payload) => {
                assert_eq!(sealed_length(usize::from(bytes[10]), payload.len() as u64), bytes.len() as u64);
                let opening = Opening::open(bytes, bytes.len() as u64, role, identities()).unwrap();
                let (offset, length) = opening.place(opening.segments() - 1);
                let mut last = bytes[offset as usize..offset as usize + length].to_vec();
                assert!(payload.ends_with(opening.segment(opening.segments() - 1, &mut last).unwrap()));
            }
            Err(error) => assert!(error.downcast::<Fault>().is_ok()),
        }
    }
    if let Ok((footer, _)) = split_footer(bytes).and_then(Footer::parse) {
        assert!(footer.sequence > 0);
    }
});
