//! Ports for servers that are told which to take.

use std::net::TcpListener;

/// Ports that are free, with the port 10,000 above each, where SeaweedFS has its other protocol. All are below those that the kernel
/// gives to connections.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let mut taken = Vec::new();
    let ports = std::array::from_fn(|_| {
        let mut port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() % 10_000 + 12_000;
        loop {
            let both = [port, port + 10_000].map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
            if let [Some(one), Some(other)] = both {
                taken.extend([one, other]);
                return port;
            }
            port = (port + 7) % 10_000 + 12_000;
        }
    });
    drop(taken);
    ports
}
