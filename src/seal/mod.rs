//! Sealing to public keys and opening with secret ones: FORMAT.md sections 3, 4 and 7.
//!
//! Straight line: [`Sealing`] takes payload bytes and gives [`crate::blob::Sealed`] ones, [`Opening`] takes
//! an object's header and opens any of its segments. What is written passes through here or not at all (I5).
//! HPKE auth mode is not used (key-compromise impersonation, RFC 9180 section 9.1.1): the footer is signed.

mod envelope;
mod error;
mod footer;
mod key;
mod keyfile;
mod keyring;
mod opening;
mod password;
mod sealing;
mod tombstone;

pub use envelope::{Header, Role, Suite, sealed_length, segments};
pub use error::{Error, Fault};
pub use footer::{Footer, append_footer, split_footer};
pub use key::{BoxKey, BoxPublic, Identity, KeyId, Recipient};
pub use keyfile::SecretFile;
pub use keyring::{Keyring, KnownBoxes};
pub use opening::{Opener, Opening};
pub use password::Password;
pub use sealing::Sealing;
pub use tombstone::{Tombstone, write_tombstone};

/// A number of bytes padded to a Padmé length (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
/// Communication with PURBs", PoPETs 2019): at most 12 % more, and O(log log n) bits told.
pub fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1_u64 << exponent.saturating_sub(kept)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::padme;

    #[test]
    fn padme_by_the_paper() {
        for (length, padded) in
            [(0, 0), (1, 1), (8, 8), (9, 10), (100, 104), (1000, 1024), (1_000_000, 1_015_808), (64 << 20, 64 << 20)]
        {
            assert_eq!(padme(length), padded, "{length}");
        }
    }

    #[test]
    fn padme_adds_at_most_twelve_per_cent_and_is_a_fixed_point() {
        for length in (2..100_000).chain((1 << 40)..(1 << 40) + 1000) {
            let padded = padme(length);
            assert!(padded >= length && (padded - length) * 100 <= length * 12, "{length} {padded}");
            assert_eq!(padme(padded), padded);
        }
    }
}
