//! What the rules of a policy mean: docs/RETENTION.md, in code. Knows neither target nor database nor clock.

use std::collections::BTreeSet;
use std::fmt;

use crate::date::Utc;
use crate::policy::{Density, Policy};

const DAY: i64 = 86_400;

/// The number of the day, week … that a time is in.
type Period = fn(i64) -> i64;

/// Why a backup stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It is the newest link of its chain.
    Newest,
    /// Somebody pinned it.
    Pinned,
    /// Somebody was asked and said no, or named another one.
    Owner,
    /// Its time is yet to come: it keeps nothing else from being kept, and nobody knows how old it is.
    Future,
    /// See [`Policy`].
    Last,
    /// See [`Policy`].
    Daily,
    /// See [`Policy`].
    Weekly,
    /// See [`Policy`].
    Monthly,
    /// See [`Policy`].
    Yearly,
    /// See [`Policy`].
    Within,
    /// See [`Policy`].
    Thinning,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "newest",
            Self::Pinned => "pinned",
            Self::Owner => "owner",
            Self::Future => "in the future",
            Self::Last => "keep_last",
            Self::Daily => "keep_daily",
            Self::Weekly => "keep_weekly",
            Self::Monthly => "keep_monthly",
            Self::Yearly => "keep_yearly",
            Self::Within => "keep_within",
            Self::Thinning => "thinning",
        })
    }
}

/// The rules that keep each backup of a chain; none: it goes. `times` are those of the backups in the order of the chain, in seconds since
/// 1970, as `now` is.
pub fn decide(policy: &Policy, times: &[i64], now: i64) -> Vec<BTreeSet<Rule>> {
    let mut kept = vec![BTreeSet::new(); times.len()];
    if let Some(newest) = kept.last_mut() {
        newest.insert(Rule::Newest);
    }
    // Newest first; of two of one second the later one. What is in the future does not count.
    let (mut known, mut by_time) = (Vec::new(), Vec::new());
    for (at, time) in times.iter().enumerate().rev() {
        if *time > now {
            kept[at].insert(Rule::Future);
        } else {
            known.push(at);
            by_time.push(at);
        }
    }
    by_time.sort_by_key(|at| std::cmp::Reverse((times[*at], *at)));
    let Some(newest) = by_time.first().map(|at| times[*at]) else { return kept };
    let mut keep = |at: &usize, rule| {
        kept[*at].insert(rule);
    };
    // In the order of the chain: a clock that was wrong for a night makes no backup old.
    known.iter().take(most(policy.last)).for_each(|at| keep(at, Rule::Last));
    let periods = [
        (Rule::Daily, policy.daily, day as Period),
        (Rule::Weekly, policy.weekly, week),
        (Rule::Monthly, policy.monthly, month),
        (Rule::Yearly, policy.yearly, year),
    ];
    for (rule, count, period) in periods {
        firsts(&by_time, |at| period(times[at])).take(most(count)).for_each(|at| keep(&at, rule));
    }
    if let Some(within) = policy.within {
        let start = within.before(newest);
        by_time.iter().filter(|at| times[**at] >= start).for_each(|at| keep(at, Rule::Within));
    }
    if let Some(thinning) = &policy.thinning {
        let density = |at: usize| thinning.at((newest - times[at]).div_euclid(DAY));
        let stays = by_time.iter().copied().filter(|at| density(*at) != Density::None).collect::<Vec<_>>();
        // Spans lie fixed in time, counted from 1970, so that the same backups stay night after night.
        let span = |at: usize| match density(at) {
            Density::OneIn { days } => (i64::from(days), day(times[at]).div_euclid(i64::from(days))),
            Density::All | Density::None => (0, i64::try_from(at).unwrap_or(0)),
        };
        firsts(&stays, span).for_each(|at| keep(&at, Rule::Thinning));
    }
    kept
}

fn most(count: Option<u32>) -> usize {
    count.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// The first of each run of one period.
fn firsts<P: PartialEq>(sorted: &[usize], period: impl Fn(usize) -> P) -> impl Iterator<Item = usize> {
    let mut before = None;
    sorted.iter().copied().filter(move |at| {
        let period = period(*at);
        let is_first = before.as_ref() != Some(&period);
        before = Some(period);
        is_first
    })
}

fn day(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// 1970 began on a Thursday.
fn week(time: i64) -> i64 {
    (day(time) + 3).div_euclid(7)
}

fn month(time: i64) -> i64 {
    let utc = Utc::from_unix(time);
    utc.year * 12 + i64::from(utc.month)
}

fn year(time: i64) -> i64 {
    Utc::from_unix(time).year
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        Utc::parse(text).unwrap().to_unix()
    }

    fn kept(policy: &Policy, times: &[&str], now: &str) -> Vec<String> {
        let times_in_seconds: Vec<_> = times.iter().map(|text| at(text)).collect();
        let decided = decide(policy, &times_in_seconds, at(now));
        let words = |rules: &BTreeSet<Rule>| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
        let told = times.iter().zip(&decided).filter(|(_, rules)| !rules.is_empty());
        told.map(|(time, rules)| format!("{time} {}", words(rules))).collect()
    }

    const NOW: &str = "2026-11-26";

    #[test]
    fn the_newest_of_each_period_stays() {
        let times = [
            "2024-12-31 02:30",
            "2025-06-01 02:30",
            "2025-12-31 02:30",
            "2026-10-31 02:30",
            "2026-11-15 02:30", // a Sunday
            "2026-11-16 02:30",
            "2026-11-22 02:30", // the Sunday after
            "2026-11-24 02:30",
            "2026-11-25 02:30",
            "2026-11-25 14:30",
        ];
        let policy = |text: &str| match text.split_once(' ').unwrap() {
            ("last", count) => Policy { last: count.parse().ok(), ..Policy::default() },
            ("daily", count) => Policy { daily: count.parse().ok(), ..Policy::default() },
            ("weekly", count) => Policy { weekly: count.parse().ok(), ..Policy::default() },
            ("monthly", count) => Policy { monthly: count.parse().ok(), ..Policy::default() },
            (_, count) => Policy { yearly: count.parse().ok(), ..Policy::default() },
        };
        for (rule, expected) in [
            ("last 2", &["2026-11-25 02:30 keep_last", "2026-11-25 14:30 newest+keep_last"][..]),
            ("daily 2", &["2026-11-24 02:30 keep_daily", "2026-11-25 14:30 newest+keep_daily"]),
            (
                "weekly 3",
                &[
                    "2026-11-15 02:30 keep_weekly",
                    "2026-11-22 02:30 keep_weekly",
                    "2026-11-25 14:30 newest+keep_weekly",
                ],
            ),
            (
                "monthly 3",
                &[
                    "2025-12-31 02:30 keep_monthly",
                    "2026-10-31 02:30 keep_monthly",
                    "2026-11-25 14:30 newest+keep_monthly",
                ],
            ),
            (
                "yearly 9",
                &[
                    "2024-12-31 02:30 keep_yearly",
                    "2025-12-31 02:30 keep_yearly",
                    "2026-11-25 14:30 newest+keep_yearly",
                ],
            ),
        ] {
            assert_eq!(kept(&policy(rule), &times, NOW), expected, "{rule}");
        }
    }

    #[test]
    fn within_counts_from_the_newest_and_not_from_now() {
        let policy = Policy { within: "1m2d".parse().ok(), ..Policy::default() };
        // The box was off for two years.
        let times = ["2024-09-12 02:30", "2024-09-13 02:30", "2024-10-01 02:30", "2024-10-15 02:30"];
        let expected =
            ["2024-09-13 02:30 keep_within", "2024-10-01 02:30 keep_within", "2024-10-15 02:30 newest+keep_within"];
        assert_eq!(kept(&policy, &times, NOW), expected);
    }

    #[test]
    fn a_time_to_come_is_kept_and_counts_for_nothing() {
        let policy = Policy { last: Some(1), daily: Some(1), within: "1d".parse().ok(), ..Policy::default() };
        let times = ["2026-11-20 02:30", "2026-11-25 02:30", "2031-01-01 00:00"];
        let expected = ["2026-11-25 02:30 keep_last+keep_daily+keep_within", "2031-01-01 00:00 newest+in the future"];
        assert_eq!(kept(&policy, &times, NOW), expected);
        // A clock that is not set removes nothing.
        assert_eq!(kept(&policy, &times, "1970-01-01").len(), 3);
    }

    #[test]
    fn a_night_with_a_clock_of_1970_is_among_the_last_ones() {
        let policy = Policy { last: Some(2), ..Policy::default() };
        let times = ["2026-11-23 02:30", "1970-01-01 00:05", "2026-11-25 02:30"];
        assert_eq!(kept(&policy, &times, NOW), ["1970-01-01 00:05 keep_last", "2026-11-25 02:30 newest+keep_last"]);
    }

    /// Every night for a year, pruned every night: what stays is what the rule says, and never drifts to nothing.
    #[test]
    fn thinning_night_after_night() {
        let policy = Policy { thinning: "7:2,14:4,31:delete".parse().ok(), ..Policy::default() };
        let mut there: Vec<i64> = Vec::new();
        for night in 0..365 {
            let now = at("2026-01-01 02:30") + night * DAY;
            there.push(now);
            let decided = decide(&policy, &there, now);
            there = there.iter().zip(decided).filter(|(_, rules)| !rules.is_empty()).map(|(time, _)| *time).collect();
            let ages: Vec<_> = there.iter().rev().map(|time| (now - time) / DAY).collect();
            assert!(ages.len() <= 7 + 5 + 6 && *ages.last().unwrap() < 31, "{night}: {ages:?}");
            if night >= 31 {
                assert_eq!(ages[..7], [0, 1, 2, 3, 4, 5, 6]);
                assert!(*ages.last().unwrap() >= 24, "{night}: {ages:?}");
                assert!(ages.windows(2).all(|two| two[1] - two[0] <= 8), "{night}: {ages:?}");
            }
        }
    }

    #[test]
    fn a_chain_without_backups_has_nothing_to_keep() {
        let policy = Policy { last: Some(1), ..Policy::default() };
        assert!(decide(&policy, &[], 0).is_empty());
    }
}
