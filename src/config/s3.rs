//! What a target of `type = Amazon` has: the original's keys, and those for everybody else who speaks S3.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, quoted};
use super::findings::Findings;
use super::surroundings::Surroundings;
use super::values::{Key, Values, flag, idle, later, once, text};
use crate::fsutil;
use crate::limits::KEY_FILE_BYTES_MAX;

const AMAZON_REGION: &str = "us-east-1";
const PREFIX_BYTES_MAX: usize = 256;

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("bucket"),
    once("endpoint"),
    once("region"),
    once("path_style"),
    once("backup_prefix"),
    once("aws_access_key_id"),
    once("aws_secret_access_key"),
    once("aws_prefix"),
    once("aws_location"),
    once("storage_class"),
    once("server_side_encryption"),
    once("tls_ca"),
    once("inherit"),
    later("keep_backups", "it comes with prune"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
];

/// A bucket, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// `https://` or `http://`, a host, and a port if it is not the usual one.
    pub endpoint: String,
    /// As the server's signatures have it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Whether the bucket is in the path, and not in the host's name.
    pub path_style: bool,
    /// Before the name of each object.
    pub prefix: String,
    /// `x-amz-storage-class`.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption`.
    pub encryption: Option<String>,
    /// Certificates that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Of the configuration; nothing: those of the environment or of the credentials file.
    pub keys: Option<AwsKeys>,
}

/// An access key and what it signs with.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// Public.
    pub access_key: String,
    /// Secret.
    pub secret_key: Zeroizing<String>,
    /// Secret, of temporary keys.
    pub session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys({})", self.access_key)
    }
}

impl S3Settings {
    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check(KEYS, findings);
        let bucket = values.read("bucket", findings, bucket_name);
        let mut word = |key| values.read(key, findings, plain);
        // The original had two buckets, PREFIX-chunks and PREFIX-backups, and the access key for want of a prefix.
        let prefix_of_buckets = word("aws_prefix").or_else(|| word("aws_access_key_id"));
        let bucket = bucket.or_else(|| Some(format!("{}-backups", prefix_of_buckets?.to_ascii_lowercase())));
        let (endpoint, region, location) = (word("endpoint"), word("region"), word("aws_location"));
        let (storage_class, encryption) = (word("storage_class"), word("server_side_encryption"));
        let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        if let Some(line) =
            values.all("endpoint").next().filter(|_| endpoint.as_deref().is_some_and(|e| !is_endpoint(e)))
        {
            let expected = "https:// or http:// and a host, such as https://s3.example.com";
            findings.wrong(line.line, Error::value("endpoint", line.value, expected));
        }
        let prefix = values.read("backup_prefix", findings, prefix).unwrap_or_default();
        let path_style = values.read("path_style", findings, flag);
        let ca_file = values.path("tls_ca", around, findings);
        let keys = Self::keys(values, findings);
        if bucket.is_none() && !is_parent && !values.has("bucket") {
            values.missing("bucket", "bucket = the name of a bucket that is there", findings);
        }
        let region =
            region.or_else(|| location.map(|location| region_of(&location))).unwrap_or_else(|| AMAZON_REGION.into());
        let bucket = bucket?;
        // A bucket's name with dots is no part of a host that a certificate is for.
        let path_style = path_style.unwrap_or_else(|| endpoint.is_some() || bucket.contains('.'));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        Some(Self { endpoint, region, bucket, path_style, prefix, storage_class, encryption, ca_file, keys })
    }

    /// Both or none. A secret is not shown, whatever is wrong.
    fn keys(values: &Values<'_>, findings: &mut Findings) -> Option<AwsKeys> {
        let line = |key| values.all(key).next();
        match (line("aws_access_key_id"), line("aws_secret_access_key")) {
            (None, None) => None,
            (Some(_), Some(secret)) => {
                let access_key = values.read("aws_access_key_id", findings, plain)?;
                let Some(secret_key) = plain(secret.value).ok().map(Zeroizing::new) else {
                    let error = Error::new(ErrorKind::BadValue, "aws_secret_access_key is empty or has spaces");
                    findings.wrong(secret.line, error);
                    return None;
                };
                Some(AwsKeys { access_key, secret_key, session_token: None })
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
        let (host, rest) = rest.split_once('/').ok_or_else(expected)?;
        let (bucket, below) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = format!("{scheme}://{host}");
        if bucket_name(bucket.as_bytes()).is_err() || !is_endpoint(&endpoint) {
            return Err(expected());
        }
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| around.variable(name));
        Ok(Self {
            endpoint,
            region: region.and_then(|region| region.into_string().ok()).unwrap_or_else(|| AMAZON_REGION.into()),
            bucket: bucket.into(),
            path_style: true,
            prefix: prefix(below.as_bytes())?,
            storage_class: None,
            encryption: None,
            ca_file: None,
            keys: None,
        })
    }

    /// The keys to use: of the configuration, of the environment, or of the credentials file of the AWS tools.
    pub fn find_keys(&self, around: &Surroundings) -> Result<AwsKeys, Error> {
        if let Some(keys) = &self.keys {
            return Ok(keys.clone());
        }
        let word = |name: &str| around.variable(name).and_then(|value| value.into_string().ok());
        if let (Some(access_key), Some(secret)) = (word("AWS_ACCESS_KEY_ID"), word("AWS_SECRET_ACCESS_KEY")) {
            let session_token = word("AWS_SESSION_TOKEN").map(Zeroizing::new);
            return Ok(AwsKeys { access_key, secret_key: Zeroizing::new(secret), session_token });
        }
        let file = word("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file = file.or_else(|| around.home.as_ref().map(|home| home.join(".aws/credentials")));
        let profile = word("AWS_PROFILE").unwrap_or_else(|| "default".into());
        let found =
            file.as_deref().filter(|file| file.exists()).map(|file| profile_keys(file, &profile)).transpose()?;
        found.flatten().ok_or_else(|| {
            let found = format!("there are no keys for the bucket {}", quoted(self.bucket.as_bytes()));
            Error::new(ErrorKind::MissingKey, found).with_hint(Some(
                "set aws_access_key_id and aws_secret_access_key in its section, $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or have a profile in ~/.aws/credentials".into(),
            ))
        })
    }
}

/// The keys of a profile, in the file that the AWS tools have.
fn profile_keys(file: &Path, profile: &str) -> Result<Option<AwsKeys>, Error> {
    let bytes = fsutil::read_small(file, KEY_FILE_BYTES_MAX).map_err(|error| {
        Error::new(ErrorKind::Unreadable, format!("can't read {}", file.display())).with_source(error)
    })?;
    let bytes = Zeroizing::new(bytes);
    let contents = String::from_utf8_lossy(&bytes);
    let (mut is_ours, mut access, mut secret, mut session_token) = (false, None, None, None);
    for line in contents.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_ours = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_ours) {
            let value = value.trim();
            match key.trim() {
                "aws_access_key_id" => access = Some(value.to_owned()),
                "aws_secret_access_key" => secret = Some(Zeroizing::new(value.to_owned())),
                "aws_session_token" => session_token = Some(Zeroizing::new(value.to_owned())),
                _ => {}
            }
        }
    }
    Ok(access.zip(secret).map(|(access_key, secret_key)| AwsKeys { access_key, secret_key, session_token }))
}

/// The original's names of places.
fn region_of(location: &str) -> String {
    match location {
        "EU" => "eu-west-1".into(),
        "US" => AMAZON_REGION.into(),
        region => region.into(),
    }
}

fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    host.is_some_and(|host| !host.is_empty() && host.chars().all(is_ours))
}

/// Printable, without spaces.
fn plain(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.into()) } else { Err("letters, digits and signs without spaces".into()) }
}

/// It may become part of a host's name.
fn bucket_name(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = (1..=255).contains(&text.len()) && text.chars().all(is_ours);
    if is_name { Ok(text.into()) } else { Err("letters, digits, `.`, `_` and `-`".into()) }
}

fn prefix(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let is_fine = text.len() <= PREFIX_BYTES_MAX && text.chars().all(is_ours);
    let is_path = !text.split('/').rev().skip(1).any(|part| matches!(part, "" | "." | ".."));
    if is_fine && is_path {
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

    #[test]
    fn the_originals_keys_and_the_new_ones() {
        let keys = "aws_access_key_id = AK\naws_secret_access_key = s3/cr+t=\n";
        let original = read(&format!("{keys}aws_prefix = brad\naws_location = EU\nbackup_prefix = nas-")).unwrap();
        assert_eq!((original.bucket.as_str(), original.prefix.as_str()), ("brad-backups", "nas-"));
        assert_eq!(original.endpoint, "https://s3.eu-west-1.amazonaws.com");
        assert!(!original.path_style);
        assert_eq!(original.keys.as_ref().map(|keys| keys.secret_key.as_str()), Some("s3/cr+t="));
        assert!(!format!("{original:?}").contains("s3/cr"), "{original:?}");
        let other = read("bucket = b\nendpoint = http://nas.lan:9000/\nregion = garage\nbackup_prefix = a/b/").unwrap();
        assert_eq!((other.endpoint.as_str(), other.region.as_str()), ("http://nas.lan:9000", "garage"));
        assert!(other.path_style && other.keys.is_none());
        assert!(read("bucket = a.b").unwrap().path_style, "a certificate is for one name before the dot");
        assert!(!read("bucket = b\nendpoint = https://x\npath_style = no").unwrap().path_style);
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
    fn a_url_is_a_bucket() {
        let around = Surroundings::of_test(1000);
        let url = |rest| S3Settings::from_url(rest, &around);
        let settings = url("//s3.example.com:8333/b/nas/").unwrap();
        assert_eq!(settings.endpoint, "https://s3.example.com:8333");
        assert_eq!((settings.bucket.as_str(), settings.prefix.as_str()), ("b", "nas/"));
        assert_eq!(url("http://127.0.0.1:1/b").unwrap().endpoint, "http://127.0.0.1:1");
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
        let keys = settings.find_keys(&around).unwrap();
        assert_eq!((keys.access_key.as_str(), keys.secret_key.as_str()), ("AK", "s="));
        std::fs::remove_file(&file).unwrap();
        assert!(settings.find_keys(&around).unwrap_err().hint().unwrap().contains("$AWS_ACCESS_KEY_ID"));
    }
}
