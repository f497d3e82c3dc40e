//! The root of a box, in a folder: the init scripts run there as they are shipped, by busybox's shell and commands.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::shipped;
use crate::program::Ran;

const SERVICE: &str = "package/brackup/S99brackup";
const DATA: &str = "board/brackup/rootfs-overlay/etc/init.d/S30brackup-data";
/// What the scripts may use: what Buildroot's busybox has, with board/brackup/busybox.fragment.
const COMMANDS: &[&str] = &[
    "cat",
    "chmod",
    "chown",
    "cp",
    "findfs",
    "ionice",
    "mkdir",
    "mount",
    "mountpoint",
    "mv",
    "nice",
    "rm",
    "sleep",
    "start-stop-daemon",
    "sync",
    "tail",
    "tr",
    "umount",
];
/// What keeps it running, on every kind of box.
const BACKGROUND: &str = "../dist/common/background.sh";
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A folder that stands for the root of a box.
pub(crate) struct BoxRoot {
    temporary: TempDir,
}

impl BoxRoot {
    /// With the configuration that is shipped, and settings of a test.
    pub(crate) fn new(settings: &str) -> Self {
        let new = Self { temporary: TempDir::new().unwrap() };
        fs::set_permissions(new.temporary.path(), Permissions::from_mode(0o755)).unwrap();
        for folder in ["bin", "usr/bin", "usr/share/brackup", "var/run", "etc/default", "etc/brackup/keys", "mnt/data"]
        {
            fs::create_dir_all(new.path(folder)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("busybox: tests/setup installs it");
        let list = Command::new(busybox).arg("--list").output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        for command in COMMANDS {
            // Debian's busybox lacks a few.
            let has = list.lines().any(|has| has == *command);
            let program = if has { busybox.to_owned() } else { format!("/usr/bin/{command}") };
            symlink(program, new.path("bin").join(command)).unwrap();
        }
        symlink(busybox, new.path("bin/busybox")).unwrap();
        new.write("etc/default/brackup", settings);
        let background = shipped::text(BACKGROUND);
        assert!(background.contains("\nAGAIN_AFTER=60\n"), "a minute is too long for a test");
        new.write("usr/share/brackup/background.sh", &background.replace("\nAGAIN_AFTER=60\n", "\nAGAIN_AFTER=2\n"));
        new.write(
            "etc/brackup/brackup.conf",
            &new.inside(&shipped::text("package/brackup/brackup.conf"), &["/etc/", "/mnt/data"]),
        );
        new
    }

    /// What is told to the system's log lies in a file then, to be read by [`BoxRoot::logged`].
    pub(crate) fn with_log(self) -> Self {
        // A shell of busybox takes its own `logger`, whatever the path has.
        self.reword("    logger ", &format!("    echo >>{} ", self.path("log").display()));
        self
    }

    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.temporary.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }

    /// A text whose paths are in this folder.
    fn inside(&self, text: &str, paths: &[&str]) -> String {
        let mut text = text.to_owned();
        for path in paths {
            assert!(text.contains(path), "{path}:\n{text}");
            text = text.replace(path, self.path(path.trim_start_matches('/')).to_str().unwrap());
            if path.ends_with('/') {
                text = text.replace("//", "/");
            }
        }
        text
    }

    /// Another word of what keeps it running.
    pub(crate) fn reword(&self, word: &str, by: &str) {
        let script = "usr/share/brackup/background.sh";
        let text = fs::read_to_string(self.path(script)).unwrap();
        assert_eq!(text.matches(word).count(), 1, "{text}");
        self.write(script, &text.replace(word, by));
    }

    /// What is killed does not come back while a test lasts.
    pub(crate) fn long_gone(self) -> Self {
        self.reword("\nAGAIN_AFTER=2\n", "\nAGAIN_AFTER=600\n");
        self
    }

    /// While the file `wait` is there no file names the program that was begun.
    pub(crate) fn names_it_late(self) -> Self {
        let wait = format!("mine=$program; while [ -e {} ]; do sleep 1; done\n", self.path("wait").display());
        self.reword("mine=$program\n", &wait);
        self
    }

    /// Until there is no shell any more that would start it again.
    pub(crate) fn is_kept_by_nobody(&self) {
        let begin = Instant::now();
        let script = self.path("S99brackup");
        let is_of_it = |process: fs::DirEntry| {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(script.to_str().unwrap())
        };
        while fs::read_dir("/proc").unwrap().flatten().any(is_of_it) {
            assert!(begin.elapsed() < WAIT_MAX, "it would be started again");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn run(&self, script: &str, paths: &[&str], verb: &str) -> Ran {
        let name = script.rsplit('/').next().unwrap();
        // A group of that name is on a box, and not here.
        self.write(name, &self.inside(&shipped::text(script), paths).replace("brackup:brackup", "0:0"));
        let mut shell = Command::new(self.path("bin/busybox"));
        shell.arg("sh").arg(self.path(name)).arg(verb).env_clear().env("PATH", self.path("bin"));
        Ran::of(&shell.current_dir("/").output().unwrap())
    }

    pub(crate) fn service(&self, verb: &str) -> Ran {
        self.run(SERVICE, &["/usr/bin/", "/usr/share/", "/var/run/", "/etc/"], verb)
    }

    pub(crate) fn data(&self, verb: &str) -> Ran {
        self.run(DATA, &["/etc/", "/mnt/data"], verb)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.path("var/run/brackup.pid")).ok()?.trim().parse().ok()
    }

    /// The real program.
    pub(crate) fn with_program(self) -> Self {
        symlink(env!("CARGO_BIN_EXE_brackup"), self.path("usr/bin/brackup")).unwrap();
        self
    }

    /// A program that checks as the real one does, and for a service writes what it is told into the file `said`.
    pub(crate) fn with_stand_in(self, service: &str) -> Self {
        let said = self.path("said");
        let text = format!(
            "#!/bin/bash\nPATH=/usr/bin:/bin\n[ \"$1\" != config ] || exec {} \"$@\"\n\
             # By the name of an interpreter it would not be known.\n\
             [ -n \"$AGAIN\" ] || AGAIN=1 exec -a \"$0\" /bin/bash \"$0\" \"$@\"\n\
             say() {{ echo \"$*\" >>{}; }}\n{service}\n",
            env!("CARGO_BIN_EXE_brackup"),
            said.display()
        );
        let program = self.path("usr/bin/brackup");
        fs::write(&program, text).unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
        fs::write(&said, "").unwrap();
        fs::set_permissions(said, Permissions::from_mode(0o666)).unwrap();
        self
    }

    /// Waits until the stand-in said it.
    #[track_caller]
    pub(crate) fn heard(&self, what: &str) {
        let begin = Instant::now();
        loop {
            let said = fs::read_to_string(self.path("said")).unwrap();
            if said.lines().any(|line| line == what) {
                return;
            }
            assert!(begin.elapsed() < WAIT_MAX, "no {what:?} in {said:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for BoxRoot {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|pid| runs(*pid)) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        for mount in ["etc/brackup", "mnt/data"] {
            let _ = Command::new("umount").arg("--lazy").arg(self.path(mount)).output();
        }
    }
}

pub(crate) fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("\nState:\tZ")
}

/// Waits until a process that was killed has ended, also while others have the processors. Nobody may have taken note of it yet.
pub(crate) fn has_ended(pid: u32) {
    let begin = Instant::now();
    while runs(pid) {
        assert!(begin.elapsed() < Duration::from_secs(30), "{pid} runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A disk with a label, in a file.
pub(crate) struct Disk {
    _temporary: TempDir,
    device: String,
}

impl Disk {
    pub(crate) fn labelled(label: &str) -> Self {
        let temporary = TempDir::new().unwrap();
        let image = temporary.path().join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        tool("mkfs.ext4", &["-q", "-L", label, image.to_str().unwrap()]);
        let device = tool("losetup", &["--find", "--show", image.to_str().unwrap()]).trim().to_owned();
        Self { _temporary: temporary, device }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.device]);
    }
}

pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}
