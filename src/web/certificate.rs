//! What proves to others that it is this box: a certificate of its owner's, or a key that is made at the first start and kept in `key_dir`.
//!
//! Such a key is known by its pin alone. The certificate around it (RFC 5280) is signed by itself, names the box, and does not end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use sha2::Digest as _;
use zeroize::Zeroizing;

use crate::config::DoorTls;
use crate::fsutil;
use crate::limits::CA_FILE_BYTES_MAX;
use crate::provider::Pin;

/// In `key_dir`: the key and its certificate.
const FILE: &str = "serve.pem";
/// Of a line of PEM.
const LINE_CHARS: usize = 64;

/// A certificate that can be shown, and its key.
pub(super) struct Certified {
    pub(super) config: Arc<ServerConfig>,
    pub(super) pin: Pin,
    /// The SHA-256 of the certificate, as browsers show it.
    pub(super) fingerprint: String,
}

/// A certificate that can't be used.
#[derive(Debug)]
pub struct Error {
    file: PathBuf,
    source: io::Error,
}

impl Certified {
    /// Nothing without TLS. The key of this box is made if it is not there.
    pub(super) fn of(tls: &DoorTls, key_dir: &Path) -> Result<Option<Self>, Error> {
        let file = key_dir.join(FILE);
        if *tls == DoorTls::Own && !file.exists() {
            let made = || {
                fsutil::create_private_directory(key_dir)?;
                fsutil::create_secret(&file, of_its_own()?.as_bytes())
            };
            match made() {
                // Another process was as fast.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error { file, source: error });
                }
                _ => {}
            }
        }
        found(tls, key_dir)
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let wrong = |file: &Path| {
            let file = file.to_owned();
            move |source| Error { file, source }
        };
        let other = |file: &Path| {
            let wrong = wrong(file);
            move |why: String| wrong(io::Error::new(io::ErrorKind::InvalidData, why))
        };
        let pem = |path: &Path| fsutil::read_small(path, CA_FILE_BYTES_MAX).map_err(wrong(path));
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem(certificate)?).flatten().collect();
        let first = certificates.first().ok_or_else(|| other(certificate)("no certificate is in it".into()))?;
        let parsed = ParsedCertificate::try_from(first);
        let parsed = parsed.map_err(|error| other(certificate)(error.to_string()))?;
        let pin = Pin(sha2::Sha256::digest(parsed.subject_public_key_info()).into());
        let digits: Vec<_> = sha2::Sha256::digest(first).iter().map(|byte| format!("{byte:02X}")).collect();
        let fingerprint = digits.join(":");
        let secret = Zeroizing::new(pem(key)?);
        // What is wrong with a key is not repeated.
        let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|_| other(key)("no secret key is in it".into()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, secret));
        let mut config = config.map_err(|error| other(certificate)(error.to_string()))?;
        // A handshake more now and then costs less than remembering them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), pin, fingerprint })
    }
}

/// One that is there.
pub(super) fn found(tls: &DoorTls, key_dir: &Path) -> Result<Option<Certified>, Error> {
    let own = key_dir.join(FILE);
    match tls {
        DoorTls::None => Ok(None),
        DoorTls::Files { certificate, key } => Certified::read(certificate, key).map(Some),
        DoorTls::Own => Certified::read(&own, &own).map(Some),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't use the certificate or key in {}", self.file.display())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A new key and a certificate of it, PEM.
fn of_its_own() -> io::Result<Zeroizing<String>> {
    let failed = |_| io::Error::other("no random numbers for a key");
    let random = SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let secret = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(failed)?;
    let pair = EcdsaKeyPair::from_pkcs8(kind, secret.as_ref(), &random);
    let pair = pair.map_err(|_| io::Error::other("a new key is none"))?;
    let mut serial = [0; 16];
    random.fill(&mut serial).map_err(failed)?;
    // A positive number without a zero before it.
    serial[0] = serial[0] & 0x7F | 0x40;
    let name = nix::unistd::gethostname().unwrap_or_default();
    let signed = to_be_signed(&serial, name.to_str().unwrap_or_default(), pair.public_key().as_ref());
    let signature = pair.sign(&random, &signed).map_err(failed)?;
    let certificate = der(0x30, &[&signed, ECDSA_WITH_SHA256, &bits(signature.as_ref())]);
    let mut text = Zeroizing::new(String::with_capacity(2048));
    for (label, bytes) in [("PRIVATE KEY", secret.as_ref()), ("CERTIFICATE", &certificate)] {
        let digits = Zeroizing::new(BASE64.encode(bytes));
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        for line in digits.as_bytes().chunks(LINE_CHARS) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    Ok(text)
}

/// AlgorithmIdentifier of RFC 5758, section 3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
/// AlgorithmIdentifier of RFC 5480, section 2.1.1: a key on P-256.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07,
];
/// Object identifiers: common name, alternative names of the subject.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1D, 0x11];
const VERSION_3: &[u8] = &[0xA0, 0x03, 0x02, 0x01, 0x02];

/// TBSCertificate of RFC 5280, section 4.1.
fn to_be_signed(serial: &[u8], host: &str, public: &[u8]) -> Vec<u8> {
    let is_plain =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    let host = if is_plain { host } else { "brackup" };
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[COMMON_NAME, &der(0x0C, &[b"brackup"])])])]);
    // Section 4.1.2.5: the second is for what has no end.
    let validity = der(0x30, &[&der(0x17, &[b"260101000000Z"]), &der(0x18, &[b"99991231235959Z"])]);
    let key = der(0x30, &[P256, &bits(public)]);
    let names = [host.to_owned(), format!("{host}.local"), "localhost".into()];
    let names: Vec<_> = names.iter().map(|name| der(0x82, &[name.as_bytes()])).collect();
    let names: Vec<_> = names.iter().map(|name| &name[..]).collect();
    let extension = der(0x30, &[ALTERNATIVE_NAMES, &der(0x04, &[&der(0x30, &names)])]);
    let extensions = der(0xA3, &[&der(0x30, &[&extension])]);
    der(0x30, &[VERSION_3, &der(0x02, &[serial]), ECDSA_WITH_SHA256, &name, &validity, &name, &key, &extensions])
}

/// A bit string of whole bytes.
fn bits(bytes: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0], bytes])
}

/// X.690, sections 8.1.3 and 10.1: a tag, the length in as few bytes as can be, the contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let mut bytes = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        assert!(found(&DoorTls::Own, &keys).is_err(), "who only looks makes nothing");
        assert!(!keys.exists());
        let first = Certified::of(&DoorTls::Own, &keys).unwrap().unwrap();
        let second = Certified::of(&DoorTls::Own, &keys).unwrap().unwrap();
        assert_eq!(first.pin, second.pin);
        assert_eq!(std::fs::metadata(keys.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Certified::of(&DoorTls::None, &keys).unwrap().is_none());
        let other = folder.path().join("other");
        assert_ne!(Certified::of(&DoorTls::Own, &other).unwrap().unwrap().pin, first.pin);
        // The certificate of one box and the key of another.
        let [certificate, key] = [keys.join(FILE), other.join(FILE)];
        let error = Certified::of(&DoorTls::Files { certificate, key }, &keys).err().unwrap();
        assert!(error.to_string().contains("can't use the certificate"), "{error}");
    }

    #[test]
    fn lengths_are_as_short_as_can_be() {
        for (length, head) in
            [(0, vec![4, 0]), (127, vec![4, 127]), (128, vec![4, 0x81, 128]), (256, vec![4, 0x82, 1, 0])]
        {
            assert_eq!(der(4, &[&vec![0; length]])[..head.len()], head, "{length}");
        }
    }
}
