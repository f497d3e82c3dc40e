//! A server that is asked over HTTP.

use std::fmt;

/// Whether it is asked by TLS, its host, and its port if that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    is_tls: bool,
    authority: String,
}

impl Endpoint {
    /// The server and what follows it in `https://host:port/what/follows`, or `http://…`; what follows is empty or begins with a slash.
    /// Nothing if it is none. A user and a password are no part of it: they would end up in logs.
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let (is_tls, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, follows) = rest.split_at(end);
        let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        // What is sent as the host, and signed, has no port that goes without saying.
        let authority = authority.strip_suffix(if is_tls { ":443" } else { ":80" }).unwrap_or(authority);
        // A password behind a user's name is no port.
        let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_server = !authority.is_empty() && authority.chars().all(is_ours) && is_port;
        is_server.then(|| (Self { is_tls, authority: authority.to_ascii_lowercase() }, follows))
    }

    /// The server of `https://host` without anything behind it but a slash.
    pub fn parse(text: &str) -> Option<Self> {
        Self::split(text).filter(|(_, follows)| matches!(*follows, "" | "/")).map(|(endpoint, _)| endpoint)
    }

    /// By TLS, at the usual port.
    pub fn https(host: impl Into<String>) -> Self {
        Self { is_tls: true, authority: host.into() }
    }

    /// Whether what is said to it can't be read on the way.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether what is said to it does not leave this machine: an address of its own, or the name that goes without saying (RFC 6761).
    pub fn is_this_machine(&self) -> bool {
        let port = self.authority.rfind(':').filter(|at| !self.authority[*at..].contains(']'));
        let host = &self.authority[..port.unwrap_or(self.authority.len())];
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    }

    /// The host, with the port if it is not the usual one: the header `host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_and_what_follows() {
        for (text, endpoint, follows) in [
            ("https://s3.example.com", "https://s3.example.com", ""),
            ("https://S3.example.com:443/", "https://s3.example.com", "/"),
            ("http://nas.lan:9000/a/b?c", "http://nas.lan:9000", "/a/b?c"),
            ("http://[::1]:80/a", "http://[::1]", "/a"),
            ("https://host:80", "https://host:80", ""),
        ] {
            let (found, rest) = Endpoint::split(text).unwrap();
            assert_eq!((found.to_string().as_str(), rest), (endpoint, follows));
        }
        for text in [
            "",
            "host",
            "ftp://host",
            "https://",
            "https:///a",
            "https://user:word@host",
            "https://user:wo/rd@host",
            "https://host:",
            "https://host:99999",
            "https://a b",
            "HTTPS:host",
        ] {
            assert_eq!(Endpoint::split(text), None, "{text}");
        }
        for (text, is_here) in [
            ("http://localhost:80", true),
            ("http://127.0.0.2:8080", true),
            ("http://[::1]:8080", true),
            ("http://[::1]", true),
            ("http://[fd00::1]:8080", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://192.168.1.2", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_this_machine(), is_here, "{text}");
        }
        assert!(Endpoint::parse("https://host/").is_some());
        assert_eq!(Endpoint::parse("https://host/path"), None);
    }
}
