//! A server of SFTP that says what no real one says when it is asked to, behind a program that is called as ssh is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::Mutex;

use brackup::provider::SshFolder;
use tempfile::TempDir;

/// Kinds of packets.
pub(crate) const INIT: u8 = 1;
pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
pub(crate) const READ: u8 = 5;
pub(crate) const WRITE: u8 = 6;
pub(crate) const FSTAT: u8 = 8;
pub(crate) const OPEN_FOLDER: u8 = 11;
pub(crate) const READ_FOLDER: u8 = 12;
pub(crate) const STAT: u8 = 17;
pub(crate) const RENAME: u8 = 18;
pub(crate) const EXTENDED: u8 = 200;
pub(crate) const OK: u32 = 0;
pub(crate) const END: u32 = 1;
pub(crate) const NO_SUCH_FILE: u32 = 2;
pub(crate) const FAILURE: u32 = 4;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Counted from 0.
    pub(crate) connection: usize,
    pub(crate) kind: u8,
    pub(crate) id: u32,
    /// What follows the id.
    pub(crate) rest: Vec<u8>,
}

/// It runs until it is dropped.
pub(crate) struct FakeSsh {
    folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeSsh {
    /// Sends what `answer` gives; nothing: it hangs up.
    pub(crate) fn answering(answer: impl FnMut(&Asked) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let told = asked.clone();
        let mut answer = answer;
        let serve = move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                talk(stream, connection, &told, &mut answer);
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        // When no more comes from the one side the other is told, as ssh does it.
        let text = format!(
            "#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{port} || exit 255\n(cat >&3 <&0; kill $$) >/dev/null 2>&1 <&0 &\nexec cat <&3\n"
        );
        Self { asked, ..Self::running(&text) }
    }

    /// A program that does this.
    pub(crate) fn running(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("ssh");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, asked: Arc::default() }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn at(&self) -> SshFolder {
        SshFolder {
            host: "nas".into(),
            port: None,
            user: None,
            path: "/b".into(),
            identity_file: None,
            known_hosts: None,
            // By way of the shell: a file that was just written may be busy for a moment.
            ssh_command: format!("bash {}", self.folder.path().join("ssh").display()),
        }
    }
}

fn talk(
    mut stream: TcpStream,
    connection: usize,
    told: &Mutex<Vec<Asked>>,
    answer: &mut dyn FnMut(&Asked) -> Option<Vec<u8>>,
) {
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut packet).is_err() {
            return;
        }
        let id = u32::from_be_bytes(packet[1..5].try_into().unwrap());
        let asked = Asked { connection, kind: packet[0], id, rest: packet[5..].to_vec() };
        told.lock().unwrap().push(asked.clone());
        let Some(bytes) = answer(&asked) else { return };
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// A packet with its length.
pub(crate) fn packet(kind: u8, id: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(5 + rest.len()).unwrap();
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), rest].concat()
}

/// What a server says first.
pub(crate) fn version(extensions: &[&str]) -> Vec<u8> {
    let pairs = extensions.iter().flat_map(|name| [text(name.as_bytes()), text(b"1")]);
    packet(2, 3, &pairs.collect::<Vec<_>>().concat())
}

pub(crate) fn status(id: u32, code: u32) -> Vec<u8> {
    packet(101, id, &[&code.to_be_bytes()[..], &text(b"so it is"), &text(b"en")].concat())
}

pub(crate) fn handle(id: u32) -> Vec<u8> {
    packet(102, id, &text(b"handle"))
}

pub(crate) fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
    packet(103, id, &text(bytes))
}

/// Of a file with this length.
pub(crate) fn attributes(id: u32, length: u64) -> Vec<u8> {
    packet(105, id, &[&1u32.to_be_bytes()[..], &length.to_be_bytes()].concat())
}

/// Bytes with their length.
pub(crate) fn text(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// The offset and the length that a `READ` asks for.
pub(crate) fn range(asked: &Asked) -> (usize, usize) {
    let behind = &asked.rest[text(b"handle").len()..];
    let offset = u64::from_be_bytes(behind[..8].try_into().unwrap());
    let length = u32::from_be_bytes(behind[8..12].try_into().unwrap());
    (usize::try_from(offset).unwrap(), length as usize)
}
