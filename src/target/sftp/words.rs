//! What it means that there is no session, or none any more: said by ssh in words of its own, which are its only way to tell.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::provider::SshFolder;
use crate::target::error::{Error, ErrorKind};
use crate::target::retry::Failed;

/// Why a session can't be used any more.
#[derive(Debug)]
pub(super) struct Broken {
    kind: ErrorKind,
    why: String,
    advice: Option<String>,
    is_for_good: bool,
}

impl Broken {
    /// It may pass.
    pub(super) fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), advice: None, is_for_good: false }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// It will be the same next time.
    pub(super) fn for_good(mut self) -> Self {
        self.is_for_good = true;
        self
    }

    /// As the outcome of a try to do something.
    pub(super) fn failed(self, what: &str) -> Failed {
        let mut error = Error::new(self.kind, format!("{what}: {}", self.why));
        error.advice = self.advice;
        if self.is_for_good { Failed::ForGood(error) } else { Failed::ForNow(error, None::<Duration>) }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("the pipe to ssh: {error}"))
    }
}

/// The program could not be started.
pub(super) fn spawn_failed(program: &Path, error: &io::Error) -> Broken {
    let program = program.display();
    if error.kind() == io::ErrorKind::NotFound {
        return Broken::new(ErrorKind::Unreachable, format!("there is no program {program}"))
            .advise("install OpenSSH's client, or name another one: ssh_command = dbclient")
            .for_good();
    }
    Broken::new(ErrorKind::Unreachable, format!("can't start {program}: {error}")).advise("see ssh_command").for_good()
}

/// Whether ssh stands still at a question that nobody answers: dropbear's client asks whatever it was told.
pub(super) fn is_question(words: &str) -> bool {
    ["Do you want to continue connecting?", "'s password:", "passphrase for"].iter().any(|text| words.contains(text))
}

/// Why ssh ended before there was a session.
pub(super) fn not_begun(words: &str, ended: Option<ExitStatus>, at: &SshFolder) -> Broken {
    let has = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    let host = &at.host;
    let last = last_line(words);
    if has(&["HOST IDENTIFICATION HAS CHANGED", "host key mismatch for"]) {
        let shown = fingerprint(words).map(|print| format!(", it shows {print}")).unwrap_or_default();
        return Broken::new(
            ErrorKind::Refused,
            format!("the host key of {host} is another one than the one that is known{shown}"),
        )
        .advise(format!(
            "either the server was set up anew, or somebody is in between: compare the fingerprint with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the server; `{}` then removes the old key",
            remove_command(at)
        ))
        .for_good();
    }
    if has(&["Host key verification failed", "is not in the trusted hosts file", "Didn't validate host key"]) {
        return Broken::new(ErrorKind::Refused, format!("the host key of {host} is not known"))
            .advise(add_command(at))
            .for_good();
    }
    if has(&["bad permissions", "UNPROTECTED PRIVATE KEY"]) {
        return Broken::new(ErrorKind::Refused, "ssh does not use a key file that others can read")
            .advise("chmod 600, for the file that identity_file names")
            .for_good();
    }
    // What dropbear's client says of a file that OpenSSH made.
    if has(&["String too long"]) {
        return Broken::new(ErrorKind::Refused, "dropbear's client can't read the key file")
            .advise("`dropbearconvert openssh dropbear FILE NEW` makes one for it")
            .for_good();
    }
    if has(&[
        "Permission denied",
        "No auth methods could be used",
        "Too many authentication failures",
        "'s password:",
        "passphrase for",
    ]) {
        return Broken::new(ErrorKind::Refused, format!("the server does not let us in: {last}"))
            .advise("does identity_file name the right key, without a passphrase, is its public half in ~/.ssh/authorized_keys of that user on the server, and is sftp_user right? nobody is there to type a password")
            .for_good();
    }
    if has(&["subsystem request failed"]) {
        return Broken::new(ErrorKind::Unreachable, format!("{host} offers no SFTP"))
            .advise("turn SFTP on at the server; on OpenWrt it is the package openssh-sftp-server")
            .for_good();
    }
    if has(&[
        "Bad configuration option",
        "Bad owner or permissions",
        "unknown option",
        "illegal option",
        "Bad port",
        "usage:",
    ]) {
        return Broken::new(ErrorKind::Unreachable, format!("ssh can't be called so: {last}"))
            .advise("is ssh_command an ssh, and is its own configuration right?")
            .for_good();
    }
    no_way(last, ended)
}

/// Of a network, of a program that is no ssh, or of what ssh can't agree on with the server.
fn no_way(last: String, ended: Option<ExitStatus>) -> Broken {
    let has = |texts: &[&str]| texts.iter().any(|text| last.contains(text));
    if has(&["no matching", "No matching algo"]) {
        return Broken::new(ErrorKind::Unreachable, last)
            .advise(
                "the server and ssh have no method in common: one of both is too old, or its configuration forbids it",
            )
            .for_good();
    }
    let network = if has(&["Could not resolve", "Error resolving", "not known", "does not resolve"]) {
        "is sftp_host right, and can this box look up names? (names that end in .local are known to few)"
    } else if has(&["Connection refused"]) {
        "nothing answers at this port: does the server run, and is sftp_port right?"
    } else if has(&["Network is unreachable", "No route to host"]) {
        "is the network there? is the address in another one than it was?"
    } else {
        "is the network there, are sftp_host and sftp_port right, and does the server run?"
    };
    let code = ended.and_then(|ended| ended.code());
    match code {
        // Of a shell, or of something else that is no ssh.
        Some(code @ (2..=254 | 0)) if last.is_empty() => {
            Broken::new(ErrorKind::Unreachable, format!("ssh ended with {code} and without a word"))
                .advise("is ssh_command an ssh, and does the server offer SFTP to this user?")
                .for_good()
        }
        _ if last.is_empty() => Broken::new(ErrorKind::Unreachable, "ssh ended without a word").advise(network),
        _ => Broken::new(ErrorKind::Unreachable, last).advise(network),
    }
}

/// What came is not SFTP: most often a server whose shell says something before.
pub(super) fn not_sftp(bytes: &[u8]) -> Broken {
    let text: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
    let text = text.lines().next().unwrap_or_default();
    Broken::new(ErrorKind::Unreachable, format!("what the server sends is not SFTP: {text:?}"))
        .advise("nothing may be written when this user logs in without a terminal: see the shell's start files on the server")
        .for_good()
}

/// The end of a session that was one.
pub(super) fn cut(words: &str) -> Broken {
    let last = last_line(words);
    let why = if last.is_empty() { "the connection was cut".into() } else { format!("the connection was cut: {last}") };
    Broken::new(ErrorKind::Unreachable, why).advise("is the network there?")
}

/// How the key of a host becomes known, by somebody who looks.
pub(super) fn add_command(at: &SshFolder) -> String {
    let port = at.port.filter(|port| *port != 22).map(|port| format!("-p {port} ")).unwrap_or_default();
    let file = at.known_hosts.as_ref().map_or_else(|| "~/.ssh/known_hosts".into(), |file| file.display().to_string());
    format!(
        "`ssh-keyscan -t ed25519 {port}{}` shows it, and whoever is in between can forge that: append it to {file} only if its fingerprint (`ssh-keygen -lf` of it) is what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the server",
        at.host
    )
}

fn remove_command(at: &SshFolder) -> String {
    let file = at.known_hosts.as_ref().map(|file| format!("-f {} ", file.display())).unwrap_or_default();
    match at.port {
        Some(port) if port != 22 => format!("ssh-keygen {file}-R '[{}]:{port}'", at.host),
        _ => format!("ssh-keygen {file}-R {}", at.host),
    }
}

fn fingerprint(words: &str) -> Option<&str> {
    words
        .split(|c: char| c.is_whitespace())
        .find(|word| word.starts_with("SHA256:"))
        .map(|word| word.trim_end_matches('.'))
}

/// The last line that says something, cut to what fits into a line.
fn last_line(words: &str) -> String {
    let last = words.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    last.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::of_test;
    use super::*;

    fn told(words: &str) -> (bool, Error) {
        match not_begun(words, None, &of_test()).failed("can't") {
            Failed::ForGood(error) => (true, error),
            Failed::ForNow(error, _) => (false, error),
        }
    }

    #[test]
    fn what_ssh_says_is_told_apart() {
        for (words, for_good, kind, part) in [
            (
                "No ED25519 host key is known for x\nHost key verification failed.\r\n",
                true,
                ErrorKind::Refused,
                "not known",
            ),
            (
                "@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nis\nSHA256:abc.\nHost key verification failed.\n",
                true,
                ErrorKind::Refused,
                "another one than the one that is known, it shows SHA256:abc",
            ),
            ("x@y: Permission denied (publickey).\r\n", true, ErrorKind::Refused, "Permission denied (publickey)."),
            (
                "Load key \"k\": bad permissions\nx: Permission denied (publickey).",
                true,
                ErrorKind::Refused,
                "others can read",
            ),
            ("subsystem request failed on channel 0\n", true, ErrorKind::Unreachable, "offers no SFTP"),
            ("command-line: line 0: Bad configuration option: foo", true, ErrorKind::Unreachable, "option: foo"),
            (
                "ssh: connect to host x port 2: Connection refused\n\n",
                false,
                ErrorKind::Unreachable,
                "Connection refused",
            ),
            (
                "ssh: Could not resolve hostname x: Name or service not known",
                false,
                ErrorKind::Unreachable,
                "Could not resolve",
            ),
            ("kex_exchange_identification: Connection closed by remote host", false, ErrorKind::Unreachable, "closed"),
            ("", false, ErrorKind::Unreachable, "without a word"),
            // Dropbear's.
            (
                "Host 'x' is not in the trusted hosts file.\nDo you want to continue connecting? (y/n)",
                true,
                ErrorKind::Refused,
                "not known",
            ),
            (
                "ssh-ed25519 host key mismatch for 127.0.0.1 !\nFingerprint is SHA256:abc\nExpected SHA256:x",
                true,
                ErrorKind::Refused,
                "it shows SHA256:abc",
            ),
            ("dbclient: Exited: String too long", true, ErrorKind::Refused, "dropbear's client can't read"),
            (
                "dbclient: Connection to a@x:1 exited: No auth methods could be used.",
                true,
                ErrorKind::Refused,
                "let us in",
            ),
            (
                "dbclient: Connection to a@x:1 exited: Connect failed: Connection refused",
                false,
                ErrorKind::Unreachable,
                "refused",
            ),
        ] {
            let (is_for_good, error) = told(words);
            assert_eq!((is_for_good, error.kind), (for_good, kind), "{words}: {error}");
            assert!(error.to_string().contains(part), "{words}: {error}");
            assert!(error.hint().is_some());
        }
        let (_, error) = told(&"x".repeat(100_000));
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn a_host_key_is_added_by_who_has_compared_it() {
        let at = SshFolder { port: Some(8022), known_hosts: Some("/k".into()), ..of_test() };
        let advice = add_command(&at);
        assert!(
            advice.contains("ssh-keyscan -t ed25519 -p 8022 nas.lan") && advice.contains("append it to /k only if"),
            "{advice}"
        );
        assert_eq!(remove_command(&at), "ssh-keygen -f /k -R '[nas.lan]:8022'");
        assert_eq!(remove_command(&of_test()), "ssh-keygen -R nas.lan");
    }
}
