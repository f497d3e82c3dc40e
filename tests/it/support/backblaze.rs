//! What Backblaze B2 says to requests that others understand, before a server that understands them: a relay, one request a connection.
//!
//! Its words are those that users have reported: `Unsupported header '…' received for this API call.` with 400 and `InvalidArgument` for
//! checksums, 501 and `NotImplemented` for conditions.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use super::answer;
use super::relay::Relay;

/// Until it is dropped.
pub(crate) struct Backblaze {
    relay: Relay,
    refused: Arc<Mutex<Vec<&'static str>>>,
}

impl Backblaze {
    pub(crate) fn before(server: u16) -> Self {
        let refused = Arc::<Mutex<Vec<_>>>::default();
        let told = refused.clone();
        let relay = Relay::start(move |client| {
            let told = told.clone();
            std::thread::Builder::new().spawn(move || pass(client, server, &told)).unwrap();
        });
        Self { relay, refused }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.relay.endpoint()
    }

    /// The headers that it did not know, request by request.
    pub(crate) fn refused(&self) -> Vec<&'static str> {
        self.refused.lock().unwrap().clone()
    }
}

fn pass(mut client: TcpStream, server: u16, told: &Mutex<Vec<&'static str>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let lower = head.to_lowercase();
    let error = |code: &str, message: &str| format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    for header in ["x-amz-checksum-sha1", "x-amz-checksum-algorithm", "if-none-match"] {
        if !lower.contains(&format!("\r\n{header}: ")) {
            continue;
        }
        told.lock().unwrap().push(header);
        let refusal = if header == "if-none-match" {
            let words = "A header you provided implies functionality that is not implemented.";
            answer("501 Not Implemented", "", &error("NotImplemented", words))
        } else {
            let words = format!("Unsupported header '{header}' received for this API call.");
            answer("400 Bad Request", "", &error("InvalidArgument", &words))
        };
        // The client's body, if it did not wait for this: to its end, or the answer would be lost with it.
        let _ = client.write_all(refusal.as_bytes());
        let _ = client.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    let (first, rest) = head.split_once("\r\n").unwrap_or_default();
    let _ = server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes());
    let mut back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let answers = std::thread::Builder::new().spawn(move || {
        let _ = std::io::copy(&mut back.0, &mut back.1);
        let _ = back.1.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut server);
    let _ = answers.unwrap().join();
}
