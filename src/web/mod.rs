//! The door of `brackup serve`: where other hosts store their sealed objects, as docs/PROTOCOL.md says, and where the owner sees whether his data is safe.
//!
//! The only code that is async: one thread for all connections, and a few for disks, which are asked nothing while nobody asks here. Memory is
//! bounded by [`Limits`], whatever is sent and by how many. A host sees its own folder, which is a target of type Filesystem; nothing there is
//! written over or deleted, and no object has its name before its bytes are held against their digest and durable.

mod accept;
mod answer;
mod bearer;
mod certificate;
mod host;
mod hosts;
mod log;
mod objects;
mod page;
mod patient;
mod pieces;
mod refusal;
mod route;
mod until;
mod wanted;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::{HostOptions, PageOptions, ServeOptions};
use crate::monitor::one_line;
use crate::provider::Pin;
use crate::seal::Password;
use crate::status::Board;
use crate::thread;
use accept::Rules;
use certificate::Certified;
use log::Log;
use page::{Gate, Page};

pub use certificate::Error as CertificateError;

/// What nobody gets more of.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; others wait in the kernel's queue.
    pub connections: usize,
    /// For a handshake of TLS, and for the head of a request from when it is waited for.
    pub head: Duration,
    /// For 64 KiB of a body to come, and for anything of an answer to be taken.
    pub idle: Duration,
    /// For a request in all, from its head to the end of its answer.
    pub whole: Duration,
    /// Who has no token is told so after this.
    pub refusal: Duration,
    /// What is under way may go on for so long when the door closes.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(6 * 3600),
            refusal: Duration::from_secs(1),
            grace: Duration::from_secs(3),
        }
    }
}

/// Who is let in, and how it is proved to them whose door this is.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// Where, and with what certificate.
    pub serve: &'a ServeOptions,
    /// Each with its folder.
    pub hosts: &'a [HostOptions],
    /// The owner's page; nothing: there is none.
    pub page: Option<&'a PageOptions>,
    /// Where a key of its own is kept.
    pub key_dir: &'a Path,
}

/// Hears what the log is to have.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

/// An open door; it closes when this goes.
pub struct Door {
    address: SocketAddr,
    /// What a certificate is known by: to programs, and to browsers.
    known_by: Option<(Pin, String)>,
    rules: Arc<Mutex<Arc<Rules>>>,
    page: Arc<Page>,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a door does not open.
#[derive(Debug)]
pub enum Error {
    /// It can't listen there.
    Listen(SocketAddr, io::Error),
    /// Its certificate.
    Certificate(CertificateError),
    /// The owner's password can't be read.
    Password(io::Error),
    /// No thread.
    Thread(io::Error),
}

impl Door {
    /// Opens it. Port 0 is any that is free. What the page shows is on the board.
    pub fn open(house: House<'_>, board: Arc<Board>, limits: Limits, say: Say) -> Result<Self, Error> {
        // What is wrong with a password keeps the page from being shown, and nothing else from going on.
        let gate = gate(house).unwrap_or_else(|error| {
            say(&format!("{}; the page is not shown", one_line(&error)));
            None
        });
        let certified = Certified::of(&house.serve.tls, house.key_dir).map_err(Error::Certificate)?;
        let known_by = certified.as_ref().map(known_by);
        let listen = |error| Error::Listen(house.serve.listen, error);
        let listener = TcpListener::bind(house.serve.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let rules = Arc::new(Mutex::new(Arc::new(Rules::new(house.hosts, gate, certified, None))));
        let page = Arc::new(Page::new(board));
        let (close, closed) = oneshot::channel();
        let (shared, said) = (rules.clone(), (Log::new(say), page.clone()));
        let run = move || accept::run(listener, shared, limits, said, closed);
        let thread = thread::named("web").stack_size(thread::LINE_STACK_BYTES).spawn(run).map_err(Error::Thread)?;
        Ok(Self { address, known_by, rules, page, close: Some(close), thread: Some(thread) })
    }

    /// Other hosts, for all requests that end from now on, and another certificate, for all connections that begin. With one that
    /// can't be used the one before stays, and the hosts are those of now: a token that was taken away is worth nothing.
    pub fn change(&mut self, house: House<'_>) -> Result<(), Error> {
        let certified = Certified::of(&house.serve.tls, house.key_dir).map_err(Error::Certificate);
        let (gate, gated) = match gate(house) {
            Ok(gate) => (gate, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let Ok(mut rules) = self.rules.lock() else { return Ok(()) };
        let (now, changed) = match certified {
            Ok(certified) => {
                self.known_by = certified.as_ref().map(known_by);
                (Rules::new(house.hosts, gate, certified, Some(&rules)), gated)
            }
            Err(error) => (rules.with(house.hosts, gate), Err(error)),
        };
        let is_another = match (&rules.gate, &now.gate) {
            (Some(before), Some(now)) => now.has_other_password(before),
            _ => true,
        };
        if is_another {
            self.page.close_sessions();
        }
        *rules = Arc::new(now);
        changed
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `tls_pin` by which a target knows it; nothing without TLS.
    pub fn pin(&self) -> Option<Pin> {
        self.known_by.as_ref().map(|(pin, _)| *pin)
    }

    /// The SHA-256 of its certificate, as browsers show it; nothing without TLS.
    pub fn fingerprint(&self) -> Option<&str> {
        self.known_by.as_ref().map(|(_, fingerprint)| fingerprint.as_str())
    }
}

fn known_by(certified: &Certified) -> (Pin, String) {
    (certified.pin, certified.fingerprint.clone())
}

/// What is asked of who wants to see the page.
fn gate(house: House<'_>) -> Result<Option<Gate>, Error> {
    let Some(page) = house.page else { return Ok(None) };
    let password = Password::read(house.key_dir).map_err(Error::Password)?;
    Ok(Some(Gate::new(page, password)))
}

/// The `tls_pin` of a door that has a certificate already, of its own or somebody's; nothing is made.
pub fn pin(serve: &ServeOptions, key_dir: &Path) -> Option<Pin> {
    certificate::found(&serve.tls, key_dir).ok().flatten().map(|certified| certified.pin)
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.address)
    }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen(_, error) if error.kind() == io::ErrorKind::AddrInUse => {
                Some("another program listens there: take another port in `listen` of [SERVE]")
            }
            Self::Listen(..) => Some("`listen` of [SERVE] is to be an address of this machine, or [::] for all it has"),
            Self::Certificate(_) => {
                Some("see `tls_certificate` and `tls_key` of [SERVE]; without both a key of its own is made")
            }
            Self::Password(_) => Some("`brackup serve --set-password` makes a new one"),
            Self::Thread(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, _) => write!(f, "can't listen at {address}"),
            Self::Certificate(error) => error.fmt(f),
            Self::Password(_) => f.write_str("can't read the password of the page"),
            Self::Thread(_) => f.write_str("can't start a thread"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(_, error) | Self::Password(error) | Self::Thread(error) => Some(error),
            Self::Certificate(error) => error.source(),
        }
    }
}
