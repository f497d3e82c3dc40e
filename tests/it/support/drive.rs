//! A fake of Google Drive (tests/drive), held to Google's own description of it. `tests/servers` gets that.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use brackup::provider::{DriveFolder, Endpoint, OauthClient};
use brackup::target::{GoogleDrive, GrantFile, Way};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Place, Program};

/// The client that the fake knows.
pub(crate) const CLIENT_ID: &str = "client-1.apps.example";
pub(crate) const CLIENT_SECRET: &str = "GOCSPX-hush-client";
/// What is in every secret of the fake, and in no output of any test.
pub(crate) const HUSH: &str = "hush";

/// A running fake. At its end it tells whether everything that it was asked is allowed.
pub(crate) struct Drive {
    child: Child,
    folder: TempDir,
    ports: Value,
}

/// A folder of it, by the fake's other door.
pub(crate) struct Folder<'d> {
    drive: &'d Drive,
    path: &'d str,
}

impl Drive {
    /// Nothing where Google's description is not there, and this is said.
    pub(crate) fn start() -> Option<Self> {
        let discovery = venv("drive.v3.json");
        if !super::servers::is_there(&discovery, "Google's description of Drive") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(venv("bin/python"))
            .args(["-B", "tests/drive/server.py"])
            .arg(&discovery)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let ports = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the fake does not start: {}", log()));
        Some(Self { child, folder, ports })
    }

    fn number(&self, door: &str) -> u16 {
        self.ports[door].as_u64().unwrap().try_into().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.number("http")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The same over TLS, with a certificate that nobody trusts but who is told of this file.
    pub(crate) fn tls_endpoint(&self) -> (String, PathBuf) {
        (format!("https://127.0.0.1:{}", self.number("https")), self.folder.path().join("server.pem"))
    }

    /// What leads Google's own names to it.
    pub(crate) fn proxy(&self) -> String {
        format!("http://127.0.0.1:{}", self.number("proxy"))
    }

    /// A folder there, for tests that look past Brackup.
    pub(crate) fn at<'d>(&'d self, path: &'d str) -> Folder<'d> {
        Folder { drive: self, path }
    }

    /// A target at `path`, through `endpoint`, with a login of its own.
    pub(crate) fn target(&self, endpoint: &str, path: &str, spool: &TempDir) -> GoogleDrive {
        let login = self.login(spool.path());
        open(endpoint, path, login, spool, Way::default())
    }

    /// A login, as `brackup target login` leaves it.
    pub(crate) fn login(&self, key_dir: &Path) -> GrantFile {
        let granted = self.tell(json!({"op": "grant"}));
        write_login(key_dir, granted["refresh"].as_str().unwrap())
    }

    /// The next requests that look like this are answered so. See World.fault in tests/drive.
    pub(crate) fn fault(&self, on: &str, mut fault: Value) {
        fault["op"] = "fault".into();
        fault["on"] = on.into();
        self.tell(fault);
    }

    /// The requests since it was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        let all = self.tell(json!({"op": "requests"}));
        all.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// What a test wants of it.
    pub(crate) fn tell(&self, what: Value) -> Value {
        let answer = self.ask("POST /_control", "", &what.to_string());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer}"));
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{what}: {answer}"))
    }

    /// One request with these lines in its head, and all that comes back.
    pub(crate) fn ask(&self, asked: &str, lines: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        let head = format!("{asked} HTTP/1.0\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Makes the target of a program a folder of Google Drive at this endpoint.
pub(crate) fn configure(program: &Program, endpoint: &str, more: &str) {
    let secret = program.home().join("client-secret");
    fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
    program.set_target(&format!(
        "type = GoogleDrive\npath = Backups/nas\nclient_id = {CLIENT_ID}\nclient_secret_file = {}\n\
         api_endpoint = {endpoint}\noauth_endpoint = {endpoint}\n{more}\n",
        secret.display()
    ));
}

/// Where tests/servers puts things.
pub(crate) fn venv(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv").join(name)
}

pub(crate) fn client() -> OauthClient {
    OauthClient { id: CLIENT_ID.into(), secret: Some(CLIENT_SECRET.to_owned().into()) }
}

pub(crate) fn place(endpoint: &str, path: &str) -> DriveFolder {
    let mut folder = DriveFolder::parse(path).unwrap();
    folder.api = Endpoint::parse(endpoint).unwrap();
    folder.oauth = folder.api.clone();
    folder
}

pub(crate) fn open(endpoint: &str, path: &str, login: GrantFile, spool: &TempDir, way: Way) -> GoogleDrive {
    GoogleDrive::open(place(endpoint, path), client(), login, spool.path().join("spool"), way).unwrap()
}

/// The file of a login, by hand.
pub(crate) fn write_login(key_dir: &Path, token: &str) -> GrantFile {
    let file = GrantFile::of(key_dir, "disk");
    let text = format!("client_id: {CLIENT_ID}\nrefresh_token: {token}\n");
    let mut written =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file.path()).unwrap();
    written.write_all(text.as_bytes()).unwrap();
    file
}

impl Drop for Drive {
    fn drop(&mut self) {
        let end = (!std::thread::panicking()).then(|| self.tell(json!({"op": "end"})));
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(end) = end {
            assert_eq!(
                end,
                json!({"violations": [], "faults": []}),
                "what Google does not allow, and what did not come to pass"
            );
        }
    }
}

impl Folder<'_> {
    fn tell(&self, op: &str, name: &str) -> Value {
        self.drive.tell(json!({"op": op, "path": self.path, "name": name}))
    }

    /// All files of a name: their ids.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        let ids = self.tell("ids", name);
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// All that is in it.
    pub(crate) fn count(&self) -> u64 {
        self.drive.tell(json!({"op": "count", "path": self.path})).as_u64().unwrap()
    }

    pub(crate) fn trash(&self, name: &str) {
        self.tell("trash", name);
    }

    /// The folder itself.
    pub(crate) fn trash_it(&self) {
        self.drive.tell(json!({"op": "trash", "path": self.path}));
    }

    /// With what else is said of it.
    pub(crate) fn write_with(&self, name: &str, bytes: &[u8], about: &Value) {
        let data = BASE64.encode(bytes);
        self.drive.tell(json!({"op": "write", "path": self.path, "name": name, "data": data, "about": about}));
    }
}

impl Place for Folder<'_> {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let found = self.tell("read", name);
        let found = found.as_array().unwrap();
        assert!(found.len() < 2, "{name} is there {} times", found.len());
        found.first().map(|data| BASE64.decode(data.as_str().unwrap()).unwrap())
    }

    /// In place of what is there: a test that looks on does not wait.
    fn write(&self, name: &str, bytes: &[u8]) {
        self.remove(name);
        self.write_with(name, bytes, &json!({}));
    }

    fn remove(&self, name: &str) {
        self.tell("remove", name);
    }

    fn vanish(&self) {
        self.drive.tell(json!({"op": "vanish", "path": self.path}));
    }
}
