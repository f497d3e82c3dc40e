//! Keys as values: FORMAT.md section 4. Each exists only by parsing or by making a new one.
//!
//! Secret halves zeroize and have no `Debug`.

use std::fmt;

use bech32::{Bech32, Hrp};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hpke::kem::{Kem as _, X25519HkdfSha256};
use hpke::{Deserializable as _, Serializable as _};
use zeroize::Zeroizing;

use super::error::Error;
use crate::digest::Sha1;

const PUBLIC_HRP: &str = "brackup";
const SECRET_HRP: &str = "brackup-secret-key-";
const BOX_PUBLIC_HRP: &str = "brackupbox";
const BOX_SECRET_HRP: &str = "brackup-box-key-";

/// The first four bytes of the SHA-1 of a public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn of(public: &[u8; 32]) -> Self {
        let sha1 = Sha1::of(public).0;
        Self([sha1[0], sha1[1], sha1[2], sha1[3]])
    }

    /// Eight hex digits, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        crate::digest::unhex(&text.to_ascii_lowercase()).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key to seal to.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Parses `brackup1…`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = from_bech32(PUBLIC_HRP, text, "a public key, brackup1 and 58 letters and digits")?;
        // A point of small order would make the shared secret public: HPKE refuses it when it seals.
        Ok(Self(*bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_bech32(PUBLIC_HRP, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key to open with.
#[derive(Clone)]
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
    recipient: Recipient,
}

impl Identity {
    /// A new key pair from the operating system's random numbers.
    pub fn generate() -> Result<Self, Error> {
        Self::from_bytes(random()?)
    }

    /// Parses `BRACKUP-SECRET-KEY-1…`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::from_bytes(from_bech32(SECRET_HRP, text, "a secret key, BRACKUP-SECRET-KEY-1 and 58 letters and digits")?)
    }

    pub(super) fn from_bytes(secret: Zeroizing<[u8; 32]>) -> Result<Self, Error> {
        let private = <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(&secret[..])
            .map_err(|_| Error::Crypto("reading an X25519 key"))?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
        let recipient = Recipient(public.as_slice().try_into().map_err(|_| Error::Crypto("X25519"))?);
        Ok(Self { secret, recipient })
    }

    /// The public half.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// The text form. It is the secret itself.
    pub fn to_text(&self) -> Zeroizing<String> {
        upper_case(to_bech32(SECRET_HRP, &self.secret[..]))
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// In place: no second copy of a secret.
fn upper_case(mut text: String) -> Zeroizing<String> {
    text.make_ascii_uppercase();
    Zeroizing::new(text)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient.id())
    }
}

/// The key with which a box signs its metafiles, and the root of its other secrets.
pub struct BoxKey(SigningKey);

impl BoxKey {
    /// A new one.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(SigningKey::from_bytes(&*random()?)))
    }

    /// Parses `BRACKUP-BOX-KEY-1…`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let seed = from_bech32(BOX_SECRET_HRP, text, "a box key, BRACKUP-BOX-KEY-1 and 58 letters and digits")?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The text form. It is the secret itself.
    pub fn to_text(&self) -> Zeroizing<String> {
        upper_case(to_bech32(BOX_SECRET_HRP, self.0.as_bytes()))
    }

    /// The public half.
    pub fn public(&self) -> BoxPublic {
        BoxPublic(self.0.verifying_key().to_bytes())
    }

    /// The secret from which piece digests are keyed; it tells nothing of the signing key.
    pub fn piece_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("brackup 1 box piece secret", self.0.as_bytes()))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxKey({})", self.public())
    }
}

/// The public half of a box key: who signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BoxPublic([u8; 32]);

impl BoxPublic {
    /// Parses `brackupbox1…`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = from_bech32(BOX_PUBLIC_HRP, text, "a box's public key, brackupbox1 and 58 letters and digits")?;
        Ok(Self(*bytes))
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for BoxPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_bech32(BOX_PUBLIC_HRP, &self.0))
    }
}

impl fmt::Debug for BoxPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 bytes of the operating system's random numbers; blocks until it has some (first boot of a NAS).
pub(super) fn random() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut bytes[..]).map_err(|_| Error::Crypto("getrandom"))?;
    Ok(bytes)
}

pub(super) fn to_bech32(hrp: &str, bytes: &[u8]) -> String {
    // The parts are constants and the lengths far below Bech32's code length, so this can't fail.
    Hrp::parse(hrp).ok().and_then(|hrp| bech32::encode::<Bech32>(hrp, bytes).ok()).unwrap_or_default()
}

fn from_bech32(hrp: &str, text: &str, expected: &'static str) -> Result<Zeroizing<[u8; 32]>, Error> {
    let error = || Error::KeyText { place: "key".into(), expected };
    let bytes = bytes_from_bech32(hrp, text).ok_or_else(error)?;
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return Err(error());
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

pub(super) fn bytes_from_bech32(hrp: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32>(text).ok()?;
    let bytes = Zeroizing::new(checked.byte_iter().collect::<Vec<_>>());
    // The crate leaves the bits that fill up the last letter unlooked at: without this a key would have several texts.
    let again = Zeroizing::new(to_bech32(hrp, &bytes));
    again.eq_ignore_ascii_case(text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_their_text() {
        let identity = Identity::generate().unwrap();
        let text = identity.to_text();
        assert!(text.starts_with("BRACKUP-SECRET-KEY-1"), "{}", &text[..20]);
        let again = Identity::parse(&text).unwrap();
        assert_eq!(again.recipient(), identity.recipient());
        let public = identity.recipient().to_string();
        assert!(public.starts_with("brackup1"));
        assert_eq!(&Recipient::parse(&public).unwrap(), identity.recipient());
        let box_key = BoxKey::generate().unwrap();
        assert_eq!(BoxKey::parse(&box_key.to_text()).unwrap().public(), box_key.public());
        assert_eq!(BoxPublic::parse(&box_key.public().to_string()).unwrap(), box_key.public());
    }

    #[test]
    fn a_typing_error_is_noticed() {
        let public = Identity::generate().unwrap().recipient().to_string();
        let mut typo = public.into_bytes();
        let at = typo.len() / 2;
        typo[at] = if typo[at] == b'q' { b'p' } else { b'q' };
        assert!(Recipient::parse(std::str::from_utf8(&typo).unwrap()).is_err());
    }

    #[test]
    fn a_key_of_one_kind_is_not_one_of_another() {
        let identity = Identity::generate().unwrap();
        assert!(Identity::parse(&identity.recipient().to_string()).is_err());
        assert!(Recipient::parse(&BoxKey::generate().unwrap().public().to_string()).is_err());
    }
}
