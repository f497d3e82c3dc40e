//! A bucket of S3, and what is asked of it.

use super::{Endpoint, Trust};

const NAME_BYTES_MAX: usize = 255;
const PREFIX_BYTES_MAX: usize = 256;

/// Which bucket, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The server.
    pub endpoint: Endpoint,
    /// As the server has it in its signatures.
    pub region: String,
    /// It must exist. See [`Bucket::is_name`].
    pub name: String,
    /// Whether the bucket is the first part of the path, and not of the host's name.
    pub path_style: bool,
    /// Before the name of each object. See [`Bucket::is_prefix`].
    pub prefix: String,
    /// `x-amz-storage-class`: `STANDARD_IA` and the like.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption`: `AES256` or `aws:kms`.
    pub encryption: Option<String>,
    /// How long nobody may delete an object.
    pub lock: Option<Lock>,
    /// An object that is longer goes in parts of this length.
    pub part_bytes: u64,
    /// Whose certificates are.
    pub trust: Trust,
}

/// Object Lock: what is stored can't be deleted before its time is over, whoever has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// From when it was stored.
    pub days: u32,
    /// For whom.
    pub mode: LockMode,
}

/// Whom an object is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// All but who has the right to lift it (`s3:BypassGovernanceRetention`).
    Governance,
    /// The owner of the account too.
    Compliance,
}

impl LockMode {
    /// As S3 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

impl Bucket {
    /// The shortest part that servers take, but for the last.
    pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
    /// The longest object that all servers take whole: 5 GB, and a GiB to spare.
    pub const PART_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
    /// As long as the chunks that are usual for a bucket: these go whole.
    pub const PART_BYTES: u64 = 128 * 1024 * 1024;

    /// Whether a bucket may have this name: it may become part of a host's.
    pub fn is_name(text: &str) -> bool {
        let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_ours)
    }

    /// Whether names of objects may begin so: letters, digits and `._-/`, no part of it empty or all dots.
    pub fn is_prefix(text: &str) -> bool {
        let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        let is_path = !text.split('/').rev().skip(1).any(|part| matches!(part, "" | "." | ".."));
        text.len() <= PREFIX_BYTES_MAX && text.chars().all(is_ours) && is_path
    }
}
