//! Ports for servers that are told which to take.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Between the choice and the server another test chooses: nobody here is given one twice.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Ports that are free, with the port 10,000 above each, where SeaweedFS has its other protocol. All are below those that the kernel
/// gives to connections.
#[cfg(any(feature = "s3", feature = "webdav"))]
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| chosen(12_000, 10_000, &|port| vec![port, port + 10_000]))
}

/// A port that is free, below those that the kernel gives to connections.
pub(crate) fn free_port() -> u16 {
    chosen(23_000, 9_000, &|port| vec![port])
}

fn chosen(from: u16, count: u16, with: &dyn Fn(u16) -> Vec<u16>) -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() % count + from;
    let is_free =
        |port: &u16, given: &BTreeSet<u16>| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    while !with(port).iter().all(|port| is_free(port, &given)) {
        port = (port - from + 7) % count + from;
    }
    given.extend(with(port));
    port
}
