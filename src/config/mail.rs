//! What an alert by mail has: a server that takes letters, who logs in there, from whom they are and to whom.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::secret::{self, Place};
use super::surroundings::Surroundings;
use super::values::{Key, Values, choice, often, once, text};
use crate::provider::Endpoint;

/// Letters of one alert go to at most so many.
const RECEIVERS_MAX: usize = 16;

/// A server of SMTP, and what is written on the envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What keeps it from others.
    pub security: MailSecurity,
    /// A file of certificates that are trusted, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    user: Option<String>,
    password: Option<PasswordFrom>,
    /// The address of who writes.
    pub from: String,
    /// Those of who is written to, at least one.
    pub to: Vec<String>,
}

/// How what is said to a server of SMTP is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// By TLS, once both have said hello (RFC 3207). Without it nothing is sent.
    StartTls,
    /// By TLS from the first byte (RFC 8314).
    Tls,
    /// Not at all: it does not leave this machine.
    None,
}

#[derive(Clone, PartialEq, Eq)]
enum PasswordFrom {
    Section(Zeroizing<String>),
    File(PathBuf),
}

impl MailSettings {
    /// Beside those of each alert.
    pub(super) const KEYS: &[Key] = &[
        once("server"),
        once("tls"),
        once("tls_ca"),
        once("user"),
        once("password"),
        once("password_file"),
        once("from"),
        often("to"),
    ];

    /// Nothing if a value is wrong or missing.
    pub(super) fn read(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Option<Self> {
        let words = [("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls), ("no", MailSecurity::None)];
        let security = values.read("tls", findings, |value| choice(value, &words)).unwrap_or(MailSecurity::StartTls);
        let server = values.read("server", findings, |value| server(text(value)?, security));
        let tls_ca = values.path("tls_ca", around, findings);
        let user = values.read("user", findings, |value| {
            let is_name = |text: &&str| !text.contains(char::is_control);
            text(value).ok().filter(is_name).map(str::to_owned).ok_or_else(|| "a name".into())
        });
        let password = password(values, around, findings);
        let from = values.read("from", findings, address);
        let to: Vec<String> = values
            .all("to")
            .filter_map(|entry| {
                let wrong = |expected| findings.wrong(entry.line, Error::value("to", entry.value, expected));
                address(entry.value).map_err(wrong).ok()
            })
            .collect();
        if let Some(entry) = values.all("to").nth(RECEIVERS_MAX) {
            let error = Error::new(ErrorKind::TooLarge, "one more address");
            findings.wrong(entry.line, error.expected(format!("at most {RECEIVERS_MAX}")));
        }
        for (key, expected) in [
            ("server", "server = smtp.example.com"),
            ("from", "from = nas@example.com"),
            ("to", "to = somebody@example.com"),
        ] {
            if !values.has(key) {
                values.missing(key, expected, findings);
            }
        }
        match (values.has("user"), values.has("password") || values.has("password_file")) {
            (true, false) => values.missing("password", "user and password or password_file, or neither", findings),
            (false, true) => values.missing("user", "user and password, or neither", findings),
            _ => {}
        }
        let (host, port) = server?;
        let line = |key| values.all(key).next().map(|entry| entry.line);
        if let (MailSecurity::None, Some(line)) = (security, line("tls"))
            && !is_this_machine(&host)
        {
            let error = Error::new(ErrorKind::BadValue, format!("tls is no, and {host} is not this machine"));
            findings.wrong(
                line,
                error.expected("starttls or tls: without it what is sent, a password too, can be read on the way"),
            );
        }
        if let (MailSecurity::None, Some(line)) = (security, line("tls_ca")) {
            let error = Error::new(ErrorKind::BadValue, "tls_ca is there, and tls is no");
            findings.wrong(line, error.expected("one or the other"));
        }
        Some(Self { host, port, security, tls_ca, user, password: password?, from: from?, to })
    }

    /// Who logs in, if somebody does: user and password.
    pub fn find_login(&self) -> Result<Option<(&str, Zeroizing<String>)>, Error> {
        let password = match &self.password {
            None => return Ok(None),
            Some(PasswordFrom::Section(password)) => password.clone(),
            Some(PasswordFrom::File(file)) => {
                let bytes = secret::read(file, "password")?;
                let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
                of_bytes(&bytes[..end]).ok_or_else(|| {
                    let found = format!("there is no password in {}", file.display());
                    Error::new(ErrorKind::BadValue, found).expected("one line with nothing but the password")
                })?
            }
        };
        Ok(self.user.as_deref().map(|user| (user, password)))
    }
}

impl fmt::Display for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail to {} by {}:{}", self.to.join(", "), self.host, self.port)
    }
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A host, and the port that it has or the usual one: RFC 8314 and RFC 6409.
fn server(text: &str, security: MailSecurity) -> Result<(String, u16), String> {
    let expected = "a host, or host:port, such as smtp.example.com:587";
    let usual = match security {
        MailSecurity::StartTls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::None => 25,
    };
    // An address of IPv6 stands in brackets.
    Endpoint::parse(&format!("http://{text}/")).filter(|_| !text.contains('/')).ok_or(expected)?;
    let authority = text.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| expected)?),
        None => (&*authority, usual),
    };
    Ok((host.trim_start_matches('[').trim_end_matches(']').into(), port))
}

fn is_this_machine(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().map_or(host == "localhost", |address| address.is_loopback())
}

/// As it stands on an envelope (RFC 5321), but for what nobody has: quotes, comments, other letters.
fn address(value: &[u8]) -> Result<String, String> {
    let is_ours = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte);
    let address = text(value)?;
    let parts =
        address.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_address = parts.is_some() && address.bytes().all(is_ours) && !address.starts_with('-');
    if is_address { Ok(address.into()) } else { Err("an address, such as somebody@example.com".into()) }
}

fn of_bytes(value: &[u8]) -> Option<Zeroizing<String>> {
    let text = text(value).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control))?;
    Some(Zeroizing::new(text.into()))
}

/// It is not shown, whatever is wrong. The outer nothing: it is wrong.
fn password(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Option<Option<PasswordFrom>> {
    match secret::place(values, "password", "password_file", around, findings)? {
        Place::Elsewhere => Some(None),
        Place::File(file) => Some(Some(PasswordFrom::File(file))),
        Place::Here(entry) => {
            let password = of_bytes(entry.value);
            if password.is_none() {
                findings
                    .wrong(entry.line, Error::new(ErrorKind::BadValue, "password has characters that no password has"));
            }
            password.map(|password| Some(PasswordFrom::Section(password)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<MailSettings, Error> {
        let mut findings = Findings::new("f".into());
        let text = format!("[ALERT:x]\n{lines}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let values = Values::of(&sections[0]);
        values.check(MailSettings::KEYS, &mut findings);
        let mail = MailSettings::read(&values, &Surroundings::of_test(0), &mut findings);
        findings.finish().map(|_| mail.unwrap())
    }

    const WHO: &str = "from = nas@example.com\nto = me@example.com\n";

    #[test]
    fn a_server_and_an_envelope() {
        let mail = read(&format!("{WHO}to = you@example.com\nserver = smtp.example.com\nuser = me\npassword = hu sh"))
            .unwrap();
        assert_eq!((mail.port, mail.security), (587, MailSecurity::StartTls));
        assert_eq!(
            mail.find_login().unwrap().map(|(user, word)| (user, word.to_string())),
            Some(("me", "hu sh".into()))
        );
        assert_eq!(mail.to_string(), "mail to me@example.com, you@example.com by smtp.example.com:587");
        assert!(!format!("{mail:?}").contains("hu sh"));
        for (lines, host, port) in [
            ("server = mail:25", "mail", 25),
            ("server = mail\ntls = tls", "mail", 465),
            ("server = localhost\ntls = no", "localhost", 25),
            ("server = [::1]:2525\ntls = no", "::1", 2525),
        ] {
            let mail = read(&format!("{WHO}{lines}")).unwrap();
            assert_eq!((&*mail.host, mail.port, mail.find_login().unwrap()), (host, port, None), "{lines}");
        }
    }

    #[test]
    fn a_password_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let mail = read(&format!("{WHO}server = s\nuser = me\npassword_file = {}", file.display())).unwrap();
        assert!(mail.find_login().is_err());
        std::fs::write(&file, "hu sh \r\n").unwrap();
        assert_eq!(mail.find_login().unwrap().unwrap().1.as_str(), "hu sh ");
        std::fs::write(&file, "\n").unwrap();
        assert!(mail.find_login().unwrap_err().to_string().starts_with("there is no password in "));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (lines, told) in [
            ("server = s\nfrom = a@b", "f:1: [ALERT:x] has no to, expected to = somebody@example.com"),
            (
                "server = s/x\nfrom = a@b\nto = a@b",
                "f:2: server is \"s/x\", expected a host, or host:port, such as smtp.example.com:587",
            ),
            ("server = s\nfrom = a@b\nto = me", "f:4: to is \"me\", expected an address, such as somebody@example.com"),
            (
                "server = s\nfrom = a@b\nto = a@b, c@d",
                "f:4: to is \"a@b, c@d\", expected an address, such as somebody@example.com",
            ),
            (
                "server = s\nfrom = a@b\nto = a@b\nuser = me",
                "f:1: [ALERT:x] has no password, expected user and password or password_file, or neither",
            ),
            (
                "server = s\nfrom = a@b\nto = a@b\npassword = hush",
                "f:1: [ALERT:x] has no user, expected user and password, or neither",
            ),
            (
                "server = s\nfrom = a@b\nto = a@b\ntls = no",
                "f:5: tls is no, and s is not this machine, expected starttls or tls: without it what is sent, a password too, can be read on the way",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
