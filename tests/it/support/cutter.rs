//! A wire that is cut: a TCP proxy whose connections end after so many bytes, as long as there are cuts left.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::relay::Relay;

/// Which way, and after how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// On the way to the server.
    Request(usize),
    /// On the way back: the server has done what was asked.
    Answer(usize),
    /// Before the answer to the first request that begins so: it was done, and nobody heard of it.
    #[cfg_attr(
        not(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web"))),
        expect(dead_code, reason = "of HTTP")
    )]
    AnswerTo(&'static str),
    /// Not cut: after so many bytes on the way to the server no more pass, and nobody is told.
    Hold(usize),
    /// The same on the way back.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "of S3"))]
    HoldAnswer(usize),
    /// Not cut: what goes to the server goes slowly.
    Slow,
}

/// Until it is dropped, connections to its port go on to another.
pub(crate) struct Cutter {
    relay: Relay,
    cuts: Arc<Mutex<Vec<Cut>>>,
}

impl Cutter {
    pub(crate) fn before(server: u16) -> Self {
        let cuts = Arc::<Mutex<Vec<Cut>>>::default();
        let shared = cuts.clone();
        let relay = Relay::start(move |client| {
            let cut = shared.lock().unwrap().pop();
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
            let (to, back) = match cut {
                Some(to @ (Cut::Request(_) | Cut::Hold(_) | Cut::Slow)) => (Some(to), None),
                back => (None, back),
            };
            let word = if let Some(Cut::AnswerTo(word)) = cut { word } else { "" };
            let heard = Arc::<AtomicBool>::default();
            let tells = heard.clone();
            // A head comes in one piece: it was written in one.
            let hear = move |bytes: &[u8]| {
                let is_it = !word.is_empty() && bytes.windows(word.len()).any(|part| part == word.as_bytes());
                tells.fetch_or(is_it, Ordering::SeqCst);
                false
            };
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), to, hear);
            pass(server, client, back, move |_| heard.load(Ordering::SeqCst));
        });
        Self { relay, cuts }
    }

    pub(crate) fn port(&self) -> u16 {
        self.relay.port()
    }

    #[cfg(any(feature = "gdrive", feature = "s3", feature = "webdav", all(feature = "brackup", feature = "web")))]
    pub(crate) fn endpoint(&self) -> String {
        self.relay.endpoint()
    }

    /// The next new connections are cut so, one after the other.
    pub(crate) fn cut(&self, cuts: &[Cut]) {
        *self.cuts.lock().unwrap() = cuts.iter().rev().copied().collect();
    }

    /// Cuts that have not come to pass.
    pub(crate) fn left(&self) -> usize {
        self.cuts.lock().unwrap().len()
    }
}

/// Passes on what comes, up to so many bytes, or to where it is to end; then both ends are cut.
fn pass(mut from: TcpStream, mut to: TcpStream, cut: Option<Cut>, ends: impl Fn(&[u8]) -> bool + Send + 'static) {
    let most = match cut {
        Some(Cut::Request(bytes) | Cut::Answer(bytes) | Cut::Hold(bytes) | Cut::HoldAnswer(bytes)) => bytes,
        Some(Cut::AnswerTo(_) | Cut::Slow) | None => usize::MAX,
    };
    std::thread::Builder::new()
        .spawn(move || {
            let (mut left, mut buffer) = (most, vec![0; 16 * 1024]);
            while left > 0 {
                let Ok(read @ 1..) = from.read(&mut buffer) else { break };
                let read = read.min(left);
                if ends(&buffer[..read]) {
                    left = 0;
                    break;
                }
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
                left -= read;
                if matches!(cut, Some(Cut::Slow)) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            if matches!(cut, Some(Cut::Hold(_) | Cut::HoldAnswer(_))) && left == 0 {
                // Until the client gives up.
                while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
            } else if left == 0 {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            } else {
                let _ = to.shutdown(Shutdown::Write);
            }
        })
        .unwrap();
}
