//! The real binary, with a home of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use brackup::seal::{Identity, SecretFile};
use tempfile::TempDir;

use super::tree::Tree;

/// A home with a configuration of one source `tree` and one target `disk`, and a key.
pub(crate) struct Program {
    temporary: TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) key: PathBuf,
}

impl Program {
    /// To back up `source` to a folder in its home.
    pub(crate) fn new(source: &Path) -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = temporary.path().join("target");
        Self::at(temporary, source, folder)
    }

    /// To back up `source` to `folder`.
    pub(crate) fn to(source: &Path, folder: &Path) -> Self {
        Self::at(TempDir::new().unwrap(), source, folder.into())
    }

    fn at(temporary: TempDir, source: &Path, folder: PathBuf) -> Self {
        let home = temporary.path();
        let key = home.join("secret.key");
        let identity = Identity::generate().unwrap();
        let text = format!(
            "[BOX]\npiece_size = 64k\n[TARGET:disk]\ntype = Filesystem\npath = {}\n\
             [SOURCE:tree]\npath = {}\nchunk_size = 1MiB\nrecipient = {}\n",
            folder.display(),
            source.display(),
            identity.recipient()
        );
        fs::write(home.join(".brackup.conf"), text).unwrap();
        SecretFile { identity, boxes: Vec::new() }.create(&key, "for a test", None).unwrap();
        Self { temporary, folder, key }
    }

    /// Makes its target `disk` another one, with these lines.
    pub(crate) fn set_target(&self, lines: &str) {
        let config = self.home().join(".brackup.conf");
        let text = fs::read_to_string(&config).unwrap();
        let (before, after) = (text.find("[TARGET:disk]").unwrap(), text.find("[SOURCE:tree]").unwrap());
        let (before, after) = (&text[..before], &text[after..]);
        fs::write(&config, format!("{before}[TARGET:disk]\n{lines}\n{after}")).unwrap();
    }

    pub(crate) fn home(&self) -> &Path {
        self.temporary.path()
    }

    /// A command that is not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO_BIN_EXE_brackup")), arguments)
    }

    /// The same, by a program that starts it.
    #[cfg(feature = "s3")]
    pub(crate) fn command_under(&self, by: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(env!("CARGO_BIN_EXE_brackup"));
        self.prepare(command, arguments)
    }

    /// The same as a user who owns nothing but this home. For root only.
    pub(crate) fn command_as_nobody(&self, arguments: &[&str]) -> Command {
        let binary = self.home().join("brackup");
        if !binary.exists() {
            // By another process: what this one writes, a child of another test has open for a moment, and a file that is written to is not run.
            let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_brackup")).arg(&binary).status().unwrap();
            assert!(copied.success());
        }
        fs::set_permissions(self.home(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in fs::read_dir(self.home()).unwrap().map(|entry| entry.unwrap().path()).chain([self.home().into()]) {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(binary);
        self.prepare(command, arguments)
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).arg("--progress=none").env_clear().current_dir(self.home());
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.home()).env("TMPDIR", self.home());
        command.env("BRACKUP_STATE_DIR", self.home().join("state")).env("BRACKUP_KEY_DIR", self.home().join("keys"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn backup(&self) -> Output {
        self.run(&["--from=tree", "--to=disk"])
    }

    /// Restores the newest backup.
    pub(crate) fn restore(&self, to: &Path) -> Output {
        let (to, key) = (to.to_str().unwrap(), self.key.to_str().unwrap());
        self.run(&["restore", "tree:latest", "--to", to, "--key", key])
    }

    /// Backs `tree` up and restores it as it is; gives what the backup said.
    #[track_caller]
    pub(crate) fn comes_back(&self, tree: &Tree) -> Output {
        let backed_up = self.run(&["--from=tree", "--to=disk", "--json"]);
        assert_eq!(code(&backed_up), Some(0), "{}", stderr(&backed_up));
        let to = Tree::absent();
        let restored = self.restore(&to.root);
        assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
        tree.snapshot().assert_same(&to.snapshot());
        backed_up
    }
}

/// The exit code; a signal is none.
pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
