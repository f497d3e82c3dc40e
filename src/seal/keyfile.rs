//! The secret key file: FORMAT.md section 4. Written once, 0600, never overwritten; optionally under a passphrase.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

use super::error::Error;
use super::key::{BoxPublic, Identity, bytes_from_bech32, random, to_bech32};
use super::sealing::nonce;
use crate::fsutil;
use crate::limits::{KEY_FILE_BYTES_MAX, SCRYPT_BYTES_MAX, TAG_BYTES};

const SECRET_START: &str = "BRACKUP-SECRET-KEY-";
const LOCKED_HRP: &str = "brackup-locked-key-";
/// log2 N, r, p: 8 MiB of memory, so that it fits a box, and twelve passes instead of more of it.
const SCRYPT: (u8, u8, u8) = (13, 8, 12);
const LOCKED_BYTES: usize = 3 + 16 + 48;

/// What a secret key file holds.
#[derive(Debug)]
pub struct SecretFile {
    /// The secret key.
    pub identity: Identity,
    /// Boxes whose signature is trusted.
    pub boxes: Vec<BoxPublic>,
}

impl SecretFile {
    /// Writes a new file. `created` is for the reader's eyes.
    pub fn create(&self, path: &Path, created: &str, passphrase: Option<&str>) -> Result<(), Error> {
        let text = self.to_text(created, passphrase)?;
        fsutil::create_secret(path, text.as_bytes()).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists(path.into()),
            _ => Error::Make(path.into(), error),
        })
    }

    /// Reads a file; `passphrase` is asked only if the key is locked.
    pub fn open(path: &Path, passphrase: impl FnOnce() -> Option<Zeroizing<String>>) -> Result<Self, Error> {
        let file = |error| Error::File(path.into(), error);
        let there = std::fs::metadata(path).map_err(file)?;
        if there.is_dir() {
            return Err(file(std::io::ErrorKind::IsADirectory.into()));
        }
        if !there.is_file() {
            let (place, expected) = (path.display().to_string(), "a file, and not a device or a pipe");
            return Err(Error::KeyText { place, expected });
        }
        let bytes = Zeroizing::new(fsutil::read_small(path, KEY_FILE_BYTES_MAX).map_err(file)?);
        let place = path.display().to_string();
        let malformed = |expected| Error::KeyText { place: place.clone(), expected };
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("a text file"))?;
        // Before its mode: nobody is to be told to change that of a file which is something else.
        if !text.lines().any(is_secret) {
            return Err(malformed("a key file of brackup, with a line that begins with BRACKUP-SECRET-KEY-1"));
        }
        if there.permissions().mode() & 0o077 != 0 {
            return Err(Error::Permissions(path.into()));
        }
        let locked_otherwise = || Error::Passphrase(path.into());
        let mut passphrase = Some(passphrase);
        let mut identity = None;
        let mut boxes = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(public) = line.strip_prefix("box:") {
                boxes.push(BoxPublic::parse(public.trim()).map_err(|_| malformed("a box's public key after `box:`"))?);
            } else if identity.is_some() {
                return Err(malformed("one secret key in a file"));
            } else if let Some(locked) = bytes_from_bech32(LOCKED_HRP, line) {
                let passphrase = passphrase.take().and_then(|ask| ask()).ok_or_else(locked_otherwise)?;
                let secret = unlock(&locked, &passphrase).ok_or_else(locked_otherwise)?;
                identity = Some(Identity::from_bytes(secret)?);
            } else {
                let expected = if begins_with(line, SECRET_START) {
                    "a whole secret key in one line: it has a typing error, its checksum does not agree"
                } else {
                    "a line that begins with BRACKUP-SECRET-KEY-1"
                };
                identity = Some(Identity::parse(line).map_err(|_| malformed(expected))?);
            }
        }
        Ok(Self { identity: identity.ok_or_else(|| malformed("a secret key"))?, boxes })
    }

    fn to_text(&self, created: &str, passphrase: Option<&str>) -> Result<Zeroizing<String>, Error> {
        let recipient = self.identity.recipient();
        let key = match passphrase {
            None => self.identity.to_text(),
            Some(passphrase) => lock(&self.identity, passphrase)?,
        };
        let mut text = Zeroizing::new(format!(
            "# brackup secret key, made {created}\n\
             # Whoever has this file can read the backups; without it nobody can. Keep it off the box that makes them,\n\
             # and keep a copy on paper.\n\
             # public key: {recipient}\n# key id: {}\n{}\n",
            recipient.id(),
            *key
        ));
        if !self.boxes.is_empty() {
            text.push_str("# boxes whose signature is trusted at a restore\n");
        }
        for signer in &self.boxes {
            let _ = writeln!(text, "box: {signer}");
        }
        Ok(text)
    }
}

/// Whether a line is meant as a secret key, locked or not.
pub(super) fn is_secret(line: &str) -> bool {
    let line = line.trim();
    begins_with(line, SECRET_START) || begins_with(line, LOCKED_HRP)
}

fn begins_with(line: &str, start: &str) -> bool {
    line.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn lock(identity: &Identity, passphrase: &str) -> Result<Zeroizing<String>, Error> {
    let (log_n, r, p) = SCRYPT;
    let mut bytes = vec![log_n, r, p];
    bytes.extend_from_slice(&random()?[..16]);
    let key = stretch(passphrase, &bytes).ok_or(Error::Crypto("scrypt"))?;
    // Room for the tag from the beginning: a vector that grows leaves a copy of the secret behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(identity.secret().len() + TAG_BYTES));
    sealed.extend_from_slice(identity.secret());
    key.seal_in_place_append_tag(nonce(0, false), Aad::from(&bytes), &mut *sealed)
        .map_err(|_| Error::Crypto("locking a key"))?;
    bytes.extend_from_slice(&sealed);
    Ok(Zeroizing::new(to_bech32(LOCKED_HRP, &bytes).to_ascii_uppercase()))
}

fn unlock(locked: &[u8], passphrase: &str) -> Option<Zeroizing<[u8; 32]>> {
    if locked.len() != LOCKED_BYTES {
        return None;
    }
    let (parameters, sealed) = locked.split_at(19);
    let key = stretch(passphrase, parameters)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let opened = key.open_in_place(nonce(0, false), Aad::from(parameters), &mut sealed).ok()?;
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(opened);
    Some(secret)
}

fn stretch(passphrase: &str, parameters: &[u8]) -> Option<LessSafeKey> {
    let [log_n, r, p, salt @ ..] = parameters else { return None };
    let memory = 128_u64.checked_mul(u64::from(*r))?.checked_shl(u32::from(*log_n))?;
    if *log_n > 24 || memory > SCRYPT_BYTES_MAX {
        return None;
    }
    let scrypt = scrypt::Params::new(*log_n, u32::from(*r), u32::from(*p)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), salt, &scrypt, &mut key[..]).ok()?;
    UnboundKey::new(&CHACHA20_POLY1305, &key[..]).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::BoxKey;

    fn made(passphrase: Option<&str>) -> (tempfile::TempDir, std::path::PathBuf, SecretFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let boxes = vec![BoxKey::generate().unwrap().public()];
        let secret = SecretFile { identity: Identity::generate().unwrap(), boxes };
        secret.create(&path, "2026-11-23", passphrase).unwrap();
        (folder, path, secret)
    }

    #[test]
    fn a_key_file_comes_back_and_is_private() {
        let (_folder, path, secret) = made(None);
        let again = SecretFile::open(&path, || None).unwrap();
        assert_eq!(again.identity.recipient(), secret.identity.recipient());
        assert_eq!(again.boxes, secret.boxes);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(secret.create(&path, "", None), Err(Error::Exists(_))));
    }

    #[test]
    fn a_locked_key_needs_its_passphrase() {
        let (_folder, path, secret) = made(Some("correct horse"));
        let open = |word: &str| SecretFile::open(&path, || Some(Zeroizing::new(word.to_owned())));
        assert_eq!(open("correct horse").unwrap().identity.recipient(), secret.identity.recipient());
        assert!(matches!(open("wrong"), Err(Error::Passphrase(_))));
        assert!(matches!(SecretFile::open(&path, || None), Err(Error::Passphrase(_))));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_folder, path, _) = made(None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SecretFile::open(&path, || None), Err(Error::Permissions(_))));
    }

    #[test]
    fn a_locked_key_cannot_ask_for_much_memory() {
        let mut parameters = vec![24, 255, 1];
        parameters.extend_from_slice(&[0; 16]);
        assert!(stretch("x", &parameters).is_none());
    }
}
