//! The hosts that are let in, by their tokens.

use std::sync::Arc;

use sha2::Digest as _;

use super::host::Host;
use crate::config::HostOptions;

/// All of them.
pub(super) struct Hosts(Vec<([u8; 32], Arc<Host>)>);

impl Hosts {
    /// A host that was there before keeps what is reserved in its folder, whatever else of it changed.
    pub(super) fn new(options: &[HostOptions], before: Option<&Self>) -> Self {
        let host = |options: &HostOptions| {
            let mut known = before.iter().flat_map(|hosts| &hosts.0);
            let of_before = known.find(|(_, host)| host.path() == options.path);
            Arc::new(Host::new(options, of_before.map(|(_, host)| &**host)))
        };
        Self(options.iter().map(|options| (options.token_sha256, host(options))).collect())
    }

    /// Whether this host is let in still, with the folder that it had.
    pub(super) fn lets_in(&self, host: &Host) -> bool {
        self.0.iter().any(|(_, known)| known.name == host.name && known.path() == host.path())
    }

    /// The one whose token it is. It takes as long for one as for another, and for none.
    pub(super) fn known_by(&self, token: &[u8]) -> Option<Arc<Host>> {
        let digest: [u8; 32] = sha2::Sha256::digest(token).into();
        let mut found = None;
        for (known, host) in &self.0 {
            let differs = known.iter().zip(digest).fold(0, |differs, (one, other)| differs | (one ^ other));
            if std::hint::black_box(differs) == 0 {
                found = Some(host.clone());
            }
        }
        found
    }
}
