//! What can be wrong with an object or a key, by the classes of FORMAT.md section 3.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why an object does not open: the class that vectors name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The commitment in the header is not that of the file key: an edited header.
    Commitment,
    /// A segment does not open, is missing or is too many: flipped bits, cut short, swapped.
    Damaged,
    /// Role, number of recipients, reserved byte, or cut short.
    Header,
    /// Sealed to none of the keys that were given.
    NoKey,
    /// Does not begin with the magic.
    NotBrackup,
    /// The footer of a metafile is missing, malformed, or its signature is not good.
    Signature,
    /// A suite that this version does not know.
    Suite,
    /// A version of the format that this version of the program does not know.
    Version,
    /// Sealed to a key of this id, but not to this key.
    WrongKey,
}

impl Fault {
    /// The word in test vectors.
    pub fn word(self) -> &'static str {
        match self {
            Self::Commitment => "commitment",
            Self::Damaged => "damaged",
            Self::Header => "header",
            Self::NoKey => "no key",
            Self::NotBrackup => "not brackup",
            Self::Signature => "signature",
            Self::Suite => "suite",
            Self::Version => "version",
            Self::WrongKey => "wrong key",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commitment => "its header was changed: the key commitment does not agree",
            Self::Damaged => "it is damaged: a segment does not open",
            Self::Header => "its header is malformed or cut short",
            Self::NoKey => "it is not sealed to any of the given keys",
            Self::NotBrackup => "it is no object of brackup",
            Self::Signature => "its signature is missing or not good",
            Self::Suite => "it is sealed by a suite that this version does not know",
            Self::Version => "it has a format version that this version does not know",
            Self::WrongKey => "the key with the right id does not open it",
        })
    }
}

impl std::error::Error for Fault {}

/// What can go wrong with keys and sealing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system's random numbers, or a primitive, failed.
    Crypto(&'static str),
    /// A key file exists already and is never overwritten.
    Exists(PathBuf),
    /// A key file could not be read or written.
    File(PathBuf, io::Error),
    /// A new key file could not be made.
    Make(PathBuf, io::Error),
    /// A key file or key text is malformed.
    KeyText {
        /// The file or the text it stands in.
        place: String,
        /// What was expected.
        expected: &'static str,
    },
    /// No key in the key folder has this id.
    NoSuchKeyId {
        /// As written in the configuration.
        id: String,
        /// The key folder.
        folder: PathBuf,
    },
    /// The object itself.
    Object(Fault),
    /// A locked key needs a passphrase, or the one given is wrong.
    Passphrase(PathBuf),
    /// A secret key file that others can read.
    Permissions(PathBuf),
    /// A secret key where a public one is expected. Where it stands, or nothing if it is the value itself.
    SecretRecipient(Option<PathBuf>),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists(_) => Some("choose another file name, or move the old key to a safe place"),
            Self::KeyText { .. } => Some("a public key begins with brackup1, a secret one with BRACKUP-SECRET-KEY-1"),
            Self::NoSuchKeyId { .. } => {
                Some("make a key with `brackup keygen`, or give the whole public key (brackup1...) as recipient")
            }
            Self::Object(Fault::NoKey | Fault::WrongKey) => {
                Some("give the secret key file of one of the recipients with --key or $BRACKUP_KEY")
            }
            Self::Passphrase(_) => Some("set $BRACKUP_PASSPHRASE or run it on a terminal, and try again"),
            Self::Make(_, error) if error.kind() == io::ErrorKind::NotFound => Some("the folder for it must be there"),
            Self::Permissions(_) => Some("chmod 600 it"),
            Self::SecretRecipient(_) => Some(
                "a secret key must not be on the box: move it away; `brackup key show FILE` tells its public key, which begins with brackup1",
            ),
            _ => None,
        }
    }

    /// Whether another key might do.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Object(Fault::NoKey | Fault::WrongKey) | Self::Passphrase(_))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Object(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto(what) => write!(f, "{what} failed"),
            Self::Exists(path) => write!(f, "{} exists already and is not overwritten", path.display()),
            Self::File(path, _) => write!(f, "can't use the key file {}", path.display()),
            Self::Make(path, _) => write!(f, "can't make the key file {}", path.display()),
            Self::KeyText { place, expected } => write!(f, "{place}: expected {expected}"),
            Self::NoSuchKeyId { id, folder } => {
                write!(f, "no public key with the id {id} in the key folder {}", folder.display())
            }
            Self::Object(fault) => fault.fmt(f),
            Self::Passphrase(path) => write!(f, "the passphrase of {} is missing or wrong", path.display()),
            Self::Permissions(path) => write!(f, "the secret key file {} can be read by others", path.display()),
            Self::SecretRecipient(None) => f.write_str("a recipient is a secret key, and not a public one"),
            Self::SecretRecipient(Some(path)) => {
                write!(f, "the recipient {} is a secret key, and not a public one", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_, error) | Self::Make(_, error) => Some(error),
            _ => None,
        }
    }
}
