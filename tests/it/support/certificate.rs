//! Certificates for servers on this machine, by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

const CURVE: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// A certificate and its secret key, in files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Of `127.0.0.1`, signed by itself.
    #[cfg(feature = "s3")]
    pub(crate) fn of_its_own(folder: &Path) -> Self {
        Self::make(folder, "server", &["-addext", "basicConstraints=critical,CA:FALSE"])
    }

    /// Of `127.0.0.1`, signed by an authority of one's own, which comes first.
    #[cfg(any(feature = "email", feature = "webdav"))]
    pub(crate) fn signed(folder: &Path) -> [Self; 2] {
        let authority = Self::make(folder, "authority", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        let by = [authority.certificate.to_str().unwrap(), authority.key.to_str().unwrap()];
        let of = ["-CA", by[0], "-CAkey", by[1], "-addext", "basicConstraints=critical,CA:FALSE"];
        let server = Self::make(folder, "server", &of);
        [authority, server]
    }

    fn make(folder: &Path, name: &str, more: &[&str]) -> Self {
        let [certificate, key] = ["pem", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-days", "2", "-subj", &format!("/CN={name}")])
            .args(CURVE)
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(more)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { certificate, key }
    }

    /// Its `tls_pin`, by the command of docs/TARGETS.md.
    #[cfg(feature = "webdav")]
    pub(crate) fn pin(&self) -> String {
        let documented = "openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64";
        let told = std::fs::read_to_string("docs/TARGETS.md").unwrap();
        assert!(told.contains(documented), "{documented}");
        let file = std::fs::File::open(&self.certificate).unwrap();
        let output = Command::new("sh").args(["-c", documented]).stdin(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("sha256//{}", String::from_utf8(output.stdout).unwrap().trim())
    }
}
