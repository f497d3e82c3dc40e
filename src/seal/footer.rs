//! The clear footer of a metafile: FORMAT.md section 7. Who wrote it, and what came before it.

use sha2::{Digest as _, Sha256};

use super::error::Fault;
use super::key::{BoxKey, BoxPublic};
use crate::blob::Sealed;
use crate::digest::{hex, unhex};
use crate::limits::FOOTER_BYTES_MAX;

const FIRST_LINE: &str = "brackup metafile footer 1";
const END_MARK: &[u8; 4] = b"BRKF";
/// Bytes behind the text: its length and the mark.
const TAIL_BYTES: usize = 8;

/// What a footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Who signed.
    pub signer: BoxPublic,
    /// The source's name.
    pub root: String,
    /// The name of the metafile without `.meta`.
    pub backup: String,
    /// 1, 2, 3 … one a backup of this root by this box.
    pub sequence: u64,
    /// SHA-256 of the footer text of the backup before; zeros for the first.
    pub previous: [u8; 32],
    /// SHA-256 of the envelope.
    pub sealed_sha256: [u8; 32],
    /// Length of the envelope.
    pub sealed_length: u64,
    /// How many chunks the metafile names.
    pub chunks: u64,
}

impl Footer {
    fn unsigned_text(&self) -> String {
        format!(
            "{FIRST_LINE}\nbox: {}\nroot: {}\nbackup: {}\nsequence: {}\nprevious: {}\nsealed-sha256: {}\n\
             sealed-length: {}\nchunks: {}\n",
            self.signer,
            self.root,
            self.backup,
            self.sequence,
            hex(&self.previous),
            hex(&self.sealed_sha256),
            self.sealed_length,
            self.chunks
        )
    }

    /// Reads a footer's text, checks its signature, and tells the digest that the next backup names as `previous`.
    pub fn parse(text: &[u8]) -> Result<(Self, [u8; 32]), Fault> {
        let footer = std::str::from_utf8(text).ok().and_then(Self::fields).ok_or(Fault::Signature)?;
        let (fields, signature) = footer;
        let unsigned = fields.unsigned_text();
        // Written back, it must be what was read: one text for one meaning.
        let is_canonical =
            text.starts_with(unsigned.as_bytes()) && &text[unsigned.len()..] == signature_line(&signature).as_bytes();
        if !is_canonical || !fields.signer.verify(unsigned.as_bytes(), &signature) {
            return Err(Fault::Signature);
        }
        Ok((fields, Sha256::digest(text).into()))
    }

    fn fields(text: &str) -> Option<(Self, [u8; 64])> {
        let mut lines = text.split('\n');
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(": ");
        let footer = Self {
            signer: BoxPublic::parse(value("box")?).ok()?,
            root: value("root")?.to_owned(),
            backup: value("backup")?.to_owned(),
            sequence: value("sequence")?.parse().ok().filter(|sequence| *sequence > 0)?,
            previous: unhex(value("previous")?)?,
            sealed_sha256: unhex(value("sealed-sha256")?)?,
            sealed_length: value("sealed-length")?.parse().ok()?,
            chunks: value("chunks")?.parse().ok()?,
        };
        let signature = unhex(value("signature")?)?;
        Some((footer, signature))
    }
}

/// The last line of what is signed.
pub(super) fn signature_line(signature: &[u8; 64]) -> String {
    format!("signature: {}\n", hex(signature))
}

/// Signs `footer` and hands out its bytes, which go behind the envelope. Gives the digest that the next backup names as `previous`.
pub fn append_footer<E>(
    footer: &Footer,
    key: &BoxKey,
    mut out: impl FnMut(Sealed<'_>) -> Result<(), E>,
) -> Result<[u8; 32], E> {
    let mut text = footer.unsigned_text();
    let signature = key.sign(text.as_bytes());
    text.push_str(&signature_line(&signature));
    let digest = Sha256::digest(text.as_bytes()).into();
    let mut bytes = text.into_bytes();
    let length = bytes.len() as u32;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(END_MARK);
    out(Sealed::by_the_envelope(&bytes))?;
    Ok(digest)
}

/// Finds the footer's text in the last bytes of a metafile. `tail` is at least its last 4,104 bytes, or all of it.
pub fn split_footer(tail: &[u8]) -> Result<&[u8], Fault> {
    let (rest, mark) = tail.split_last_chunk::<TAIL_BYTES>().ok_or(Fault::Signature)?;
    let [a, b, c, d, end @ ..] = mark;
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if end != END_MARK || length > FOOTER_BYTES_MAX {
        return Err(Fault::Signature);
    }
    let start = rest.len().checked_sub(length).ok_or(Fault::Signature)?;
    Ok(&rest[start..])
}

impl Footer {
    /// Bytes of a metafile's end that surely hold its footer.
    pub const TAIL_BYTES_MAX: usize = FOOTER_BYTES_MAX + TAIL_BYTES;
    /// Bytes behind the footer's text.
    pub const MARK_BYTES: usize = TAIL_BYTES;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn sample(key: &BoxKey) -> Footer {
        Footer {
            signer: key.public(),
            root: "proj".into(),
            backup: "proj-2026112300".into(),
            sequence: 7,
            previous: [1; 32],
            sealed_sha256: [2; 32],
            sealed_length: 99,
            chunks: 3,
        }
    }

    /// Behind an envelope, and the digest that the next one names.
    pub(in super::super) fn bytes(footer: &Footer, key: &BoxKey) -> (Vec<u8>, [u8; 32]) {
        let mut bytes = b"sealed".to_vec();
        let digest = append_footer::<()>(footer, key, |sealed| {
            bytes.extend_from_slice(sealed.as_bytes());
            Ok(())
        });
        (bytes, digest.unwrap())
    }

    #[test]
    fn a_footer_comes_back_signed() {
        let key = BoxKey::generate().unwrap();
        let footer = sample(&key);
        let (bytes, digest) = bytes(&footer, &key);
        assert_eq!(Footer::parse(split_footer(&bytes).unwrap()), Ok((footer, digest)));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let key = BoxKey::generate().unwrap();
        let (bytes, _) = bytes(&sample(&key), &key);
        let start = b"sealed".len();
        for at in start..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let parsed = split_footer(&changed).and_then(Footer::parse);
            assert_eq!(parsed, Err(Fault::Signature), "byte {at}");
        }
    }

    #[test]
    fn another_boxs_signature_is_not_good() {
        let key = BoxKey::generate().unwrap();
        let (bytes, _) = bytes(&sample(&key), &BoxKey::generate().unwrap());
        assert_eq!(split_footer(&bytes).and_then(Footer::parse), Err(Fault::Signature));
    }
}
