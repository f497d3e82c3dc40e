//! Addresses of the host of a target. The client asks for them before each request, whether it has an open connection or not; the system, which
//! knows no time-out, is asked once a minute, in a thread of ours: one that the system refuses is an error and not the end of the program.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::NextTimeout;

use crate::thread;

/// How long an answer counts without being asked for again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// And an old one, when the system gives none: who waits for it each time does nothing else (RFC 8767 section 5).
const OLD_FOR: Duration = Duration::from_secs(30);

/// What asks the system for the addresses of `host:port`.
type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Looks up names, and remembers the last answer. Copies share it.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    lookup: Lookup,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Debug)]
struct Known {
    host: String,
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Resolver {
    /// By the system.
    pub(super) fn of_system() -> Self {
        Self::by(|host| host.to_socket_addrs().map(Iterator::collect))
    }

    fn by(lookup: Lookup) -> Self {
        Self { lookup, known: Arc::default() }
    }

    /// Asks again before the next request: a connection failed, and the host may have moved.
    pub(super) fn doubt(&self) {
        // Who holds it is asking.
        if let Ok(mut known) = self.known.try_lock()
            && let Some(known) = &mut *known
        {
            known.until = Instant::now();
        }
    }

    fn addresses(&self, host: &str, patience: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let mut known = self.known();
        let of_host = known.as_mut().filter(|known| known.host == host);
        if let Some(known) = of_host.as_ref().filter(|known| Instant::now() < known.until) {
            return Ok(known.addresses.clone());
        }
        match self.asked(host, patience) {
            Ok(addresses) if !addresses.is_empty() => {
                let until = Instant::now() + KNOWN_FOR;
                *known = Some(Known { host: host.to_owned(), addresses: addresses.clone(), until });
                Ok(addresses)
            }
            // An answer that is old is better than none (RFC 8767), and the connection may be open.
            said => match of_host {
                Some(known) => {
                    known.until = Instant::now() + OLD_FOR;
                    Ok(known.addresses.clone())
                }
                None => said,
            },
        }
    }

    fn asked(&self, host: &str, patience: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (said, heard) = mpsc::sync_channel(1);
        let (lookup, host) = (self.lookup, host.to_owned());
        // Modules of glibc that look up names are not made for small stacks.
        let asks = thread::named("resolver").stack_size(thread::LINE_STACK_BYTES);
        let asks = asks.spawn(move || said.send(lookup(&host)).ok());
        asks.map_err(|error| ureq::Error::Other(format!("no thread to look up its name: {error}").into()))?;
        match heard.recv_timeout(patience) {
            Ok(answer) => Ok(answer?),
            Err(RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(ureq::Timeout::Resolve)),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the lookup of its name failed").into()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        // A panic elsewhere does not make an address wrong.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ureq::unversioned::resolver::Resolver for Resolver {
    fn resolve(&self, uri: &Uri, _: &Config, within: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.scheme().zip(uri.authority());
        let host = host.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        let host = host.ok_or_else(|| ureq::Error::BadUri(format!("{uri} has no host")))?;
        let mut found = self.empty();
        for address in self.addresses(&host, *within.after)? {
            // More than there is room for are not needed.
            let _ = found.try_push(address);
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn address(number: u16) -> SocketAddr {
        ([192, 0, 2, 1], number).into()
    }

    #[test]
    fn the_system_is_asked_once_until_there_is_doubt() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::by(|_| match ASKED.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(vec![address(1)]),
            1 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(vec![address(2)]),
        });
        let asked = |host: &str| resolver.clone().addresses(host, PATIENCE).map_err(|_| ASKED.load(Ordering::Relaxed));
        assert_eq!(asked("nas.example:443"), Ok(vec![address(1)]));
        assert_eq!((asked("nas.example:443"), ASKED.load(Ordering::Relaxed)), (Ok(vec![address(1)]), 1));
        resolver.doubt();
        // It does not answer: what it said before is better than nothing, and it is not asked again at once.
        for _ in 0..2 {
            assert_eq!((asked("nas.example:443"), ASKED.load(Ordering::Relaxed)), (Ok(vec![address(1)]), 2));
        }
        resolver.doubt();
        assert_eq!((asked("nas.example:443"), ASKED.load(Ordering::Relaxed)), (Ok(vec![address(2)]), 3));
        // Of another host nothing is known.
        assert_eq!((asked("b.example:443"), ASKED.load(Ordering::Relaxed)), (Ok(vec![address(2)]), 4));
    }

    #[test]
    fn an_address_is_no_name() {
        let resolver = Resolver::by(|_| Ok(Vec::new()));
        for (host, wanted) in [("192.0.2.1:7", Some("192.0.2.1:7")), ("[::1]:443", Some("[::1]:443")), ("a:1", None)] {
            let uri = format!("http://{host}/x").parse().unwrap();
            let found = ureq::unversioned::resolver::Resolver::resolve(
                &resolver,
                &uri,
                &Config::default(),
                NextTimeout { after: PATIENCE.into(), ..NextTimeout::default() },
            );
            assert_eq!(found.ok().map(|found| found[0].to_string()).as_deref(), wanted);
        }
    }

    #[test]
    fn a_system_that_does_not_answer_is_given_up() {
        let resolver = Resolver::by(|_| {
            std::thread::sleep(PATIENCE);
            Ok(Vec::new())
        });
        let said = resolver.addresses("nas.example:443", Duration::from_millis(10));
        assert!(matches!(said, Err(ureq::Error::Timeout(ureq::Timeout::Resolve))), "{said:?}");
    }
}
