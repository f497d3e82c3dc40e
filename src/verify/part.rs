//! Which chunks a night reads: all, or those that nobody has looked at for longest. By days, so that a million chunks are counted in little memory.

use crate::catalog::Listing;
use crate::db::{Check, Checks, Db};

use super::Error;

const DAY_SECONDS: i64 = 86_400;
/// Ages in days that are told apart. The last one is that of chunks that were never looked at.
const AGES: usize = 4096;

/// What is asked for. Nothing of it: everything is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// At most so many in a hundred of all chunks, the ones that were not looked at for longest.
    pub percent: Option<f64>,
    /// Only what was not looked at for so long.
    pub older_than_seconds: Option<i64>,
}

/// Which chunks that comes to.
#[derive(Debug)]
pub(super) struct Plan {
    now: i64,
    part: Part,
    /// Of this age so many are read, and all that are older.
    age: usize,
    of_age: u64,
    /// About what is read in all.
    pub(super) bytes: u64,
}

impl Plan {
    pub(super) fn make(part: Part, listing: &Listing, memory: Option<(&Db, &str)>, now: i64) -> Result<Self, Error> {
        let mut plan = Self { now, part, age: 0, of_age: 0, bytes: 0 };
        let mut checks = memory.map(|(db, identity)| Checks::open(db, identity));
        let (mut all, mut ages) = (0_u64, vec![(0_u64, 0_u64); AGES]);
        for chunk in listing.chunks() {
            let (key, length) = chunk?;
            let check = checks.as_mut().map_or(Ok(None), |checks| checks.of(&key))?;
            all += 1;
            if let Some(age) = plan.age_of(check) {
                ages[age].0 += 1;
                ages[age].1 += length;
            }
        }
        let share = part.percent.map(|percent| (all as f64 * percent / 100.0).ceil() as u64);
        let mut left = share.unwrap_or(u64::MAX);
        for (age, (chunks, bytes)) in ages.into_iter().enumerate().rev() {
            (plan.age, plan.of_age) = (age, chunks.min(left));
            // Of a day of which not all are read: as if all had one length.
            plan.bytes += (bytes as f64 * plan.of_age as f64 / chunks.max(1) as f64) as u64;
            left -= plan.of_age;
            if left == 0 {
                break;
            }
        }
        Ok(plan)
    }

    /// Whether this one is read. To be asked once of each, in the order of the listing.
    pub(super) fn takes(&mut self, check: Option<Check>) -> bool {
        match self.age_of(check) {
            Some(age) if age == self.age && self.of_age > 0 => {
                self.of_age -= 1;
                true
            }
            age => age.is_some_and(|age| age > self.age),
        }
    }

    /// Nothing: it was looked at not long ago.
    fn age_of(&self, check: Option<Check>) -> Option<usize> {
        // What was damaged is looked at, and told, until it is not there any more.
        if check.is_some_and(|check| !check.is_whole) {
            return Some(AGES - 1);
        }
        let Some(at) = check.and_then(|check| check.looked_at(self.now)) else { return Some(AGES - 1) };
        let age = self.now - at;
        let is_meant = self.part.older_than_seconds.is_none_or(|seconds| age >= seconds);
        is_meant.then(|| usize::try_from(age / DAY_SECONDS).unwrap_or(AGES).min(AGES - 2))
    }
}
