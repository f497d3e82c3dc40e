//! The time zone of the place: when a schedule has its times, and what the clock on the wall says.
//!
//! `$TZ` counts first, then `/etc/TZ` (OpenWrt and others with a small C library), then `/etc/localtime`; without any of them it
//! is UTC. It is read once and then in memory: a daemon that looked again and again would wake the disk that `/etc` is on.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::config::Schedule;
use crate::fsutil::read_small;
use crate::limits::ZONE_FILE_BYTES_MAX;

/// Where systems keep the files of zones that are called by name.
const ZONE_FOLDERS: [&str; 3] = ["usr/share/zoneinfo", "usr/lib/zoneinfo", "usr/share/lib/zoneinfo"];
/// Names that need no file.
const UTC_NAMES: [&str; 4] = ["UTC", "GMT", "Etc/UTC", "Etc/GMT"];
/// How far a time is looked for: a 29th of February may be eight years away.
const DAYS_MAX: usize = 9 * 366;
const TWO_HOURS: i64 = 7200;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    rules: TimeZone,
    warning: Option<String>,
}

impl Zone {
    /// That of this process. What can't be used is UTC, and [`Zone::warning`] says so.
    pub fn of_process() -> Self {
        let variable = std::env::var_os("TZ").map(|value| value.to_string_lossy().into_owned());
        Self::read(variable.as_deref(), Path::new("/"))
    }

    /// The same with this `$TZ`, and the files below this folder.
    fn read(variable: Option<&str>, root: &Path) -> Self {
        if let Some(text) = variable {
            return Self::called(text, root, "$TZ");
        }
        let etc = read_small(&root.join("etc/TZ"), ZONE_FILE_BYTES_MAX).unwrap_or_default();
        let line = String::from_utf8_lossy(&etc).lines().next().unwrap_or_default().trim().to_owned();
        if !line.is_empty() {
            return Self::called(&line, root, "/etc/TZ");
        }
        let localtime = root.join("etc/localtime");
        match file(&localtime) {
            Some(rules) => Self { rules, warning: None },
            None if localtime.exists() => Self::unusable("/etc/localtime can't be used"),
            None => Self::utc(),
        }
    }

    /// A zone by rule (`CET-1CEST,M3.5.0,M10.5.0/3`), by name (`Europe/Berlin`) or by file.
    fn called(text: &str, root: &Path, place: &str) -> Self {
        let text = text.strip_prefix(':').unwrap_or(text);
        let is_path = text.starts_with('/');
        let rules = match text {
            "" => Some(TimeZone::UTC),
            _ if UTC_NAMES.contains(&text) => Some(TimeZone::UTC),
            _ if is_path => file(&root.join(&text[1..])),
            _ => TimeZone::posix(text).ok().or_else(|| named(text, root)),
        };
        match rules {
            Some(rules) => Self { rules, warning: None },
            None => Self::unusable(&format!("the time zone {text:?} of {place} can't be used")),
        }
    }

    fn unusable(what: &str) -> Self {
        Self { rules: TimeZone::UTC, warning: Some(format!("{what}: times of jobs are in UTC")) }
    }

    /// UTC.
    pub fn utc() -> Self {
        Self { rules: TimeZone::UTC, warning: None }
    }

    /// By the rule of POSIX, as `$TZ` has it.
    pub fn posix(rule: &str) -> Option<Self> {
        TimeZone::posix(rule).ok().map(|rules| Self { rules, warning: None })
    }

    /// Why it is UTC, if that is not what was asked for.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The last time of the schedule up to `now`. Times are in seconds since 1970.
    pub fn last(&self, schedule: &Schedule, now: i64) -> i64 {
        let today = self.today(now);
        let before =
            |day: Date| Some(day).filter(|day| has_month(schedule, *day)).unwrap_or_else(|| day.first_of_month());
        let days =
            std::iter::successors(Some(today.tomorrow().unwrap_or(today)), |day| day.yesterday().ok().map(before));
        let distance = |time: i64| (time <= now).then(|| now.abs_diff(time));
        self.nearest(schedule, &mut days.take(DAYS_MAX), &distance).unwrap_or(i64::MIN)
    }

    /// The first time of the schedule behind `now`.
    pub fn next(&self, schedule: &Schedule, now: i64) -> i64 {
        let today = self.today(now);
        let behind =
            |day: Date| Some(day).filter(|day| has_month(schedule, *day)).unwrap_or_else(|| day.last_of_month());
        let days =
            std::iter::successors(Some(today.yesterday().unwrap_or(today)), |day| day.tomorrow().ok().map(behind));
        let distance = |time: i64| (time > now).then(|| now.abs_diff(time));
        self.nearest(schedule, &mut days.take(DAYS_MAX), &distance).unwrap_or(i64::MAX)
    }

    fn today(&self, now: i64) -> Date {
        self.rules.to_datetime(timestamp(now)).date()
    }

    /// Of the times that have a distance the one with the smallest. Days are in the order of theirs.
    fn nearest(
        &self,
        schedule: &Schedule,
        days: &mut dyn Iterator<Item = Date>,
        distance: &dyn Fn(i64) -> Option<u64>,
    ) -> Option<i64> {
        let mut nearest: Option<(u64, i64)> = None;
        for day in days {
            let is_last = nearest.is_some();
            for hour in hours(schedule, day) {
                // 1,440 times of a day are not all worth a look: those of an hour are within two, whatever the clock does.
                let Some(begin) = self.on(day, hour, 0) else { continue };
                let far = [begin, begin + TWO_HOURS].into_iter().filter_map(distance).min();
                let is_near = |far: u64| nearest.is_none_or(|(best, _)| far < best + TWO_HOURS.unsigned_abs());
                if far.is_some_and(is_near) {
                    let times = schedule.minutes().filter_map(|minute| self.on(day, hour, minute));
                    nearest = times.filter_map(|time| Some((distance(time)?, time))).chain(nearest).min();
                }
            }
            // A place that changes sides of the date line lacks a day, whose times come with those of the next one.
            if is_last {
                break;
            }
        }
        nearest.map(|(_, time)| time)
    }

    /// What the clock leaps over comes later by the leap; of two the first counts.
    fn on(&self, date: Date, hour: u8, minute: u8) -> Option<i64> {
        let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        let there = self.rules.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()?;
        Some(there.as_second())
    }

    /// From 0 to 1439.
    pub fn minute_of_day(&self, time: i64) -> u32 {
        let there = self.rules.to_datetime(timestamp(time));
        u32::from(there.hour().unsigned_abs()) * 60 + u32::from(there.minute().unsigned_abs())
    }

    /// For people: `2026-11-25 02:30 CET`.
    pub fn shown(&self, time: i64) -> String {
        let time = timestamp(time);
        let there = self.rules.to_datetime(time);
        let info = self.rules.to_offset_info(time);
        let (year, month, day, zone) = (there.year(), there.month(), there.day(), info.abbreviation());
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02} {zone}", there.hour(), there.minute())
    }

    /// As RFC 3164 has it: `Nov  5 02:30:00`.
    pub fn stamp(&self, time: i64) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let there = self.rules.to_datetime(timestamp(time));
        let month = MONTHS[usize::from(there.month().unsigned_abs()).saturating_sub(1) % 12];
        format!("{month} {:>2} {:02}:{:02}:{:02}", there.day(), there.hour(), there.minute(), there.second())
    }
}

/// A clock beyond the year 9999 is at its end.
fn timestamp(time: i64) -> Timestamp {
    Timestamp::from_second(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Months without a time are stepped over: eight years have many days for a slow CPU.
fn has_month(schedule: &Schedule, day: Date) -> bool {
    schedule.has_month(u32::from(day.month().unsigned_abs()))
}

/// Those of a day that the schedule has; nothing: none.
fn hours(schedule: &Schedule, day: Date) -> impl Iterator<Item = u8> {
    let number = |number: i8| u32::from(number.unsigned_abs());
    let of_week = number(day.weekday().to_sunday_zero_offset());
    let has_day = schedule.has_day(number(day.month()), number(day.day()), of_week);
    schedule.hours().filter(move |_| has_day)
}

fn file(path: &Path) -> Option<TimeZone> {
    let bytes = read_small(path, ZONE_FILE_BYTES_MAX).ok()?;
    TimeZone::tzif("", &bytes).ok()
}

fn named(name: &str, root: &Path) -> Option<TimeZone> {
    ZONE_FOLDERS.iter().find_map(|folder| file(&root.join(folder).join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, TimeOfDay};
    use crate::date::Utc;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn half_past_two() -> Schedule {
        Schedule::daily(TimeOfDay { hour: 2, minute: 30 })
    }

    fn utc(text: &str) -> i64 {
        Utc::parse(text).unwrap().to_unix()
    }

    #[test]
    fn the_last_and_the_next_time() {
        let berlin = Zone::posix(BERLIN).unwrap();
        let at = utc("2026-11-25T01:30");
        assert_eq!(berlin.last(&half_past_two(), at), at);
        assert_eq!(berlin.last(&half_past_two(), at - 1), at - 86_400);
        assert_eq!(berlin.next(&half_past_two(), at - 1), at);
        assert_eq!(berlin.next(&half_past_two(), at), at + 86_400);
    }

    #[test]
    fn months_without_a_time_are_stepped_over() {
        let at = |text: &str, now: &str| {
            let text = format!(
                "[SOURCE:s]\npath=/s\nrecipient=A\n[TARGET:t]\ntype=Filesystem\npath=/t\n[JOB:a]\nfrom=s\nto=t\nat={text}\n"
            );
            let schedule = Config::parse("f".as_ref(), text.as_bytes()).unwrap().jobs.remove(0).at;
            let berlin = Zone::posix(BERLIN).unwrap();
            (berlin.last(&schedule, utc(now)), berlin.next(&schedule, utc(now)))
        };
        let times = |last: &str, next: &str| (utc(last), utc(next));
        assert_eq!(at("0 12 1 3,11 *", "2027-12-15T00:00"), times("2027-11-01T11:00", "2028-03-01T11:00"));
        assert_eq!(at("0 12 30 4 *", "2028-04-30T09:59"), times("2027-04-30T10:00", "2028-04-30T10:00"));
        assert_eq!(at("0 12 31 1,12 *", "2027-12-31T11:00"), times("2027-12-31T11:00", "2028-01-31T11:00"));
        assert_eq!(at("0 12 29 2 *", "2100-01-01T00:00"), times("2096-02-29T11:00", "2104-02-29T11:00"));
    }

    #[test]
    fn what_the_clock_leaps_over_comes_later() {
        let berlin = Zone::posix(BERLIN).unwrap();
        // At 02:00 it is 03:00: there is no 02:30.
        let day = utc("2026-03-28T23:00");
        let at = berlin.next(&half_past_two(), day);
        assert_eq!(Utc::from_unix(at).to_string(), "2026-03-29T01:30:00Z");
        assert_eq!(berlin.shown(at), "2026-03-29 03:30 CEST");
        assert_eq!(Utc::from_unix(berlin.next(&half_past_two(), at)).to_string(), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn of_two_times_the_first_counts() {
        let berlin = Zone::posix(BERLIN).unwrap();
        // At 03:00 it is 02:00 again: there are two 02:30.
        let at = berlin.next(&half_past_two(), utc("2026-10-24T22:00"));
        assert_eq!(berlin.shown(at), "2026-10-25 02:30 CEST");
        let second = at + 3600;
        assert_eq!(berlin.shown(second), "2026-10-25 02:30 CET");
        assert_eq!(berlin.last(&half_past_two(), second + 60), at);
        assert_eq!(Utc::from_unix(berlin.next(&half_past_two(), at)).to_string(), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn it_is_where_systems_keep_it() {
        let root = tempfile::tempdir().unwrap();
        let shown = |variable| Zone::read(variable, root.path()).shown(utc("2026-07-01T12:00"));
        assert_eq!(shown(None), "2026-07-01 12:00 UTC");
        let put = |name: &str, bytes: &[u8]| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("etc/localtime", &tzif("IST", 19_800));
        assert_eq!(shown(None), "2026-07-01 17:30 IST");
        put("etc/TZ", format!("{BERLIN}\n").as_bytes());
        assert_eq!(shown(None), "2026-07-01 14:00 CEST");
        put("usr/share/zoneinfo/Asia/Tokyo", &tzif("JST", 32_400));
        for (variable, time) in [
            ("", "12:00 UTC"),
            ("UTC", "12:00 UTC"),
            ("EST5EDT,M3.2.0,M11.1.0", "08:00 EDT"),
            ("<+03>-3", "15:00 +03"),
            ("Asia/Tokyo", "21:00 JST"),
            (":Asia/Tokyo", "21:00 JST"),
            ("/etc/localtime", "17:30 IST"),
        ] {
            assert_eq!(shown(Some(variable)), format!("2026-07-01 {time}"), "{variable}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_utc_and_is_told() {
        let root = tempfile::tempdir().unwrap();
        let warning = |variable| Zone::read(variable, root.path()).warning().map(str::to_owned);
        assert_eq!((warning(None), warning(Some("UTC"))), (None, None));
        let told = |text| Some(format!("the time zone {text:?} of $TZ can't be used: times of jobs are in UTC"));
        for text in ["Nowhere/At-All", "/nowhere", "\u{1b}[31m"] {
            assert_eq!(warning(Some(text)), told(text.trim_start_matches(':')));
        }
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/localtime"), "no zone").unwrap();
        assert_eq!(warning(None).unwrap(), "/etc/localtime can't be used: times of jobs are in UTC");
    }

    #[test]
    fn stamps_are_those_of_syslog() {
        let berlin = Zone::posix(BERLIN).unwrap();
        assert_eq!(berlin.stamp(utc("2026-11-05T01:02:03Z")), "Nov  5 02:02:03");
        assert_eq!(berlin.stamp(utc("2026-07-15T01:02:03Z")), "Jul 15 03:02:03");
    }

    #[test]
    fn no_time_is_too_far() {
        let zone = Zone::posix(BERLIN).unwrap();
        for time in [i64::MIN, -1, 0, 4_102_444_800, i64::MAX] {
            assert!(
                zone.last(&half_past_two(), time) <= time && zone.next(&half_past_two(), time) > time.saturating_sub(1)
            );
            assert!(!zone.shown(time).is_empty() && !zone.stamp(time).is_empty());
        }
    }

    /// A file of a zone with one offset, after RFC 8536, section 3.
    fn tzif(name: &str, offset: i32) -> Vec<u8> {
        let part = |bytes: &[u8]| {
            let name = [name.as_bytes(), b"\0"].concat();
            let counts = [0, 0, 0, 0, 1, name.len() as u32].map(u32::to_be_bytes).concat();
            [b"TZif2", &[0; 15][..], &counts, &offset.to_be_bytes(), &[0, 0], &name, bytes].concat()
        };
        let rule =
            format!("\n<{name}>{}{}:{:02}\n", if offset > 0 { "-" } else { "" }, offset / 3600, offset / 60 % 60);
        [part(b""), part(rule.as_bytes())].concat()
    }
}
