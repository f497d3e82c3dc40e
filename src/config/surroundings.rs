//! What of the process matters to a configuration: who runs it, where home is, the environment.
//!
//! Gathered in one value so that tests can make one up. Nothing here creates or changes anything.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind, quoted, shown};

const ABSOLUTE: &str = "an absolute path or one that begins with ~/";

/// Who runs this and where.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// `$HOME`, if it is absolute.
    pub home: Option<PathBuf>,
    /// The effective user.
    pub uid: u32,
    /// A variable of the environment.
    pub env: fn(&str) -> Option<OsString>,
    /// Where `brackup/brackup.conf` of the whole machine is.
    pub etc: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let env: fn(&str) -> Option<OsString> = |name| std::env::var_os(name);
        Self {
            home: env("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            uid: effective_uid(),
            env,
            etc: PathBuf::from("/etc"),
        }
    }

    /// The files that are looked for, in this order, if nobody names one.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let own = self.home.iter().map(|home| home.join(".brackup.conf"));
        own.chain([self.etc.join("brackup/brackup.conf")]).collect()
    }

    /// The variable, unless it is unset or empty.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The variable as a path. A relative one is an error: it would change with the working directory.
    pub(super) fn path_variable(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let Some(value) = self.variable(name) else {
            return Ok(None);
        };
        let path = self.path(value.as_bytes()).map_err(|expected| {
            Error::new(ErrorKind::BadValue, format!("it is {}", quoted(value.as_bytes())))
                .expected(expected)
                .at(&format!("${name}"), 0)
        })?;
        Ok(Some(path))
    }

    /// A path from the file, `~` made home. The error is what was expected instead.
    pub(super) fn path(&self, value: &[u8]) -> Result<PathBuf, String> {
        let path = match (value, &self.home) {
            ([b'~'] | [b'~', b'/', ..], None) => return Err("an absolute path, as $HOME is not set".into()),
            ([b'~', rest @ ..], Some(home)) if rest.is_empty() || rest[0] == b'/' => {
                let rest = rest.iter().skip_while(|byte| **byte == b'/');
                home.join(OsString::from_vec(rest.copied().collect()))
            }
            _ => PathBuf::from(OsString::from_vec(value.to_vec())),
        };
        if path.is_absolute() {
            return Ok(path);
        }
        match value {
            [b'"' | b'\'', ..] => Err(format!("{ABSOLUTE}, without quotes")),
            _ => Err(ABSOLUTE.into()),
        }
    }

    /// The path as people know it, with `~` for home.
    pub(super) fn shorten(&self, path: &Path) -> String {
        let home = self.home.iter().filter(|home| **home != Path::new("/"));
        let inside = home.flat_map(|home| path.strip_prefix(home)).next();
        match inside {
            Some(inside) => format!("~/{}", shown(inside.as_os_str().as_bytes(), usize::MAX)),
            None => shown(path.as_os_str().as_bytes(), usize::MAX),
        }
    }

    pub(super) fn default_state_dir(&self) -> Result<PathBuf, Error> {
        match self.uid {
            0 => Ok(PathBuf::from("/var/lib/brackup")),
            _ => self.user_dir("XDG_STATE_HOME", ".local/state", "state_dir"),
        }
    }

    pub(super) fn default_key_dir(&self) -> Result<PathBuf, Error> {
        match self.uid {
            0 => Ok(PathBuf::from("/var/lib/brackup/keys")),
            _ => Ok(self.user_dir("XDG_CONFIG_HOME", ".config", "key_dir")?.join("keys")),
        }
    }

    /// The XDG specification has relative values ignored.
    fn user_dir(&self, variable: &str, in_home: &str, key: &str) -> Result<PathBuf, Error> {
        let base = self.variable(variable).map(PathBuf::from);
        let base = base.filter(|base| base.is_absolute());
        match base.or_else(|| self.home.as_ref().map(|home| home.join(in_home))) {
            Some(base) => Ok(base.join("brackup")),
            None => Err(Error::new(ErrorKind::NoHome, format!("no default for {key}: $HOME is not set"))
                .with_hint(Some(format!("set $HOME, or $BRACKUP_{}, or {key} in [BOX]", key.to_ascii_uppercase())))),
        }
    }
}

/// std has no geteuid, but the kernel makes the effective user the owner of the process's folder (for a
/// process without core dumps too: proc(5)). Without /proc nobody is taken for root.
fn effective_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(u32::MAX, |folder| folder.uid())
}

#[cfg(test)]
impl Surroundings {
    /// A user with nothing set but home.
    pub(super) fn of_test(uid: u32) -> Self {
        Self { home: Some(PathBuf::from("/home/brad")), uid, env: |_| None, etc: PathBuf::from("/nonexistent/etc") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_process_is_this_process() {
        let now = Surroundings::of_process();
        let marker = std::env::temp_dir().join(format!("brackup-uid-{}", std::process::id()));
        std::fs::write(&marker, "").unwrap();
        let uid = std::fs::metadata(&marker).unwrap().uid();
        std::fs::remove_file(&marker).unwrap();
        assert_eq!(now.uid, uid);
        assert_eq!((now.env)("PATH"), std::env::var_os("PATH"));
        assert_eq!(now.home, std::env::var_os("HOME").map(PathBuf::from));
        assert_eq!(now.places().last(), Some(&"/etc/brackup/brackup.conf".into()));
    }

    #[test]
    fn paths_are_absolute_and_know_home() {
        let around = Surroundings::of_test(1000);
        for (value, path) in [
            ("/raid/x/", "/raid/x/"),
            ("~", "/home/brad"),
            ("~/", "/home/brad"),
            ("~/x", "/home/brad/x"),
            ("~//etc", "/home/brad/etc"),
            ("/x/~/y", "/x/~/y"),
        ] {
            assert_eq!(around.path(value.as_bytes()), Ok(PathBuf::from(path)), "{value}");
        }
        let latin = around.path(b"/caf\xe9").unwrap();
        assert_eq!(latin.as_os_str().as_bytes(), b"/caf\xe9");
        for value in ["x", "./x", "~brad/x", "../x"] {
            assert_eq!(around.path(value.as_bytes()), Err(ABSOLUTE.to_owned()));
        }
        for value in ["\"/x\"", "'/x'"] {
            let expected = "an absolute path or one that begins with ~/, without quotes";
            assert_eq!(around.path(value.as_bytes()), Err(expected.to_owned()));
        }
        let homeless = Surroundings { home: None, ..around };
        for value in ["~", "~/x"] {
            let expected = "an absolute path, as $HOME is not set";
            assert_eq!(homeless.path(value.as_bytes()), Err(expected.to_owned()));
        }
        assert_eq!(homeless.path(b"/x"), Ok("/x".into()));
    }

    #[test]
    fn shorten_knows_home() {
        let mut around = Surroundings::of_test(1000);
        assert_eq!(around.shorten("/home/brad/.brackup.conf".as_ref()), "~/.brackup.conf");
        assert_eq!(around.shorten("/home/bradley/x".as_ref()), "/home/bradley/x");
        assert_eq!(around.shorten("rel\x1b".as_ref()), "rel\\u{1b}");
        around.home = Some("/".into());
        assert_eq!(around.shorten("/etc/x".as_ref()), "/etc/x");
        around.home = None;
        assert_eq!(around.shorten("/etc/x".as_ref()), "/etc/x");
    }

    #[test]
    fn default_folders_of_root_and_of_others() {
        let root = Surroundings::of_test(0);
        assert_eq!(root.default_state_dir().unwrap(), Path::new("/var/lib/brackup"));
        assert_eq!(root.default_key_dir().unwrap(), Path::new("/var/lib/brackup/keys"));
        let mut user = Surroundings::of_test(1000);
        let state = |user: &Surroundings| user.default_state_dir().unwrap();
        let keys = |user: &Surroundings| user.default_key_dir().unwrap();
        assert_eq!(state(&user), Path::new("/home/brad/.local/state/brackup"));
        assert_eq!(keys(&user), Path::new("/home/brad/.config/brackup/keys"));
        user.env = |name| match name {
            "XDG_STATE_HOME" => Some("/xs".into()),
            "XDG_CONFIG_HOME" => Some("/xc".into()),
            _ => None,
        };
        assert_eq!(state(&user), Path::new("/xs/brackup"));
        assert_eq!(keys(&user), Path::new("/xc/brackup/keys"));
        user.env = |_| Some("relative".into());
        assert_eq!(state(&user), Path::new("/home/brad/.local/state/brackup"));
        user.home = None;
        let error = user.default_state_dir().unwrap_err();
        assert_eq!(error.to_string(), "no default for state_dir: $HOME is not set");
        assert_eq!(error.hint().as_deref(), Some("set $HOME, or $BRACKUP_STATE_DIR, or state_dir in [BOX]"));
        assert_eq!(user.default_key_dir().unwrap_err().kind(), ErrorKind::NoHome);
    }

    #[test]
    fn variables_are_paths_or_errors() {
        let mut around = Surroundings::of_test(1000);
        around.env = |_| Some("".into());
        assert!(around.path_variable("X").unwrap().is_none());
        around.env = |_| Some("~/x".into());
        assert_eq!(around.path_variable("X").unwrap(), Some("/home/brad/x".into()));
        around.env = |_| Some("x".into());
        assert_eq!(
            around.path_variable("BRACKUP_STATE_DIR").unwrap_err().to_string(),
            "$BRACKUP_STATE_DIR: it is \"x\", expected an absolute path or one that begins with ~/"
        );
    }
}
