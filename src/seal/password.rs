//! The owner's password: stored as what a memory-hard function makes of it (RFC 7914), at a cost that a small box can bear.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::digest::{hex, unhex};
use crate::fsutil;

const FILE: &str = "page.password";
/// 4 MiB, for a third of a second on an ARM of 1 GHz.
const LOG_N: u8 = 12;
const R: u32 = 8;
const P: u32 = 1;
/// Fewer letters are guessed.
const CHARS_MIN: usize = 8;

/// What a password is known by.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    salt: [u8; 16],
    digest: [u8; 32],
}

impl Password {
    /// Of this one. Nothing: there are no random numbers.
    pub fn of(password: &str) -> Option<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).ok()?;
        Some(Self { salt, digest: *stretched(password, &salt)? })
    }

    /// Whether it is too short to be one.
    pub fn is_weak(password: &str) -> bool {
        password.chars().count() < CHARS_MIN
    }

    /// Whether it is this one. It takes 4 MiB, and a while.
    pub fn is(&self, password: &str) -> bool {
        let Some(digest) = stretched(password, &self.salt) else { return false };
        let differs = self.digest.iter().zip(digest.iter()).fold(0, |differs, (one, other)| differs | (one ^ other));
        std::hint::black_box(differs) == 0
    }

    /// The one that is kept in a `key_dir`, if there is one.
    pub fn read(key_dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(key_dir);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let parsed = || {
            let mut words = text.strip_prefix("brackup page password 1\nscrypt ")?.split_ascii_whitespace();
            let (salt, digest) = (unhex(words.next()?)?, unhex(words.next()?)?);
            words.next().is_none().then_some(Self { salt, digest })
        };
        let odd = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is none of ours", path.display()));
        parsed().map(Some).ok_or_else(odd)
    }

    /// Keeps it there, for its owner alone.
    pub fn write(&self, key_dir: &Path) -> io::Result<()> {
        let text = format!("brackup page password 1\nscrypt {} {}\n", hex(&self.salt), hex(&self.digest));
        fsutil::replace_secret(&Self::path(key_dir), text.as_bytes())
    }

    /// Where.
    pub fn path(key_dir: &Path) -> PathBuf {
        key_dir.join(FILE)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

fn stretched(password: &str, salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let parameters = scrypt::Params::new(LOG_N, R, P).ok()?;
    let mut digest = Zeroizing::new([0; 32]);
    scrypt::scrypt(password.as_bytes(), salt, &parameters, &mut digest[..]).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_is_kept_and_known_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Password::read(folder.path()).unwrap(), None);
        Password::of("correct horse").unwrap().write(folder.path()).unwrap();
        let mode = std::fs::metadata(Password::path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept = Password::read(folder.path()).unwrap().unwrap();
        assert!(kept.is("correct horse") && !kept.is("correct horsf") && !kept.is(""));
        // Another one takes its place.
        Password::of("battery staple").unwrap().write(folder.path()).unwrap();
        assert!(Password::read(folder.path()).unwrap().unwrap().is("battery staple"));
        std::fs::write(Password::path(folder.path()), "brackup page password 1\nscrypt 00 11\n").unwrap();
        assert!(
            Password::read(folder.path()).is_err(),
            "a file that is damaged lets nobody in, and is not no password"
        );
    }
}
