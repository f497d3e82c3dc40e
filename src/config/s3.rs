//! What a target of `type = Amazon` has: the original's keys, and those for everybody else who speaks S3.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, quoted};
use super::findings::Findings;
use super::policy;
use super::size::parse_size_within;
use super::surroundings::Surroundings;
use super::trust;
use super::values::{Key, Values, flag, idle, once, plain, text};
use crate::fsutil;
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::provider::{AccessKey, Bucket, Endpoint, Lock, LockMode, Trust};

const AMAZON_REGION: &str = "us-east-1";

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("bucket"),
    once("endpoint"),
    once("region"),
    once("path_style"),
    once("part_size"),
    once("bandwidth"),
    once("backup_prefix"),
    once("aws_access_key_id"),
    once("aws_secret_access_key"),
    once("aws_prefix"),
    once("aws_location"),
    once("storage_class"),
    once("server_side_encryption"),
    once("object_lock"),
    once("tls_ca"),
    once("tls_pin"),
    once("inherit"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
];

/// A bucket, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// Where.
    pub bucket: Bucket,
    /// Of the configuration; nothing: that of the environment or of the credentials file.
    pub access_key: Option<AccessKey>,
}

impl S3Settings {
    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, policy::OF_TARGET, findings);
        let name = values.read("bucket", findings, bucket_name);
        let mut word = |key| values.read(key, findings, plain);
        // The original had two buckets, PREFIX-chunks and PREFIX-backups, and the access key for want of a prefix.
        let of_the_key = |key: String| key.to_ascii_lowercase();
        let prefix_of_buckets = word("aws_prefix").or_else(|| word("aws_access_key_id").map(of_the_key));
        let name = name.or_else(|| Some(format!("{}-backups", prefix_of_buckets?)));
        let (region, location) = (word("region"), word("aws_location"));
        let (storage_class, encryption) = (word("storage_class"), word("server_side_encryption"));
        let endpoint = values.read("endpoint", findings, endpoint);
        let prefix = values.read("backup_prefix", findings, prefix).unwrap_or_default();
        if let Some(line) =
            values.all("backup_prefix").next().filter(|_| !prefix.ends_with(['/', '-', '.', '_']) && !prefix.is_empty())
        {
            let text = format!(
                "backup_prefix = {prefix}: `{prefix}` begins the names of another box with `{prefix}0` too; end it with / or -"
            );
            findings.note(line.line, &text);
        }
        let path_style = values.read("path_style", findings, flag);
        let part_bytes = values.read("part_size", findings, |value| {
            parse_size_within(text(value)?, Bucket::PART_BYTES_MIN, Bucket::PART_BYTES_MAX)
        });
        let part_bytes = part_bytes.unwrap_or(Bucket::PART_BYTES);
        let lock = values.read("object_lock", findings, lock);
        let trust = trust::read(values, around, findings);
        endpoint.iter().for_each(|endpoint| trust::check(values, endpoint, findings));
        let access_key = Self::of_the_section(values, findings);
        if name.is_none() && !is_parent && !values.has("bucket") {
            values.missing("bucket", "bucket = the name of a bucket that is there", findings);
        }
        let region =
            region.or_else(|| location.map(|location| region_of(&location))).unwrap_or_else(|| AMAZON_REGION.into());
        let name = name?;
        // A bucket's name with dots is no part of a host that a certificate is for, and a host's name has no capitals, as old buckets may.
        let is_no_host = name.contains(|c: char| c == '.' || c.is_ascii_uppercase());
        let path_style = path_style.unwrap_or_else(|| endpoint.is_some() || is_no_host);
        let endpoint = endpoint.unwrap_or_else(|| Endpoint::https(format!("s3.{region}.amazonaws.com")));
        let bucket =
            Bucket { endpoint, region, name, path_style, prefix, storage_class, encryption, lock, part_bytes, trust };
        Some(Self { bucket, access_key })
    }

    /// Both or none. A secret is not shown, whatever is wrong.
    fn of_the_section(values: &Values<'_>, findings: &mut Findings) -> Option<AccessKey> {
        let line = |key| values.all(key).next();
        match (line("aws_access_key_id"), line("aws_secret_access_key")) {
            (None, None) => None,
            (Some(_), Some(secret_line)) => {
                let id = values.read("aws_access_key_id", findings, plain)?;
                let Some(secret) = plain(secret_line.value).ok().map(Zeroizing::new) else {
                    let error = Error::new(ErrorKind::BadValue, "aws_secret_access_key is empty or has spaces");
                    findings.wrong(secret_line.line, error);
                    return None;
                };
                Some(AccessKey { id, secret, session_token: None })
            }
            (access, _) => {
                let lacks = if access.is_some() { "aws_secret_access_key" } else { "aws_access_key_id" };
                values.missing(lacks, "both keys or none of them", findings);
                None
            }
        }
    }

    /// `host/bucket/prefix`, with `https://` or `http://` before it if it is not plain.
    pub(super) fn from_url(rest: &str, around: &Surroundings) -> Result<Self, String> {
        let expected =
            || String::from("s3://host/bucket or s3://host/bucket/prefix; s3:http://host/bucket without TLS");
        let (scheme, rest) = match rest.split_once("://") {
            Some((scheme @ ("https" | "http"), rest)) => (scheme, rest),
            None => ("https", rest.strip_prefix("//").ok_or_else(expected)?),
            _ => return Err(expected()),
        };
        let url = format!("{scheme}://{rest}");
        let (endpoint, below) = Endpoint::split(&url).ok_or_else(expected)?;
        let below = below.trim_start_matches('/');
        let (name, below) = below.split_once('/').unwrap_or((below, ""));
        let name = bucket_name(name.as_bytes()).map_err(|_| expected())?;
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| around.variable(name));
        let bucket = Bucket {
            endpoint,
            region: region.and_then(|region| region.into_string().ok()).unwrap_or_else(|| AMAZON_REGION.into()),
            name,
            path_style: true,
            prefix: prefix(below.as_bytes())?,
            storage_class: None,
            encryption: None,
            lock: None,
            part_bytes: Bucket::PART_BYTES,
            trust: Trust::System,
        };
        Ok(Self { bucket, access_key: None })
    }

    /// The access key to use: of the configuration, of the environment, or of the credentials file of the AWS tools.
    pub fn find_access_key(&self, around: &Surroundings) -> Result<AccessKey, Error> {
        if let Some(access_key) = &self.access_key {
            return Ok(access_key.clone());
        }
        let word = |name: &str| {
            around.variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
        };
        match (word("AWS_ACCESS_KEY_ID"), word("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let session_token = word("AWS_SESSION_TOKEN").map(Zeroizing::new);
                return Ok(AccessKey { id, secret: Zeroizing::new(secret), session_token });
            }
            (None, None) => {}
            (id, _) => {
                let lacks = if id.is_some() { "$AWS_SECRET_ACCESS_KEY" } else { "$AWS_ACCESS_KEY_ID" };
                return Err(Error::new(ErrorKind::MissingKey, format!("{lacks} is not set, and the other one is")));
            }
        }
        let file = word("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file = file.or_else(|| around.home.as_ref().map(|home| home.join(".aws/credentials")));
        let profile = word("AWS_PROFILE").unwrap_or_else(|| "default".into());
        let found =
            file.as_deref().filter(|file| file.exists()).map(|file| profile_keys(file, &profile)).transpose()?;
        found.flatten().ok_or_else(|| {
            let (bucket, profile) = (quoted(self.bucket.name.as_bytes()), quoted(profile.as_bytes()));
            let found = format!("there are no keys for the bucket {bucket}, and no profile {profile} that has some");
            Error::new(ErrorKind::MissingKey, found).with_hint(Some(
                "set aws_access_key_id and aws_secret_access_key in its section, $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or have a profile in ~/.aws/credentials".into(),
            ))
        })
    }
}

/// The keys of a profile, in the file that the AWS tools have.
fn profile_keys(file: &Path, profile: &str) -> Result<Option<AccessKey>, Error> {
    let bytes = fsutil::read_small(file, KEY_FILE_BYTES_MAX).map_err(|error| {
        Error::new(ErrorKind::Unreadable, format!("can't read {}", file.display())).with_source(error)
    })?;
    let bytes = Zeroizing::new(bytes);
    let contents = String::from_utf8_lossy(&bytes);
    let (mut is_ours, mut id, mut secret, mut session_token) = (false, None, None, None);
    for line in contents.lines().map(str::trim) {
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            is_ours = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_ours) {
            let value = value.trim();
            match key.trim() {
                _ if value.is_empty() => {}
                "aws_access_key_id" => id = Some(value.to_owned()),
                "aws_secret_access_key" => secret = Some(Zeroizing::new(value.to_owned())),
                "aws_session_token" => session_token = Some(Zeroizing::new(value.to_owned())),
                _ => {}
            }
        }
    }
    Ok(id.zip(secret).map(|(id, secret)| AccessKey { id, secret, session_token }))
}

/// Days, and whether the owner of the account is locked out too.
fn lock(value: &[u8]) -> Result<Lock, String> {
    let expected =
        || String::from("days from 1d to 36500d, such as 30d; 30d compliance locks the owner of the account out too");
    let mut words = text(value)?.split_ascii_whitespace();
    let days = words.next().and_then(|word| word.strip_suffix('d')?.parse().ok()).ok_or_else(expected)?;
    let mode = match (words.next(), words.next()) {
        (None | Some("governance"), None) => LockMode::Governance,
        (Some("compliance"), None) => LockMode::Compliance,
        _ => return Err(expected()),
    };
    if (1..=36_500).contains(&days) { Ok(Lock { days, mode }) } else { Err(expected()) }
}

/// The original's names of places.
fn region_of(location: &str) -> String {
    match location {
        "EU" => "eu-west-1".into(),
        "US" => AMAZON_REGION.into(),
        region => region.into(),
    }
}

fn endpoint(value: &[u8]) -> Result<Endpoint, String> {
    let expected = "https:// or http:// and a host, such as https://s3.example.com";
    Endpoint::parse(text(value)?).ok_or_else(|| expected.into())
}

fn bucket_name(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    if Bucket::is_name(text) { Ok(text.into()) } else { Err("letters, digits, `.`, `_` and `-`".into()) }
}

fn prefix(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    if Bucket::is_prefix(text) {
        Ok(text.into())
    } else {
        Err("letters, digits, `.`, `_`, `-` and `/`, such as nas/".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<S3Settings, Error> {
        let text = format!("[TARGET:x]\ntype = Amazon\n{lines}");
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let settings = S3Settings::read(&Values::of(&sections[0]), false, &Surroundings::of_test(1000), &mut findings);
        findings.finish()?;
        Ok(settings.unwrap())
    }

    fn notes(lines: &str) -> Vec<String> {
        let text = format!("[TARGET:x]\ntype = Amazon\n{lines}\n");
        let around = Surroundings::of_test(1000);
        super::super::Config::parse_in("f".as_ref(), text.as_bytes(), &around).unwrap().notes
    }

    #[test]
    fn the_originals_keys_and_the_new_ones() {
        let keys = "aws_access_key_id = AK\naws_secret_access_key = s3/cr+t=\n";
        let original = read(&format!("{keys}aws_prefix = brad\naws_location = EU\nbackup_prefix = nas-")).unwrap();
        assert_eq!((original.bucket.name.as_str(), original.bucket.prefix.as_str()), ("brad-backups", "nas-"));
        assert_eq!(original.bucket.endpoint.to_string(), "https://s3.eu-west-1.amazonaws.com");
        assert!(!original.bucket.path_style);
        assert_eq!(original.access_key.as_ref().map(|key| key.secret.as_str()), Some("s3/cr+t="));
        assert!(!format!("{original:?}").contains("s3/cr"), "{original:?}");
        let other = read("bucket = b\nendpoint = http://nas.lan:9000/\nregion = garage\nbackup_prefix = a/b/").unwrap();
        let Bucket { endpoint, region, path_style, .. } = &other.bucket;
        assert_eq!((endpoint.to_string().as_str(), region.as_str()), ("http://nas.lan:9000", "garage"));
        assert!(*path_style && other.access_key.is_none());
        assert!(read("bucket = a.b").unwrap().bucket.path_style, "a certificate is for one name before the dot");
        assert!(!read("bucket = b\nendpoint = https://x\npath_style = no").unwrap().bucket.path_style);
        assert_eq!(notes("bucket = b\nbackup_prefix = web1-\nregion = x"), [""; 0]);
        let told = notes("bucket = b\nbackup_prefix = web1");
        assert!(told[0].contains("`web1` begins the names of another box with `web10` too"), "{told:?}");
        assert_eq!(read("aws_prefix = Brad").unwrap().bucket.name, "Brad-backups");
    }

    #[test]
    fn what_is_wrong_is_told_and_a_secret_is_not() {
        for (lines, told) in [
            ("region = x", "f:1: [TARGET:x] has no bucket, expected bucket = the name of a bucket that is there"),
            (
                "bucket = b\nendpoint = s3.example.com",
                "f:4: endpoint is \"s3.example.com\", expected https:// or http:// and a host, such as https://s3.example.com",
            ),
            (
                "bucket = b\nbackup_prefix = ../a",
                "f:4: backup_prefix is \"../a\", expected letters, digits, `.`, `_`, `-` and `/`, such as nas/",
            ),
            ("bucket = nas/home", "f:3: bucket is \"nas/home\", expected letters, digits, `.`, `_` and `-`"),
            (
                "bucket = b\nobject_lock = 30",
                "f:4: object_lock is \"30\", expected days from 1d to 36500d, such as 30d; 30d compliance locks the owner of the account out too",
            ),
            (
                "bucket = b\naws_access_key_id = AK",
                "f:1: [TARGET:x] has no aws_secret_access_key, expected both keys or none of them",
            ),
            (
                "bucket = b\naws_secret_access_key: hush",
                "f:4: the line that has a secret, expected key = value, [section] or # comment",
            ),
            (
                "bucket = b\naws_access_key_id = AK\naws_secret_access_key = two words",
                "f:5: aws_secret_access_key is empty or has spaces",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn a_secret_is_not_shown_whatever_its_line_has_become() {
        for line in [
            "aws_secret_access_key: HUSH=",
            "aws_secret_access_key: HUSH==",
            "aws_secret_access_key: HU=SH",
            "url: https://me:HUSH@host/a=b",
        ] {
            let error = read(&format!("bucket = b\n{line}")).unwrap_err().to_string();
            assert!(!error.contains("HU"), "{error}");
            assert!(error.starts_with("f:4: "), "{error}");
        }
    }

    #[test]
    fn the_file_of_the_aws_tools_is_read_as_they_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = S\naws_session_token =\n\
                    [prod] # another account\naws_access_key_id = B\naws_secret_access_key = T\n";
        std::fs::write(&file, text).unwrap();
        let keys = |profile| profile_keys(&file, profile).unwrap().map(|key| (key.id, key.session_token.is_some()));
        assert_eq!(keys("default"), Some(("A".into(), false)));
        assert_eq!(keys("prod"), Some(("B".into(), false)));
        assert_eq!(keys("other"), None);
        let half = Surroundings {
            env: |name| (name == "AWS_ACCESS_KEY_ID").then(|| "A".into()),
            ..Surroundings::of_test(1000)
        };
        let error = read("bucket = b").unwrap().find_access_key(&half).unwrap_err();
        assert!(error.to_string().contains("$AWS_SECRET_ACCESS_KEY is not set"), "{error}");
    }

    #[test]
    fn a_url_is_a_bucket() {
        let around = Surroundings::of_test(1000);
        let url = |rest| S3Settings::from_url(rest, &around).map(|settings| settings.bucket);
        let bucket = url("//s3.example.com:8333/b/nas/").unwrap();
        assert_eq!(bucket.endpoint.to_string(), "https://s3.example.com:8333");
        assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), ("b", "nas/"));
        assert_eq!(url("http://127.0.0.1:1/b").unwrap().endpoint.to_string(), "http://127.0.0.1:1");
        for wrong in ["b", "//host", "//host/", "ftp://host/b", "//user@host/b", "///b", "//h/b/a//c"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_come_from_the_file_of_the_aws_tools() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".aws/credentials");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(
            &file,
            "[other]\naws_access_key_id = NO\n[default]\naws_access_key_id=AK\naws_secret_access_key = s=\n",
        )
        .unwrap();
        let around = Surroundings { home: Some(folder.path().into()), ..Surroundings::of_test(1000) };
        let settings = read("bucket = b").unwrap();
        let key = settings.find_access_key(&around).unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("AK", "s="));
        std::fs::remove_file(&file).unwrap();
        assert!(settings.find_access_key(&around).unwrap_err().hint().unwrap().contains("$AWS_ACCESS_KEY_ID"));
    }
}
