//! How often something was done, and the time that it took: of the clock, and of the CPU.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::seal::Suite;

/// A step of a backup, as far as it is measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Finding and looking at entries.
    Walk,
    /// Small files of the source, from opening to closing.
    ReadSmall,
    /// Larger files of the source.
    Read,
    /// The digest of a file, and the name of an object.
    Sha1,
    /// The keyed digest of pieces.
    Blake3,
    /// Compression, kept or not.
    Compress,
    /// Rows of new files in the local database.
    Remember,
    /// AES-256-GCM.
    SealAes,
    /// ChaCha20-Poly1305.
    SealChaCha,
    /// Objects into a stage, and from there durably to their place.
    Write,
}

impl What {
    /// Sealing with this suite.
    pub(super) fn seal(suite: Suite) -> Self {
        match suite {
            Suite::Aes256Gcm => Self::SealAes,
            Suite::ChaCha20Poly1305 => Self::SealChaCha,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::ReadSmall => "read small files",
            Self::Read => "read",
            Self::Sha1 => "sha-1",
            Self::Blake3 => "blake3",
            Self::Compress => "compress",
            Self::Remember => "remember",
            Self::SealAes => "seal aes-256-gcm",
            Self::SealChaCha => "seal chacha20-poly1305",
            Self::Write => "write",
        }
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Walk => "entries",
            Self::ReadSmall | Self::Remember => "files",
            _ => "bytes",
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The step.
    pub what: What,
    /// In its unit.
    pub count: u64,
    /// Of contents that went through it.
    pub bytes: u64,
    /// Bytes that were left of them.
    pub left: u64,
    /// By the clock.
    pub wall: Duration,
    /// That this thread had a CPU.
    pub cpu: Duration,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new(what: What) -> Self {
        Self { what, count: 0, bytes: 0, left: 0, wall: Duration::ZERO, cpu: Duration::ZERO }
    }

    /// Does something and adds what time it took.
    pub(super) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (began, began_cpu) = (Instant::now(), thread_cpu());
        let done = work();
        self.wall += began.elapsed();
        self.cpu += thread_cpu().saturating_sub(began_cpu);
        done
    }

    /// Bytes have gone through it.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.count += bytes as u64;
        self.bytes += bytes as u64;
    }

    /// Its unit in a second.
    pub fn per_second(&self) -> f64 {
        // A clock with a coarse grain may not have moved.
        self.count as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// How much of the bytes was left.
    pub fn part_left(&self) -> f64 {
        self.left as f64 / self.bytes.max(1) as f64
    }

    /// Seconds for one of its unit: by the clock, and of CPU.
    pub(super) fn each(&self) -> (f64, f64) {
        let count = self.count.max(1) as f64;
        (self.wall.as_secs_f64() / count, self.cpu.as_secs_f64() / count)
    }
}

/// The time that this thread has had a CPU. Nothing, if the kernel can't say.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
