//! `[HOST:name]`: another host that may store its sealed objects here. What lets it in is a token of which only the digest is known here.

use std::path::{Component, PathBuf};

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::ini::{Kind, Section};
use super::size::parse_size;
use super::surroundings::Surroundings;
use super::values::{Key, Values, once, text};
use crate::digest::unhex;

pub(super) const KEYS: &[Key] = &[once("path"), once("token_sha256"), once("quota")];

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Of its section.
    pub name: String,
    /// The line of its section, from 1.
    pub line: usize,
    /// The folder of its objects, and of no other host's.
    pub path: PathBuf,
    /// The SHA-256 of its token's letters.
    pub token_sha256: [u8; 32],
    /// Bytes that its objects may have in all.
    pub quota: Option<u64>,
}

impl HostOptions {
    /// All of a file. No two have a token, or a folder in that of another.
    pub(super) fn read_all(sections: &[Section<'_>], around: &Surroundings, findings: &mut Findings) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for section in sections.iter().filter(|section| section.kind == Kind::Host) {
            let values = Values::of(section);
            let Some(host) = Self::read(&values, around, findings) else { continue };
            let line = |key| values.all(key).next().map_or(0, |entry| entry.line);
            for other in &all {
                let wrong = |what: &str| {
                    let found = format!("{what} [HOST:{}]", other.name);
                    Error::new(ErrorKind::BadValue, found).expected("of each host its own")
                };
                if host.token_sha256 == other.token_sha256 {
                    findings.wrong(line("token_sha256"), wrong("token_sha256 is that of"));
                }
                if host.path.starts_with(&other.path) || other.path.starts_with(&host.path) {
                    findings.wrong(line("path"), wrong("path is, holds or is in that of"));
                }
            }
            all.push(host);
        }
        all
    }

    fn read(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Option<Self> {
        values.check(KEYS, findings);
        let path = values.read("path", findings, |value| {
            let is_plain = |path: &PathBuf| !path.components().any(|part| part == Component::ParentDir);
            around.path(value).ok().filter(is_plain).ok_or_else(|| "an absolute path without ..".into())
        });
        let token_sha256 = values.read("token_sha256", findings, |value| {
            let expected = "64 hex digits in small letters, as `brackup host add` prints them";
            unhex::<32>(text(value)?).ok_or_else(|| expected.into())
        });
        let quota = values.read("quota", findings, |value| parse_size(text(value)?));
        for (key, expected) in [("path", "path = /a/folder"), ("token_sha256", "token_sha256 = 64 hex digits")] {
            if !values.has(key) {
                values.missing(key, expected, findings);
            }
        }
        // `/a/./b//c/` is `/a/b/c`.
        let path = path?.components().collect();
        Some(Self { name: values.name.into(), line: values.lines.0, path, token_sha256: token_sha256?, quota })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(text: &str) -> Result<Vec<HostOptions>, Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let hosts = HostOptions::read_all(&sections, &Surroundings::of_test(0), &mut findings);
        findings.finish().map(|_| hosts)
    }

    fn section(name: &str, path: &str, digit: &str) -> String {
        format!("[HOST:{name}]\npath = {path}\ntoken_sha256 = {}\n", digit.repeat(64))
    }

    #[test]
    fn hosts_have_folders_and_tokens_of_their_own() {
        let text = section("laptop", "/data//hosts/laptop/", "a") + "quota = 500GB\n" + &section("b", "/data/b", "b");
        let hosts = read(&text).unwrap();
        let laptop = HostOptions {
            name: "laptop".into(),
            line: 1,
            path: "/data/hosts/laptop".into(),
            token_sha256: [0xAA; 32],
            quota: Some(500 << 30),
        };
        assert_eq!((&hosts[0], hosts.len()), (&laptop, 2));
        for (path, digit, told) in [
            ("/x", "a", "f:6: token_sha256 is that of [HOST:a], expected of each host its own"),
            ("/data/a", "b", "f:5: path is, holds or is in that of [HOST:a], expected of each host its own"),
            ("/data/a/./b", "b", "f:5: path is, holds or is in that of [HOST:a], expected of each host its own"),
            ("/data", "b", "f:5: path is, holds or is in that of [HOST:a], expected of each host its own"),
        ] {
            let error = read(&(section("a", "/data/a", "a") + &section("b", path, digit))).unwrap_err();
            assert_eq!(error.to_string(), told);
        }
        assert!(read(&(section("a", "/data/a", "a") + &section("b", "/data/ab", "b"))).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good = section("a", "/data/a", "a");
        for (text, told) in [
            ("[HOST:a]\npath = /x", "f:1: [HOST:a] has no token_sha256, expected token_sha256 = 64 hex digits"),
            (&good.replace("path = /data/a\n", ""), "f:1: [HOST:a] has no path, expected path = /a/folder"),
            (&good.replace("/data/a", "data/a"), "f:2: path is \"data/a\", expected an absolute path without .."),
            (&good.replace("/data/a", "/b/../a"), "f:2: path is \"/b/../a\", expected an absolute path without .."),
            (
                "[HOST:a]\npath = /x\ntoken_sha256 = abc",
                "f:3: token_sha256 is \"abc\", expected 64 hex digits in small letters, as `brackup host add` prints them",
            ),
            (&format!("{good}quota = much"), "f:4: quota is \"much\", expected a size like 512k, 64MB or 1GiB"),
            (
                &format!("{good}token = x"),
                "f:4: unknown key \"token\" in [HOST:a], expected one of path, token_sha256 or quota",
            ),
            (&format!("{good}{good}"), "f:4: [HOST:a] is in line 1 already, expected each section once"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), told);
        }
    }
}
