//! What a target of `type = Brackup` has: another box, which runs `brackup serve`.

use std::path::PathBuf;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::policy;
use super::secret::{self, Place};
use super::surroundings::Surroundings;
use super::trust;
use super::values::{Key, Values, once, text};
use crate::provider::{Endpoint, Pin, Server, Token, Trust};

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("url"),
    once("token"),
    once("token_file"),
    once("bandwidth"),
    once("tls_ca"),
    once("tls_pin"),
    once("inherit"),
];

const TOKEN: &str = "BRACKUP_TOKEN";
const PIN: &str = "BRACKUP_TLS_PIN";
const LETTERS: &str = "43 letters, as `brackup host add` on the other box prints them";

/// Another box, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrackupSettings {
    /// Where.
    pub server: Server,
    token: TokenFrom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TokenFrom {
    Section(Token),
    File(PathBuf),
    Environment,
}

impl BrackupSettings {
    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, policy::OF_TARGET, findings);
        let endpoint = values.read("url", findings, |value| endpoint(text(value)?));
        let trust = trust::read(values, around, findings);
        endpoint.iter().for_each(|endpoint| trust::check(values, endpoint, findings));
        let token = Self::of_the_section(values, around, findings);
        if !is_parent && !values.has("url") {
            values.missing("url", "url = https://host:8713/", findings);
        }
        Some(Self { server: Server { endpoint: endpoint?, trust }, token: token? })
    }

    /// A secret is not shown, whatever is wrong.
    fn of_the_section(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Option<TokenFrom> {
        match secret::place(values, "token", "token_file", around, findings)? {
            Place::Elsewhere => Some(TokenFrom::Environment),
            Place::File(file) => Some(TokenFrom::File(file)),
            Place::Here(entry) => {
                let token = text(entry.value).ok().and_then(Token::parse);
                if token.is_none() {
                    let error = Error::new(ErrorKind::BadValue, "token is none");
                    findings.wrong(entry.line, error.expected(LETTERS));
                }
                token.map(TokenFrom::Section)
            }
        }
    }

    /// What follows `brackup:` in `brackup://host:port/`, or in `brackup:http://…` on this machine.
    pub(super) fn from_url(rest: &str, around: &Surroundings) -> Result<Self, Error> {
        let url = if rest.starts_with("//") { format!("https:{rest}") } else { rest.to_owned() };
        if url.contains('@') {
            let error = Error::new(ErrorKind::BadValue, "the target's address has a user or a password in it");
            return Err(error.with_hint(Some(format!("set ${TOKEN}: what is on a command line is seen"))));
        }
        let endpoint = endpoint(&url).map_err(|_| {
            let expected = "brackup://host:port/, or brackup:http://127.0.0.1:port/ on this machine";
            Error::value("the target", url.as_bytes(), expected)
        })?;
        let trust = match around.variable(PIN) {
            None => Trust::System,
            Some(pin) => Trust::Pin(pin.to_str().and_then(Pin::parse).ok_or_else(|| {
                let expected = "sha256// and the digest of the server's public key in base64";
                Error::new(ErrorKind::BadValue, format!("${PIN} is no pin")).expected(expected)
            })?),
        };
        Ok(Self { server: Server { endpoint, trust }, token: TokenFrom::Environment })
    }

    /// The token of the configuration, of the file that it names, or of the environment.
    pub fn find_token(&self, around: &Surroundings) -> Result<Token, Error> {
        match &self.token {
            TokenFrom::Section(token) => Ok(token.clone()),
            TokenFrom::File(file) => {
                let bytes = secret::read(file, "token")?;
                text(bytes.trim_ascii_end()).ok().and_then(Token::parse).ok_or_else(|| {
                    let found = format!("there is no token in {}", file.display());
                    Error::new(ErrorKind::BadValue, found).expected(LETTERS)
                })
            }
            TokenFrom::Environment => {
                let token = around.variable(TOKEN).map(|token| token.to_str().and_then(Token::parse));
                token.flatten().ok_or_else(|| {
                    let what = if around.variable(TOKEN).is_some() { "is no token" } else { "is not set" };
                    let hint = "`token` or `token_file` of the target is used in its place";
                    let error = Error::new(ErrorKind::BadValue, format!("${TOKEN} {what}"));
                    error.expected(LETTERS).with_hint(Some(hint.into()))
                })
            }
        }
    }
}

/// The token is said with every request: it goes nowhere where it can be read on the way.
fn endpoint(url: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::parse(url).ok_or("https://host:port/")?;
    match endpoint.is_tls() || endpoint.is_this_machine() {
        true => Ok(endpoint),
        false => Err("https://: without TLS the token could be read on the way, and used".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    const LETTER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const SHA256: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn read(lines: &str) -> Result<BrackupSettings, Error> {
        let text = format!("[TARGET:x]\ntype = Brackup\n{lines}");
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let around = Surroundings::of_test(1000);
        let settings = BrackupSettings::read(&Values::of(&sections[0]), false, &around, &mut findings);
        findings.finish()?;
        Ok(settings.unwrap())
    }

    #[test]
    fn a_box_and_who_asks() {
        let around = Surroundings::of_test(1000);
        let settings = read(&format!("url = https://nas.local:8713\ntoken = {LETTER}\ntls_pin = {SHA256}")).unwrap();
        assert_eq!(settings.server.endpoint.to_string(), "https://nas.local:8713");
        assert_eq!(settings.server.trust, Trust::Pin(Pin::parse(SHA256).unwrap()));
        assert_eq!(settings.find_token(&around).unwrap().as_str(), LETTER);
        assert!(!format!("{settings:?}").contains("AAA"), "{settings:?}");
        let settings = read("url = http://127.0.0.1:8713/").unwrap();
        let told = settings.find_token(&around).unwrap_err();
        assert!(told.to_string().starts_with("$BRACKUP_TOKEN is not set, expected 43 letters"), "{told}");
        let set = Surroundings { env: |name| (name == TOKEN).then(|| LETTER.into()), ..around.clone() };
        assert_eq!(settings.find_token(&set).unwrap().as_str(), LETTER);
        let wrong = Surroundings { env: |_| Some("hush".into()), ..around };
        let told = settings.find_token(&wrong).unwrap_err().to_string();
        assert!(told.starts_with("$BRACKUP_TOKEN is no token") && !told.contains("hush"), "{told}");
    }

    #[test]
    fn a_token_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let settings = read(&format!("url = https://nas/\ntoken_file = {}", file.display())).unwrap();
        let found = || settings.find_token(&Surroundings::of_test(1000));
        assert!(found().unwrap_err().to_string().starts_with("can't read the token in"));
        for (text, is_token) in [(format!("{LETTER}\r\n"), true), (LETTER.into(), true), ("hush\n".into(), false)] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(found().is_ok(), is_token, "{text:?}");
            assert!(found().err().is_none_or(|error| !error.to_string().contains("hush")));
        }
    }

    #[test]
    fn an_address_is_a_box() {
        let around = Surroundings { env: |name| (name == PIN).then(|| SHA256.into()), ..Surroundings::of_test(1000) };
        for (rest, shown) in [
            ("//nas:8713/", "https://nas:8713"),
            ("https://nas", "https://nas"),
            ("http://localhost:1", "http://localhost:1"),
        ] {
            let settings = BrackupSettings::from_url(rest, &around).unwrap();
            assert_eq!(settings.server.endpoint.to_string(), shown);
            assert!(matches!(settings.server.trust, Trust::Pin(_)));
        }
        for (rest, told) in [
            ("nas", "expected brackup://host:port/"),
            ("//nas/folder", "expected brackup://host:port/"),
            ("http://nas", "expected brackup://host:port/"),
            ("//hush@nas/", "the target's address has a user or a password in it"),
        ] {
            let error = BrackupSettings::from_url(rest, &around).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_a_secret_is_not() {
        for (lines, told) in [
            (
                "token = hush",
                "f:3: token is none, expected 43 letters, as `brackup host add` on the other box prints them",
            ),
            (&format!("token = {LETTER}"), "f:1: [TARGET:x] has no url, expected url = https://host:8713/"),
            ("url = nas", "f:3: url is \"nas\", expected https://host:port/"),
            (
                "url = http://nas/",
                "f:3: url is \"http://nas/\", expected https://: without TLS the token could be read on the way, and used",
            ),
            (
                &format!("url = https://nas/\ntoken = {LETTER}\ntoken_file = /t"),
                "f:4: token and token_file are both there, expected one of them",
            ),
            (
                &format!("url = http://localhost/\ntls_pin = {SHA256}"),
                "f:4: tls_pin is there, and http://localhost has no TLS, expected https://, or neither tls_ca nor tls_pin",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
