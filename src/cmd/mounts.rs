//! The kernel's table of mounts: on what a place is, and whether that is fit to be written to in every run.

use std::path::{Path, PathBuf};

use brackup::config::BoxOptions;
use brackup::fsutil::read_small;

pub(super) const TABLE: &str = "/proc/self/mountinfo";
/// A table of mounts, or of disks.
const TABLE_BYTES_MAX: u64 = 1024 * 1024;

/// One of them, as proc_pid_mountinfo(5) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mount<'l> {
    /// Names in the path that it is mounted at.
    depth: usize,
    /// Major and minor number of its device.
    pub(super) number: &'l str,
    kind: &'l str,
    pub(super) device: &'l str,
    options: &'l str,
}

impl<'l> Mount<'l> {
    /// The one that a place is on. Of two at one place the later one counts.
    pub(super) fn of(table: &'l str, place: &Path) -> Option<Self> {
        table.lines().filter_map(|line| Self::above(line, place)).max_by_key(|mount| mount.depth)
    }

    fn above(line: &'l str, place: &Path) -> Option<Self> {
        let (mount, device) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (number, at) = (fields.next()?, fields.nth(1)?.replace("\\040", " "));
        let mut fields = device.split(' ');
        let (kind, device, options) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
        let depth = Path::new(&at).components().count();
        place.starts_with(&at).then_some(Self { depth, number, kind, device, options })
    }

    /// Why it is not fit to be written to in every run: it wears out, or forgets.
    fn unfit(&self, table: &str) -> Option<&'static str> {
        const FLASH: &str = "is on flash, which wears out: every run writes to it";
        const MEMORY: &str =
            "is in memory: what is there is gone when the box is switched off, and takes memory until then";
        let device = self.device.strip_prefix("/dev/").unwrap_or(self.device);
        match self.kind {
            "jffs2" | "squashfs" | "ubifs" | "yaffs" | "yaffs2" => Some(FLASH),
            "ramfs" | "rootfs" | "tmpfs" => Some(MEMORY),
            // The root of a router: what lies above what the firmware came with.
            "overlay" | "overlayfs" => {
                let upper = self.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
                let below = Mount::of(table, Path::new(upper))?;
                if below.kind == self.kind { None } else { below.unfit(table) }
            }
            _ if device.starts_with("zram") => Some(MEMORY),
            // Cards and chips, by the name or by the number that Linux gives to nothing else: the root is often called /dev/root.
            _ if ["mmcblk", "mtdblock", "ubiblock"].iter().any(|flash| device.starts_with(flash)) => Some(FLASH),
            _ if ["31:", "179:"].iter().any(|flash| self.number.starts_with(flash)) => Some(FLASH),
            _ => None,
        }
    }
}

/// A table that the kernel makes; empty where there is none.
pub(super) fn table(path: &str) -> String {
    let bytes = read_small(Path::new(path), TABLE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is to be said of where the box keeps what it writes in every run.
pub(super) fn warnings(own: &BoxOptions) -> Vec<String> {
    let table = table(TABLE);
    let spool = (!own.spool_dir.starts_with(&own.state_dir)).then_some(("spool_dir", &own.spool_dir));
    let places = [Some(("state_dir", &own.state_dir)), spool];
    let told = |(key, place): (&str, &PathBuf)| {
        let why = Mount::of(&table, &that_is_there(place))?.unfit(&table)?;
        Some(format!("{key} {} {why}; set {key} in [BOX] to a folder on the data disk", place.display()))
    };
    places.into_iter().flatten().filter_map(told).collect()
}

/// The place, or what is above it and is there, without links.
fn that_is_there(place: &Path) -> PathBuf {
    place.ancestors().find_map(|place| place.canonicalize().ok()).unwrap_or_else(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_and_memory_are_told_from_disks() {
        let is = |place: &str, mounts: &str| {
            let why = Mount::of(mounts, Path::new(place)).unwrap().unfit(mounts);
            why.map_or("fit", |why| if why.contains("flash") { "flash" } else { "memory" })
        };
        // Armbian, with and without what keeps logs in memory; OpenMediaVault; a NAS with a RAID.
        let armbian = "\
22 1 179:1 / / rw,noatime - ext4 /dev/mmcblk0p1 rw
23 22 0:22 / /tmp rw - tmpfs tmpfs rw
24 22 252:0 / /var/log rw - ext4 /dev/zram1 rw
25 22 9:0 / /srv/raid rw shared:1 - ext4 /dev/md0 rw
26 22 8:17 / /srv/usb rw - f2fs /dev/sdb1 rw
";
        assert_eq!(is("/var/lib/brackup", armbian), "flash");
        assert_eq!((is("/tmp/x", armbian), is("/var/log/x", armbian)), ("memory", "memory"));
        assert_eq!((is("/srv/raid/state", armbian), is("/srv/usb", armbian)), ("fit", "fit"));
        assert_eq!(is("/var", "22 1 179:2 / / rw - ext4 /dev/root rw\n"), "flash", "by its number");
        assert_eq!(is("/var", "22 1 8:2 / / rw - ext4 /dev/root rw\n"), "fit");
        assert_eq!(is("/var", "22 1 0:16 / / rw - ubifs ubi0:rootfs rw\n"), "flash");
        assert_eq!(is("/var", "22 1 0:1 / / rw - rootfs rootfs rw\n"), "memory");
        // OpenWrt, on flash and on a disk; a container, whose upper folder is not to be seen from within.
        let router = |below: &str| {
            format!(
                "20 1 31:3 / /rom ro - squashfs /dev/root ro\n21 1 {below} rw\n22 1 0:17 / / rw - overlay overlayfs:/overlay rw,lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work\n"
            )
        };
        assert_eq!(is("/etc", &router("31:6 / /overlay rw - jffs2 /dev/mtdblock6")), "flash");
        assert_eq!(is("/etc", &router("0:16 / /overlay rw - tmpfs tmpfs")), "memory");
        assert_eq!(is("/etc", &router("8:1 / /overlay rw - ext4 /dev/sda1")), "fit");
        let container =
            "22 1 0:40 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/1/diff,workdir=/w\n";
        assert_eq!(is("/etc", container), "fit");
        assert_eq!(Mount::of("", Path::new("/")), None);
    }

    #[test]
    fn a_place_that_is_not_there_yet_is_looked_for_above() {
        let folder = tempfile::TempDir::new().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(that_is_there(&folder.path().join("link/brackup/state")), real);
    }
}
