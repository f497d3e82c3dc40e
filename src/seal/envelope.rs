//! The header of a sealed object: FORMAT.md section 3. Pure: bytes in, values out; fuzzed.

use hkdf::Hkdf;
use hpke::aead::{AesGcm256, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::{Error, Fault};
use super::key::{Identity, KeyId, Recipient, random};
use crate::limits;

const MAGIC: &[u8; 7] = b"brackup";
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 12;
const STANZA_BYTES: usize = 4 + 32 + 48;
const COMMITMENT_BYTES: usize = 32;
const WRAP_INFO: &[u8] = b"brackup/1 file key";

type Kem = X25519HkdfSha256;

/// Which AEAD seals an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES-256-GCM: where the CPU has instructions for it.
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305: where it has not; constant-time and five times faster there.
    ChaCha20Poly1305 = 2,
}

impl Suite {
    /// The suite that is faster on this CPU.
    pub fn for_this_cpu() -> Self {
        if has_aes_instructions() { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// Its name in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }

    pub(super) fn algorithm(self) -> &'static ring::aead::Algorithm {
        match self {
            Self::Aes256Gcm => &ring::aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &ring::aead::CHACHA20_POLY1305,
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes_instructions() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// File contents.
    Chunk = 1,
    /// A backup's description.
    Metafile = 2,
}

/// Length of a sealed object with a payload of `payload` bytes to `recipients` recipients.
pub fn sealed_length(recipients: usize, payload: u64) -> u64 {
    header_bytes(recipients) as u64 + payload + limits::TAG_BYTES as u64 * segments(payload)
}

/// How many segments a payload has.
pub fn segments(payload: u64) -> u64 {
    payload.div_ceil(limits::SEGMENT_BYTES as u64).max(1)
}

fn header_bytes(recipients: usize) -> usize {
    PREFIX_BYTES + recipients * STANZA_BYTES + COMMITMENT_BYTES
}

/// The key that seals the body of one object.
pub(super) type BodyKey = Zeroizing<[u8; 32]>;

/// Makes a header with a fresh file key for `recipients`, and the body key that goes with it.
pub(super) fn create(suite: Suite, role: Role, recipients: &[Recipient]) -> Result<(Vec<u8>, BodyKey), Error> {
    if recipients.is_empty() || recipients.len() > limits::RECIPIENTS_MAX {
        return Err(Error::Crypto("sealing to no recipient or to more than 32"));
    }
    let file_key = random()?;
    let mut header = Vec::with_capacity(header_bytes(recipients.len()));
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&[VERSION, suite as u8, role as u8, recipients.len() as u8, 0]);
    let prefix: [u8; PREFIX_BYTES] = header[..].try_into().map_err(|_| Error::Crypto("header"))?;
    for recipient in recipients {
        header.extend_from_slice(&recipient.id().0);
        wrap(suite, recipient, &prefix, &file_key, &mut header)?;
    }
    let (body_key, commitment) = derive(&header, &file_key)?;
    header.extend_from_slice(&commitment[..]);
    Ok((header, body_key))
}

/// A header as parsed; nothing in it is trusted before a key has unwrapped it.
#[derive(Debug)]
pub struct Header<'a> {
    /// The AEAD.
    pub suite: Suite,
    /// What the object is for.
    pub role: Role,
    stanzas: &'a [u8],
    before_commitment: &'a [u8],
    commitment: &'a [u8],
    prefix: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses the beginning of an object; `bytes` may go on behind the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let magic = bytes.len().min(MAGIC.len());
        if bytes[..magic] != MAGIC[..magic] || bytes.is_empty() {
            return Err(Fault::NotBrackup);
        }
        let prefix = bytes.get(..PREFIX_BYTES).ok_or(Fault::Header)?;
        if prefix[7] != VERSION {
            return Err(Fault::Version);
        }
        let suite = match prefix[8] {
            1 => Suite::Aes256Gcm,
            2 => Suite::ChaCha20Poly1305,
            _ => return Err(Fault::Suite),
        };
        let role = match prefix[9] {
            1 => Role::Chunk,
            2 => Role::Metafile,
            _ => return Err(Fault::Header),
        };
        let recipients = usize::from(prefix[10]);
        if recipients == 0 || recipients > limits::RECIPIENTS_MAX || prefix[11] != 0 {
            return Err(Fault::Header);
        }
        let header = bytes.get(..header_bytes(recipients)).ok_or(Fault::Header)?;
        let (before_commitment, commitment) = header.split_at(header.len() - COMMITMENT_BYTES);
        let stanzas = &before_commitment[PREFIX_BYTES..];
        Ok(Self { suite, role, stanzas, before_commitment, commitment, prefix })
    }

    /// Length of the header: where the body begins.
    pub fn len(&self) -> usize {
        self.before_commitment.len() + COMMITMENT_BYTES
    }

    /// Never: a header has at least one recipient.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The ids of the recipients' keys.
    pub fn recipients(&self) -> impl Iterator<Item = KeyId> {
        self.stanzas.chunks_exact(STANZA_BYTES).map(|stanza| KeyId([stanza[0], stanza[1], stanza[2], stanza[3]]))
    }

    /// The body key, by the first of `identities` that can unwrap it; the commitment is checked.
    pub(super) fn unwrap(&self, identities: &[Identity]) -> Result<BodyKey, Fault> {
        let mut fault = Fault::NoKey;
        for stanza in self.stanzas.chunks_exact(STANZA_BYTES) {
            for identity in identities.iter().filter(|identity| identity.recipient().id().0 == stanza[..4]) {
                let Some(file_key) = unwrap(self.suite, identity, self.prefix, &stanza[4..]) else {
                    fault = Fault::WrongKey;
                    continue;
                };
                let (body_key, commitment) =
                    derive(self.before_commitment, &file_key).map_err(|_| Fault::Commitment)?;
                if !equal(&commitment[..], self.commitment) {
                    return Err(Fault::Commitment);
                }
                return Ok(body_key);
            }
        }
        Err(fault)
    }
}

/// Body key and commitment: both hang on every byte of the header before the commitment.
fn derive(before_commitment: &[u8], file_key: &[u8; 32]) -> Result<(BodyKey, BodyKey), Error> {
    let salt = Sha256::digest(before_commitment);
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), file_key);
    let mut body_key = Zeroizing::new([0; 32]);
    let mut commitment = Zeroizing::new([0; 32]);
    hkdf.expand(b"brackup/1 body", &mut body_key[..]).map_err(|_| Error::Crypto("HKDF"))?;
    hkdf.expand(b"brackup/1 commitment", &mut commitment[..]).map_err(|_| Error::Crypto("HKDF"))?;
    Ok((body_key, commitment))
}

fn wrap(suite: Suite, to: &Recipient, aad: &[u8], file_key: &[u8; 32], out: &mut Vec<u8>) -> Result<(), Error> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(to.as_bytes()).map_err(|_| Error::Crypto("HPKE"))?;
    let (enc, wrapped) = match suite {
        Suite::Aes256Gcm => {
            hpke::single_shot_seal::<AesGcm256, HkdfSha256, Kem>(&OpModeS::Base, &public, WRAP_INFO, file_key, aad)
        }
        Suite::ChaCha20Poly1305 => hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &public,
            WRAP_INFO,
            file_key,
            aad,
        ),
    }
    .map_err(|_| Error::Crypto("HPKE sealing (a public key of small order?)"))?;
    out.extend_from_slice(&enc.to_bytes());
    out.extend_from_slice(&wrapped);
    Ok(())
}

fn unwrap(suite: Suite, identity: &Identity, aad: &[u8], stanza: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let (enc, wrapped) = stanza.split_at_checked(32)?;
    let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(identity.secret()).ok()?;
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).ok()?;
    let opened = match suite {
        Suite::Aes256Gcm => {
            hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(&OpModeR::Base, &secret, &enc, WRAP_INFO, wrapped, aad)
        }
        Suite::ChaCha20Poly1305 => hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &secret,
            &enc,
            WRAP_INFO,
            wrapped,
            aad,
        ),
    };
    let opened = Zeroizing::new(opened.ok()?);
    let mut file_key = Zeroizing::new([0; 32]);
    // Exactly 32 bytes: other lengths would be a partitioning oracle.
    (opened.len() == file_key.len()).then(|| {
        file_key.copy_from_slice(&opened);
        file_key
    })
}

/// In constant time.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
