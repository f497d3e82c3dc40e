//! What proxies of tests have in common: they take connections until they are dropped.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes connections, each of which is handed on as it comes.
pub(crate) struct Relay {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn start(mut each: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ended = Arc::<AtomicBool>::default();
        let ends = ended.clone();
        let serve = move || {
            for client in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    each(client);
                }
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        Self { port, ended }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    #[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web")))]
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it. A client that says nothing, since it was killed before it could, ends nothing.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
