//! File systems of a test's own: full ones, read-only ones, damaged ones, and ones whose power is cut. For root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Block size of an [`Ext`].
const BLOCK: u64 = 1024;

/// A mounted file system; it is unmounted when this goes.
pub(crate) struct Mount {
    temporary: TempDir,
    pub(crate) at: PathBuf,
}

impl Mount {
    /// One in memory, of so many bytes.
    pub(crate) fn memory(bytes: u64) -> Self {
        let new = Self::unmounted();
        new.mount(&["-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "tmpfs"]);
        new
    }

    /// An ext4 of 64 MiB with a journal, in a file.
    pub(crate) fn disk() -> Self {
        Self::ext4(&["-b", "4096"])
    }

    /// One whose files have blocks that are found through blocks, so that a read can fail in the middle of a file.
    pub(crate) fn old_disk() -> Self {
        Self::ext4(&["-b", &BLOCK.to_string(), "-O", "^extents,^metadata_csum,^64bit,^has_journal"])
    }

    fn ext4(options: &[&str]) -> Self {
        let new = Self::unmounted();
        File::create(new.image()).unwrap().set_len(64 << 20).unwrap();
        let image = new.image();
        run("mkfs.ext4", &[&["-q"], options, &[image.to_str().unwrap()]].concat());
        new.mount_image();
        new
    }

    fn unmounted() -> Self {
        let temporary = TempDir::new().unwrap();
        let at = temporary.path().join("mounted");
        fs::create_dir(&at).unwrap();
        Self { temporary, at }
    }

    fn image(&self) -> PathBuf {
        self.temporary.path().join("image")
    }

    fn mount(&self, what: &[&str]) {
        run("mount", &[what, &[self.at.to_str().unwrap()]].concat());
    }

    /// Changes options, such as `size=…` or `ro`.
    pub(crate) fn remount(&self, options: &str) {
        self.mount(&["-o", &format!("remount,{options}")]);
    }

    pub(crate) fn mount_image(&self) {
        self.mount(&["-o", "loop", self.image().to_str().unwrap()]);
    }

    pub(crate) fn unmount(&self) {
        run("umount", &[self.at.to_str().unwrap()]);
    }

    /// Cuts the power: what was not made durable is lost, and every call fails until it is mounted again.
    pub(crate) fn cut_power(&self) {
        // EXT4_IOC_SHUTDOWN without a flush of the journal. There is no safe call for it in Rust.
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run("python3", &["-c", script, self.at.to_str().unwrap()]);
    }

    /// Makes a file of an [`Mount::old_disk`] unreadable from its 100th block on. It is unmounted for that.
    pub(crate) fn break_file(&self, name: &str) {
        self.unmount();
        let told = run("debugfs", &["-R", &format!("stat /{name}"), self.image().to_str().unwrap()]);
        let (_, behind) = told.split_once("(IND):").unwrap();
        let table: u64 = behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        let image = File::options().write(true).open(self.image()).unwrap();
        // Twelve blocks are named by the inode, the others by this table: it names blocks now that there are not.
        image.write_all_at(&[0xFF, 0xFF, 0xFF, 0x7F].repeat(50), table * BLOCK + (100 - 12) * 4).unwrap();
        self.mount_image();
    }

    /// Changes a byte of a file of an [`Mount::old_disk`] where it lies: its inode says nothing of it. It is unmounted for that.
    pub(crate) fn rot_file(&self, name: &str) {
        self.unmount();
        let told = run("debugfs", &["-R", &format!("bmap /{name} 100"), self.image().to_str().unwrap()]);
        let block: u64 = told.trim().parse().unwrap();
        let image = File::options().read(true).write(true).open(self.image()).unwrap();
        let mut byte = [0];
        image.read_exact_at(&mut byte, block * BLOCK).unwrap();
        image.write_all_at(&[byte[0] ^ 1], block * BLOCK).unwrap();
        self.mount_image();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a failed test may still have a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new(program).args(arguments).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fills a file system until nothing more goes in; gives the path of what fills it.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = File::create(&path).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    path
}
