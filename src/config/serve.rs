//! `[SERVE]`: where `brackup serve` lets other hosts in, and shows its page. Without `listen` no host, and the page on this machine alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::ini::{Kind, Section};
use super::surroundings::Surroundings;
use super::values::{Key, Values, flag, often, once, text};

pub(super) const KEYS: &[Key] = &[
    once("listen"),
    once("tls"),
    once("tls_certificate"),
    once("tls_key"),
    once("page"),
    often("name"),
    once("token_sha256"),
];
/// Where the page is where nothing is said: on this machine alone.
pub const PAGE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8713);

/// The door of this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Address and port.
    pub listen: SocketAddr,
    /// What proves to others that it is this box.
    pub tls: DoorTls,
}

/// How what is said at the door is kept from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorTls {
    /// With a key that is made at the first start and kept in `key_dir`.
    Own,
    /// With a certificate of somebody's, both PEM.
    Files {
        /// The certificate, and those that lead to one that is trusted.
        certificate: PathBuf,
        /// Its secret key.
        key: PathBuf,
    },
    /// Not at all: it does not leave this machine.
    None,
}

impl ServeOptions {
    /// Nothing without `listen`, or if a value is wrong.
    pub(super) fn read(sections: &[Section<'_>], around: &Surroundings, findings: &mut Findings) -> Option<Self> {
        let values = Values::of(sections.iter().find(|section| section.kind == Kind::Serve)?);
        values.check(KEYS, findings);
        let tls = tls(&values, around, findings);
        if !values.has("listen") {
            findings.note(values.lines.0, "[SERVE] has no listen: nobody is let in");
        }
        let listen = values.read("listen", findings, |value| {
            let expected = "an address and a port, such as 192.168.1.10:8713 or [::]:8713";
            text(value)?.parse::<SocketAddr>().ok().filter(|listen| listen.port() > 0).ok_or_else(|| expected.into())
        })?;
        if tls == DoorTls::None && !listen.ip().is_loopback() {
            let line = values.all("tls").next().map_or(0, |entry| entry.line);
            let error =
                Error::new(ErrorKind::BadValue, format!("tls is no, and {listen} is not of this machine alone"));
            findings.wrong(line, error.expected("tls = yes: without it tokens can be read on the way, and used"));
        }
        Some(Self { listen, tls })
    }
}

fn tls(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> DoorTls {
    let is_wanted = values.read("tls", findings, flag).unwrap_or(true);
    let [certificate, key] = ["tls_certificate", "tls_key"].map(|key| values.path(key, around, findings));
    let line = |key| values.all(key).next().map(|entry| entry.line);
    match (line("tls_certificate"), line("tls_key")) {
        (Some(line), _) | (None, Some(line)) if !is_wanted => {
            let error = Error::new(ErrorKind::BadValue, "tls is no, and a certificate is there");
            findings.wrong(line, error.expected("one or the other"));
        }
        (Some(_), None) => values.missing("tls_key", "tls_certificate and tls_key, or neither", findings),
        (None, Some(_)) => values.missing("tls_certificate", "tls_certificate and tls_key, or neither", findings),
        _ => {}
    }
    match (is_wanted, certificate, key) {
        (false, ..) => DoorTls::None,
        (true, Some(certificate), Some(key)) => DoorTls::Files { certificate, key },
        _ => DoorTls::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<(Option<ServeOptions>, Vec<String>), Error> {
        let mut findings = Findings::new("f".into());
        let text = format!("[SERVE]\n{lines}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let serve = ServeOptions::read(&sections, &Surroundings::of_test(0), &mut findings);
        findings.finish().map(|notes| (serve, notes))
    }

    #[test]
    fn a_door_is_an_address_and_what_proves_it() {
        for (lines, listen, tls) in [
            ("listen = 192.168.1.10:8713", "192.168.1.10:8713", DoorTls::Own),
            ("listen = [::]:8713\ntls = yes", "[::]:8713", DoorTls::Own),
            ("listen = 127.0.0.1:1\ntls = no", "127.0.0.1:1", DoorTls::None),
            ("listen = [::1]:1\ntls = no", "[::1]:1", DoorTls::None),
            (
                "listen = 0.0.0.0:1\ntls_certificate = /c\ntls_key = /k",
                "0.0.0.0:1",
                DoorTls::Files { certificate: "/c".into(), key: "/k".into() },
            ),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(read(lines).unwrap(), (Some(ServeOptions { listen, tls }), vec![]), "{lines}");
        }
    }

    #[test]
    fn nothing_listens_unasked() {
        let (serve, notes) = read("").unwrap();
        assert_eq!((serve, notes), (None, vec!["f:1: [SERVE] has no listen: nobody is let in".into()]));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let open = "tls is no, and 0.0.0.0:1 is not of this machine alone, expected tls = yes: without it tokens can be read on the way, and used";
        for (lines, told) in [
            (
                "listen = 8713",
                "f:2: listen is \"8713\", expected an address and a port, such as 192.168.1.10:8713 or [::]:8713",
            ),
            (
                "listen = nas:8713",
                "f:2: listen is \"nas:8713\", expected an address and a port, such as 192.168.1.10:8713 or [::]:8713",
            ),
            (
                "listen = 127.0.0.1:0",
                "f:2: listen is \"127.0.0.1:0\", expected an address and a port, such as 192.168.1.10:8713 or [::]:8713",
            ),
            ("listen = 0.0.0.0:1\ntls = no", &format!("f:3: {open}")),
            (
                "listen = 127.0.0.1:1\ntls = no\ntls_key = /k",
                "f:4: tls is no, and a certificate is there, expected one or the other",
            ),
            (
                "listen = 127.0.0.1:1\ntls_key = /k",
                "f:1: [SERVE] has no tls_certificate, expected tls_certificate and tls_key, or neither",
            ),
            (
                "listen = 127.0.0.1:1\ntls_certificate = /k",
                "f:1: [SERVE] has no tls_key, expected tls_certificate and tls_key, or neither",
            ),
            (
                "port = 1",
                "f:2: unknown key \"port\" in [SERVE], expected one of listen, tls, tls_certificate, tls_key, page, name or token_sha256",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
