//! Servers of WebDAV that nobody here wrote: Apache, nginx with dav-ext, wsgidav, rclone. `tests/servers` installs them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use brackup::digest::{Sha1, hex};
use md5::Digest as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tempfile::TempDir;

use super::certificate::Certificate;
use super::ports::free_ports;

/// Who may ask these servers.
pub(crate) const USER: &str = "nas";
/// The password, in no output of any test.
pub(crate) const PASSWORD: &str = "hush:0.5%-word";
const REALM: &str = "a box, at home";
const PATIENCE: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Apache,
    Nginx,
    Wsgidav,
    Rclone,
}

/// A running server, which is gone when this is.
pub(crate) struct Dav {
    kind: Kind,
    child: Child,
    folder: TempDir,
    port: u16,
    tls_port: u16,
    /// Of Apache.
    certificates: Option<[Certificate; 2]>,
}

impl Kind {
    fn program(self) -> PathBuf {
        let venv = |name| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers-venv/bin").join(name);
        match self {
            Self::Apache => "/usr/sbin/apache2".into(),
            Self::Nginx => "/usr/sbin/nginx".into(),
            Self::Wsgidav => venv("wsgidav"),
            Self::Rclone => venv("rclone"),
        }
    }
}

impl Dav {
    /// Nothing where it is not installed, and this is said.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let program = kind.program();
        if !super::servers::is_there(&program, &format!("{kind:?}")) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let [port, tls_port] = free_ports();
        fs::create_dir(folder.path().join("data")).unwrap();
        let certificates = (kind == Kind::Apache).then(|| Certificate::signed(folder.path()));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(&program);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        arguments(kind, &mut command, folder.path(), port, tls_port);
        let child = command.spawn().unwrap();
        let mut dav = Self { kind, child, folder, port, tls_port, certificates };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let is_over = dav.child.try_wait().unwrap().is_some() || began.elapsed() > PATIENCE;
            assert!(!is_over, "{kind:?} does not start: {}", dav.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(dav)
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("log") + &read("error.log")
    }

    /// Methods and statuses that it was asked and said; of Apache.
    pub(crate) fn accesses(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Below what a path of an address has.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Of Apache, over TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// Of Apache: the authority's and the server's.
    pub(crate) fn certificates(&self) -> &[Certificate; 2] {
        self.certificates.as_ref().unwrap()
    }

    /// What it serves, on the disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One request of nobody: its answer as it comes.
    pub(crate) fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        let text = format!(
            "{head}\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.port
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Dav {
    fn drop(&mut self) {
        // Apache has children of its own, which SIGKILL would leave.
        let signal = if self.kind == Kind::Apache { Signal::SIGTERM } else { Signal::SIGKILL };
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        let _ = self.child.wait();
    }
}

fn arguments(kind: Kind, command: &mut Command, folder: &Path, port: u16, tls_port: u16) {
    let config = folder.join("config");
    let data = folder.join("data");
    match kind {
        Kind::Apache => {
            fs::write(&config, apache(folder, port, tls_port)).unwrap();
            command.arg("-f").arg(&config).arg("-DFOREGROUND");
        }
        Kind::Nginx => {
            fs::write(&config, nginx(folder, port)).unwrap();
            command.arg("-c").arg(&config).arg("-e").arg(folder.join("error.log"));
        }
        Kind::Wsgidav => {
            let users = format!("{{\"*\": {{\"{USER}\": {{\"password\": \"{PASSWORD}\"}}}}}}");
            let text = format!(
                "host: 127.0.0.1\nport: {port}\nserver: cheroot\nprovider_mapping: {{\"/\": \"{}\"}}\n\
                 http_authenticator: {{accept_basic: false, accept_digest: true, default_to_digest: true}}\n\
                 simple_dc: {{user_mapping: {users}}}\nproperty_manager: true\nlock_storage: true\n",
                data.display()
            );
            let config = folder.join("config.yaml");
            fs::write(&config, text).unwrap();
            command.arg("--config").arg(&config);
        }
        Kind::Rclone => {
            command.args([
                "serve",
                "webdav",
                "--addr",
                &format!("127.0.0.1:{port}"),
                "--user",
                USER,
                "--pass",
                PASSWORD,
            ]);
            command.args(["--config", "/dev/null", "--dir-cache-time", "0s"]).arg(&data);
        }
    }
}

fn apache(folder: &Path, port: u16, tls_port: u16) -> String {
    let here = folder.display();
    let modules = [
        "mpm_event",
        "authn_core",
        "authn_file",
        "authz_core",
        "authz_user",
        "auth_basic",
        "auth_digest",
        "alias",
        "dav",
        "dav_fs",
        "ssl",
    ];
    let modules: String = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    fs::create_dir(folder.join("locks")).unwrap();
    let sha1 = BASE64.encode(Sha1::of(PASSWORD.as_bytes()).0);
    fs::write(folder.join("basic"), format!("{USER}:{{SHA}}{sha1}\n")).unwrap();

    let md5 = hex(&md5::Md5::digest(format!("{USER}:{REALM}:{PASSWORD}").as_bytes()));
    fs::write(folder.join("digest"), format!("{USER}:{REALM}:{md5}\n")).unwrap();
    // As root it becomes somebody else, whose the data is to be.
    let mut user = String::new();
    if Uid::effective().is_root() {
        let nobody = User::from_name("www-data").unwrap().unwrap();
        user = "User www-data\nGroup www-data\n".into();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["data", "locks"] {
            chown(folder.join(name), Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
        }
    }
    let login = |path: &str, kind: &str, more: &str| {
        format!(
            "Alias /{path} {here}/data\n<Location /{path}>\nAuthType {kind}\nAuthName \"{REALM}\"\n\
             Auth{kind}Provider file\nAuthUserFile {here}/{path}\nRequire valid-user\n{more}</Location>\n"
        )
    };
    format!(
        "ServerRoot {here}\nServerName 127.0.0.1\nPidFile {here}/pid\nDefaultRuntimeDir {here}\nMutex file:{here}/locks default\n\
         ErrorLog {here}/error.log\nLogFormat \"%m %>s %U\" short\n{modules}{user}CustomLog {here}/access.log short\n\
         Listen 127.0.0.1:{port}\nListen 127.0.0.1:{tls_port}\nDavLockDB {here}/locks/db\nDocumentRoot {here}/data\n\
         StartServers 1\nMinSpareThreads 1\nThreadsPerChild 16\nServerLimit 2\nMaxRequestWorkers 32\n\
         <Directory {here}/data>\nRequire all granted\nDav On\n</Directory>\n{basic}{digest}\
         <VirtualHost 127.0.0.1:{tls_port}>\nSSLEngine on\nSSLCertificateFile {here}/server.pem\nSSLCertificateKeyFile {here}/server.key\n\
         {basic}{digest}</VirtualHost>\n",
        basic = login("basic", "Basic", ""),
        digest = login("digest", "Digest", "AuthDigestDomain /digest/\n"),
    )
}

fn nginx(folder: &Path, port: u16) -> String {
    let here = folder.display();
    format!(
        "load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;\ndaemon off;\nmaster_process off;\npid {here}/pid;\n\
         error_log {here}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {here}/body;\n\
         proxy_temp_path {here}/p;\nfastcgi_temp_path {here}/f;\nuwsgi_temp_path {here}/u;\nscgi_temp_path {here}/s;\n\
         server {{\nlisten 127.0.0.1:{port};\nclient_max_body_size 0;\nlocation / {{\nroot {here}/data;\n\
         dav_methods PUT DELETE MKCOL COPY MOVE;\ndav_ext_methods PROPFIND OPTIONS;\n}}\n\
         location /small {{\nroot {here}/data;\nclient_max_body_size 1m;\ndav_methods PUT DELETE MKCOL COPY MOVE;\n\
         dav_ext_methods PROPFIND OPTIONS;\n}}\n}}\n}}\n"
    )
}
