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
}
