//! The program in an environment of its own: nothing of the user who runs the tests gets in, nothing of theirs gets out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::tree::Folder;

/// A box: a folder with a home, a configuration, keys and state, and the program to run in it.
pub(crate) struct TestBox {
    folder: Folder,
    variables: Vec<(String, String)>,
}

/// What a run said.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl TestBox {
    /// Without sources, targets and keys.
    pub(crate) fn new() -> Self {
        let new = Self { folder: Folder::new(), variables: Vec::new() };
        fs::create_dir(new.path("home")).unwrap();
        new.configure("");
        new
    }

    /// With the source `tree` (chunks of 1 MiB, of the folder `tree`) sealed to the key `secret.key`, and the target `store`.
    pub(crate) fn ready(cipher: &str) -> Self {
        let new = Self::new();
        let key = new.path("secret.key");
        let made = new.brackup(["keygen", "--json", "--out", key.to_str().unwrap()]).is(0);
        let recipient = made.json()["public_key"].as_str().unwrap().to_owned();
        new.configure(&format!(
            "[BOX]\ncipher = {cipher}\n[SOURCE:tree]\npath = {}\nrecipient = {recipient}\nchunk_size = 1MiB\n\
             [TARGET:store]\ntype = Filesystem\npath = {}\n",
            new.path("tree").display(),
            new.path("store").display()
        ));
        fs::create_dir(new.path("store")).unwrap();
        new
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("brackup.conf"), text).unwrap();
    }

    /// Sets a variable for all runs.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A path in the folder of the box.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, to be given arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brackup"));
        self.surround(&mut command);
        command
    }

    /// Gives a command the environment of the box.
    pub(crate) fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.folder.path())
            .env("BRACKUP_CONF", self.path("brackup.conf"))
            .env("BRACKUP_STATE_DIR", self.path("state"))
            .env("BRACKUP_KEY_DIR", self.path("keys"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null());
    }

    pub(crate) fn brackup<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&self.command().args(arguments).output().unwrap())
    }

    /// Backs up; gives the backup's name.
    pub(crate) fn backup(&self) -> String {
        let ran = self.brackup(["--from=tree", "--to=store", "--json"]).is(0);
        ran.json()["backup"].as_str().unwrap().to_owned()
    }

    /// The options by which a backup of [`TestBox::ready`] is opened.
    pub(crate) fn opening(&self) -> [String; 4] {
        ["--from".into(), "store".into(), "--key".into(), self.path("secret.key").display().to_string()]
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// The one object that it printed.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}", self.out))
    }

    /// The objects that it printed, one a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

/// Words for people: `brackup: error: …`, perhaps `brackup: hint: …`, lower case, no full stop, nothing on stdout.
#[track_caller]
pub(crate) fn is_an_error(ran: Ran, code: i32, error: &str, hint: &str) {
    let ran = ran.is(code);
    assert_eq!(ran.out, "", "stdout is data");
    let mut lines = ran.err.lines().filter(|line| !line.starts_with("brackup: warning: "));
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("brackup: error: ") && first.contains(error), "expected {error:?} in:\n{}", ran.err);
    let second = lines.next().unwrap_or_default();
    assert_eq!(second.starts_with("brackup: hint: "), !hint.is_empty(), "a hint?\n{}", ran.err);
    assert!(second.contains(hint), "expected {hint:?} in:\n{}", ran.err);
    for words in [first, second].iter().filter_map(|line| line.splitn(3, ": ").nth(2)) {
        assert!(!words.ends_with('.'), "a full stop: {words}");
        assert!(!words.starts_with(char::is_uppercase), "upper case: {words}");
    }
    assert_eq!(lines.next(), None, "more than an error and a hint:\n{}", ran.err);
}

/// Whether there is a `brackup serve`.
pub(crate) fn serves() -> bool {
    let told = Command::new(env!("CARGO_BIN_EXE_brackup")).args(["serve", "--help"]).output().unwrap();
    told.status.success()
}

/// Runs tests/archives/tree.sh.
pub(crate) fn make_tree(version: u8, folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives/tree.sh");
    let made = Command::new(script).arg(version.to_string()).arg(folder).output().unwrap();
    assert!(made.status.success(), "tests/archives/tree.sh: {}", String::from_utf8_lossy(&made.stderr));
}
