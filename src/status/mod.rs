//! What the service knows and shows: of each source at each target whether the data is safe, and what goes on now.
//!
//! All of it is in memory. Whoever looks at it asks no disk (docs/CONFIG.md "What wakes a disk"), and what comes of a look can't be large.

mod board;
mod copied;
mod json;
mod metrics;
mod running;
mod verdict;

pub use board::{Board, Order};
pub use json::json;
pub use metrics::metrics;
pub use running::{Progress, Running};
pub use verdict::{Level, UPKEEP, Verdict, age, of_all, of_pair};

use crate::db::{Deed, Holding, Past};

const DAY_SECONDS: i64 = 86_400;

/// What is shown, as it was at a moment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// When, in seconds since 1970 by the clock of the box.
    pub now: i64,
    /// The name of the box.
    pub host: String,
    /// Since when the service runs.
    pub since: i64,
    /// Why nothing is run although it should be: the clock is not set, the database can't be read.
    pub trouble: Option<String>,
    /// Why what the box remembers can't be read, and will not be by waiting.
    pub unread: Option<String>,
    /// What is waited for: another run of Brackup.
    pub waiting: Option<String>,
    /// Sources that no job backs up.
    pub without_job: Vec<String>,
    /// Each source at each target that a job names, and each target that it copies to each.
    pub pairs: Vec<Pair>,
    /// What is being done.
    pub running: Option<Progress>,
    /// Up to when nothing is begun, as somebody asked for.
    pub paused_until: Option<i64>,
}

impl Report {
    /// Of how many nobody knows whether they are safe: it was not read.
    pub fn unknown(&self) -> usize {
        self.pairs.iter().filter(|pair| !pair.is_known).count()
    }
}

/// A source at a target, or what was copied there from another target.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// The job that brings it there; empty: none does, but somebody, or cron.
    pub job: String,
    /// The name of the source; of a copy, of the target that it is from.
    pub source: String,
    /// What is at one target is copied to another, whoever stored it.
    pub is_copy: bool,
    /// The name of the target.
    pub target: String,
    /// When the job runs next, and seconds from then to the time after that.
    pub next: Option<i64>,
    /// See [`Pair::next`].
    pub every: Option<i64>,
    /// Whether what the box remembers was read; before that nobody knows.
    pub is_known: bool,
    /// What is there.
    pub holding: Holding,
    /// The newest link of its chain: number, name, SHA-256 of the footer in hex.
    pub head: Option<(u64, String, String)>,
    /// Bytes that are free at the target, and when that was seen.
    pub free: Option<(u64, i64)>,
    /// What was done, the oldest first.
    pub past: Vec<Past>,
}

impl Pair {
    /// Whether no job brings it there.
    pub fn is_by_hand(&self) -> bool {
        self.job.is_empty()
    }

    /// What is done there first of all.
    pub fn deed(&self) -> Deed {
        if self.is_copy { Deed::Copy } else { Deed::Backup }
    }

    /// Whether it is this source at this target.
    pub fn is_of(&self, source: &str, target: &str) -> bool {
        !self.is_copy && self.source == source && self.target == target
    }

    /// Whether it is the same, maybe by another job.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.is_copy, &self.source, &self.target) == (other.is_copy, &other.source, &other.target)
    }

    /// The last time that this was done, or tried.
    pub fn last(&self, what: Deed) -> Option<&Past> {
        self.past.iter().rev().find(|past| past.what == what)
    }

    /// The last backup that came to be.
    pub fn last_good(&self) -> Option<&Past> {
        self.past.iter().rev().find(|past| past.what == Deed::Backup && past.is_good())
    }

    /// When that was, or the last copy of all, if it is there still. A time that is yet to come is that of a clock that was wrong.
    pub fn good_at(&self, now: i64) -> Option<i64> {
        let good = self.past.iter().filter(|past| past.what == self.deed() && past.is_good()).map(|past| past.ended);
        let all = good.chain(self.holding.newest).filter(|at| *at - now < DAY_SECONDS);
        all.max().filter(|_| self.is_copy || !self.is_known || self.holding.backups > 0)
    }

    /// Its last backups, or copies, at most so many, the oldest first.
    pub fn nights(&self, most: usize) -> impl Iterator<Item = &Past> {
        let backups = |past: &&Past| past.what == self.deed();
        let all = self.past.iter().filter(backups).count();
        self.past.iter().filter(backups).skip(all.saturating_sub(most))
    }
}
