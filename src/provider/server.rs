//! Another box that runs `brackup serve`, and who asks it (docs/PROTOCOL.md).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sha2::Digest as _;
use zeroize::Zeroizing;

use super::{Endpoint, Trust};

/// Which box, and how to know that it is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whose certificates are.
    pub trust: Trust,
}

const BYTES: usize = 32;

/// What lets a host in at another box: 256 bits of chance, as 43 letters (RFC 4648, section 5, without padding).
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one, if the system has random numbers.
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut bytes[..]).ok()?;
        Some(Self(BASE64URL.encode(&bytes[..]).into()))
    }

    /// 43 letters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL.decode(text).map(Zeroizing::new).ok()?;
        (bytes.len() == BYTES).then(|| Self(text.to_owned().into()))
    }

    /// The secret itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the other box knows of it: the SHA-256 of its letters.
    pub fn sha256(&self) -> [u8; 32] {
        sha2::Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn a_token_is_43_letters_and_shown_to_nobody() {
        let token = Token::generate().unwrap();
        assert_eq!(token.as_str().len(), 43);
        assert_eq!(Token::parse(token.as_str()), Some(token.clone()));
        assert_ne!(Token::generate().unwrap(), token);
        assert_eq!(format!("{token:?}"), "Token");
        let known = Token::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        // printf AAA… | sha256sum
        assert_eq!(hex(&known.sha256()), SHA256);
        for wrong in ["", &token.as_str()[1..], &format!("{}=", token.as_str()), &"+".repeat(43), &"A".repeat(44)] {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
    }

    const SHA256: &str = "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a";
}
