//! MiniStack, a second server of S3 that nobody here wrote, with users that have policies; and botocore, which comes with it, as a client.
//! `tests/servers` installs both.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Place;
use super::ports::free_ports;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct MiniStack {
    child: Child,
    port: u16,
    _folder: TempDir,
}

/// A folder of a bucket as its owner sees it, by botocore.
pub(crate) struct Owned<'n> {
    pub(crate) endpoint: String,
    pub(crate) access_key: &'n str,
    pub(crate) secret_key: &'n str,
    pub(crate) bucket: &'n str,
    pub(crate) prefix: &'n str,
}

fn in_venv(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv").join("bin").join(name)
}

/// tests/aws.py: what it says.
pub(crate) fn aws(endpoint: &str, access_key: &str, secret_key: &str, words: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws.py");
    let output = Command::new(in_venv("python"))
        .arg(script)
        .args([endpoint, access_key, secret_key])
        .args(words)
        .env_remove("AWS_PROFILE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl MiniStack {
    /// The keys of its owner, whose signature it does not look at.
    pub(crate) const OWNER: (&str, &str) = ("test", "test");

    /// Nothing where it is not installed, and this is said.
    pub(crate) fn start() -> Option<Self> {
        let program = in_venv("ministack");
        if !super::servers::is_there(&program, "MiniStack") {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let [port] = free_ports();
        let mut command = Command::new(&program);
        command
            .envs([("AUTH", "true"), ("SERVICES", "s3,iam,sts"), ("BIND_HOST", "127.0.0.1")])
            .env("GATEWAY_PORT", port.to_string())
            .env("HOME", folder.path());
        let child = super::servers::start_in(folder.path(), &mut command);
        let server = Self { child, port, _folder: folder };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "MiniStack does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// As its owner.
    pub(crate) fn owner(&self, words: &[&str]) -> String {
        aws(&self.endpoint(), Self::OWNER.0, Self::OWNER.1, words)
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Owned<'_> {
    fn ask(&self, words: &[&str]) -> String {
        aws(&self.endpoint, self.access_key, self.secret_key, words)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Place for Owned<'_> {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let told = self.ask(&["read", self.bucket, &self.key(name)]);
        let byte = |at: usize| u8::from_str_radix(&told[at..at + 2], 16).unwrap();
        (told != "none").then(|| (0..told.len()).step_by(2).map(byte).collect())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask(&["write", self.bucket, &self.key(name), &digits]);
    }

    fn remove(&self, name: &str) {
        assert_eq!(self.ask(&["try", "delete", self.bucket, &self.key(name)]), "204");
    }

    fn vanish(&self) {
        self.ask(&["vanish", self.bucket]);
    }
}
