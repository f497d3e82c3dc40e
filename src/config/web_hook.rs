//! What an alert over HTTP has: an address, which is a secret, and a token, which is one too.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::secret::{self, Place};
use super::surroundings::Surroundings;
use super::trust;
use super::values::{Key, Values, once, text};
use crate::provider::{Endpoint, Hook, Trust};

const ADDRESS: &str = "https://host/… without a user and a password";

/// An address to post to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    url: Kept<Hook>,
    token: Option<Kept<Zeroizing<String>>>,
    /// Whose certificates are.
    pub trust: Trust,
}

#[derive(Clone, PartialEq, Eq)]
enum Kept<T> {
    Section(T),
    File(PathBuf),
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl HookSettings {
    /// Beside those of each alert.
    pub(super) const WEBHOOK: &[Key] =
        &[once("url"), once("url_file"), once("token"), once("token_file"), once("tls_ca"), once("tls_pin")];
    /// Of a check, whose address says who asks.
    pub(super) const CHECK: &[Key] = &[once("url"), once("url_file"), once("tls_ca"), once("tls_pin")];

    /// Nothing if a value is wrong or the address is missing.
    pub(super) fn read(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Option<Self> {
        let trust = trust::read(values, around, findings);
        let url = match secret::place(values, "url", "url_file", around, findings)? {
            Place::Elsewhere => {
                values.missing("url", "url = https://host/…, or url_file", findings);
                return None;
            }
            Place::File(file) => Kept::File(file),
            Place::Here(entry) => {
                Kept::Section(hook("url", entry.value).map_err(|error| findings.wrong(entry.line, error)).ok()?)
            }
        };
        if let Kept::Section(hook) = &url {
            trust::check(values, &hook.endpoint, findings);
        }
        let token = match secret::place(values, "token", "token_file", around, findings)? {
            Place::Elsewhere => None,
            Place::File(file) => Some(Kept::File(file)),
            Place::Here(entry) => match token(entry.value) {
                Some(token) => Some(Kept::Section(token)),
                None => {
                    let error = Error::new(ErrorKind::BadValue, "token is none");
                    findings.wrong(entry.line, error.expected("letters, digits and signs without spaces"));
                    return None;
                }
            },
        };
        if let (Some(entry), Kept::Section(hook)) = (values.all("token").chain(values.all("token_file")).next(), &url)
            && let Err(error) = may_be_said(&hook.endpoint)
        {
            findings.wrong(entry.line, error);
        }
        Some(Self { url, token, trust })
    }

    /// `webhook_url` of a source, as the original had it. Nothing if it is wrong.
    pub(super) fn of_the_original(values: &Values<'_>, findings: &mut Findings) -> Option<Self> {
        let entry = values.all("webhook_url").next()?;
        if !cfg!(feature = "http") {
            findings.promise(entry.line, "webhook_url does nothing: this program was built without http");
        }
        let hook = hook("webhook_url", entry.value).map_err(|error| findings.wrong(entry.line, error)).ok()?;
        Some(Self { url: Kept::Section(hook), token: None, trust: Trust::System })
    }

    /// The address and the token, of the configuration or of the files that it names.
    pub fn find(&self) -> Result<(Hook, Option<Zeroizing<String>>), Error> {
        let line = |file: &PathBuf, what: &str| {
            let bytes = secret::read(file, what)?;
            Ok(Zeroizing::new(bytes.trim_ascii().to_vec()))
        };
        let none = |file: &PathBuf, what: &str| {
            let found = format!("there is no {what} in {}", file.display());
            Error::new(ErrorKind::BadValue, found).expected("one line with nothing else")
        };
        let url = match &self.url {
            Kept::Section(hook) => hook.clone(),
            Kept::File(file) => hook("url", &line(file, "address")?).map_err(|_| none(file, "address"))?,
        };
        let token = match &self.token {
            None => None,
            Some(Kept::Section(token)) => Some(token.clone()),
            Some(Kept::File(file)) => Some(token(&line(file, "token")?).ok_or_else(|| none(file, "token"))?),
        };
        if token.is_some() {
            may_be_said(&url.endpoint)?;
        }
        Ok((url, token))
    }
}

impl fmt::Display for HookSettings {
    /// Its host, and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Kept::Section(hook) => write!(f, "{}", hook.endpoint),
            Kept::File(file) => write!(f, "the address in {}", file.display()),
        }
    }
}

/// Whatever is wrong with it is not shown.
fn hook(key: &str, value: &[u8]) -> Result<Hook, Error> {
    let hook = text(value).ok().and_then(Hook::parse);
    hook.ok_or_else(|| Error::new(ErrorKind::BadValue, format!("{key} is no address")).expected(ADDRESS))
}

fn token(value: &[u8]) -> Option<Zeroizing<String>> {
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
    text(value).ok().filter(|_| is_plain).map(|text| text.to_owned().into())
}

/// A token goes nowhere where it can be read on the way.
fn may_be_said(endpoint: &Endpoint) -> Result<(), Error> {
    if endpoint.is_tls() || endpoint.is_this_machine() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::BadValue, format!("a token is there, and {endpoint} has no TLS"))
        .expected("https://: without TLS the token could be read on the way, and used"))
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<HookSettings, Error> {
        let mut findings = Findings::new("f".into());
        let text = format!("[ALERT:x]\n{lines}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let hook = HookSettings::read(&Values::of(&sections[0]), &Surroundings::of_test(0), &mut findings);
        findings.finish().map(|_| hook.unwrap())
    }

    #[test]
    fn secrets_may_lie_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let [url, token] = ["url", "token"].map(|name| folder.path().join(name));
        let hook = read(&format!("url_file = {}\ntoken_file = {}", url.display(), token.display())).unwrap();
        assert!(hook.find().unwrap_err().to_string().starts_with("can't read the address in"));
        std::fs::write(&url, "https://h/hush\n").unwrap();
        std::fs::write(&token, "hush hush\n").unwrap();
        let told = hook.find().unwrap_err().to_string();
        assert_eq!(told, format!("there is no token in {}, expected one line with nothing else", token.display()));
        std::fs::write(&token, "hush-hush\n").unwrap();
        let (found, said) = hook.find().unwrap();
        assert_eq!((found.path(), said.as_deref().map(|token| &**token)), ("/hush", Some("hush-hush")));
        std::fs::write(&url, "http://h/hush\n").unwrap();
        assert!(hook.find().unwrap_err().to_string().contains("http://h has no TLS"));
        assert!(!format!("{hook:?} {hook}").contains("hush"));
    }

    #[test]
    fn a_token_is_said_over_tls() {
        assert!(read("url = https://h/\ntoken = hush").is_ok());
        assert!(read("url = http://127.0.0.1:8/\ntoken = hush").is_ok());
        assert!(read("url = http://homeassistant.local:8123/api/webhook/hush").is_ok());
        for (lines, told) in [
            (
                "url = http://h/\ntoken = hush",
                "f:3: a token is there, and http://h has no TLS, expected https://: without TLS the token could be read on the way, and used",
            ),
            (
                "url = https://h/\ntoken = hu sh",
                "f:3: token is none, expected letters, digits and signs without spaces",
            ),
            ("token = hush", "f:1: [ALERT:x] has no url, expected url = https://host/…, or url_file"),
            ("url = https://h/\nurl_file = /u", "f:2: url and url_file are both there, expected one of them"),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
