//! Digests as values: the SHA-1 that names sealed objects and is recorded for originals, and the keyed
//! BLAKE3 by which known pieces are found (DESIGN "Hashes").
//!
//! SHA-1 never decides that two plaintexts are equal; [`PieceDigest`] does, and it is keyed with a
//! secret of the box, so that a stolen database can't be searched for known files.

use std::fmt;

/// A SHA-1: of sealed bytes (a chunk's key) or of an original file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(pub [u8; 20]);

/// The name of a chunk: the SHA-1 of its sealed bytes.
pub type Key = Sha1;

impl Sha1 {
    /// Parses 40 hex digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Sha1Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_to(&self.0, f)
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_to(&self.0, f)
    }
}

/// SHA-1 as the bytes come.
#[derive(Clone, Default)]
pub struct Sha1Hasher(sha1::Sha1);

impl Sha1Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        use sha1::Digest as _;
        self.0.update(bytes);
    }

    /// Takes `length` zero bytes: a hole.
    pub fn update_with_zeros(&mut self, mut length: u64) {
        const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        while length > 0 {
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.update(&ZEROS[..now]);
            length -= now as u64;
        }
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Sha1 {
        use sha1::Digest as _;
        Sha1(self.0.finalize().into())
    }
}

impl fmt::Debug for Sha1Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha1Hasher")
    }
}

/// The keyed digest of a piece: 160 bits of BLAKE3. Keyed with a secret, so nobody can look for a
/// collision, and by chance one is to be feared at 2^80 pieces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceDigest(pub [u8; 20]);

impl fmt::Debug for PieceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_to(&self.0, f)
    }
}

/// The key under which pieces are digested: it depends on the box, on the target and on the set of recipients, so that a
/// piece that another target has, or that is sealed to others, is another piece.
#[derive(Clone)]
pub struct PieceKey([u8; 32]);

impl PieceKey {
    /// Derives the key from the box's secret, the target's identity and the recipients' sorted public keys.
    pub fn derive(box_secret: &[u8; 32], target_identity: &str, recipients: &[[u8; 32]]) -> Self {
        let mut sorted = recipients.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut hasher = blake3::Hasher::new_derive_key("brackup 1 piece digest");
        hasher.update(box_secret);
        hasher.update(blake3::hash(target_identity.as_bytes()).as_bytes());
        for recipient in &sorted {
            hasher.update(recipient);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The digest of one piece.
    pub fn digest(&self, piece: &[u8]) -> PieceDigest {
        let hash = blake3::keyed_hash(&self.0, piece);
        let mut digest = [0; 20];
        digest.copy_from_slice(&hash.as_bytes()[..20]);
        PieceDigest(digest)
    }

    /// A tag by which a database knows that its rows were made under this key.
    pub fn tag(&self) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.0, b"tag");
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.as_bytes()[..16]);
        tag
    }
}

impl fmt::Debug for PieceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PieceKey")
    }
}

impl Drop for PieceKey {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.0.zeroize();
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(bytes, &mut text);
    text
}

/// Appends bytes as lower-case hex.
pub fn push_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Exactly `N` bytes from lower-case hex.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hex_to(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_is_that_of_fips_180() {
        assert_eq!(Sha1::of(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn hex_is_read_strictly() {
        let text = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(Sha1::parse(text).map(|sha1| sha1.to_string()).as_deref(), Some(text));
        assert_eq!(Sha1::parse(&text.to_uppercase()), None);
        assert_eq!(Sha1::parse(&text[1..]), None);
    }

    #[test]
    fn piece_digests_depend_on_box_target_and_recipients_not_on_their_order() {
        let one = PieceKey::derive(&[1; 32], "t", &[[2; 32], [3; 32]]);
        let same = PieceKey::derive(&[1; 32], "t", &[[3; 32], [2; 32]]);
        let other_box = PieceKey::derive(&[9; 32], "t", &[[2; 32], [3; 32]]);
        let other_recipients = PieceKey::derive(&[1; 32], "t", &[[2; 32]]);
        assert_eq!(one.digest(b"piece"), same.digest(b"piece"));
        assert_ne!(one.digest(b"piece"), other_box.digest(b"piece"));
        assert_ne!(one.digest(b"piece"), other_recipients.digest(b"piece"));
        let other_target = PieceKey::derive(&[1; 32], "u", &[[2; 32], [3; 32]]);
        assert_ne!(one.digest(b"piece"), other_target.digest(b"piece"));
    }
}
