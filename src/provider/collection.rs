//! A folder of WebDAV, which calls it a collection (RFC 4918), and who asks for it.

use std::fmt;

use zeroize::Zeroizing;

use super::percent::{percent_decode, percent_encode};
use super::{Endpoint, Trust};

const PATH_BYTES_MAX: usize = 1024;

/// Which folder, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The server.
    pub endpoint: Endpoint,
    /// Decoded, with a slash at both ends.
    path: String,
    /// Whose certificates are.
    pub trust: Trust,
    /// Whether a password may be said where it can be read on the way.
    pub is_clear_allowed: bool,
}

impl Collection {
    /// Of an address like `https://host/path/`, with or without the last slash. Nothing if it is none: no parts of it may be empty or all
    /// dots, no query and no user.
    pub fn parse(url: &str) -> Option<Self> {
        let (endpoint, path) = Endpoint::split(url)?;
        let encoded = path.trim_matches('/');
        let is_inside = path.len() - encoded.len() <= 2 && !path.starts_with("//") && !path.ends_with("//");
        if !is_inside || path.contains(['?', '#']) || path.len() > PATH_BYTES_MAX {
            return None;
        }
        let mut decoded = String::from("/");
        for part in encoded.split('/').filter(|_| !encoded.is_empty()) {
            let part = String::from_utf8(percent_decode(part)?).ok()?;
            if matches!(part.as_str(), "" | "." | "..") || part.contains(|c: char| c == '/' || c.is_control()) {
                return None;
            }
            decoded.push_str(&part);
            decoded.push('/');
        }
        Some(Self { endpoint, path: decoded, trust: Trust::System, is_clear_allowed: false })
    }

    /// The same, trusting others.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The path of the folder, decoded, with a slash at both ends.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of what has this name in it, encoded; without a name its own.
    pub fn path_of(&self, name: &str) -> String {
        let parts: Vec<_> = self.path.split('/').map(percent_encode).collect();
        parts.join("/") + &percent_encode(name)
    }

    /// The folder that it is in; nothing for that of the whole server.
    pub fn parent(&self) -> Option<Self> {
        let (above, _) = self.path.trim_end_matches('/').rsplit_once('/')?;
        Some(Self { path: format!("{above}/"), ..self.clone() })
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.endpoint, self.path_of(""))
    }
}

/// A user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Public.
    pub user: String,
    /// Secret.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_folder() {
        for (url, shown, path) in [
            ("https://host", "https://host/", "/"),
            ("https://host/", "https://host/", "/"),
            ("https://host/dav", "https://host/dav/", "/dav/"),
            ("http://host:81/a%20b/%C3%BC/", "http://host:81/a%20b/%C3%BC/", "/a b/ü/"),
            ("https://host/files/me@home/x y", "https://host/files/me%40home/x%20y/", "/files/me@home/x y/"),
        ] {
            let collection = Collection::parse(url).unwrap();
            assert_eq!((collection.to_string().as_str(), collection.path()), (shown, path));
            let object = format!("{}{}", collection.endpoint, collection.path_of("a b"));
            assert_eq!(object, format!("{shown}a%20b"));
        }
        for wrong in [
            "host/dav",
            "https://me:word@host/dav",
            "https://host/a//b",
            "https://host//a",
            "https://host/a//",
            "https://host/a/../b",
            "https://host/%2e%2E/b",
            "https://host/a%2Fb",
            "https://host/a%0Ab",
            "https://host/%ff",
            "https://host/a?b",
            "https://host/a#b",
        ] {
            assert_eq!(Collection::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_in_another_but_for_the_last() {
        let below = Collection::parse("https://host/a/b").unwrap();
        let above = below.parent().unwrap();
        assert_eq!(above.to_string(), "https://host/a/");
        let top = above.parent().unwrap();
        assert_eq!((top.to_string().as_str(), top.parent()), ("https://host/", None));
    }
}
