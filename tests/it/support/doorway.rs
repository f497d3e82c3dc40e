//! A door of `brackup serve`, open in this process, and raw requests at it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brackup::config::{DoorTls, HostOptions, PageOptions, ServeOptions};
#[cfg(feature = "brackup")]
use brackup::provider::Pin;
use brackup::provider::Token;
use brackup::status::Board;
use brackup::web::{Door, House, Limits};
use tempfile::TempDir;

use super::ports::free_port;

/// The host that every doorway knows.
pub(crate) const HOST: &str = "laptop";
const PATIENCE: Duration = Duration::from_secs(60);

/// What is waited for comes to pass, if it does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} does not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The usual ones, but that nobody who is refused waits.
pub(crate) fn quick_limits() -> Limits {
    Limits { refusal: Duration::ZERO, ..Limits::default() }
}

/// An open door.
pub(crate) struct Doorway {
    pub(crate) door: Option<Door>,
    pub(crate) hosts: Vec<HostOptions>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) folder: TempDir,
    /// Of the owner's page.
    pub(crate) page: Option<PageOptions>,
    pub(crate) board: Arc<Board>,
    serve: ServeOptions,
    limits: Limits,
    said: Arc<Mutex<Vec<String>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) status: u16,
    /// Lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Doorway {
    /// Without TLS.
    pub(crate) fn open() -> Self {
        Self::with(quick_limits(), DoorTls::None, None)
    }

    pub(crate) fn with(limits: Limits, tls: DoorTls, quota: Option<u64>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(HOST);
        Self::at(folder, &path, limits, tls, quota)
    }

    /// With the folder of the host at this path.
    pub(crate) fn at(folder: TempDir, path: &Path, limits: Limits, tls: DoorTls, quota: Option<u64>) -> Self {
        let serve = ServeOptions { listen: ([127, 0, 0, 1], free_port()).into(), tls };
        let (said, board, page) = (Arc::default(), Arc::new(Board::new(|| {})), None);
        let (hosts, tokens) = (Vec::new(), Vec::new());
        let mut new = Self { door: None, hosts, tokens, folder, page, board, serve, limits, said };
        new.add(HOST, path, quota);
        new.reopen();
        new
    }

    /// Lets another host in, from the next change or opening on.
    pub(crate) fn add(&mut self, name: &str, path: &Path, quota: Option<u64>) {
        let token = Token::generate().unwrap();
        let token_sha256 = token.sha256();
        self.hosts.push(HostOptions { name: name.into(), line: 0, path: path.into(), token_sha256, quota });
        self.tokens.push(token);
    }

    /// Closes it and opens it anew at the same address.
    pub(crate) fn reopen(&mut self) {
        if let Some(door) = self.door.take() {
            self.serve.listen = door.address();
        }
        let heard = self.said.clone();
        let say = Box::new(move |line: &str| heard.lock().unwrap().push(line.into()));
        let keys = self.keys();
        let house = House { serve: &self.serve, hosts: &self.hosts, page: self.page.as_ref(), key_dir: &keys };
        self.door = Some(Door::open(house, self.board.clone(), self.limits, say).unwrap());
    }

    /// As SIGHUP does.
    pub(crate) fn change(&mut self) {
        let keys = self.keys();
        let house = House { serve: &self.serve, hosts: &self.hosts, page: self.page.as_ref(), key_dir: &keys };
        self.door.as_mut().unwrap().change(house).unwrap();
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.door.as_ref().unwrap().address()
    }

    #[cfg(feature = "brackup")]
    pub(crate) fn pin(&self) -> Option<Pin> {
        self.door.as_ref().unwrap().pin()
    }

    /// The folder of the host.
    pub(crate) fn place(&self) -> &Path {
        &self.hosts[0].path
    }

    /// Names of all that is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.place()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What the log was told so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The line that lets the host in.
    pub(crate) fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.tokens[0].as_str())
    }

    /// A request by the host: `GET /v1/`, more lines of the head, the body.
    pub(crate) fn ask(&self, line: &str, lines: &str, body: &[u8]) -> Asked {
        self.ask_as(&self.bearer(), line, lines, body)
    }

    /// By whoever this is.
    pub(crate) fn ask_as(&self, bearer: &str, line: &str, lines: &str, body: &[u8]) -> Asked {
        let mut stream = self.connect();
        let head = format!("{line} HTTP/1.1\r\nHost: nas\r\nConnection: close\r\n{bearer}{lines}\r\n");
        // What the other end does not want any more is no failure: its answer says why.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        Asked::read(stream).unwrap_or_else(|| panic!("no answer to {line}"))
    }

    /// Stores an object under a name that tells it.
    pub(crate) fn put(&self, name: &str, body: &[u8]) -> Asked {
        let lines = format!("If-None-Match: *\r\nContent-Length: {}\r\n", body.len());
        self.ask(&format!("PUT /v1/objects/{name}"), &lines, body)
    }

    /// The folder is made by the id that a client stores in it.
    pub(crate) fn with_id(self) -> Self {
        let id = b"brackup target 1\nid: 00112233445566778899aabbccddeeff\n";
        let asked = self.ask("PUT /v1/objects/brackup-target.id", &digested(id), id);
        assert_eq!(asked.status, 201, "{asked:?}");
        self
    }
}

/// Who has the page open, and sees what changes.
pub(crate) struct Watcher {
    stream: TcpStream,
    seen: String,
}

impl Watcher {
    pub(crate) fn of(doorway: &Doorway) -> Self {
        let mut stream = doorway.connect();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        Self { stream, seen: String::new() }
    }

    /// Waits until this was to be seen.
    pub(crate) fn sees(&mut self, what: &str) {
        while !self.seen.contains(what) {
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "it ended: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}

/// Lines of the head for what does not tell what it is.
pub(crate) fn digested(body: &[u8]) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let sha256 = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(body));
    let length = body.len();
    format!("If-None-Match: *\r\nContent-Length: {length}\r\nContent-Digest: sha-256=:{sha256}:\r\n")
}

impl Asked {
    /// All that comes; nothing if it is no answer.
    pub(crate) fn read(mut stream: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // A reset behind an answer is the end of it.
        let _ = stream.read_to_end(&mut bytes);
        let mut rest = &bytes[..];
        loop {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
            let head = String::from_utf8(rest[..end].to_vec()).unwrap().to_lowercase();
            rest = &rest[end + 4..];
            let status = head.split(' ').nth(1)?.parse().ok()?;
            if status != 100 {
                return Some(Self { status, head, body: rest.to_vec() });
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
