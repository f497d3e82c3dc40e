//! What is left of a backup that was removed: FORMAT.md section 7. Its footer, so that the chain still holds, and who removed it.

use super::error::Fault;
use super::footer::{Footer, signature_line};
use super::key::{BoxKey, BoxPublic};
use crate::blob::Sealed;
use crate::date::Utc;
use crate::digest::unhex;

const FIRST_LINE: &str = "brackup tombstone 1\n";
/// Lines behind those of the footer.
const OWN_LINES: usize = 3;

/// What a tombstone says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The footer that the metafile had.
    pub footer: Footer,
    /// The digest of that footer's text, which the next backup names as `previous`.
    pub footer_digest: [u8; 32],
    /// Who removed it.
    pub remover: BoxPublic,
    /// When, by the clock of the box.
    pub removed: Utc,
}

impl Tombstone {
    /// Reads one and checks both signatures. Whether the remover may remove is not said here.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let (stone, signature, signed) = std::str::from_utf8(text).ok().and_then(fields).ok_or(Fault::Signature)?;
        let (footer, footer_digest) = Footer::parse(stone.footer_text.as_bytes())?;
        let is_canonical = signed.len() + signature_line(&signature).len() == text.len()
            && signed == unsigned_text(stone.footer_text, &stone.remover, stone.removed);
        if !is_canonical || !stone.remover.verify(signed.as_bytes(), &signature) {
            return Err(Fault::Signature);
        }
        Ok(Self { footer, footer_digest, remover: stone.remover, removed: stone.removed })
    }
}

struct Stone<'t> {
    footer_text: &'t str,
    remover: BoxPublic,
    removed: Utc,
}

/// The parts, the signature, and what it is of.
fn fields(text: &str) -> Option<(Stone<'_>, [u8; 64], &str)> {
    let rest = text.strip_prefix(FIRST_LINE)?.strip_suffix('\n')?;
    let mut lines = rest.rsplitn(OWN_LINES + 1, '\n');
    let signature_text = lines.next()?;
    let removed = Utc::parse(lines.next()?.strip_prefix("removed: ")?)?;
    let remover = BoxPublic::parse(lines.next()?.strip_prefix("box: ")?).ok()?;
    let footer_length = lines.next()?.len() + 1;
    let footer_text = &text[FIRST_LINE.len()..][..footer_length];
    let signature = unhex(signature_text.strip_prefix("signature: ")?)?;
    let signed = &text[..text.len() - signature_text.len() - 1];
    Some((Stone { footer_text, remover, removed }, signature, signed))
}

fn unsigned_text(footer_text: &str, remover: &BoxPublic, removed: Utc) -> String {
    format!("{FIRST_LINE}{footer_text}box: {remover}\nremoved: {removed}\n")
}

/// Signs what is left of the backup with this footer, and hands out the bytes. `footer_text` is what [`Footer::parse`] read.
pub fn write_tombstone<E>(
    footer_text: &[u8],
    key: &BoxKey,
    removed: Utc,
    mut out: impl FnMut(Sealed<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut text = unsigned_text(&String::from_utf8_lossy(footer_text), &key.public(), removed);
    let signature = key.sign(text.as_bytes());
    text.push_str(&signature_line(&signature));
    out(Sealed::by_the_envelope(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::footer::split_footer;
    use super::super::footer::tests::{bytes, sample};
    use super::*;

    fn footer_text(key: &BoxKey) -> Vec<u8> {
        let (bytes, _) = bytes(&sample(key), key);
        split_footer(&bytes).unwrap().to_vec()
    }

    fn stone(footer_text: &[u8], key: &BoxKey) -> Vec<u8> {
        let mut bytes = Vec::new();
        let removed = Utc::parse("2026-11-26T10:15:00Z").unwrap();
        let written = write_tombstone::<()>(footer_text, key, removed, |sealed| {
            bytes.extend_from_slice(sealed.as_bytes());
            Ok(())
        });
        written.unwrap();
        bytes
    }

    #[test]
    fn a_tombstone_comes_back_with_the_footer_that_it_keeps() {
        let (key, remover) = (BoxKey::generate().unwrap(), BoxKey::generate().unwrap());
        let text = footer_text(&key);
        let read = Tombstone::parse(&stone(&text, &remover)).unwrap();
        assert_eq!((read.footer, read.footer_digest), Footer::parse(&text).unwrap());
        assert_eq!((read.remover, read.removed.to_string().as_str()), (remover.public(), "2026-11-26T10:15:00Z"));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let key = BoxKey::generate().unwrap();
        let bytes = stone(&footer_text(&key), &key);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Tombstone::parse(&changed), Err(Fault::Signature), "byte {at}");
            assert_eq!(Tombstone::parse(&bytes[..at]), Err(Fault::Signature), "cut at {at}");
        }
        let twice = [&bytes[..], &bytes[..]].concat();
        assert_eq!(Tombstone::parse(&twice), Err(Fault::Signature));
    }
}
