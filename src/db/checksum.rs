//! A checksum of a row against rot: a flipped bit in a database page is no error to SQLite, and must not become part of a backup.
//!
//! Not against anybody: who can write to the state directory can do worse.

/// Of some fields in order. A change of a single word is always seen.
pub(super) fn checksum(fields: &[&[u8]]) -> u32 {
    // The steps of FNV-1a over words instead of bytes: each is a bijection of the state, so one changed word can't be lost.
    const PRIME: u32 = 0x0100_0193;
    let mut state = 0x811c_9dc5_u32;
    let mut step = |word: u32| state = (state ^ word).wrapping_mul(PRIME).rotate_left(7);
    for field in fields {
        let (words, rest) = field.as_chunks::<4>();
        words.iter().for_each(|word| step(u32::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |last, byte| last << 8 | u32::from(*byte));
        step(last);
        step(field.len() as u32);
    }
    state
}

/// Puts a checksum in front of what it is of.
pub(super) fn seal(fields: &[&[u8]], value: &[u8], into: &mut Vec<u8>) {
    let all = checksum(fields) ^ checksum(&[value]);
    into.extend_from_slice(&all.to_le_bytes());
    into.extend_from_slice(value);
}

/// What was put behind its checksum, if it is still what it was.
pub(super) fn open<'a>(fields: &[&[u8]], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, value) = sealed.split_first_chunk()?;
    (u32::from_le_bytes(*sum) == checksum(fields) ^ checksum(&[value])).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let value: Vec<u8> = (0..101).collect();
        let mut sealed = Vec::new();
        seal(&[b"key", b"part"], &value, &mut sealed);
        assert_eq!(open(&[b"key", b"part"], &sealed), Some(&value[..]));
        assert_eq!(open(&[b"kez", b"part"], &sealed), None);
        assert_eq!(open(&[b"keyp", b"art"], &sealed), None);
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&[b"key", b"part"], &sealed), None, "bit {bit}");
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..sealed.len() {
            assert_eq!(open(&[b"key", b"part"], &sealed[..length]), None, "cut to {length}");
        }
    }
}
