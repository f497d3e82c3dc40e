//! Who asks, and whether it is a browser that was led here by somebody else.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};

use super::sessions::Sessions;
use crate::config::PageOptions;
use crate::seal::Password;
use crate::web::bearer::{self, only};
use crate::web::refusal::Refusal;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PASSED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
const COOKIE_NAME: &str = "brackup";
/// Endings of names that a home network gives to its boxes.
const ENDINGS: [&str; 7] = ["", ".local", ".lan", ".home", ".home.arpa", ".internal", ".fritz.box"];

/// What is asked of those who come.
pub(in crate::web) struct Gate {
    names: Vec<String>,
    token_sha256: Option<[u8; 32]>,
    password: Option<Password>,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Logged in. What changes something brings this proof.
    Owner(String),
    /// A program of the owner.
    Program,
    /// On this machine, where no password was ever set: may look, and sees no names of files.
    Guest,
    /// May log in.
    Stranger,
    /// May not even that: there is no password, and this is another machine.
    Outsider,
}

impl Who {
    /// Whether he may see names of files.
    pub(super) fn sees_names(&self) -> bool {
        matches!(self, Self::Owner(_) | Self::Program)
    }
}

impl Gate {
    pub(in crate::web) fn new(options: &PageOptions, password: Option<Password>) -> Self {
        let own = nix::unistd::gethostname().unwrap_or_default();
        let own = own.to_string_lossy().to_ascii_lowercase();
        let short = own.split('.').next().unwrap_or_default();
        let own = ENDINGS.iter().map(|ending| format!("{short}{ending}")).filter(|_| !short.is_empty());
        let names = own.chain(options.names.iter().cloned());
        Self { names: names.collect(), token_sha256: options.token_sha256, password }
    }

    /// The password, if one is set.
    pub(super) fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// Whether others are kept out who were let in before.
    pub(in crate::web) fn has_other_password(&self, before: &Self) -> bool {
        self.password != before.password
    }

    /// A page of somebody else's may have this box's address under a name of its own (DNS rebinding): it is asked for by that name then.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only(headers, &HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.is_own(host) {
            return Ok(());
        }
        let words = "this box is not known by that name; `name = …` in [SERVE] tells it one";
        Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, words))
    }

    fn is_own(&self, host: &str) -> bool {
        if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
            return true;
        }
        let with_port = host.rsplit_once(':').filter(|_| !host.ends_with(']'));
        let (name, port) = with_port.unwrap_or((host, "0"));
        if port.parse::<u16>().is_err() {
            return false;
        }
        let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        if in_brackets.is_some_and(|address| address.parse::<IpAddr>().is_ok()) {
            return true;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
    }

    pub(super) fn who(&self, headers: &HeaderMap, peer: SocketAddr, sessions: &Sessions) -> Who {
        let token = bearer::token(headers).map(bearer::digest);
        if self.token_sha256.zip(token).is_some_and(|(known, token)| bearer::is_same(&known, &token)) {
            return Who::Program;
        }
        // What a proxy of this machine passes on may be from anywhere.
        let is_passed_on = PASSED_ON.iter().any(|name| headers.contains_key(*name));
        let is_here = peer.ip().to_canonical().is_loopback() && !is_passed_on;
        match (&self.password, is_here) {
            (None, true) => Who::Guest,
            (None, false) => Who::Outsider,
            (Some(_), _) => {
                let proof = session(headers).and_then(|id| sessions.proof(id, Instant::now()));
                proof.map_or(Who::Stranger, Who::Owner)
            }
        }
    }
}

/// What a browser says by itself of where a change comes from: only our own page may ask for one.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = only(headers, &FETCH_SITE).map(HeaderValue::as_bytes);
    let is_ours = site.is_none_or(|site| site == b"same-origin");
    let host = only(headers, &HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let from_host = headers.get(ORIGIN).is_none_or(|origin| {
        let origin = origin.as_bytes();
        [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host))
    });
    if is_ours && from_host {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "another page may not change anything here"))
}

/// The session that the browser says it has.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut cookies = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// The header that makes a browser keep a session, or forget it.
pub(super) fn set_cookie(id: Option<&str>, is_tls: bool) -> Option<HeaderValue> {
    let secure = if is_tls { "; Secure" } else { "" };
    let age = if id.is_some() { "" } else { "; Max-Age=0" };
    let id = id.unwrap_or_default();
    HeaderValue::from_str(&format!("{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{age}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn names_of_others_are_refused() {
        let options = PageOptions { names: vec!["nas.example.org".into()], token_sha256: None };
        let gate = Gate::new(&options, None);
        for host in [
            "127.0.0.1:8713",
            "192.168.1.10",
            "[::1]:8713",
            "[fd00::1]",
            "localhost:1",
            "a.localhost",
            "nas.example.org:8713",
            "NAS.example.org.",
        ] {
            assert!(gate.check_host(&headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8713",
            "nas.example.org.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "localhost:x",
            "::1]:80",
        ] {
            assert!(gate.check_host(&headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(gate.check_host(&headers(&[("host", "localhost"), ("host", "localhost")])).is_err(), "which of them?");
        assert!(gate.check_host(&headers(&[])).is_err());
    }

    #[test]
    fn changes_come_from_our_own_page() {
        let host = ("host", "nas:8713");
        for good in [
            headers(&[host]),
            headers(&[host, ("origin", "http://nas:8713")]),
            headers(&[host, ("origin", "https://nas:8713"), ("sec-fetch-site", "same-origin")]),
        ] {
            assert!(check_origin(&good).is_ok());
        }
        for bad in [
            headers(&[host, ("origin", "http://evil.example")]),
            headers(&[host, ("origin", "null")]),
            headers(&[host, ("origin", "http://nas:8714")]),
            headers(&[host, ("sec-fetch-site", "cross-site")]),
            headers(&[host, ("sec-fetch-site", "same-site")]),
        ] {
            assert!(check_origin(&bad).is_err());
        }
    }

    #[test]
    fn who_comes() {
        let (here, there): (SocketAddr, SocketAddr) =
            ("127.0.0.1:9".parse().unwrap(), "192.168.1.7:9".parse().unwrap());
        let sessions = Sessions::default();
        let open = Gate::new(&PageOptions::default(), None);
        let none = headers(&[]);
        assert_eq!((open.who(&none, here, &sessions), open.who(&none, there, &sessions)), (Who::Guest, Who::Outsider));
        for passed_on in [("x-forwarded-for", "192.168.1.7"), ("via", "1.1 proxy"), ("forwarded", "for=192.168.1.7")] {
            assert_eq!(open.who(&headers(&[passed_on]), here, &sessions), Who::Outsider);
        }
        let options = PageOptions { token_sha256: Some(bearer::digest(b"letters")), ..PageOptions::default() };
        let locked = Gate::new(&options, Password::of("a password"));
        assert_eq!(locked.who(&none, here, &sessions), Who::Stranger);
        let id = sessions.open(Instant::now()).unwrap();
        let cookie = format!("theme=dark; brackup={id}");
        let Who::Owner(proof) = locked.who(&headers(&[("cookie", &cookie)]), there, &sessions) else { panic!() };
        assert_ne!(proof, id);
        assert_eq!(locked.who(&headers(&[("cookie", "brackup=guess")]), here, &sessions), Who::Stranger);
        assert_eq!(locked.who(&headers(&[("authorization", "bearer letters")]), there, &sessions), Who::Program);
        assert_eq!(locked.who(&headers(&[("authorization", "Bearer letter")]), there, &sessions), Who::Stranger);
    }
}
