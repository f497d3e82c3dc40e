//! What Google gave this box at its login, in a file of key_dir: without it somebody must log in again.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::fsutil;
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::target::error::{Error, ErrorKind};

const CLIENT: &str = "client_id: ";
const TOKEN: &str = "refresh_token: ";

/// The file of a target's login.
#[derive(Clone, Debug)]
pub struct GrantFile {
    path: PathBuf,
    /// Of the target, for hints.
    target: String,
}

impl GrantFile {
    /// That of a target by its name.
    pub fn of(key_dir: &Path, target: &str) -> Self {
        Self { path: key_dir.join(format!("google-drive-{target}.token")), target: target.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to do where this login does not do.
    pub(super) fn advice(&self) -> String {
        format!("log in again: brackup target login {}", self.target)
    }

    /// The token, if it was given to this client.
    pub(super) fn read(&self, client_id: &str) -> Result<Zeroizing<String>, Error> {
        let path = self.path.display();
        let failed = |error| Error::io(format!("can't read the login at Google Drive in {path}"), error);
        let denied = |why: String| Error::new(ErrorKind::Refused, why);
        let mode = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let advice = format!("log in: brackup target login {}", self.target);
                return Err(denied(format!("there is no login at Google Drive: {path} is not there")).advise(advice));
            }
            there => there.map_err(failed)?.permissions().mode(),
        };
        if mode & 0o077 != 0 {
            return Err(denied(format!("others may read the login at Google Drive in {path}"))
                .advise(format!("take that from them: chmod 600 {path}; if they may have: {}", self.advice())));
        }
        let bytes = fsutil::read_small(&self.path, KEY_FILE_BYTES_MAX).map(Zeroizing::new).map_err(failed)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let value = |key| text.lines().find_map(|line: &str| line.strip_prefix(key)).map(str::trim);
        match (value(CLIENT), value(TOKEN).filter(|token| !token.is_empty())) {
            (Some(client), Some(token)) if client == client_id => Ok(Zeroizing::new(token.to_owned())),
            (Some(_), Some(_)) => {
                Err(denied(format!("the login at Google Drive in {path} is that of another client_id"))
                    .advise(self.advice()))
            }
            _ => Err(Error::new(ErrorKind::Corrupt, format!("the login at Google Drive in {path} is malformed"))
                .advise(self.advice())),
        }
    }

    /// In place of the one that is there.
    pub(super) fn write(&self, client_id: &str, token: &str) -> Result<(), Error> {
        let text = Zeroizing::new(format!(
            "# brackup: the login of [TARGET:{}] at Google Drive. Whoever has it can read and remove what is there.\n{CLIENT}{client_id}\n{TOKEN}{token}\n",
            self.target
        ));
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        let written = fsutil::create_private_directory(folder);
        let written = written.and_then(|()| fsutil::replace_secret(&self.path, text.as_bytes()));
        written.map_err(|error| {
            Error::io(format!("can't write the login at Google Drive to {}", self.path.display()), error)
                .advise("see key_dir in [BOX]")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = GrantFile::of(&folder.path().join("keys"), "cloud");
        let error = file.read("id").unwrap_err();
        assert_eq!(error.hint(), Some("log in: brackup target login cloud"));
        for token in ["1//hush", "1//other"] {
            file.write("id", token).unwrap();
            assert_eq!(file.read("id").unwrap().as_str(), token);
        }
        assert_eq!(std::fs::read_dir(file.path().parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let error = file.read("another").unwrap_err();
        assert!(error.to_string().ends_with("is that of another client_id"), "{error}");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file.read("id").unwrap_err().hint().unwrap().starts_with("take that from them: chmod 600"));
        for text in ["", "client_id: id\n", "client_id: id\nrefresh_token: \n", "\u{fffd}"] {
            file.write("id", "x").unwrap();
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(file.read("id").unwrap_err().kind, ErrorKind::Corrupt, "{text:?}");
        }
    }
}
