//! Garage, a third server of S3 that nobody here wrote. `tests/servers --garage` builds it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::free_ports;

/// Keys of this server, which is gone when the test is: in the form that it demands.
const ACCESS_KEY: &str = "GK000000000000000000000000";
const SECRET_KEY: &str = "7465737474657374746573747465737474657374746573747465737474657374";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Garage {
    child: Child,
    program: PathBuf,
    folder: TempDir,
    s3: u16,
}

impl Garage {
    /// A bucket that is there from the beginning, and that other keys can be let into by its name.
    pub(crate) const FIRST: &str = "first";
    pub(crate) const KEYS: (&str, &str) = (ACCESS_KEY, SECRET_KEY);

    /// Nothing where it was not built, and this is said: that takes a quarter of an hour.
    pub(crate) fn start() -> Option<Self> {
        if super::servers::is_unwanted("Garage") {
            return None;
        }
        let named = std::env::var_os("BRACKUP_GARAGE").map(PathBuf::from);
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("garage").join("bin/garage");
        if named.is_none() && !program.exists() {
            eprintln!("left out: Garage is not there; tests/servers --garage builds it");
            return None;
        }
        let program = named.unwrap_or(program);
        assert!(program.exists(), "{} is not there", program.display());
        let folder = TempDir::new().unwrap();
        let [s3, rpc, admin] = free_ports();
        let at = folder.path().display();
        let config = format!(
            "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET_KEY}\"\n\
             [s3_api]\ns3_region = \"us-east-1\"\napi_bind_addr = \"127.0.0.1:{s3}\"\n\
             [admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\n"
        );
        std::fs::write(folder.path().join("garage.toml"), config).unwrap();
        let mut command = Command::new(&program);
        command
            .args(["-c", "garage.toml", "server", "--single-node", "--default-bucket"])
            .envs([("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY), ("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY)])
            .env("GARAGE_DEFAULT_BUCKET", Self::FIRST);
        let child = super::servers::start_in(folder.path(), &mut command);
        let garage = Self { child, program, folder, s3 };
        let began = Instant::now();
        // The key is there once the node has its place in the cluster of one.
        while !garage.command(&["key", "allow", "--create-bucket", ACCESS_KEY]) {
            let log = || super::servers::log(garage.folder.path());
            assert!(began.elapsed() < PATIENCE, "Garage does not start: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(garage)
    }

    /// Another key, which may read and write in the first bucket and does not own it.
    pub(crate) fn guest(&self) -> (&'static str, &'static str) {
        let (id, secret) = ("GK111111111111111111111111", SECRET_KEY);
        assert!(self.command(&["key", "import", "--yes", id, secret]));
        assert!(self.command(&["bucket", "allow", "--read", "--write", Self::FIRST, "--key", id]));
        (id, secret)
    }

    pub(crate) fn port(&self) -> u16 {
        self.s3
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3)
    }

    fn command(&self, words: &[&str]) -> bool {
        let output = Command::new(&self.program)
            .args(["-c", "garage.toml"])
            .args(words)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        output.status.success()
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
