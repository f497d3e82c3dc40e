//! `[TARGET:name]`: a place that keeps objects. Which keys it has depends on its type.

use std::fmt;
use std::path::PathBuf;

use super::another_box::BrackupSettings;
use super::bandwidth;
use super::error::{Error, ErrorKind, listed, quoted};
use super::findings::Findings;
use super::gdrive::GoogleDriveSettings;
use super::nearest::did_you_mean;
use super::policy;
use super::s3::S3Settings;
use super::sftp;
use super::surroundings::Surroundings;
use super::values::{Key, Values, idle, once};
use super::webdav::WebDavSettings;
use crate::policy::{Compaction, Grace, Policy};
use crate::provider::{Bandwidth, SshFolder};

/// What `type` says.
#[derive(Clone, Copy)]
enum Type {
    Filesystem,
    S3,
    WebDav,
    Sftp,
    GoogleDrive,
    Brackup,
}

/// As the documentation spells them. Case does not matter. S3 is Amazon under a name that says whom it is for.
const TYPES: [(&str, Type); 7] = [
    ("Filesystem", Type::Filesystem),
    ("Amazon", Type::S3),
    ("S3", Type::S3),
    ("WebDAV", Type::WebDav),
    ("Sftp", Type::Sftp),
    ("GoogleDrive", Type::GoogleDrive),
    ("Brackup", Type::Brackup),
];
/// An address of WebDAV over TLS, as its clients know it; no type.
const WEBDAVS: &str = "webdavs";
const GONE: [&str; 3] = ["CloudFiles", "Riak", "GoogleAppEngine"];

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("path"),
    once("inherit"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
    idle("no_filename_colons", "no object has a colon in its name"),
];

/// One target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Of its section, or the whole `filesystem:/path` of the command line.
    pub name: String,
    /// The line of its section, from 1; 0 if it has none.
    pub line: usize,
    /// What it is and where.
    pub kind: TargetKind,
    /// How fast the way there may be used.
    pub bandwidth: Option<Bandwidth>,
    /// Which backups stay; empty if it does not say.
    pub policy: Policy,
    /// How long a chunk stays that none of them needs, if it says.
    pub grace: Option<Grace>,
    /// Which chunks `gc` gives up.
    pub compaction: Compaction,
}

/// The type of a target and what the type needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A folder.
    Filesystem {
        /// Absolute.
        path: PathBuf,
    },
    /// A bucket.
    S3(Box<S3Settings>),
    /// A folder of Google Drive.
    GoogleDrive(Box<GoogleDriveSettings>),
    /// A folder on a server.
    Sftp(Box<SshFolder>),
    /// A folder of a server.
    WebDav(Box<WebDavSettings>),
    /// Another box.
    Brackup(Box<BrackupSettings>),
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filesystem { path } => write!(f, "the folder {}", path.display()),
            Self::S3(settings) => write!(f, "the bucket {} at {}", settings.bucket.name, settings.bucket.endpoint),
            Self::GoogleDrive(settings) => write!(f, "the folder {}", settings.folder),
            Self::Sftp(folder) => write!(f, "the folder {} on {}", folder.path.display(), folder.host),
            Self::WebDav(settings) => write!(f, "the folder {}", settings.collection),
            Self::Brackup(settings) => write!(f, "what this host has at {}", settings.server.endpoint),
        }
    }
}

/// The target that a text like `filesystem:/path` is; nothing if the text can only be a name.
pub fn target_from_url(text: &str) -> Option<Result<TargetOptions, Error>> {
    from_url(text, &Surroundings::of_process())
}

fn from_url(text: &str, around: &Surroundings) -> Option<Result<TargetOptions, Error>> {
    let (type_name, rest) = text.split_once(':')?;
    let path = || {
        // What looks like a host would silently become a folder.
        let expected = match rest.as_bytes() {
            [b'/', b'/', first, ..] if *first != b'/' => Err("a path and no host".into()),
            path => around.path(path),
        };
        let error =
            |expected: String| Error::value("the target", text.as_bytes(), format!("filesystem: and {expected}"));
        Ok(TargetKind::Filesystem { path: expected.map_err(error)? })
    };
    let bucket = || {
        let expected = |expected: String| Error::value("the target", text.as_bytes(), expected);
        Ok(TargetKind::S3(Box::new(S3Settings::from_url(rest, around).map_err(expected)?)))
    };
    let server = || {
        sftp::refuse_password(rest)?;
        let expected = |expected: String| Error::value("the target", text.as_bytes(), expected);
        Ok(TargetKind::Sftp(Box::new(sftp::from_url(rest, around).map_err(expected)?)))
    };
    let folder = |is_tls| Ok(TargetKind::WebDav(Box::new(WebDavSettings::from_url(is_tls, rest)?)));
    let kind = match known_type(type_name) {
        _ if type_name.eq_ignore_ascii_case(WEBDAVS) => folder(true),
        Ok(Type::Filesystem) => path(),
        Ok(Type::S3) => bucket(),
        Ok(Type::Sftp) => server(),
        Ok(Type::WebDav) => folder(false),
        Ok(Type::Brackup) => {
            BrackupSettings::from_url(rest, around).map(|settings| TargetKind::Brackup(Box::new(settings)))
        }
        Ok(Type::GoogleDrive) => Err(Error::new(ErrorKind::BadValue, "a folder of Google Drive has no address")
            .with_hint(Some("name a section [TARGET:x] with `type = GoogleDrive`: its login belongs to it".into()))),
        Err(error) => Err(error),
    };
    let options = kind.map(|kind| TargetOptions::without_rules(text, 0, kind));
    Some(options.and_then(|options| options.check_usable().map(|()| options)))
}

impl TargetOptions {
    fn without_rules(name: &str, line: usize, kind: TargetKind) -> Self {
        let (policy, compaction) = (Policy::default(), Compaction::default());
        Self { name: name.into(), line, kind, bandwidth: None, policy, grace: None, compaction }
    }

    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        let Some(type_line) = values.all("type").next() else {
            values.check_with(KEYS, policy::OF_TARGET, findings);
            if !is_parent {
                values.missing("type", "type = Filesystem", findings);
            }
            return None;
        };
        let kind = match known_type(&String::from_utf8_lossy(type_line.value)) {
            Ok(Type::Filesystem) => {
                values.check_with(KEYS, policy::OF_TARGET, findings);
                let path = values.path("path", around, findings);
                if !is_parent && !values.has("path") {
                    values.missing("path", "path = /a/folder", findings);
                }
                TargetKind::Filesystem { path: path? }
            }
            Ok(Type::S3) => TargetKind::S3(Box::new(S3Settings::read(values, is_parent, around, findings)?)),
            Ok(Type::Sftp) => TargetKind::Sftp(Box::new(sftp::read(values, is_parent, around, findings)?)),
            Ok(Type::WebDav) => {
                TargetKind::WebDav(Box::new(WebDavSettings::read(values, is_parent, around, findings)?))
            }
            Ok(Type::Brackup) => {
                TargetKind::Brackup(Box::new(BrackupSettings::read(values, is_parent, around, findings)?))
            }
            Ok(Type::GoogleDrive) => {
                let settings = GoogleDriveSettings::read(values, is_parent, around, findings)?;
                TargetKind::GoogleDrive(Box::new(settings))
            }
            Err(error) => {
                findings.wrong(type_line.line, error);
                return None;
            }
        };
        let bandwidth = values.read("bandwidth", findings, bandwidth::parse);
        let (policy, grace) = (policy::read(values, findings), policy::grace(values, findings));
        let compaction = policy::compaction(values, findings);
        Some(Self { name: values.name.into(), line: values.lines.0, kind, bandwidth, policy, grace, compaction })
    }

    /// An error if this version cannot store to it.
    pub(super) fn check_usable(&self) -> Result<(), Error> {
        let built_without = |what: &str, feature: &str| {
            let name = quoted(self.name.as_bytes());
            let found = format!("target {name} is {what}, and this program was built without that");
            let hint =
                format!("`cargo build --release --features {feature}` makes one with it; docs/TARGETS.md has more");
            Err(Error::new(ErrorKind::BuiltWithout, found).with_hint(Some(hint)))
        };
        match &self.kind {
            TargetKind::S3(_) if !cfg!(feature = "s3") => built_without("a bucket of S3", "s3"),
            TargetKind::WebDav(_) if !cfg!(feature = "webdav") => built_without("a folder of WebDAV", "webdav"),
            TargetKind::Brackup(_) if !cfg!(feature = "brackup") => built_without("another box", "brackup"),
            TargetKind::GoogleDrive(_) if !cfg!(feature = "gdrive") => {
                built_without("a folder of Google Drive", "gdrive")
            }
            _ => Ok(()),
        }
    }
}

fn known_type(text: &str) -> Result<Type, Error> {
    let is = |name: &&str| name.eq_ignore_ascii_case(text);
    if let Some((_, known)) = TYPES.iter().find(|(name, _)| is(name)) {
        return Ok(*known);
    }
    let names = TYPES.map(|(name, _)| name);
    let wrong = |found| Error::new(ErrorKind::UnsupportedType, found).expected(listed(&names, "or"));
    if let Some(gone) = GONE.iter().copied().find(is) {
        return Err(wrong(format!("type {gone} is of a service that no longer exists")));
    }
    if is(&"Ftp") {
        let error = wrong("type Ftp sends passwords and names in clear text".into());
        let hint = "Sftp and WebDAV do what Ftp did";
        return Err(error.with_hint(Some(hint.into())));
    }
    let hint = did_you_mean(text, names);
    Err(wrong(format!("unknown type {}", quoted(text.as_bytes()))).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(text: &str, is_parent: bool) -> Result<(Option<TargetOptions>, Vec<String>), Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let values = Values::of(&sections[0]);
        let around = Surroundings::of_test(1000);
        let target = TargetOptions::read(&values, is_parent, &around, &mut findings);
        Ok((target, findings.finish()?))
    }

    fn folder(name: &str, line: usize, path: &str) -> TargetOptions {
        let kind = TargetKind::Filesystem { path: path.into() };
        TargetOptions::without_rules(name, line, kind)
    }

    #[test]
    fn a_folder_is_a_target() {
        for name in ["Filesystem", "filesystem", "FileSystem"] {
            let text = format!("\n[TARGET:raid]\npath = ~/b\ntype = {name}");
            assert_eq!(read(&text, false).unwrap(), (Some(folder("raid", 2, "/home/brad/b")), vec![]));
        }
    }

    #[test]
    fn wrong_targets_are_told() {
        for (lines, told, hint) in [
            ("path = /x", "f:1: [TARGET:x] has no type, expected type = Filesystem", None),
            ("type = Filesystem", "f:1: [TARGET:x] has no path, expected path = /a/folder", None),
            (
                "type = Filesystem\npath = x",
                "f:3: path is \"x\", expected an absolute path or one that begins with ~/",
                None,
            ),
            (
                "type = Filesystem\npath = /x\nftp_host = y",
                "f:4: unknown key \"ftp_host\" in [TARGET:x], expected one of type, path, inherit, keep_last, keep_backups, keep_daily, keep_weekly, keep_monthly, keep_yearly, keep_within, thinning, grace, compact_under or compact_max",
                None,
            ),
            (
                "tipe = Filesystem",
                "f:2: unknown key \"tipe\" in [TARGET:x], expected one of type, path, inherit, keep_last, keep_backups, keep_daily, keep_weekly, keep_monthly, keep_yearly, keep_within, thinning, grace, compact_under or compact_max",
                Some("did you mean \"type\"?"),
            ),
            (
                "ftp_host = x\ntype = Ftp",
                "f:3: type Ftp sends passwords and names in clear text, expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
                Some("Sftp and WebDAV do what Ftp did"),
            ),
            (
                "type = CloudFiles",
                "f:2: type CloudFiles is of a service that no longer exists, expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
                None,
            ),
            (
                "type = riak",
                "f:2: type Riak is of a service that no longer exists, expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
                None,
            ),
            (
                "type = GoogleAppEngine",
                "f:2: type GoogleAppEngine is of a service that no longer exists, expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
                None,
            ),
            (
                "type = Filesytem",
                "f:2: unknown type \"Filesytem\", expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
                Some("did you mean \"Filesystem\"?"),
            ),
        ] {
            let error = read(&format!("[TARGET:x]\n{lines}"), false).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (told, hint));
        }
    }

    #[test]
    fn a_parent_may_lack_what_a_target_needs() {
        for text in ["[TARGET:x]\npath=/x", "[TARGET:x]\ntype=Filesystem"] {
            assert!(read(text, true).unwrap().0.is_none(), "{text}");
        }
        assert!(read("[TARGET:x]\npth=/x", true).is_err());
    }

    #[test]
    fn idle_keys_are_noted_with_the_reason() {
        for (key, why) in [
            ("inventorydb_file", "what is stored is remembered in state_dir"),
            ("inventory_db", "what is stored is remembered in state_dir"),
            ("inventorydb_type", "what is stored is remembered in state_dir"),
            ("no_filename_colons", "no object has a colon in its name"),
        ] {
            let text = format!("[TARGET:x]\npath=/x\ntype=Filesystem\n{key} = 1");
            assert_eq!(
                read(&text, false).unwrap().1,
                [format!("f:4: {key} is accepted but does nothing in this version: {why}")]
            );
        }
    }

    #[test]
    fn a_url_is_a_target() {
        let around = Surroundings::of_test(1000);
        let url = |text| from_url(text, &around);
        for name in ["raid", "", "/raid", "./x"] {
            assert!(url(name).is_none(), "{name}");
        }
        for (text, path) in [
            ("filesystem:/raid/b", "/raid/b"),
            ("Filesystem:/raid:b", "/raid:b"),
            ("filesystem:~/b", "/home/brad/b"),
            ("filesystem:///raid", "/raid"),
        ] {
            assert_eq!(url(text).unwrap().unwrap(), folder(text, 0, path));
        }
        for (text, told) in [
            (
                "filesystem:b",
                "the target is \"filesystem:b\", expected filesystem: and an absolute path or one that begins with ~/",
            ),
            (
                "filesystem:",
                "the target is \"filesystem:\", expected filesystem: and an absolute path or one that begins with ~/",
            ),
            ("filesystem://nas/b", "the target is \"filesystem://nas/b\", expected filesystem: and a path and no host"),
            ("googledrive:x", "a folder of Google Drive has no address"),
            (
                "brackup:x",
                "the target is \"x\", expected brackup://host:port/, or brackup:http://127.0.0.1:port/ on this machine",
            ),
            (
                "s3:bucket",
                "the target is \"s3:bucket\", expected s3://host/bucket or s3://host/bucket/prefix; s3:http://host/bucket without TLS",
            ),
            (
                "sftp:x",
                "the target is \"sftp:x\", expected sftp://user@host:port/path, without a password; /~/path is a path below home",
            ),
            (
                "ftp:x",
                "type Ftp sends passwords and names in clear text, expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup",
            ),
            ("nas:/x", "unknown type \"nas\", expected Filesystem, Amazon, S3, WebDAV, Sftp, GoogleDrive or Brackup"),
        ] {
            assert_eq!(url(text).unwrap().unwrap_err().to_string(), told);
        }
    }
}
