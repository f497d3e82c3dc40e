//! Who asks, in the two ways that WebDAV servers have: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2069 of old servers).
//!
//! Nothing is said before a server asks for it, so that it is known which way that is. Digest is taken where both are offered. A
//! password is not said where it can be read on the way, unless the owner allows it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::digest::hex;
use crate::provider::{Login, percent_encode};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::Answer;

/// What a server asks for, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    /// Names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Those with `-sess` are not known: no server was found that asks for them.
    fn algorithm(&self) -> Option<Algorithm> {
        match self.parameter("algorithm").unwrap_or("MD5").to_ascii_lowercase().as_str() {
            "md5" => Some(Algorithm::Md5),
            "sha-256" => Some(Algorithm::Sha256),
            _ => None,
        }
    }

    /// The better the larger; nothing if it is not known here.
    fn rank(&self) -> Option<u8> {
        if self.scheme.eq_ignore_ascii_case("basic") {
            return Some(0);
        }
        let is_known = self.scheme.eq_ignore_ascii_case("digest")
            && self.parameter("nonce").is_some()
            && self.parameter("qop").is_none_or(|qop| qop.split(',').any(|qop| qop.trim() == "auth"));
        match self.algorithm().filter(|_| is_known)? {
            Algorithm::Md5 => Some(1),
            Algorithm::Sha256 => Some(2),
        }
    }
}

/// The answer to a challenge that is given until a server wants another.
#[derive(Debug)]
struct Way {
    challenge: Challenge,
    /// Of requests that were told this nonce.
    count: AtomicU32,
    /// Requests have come through with it.
    is_good: std::sync::atomic::AtomicBool,
}

/// What a request said of who asks.
#[derive(Debug, Default)]
pub(super) struct Said(Option<Arc<Way>>);

/// A login, and what the server last wanted to hear.
#[derive(Debug)]
pub(super) struct Session {
    login: Option<Login>,
    is_clear_allowed: bool,
    way: Mutex<Option<Arc<Way>>>,
}

impl Session {
    pub(super) fn new(login: Option<Login>, is_clear_allowed: bool) -> Self {
        Self { login, is_clear_allowed, way: Mutex::default() }
    }

    /// The value of the header `authorization`, if it is known what the server wants.
    pub(super) fn authorization(&self, method: &str, path: &str) -> (Option<Zeroizing<String>>, Said) {
        let way = self.way.lock().ok().and_then(|way| way.clone());
        let (Some(login), Some(way)) = (&self.login, way) else { return (None, Said(None)) };
        let header = if way.challenge.rank() == Some(0) {
            let both = Zeroizing::new(format!("{}:{}", login.user, login.password.as_str()));
            Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())))
        } else {
            let count = way.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            Zeroizing::new(digest(login, &way.challenge, method, path, count, &cnonce()))
        };
        (Some(header), Said(Some(way)))
    }

    /// The server let a request through.
    pub(super) fn came_through(said: &Said) {
        if let Some(way) = &said.0 {
            way.is_good.store(true, Ordering::Relaxed);
        }
    }

    /// The server wants to know who asks. Whether asking again may help: not if it knows and says no.
    pub(super) fn is_challenged(&self, answer: &Answer, said: &Said, what: &str) -> Result<bool, Error> {
        if self.login.is_none() {
            return Ok(false);
        }
        let lines = answer.headers().get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let all: Vec<_> = lines.flat_map(challenges).collect();
        let schemes: Vec<_> = all.iter().map(|challenge| challenge.scheme.clone()).collect();
        let Some(best) = all.into_iter().filter(|one| one.rank().is_some()).max_by_key(Challenge::rank) else {
            let why = format!("{what}: the server wants a login of a kind that is not known here: {}", shown(&schemes));
            return Err(Error::new(ErrorKind::Refused, why).advise("Basic and Digest are known, as MD5 or SHA-256"));
        };
        if best.rank() == Some(0) && !self.is_clear_allowed {
            let why = format!("{what}: the server wants the password in clear (Basic), and there is no TLS");
            return Err(Error::new(ErrorKind::Refused, why).advise(
                "write `url` with https://, have the server ask for Digest, or say insecure_http = yes where nobody else is on the wire",
            ));
        }
        if let Some(way) = &said.0 {
            let is_stale = best.parameter("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
            // Not every server says that a nonce is too old.
            let may_be_stale = way.is_good.load(Ordering::Relaxed) && best.parameter("stale").is_none();
            let is_other = best.parameter("nonce") != way.challenge.parameter("nonce");
            if best.rank() == Some(0) || !(is_stale || may_be_stale && is_other) {
                return Ok(false);
            }
        }
        if let Ok(mut way) = self.way.lock() {
            *way = Some(Arc::new(Way { challenge: best, count: AtomicU32::new(0), is_good: false.into() }));
        }
        Ok(true)
    }
}

fn shown(schemes: &[String]) -> String {
    let text = schemes.join(", ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
    if text.is_empty() { "it does not say which".into() } else { text }
}

fn cnonce() -> String {
    let mut bytes = [0; 16];
    // It protects against precomputed tables; without it the answer is right all the same.
    let _ = getrandom::fill(&mut bytes);
    hex(&bytes)
}

/// RFC 7616, section 3.4.
fn digest(login: &Login, challenge: &Challenge, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
    let algorithm = challenge.algorithm().unwrap_or(Algorithm::Md5);
    let hash = |text: &str| match algorithm {
        Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
        Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
    };
    let parameter = |name| challenge.parameter(name).unwrap_or_default();
    let (realm, nonce) = (parameter("realm"), parameter("nonce"));
    let secret = Zeroizing::new(format!("{}:{realm}:{}", login.user, login.password.as_str()));
    let one = Zeroizing::new(hash(&secret));
    let two = hash(&format!("{method}:{uri}"));
    let has_qop = challenge.parameter("qop").is_some();
    let middle = if has_qop { format!("{nonce}:{count:08x}:{cnonce}:auth") } else { nonce.to_owned() };
    let response = hash(&format!("{}:{middle}:{two}", one.as_str()));

    let mut header = if login.user.is_ascii() {
        format!("Digest username={}", quoted(&login.user))
    } else {
        format!("Digest username*=UTF-8''{}", percent_encode(&login.user))
    };
    let _ = write!(header, ", realm={}, nonce={}, uri={}", quoted(realm), quoted(nonce), quoted(uri));
    let _ = write!(header, ", response=\"{response}\"");
    if let Some(name) = challenge.parameter("algorithm") {
        let _ = write!(header, ", algorithm={name}");
    }
    if let Some(opaque) = challenge.parameter("opaque") {
        let _ = write!(header, ", opaque={}", quoted(opaque));
    }
    if has_qop {
        let _ = write!(header, ", cnonce=\"{cnonce}\"");
    }
    if has_qop {
        let _ = write!(header, ", qop=auth, nc={count:08x}");
    }
    header
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The challenges of one header (RFC 9110, section 11.6.1): commas are between them, and between the parameters of one.
fn challenges(line: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        if end == 0 {
            return found;
        }
        let (word, after) = rest.split_at(end);
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, found.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => return found,
            (None, _) => {
                found.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
                rest = after;
            }
        }
    }
}

/// A token or a quoted string, and what follows.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let (token, rest) = text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len()));
        return (token.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inside[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: password.to_owned().into() }
    }

    fn challenge(line: &str) -> Challenge {
        challenges(line).pop().unwrap()
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        // RFC 7616, section 3.9.1.
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let asked = challenge(&format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{nonce}", opaque="{opaque}""#
            ));
            let header = digest(&login("Mufasa", "Circle of Life"), &asked, "GET", "/dir/index.html", 1, cnonce);
            for part in [
                format!("response=\"{response}\""),
                format!("opaque=\"{opaque}\""),
                format!("algorithm={algorithm}"),
                "uri=\"/dir/index.html\", ".into(),
                "nc=00000001".into(),
                "qop=auth,".into(),
            ] {
                assert!(header.contains(&part), "{part} in {header}");
            }
        }
        // RFC 2069 with the digest of its erratum 749.
        let old = challenge(
            r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc""#,
        );
        let header = digest(&login("Mufasa", "CircleOfLife"), &old, "GET", "/dir/index.html", 1, "c");
        assert!(header.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{header}");
        assert!(!header.contains("nc=") && !header.contains("qop"), "{header}");
    }

    #[test]
    fn several_challenges_in_a_line_are_told_apart_and_the_best_is_taken() {
        let line = r#"Basic realm="a, b=\"c\"", Digest realm="x", nonce="n=", qop="auth", algorithm=MD5, stale=TRUE, Negotiate, Digest nonce="m" , algorithm = SHA-256 ,qop="auth""#;
        let all = challenges(line);
        let schemes: Vec<_> = all.iter().map(|one| (one.scheme.as_str(), one.rank())).collect();
        assert_eq!(schemes, [("Basic", Some(0)), ("Digest", Some(1)), ("Negotiate", None), ("Digest", Some(2))]);
        assert_eq!(all[0].parameter("realm"), Some("a, b=\"c\""));
        assert_eq!(all[1].parameter("nonce"), Some("n="));
        for unknown in
            ["Digest nonce=\"n\", qop=\"auth-int\"", "Digest nonce=n, algorithm=SHA-512-256", "Digest", "Bearer"]
        {
            assert_eq!(challenge(unknown).rank(), None, "{unknown}");
        }
        for odd in ["", ",,", "=", "a=b", "\"", "Basic \"", "Digest nonce=\"\\"] {
            let _ = challenges(odd);
        }
    }

    #[test]
    fn names_of_any_letters_are_said() {
        let header = digest(&login("Jäsøn", "p"), &challenge("Digest nonce=n"), "GET", "/", 1, "c");
        assert!(header.contains("username*=UTF-8''J%C3%A4s%C3%B8n,"), "{header}");
        let header = digest(&login("a\"b", "p"), &challenge("Digest nonce=n"), "GET", "/", 1, "c");
        assert!(header.contains("username=\"a\\\"b\","), "{header}");
    }
}
