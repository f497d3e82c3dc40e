//! The key folder of a box: public keys by id, the box's own key, and the boxes that a restore trusts.
//!
//! `<ID>.pub` is a public key; `box.key` the box's secret, 0600; `known_boxes` lines of root and signer. No secret
//! key of a recipient belongs here.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::key::{BoxKey, BoxPublic, KeyId, Recipient};
use super::keyfile::is_secret;
use crate::fsutil;
use crate::limits::KEY_FILE_BYTES_MAX;

/// The key folder.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// The key folder; it is made when something is written to it.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// The recipient that a configuration means: a public key as text, a file that holds one, or a key id.
    pub fn resolve(&self, text: &str) -> Result<Recipient, Error> {
        // Never shown: it is the secret.
        if is_secret(text) {
            return Err(Error::SecretRecipient(None));
        }
        if text.starts_with("brackup1") {
            return Recipient::parse(text).map_err(|error| at(error, text));
        }
        if text.contains('/') {
            return Self::public_of_file(Path::new(text));
        }
        let no_such_id = || Error::NoSuchKeyId { id: text.into(), folder: self.folder.clone() };
        // gpg users write 0x5E1B3EC5 too.
        let id = KeyId::parse(text.trim_start_matches("0x")).ok_or_else(no_such_id)?;
        let path = self.public_path(id);
        if !path.exists() {
            return Err(no_such_id());
        }
        let recipient = Self::public_of_file(&path)?;
        if recipient.id() == id { Ok(recipient) } else { Err(no_such_id()) }
    }

    /// Puts a public key into the folder.
    pub fn add(&self, recipient: &Recipient) -> Result<(), Error> {
        let path = self.public_path(recipient.id());
        if path.exists() {
            let there = Self::public_of_file(&path)?;
            // Two keys with one id: four bytes are a name, not a proof.
            return if there == *recipient { Ok(()) } else { Err(Error::Exists(path)) };
        }
        self.make_folder()?;
        fsutil::create_secret(&path, format!("{recipient}\n").as_bytes()).map_err(|error| Error::Make(path, error))
    }

    /// The box's own key, made at first use.
    pub fn box_key(&self) -> Result<BoxKey, Error> {
        let path = self.folder.join("box.key");
        if !path.exists() {
            self.make_folder()?;
            let key = BoxKey::generate()?;
            let text = zeroize::Zeroizing::new(format!(
                "# brackup box key: signs this box's backups. It opens none of them.\n{}\n",
                *key.to_text()
            ));
            return match fsutil::create_secret(&path, text.as_bytes()) {
                Ok(()) => Ok(key),
                Err(error) => Err(Error::Make(path, error)),
            };
        }
        let text = zeroize::Zeroizing::new(read_text(&path)?);
        first_line(&text)
            .ok_or(())
            .and_then(|line| BoxKey::parse(line).map_err(|_| ()))
            .map_err(|()| Error::KeyText { place: path.display().to_string(), expected: "a line BRACKUP-BOX-KEY-1..." })
    }

    /// The boxes that restores on this machine have pinned.
    pub fn known_boxes(&self) -> KnownBoxes {
        KnownBoxes { path: self.folder.join("known_boxes") }
    }

    fn public_of_file(path: &Path) -> Result<Recipient, Error> {
        let text = read_text(path)?;
        let line = first_line(&text).unwrap_or_default();
        if text.lines().any(is_secret) {
            return Err(Error::SecretRecipient(Some(path.into())));
        }
        Recipient::parse(line).map_err(|error| at(error, &path.display().to_string()))
    }

    fn public_path(&self, id: KeyId) -> PathBuf {
        self.folder.join(format!("{id}.pub"))
    }

    fn make_folder(&self) -> Result<(), Error> {
        fsutil::create_private_directory(&self.folder).map_err(|error| Error::File(self.folder.clone(), error))
    }
}

/// The known_boxes file: who signed the backups of which root, as first seen here.
#[derive(Debug)]
pub struct KnownBoxes {
    path: PathBuf,
}

impl KnownBoxes {
    /// The signers that are pinned for a root.
    pub fn of(&self, root: &str) -> Result<Vec<BoxPublic>, Error> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let text = read_text(&self.path)?;
        let mut boxes = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, signer)) = line.split_once(' ')
                && name == root
            {
                boxes.push(
                    BoxPublic::parse(signer.trim()).map_err(|error| at(error, &self.path.display().to_string()))?,
                );
            }
        }
        Ok(boxes)
    }

    /// Pins a signer for a root.
    pub fn pin(&self, root: &str, signer: &BoxPublic) -> Result<(), Error> {
        let file = |error| Error::File(self.path.clone(), error);
        if let Some(folder) = self.path.parent() {
            fsutil::create_private_directory(folder).map_err(file)?;
        }
        let mut known = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).map_err(file)?;
        known.write_all(format!("{root} {signer}\n").as_bytes()).and_then(|()| known.sync_all()).map_err(file)
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = fsutil::read_small(path, KEY_FILE_BYTES_MAX).map_err(|error| Error::File(path.into(), error))?;
    String::from_utf8(bytes).map_err(|_| Error::KeyText { place: path.display().to_string(), expected: "a text file" })
}

fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

fn at(error: Error, place: &str) -> Error {
    match error {
        Error::KeyText { expected, .. } => Error::KeyText { place: place.into(), expected },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Identity;

    #[test]
    fn recipients_are_found_by_text_id_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(&folder.path().join("keys"));
        let recipient = Identity::generate().unwrap().recipient().clone();
        keyring.add(&recipient).unwrap();
        keyring.add(&recipient).unwrap();
        let id = recipient.id().to_string();
        let file = folder.path().join("keys").join(format!("{id}.pub"));
        for text in [recipient.to_string(), id.clone(), format!("0x{id}"), file.display().to_string()] {
            assert_eq!(keyring.resolve(&text).unwrap(), recipient, "{text}");
        }
        assert!(matches!(keyring.resolve("00000000"), Err(Error::NoSuchKeyId { .. })));
    }

    #[test]
    fn the_box_key_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(folder.path());
        assert_eq!(keyring.box_key().unwrap().public(), keyring.box_key().unwrap().public());
    }

    #[test]
    fn pins_are_by_root() {
        let folder = tempfile::tempdir().unwrap();
        let known = Keyring::at(folder.path()).known_boxes();
        let signer = BoxKey::generate().unwrap().public();
        known.pin("proj", &signer).unwrap();
        assert_eq!(known.of("proj").unwrap(), [signer]);
        assert_eq!(known.of("other").unwrap(), []);
    }
}
