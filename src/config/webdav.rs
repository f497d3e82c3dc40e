//! What a target of `type = WebDAV` has.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::policy;
use super::secret;
use super::surroundings::Surroundings;
use super::trust;
use super::values::{Key, Values, flag, idle, once, text};
use crate::provider::{Collection, Login};

pub(super) const KEYS: &[Key] = &[
    once("type"),
    once("url"),
    once("user"),
    once("password"),
    once("password_file"),
    once("insecure_http"),
    once("bandwidth"),
    once("tls_ca"),
    once("tls_pin"),
    once("inherit"),
    idle("inventorydb_file", "what is stored is remembered in state_dir"),
    idle("inventory_db", "what is stored is remembered in state_dir"),
    idle("inventorydb_type", "what is stored is remembered in state_dir"),
];

const USER: &str = "BRACKUP_WEBDAV_USER";
const PASSWORD: &str = "BRACKUP_WEBDAV_PASSWORD";

/// A folder of a server, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebDavSettings {
    /// Where.
    pub collection: Collection,
    login: LoginFrom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LoginFrom {
    Section(Login),
    File { user: String, file: PathBuf },
    Environment,
}

impl WebDavSettings {
    /// Nothing if a value is wrong, or if one is missing in a section that others inherit from.
    pub(super) fn read(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, policy::OF_TARGET, findings);
        let collection = address(values, findings);
        let trust = trust::read(values, around, findings);
        collection.iter().for_each(|collection| trust::check(values, &collection.endpoint, findings));
        let is_clear_allowed = values.read("insecure_http", findings, flag).unwrap_or_default();
        let login = Self::of_the_section(values, is_parent, around, findings);
        if !is_parent && !values.has("url") {
            values.missing("url", "url = https://host/path/", findings);
        }
        let mut collection = collection?.trusting(trust);
        collection.is_clear_allowed = is_clear_allowed;
        Some(Self { collection, login: login? })
    }

    /// A secret is not shown, whatever is wrong.
    fn of_the_section(
        values: &Values<'_>,
        is_parent: bool,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<LoginFrom> {
        let line = |key| values.all(key).next();
        let user = values.read("user", findings, user_name);
        let file = values.path("password_file", around, findings);
        match (line("user"), line("password"), line("password_file")) {
            (None, None, None) => Some(LoginFrom::Environment),
            (_, Some(entry), Some(_)) => {
                secret::both(entry, "password", "password_file", findings);
                None
            }
            (None, ..) if !is_parent => {
                values.missing("user", "user and password, or neither", findings);
                None
            }
            (Some(_), None, None) if !is_parent => {
                values.missing("password", "user and password or password_file, or neither", findings);
                None
            }
            (_, Some(entry), None) => match password(entry.value) {
                Some(password) => Some(LoginFrom::Section(Login { user: user?, password })),
                None => {
                    let found = "password is empty, or has characters that no password has";
                    findings.wrong(entry.line, Error::new(ErrorKind::BadValue, found));
                    None
                }
            },
            _ => Some(LoginFrom::File { user: user?, file: file? }),
        }
    }

    /// `https://host/path/` or `http://…`, or what follows `webdavs:` or `webdav:` of `webdavs://host/path/`.
    pub(super) fn from_url(is_tls: bool, rest: &str) -> Result<Self, Error> {
        let url = match rest.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", if is_tls { "https" } else { "http" }),
            None => rest.to_owned(),
        };
        if has_login(&url) {
            let error = Error::new(ErrorKind::BadValue, "the target's address has a user or a password in it");
            return Err(
                error.with_hint(Some(format!("set ${USER} and ${PASSWORD}: what is on a command line is seen")))
            );
        }
        let collection = Collection::parse(&url).ok_or_else(|| {
            let expected = "webdavs://host/path/, webdav:https://host/path/, or webdav://host/path/ without TLS";
            Error::value("the target", url.as_bytes(), expected)
        })?;
        Ok(Self { collection, login: LoginFrom::Environment })
    }

    /// Who is to ask: of the configuration, of the file that it names, or of the environment. Nothing: a server that asks nobody.
    pub fn find_login(&self, around: &Surroundings) -> Result<Option<Login>, Error> {
        match &self.login {
            LoginFrom::Section(login) => Ok(Some(login.clone())),
            LoginFrom::File { user, file } => {
                let bytes = secret::read(file, "password")?;
                let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
                let password = password(&bytes[..end]).ok_or_else(|| {
                    let found = format!("there is no password in {}", file.display());
                    Error::new(ErrorKind::BadValue, found).expected("one line with nothing but the password")
                })?;
                Ok(Some(Login { user: user.clone(), password }))
            }
            LoginFrom::Environment => {
                let word = |name: &str| around.variable(name).and_then(|value| value.into_string().ok());
                match (word(USER), word(PASSWORD).map(Zeroizing::new)) {
                    (None, None) => Ok(None),
                    (Some(user), Some(password)) if user_name(user.as_bytes()).is_ok() => {
                        Ok(Some(Login { user, password }))
                    }
                    _ => {
                        let found = format!("${USER} and ${PASSWORD} are no login");
                        Err(Error::new(ErrorKind::BadValue, found)
                            .expected("both, the user without a colon, or neither"))
                    }
                }
            }
        }
    }
}

/// An address with a user or a password is not repeated.
fn address(values: &Values<'_>, findings: &mut Findings) -> Option<Collection> {
    let entry = values.all("url").next()?;
    if has_login(&String::from_utf8_lossy(entry.value)) {
        let error = Error::new(ErrorKind::BadValue, "url has a user or a password in it");
        findings.wrong(entry.line, error.with_hint(Some("give them as `user` and `password`".into())));
        return None;
    }
    values.read("url", findings, |value| {
        let expected = "https://host/path/ or http://host/path/, with % for what no address has";
        Collection::parse(text(value)?).ok_or_else(|| expected.into())
    })
}

/// Whether there is something before the host, or may be: a password with a slash in it looks like a port that is no number.
fn has_login(url: &str) -> bool {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    authority.contains('@') || port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A colon ends a user's name (RFC 7617, section 2).
fn user_name(value: &[u8]) -> Result<String, String> {
    let text = text(value)?;
    let is_name = !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_control());
    if is_name { Ok(text.into()) } else { Err("a name without colons".into()) }
}

fn password(value: &[u8]) -> Option<Zeroizing<String>> {
    let text = text(value).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control))?;
    Some(Zeroizing::new(text.into()))
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;
    use crate::provider::{Pin, Trust};

    fn read(lines: &str) -> Result<WebDavSettings, Error> {
        let text = format!("[TARGET:x]\ntype = WebDAV\n{lines}");
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let around = Surroundings::of_test(1000);
        let settings = WebDavSettings::read(&Values::of(&sections[0]), false, &around, &mut findings);
        findings.finish()?;
        Ok(settings.unwrap())
    }

    #[test]
    fn an_address_with_a_login_is_known_by_its_looks() {
        for url in ["https://me:hush@h/a", "https://me@h/a", "https://me:hu/sh@h/a", "https://me:hu#sh@h", "me:hush@h"]
        {
            assert!(has_login(url), "{url}");
        }
        for url in ["https://h/me@home", "https://h:8443/a:b@c", "https://[fe80::a]/a", "https://[::1]:80/a", "//h"] {
            assert!(!has_login(url), "{url}");
        }
    }

    #[test]
    fn a_folder_and_who_asks() {
        let around = Surroundings::of_test(1000);
        let settings = read("url = https://cloud/dav/me@home\nuser = me\npassword = hu:sh! ö").unwrap();
        assert_eq!(settings.collection.to_string(), "https://cloud/dav/me%40home/");
        let login = settings.find_login(&around).unwrap().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("me", "hu:sh! ö"));
        assert!(!format!("{settings:?}").contains("hu:sh"), "{settings:?}");
        let pin = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(read("url = http://nas/\ninsecure_http = yes").unwrap().collection.is_clear_allowed);
        let error = read(&format!("url = http://nas/\ninsecure_http = yes\ntls_pin = {pin}")).unwrap_err().to_string();
        assert!(error.contains("tls_pin is there, and http://nas has no TLS"), "{error}");
        let settings = read(&format!("url = https://nas/\ntls_pin = {pin}")).unwrap();
        assert_eq!(settings.collection.trust, Trust::Pin(Pin::parse(pin).unwrap()));
        assert_eq!(settings.find_login(&around).unwrap(), None);
        let around = Surroundings { env: |name| name.starts_with("BRACKUP_WEBDAV_").then(|| name.into()), ..around };
        assert_eq!(settings.find_login(&around).unwrap().unwrap().password.as_str(), PASSWORD);
        let around = Surroundings { env: |name| name.ends_with("USER").then(|| name.into()), ..around };
        assert!(settings.find_login(&around).unwrap_err().to_string().contains("$BRACKUP_WEBDAV_PASSWORD"));
    }

    #[test]
    fn a_password_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let settings = read(&format!("url = https://cloud/\nuser = me\npassword_file = {}", file.display())).unwrap();
        let found = || settings.find_login(&Surroundings::of_test(1000));
        assert!(found().unwrap_err().to_string().contains("can't read the password in"));
        for (text, password) in [("hush \r\n", Some("hush ")), ("hush", Some("hush")), ("\n", None), ("a\nb\n", None)] {
            std::fs::write(&file, text).unwrap();
            let login = found().ok().flatten();
            assert_eq!(login.as_ref().map(|login| login.password.as_str()), password, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_a_secret_is_not() {
        for (lines, told) in [
            ("user = me\npassword = hush", "f:1: [TARGET:x] has no url, expected url = https://host/path/"),
            ("url = https://me:hush@cloud/dav/", "f:3: url has a user or a password in it"),
            ("url = me:hush@cloud/dav/", "f:3: url has a user or a password in it"),
            (
                "url = cloud/dav",
                "f:3: url is \"cloud/dav\", expected https://host/path/ or http://host/path/, with % for what no address has",
            ),
            (
                "url = https://cloud/\npassword = hush",
                "f:1: [TARGET:x] has no user, expected user and password, or neither",
            ),
            (
                "url = https://cloud/\nuser = me",
                "f:1: [TARGET:x] has no password, expected user and password or password_file, or neither",
            ),
            (
                "url = https://cloud/\nuser = me\npassword = hush\npassword_file = /x",
                "f:5: password and password_file are both there, expected one of them",
            ),
            (
                "url = https://cloud/\nuser = a:b\npassword = hush",
                "f:4: user is \"a:b\", expected a name without colons",
            ),
            (
                "url = https://cloud/\nuser = a\npassword = hu\u{1}sh",
                "f:5: password is empty, or has characters that no password has",
            ),
            (
                "url = https://cloud/\npassword: hush",
                "f:4: the line that has a secret, expected key = value, [section] or # comment",
            ),
            (
                "url = https://cloud/\ntls_ca = /x\ntls_pin = sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                "f:5: tls_pin and tls_ca are both there, expected one of them: with a pin nothing else of a certificate counts",
            ),
            (
                "url = https://cloud/\ntls_pin = 47DE",
                "f:4: tls_pin is \"47DE\", expected sha256// and the digest of the server's public key in base64",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn an_address_is_a_folder() {
        let url = |is_tls, rest| WebDavSettings::from_url(is_tls, rest).map(|settings| settings.collection.to_string());
        assert_eq!(url(true, "//cloud/dav").unwrap(), "https://cloud/dav/");
        assert_eq!(url(false, "//cloud/dav").unwrap(), "http://cloud/dav/");
        assert_eq!(url(false, "https://cloud/dav/").unwrap(), "https://cloud/dav/");
        for (is_tls, rest) in [(true, "//me:hush@cloud/"), (false, "https://me:hush@cloud/"), (false, "me:hush@cloud")]
        {
            let error = url(is_tls, rest).unwrap_err();
            assert!(!format!("{error:?}").contains("hush"), "{error}");
            assert!(error.hint().unwrap().contains("$BRACKUP_WEBDAV_PASSWORD"));
        }
        for wrong in ["cloud", "ftp://cloud", "//", "//cloud/../x", "//cloud/?x"] {
            assert!(url(true, wrong).is_err(), "{wrong}");
        }
    }
}
