//! A server that answers as it was told to, one request a connection: for answers that no real server gives when it is asked to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

/// Answers, and what was asked.
pub(crate) struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A head, and the body if it was sent with it.
type Asked = (String, Vec<u8>);

impl Scripted {
    /// One after the other; then no more. `HERE` in one is the address of this server.
    pub(crate) fn answering(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (answers, told) = (answers.to_vec(), asked.clone());
        let serve = move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else { return };
                respond(stream, &answer.replace("HERE", &format!("http://127.0.0.1:{port}")), &told);
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        Self { port, asked }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of the requests that were answered.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.whole().into_iter().map(|(head, _)| head).collect()
    }

    /// And what came with them.
    pub(crate) fn whole(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A body that is announced by `Expect` is not waited for: the answer comes before it.
fn respond(mut stream: TcpStream, answer: &str, told: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let lower = head.to_lowercase();
    let length = lower.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = Vec::new();
    if !lower.contains("expect: 100-continue") {
        let _ = (&mut reader).take(length.unwrap_or(0)).read_to_end(&mut body);
    }
    told.lock().unwrap().push((head, body));
    let _ = (stream.write_all(answer.as_bytes()), stream.shutdown(Shutdown::Write));
    // Who sent a body without waiting for an answer is not to be cut off by a reset before he has read it.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let _ = std::io::copy(&mut reader, &mut std::io::sink());
}

/// An answer with a body and these lines in its head.
pub(crate) fn answer(status: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}
