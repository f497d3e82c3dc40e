//! An address that is told things. Whoever knows it may do so too: what follows the host is a secret.

use std::fmt;

use zeroize::Zeroizing;

use super::Endpoint;

/// A server, and what follows it in the address.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Which server.
    pub endpoint: Endpoint,
    follows: Zeroizing<String>,
}

impl Hook {
    /// `https://host/what/follows?that`, or `http://…`, in letters that an address may have (RFC 3986).
    pub fn parse(text: &str) -> Option<Self> {
        let (endpoint, follows) = Endpoint::split(text)?;
        let is_ours = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        let follows = if follows.starts_with('/') { follows.to_owned() } else { format!("/{follows}") };
        follows.bytes().all(is_ours).then(|| Self { endpoint, follows: follows.into() })
    }

    /// With this behind the path, before what is asked.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let (path, query) = self.follows.split_at(self.follows.find('?').unwrap_or(self.follows.len()));
        let follows = Zeroizing::new(format!("{}/{name}{query}", path.trim_end_matches('/')));
        Self { endpoint: self.endpoint.clone(), follows }
    }

    /// What follows the server. A secret.
    pub fn path(&self) -> &str {
        &self.follows
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({})", self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_server_is_told_to_it_alone() {
        for (text, path, below) in [
            ("https://hc-ping.com/uuid", "/uuid", "/uuid/fail"),
            ("https://hc-ping.com/key/slug/?create=1", "/key/slug/?create=1", "/key/slug/fail?create=1"),
            ("http://h", "/", "/fail"),
            ("http://h?a=b", "/?a=b", "/fail?a=b"),
        ] {
            let hook = Hook::parse(text).unwrap();
            assert_eq!((hook.path(), hook.below("fail").path()), (path, below));
        }
        for wrong in ["", "h/x", "https://me:word@h/", "https://h/a b", "https://h/#a", "https://h/\u{e9}"] {
            assert_eq!(Hook::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{:?}", Hook::parse("https://h/hush").unwrap()), "Hook(https://h)");
    }
}
