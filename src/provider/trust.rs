//! Which server is the right one.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Whose certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    /// Those in a file, or signed by those.
    File(PathBuf),
    /// The one of this key, whoever signed it, whatever name is in it.
    Pin(Pin),
}

/// The SHA-256 of a server's public key (SubjectPublicKeyInfo), as in RFC 7469 and as curl's `--pinnedpubkey` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

const SCHEME: &str = "sha256//";

impl Pin {
    /// `sha256//` and 44 digits of base64.
    pub fn parse(text: &str) -> Option<Self> {
        let digest = BASE64.decode(text.strip_prefix(SCHEME)?).ok()?;
        digest.try_into().ok().map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", BASE64.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_what_curl_takes() {
        let text = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(Pin::parse(text).map(|pin| pin.to_string()).as_deref(), Some(text));
        for wrong in ["", "sha256//", "sha256//47DE", &text[8..], "sha1//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
        {
            assert_eq!(Pin::parse(wrong), None, "{wrong}");
        }
    }
}
