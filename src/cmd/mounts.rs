//! The kernel's table of mounts: on what a place is, and whether that wears out or forgets.
//!
//! Seen are cards and chips by their names and numbers, file systems for flash, memory, and what an overlay writes to. Not seen: a stick or an SSD,
//! which look like a disk; what a mapper or a pool is made of; an overlay whose upper folder is hidden, as in a container.

use std::io;
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

/// What is not fit for what has to stay and is written often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    Flash,
    Memory,
}

impl<'l> Mount<'l> {
    /// The one that a place is on. Of two at one place the later one counts.
    pub(super) fn of(table: &'l str, place: &Path) -> Option<Self> {
        let place = place.to_string_lossy();
        table.lines().filter_map(|line| Self::above(line, Path::new(&*place))).max_by_key(|mount| mount.depth)
    }

    fn above(line: &'l str, place: &Path) -> Option<Self> {
        let (mount, device) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (number, at) = (fields.next()?, unescaped(fields.nth(1)?));
        let mut fields = device.split(' ');
        let (kind, device, options) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
        let depth = Path::new(&at).components().count();
        place.starts_with(&at).then_some(Self { depth, number, kind, device, options })
    }

    fn medium(&self, table: &str) -> Option<Medium> {
        let device = self.device.strip_prefix("/dev/").unwrap_or(self.device);
        let is_of = |names: &[&str]| names.iter().any(|name| device.starts_with(name));
        // Linux gives these numbers to nothing else: the root is often called /dev/root.
        let is_numbered = |majors: &[&str]| majors.iter().any(|major| self.number.starts_with(major));
        match self.kind {
            "jffs2" | "ubifs" | "yaffs" | "yaffs2" => Some(Medium::Flash),
            "devtmpfs" | "ramfs" | "rootfs" | "tmpfs" => Some(Medium::Memory),
            // The root of a router: what lies above what the firmware came with.
            "overlay" | "overlayfs" => {
                let upper = self.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
                let below = Mount::of(table, Path::new(&unescaped(upper)))?;
                let is_image = below.device.starts_with("/dev/loop");
                match below.kind {
                    "overlay" | "overlayfs" => None,
                    // The rest of a card behind the firmware.
                    _ if is_image => Some(Medium::Flash),
                    _ => below.medium(table),
                }
            }
            _ if is_of(&["ram", "zram"]) || is_numbered(&["1:"]) => Some(Medium::Memory),
            _ if is_of(&["fit", "mmcblk", "mtdblock", "ubiblock"]) || is_numbered(&["31:", "179:"]) => {
                Some(Medium::Flash)
            }
            _ => None,
        }
    }
}

/// Blanks and the like are three octal digits in such tables.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => plain.extend([char::from(code)].into_iter().chain(part[3..].chars())),
            None => plain.extend(['\\'].into_iter().chain(part.chars())),
        }
    }
    plain
}

/// A table that the kernel makes; empty where there is none.
pub(super) fn table(path: &str) -> String {
    let bytes = read_small(Path::new(path), TABLE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is to be said of where the box keeps what has to stay, and what it writes in every run.
pub(super) fn warnings(own: &BoxOptions) -> Vec<String> {
    let table = table(TABLE);
    let of = |key, place: &Path| {
        let (medium, is_there) = medium(&table, place)?;
        warning(key, place, medium, is_there)
    };
    let state = of("state_dir", &own.state_dir);
    let keys = of("key_dir", &own.key_dir);
    // Said once of what is in one place.
    let spool =
        of("spool_dir", &own.spool_dir).filter(|_| state.is_none() || !own.spool_dir.starts_with(&own.state_dir));
    [state, spool, keys].into_iter().flatten().collect()
}

/// What a place is on, if that is not a disk, and whether it is there itself. A disk is left alone: links are followed from flash and memory only.
fn medium(table: &str, place: &Path) -> Option<(Medium, bool)> {
    Mount::of(table, place)?.medium(table)?;
    let (there, is_it) = that_is_there(place)?;
    Some((Mount::of(table, &there)?.medium(table)?, is_it))
}

/// The place, or what is above it and is there, without links; and whether it is the place. Nothing: it can't be known.
fn that_is_there(place: &Path) -> Option<(PathBuf, bool)> {
    for above in place.ancestors() {
        match above.canonicalize() {
            Ok(there) => return Some((there, above == place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    None
}

fn warning(key: &str, place: &Path, medium: Medium, is_there: bool) -> Option<String> {
    let why = match (key, medium) {
        ("state_dir" | "spool_dir", Medium::Flash) => "on flash, and every run wears it",
        ("state_dir", Medium::Memory) => "in memory, and what every run reads is gone when the box is switched off",
        ("key_dir", Medium::Memory) => "in memory, and the key of the box is gone when it is switched off",
        // Keys are written once; what waits for a server is there until then.
        _ => return None,
    };
    let place = place.display();
    Some(if is_there {
        format!("{key} {place} is {why}; if the box has a disk, set {key} in [BOX] to a folder on it")
    } else {
        format!("{key} {place} is not there, and would be {why}; is its disk mounted?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(place: &str, table: &str) -> &'static str {
        match Mount::of(table, Path::new(place)).unwrap().medium(table) {
            Some(Medium::Flash) => "flash",
            Some(Medium::Memory) => "memory",
            None => "fit",
        }
    }

    #[test]
    fn flash_and_memory_are_told_from_disks() {
        // Armbian, with what keeps logs in memory; a RAID, a stick.
        let armbian = "\
22 1 179:1 / / rw,noatime - ext4 /dev/mmcblk0p1 rw
23 22 0:22 / /tmp rw - tmpfs tmpfs rw
24 22 252:0 / /var/log rw - ext4 /dev/zram1 rw
25 22 9:0 / /srv/raid rw shared:1 - ext4 /dev/md0 rw
26 22 8:17 / /srv/a\\040tab\\011\\134here rw - f2fs /dev/sdb1 rw
";
        assert_eq!(is("/var/lib/brackup", armbian), "flash");
        assert_eq!((is("/tmp/x", armbian), is("/var/log/x", armbian)), ("memory", "memory"));
        assert_eq!((is("/srv/raid/state", armbian), is("/srv/a tab\t\\here/x", armbian)), ("fit", "fit"));
        let root = |device: &str| format!("22 1 {device} rw\n");
        assert_eq!(is("/var", &root("179:2 / / rw - ext4 /dev/root")), "flash", "by its number");
        assert_eq!(is("/var", &root("1:0 / / rw - ext2 /dev/root")), "memory", "by its number");
        assert_eq!(is("/var", &root("8:2 / / rw - ext4 /dev/root")), "fit");
        assert_eq!(is("/var", &root("0:16 / / rw - ubifs ubi0:rootfs")), "flash");
        assert_eq!(is("/var", &root("259:3 / / rw - f2fs /dev/fitrw")), "flash");
        assert_eq!(is("/var", &root("0:1 / / rw - rootfs rootfs")), "memory");
        assert_eq!(Mount::of("", Path::new("/")), None);
    }

    #[test]
    fn an_overlay_is_what_it_writes_to() {
        let router = |below: &str| {
            let overlay = "rw,lowerdir=/,upperdir=/over\\040lay/upper,workdir=/over\\040lay/work";
            format!(
                "20 1 31:3 / /rom ro - squashfs /dev/root ro\n21 1 {below} rw\n22 1 0:17 / / rw - overlay overlayfs:/overlay {overlay}\n"
            )
        };
        assert_eq!(is("/etc", &router("31:6 / /over\\040lay rw - jffs2 /dev/mtdblock6")), "flash");
        assert_eq!(is("/etc", &router("7:0 / /over\\040lay rw - f2fs /dev/loop0")), "flash");
        assert_eq!(is("/etc", &router("0:16 / /over\\040lay rw - tmpfs tmpfs")), "memory");
        assert_eq!(is("/etc", &router("8:1 / /over\\040lay rw - ext4 /dev/sda1")), "fit");
        let container = "22 1 0:40 / / rw - overlay overlay rw,upperdir=/var/lib/docker/1/diff,workdir=/w\n";
        assert_eq!(is("/etc", container), "fit", "its upper folder is not to be seen from within");
    }

    #[test]
    fn a_disk_that_is_not_mounted_is_asked_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        let place = folder.path().join("link/disk/state");
        assert_eq!(that_is_there(&place), Some((real.clone(), false)));
        assert_eq!(that_is_there(&folder.path().join("link")), Some((real, true)));
        let card = "22 1 179:1 / / rw,noatime - ext4 /dev/mmcblk0p1 rw\n";
        assert_eq!(medium(card, &place), Some((Medium::Flash, false)));
        let told = |key, medium, is_there| warning(key, &place, medium, is_there).unwrap_or_default();
        assert!(told("state_dir", Medium::Flash, false).ends_with("is its disk mounted?"));
        assert!(told("state_dir", Medium::Flash, true).ends_with("set state_dir in [BOX] to a folder on it"));
        assert!(told("key_dir", Medium::Memory, true).contains("the key of the box is gone"));
        assert_eq!((told("key_dir", Medium::Flash, true), told("spool_dir", Medium::Memory, true)), Default::default());
    }

    #[test]
    fn a_link_to_a_disk_is_followed() {
        let folder = tempfile::TempDir::new().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let link = real.join("link");
        std::os::unix::fs::symlink(real.join("disk"), &link).unwrap();
        std::fs::create_dir(real.join("disk")).unwrap();
        let table = format!(
            "22 1 179:1 / / rw - ext4 /dev/mmcblk0p1 rw\n25 22 8:1 / {} rw - ext4 /dev/sda1 rw\n",
            real.join("disk").display()
        );
        assert_eq!(medium(&table, &link), None);
        assert_eq!(medium(&table, &real), Some((Medium::Flash, true)));
    }
}
