//! Who asks a bucket.

use std::fmt;

use zeroize::Zeroizing;

/// An access key of AWS's kind, and the secret that signs for it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Public.
    pub id: String,
    /// Signs.
    pub secret: Zeroizing<String>,
    /// Secret, of temporary keys; it is sent with every request.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}
