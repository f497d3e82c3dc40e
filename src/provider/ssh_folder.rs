//! A folder on a server that lets us in by ssh.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Which folder, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshFolder {
    /// As ssh knows it. See [`SshFolder::is_host`].
    pub host: String,
    /// Nothing: ssh's own choice.
    pub port: Option<u16>,
    /// Nothing: ssh's own choice. See [`SshFolder::is_user`].
    pub user: Option<String>,
    /// On the server: absolute, or below the folder that a session begins in.
    pub path: PathBuf,
    /// A private key; nothing: ssh's own keys and those of its agent. See [`SshFolder::is_file`].
    pub identity_file: Option<PathBuf>,
    /// Keys of hosts; nothing: ssh's own files. See [`SshFolder::is_file`].
    pub known_hosts: Option<PathBuf>,
    /// A program and its arguments, with blanks between.
    pub ssh_command: String,
}

impl SshFolder {
    /// A name, an address, or what ssh's own configuration calls it. What begins with a hyphen would be an option.
    pub fn is_host(text: &str) -> bool {
        is_word(text, |c| matches!(c, '.' | '-' | '_' | ':' | '%'))
    }

    /// The name of a user, which must not look like an option either.
    pub fn is_user(text: &str) -> bool {
        is_word(text, |c| matches!(c, '.' | '-' | '_' | '@' | '+'))
    }

    /// Whether ssh can be told of this file: it looks for variables in names, and takes some between quotes.
    pub fn is_file(path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        !bytes.contains(&b'"') && !bytes.windows(2).any(|two| two == b"${") && !bytes.iter().any(u8::is_ascii_control)
    }

    /// Whether it may be called so: not if it is told to trust whatever host it meets.
    pub fn is_command(text: &str) -> bool {
        const OURS: [&str; 5] =
            ["stricthostkeychecking", "verifyhostkeydns", "nohostauthentication", "batchmode", "controlpath"];
        let is_trusting = |word: &str| OURS.iter().any(|option| word.to_ascii_lowercase().contains(option));
        // Letters of several options may stand together, and the value of the last one behind it. `S`: somebody else's connection.
        let says_yes = |word: &str| {
            let letters = word.strip_prefix('-').unwrap_or_default().bytes();
            // Behind `o`, `p`, `i` and the like there is a value.
            let own = letters.take_while(|letter| !b"BbcDEeFIiJKLlmOoPpQRWw".contains(letter));
            own.take_while(u8::is_ascii_alphabetic).any(|letter| matches!(letter, b'y' | b'S'))
        };
        let mut words = text.split_ascii_whitespace();
        words.clone().next().is_some() && !words.any(|word| is_trusting(word) || says_yes(word))
    }

    /// The user, the host, the port and the path of `//user@host:port/path`; `/~/` is where a session begins. Nothing if it is none.
    pub fn split(text: &str) -> Option<(Option<&str>, &str, Option<u16>, PathBuf)> {
        let (authority, path) = text.strip_prefix("//")?.split_once('/')?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        let port =
            port.map(|port| port.parse().ok().filter(|port| *port > 0)).map_or(Some(None), |port| port.map(Some))?;
        let path = match path.strip_prefix("~/") {
            Some(below) => PathBuf::from(below.trim_start_matches('/')),
            None => Path::new("/").join(path.trim_start_matches('/')),
        };
        let is_one = Self::is_host(host) && user.is_none_or(Self::is_user) && path != Path::new("/");
        is_one.then_some((user, host, port, path))
    }
}

fn is_word(text: &str, is_sign: impl Fn(char) -> bool) -> bool {
    (1..=255).contains(&text.len())
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || is_sign(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_by_its_address() {
        for (text, user, host, port, path) in [
            ("//nas.lan/b", None, "nas.lan", None, "/b"),
            ("//me@nas.lan:8022/a/b/", Some("me"), "nas.lan", Some(8022), "/a/b/"),
            ("//me@x@nas//b", Some("me@x"), "nas", None, "/b"),
            ("//[::1]:22/b", None, "::1", Some(22), "/b"),
            ("//[fe80::1%eth0]/~/b", None, "fe80::1%eth0", None, "b"),
            ("//nas/~/", None, "nas", None, ""),
        ] {
            assert_eq!(SshFolder::split(text), Some((user, host, port, path.into())), "{text}");
        }
        for text in [
            "nas/b",
            "//nas",
            "//nas/",
            "///b",
            "//-oProxyCommand=x/b",
            "//-x@nas/b",
            "//a b/c",
            "//nas:0/b",
            "//nas:x/b",
            "//nas:/b",
            "//[::1]8/b",
            "//nas:65536/b",
            "//u:word@nas/b",
        ] {
            assert_eq!(SshFolder::split(text), None, "{text}");
        }
    }

    #[test]
    fn ssh_is_not_told_to_trust() {
        for text in [
            "ssh",
            "ssh -F /etc/x",
            "setsid dbclient",
            "ssh -oServerAliveInterval=15 -i/etc/key",
            "ssh -oHostKeyAlgorithms=+ssh-rsa -p2222",
        ] {
            assert!(SshFolder::is_command(text), "{text}");
        }
        for text in [
            "",
            " ",
            "ssh -oStrictHostKeyChecking=no",
            "ssh -o stricthostkeychecking=accept-new",
            "dbclient -y",
            "dbclient -Ty",
            "dbclient -yp22",
            "ssh -S /run/shared",
            "ssh -oVerifyHostKeyDNS=yes",
        ] {
            assert!(!SshFolder::is_command(text), "{text}");
        }
        assert!(SshFolder::is_file(Path::new("/a b/%h/$x")));
        for path in ["/a\"b", "/${HOME}/k", "/a\nb"] {
            assert!(!SshFolder::is_file(Path::new(path)), "{path}");
        }
    }
}
