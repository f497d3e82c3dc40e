//! Servers of SFTP that nobody here wrote: OpenSSH's, which `tests/servers` installs, and rclone's.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brackup::provider::SshFolder;
use brackup::target::Pace;
use tempfile::TempDir;

use super::place::Place;
use super::ports::free_port;
use super::servers::is_there;

/// Of characters that ssh takes for something else.
const KNOWN_HOSTS: &str = "known hosts 100%h";
/// Where rclone takes orders.
const CONTROL: &str = "control";
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own, with a key of its own, that one key may log in to.
pub(crate) struct Sshd {
    child: Child,
    temporary: TempDir,
    port: u16,
    user: String,
}

impl Sshd {
    /// OpenSSH's. Nothing where it is not installed, and this is said.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("Subsystem sftp internal-sftp")
    }

    /// The same with these lines in its configuration that say what it serves.
    pub(crate) fn start_with(lines: &str) -> Option<Self> {
        let program = std::env::var_os("BRACKUP_SSHD").map_or_else(|| "/usr/sbin/sshd".into(), PathBuf::from);
        if !is_there(&program, "OpenSSH's server") {
            return None;
        }
        // Of its own service, which need not run: it keeps nothing there.
        if nix::unistd::Uid::effective().is_root() {
            let _ = fs::create_dir("/run/sshd");
        }
        let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
        Some(Self::run(me, |folder, port| {
            let at = folder.display();
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n\
                 {lines}\n"
            );
            // The key is kept to SFTP as docs/TARGETS.md has it.
            let public = fs::read_to_string(folder.join("client.pub")).unwrap();
            let only = format!("restrict,command=\"internal-sftp -d {at}\" ");
            let only = if lines == "Subsystem sftp internal-sftp" { only } else { String::new() };
            fs::write(folder.join("authorized_keys"), only + &public).unwrap();
            fs::write(folder.join("sshd_config"), text).unwrap();
            let mut command = Command::new(&program);
            command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
            command
        }))
    }

    /// rclone's, over the folder `served`.
    /// `cache_mode`: what it keeps on its own disk before it stores it.
    pub(crate) fn start_rclone(cache_mode: &str) -> Option<Self> {
        let program = rclone();
        if !is_there(&program, "rclone") {
            return None;
        }
        Some(Self::run("nobody-in-particular".into(), |folder, port| {
            let (served, cache) = (folder.join("served"), folder.join("cache"));
            fs::create_dir(&served).unwrap();
            let mut command = Command::new(&program);
            command.args(["serve", "sftp", "--config", "", "--user", "nobody-in-particular"]);
            command.args(["--vfs-cache-mode", cache_mode, "--vfs-write-back", "0s", "--dir-cache-time", "1h"]);
            command
                .args(["--rc", "--rc-no-auth", "--rc-addr"])
                .arg(format!("unix://{}", folder.join(CONTROL).display()));
            command.arg("--cache-dir").arg(cache).arg("--addr").arg(format!("127.0.0.1:{port}"));
            command.arg("--key").arg(folder.join("host")).arg("--authorized-keys").arg(folder.join("client.pub"));
            command.arg(served);
            command
        }))
    }

    fn run(user: String, command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = temporary.path();
        new_key(&folder.join("host"));
        new_key(&folder.join("client"));
        let port = free_port();
        let host = fs::read_to_string(folder.join("host.pub")).unwrap();
        fs::write(folder.join(KNOWN_HOSTS), known(port, &host)).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = command(folder, port);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { child, temporary, port, user };
        let began = Instant::now();
        while !greets(port) {
            let log = || fs::read_to_string(server.folder().join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "the server does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
    /// Its keys and, for OpenSSH's, where a session begins.
    pub(crate) fn folder(&self) -> &Path {
        self.temporary.path()
    }

    /// A key file beside those of the server.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Processes that have logged in here with its key and go on.
    pub(crate) fn clients(&self) -> usize {
        let key = self.file("client").into_os_string().into_string().unwrap() + "\"\0";
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        processes.filter(|line| String::from_utf8_lossy(line).contains(&key)).count()
    }

    /// The folder `path`, by the key that may log in.
    pub(crate) fn at(&self, path: &Path) -> SshFolder {
        SshFolder {
            host: "127.0.0.1".into(),
            port: Some(self.port),
            user: Some(self.user.clone()),
            path: path.into(),
            identity_file: Some(self.file("client")),
            known_hosts: Some(self.file(KNOWN_HOSTS)),
            ssh_command: "ssh".into(),
        }
    }

    /// The same through another port, whose host key is the same.
    pub(crate) fn at_port(&self, port: u16, path: &Path) -> SshFolder {
        let known_hosts = self.file(&format!("known_hosts-{port}"));
        let host = fs::read_to_string(self.file("host.pub")).unwrap();
        fs::write(&known_hosts, known(port, &host)).unwrap();
        SshFolder { port: Some(port), known_hosts: Some(known_hosts), ..self.at(path) }
    }
}

/// What rclone serves. It believes what it has seen of a folder, so it is told of everything that is done behind its back. With nothing
/// believed at all (`--dir-cache-time 0s`) it loses files that are being written: "file does not exist", "permission denied".
pub(crate) struct Served<'s> {
    pub(crate) folder: PathBuf,
    pub(crate) server: &'s Sshd,
}

impl Served<'_> {
    fn forget(&self) {
        let mut command = Command::new(rclone());
        command.args(["rc", "--config", "", "--unix-socket"]).arg(self.server.folder().join(CONTROL)).arg("vfs/forget");
        let forgotten = command.output().unwrap();
        assert!(forgotten.status.success(), "{}", String::from_utf8_lossy(&forgotten.stderr));
    }
}

impl Place for Served<'_> {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.folder.read(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.folder.write(name, bytes);
        self.forget();
    }

    fn remove(&self, name: &str) {
        self.folder.remove(name);
        self.forget();
    }

    fn vanish(&self) {
        self.folder.vanish();
        self.forget();
    }
}

fn rclone() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv").join("bin/rclone")
}

/// What a section of the configuration says of this folder.
pub(crate) fn target_at(at: &SshFolder) -> String {
    let show = |path: &Option<PathBuf>| path.as_ref().unwrap().display().to_string();
    format!(
        "type = Sftp\nsftp_host = {}\nsftp_port = {}\nsftp_user = {}\npath = {}\nidentity_file = {}\nknown_hosts = {}\n",
        at.host,
        at.port.unwrap(),
        at.user.as_ref().unwrap(),
        at.path.display(),
        show(&at.identity_file),
        show(&at.known_hosts),
    )
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Patient with a server, and soon there again.
pub(crate) fn quick() -> Pace {
    Pace { idle: Duration::from_secs(30), first_wait: Duration::from_millis(1) }
}

/// A key pair: `path` and `path.pub`.
pub(crate) fn new_key(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The line of a host key.
pub(crate) fn known(port: u16, public: &str) -> String {
    format!("[127.0.0.1]:{port} {public}")
}

fn greets(port: u16) -> bool {
    let mut head = [0; 4];
    TcpStream::connect(("127.0.0.1", port))
        .is_ok_and(|mut stream| stream.read_exact(&mut head).is_ok() && head == *b"SSH-")
}
