//! What a target of `type = GoogleDrive` has.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::policy;
use super::secret::{self, Place};
use super::surroundings::Surroundings;
use super::trust;
use super::values::{Key, Values, idle, once, plain, text};
use crate::provider::{DriveFolder, Endpoint, OauthClient};

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("path"),
    once("client_id"),
    once("client_secret"),
    once("client_secret_file"),
    once("bandwidth"),
    once("api_endpoint"),
    once("oauth_endpoint"),
    once("tls_ca"),
    once("inherit"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
];

const ID: &str = "BRACKUP_GDRIVE_CLIENT_ID";
const SECRET: &str = "BRACKUP_GDRIVE_CLIENT_SECRET";

/// A folder of Google Drive, and the program that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleDriveSettings {
    /// Where.
    pub folder: DriveFolder,
    /// Nothing: that of the environment.
    client_id: Option<String>,
    secret: SecretFrom,
}

#[derive(Clone, PartialEq, Eq)]
enum SecretFrom {
    Section(Zeroizing<String>),
    File(PathBuf),
    Environment,
}

impl std::fmt::Debug for SecretFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretFrom")
    }
}

impl GoogleDriveSettings {
    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, policy::OF_TARGET, findings);
        let folder = values.read("path", findings, |value| {
            DriveFolder::parse(text(value)?).ok_or_else(|| "a folder such as Backups/nas".into())
        });
        let client_id = values.read("client_id", findings, plain);
        let secret = Self::secret_of_the_section(values, around, findings);
        let (api, oauth) = (endpoint("api_endpoint", values, findings), endpoint("oauth_endpoint", values, findings));
        let trust = trust::read(values, around, findings);
        if !is_parent && !values.has("path") {
            values.missing("path", "path = Backups/nas", findings);
        }
        if api.is_some() != oauth.is_some() {
            let lacks = if api.is_some() { "oauth_endpoint" } else { "api_endpoint" };
            values.missing(lacks, "both of api_endpoint and oauth_endpoint, or neither", findings);
        }
        [&api, &oauth].into_iter().flatten().for_each(|endpoint| trust::check(values, endpoint, findings));
        let mut folder = folder?;
        folder.trust = trust;
        if let (Some(api), Some(oauth)) = (api, oauth) {
            (folder.api, folder.oauth) = (api, oauth);
        }
        Some(Self { folder, client_id, secret: secret? })
    }

    /// A secret is not shown, whatever is wrong.
    fn secret_of_the_section(
        values: &Values<'_>,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<SecretFrom> {
        match secret::place(values, "client_secret", "client_secret_file", around, findings)? {
            Place::Elsewhere => Some(SecretFrom::Environment),
            Place::File(file) => Some(SecretFrom::File(file)),
            Place::Here(entry) => match plain(entry.value) {
                Ok(secret) => Some(SecretFrom::Section(Zeroizing::new(secret))),
                Err(_) => {
                    let error = Error::new(ErrorKind::BadValue, "client_secret has blanks or signs that none has");
                    findings.wrong(entry.line, error);
                    None
                }
            },
        }
    }

    /// The program as Google knows it: of the configuration, of the file that it names, or of the environment.
    pub fn find_client(&self, around: &Surroundings) -> Result<OauthClient, Error> {
        let word = |name: &str| around.variable(name).and_then(|value| value.into_string().ok());
        let Some(id) = self.client_id.clone().or_else(|| word(ID)) else {
            let found = format!("there is no client_id for {}", self.folder);
            return Err(Error::new(ErrorKind::MissingKey, found).with_hint(Some(format!(
                "set client_id in its section, or ${ID}; docs/TARGETS.md says how Google gives one"
            ))));
        };
        let secret = match &self.secret {
            SecretFrom::Section(secret) => Some(secret.clone()),
            SecretFrom::Environment => word(SECRET).map(Zeroizing::new),
            SecretFrom::File(file) => {
                let bytes = secret::read(file, "client's secret")?;
                Some(Zeroizing::new(plain(bytes.trim_ascii()).map_err(|_| {
                    let found = format!("there is no secret in {}", file.display());
                    Error::new(ErrorKind::BadValue, found).expected("one line with nothing but the client's secret")
                })?))
            }
        };
        Ok(OauthClient { id, secret })
    }
}

/// Tokens are sent there: without TLS not to another machine.
fn endpoint(key: &str, values: &Values<'_>, findings: &mut Findings) -> Option<Endpoint> {
    values.read(key, findings, |value| {
        let endpoint = Endpoint::parse(text(value)?).filter(|one| one.is_tls() || one.is_this_machine());
        endpoint.ok_or_else(|| "https:// and a host, or http:// and an address of this machine".into())
    })
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<GoogleDriveSettings, Error> {
        let text = format!("[TARGET:x]\ntype = GoogleDrive\n{lines}");
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let around = Surroundings::of_test(1000);
        let settings = GoogleDriveSettings::read(&Values::of(&sections[0]), false, &around, &mut findings);
        findings.finish()?;
        Ok(settings.unwrap())
    }

    #[test]
    fn a_folder_and_a_client() {
        let around = Surroundings::of_test(1000);
        let settings = read("path = Backups/nas\nclient_id = 1-a.apps\nclient_secret = HUSH-1").unwrap();
        assert_eq!(settings.folder.to_string(), "gdrive://www.googleapis.com/Backups/nas");
        assert_eq!(settings.folder.oauth.to_string(), "https://oauth2.googleapis.com");
        let client = settings.find_client(&around).unwrap();
        assert_eq!(
            (client.id.as_str(), client.secret.as_ref().map(|secret| secret.as_str())),
            ("1-a.apps", Some("HUSH-1"))
        );
        assert!(!format!("{settings:?} {client:?}").contains("HUSH"));
        let settings = read("path = nas").unwrap();
        assert!(settings.find_client(&around).unwrap_err().hint().unwrap().contains("$BRACKUP_GDRIVE_CLIENT_ID"));
        let around = Surroundings { env: |name| name.starts_with("BRACKUP_GDRIVE_").then(|| name.into()), ..around };
        let client = settings.find_client(&around).unwrap();
        assert_eq!((client.id.as_str(), client.secret.as_ref().map(|secret| secret.as_str())), (ID, Some(SECRET)));
        let gateway = "path = nas\napi_endpoint = http://127.0.0.1:8080\noauth_endpoint = https://login.lan";
        let folder = read(gateway).unwrap().folder;
        assert_eq!((folder.api.to_string().as_str(), folder.oauth.is_tls()), ("http://127.0.0.1:8080", true));
    }

    #[test]
    fn a_secret_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let settings = read(&format!("path = nas\nclient_id = 1\nclient_secret_file = {}", file.display())).unwrap();
        let found = || settings.find_client(&Surroundings::of_test(1000));
        assert!(found().unwrap_err().to_string().contains("can't read the client's secret in"));
        for (text, secret) in [("HUSH\r\n", Some("HUSH")), ("HUSH", Some("HUSH")), ("\n", None), ("a b\n", None)] {
            std::fs::write(&file, text).unwrap();
            let client = found().ok();
            let found = client.as_ref().and_then(|client| client.secret.as_ref()).map(|secret| secret.as_str());
            assert_eq!(found, secret, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_a_secret_is_not() {
        for (lines, told) in [
            ("client_id = 1", "f:1: [TARGET:x] has no path, expected path = Backups/nas"),
            ("path = a//b", "f:3: path is \"a//b\", expected a folder such as Backups/nas"),
            ("path = a\nclient_secret = HUSH HUSH", "f:4: client_secret has blanks or signs that none has"),
            (
                "path = a\nclient_secret = HUSH\nclient_secret_file = /x",
                "f:4: client_secret and client_secret_file are both there, expected one of them",
            ),
            (
                "path = a\nclient_secret: HUSH",
                "f:4: the line that has a secret, expected key = value, [section] or # comment",
            ),
            (
                "path = a\napi_endpoint = http://127.0.0.1:1",
                "f:1: [TARGET:x] has no oauth_endpoint, expected both of api_endpoint and oauth_endpoint, or neither",
            ),
            (
                "path = a\napi_endpoint = http://nas.lan\noauth_endpoint = https://b",
                "f:4: api_endpoint is \"http://nas.lan\", expected https:// and a host, or http:// and an address of this machine",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
