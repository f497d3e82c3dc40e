//! How long a first backup would take, from what each step takes alone. An estimate: disks and CPUs have other things to do.
//!
//! The model is that of a backup's threads: the walk and the caller's thread find, read, digest, compress and remember, and share the
//! reading of small files; the sealer seals and names; storers write. Side by side they take as long as the slowest of them, but not
//! less than all work together takes the CPUs there are. One CPU does one after the other.

use super::{Measured, Report, What};
use crate::seal::Suite;

/// A step of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finding and looking at entries.
    Walking,
    /// From the disk.
    Reading,
    /// SHA-1 and BLAKE3 of contents.
    Digesting,
    /// zstd.
    Compressing,
    /// The local database.
    Remembering,
    /// The cipher, and the SHA-1 that names an object.
    Sealing,
    /// To the target.
    Writing,
}

/// What a first backup would take.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// In all.
    pub seconds: f64,
    /// What takes the longest of what it waits for.
    pub slowest: Step,
    /// Writing is in it.
    pub is_written: bool,
}

/// Seconds of the clock, and of CPU.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
}

struct Costs {
    walk: Cost,
    small: Cost,
    large: Cost,
    digest: Cost,
    compress: Cost,
    remember: Cost,
    seal: Cost,
    write: Cost,
}

impl Step {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Walking => "walking",
            Self::Reading => "reading",
            Self::Digesting => "digesting",
            Self::Compressing => "compressing",
            Self::Remembering => "remembering",
            Self::Sealing => "sealing",
            Self::Writing => "writing",
        }
    }
}

impl Report {
    /// An estimate for so many CPUs; nothing if no source was measured to the end.
    pub fn estimate(&self, suite: Suite, cpus: usize, on_one_disk: bool) -> Option<Estimate> {
        if self.interrupted {
            return None;
        }
        Some(self.costs(suite)?.estimate(cpus, on_one_disk, self.of(What::Write).is_some()))
    }

    fn costs(&self, suite: Suite) -> Option<Costs> {
        let totals = self.totals?;
        let of = |what, count: f64| self.of(what).map_or_else(Cost::default, |measured| cost(measured, count));
        let (bytes, small_bytes) = (totals.bytes as f64, totals.small_bytes as f64);
        let (small, large) = match (self.of(What::ReadSmall), self.of(What::Read)) {
            (Some(small), None) => {
                let by_bytes = Measured { count: small.bytes, ..*small };
                (cost(small, totals.small_files as f64), cost(&by_bytes, bytes - small_bytes))
            }
            (None, Some(large)) => (Cost::default(), cost(large, bytes)),
            (small, large) => {
                let of = |measured: Option<&Measured>, count| measured.map_or_else(Cost::default, |m| cost(m, count));
                (of(small, totals.small_files as f64), of(large, bytes - small_bytes))
            }
        };
        let left = self.of(What::Compress).map_or(1.0, Measured::part_left);
        let stored = bytes * left;
        let name = of(What::Sha1, stored);
        Some(Costs {
            walk: of(What::Walk, totals.entries as f64),
            small,
            large,
            digest: of(What::Sha1, bytes) + of(What::Blake3, bytes),
            compress: of(What::Compress, bytes),
            remember: of(What::Remember, totals.files as f64),
            seal: of(What::seal(suite), stored) + name,
            // A stage names what it takes: that was measured with it, and is the sealer's.
            write: of(What::Write, stored).without(name),
        })
    }
}

impl Costs {
    fn estimate(&self, cpus: usize, on_one_disk: bool, is_written: bool) -> Estimate {
        use Step::{Compressing, Digesting, Reading, Remembering, Sealing, Walking, Writing};
        let read = self.small + self.large;
        let all = [
            (Walking, self.walk),
            (Reading, read),
            (Digesting, self.digest),
            (Compressing, self.compress),
            (Remembering, self.remember),
            (Sealing, self.seal),
            (Writing, self.write),
        ];
        let slowest = |of: &[Step]| {
            let of = all.iter().filter(|(step, _)| of.contains(step));
            of.max_by(|(_, one), (_, other)| one.wall.total_cmp(&other.wall)).map_or(Reading, |(step, _)| *step)
        };
        let everything = all.map(|(step, _)| step);
        if cpus < 2 {
            let seconds = all.iter().map(|(_, cost)| cost.wall).sum();
            return Estimate { seconds, slowest: slowest(&everything), is_written };
        }
        let caller = read + self.digest + self.compress + self.remember;
        // Small files are read by whichever of the two threads has time.
        let front = (caller.wall - self.small.wall).max((self.walk + caller).wall / 2.0);
        let cpu = all.iter().map(|(_, cost)| cost.cpu).sum::<f64>() / cpus as f64;
        let disk = if on_one_disk { read.wall + self.write.wall } else { 0.0 };
        let bounds = [
            (self.walk.wall, Walking),
            (front, slowest(&[Walking, Reading, Digesting, Compressing, Remembering])),
            (self.seal.wall, Sealing),
            (self.write.wall, Writing),
            (disk, slowest(&[Reading, Writing])),
            (cpu, slowest(&everything)),
        ];
        let longest = bounds.into_iter().max_by(|(one, _), (other, _)| one.total_cmp(other));
        let (seconds, slowest) = longest.unwrap_or((0.0, Reading));
        Estimate { seconds, slowest, is_written }
    }
}

fn cost(measured: &Measured, count: f64) -> Cost {
    let (wall, cpu) = measured.each();
    Cost { wall: wall * count, cpu: cpu * count }
}

impl Cost {
    fn without(self, other: Self) -> Self {
        Self { wall: (self.wall - other.wall).max(0.0), cpu: (self.cpu - other.cpu).max(0.0) }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::Totals;

    /// So many milliseconds for a thousand of its unit, half of it on a CPU; half is left of what is compressed.
    fn measured(what: What, milliseconds: u64) -> Measured {
        let wall = Duration::from_millis(milliseconds);
        Measured { what, count: 1000, bytes: 1000, left: 500, wall, cpu: wall / 2 }
    }

    fn report(of: &[(What, u64)]) -> Report {
        let totals =
            Totals { entries: 3000, files: 2000, bytes: 10_000, small_files: 1000, small_bytes: 2000, whole: true };
        let measured = of.iter().map(|(what, milliseconds)| measured(*what, *milliseconds)).collect();
        Report { measured, totals: Some(totals), interrupted: false, failed: None }
    }

    #[track_caller]
    fn takes(report: &Report, cpus: usize, on_one_disk: bool, seconds: f64, slowest: Step) {
        let estimate = report.estimate(Suite::Aes256Gcm, cpus, on_one_disk).unwrap();
        assert!((estimate.seconds - seconds).abs() < 1e-9, "{estimate:?}, expected {seconds}");
        assert_eq!(estimate.slowest, slowest);
    }

    #[test]
    fn one_cpu_does_one_after_the_other() {
        use What::{Blake3, Compress, Read, ReadSmall, Remember, SealAes, Sha1, Walk, Write};
        let report = report(&[
            (Walk, 100),
            (ReadSmall, 200),
            (Read, 300),
            (Sha1, 10),
            (Blake3, 20),
            (Compress, 40),
            (Remember, 50),
            (SealAes, 60),
            (Write, 110),
        ]);
        // 0.3 walk, 0.2 + 2.4 read, 0.3 digest, 0.4 compress, 0.1 remember, 5000 stored: 0.3 + 0.05 seal, 0.5 write.
        takes(&report, 1, false, 0.3 + 2.6 + 0.3 + 0.4 + 0.1 + 0.35 + 0.5, Step::Reading);
        // The caller's thread, but for the small files, which the walk has time for.
        takes(&report, 2, false, 2.4 + 0.3 + 0.4 + 0.1, Step::Reading);
        takes(&report, 2, true, 2.4 + 0.3 + 0.4 + 0.1, Step::Reading);
    }

    #[test]
    fn the_slowest_thread_or_disk_counts() {
        use What::{Read, SealAes, Sha1, Walk, Write};
        takes(&report(&[(Read, 100), (SealAes, 300)]), 2, false, 3.0, Step::Sealing);
        takes(&report(&[(Read, 100), (Write, 400)]), 2, false, 4.0, Step::Writing);
        takes(&report(&[(Read, 100), (Write, 400)]), 2, true, 5.0, Step::Writing);
        takes(&report(&[(Walk, 4000), (Read, 100)]), 2, false, 12.0, Step::Walking);
        // The name is the sealer's, and is not written twice.
        let report = report(&[(Read, 300), (SealAes, 250), (Write, 500), (Sha1, 200)]);
        takes(&report, 2, false, 5.0, Step::Reading);
        takes(&report, 1, false, 3.0 + 2.0 + 4.5 + 3.0, Step::Sealing);
    }

    #[test]
    fn what_was_measured_beside_other_programs_is_known() {
        assert!((report(&[(What::Sha1, 100), (What::Read, 900)]).cpu_share() - 0.5).abs() < 1e-9);
        assert!((report(&[(What::Read, 900)]).cpu_share() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_faster_cipher_is_faster_by_a_tenth() {
        let faster = |aes, chacha| report(&[(What::SealAes, aes), (What::SealChaCha, chacha)]).faster_suite();
        assert_eq!(faster(100, 105), None);
        assert_eq!((faster(100, 120), faster(120, 100)), (Some(Suite::Aes256Gcm), Some(Suite::ChaCha20Poly1305)));
    }

    #[test]
    fn files_of_a_size_that_no_sample_has_are_read_as_the_others() {
        takes(&report(&[(What::Read, 100)]), 1, false, 1.0, Step::Reading);
        // A thousand small files of a byte took a tenth of a second: so do the 8000 bytes of larger ones, by their bytes.
        takes(&report(&[(What::ReadSmall, 100)]), 1, false, 0.1 + 0.8, Step::Reading);
    }
}
