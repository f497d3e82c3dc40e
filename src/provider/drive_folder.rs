//! A folder of Google Drive, and the program that asks for it.

use std::fmt;

use zeroize::Zeroizing;

use super::{Endpoint, Trust};

const PATH_BYTES_MAX: usize = 1024;

/// Which folder, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveFolder {
    /// Of the folders on the way to it, from the top, and its own.
    names: Vec<String>,
    /// Who keeps files.
    pub api: Endpoint,
    /// Who lets in.
    pub oauth: Endpoint,
    /// Whose certificates are.
    pub trust: Trust,
}

impl DriveFolder {
    /// Google's own server of files.
    pub const API: &str = "www.googleapis.com";
    /// Google's own server of logins.
    pub const OAUTH: &str = "oauth2.googleapis.com";

    /// Of a path like `Backups/nas`. Nothing if it is none: no name in it may be empty or all dots.
    pub fn parse(path: &str) -> Option<Self> {
        let names: Vec<_> = path.trim_matches('/').split('/').map(str::to_owned).collect();
        let is_name = |name: &String| !matches!(name.as_str(), "" | "." | "..") && !name.contains(char::is_control);
        let is_path = path.len() <= PATH_BYTES_MAX && names.iter().all(is_name);
        let (api, oauth) = (Endpoint::https(Self::API), Endpoint::https(Self::OAUTH));
        is_path.then_some(Self { names, api, oauth, trust: Trust::System })
    }

    /// The names on the way, from the top.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl fmt::Display for DriveFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gdrive://{}/{}", self.api.authority(), self.names.join("/"))
    }
}

/// The program, as Google knows it: an OAuth client (RFC 6749, section 2). It is the owner's own.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthClient {
    /// Public.
    pub id: String,
    /// Google gives one to clients of the kind "TVs and Limited Input devices", too.
    pub secret: Option<Zeroizing<String>>,
}

impl fmt::Debug for OauthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OauthClient({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder() {
        for (path, names) in [("nas", &["nas"][..]), ("/Backups/a 'b'/", &["Backups", "a 'b'"])] {
            let folder = DriveFolder::parse(path).unwrap();
            assert_eq!(folder.names(), names);
            assert_eq!(folder.to_string(), format!("gdrive://www.googleapis.com/{}", names.join("/")));
        }
        for wrong in ["", "/", "a//b", "a/../b", ".", "a\nb", &"a".repeat(1025)] {
            assert_eq!(DriveFolder::parse(wrong), None, "{wrong}");
        }
    }
}
