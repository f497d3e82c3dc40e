//! SeaweedFS, a server of S3 that nobody here wrote. `tests/servers` installs it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Place;
use super::certificate::Certificate;
use super::ports::free_ports;

/// Keys of this server, which is gone when the test is.
pub(crate) const ACCESS_KEY: &str = "AKTESTTESTTEST";
pub(crate) const SECRET_KEY: &str = "test/secret+key";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with an empty bucket.
pub(crate) struct Weed {
    child: Child,
    program: PathBuf,
    folder: TempDir,
    s3: u16,
    https: u16,
    master: u16,
    volume: u16,
    filer: u16,
}

/// A bucket, by the server's other door.
pub(crate) struct Bucket<'w> {
    weed: &'w Weed,
    name: &'w str,
    prefix: &'w str,
}

impl Weed {
    /// The name below which each bucket is a host.
    pub(crate) const DOMAIN: &str = "weed.test";

    /// Nothing where it is not installed, and this is said.
    pub(crate) fn start() -> Option<Self> {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv").join("bin/weed");
        let program = std::env::var_os("BRACKUP_WEED").map_or(program, PathBuf::from);
        if !super::servers::is_there(&program, "SeaweedFS") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let [s3, https, master, volume, filer] = free_ports();
        let Certificate { certificate, key } = Certificate::of_its_own(folder.path());
        let identities = format!(
            r#"{{"identities":[{{"name":"admin","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        let config = folder.path().join("s3.json");
        std::fs::write(&config, identities).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut command = Command::new(&program);
        command
            .arg("server")
            .arg(format!("-dir={}", data.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false", "-s3.port.iceberg=0"])
            .args(["-s3.port.lance=0", "-master.telemetry=false", "-volume.max=100", "-master.volumeSizeLimitMB=64"])
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-s3.domainName={}", Self::DOMAIN))
            .arg(format!("-s3.port.https={https}"))
            .arg(format!("-s3.cert.file={}", certificate.display()))
            .arg(format!("-s3.key.file={}", key.display()))
            .arg(format!("-s3.config={}", config.display()));
        let child = super::servers::start_in(folder.path(), &mut command);
        let weed = Self { child, program, folder, s3, https, master, volume, filer };
        let began = Instant::now();
        while weed.ask("GET", weed.s3, "/status", b"").is_none() || weed.ask("GET", weed.filer, "/", b"").is_none() {
            let log = || super::servers::log(weed.folder.path());
            assert!(began.elapsed() < PATIENCE, "SeaweedFS does not start: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(weed)
    }

    pub(crate) fn port(&self) -> u16 {
        self.s3
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3)
    }

    /// The same over TLS, with a certificate that nobody trusts but who is told of this file.
    pub(crate) fn tls_endpoint(&self) -> (String, PathBuf) {
        (format!("https://127.0.0.1:{}", self.https), self.folder.path().join("server.pem"))
    }

    /// A new bucket.
    pub(crate) fn bucket<'w>(&'w self, name: &'w str, prefix: &'w str) -> Bucket<'w> {
        self.shell(&format!("s3.bucket.create -name {name}"));
        Bucket { weed: self, name, prefix }
    }

    /// How many uploads in parts are under way in a bucket.
    pub(crate) fn uploads(&self, bucket: &str) -> usize {
        self.entries(&format!("/buckets/{bucket}/.uploads/"))
    }

    fn entries(&self, folder: &str) -> usize {
        let (status, page) = self.ask("GET", self.filer, folder, b"").unwrap();
        assert!(matches!(status, 200 | 404), "{status}");
        let page = String::from_utf8_lossy(&page);
        let link = format!("href=\"{folder}");
        page.split(&link).skip(1).filter(|rest| !rest.starts_with('"')).count()
    }

    fn shell(&self, command: &str) {
        let mut shell = Command::new(&self.program)
            .args(["shell", &format!("-master=127.0.0.1:{}", self.master)])
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = format!("{command}\nexit\n");
        shell.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{command}");
    }

    /// One request, unsigned: status and body.
    fn ask(&self, method: &str, port: u16, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = std::str::from_utf8(&answer[..end]).ok()?.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer[end + 4..].to_vec()))
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It goes on listening for long after SIGTERM.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its sockets lie in /tmp, whatever $TMPDIR says, one for each port and for the one 10,000 above.
        let ports =
            [self.s3, self.https, self.master, self.volume, self.filer].map(|port| [port, port + 10_000]).concat();
        for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let number = name
                .strip_prefix("seaweedfs-")
                .and_then(|rest| rest.strip_suffix(".sock")?.rsplit_once('-')?.1.parse().ok());
            if number.is_some_and(|number| ports.contains(&number)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Bucket<'_> {
    /// How many names there are.
    pub(crate) fn count(&self) -> usize {
        self.weed.entries(&format!("/buckets/{}/{}", self.name, self.prefix))
    }

    fn ask(&self, method: &str, name: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let path = format!("/buckets/{}/{}{name}", self.name, self.prefix);
        self.weed.ask(method, self.weed.filer, &path, body).unwrap()
    }
}

impl Place for Bucket<'_> {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", name, b"");
        (status == 200).then_some(body)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let (status, _) = self.ask("PUT", name, bytes);
        assert!(matches!(status, 200 | 201), "{status}");
    }

    fn remove(&self, name: &str) {
        let (status, _) = self.ask("DELETE", name, b"");
        assert!(matches!(status, 200 | 204), "{status}");
    }

    fn vanish(&self) {
        self.weed.shell(&format!("s3.bucket.delete -name {}", self.name));
    }
}
