//! A server on this machine that is told things, and answers as it was told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::relay::Relay;

/// What does not come within this will not come. No test depends on how much less it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was told, a connection each.
pub(crate) struct Hook {
    relay: Relay,
    told: Receiver<Told>,
}

/// One request.
pub(crate) struct Told {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Hook {
    /// Answers so, one after the other, and the last for ever. An empty answer is none, and the connection stays open.
    pub(crate) fn answering(answers: &[&str]) -> Self {
        let mut answers: Vec<String> = answers.iter().rev().map(ToString::to_string).collect();
        let (send, told) = channel();
        let mut open = Vec::new();
        let relay = Relay::start(move |mut stream| {
            let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }.unwrap_or_default();
            let _ = send.send(read(&stream));
            if answer.is_empty() {
                open.push(stream);
                return;
            }
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        });
        Self { relay, told }
    }

    /// Says yes to everything.
    pub(crate) fn new() -> Self {
        Self::answering(&["200 OK"])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.relay.port())
    }

    /// Waits for the next one.
    #[track_caller]
    pub(crate) fn hears(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("nothing is told")
    }

    /// How many came that nobody has waited for.
    pub(crate) fn left(&self) -> usize {
        self.told.try_iter().count()
    }
}

impl Told {
    /// `/path` of its first line.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn read(stream: &TcpStream) -> Told {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let lower = head.to_lowercase();
    let length = lower.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = String::new();
    let _ = reader.take(length.unwrap_or(0)).read_to_string(&mut body);
    Told { head, body }
}
