//! A wire with one fault: a TCP proxy that counts the bytes of all its connections and does harm at one of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::relay::Relay;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// What happens at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Both ends are told that the other is gone.
    Cut,
    /// As when a router forgets the connection: a reset.
    Reset,
    /// Some bytes become others.
    Garbage,
    /// Nothing for a moment, then a byte at a time.
    Slow,
    /// Nothing any more, until the end that waits for it goes.
    Still,
}

const GARBAGE_BYTES: usize = 48;
const SLOW_BYTES: usize = 300;
const STILL: Duration = Duration::from_millis(500);
/// Who went away while bytes of his lie here is not heard of: his end comes behind them.
const STILL_MOST: Duration = Duration::from_secs(60);

#[derive(Default)]
struct State {
    to_server: u64,
    to_client: u64,
    connections: usize,
    fault: Option<(Harm, Direction, u64)>,
}

/// Until it is dropped.
pub(crate) struct Faulty {
    relay: Relay,
    state: Arc<Mutex<State>>,
}

impl Faulty {
    pub(crate) fn before(server: u16) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let relay = Relay::start(move |client| {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
            shared.lock().unwrap().connections += 1;
            for direction in [Direction::ToServer, Direction::ToClient] {
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (from, to) = if direction == Direction::ToServer { ends } else { (ends.1, ends.0) };
                let state = shared.clone();
                std::thread::Builder::new().spawn(move || pass(from, to, direction, &state)).unwrap();
            }
        });
        Self { relay, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.relay.port()
    }

    /// From now on bytes are counted anew, and once there is harm at one of them.
    pub(crate) fn arm(&self, fault: Option<(Harm, Direction, u64)>) {
        *self.state.lock().unwrap() = State { fault, ..State::default() };
    }

    /// Whether the harm has not come to pass.
    pub(crate) fn is_armed(&self) -> bool {
        self.state.lock().unwrap().fault.is_some()
    }

    /// Connections that were begun since it was armed.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Bytes since it was armed, to the server and to the client.
    pub(crate) fn passed(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.to_server, state.to_client)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, direction: Direction, state: &Mutex<State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(mut read @ 1..) = from.read(&mut buffer) {
        let harm = {
            let mut state = state.lock().unwrap();
            let passed = if direction == Direction::ToServer { &mut state.to_server } else { &mut state.to_client };
            let before = *passed;
            *passed += read as u64;
            match state.fault {
                Some((harm, here, at)) if here == direction && at < before + read as u64 => {
                    state.fault = None;
                    Some((harm, usize::try_from(at.saturating_sub(before)).unwrap()))
                }
                _ => None,
            }
        };
        match harm {
            None => {}
            Some((Harm::Garbage, at)) => {
                let end = read.min(at + GARBAGE_BYTES);
                buffer[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            }
            Some((Harm::Slow, at)) => {
                let end = read.min(at + SLOW_BYTES);
                let _ = (to.set_nodelay(true), to.write_all(&buffer[..at]));
                std::thread::sleep(STILL);
                for byte in at..end {
                    let _ = to.write_all(&buffer[byte..=byte]);
                    std::thread::sleep(Duration::from_millis(1));
                }
                buffer.copy_within(end..read, 0);
                read -= end;
            }
            Some((Harm::Still, at)) => {
                let _ = to.write_all(&buffer[..at]);
                until_gone(&[&from, &to]);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
            Some((harm, at)) => {
                let _ = to.write_all(&buffer[..at]);
                if harm == Harm::Reset {
                    for end in [&from, &to] {
                        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                        let _ = nix::sys::socket::setsockopt(end, nix::sys::socket::sockopt::Linger, &linger);
                    }
                }
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
        }
        if to.write_all(&buffer[..read]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Nothing is read meanwhile: who sends is held up.
fn until_gone(ends: &[&TcpStream]) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let hung_up = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
    let mut ends: Vec<_> = ends.iter().map(|end| PollFd::new(end.as_fd(), hung_up)).collect();
    let _ = poll(&mut ends, PollTimeout::try_from(STILL_MOST).unwrap());
}
