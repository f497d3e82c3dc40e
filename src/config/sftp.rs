//! What a target of `type = Sftp` has: the original's keys, and what ssh is told.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::error::Error;
use super::findings::Findings;
use super::policy;
use super::surroundings::Surroundings;
use super::values::{Key, Values, idle, number, once, text};
use crate::provider::SshFolder;

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("sftp_host"),
    once("sftp_port"),
    once("sftp_user"),
    once("path"),
    once("identity_file"),
    once("known_hosts"),
    once("ssh_command"),
    once("bandwidth"),
    once("inherit"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
    idle("no_filename_colons", "no object has a colon in its name"),
];

/// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
pub(super) fn read(
    values: &Values<'_>,
    is_parent: bool,
    around: &Surroundings,
    findings: &mut Findings,
) -> Option<SshFolder> {
    values.check_with(KEYS, policy::OF_TARGET, findings);
    let host = values.read("sftp_host", findings, |value| {
        word(value, SshFolder::is_host).ok_or_else(|| "a host's name or address".into())
    });
    let user = values
        .read("sftp_user", findings, |value| word(value, SshFolder::is_user).ok_or_else(|| "a user's name".into()));
    let port = values.read("sftp_port", findings, |value| number(value, 1, u16::MAX.into()));
    let path = values.read("path", findings, path);
    let mut file = |key| {
        values.read(key, findings, |value| {
            let is_file = |path: &PathBuf| SshFolder::is_file(path);
            let odd =
                || String::from("a path without \", ${ and control characters, which ssh does not take as they are");
            around.path(value).and_then(|path| Some(path).filter(is_file).ok_or_else(odd))
        })
    };
    let (identity_file, known_hosts) = (file("identity_file"), file("known_hosts"));
    let ssh_command = values.read("ssh_command", findings, |value| {
        word(value, SshFolder::is_command)
            .ok_or_else(|| "a program and its arguments, none of which turns off the check of the host's key".into())
    });
    for (key, expected) in [("sftp_host", "sftp_host = the server"), ("path", "path = a folder on the server")] {
        if !is_parent && !values.has(key) {
            values.missing(key, expected, findings);
        }
    }
    let port = port.and_then(|port| u16::try_from(port).ok());
    let of_the_environment = of_the_environment(around).unwrap_or_else(|why| {
        findings.wrong(values.lines.0, Error::new(super::ErrorKind::BadValue, why));
        None
    });
    let ssh_command = of_the_environment.or(ssh_command).unwrap_or_else(default_command);
    Some(SshFolder { host: host?, port, user, path: path?, identity_file, known_hosts, ssh_command })
}

/// `//user@host:port/path`.
pub(super) fn from_url(rest: &str, around: &Surroundings) -> Result<SshFolder, String> {
    let (user, host, port, path) =
        SshFolder::split(rest).ok_or("sftp://user@host:port/path, without a password; /~/path is a path below home")?;
    Ok(SshFolder {
        host: host.into(),
        port,
        user: user.map(str::to_owned),
        path,
        identity_file: None,
        known_hosts: None,
        ssh_command: of_the_environment(around)?.unwrap_or_else(default_command),
    })
}

/// An address with a password in it, which is not shown again.
pub(super) fn refuse_password(rest: &str) -> Result<(), Error> {
    let rest = rest.trim_start_matches('/');
    let (authority, behind) = rest.split_once('/').unwrap_or((rest, ""));
    let has_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    // A password with a slash in it looks like a port that is no number.
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit() || byte == b']');
    let is_cut = !authority.contains('@') && authority.rsplit_once(':').is_some_and(|(_, port)| !is_number(port));
    if has_password || (is_cut && behind.contains('@')) {
        let what = "the target's address has a password in it, which everybody on this machine can see";
        let hint = "an sftp server is logged in to with a key: sftp://user@host:port/path";
        return Err(Error::new(super::ErrorKind::BadValue, what).with_hint(Some(hint.into())));
    }
    Ok(())
}

fn of_the_environment(around: &Surroundings) -> Result<Option<String>, String> {
    let Some(value) = around.variable("BRACKUP_SSH") else { return Ok(None) };
    let command = value.into_string().ok().filter(|command| SshFolder::is_command(command));
    let wrong =
        "$BRACKUP_SSH is to be a program and its arguments, none of which turns off the check of the host's key";
    command.map(Some).ok_or_else(|| wrong.into())
}

fn default_command() -> String {
    "ssh".into()
}

fn word(value: &[u8], is: impl Fn(&str) -> bool) -> Option<String> {
    text(value).ok().filter(|text| is(text)).map(str::to_owned)
}

/// Of the server, whose home is not ours.
fn path(value: &[u8]) -> Result<PathBuf, String> {
    let below = match value {
        b"~" => b".",
        [b'~', b'/', below @ ..] => below,
        [b'~', ..] => return Err("an absolute path, or one below the home of sftp_user".into()),
        value => value,
    };
    let path = PathBuf::from(OsString::from_vec(below.to_vec()));
    Ok(if path.as_os_str().is_empty() { ".".into() } else { path })
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read_lines(lines: &str) -> Result<SshFolder, Error> {
        let text = format!("[TARGET:x]\ntype = Sftp\n{lines}");
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let folder = read(&Values::of(&sections[0]), false, &Surroundings::of_test(1000), &mut findings);
        findings.finish()?;
        Ok(folder.unwrap())
    }

    #[test]
    fn the_originals_keys_and_the_new_ones() {
        let original = read_lines("path = .\nsftp_host = nas.lan\nsftp_port = 8022\nsftp_user = brad").unwrap();
        let expected = SshFolder {
            host: "nas.lan".into(),
            port: Some(8022),
            user: Some("brad".into()),
            path: ".".into(),
            identity_file: None,
            known_hosts: None,
            ssh_command: "ssh".into(),
        };
        assert_eq!(original, expected);
        let lines = "path = ~/b/c\nsftp_host = ::1\nidentity_file = ~/.ssh/nas\nknown_hosts = /etc/nas\nssh_command = ssh -F /x";
        let other = read_lines(lines).unwrap();
        assert_eq!((other.path, other.port, other.user), ("b/c".into(), None, None));
        assert_eq!(other.identity_file, Some("/home/brad/.ssh/nas".into()));
        assert_eq!((other.known_hosts, other.ssh_command.as_str()), (Some("/etc/nas".into()), "ssh -F /x"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (lines, told) in [
            ("path = /b", "f:1: [TARGET:x] has no sftp_host, expected sftp_host = the server"),
            ("sftp_host = nas", "f:1: [TARGET:x] has no path, expected path = a folder on the server"),
            (
                "path = /b\nsftp_host = -oProxyCommand=x",
                "f:4: sftp_host is \"-oProxyCommand=x\", expected a host's name or address",
            ),
            ("path = /b\nsftp_host = nas\nsftp_user = -x", "f:5: sftp_user is \"-x\", expected a user's name"),
            ("path = /b\nsftp_host = nas\nsftp_port = 0", "f:5: sftp_port is \"0\", expected a number from 1 to 65535"),
            (
                "path = ~brad/b\nsftp_host = nas",
                "f:3: path is \"~brad/b\", expected an absolute path, or one below the home of sftp_user",
            ),
            (
                "path = /b\nsftp_host = nas\nknown_hosts = /a\"b",
                "f:5: known_hosts is \"/a\\\"b\", expected a path without \", ${ and control characters, which ssh does not take as they are",
            ),
            (
                "path = /b\nsftp_host = nas\nssh_command = ssh -oStrictHostKeyChecking=no",
                "f:5: ssh_command is \"ssh -oStrictHostKeyChecking=no\", expected a program and its arguments, none of which turns off the check of the host's key",
            ),
        ] {
            assert_eq!(read_lines(lines).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_url_is_a_folder_and_its_password_is_not_shown() {
        let around = Surroundings {
            env: |name| (name == "BRACKUP_SSH").then(|| "dbclient -T".into()),
            ..Surroundings::of_test(1000)
        };
        let folder = from_url("//me@nas.lan:8022/~/b", &around).unwrap();
        assert_eq!((folder.host.as_str(), folder.ssh_command.as_str()), ("nas.lan", "dbclient -T"));
        assert!(refuse_password("//me@nas.lan:8022/b").is_ok());
        let error = refuse_password("//me:hush@nas.lan/b").unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hush"));
    }
}
