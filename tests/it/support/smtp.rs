//! A server of SMTP on this machine, with TLS by a certificate of the test's.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificate::Certificate;
use super::relay::Relay;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the server offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    StartTls,
    /// From the first byte.
    Tls,
    /// No TLS.
    Clear,
    /// It takes connections, and says nothing.
    Silence,
}

/// What was said to it, and the letters that it took.
pub(crate) struct Smtp {
    relay: Relay,
    letters: Receiver<String>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Smtp {
    /// Lets in who says `AUTH PLAIN` with these letters.
    pub(crate) fn start(offers: Offers, certificate: &Certificate, login: &'static str) -> Self {
        let config = Arc::new(config(certificate));
        let (send, letters) = channel();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let heard = said.clone();
        let mut open = Vec::new();
        let relay = Relay::start(move |stream| {
            if offers == Offers::Silence {
                open.push(stream);
                return;
            }
            // A client that goes away in the middle is what is tested.
            if let Ok(Some(letter)) = serve(stream, offers, &config, login, &heard) {
                let _ = send.send(letter);
            }
        });
        Self { relay, letters, said }
    }

    pub(crate) fn port(&self) -> u16 {
        self.relay.port()
    }

    #[track_caller]
    pub(crate) fn letter(&self) -> String {
        self.letters.recv_timeout(PATIENCE).expect("no letter comes")
    }

    /// Its lines, each with `tls ` before it if nobody else could read it.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

fn config(certificate: &Certificate) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn wrapped(stream: TcpStream, config: &Arc<ServerConfig>) -> Box<dyn Stream> {
    Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
}

/// One connection; gives the letter, if one was handed in.
fn serve(
    stream: TcpStream,
    offers: Offers,
    config: &Arc<ServerConfig>,
    login: &str,
    heard: &Mutex<Vec<String>>,
) -> io::Result<Option<String>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut is_tls = offers == Offers::Tls;
    let clear = stream.try_clone()?;
    let mut lines: BufReader<Box<dyn Stream>> =
        BufReader::new(if is_tls { wrapped(stream, config) } else { Box::new(stream) });
    lines.get_mut().write_all(b"220 test ESMTP\r\n")?;
    let mut letter = None;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(letter);
        }
        let line = line.trim_end();
        heard.lock().unwrap().push(format!("{}{line}", if is_tls { "tls " } else { "" }));
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" if offers == Offers::StartTls && !is_tls => "250-test\r\n250 STARTTLS",
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN",
            "STARTTLS" => {
                lines.get_mut().write_all(b"220 go on\r\n")?;
                lines = BufReader::new(wrapped(clear.try_clone()?, config));
                is_tls = true;
                continue;
            }
            "AUTH" if line == format!("AUTH PLAIN {login}") => "235 come in",
            "AUTH" => "535 no",
            "DATA" => {
                lines.get_mut().write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") && lines.read_line(&mut text)? > 0 {}
                letter = Some(text);
                "250 taken"
            }
            "QUIT" => {
                let _ = lines.get_mut().write_all(b"221 bye\r\n");
                return Ok(letter);
            }
            _ => "250 ok",
        };
        lines.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
        lines.get_mut().flush()?;
    }
}
