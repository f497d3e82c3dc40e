//! `[BOX]`: what holds for the machine and not for one source or target. All of it has defaults.

use std::path::PathBuf;

use super::error::Error;
use super::findings::Findings;
use super::ini::{Kind, Section};
use super::limits::{
    BUFFERS_DEFAULT, BUFFERS_MAX, BUFFERS_MIN, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN,
};
use super::size::parse_size_within;
use super::surroundings::Surroundings;
use super::values::{Key, Values, choice, number, once, text};

pub(super) const KEYS: &[Key] = &[
    once("state_dir"),
    once("spool_dir"),
    once("key_dir"),
    once("piece_size"),
    once("buffers"),
    once("cipher"),
    once("connections"),
];

/// What holds for this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxOptions {
    /// What is remembered from one run to the next.
    pub state_dir: PathBuf,
    /// Chunks on their way to a target over the network.
    pub spool_dir: PathBuf,
    /// The key of the box, public keys of recipients.
    pub key_dir: PathBuf,
    /// Bytes of a piece, a power of two.
    pub piece_size: u32,
    /// How many pieces are in memory.
    pub buffers: u32,
    /// What seals.
    pub cipher: Cipher,
    /// How many objects are on their way to a target at a time.
    pub connections: u32,
}

/// Which AEAD seals new objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES where the CPU has instructions for it, ChaCha elsewhere.
    Auto,
    /// AES-256-GCM.
    Aes,
    /// ChaCha20-Poly1305.
    ChaCha,
}

impl BoxOptions {
    /// What holds without a configuration. Fails if a folder is relative or has no default for want of a home.
    pub fn default_for(around: &Surroundings) -> Result<Self, Error> {
        let mut findings = Findings::new(String::new());
        Self::read(&[], around, &mut findings)
    }

    /// What is wrong in the file is a finding; the error is what is wrong with the surroundings.
    pub(super) fn read(
        sections: &[Section<'_>],
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let nothing = Section { kind: Kind::Box, name: "", line: 0, entries: Vec::new() };
        let found = sections.iter().find(|section| section.kind == Kind::Box);
        let values = Values::of(found.unwrap_or(&nothing));
        values.check(KEYS, findings);
        let [state, spool, key] = ["state_dir", "spool_dir", "key_dir"].map(|key| values.path(key, around, findings));
        let piece_size = values.read("piece_size", findings, piece_size);
        let buffers = values.read("buffers", findings, |value| number(value, BUFFERS_MIN, BUFFERS_MAX));
        let connections = values.read("connections", findings, |value| number(value, 1, CONNECTIONS_MAX));
        let cipher = values.read("cipher", findings, cipher);

        let first = |variable, file: Option<PathBuf>| Ok(around.path_variable(variable)?.or(file));
        let state_dir = match first("BRACKUP_STATE_DIR", state)? {
            Some(dir) => dir,
            None => around.default_state_dir()?,
        };
        let key_dir = match first("BRACKUP_KEY_DIR", key)? {
            Some(dir) => dir,
            None => around.default_key_dir()?,
        };
        let spool_dir = first("BRACKUP_SPOOL_DIR", spool)?;
        Ok(Self {
            spool_dir: spool_dir.unwrap_or_else(|| state_dir.join("spool")),
            state_dir,
            key_dir,
            piece_size: piece_size.unwrap_or(PIECE_BYTES_MAX),
            buffers: buffers.unwrap_or(BUFFERS_DEFAULT),
            cipher: cipher.unwrap_or(Cipher::Auto),
            connections: connections.unwrap_or(CONNECTIONS_DEFAULT),
        })
    }
}

fn piece_size(value: &[u8]) -> Result<u32, String> {
    let (min, max) = (PIECE_BYTES_MIN.into(), PIECE_BYTES_MAX.into());
    let bytes = parse_size_within(text(value)?, min, max)?;
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() => Ok(bytes),
        _ => Err("64k, 128k, 256k, 512k or 1m".into()),
    }
}

fn cipher(value: &[u8]) -> Result<Cipher, String> {
    choice(value, &[("auto", Cipher::Auto), ("aes-256-gcm", Cipher::Aes), ("chacha20-poly1305", Cipher::ChaCha)])
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(text: &str, around: &Surroundings) -> Result<BoxOptions, Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let own = BoxOptions::read(&sections, around, &mut findings);
        findings.finish()?;
        own
    }

    #[test]
    fn defaults() {
        let default = BoxOptions {
            state_dir: "/home/brad/.local/state/brackup".into(),
            spool_dir: "/home/brad/.local/state/brackup/spool".into(),
            key_dir: "/home/brad/.config/brackup/keys".into(),
            piece_size: 1 << 20,
            buffers: 2,
            cipher: Cipher::Auto,
            connections: 4,
        };
        let user = Surroundings::of_test(1000);
        assert_eq!(BoxOptions::default_for(&user).unwrap(), default);
        assert_eq!(read("[BOX]", &user).unwrap(), default);
        let root = BoxOptions::default_for(&Surroundings::of_test(0)).unwrap();
        assert_eq!(root.spool_dir, PathBuf::from("/var/lib/brackup/spool"));
        assert_eq!(root.key_dir, PathBuf::from("/var/lib/brackup/keys"));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[BOX]\nstate_dir=/s\nspool_dir=~/p\nkey_dir=/k\npiece_size=64k\nbuffers=2\ncipher=chacha20-poly1305\nconnections=1";
        let own = read(text, &Surroundings::of_test(1000)).unwrap();
        assert_eq!(
            own,
            BoxOptions {
                state_dir: "/s".into(),
                spool_dir: "/home/brad/p".into(),
                key_dir: "/k".into(),
                piece_size: 65536,
                buffers: 2,
                cipher: Cipher::ChaCha,
                connections: 1,
            }
        );
        let aes = read("[BOX]\ncipher = aes-256-gcm", &Surroundings::of_test(0)).unwrap();
        assert_eq!(aes.cipher, Cipher::Aes);
    }

    #[test]
    fn variables_win_and_the_spool_follows_the_state() {
        let mut around = Surroundings::of_test(1000);
        let text = "[BOX]\nstate_dir = /s\nspool_dir = /p\nkey_dir = /k";
        around.env = |name| Some(format!("/env/{name}").into());
        let own = read(text, &around).unwrap();
        assert_eq!(own.state_dir, PathBuf::from("/env/BRACKUP_STATE_DIR"));
        assert_eq!(own.spool_dir, PathBuf::from("/env/BRACKUP_SPOOL_DIR"));
        assert_eq!(own.key_dir, PathBuf::from("/env/BRACKUP_KEY_DIR"));
        around.env = |name| (name == "BRACKUP_STATE_DIR").then(|| "/e".into());
        assert_eq!(read(text, &around).unwrap().spool_dir, PathBuf::from("/p"));
        let own = read("[BOX]\nstate_dir = /s", &around).unwrap();
        assert_eq!(own.spool_dir, PathBuf::from("/e/spool"));
    }

    #[test]
    fn without_a_home_it_takes_what_the_file_says() {
        let mut around = Surroundings::of_test(1000);
        around.home = None;
        assert_eq!(read("", &around).unwrap_err().to_string(), "no default for state_dir: $HOME is not set");
        assert!(read("[BOX]\nstate_dir=/s\nkey_dir=/k", &around).is_ok());
        assert_eq!(
            read("[BOX]\nbuffers = 0", &around).unwrap_err().to_string(),
            "f:2: buffers is \"0\", expected a number from 2 to 8",
            "the file comes first"
        );
    }

    #[test]
    fn wrong_values_are_told() {
        for (line, told) in [
            ("piece_size = 32k", "f:2: piece_size is \"32k\", expected a size from 64 KiB to 1 MiB"),
            ("piece_size = 2m", "f:2: piece_size is \"2m\", expected a size from 64 KiB to 1 MiB"),
            ("piece_size = 96k", "f:2: piece_size is \"96k\", expected 64k, 128k, 256k, 512k or 1m"),
            ("piece_size = big", "f:2: piece_size is \"big\", expected a size like 512k, 64MB or 1GiB"),
            ("buffers = 9", "f:2: buffers is \"9\", expected a number from 2 to 8"),
            ("connections = 0", "f:2: connections is \"0\", expected a number from 1 to 16"),
            ("connections = 17", "f:2: connections is \"17\", expected a number from 1 to 16"),
            ("cipher = des", "f:2: cipher is \"des\", expected auto, aes-256-gcm or chacha20-poly1305"),
            ("key_dir = keys", "f:2: key_dir is \"keys\", expected an absolute path or one that begins with ~/"),
            (
                "path = /x",
                "f:2: unknown key \"path\" in [BOX], expected one of state_dir, spool_dir, key_dir, piece_size, buffers, cipher or connections",
            ),
        ] {
            let error = read(&format!("[BOX]\n{line}"), &Surroundings::of_test(0)).unwrap_err();
            assert_eq!(error.to_string(), told);
        }
    }
}
