//! Who is logged in, and how often somebody tried to be.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A family, each with a telephone and a desk.
const SESSIONS_MAX: usize = 16;
/// Without a look.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Wrong passwords that are heard within [`WITHIN`], of one network and of all.
const TRIES_MAX: usize = 6;
const ALL_TRIES_MAX: usize = 30;
const WITHIN: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    sessions: VecDeque<Session>,
    tries: VecDeque<(IpAddr, Instant)>,
}

struct Session {
    /// Whoever reads this memory can't log in with it.
    id_sha256: [u8; 32],
    proof: String,
    seen: Instant,
}

impl Sessions {
    /// The id of a new one. The one that was not used for the longest goes, if there are too many.
    pub(super) fn open(&self, now: Instant) -> Option<String> {
        let (id, proof) = (secret()?, secret()?);
        let mut inner = self.inner();
        if inner.sessions.len() >= SESSIONS_MAX {
            let oldest = inner.sessions.iter().enumerate().min_by_key(|(_, session)| session.seen)?.0;
            inner.sessions.remove(oldest);
        }
        inner.sessions.push_back(Session { id_sha256: Sha256::digest(id.as_bytes()).into(), proof, seen: now });
        Some(id)
    }

    /// The proof that a change of this session must bring, if it is one.
    pub(super) fn proof(&self, id: &str, now: Instant) -> Option<String> {
        let id_sha256: [u8; 32] = Sha256::digest(id.as_bytes()).into();
        let mut inner = self.inner();
        inner.sessions.retain(|session| now.saturating_duration_since(session.seen) < IDLE);
        let session = inner.sessions.iter_mut().find(|session| session.id_sha256 == id_sha256)?;
        session.seen = now;
        Some(session.proof.clone())
    }

    /// It is over.
    pub(super) fn close(&self, id: &str) {
        let id_sha256: [u8; 32] = Sha256::digest(id.as_bytes()).into();
        self.inner().sessions.retain(|session| session.id_sha256 != id_sha256);
    }

    /// All are over: there is another password.
    pub(super) fn close_all(&self) {
        self.inner().sessions.clear();
    }

    /// Counts a try; whether it is heard.
    pub(super) fn may_try(&self, from: IpAddr, now: Instant) -> bool {
        let network = network(from);
        let mut inner = self.inner();
        inner.tries.retain(|(_, at)| now.saturating_duration_since(*at) < WITHIN);
        let of_it = inner.tries.iter().filter(|(tried, _)| *tried == network).count();
        let may = of_it < TRIES_MAX && inner.tries.len() < ALL_TRIES_MAX;
        if may {
            inner.tries.push_back((network, now));
        }
        may
    }

    /// Who knew the password has not guessed.
    pub(super) fn was_right(&self, from: IpAddr) {
        let network = network(from);
        self.inner().tries.retain(|(tried, _)| *tried != network);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere lets nobody in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one address of IPv6 has 2^64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn secret() -> Option<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_are_few() {
        let (sessions, began) = (Sessions::default(), Instant::now());
        let first = sessions.open(began).unwrap();
        let proof = sessions.proof(&first, began).unwrap();
        assert_eq!(sessions.proof(&first, began + IDLE / 2).as_ref(), Some(&proof));
        assert_eq!(sessions.proof(&first, began + IDLE), Some(proof), "a look keeps it");
        assert_eq!(sessions.proof("another", began), None);
        assert_eq!(sessions.proof(&first, began + IDLE * 2), None);
        let all: Vec<_> = (0..SESSIONS_MAX as u32 + 1)
            .map(|second| sessions.open(began + Duration::from_secs(second.into())).unwrap())
            .collect();
        assert_eq!(sessions.proof(&all[0], began), None);
        assert!(sessions.proof(&all[1], began).is_some());
        sessions.close(&all[1]);
        assert_eq!(sessions.proof(&all[1], began), None);
        sessions.close_all();
        assert_eq!(sessions.proof(&all[2], began), None);
    }

    #[test]
    fn guesses_are_few() {
        let (sessions, began) = (Sessions::default(), Instant::now());
        let heard = |address: &str, at| sessions.may_try(address.parse().unwrap(), at);
        let many = (0..100).filter(|_| heard("192.168.1.7", began)).count();
        assert_eq!(many, TRIES_MAX);
        assert!(heard("192.168.1.8", began), "another is heard");
        let of_one_network = (0..100).filter(|number| heard(&format!("fd00::{number}"), began)).count();
        assert_eq!(of_one_network, TRIES_MAX);
        let of_many = (0..200).filter(|number| heard(&format!("10.0.0.{number}"), began)).count();
        assert_eq!(of_many, ALL_TRIES_MAX - 2 * TRIES_MAX - 1);
        assert!(heard("192.168.1.7", began + WITHIN));
        sessions.was_right("192.168.1.7".parse().unwrap());
        assert_eq!((0..100).filter(|_| heard("192.168.1.7", began + WITHIN)).count(), TRIES_MAX);
    }
}
