//! The hosts that are let in, by their tokens.

use std::sync::Arc;

use super::bearer;
use super::host::Host;
use crate::config::HostOptions;

/// All of them.
pub(super) struct Hosts(Vec<Arc<Host>>);

impl Hosts {
    /// A host that was there before keeps what is reserved in its folder, whatever else of it changed.
    pub(super) fn new(options: &[HostOptions], before: Option<&Self>) -> Self {
        let host = |options: &HostOptions| {
            let mut known = before.iter().flat_map(|hosts| &hosts.0);
            let of_before = known.find(|host| host.path() == options.path);
            Arc::new(Host::new(options, of_before.map(|host| &**host)))
        };
        Self(options.iter().map(host).collect())
    }

    /// Whether this host is let in still, by the token that it has shown and with the folder that it had.
    pub(super) fn lets_in(&self, host: &Host) -> bool {
        let is_same = |known: &Host| known.name == host.name && known.path() == host.path();
        self.0.iter().any(|known| is_same(known) && bearer::is_same(&known.token_sha256, &host.token_sha256))
    }

    /// Leftovers in all folders that are there.
    pub(super) fn sweep(&self) {
        for host in self.0.iter().filter(|host| host.is_ready().is_ok()) {
            host.sweep();
        }
    }

    /// The one whose token it is. It takes as long for one as for another, and for none.
    pub(super) fn known_by(&self, token: &[u8]) -> Option<Arc<Host>> {
        let digest = bearer::digest(token);
        let mut found = None;
        for host in &self.0 {
            if bearer::is_same(&host.token_sha256, &digest) {
                found = Some(host.clone());
            }
        }
        found
    }
}
