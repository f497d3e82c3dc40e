//! The thread of the door: takes connections, as many as there may be, and ends them when it closes.

use std::future::{Future, poll_fn};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::certificate::Certified;
use super::host::Host;
use super::hosts::Hosts;
use super::log::Log;
use super::page::{Gate, Page};
use super::patient::Patient;
use super::route::{self, Caller};
use super::until::Until;
use crate::config::HostOptions;
use crate::thread;

/// Of a head: hyper takes no less.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 32;
/// Threads that disks are asked on.
const DISK_THREADS: usize = 4;
/// Where there is no file handle left there may be one soon.
const BREATH: Duration = Duration::from_millis(200);

/// What counts for a connection that begins now.
pub(super) struct Rules {
    pub(super) hosts: Hosts,
    /// Of the page; nothing: there is none.
    pub(super) gate: Option<Arc<Gate>>,
    tls: Option<TlsAcceptor>,
}

impl Rules {
    /// A host that was there before keeps what is known of its folder.
    pub(super) fn new(
        hosts: &[HostOptions],
        gate: Option<Gate>,
        certified: Option<Certified>,
        before: Option<&Self>,
    ) -> Self {
        let tls = certified.map(|certified| TlsAcceptor::from(certified.config));
        Self { hosts: Hosts::new(hosts, before.map(|rules| &rules.hosts)), gate: gate.map(Arc::new), tls }
    }

    /// The same certificate, other hosts, another gate.
    pub(super) fn with(&self, hosts: &[HostOptions], gate: Option<Gate>) -> Self {
        Self { hosts: Hosts::new(hosts, Some(&self.hosts)), gate: gate.map(Arc::new), tls: self.tls.clone() }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// All connections share it.
pub(super) struct House {
    rules: Arc<Mutex<Arc<Rules>>>,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) page: Arc<Page>,
    /// Requests that are being answered.
    pub(super) busy: AtomicUsize,
    /// Places for connections.
    slots: Arc<Semaphore>,
    is_swept: AtomicBool,
}

impl House {
    pub(super) fn rules(&self) -> Option<Arc<Rules>> {
        self.rules.lock().ok().map(|rules| rules.clone())
    }

    /// Its token may have been taken away meanwhile, or its folder moved.
    pub(super) fn lets_in(&self, host: &Host) -> bool {
        self.rules().is_some_and(|rules| rules.hosts.lets_in(host))
    }

    /// Removes what a service that was killed left, of all hosts: one of them may never come again. Not before one comes: until then
    /// disks may sleep.
    pub(super) fn sweep_once(&self) {
        if self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(rules) = self.rules() {
            drop(spawn_blocking(move || rules.hosts.sweep()));
        }
    }

    /// Nobody else comes in until somebody goes.
    pub(super) fn is_full(&self) -> bool {
        self.slots.available_permits() == 0
    }
}

/// Until the other end of `closed` goes.
pub(super) fn run(
    listener: TcpListener,
    rules: Arc<Mutex<Arc<Rules>>>,
    limits: Limits,
    (log, page): (Log, Arc<Page>),
    closed: oneshot::Receiver<()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (busy, is_swept) = (AtomicUsize::new(0), AtomicBool::new(false));
    let house = Arc::new(House { rules, limits, log, page, busy, slots, is_swept });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(DISK_THREADS)
        .thread_name("web-disk")
        .thread_stack_size(thread::STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return house.log.say(&format!("the door can't open: {error}")),
    };
    runtime.block_on(async {
        accept(listener, &house, closed).await;
        let end = async {
            while house.busy.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = timeout(limits.grace, end).await;
    });
    // What is still under way is dropped where it waits, with its stage.
    runtime.shutdown_timeout(limits.grace);
}

async fn accept(listener: TcpListener, house: &Arc<House>, closed: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return house.log.say(&format!("the door can't open: {error}")),
    };
    let mut closed = pin!(closed);
    loop {
        let next = async {
            // Whoever finds no slot waits in the kernel's queue.
            drop(house.slots.acquire().await);
            let accepted = listener.accept().await;
            // Nobody else takes one, so there is one.
            (house.slots.clone().try_acquire_owned(), accepted)
        };
        let mut next = pin!(next);
        let next = poll_fn(|context| {
            if closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            next.as_mut().poll(context).map(Some)
        });
        match next.await {
            None => return,
            Some((Ok(slot), Ok((stream, peer)))) => {
                let house = house.clone();
                tokio::spawn(async move {
                    serve(&house, stream, peer).await;
                    drop(slot);
                });
            }
            Some(_) => sleep(BREATH).await,
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection, to its end. Whatever goes wrong on it is of no interest to anybody here.
async fn serve(house: &Arc<House>, stream: TcpStream, peer: SocketAddr) {
    let Some(rules) = house.rules() else { return };
    let _ = stream.set_nodelay(true);
    let limits = house.limits;
    let stream: Box<dyn Stream> = match &rules.tls {
        None => Box::new(Patient::new(stream, limits.idle)),
        Some(tls) => match timeout(limits.head, tls.accept(Patient::new(stream, limits.idle))).await {
            Ok(Ok(stream)) => Box::new(stream),
            _ => return,
        },
    };
    let until = Until::new(limits.whole);
    let caller = Caller { house: house.clone(), peer, until: until.clone() };
    let service = hyper::service::service_fn(move |request| route::answer(caller.clone(), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let (mut served, mut over) = (pin!(served), pin!(until.over()));
    poll_fn(|context| match served.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => over.as_mut().poll(context),
    })
    .await;
}
