//! Whether the disks of a job are used by somebody, without waking one: the kernel counts what each has done, in memory.
//!
//! A look at the counters is worth something only beside an earlier one; the service takes one whenever it is awake. What is not on a disk
//! that is counted (a network, memory, a pool of ZFS) can't be known to sleep, and is taken for awake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brackup::config::{Config, JobOptions, TargetKind};

use crate::cmd::mounts::{self, Mount};

/// So long after it was used a disk is taken for awake. Disks are told to sleep after ten minutes and more.
const LATELY: Duration = Duration::from_secs(600);

/// The last look at the disk of each source that a job wakes none for.
#[derive(Default)]
pub(super) struct Disks(BTreeMap<PathBuf, Look>);

struct Look {
    /// Nothing: it is not counted.
    counted: Option<u64>,
    /// By the uptime.
    used: Option<Duration>,
}

impl Disks {
    /// Looks at the disks of all jobs that wake none.
    pub(super) fn look(&mut self, config: &Config, uptime: Duration) {
        let places: Vec<&PathBuf> =
            config.jobs.iter().filter(|job| !job.wakes).flat_map(|job| places(job, config)).collect();
        if places.is_empty() {
            return self.forget();
        }
        let (mounts, disks) = (mounts::table(mounts::TABLE), mounts::table("/proc/diskstats"));
        self.0.retain(|place, _| places.contains(&place));
        for place in places {
            self.note(place, counted(&mounts, &disks, place), uptime);
        }
    }

    fn note(&mut self, place: &Path, counted: Option<u64>, uptime: Duration) {
        match self.0.get_mut(place) {
            Some(look) if look.counted == counted => {}
            Some(look) => *look = Look { counted, used: Some(uptime) },
            None => drop(self.0.insert(place.to_owned(), Look { counted, used: None })),
        }
    }

    /// Whether somebody uses the disks of all sources of this job, or it can't be known.
    pub(super) fn are_awake(&self, job: &JobOptions, config: &Config, uptime: Duration) -> bool {
        places(job, config).all(|place| self.is_awake(place, uptime))
    }

    fn is_awake(&self, place: &Path, uptime: Duration) -> bool {
        let Some(look) = self.0.get(place) else { return false };
        look.counted.is_none() || look.used.is_some_and(|used| uptime.saturating_sub(used) < LATELY)
    }

    /// A job has used them: that was not somebody else.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Where the sources of a job are, and the folders that it copies. A disk that only its targets are on would not be used by anybody else: it is
/// not asked for.
fn places<'a>(job: &JobOptions, config: &'a Config) -> impl Iterator<Item = &'a PathBuf> {
    let sources = config.sources.iter().filter(|source| job.from.contains(&source.name)).map(|source| &source.path);
    let copied = config.targets.iter().filter(|target| job.copy_from.contains(&target.name));
    sources.chain(copied.filter_map(|target| match &target.kind {
        TargetKind::Filesystem { path } => Some(path),
        _ => None,
    }))
}

/// Reads and writes of the disk that a place is on; nothing: it is on none that is counted.
fn counted(mounts: &str, disks: &str, place: &Path) -> Option<u64> {
    let mount = Mount::of(mounts, place)?;
    let name = mount.device.rsplit('/').next().unwrap_or_default();
    let is_it =
        |line: &[&str]| line.len() > 7 && (format!("{}:{}", line[0], line[1]) == mount.number || line[2] == name);
    let line = disks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>()).find(|line| is_it(line))?;
    // Completed reads and writes, after the kernel's Documentation/admin-guide/iostats.rst.
    line[3].parse::<u64>().ok()?.checked_add(line[7].parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 179:2 / / rw,noatime - ext4 /dev/mmcblk0p2 rw
25 22 0:22 / /run rw - tmpfs tmpfs rw
30 22 8:1 / /raid rw shared:1 - ext4 /dev/sda1 rw
31 30 0:40 /home /raid/home rw - btrfs /dev/sdb1 rw
32 22 9:0 / /my\\040disk rw - xfs /dev/md0 rw
";
    const DISKS: &str = " 179 2 mmcblk0p2 5 0 40 1 6 0 8 1 0 1 2
   8 1 sda1 100 0 800 10 200 0 1600 20 0 30 30
   8 17 sdb1 1 0 8 1 2 0 16 2 0 3 3
   9 0 md0 7 0 8 1 8 0 16 2 0 3 3
";

    #[test]
    fn each_place_is_counted_on_its_own_disk() {
        let of = |place: &str| counted(MOUNTS, DISKS, Path::new(place));
        assert_eq!(of("/etc"), Some(11));
        assert_eq!((of("/raid"), of("/raid/backup/x")), (Some(300), Some(300)));
        assert_eq!(of("/raidx"), Some(11), "another folder");
        assert_eq!(of("/raid/home/brad"), Some(3), "by the name of its device");
        assert_eq!(of("/my disk/x"), Some(15));
        assert_eq!(of("/run/x"), None, "no disk");
    }

    #[test]
    fn only_what_has_been_used_lately_is_awake() {
        let (at, place) = (Duration::from_secs, Path::new("/raid"));
        let mut disks = Disks::default();
        assert!(!disks.is_awake(place, at(0)), "not looked at");
        disks.note(place, Some(300), at(1));
        disks.note(place, Some(300), at(301));
        assert!(!disks.is_awake(place, at(301)), "nobody used it");
        disks.note(place, Some(301), at(601));
        assert!(disks.is_awake(place, at(601)) && disks.is_awake(place, at(1200)));
        disks.note(place, Some(301), at(1201));
        assert!(!disks.is_awake(place, at(1201)));
        disks.note(place, Some(999), at(1300));
        disks.forget();
        disks.note(place, Some(1500), at(1301));
        assert!(!disks.is_awake(place, at(1301)), "it was a job");
        disks.note(Path::new("/run"), None, at(1));
        assert!(disks.is_awake(Path::new("/run"), at(1)), "not known");
    }

    #[test]
    fn all_sources_of_a_job_count() {
        let text = "[SOURCE:s]\npath=/s\nrecipient=A\n[TARGET:u]\ntype=Filesystem\npath=/u\n[TARGET:t]\ntype=Filesystem\npath=/t\n\
                    [JOB:n]\nfrom=s\ncopy_from=u\nto=t\nat=02:30\nwake=never\n[BOX]\nstate_dir=/b\nspool_dir=/b\nkey_dir=/b\n";
        let config = Config::parse(Path::new("f"), text.as_bytes()).unwrap();
        let (at, mut disks) = (Duration::from_secs, Disks::default());
        for place in ["/s", "/u"] {
            assert!(!disks.are_awake(&config.jobs[0], &config, at(2)), "{place}");
            disks.note(Path::new(place), Some(1), at(1));
            disks.note(Path::new(place), Some(2), at(2));
        }
        assert!(disks.are_awake(&config.jobs[0], &config, at(2)));
    }
}
