//! The time zone of the place: when a time of day is, and what the clock on the wall says.
//!
//! `$TZ` counts first, then `/etc/TZ` (OpenWrt and others with a small C library), then `/etc/localtime`; without any of them it
//! is UTC. It is read once and then in memory: a daemon that looked again and again would wake the disk that `/etc` is on.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::config::TimeOfDay;
use crate::fsutil::read_small;
use crate::limits::ZONE_FILE_BYTES_MAX;

/// Where systems keep the files of zones that are called by name.
const ZONE_FOLDERS: [&str; 3] = ["usr/share/zoneinfo", "usr/lib/zoneinfo", "usr/share/lib/zoneinfo"];
/// Names that need no file.
const UTC_NAMES: [&str; 4] = ["UTC", "GMT", "Etc/UTC", "Etc/GMT"];

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

    /// The last time up to `now` when it was `at`. Times are in seconds since 1970.
    pub fn last(&self, at: TimeOfDay, now: i64) -> i64 {
        self.days(at, now).filter(|time| *time <= now).max().unwrap_or(i64::MIN)
    }

    /// The first time behind `now` when it will be `at`.
    pub fn next(&self, at: TimeOfDay, now: i64) -> i64 {
        self.days(at, now).filter(|time| *time > now).min().unwrap_or(i64::MAX)
    }

    /// When it is `at` on the days around `now`. What the clock leaps over comes later by the leap; of two the first counts.
    fn days(&self, at: TimeOfDay, now: i64) -> impl Iterator<Item = i64> {
        let today = self.rules.to_datetime(timestamp(now)).date();
        // A place that changes sides of the date line has no such day at all: so two to each side.
        let before = |day: Date| day.yesterday().unwrap_or(day);
        let days = std::iter::successors(Some(before(before(today))), |day| day.tomorrow().ok());
        days.take(5).filter_map(move |day| self.on(day, at))
    }

    fn on(&self, date: Date, at: TimeOfDay) -> Option<i64> {
        let time = Time::new(i8::try_from(at.hour).ok()?, i8::try_from(at.minute).ok()?, 0, 0).ok()?;
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
    use crate::date::Utc;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    const HALF_PAST_TWO: TimeOfDay = TimeOfDay { hour: 2, minute: 30 };

    fn utc(text: &str) -> i64 {
        Utc::parse(text).unwrap().to_unix()
    }

    #[test]
    fn the_last_and_the_next_time() {
        let berlin = Zone::posix(BERLIN).unwrap();
        let at = utc("2026-11-25T01:30");
        assert_eq!(berlin.last(HALF_PAST_TWO, at), at);
        assert_eq!(berlin.last(HALF_PAST_TWO, at - 1), at - 86_400);
        assert_eq!(berlin.next(HALF_PAST_TWO, at - 1), at);
        assert_eq!(berlin.next(HALF_PAST_TWO, at), at + 86_400);
    }

    #[test]
    fn what_the_clock_leaps_over_comes_later() {
        let berlin = Zone::posix(BERLIN).unwrap();
        // At 02:00 it is 03:00: there is no 02:30.
        let day = utc("2026-03-28T23:00");
        let at = berlin.next(HALF_PAST_TWO, day);
        assert_eq!(Utc::from_unix(at).to_string(), "2026-03-29T01:30:00Z");
        assert_eq!(berlin.shown(at), "2026-03-29 03:30 CEST");
        assert_eq!(Utc::from_unix(berlin.next(HALF_PAST_TWO, at)).to_string(), "2026-03-30T00:30:00Z");
    }

    #[test]
    fn of_two_times_the_first_counts() {
        let berlin = Zone::posix(BERLIN).unwrap();
        // At 03:00 it is 02:00 again: there are two 02:30.
        let at = berlin.next(HALF_PAST_TWO, utc("2026-10-24T22:00"));
        assert_eq!(berlin.shown(at), "2026-10-25 02:30 CEST");
        let second = at + 3600;
        assert_eq!(berlin.shown(second), "2026-10-25 02:30 CET");
        assert_eq!(berlin.last(HALF_PAST_TWO, second + 60), at);
        assert_eq!(Utc::from_unix(berlin.next(HALF_PAST_TWO, at)).to_string(), "2026-10-26T01:30:00Z");
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
            assert!(zone.last(HALF_PAST_TWO, time) <= time && zone.next(HALF_PAST_TWO, time) > time.saturating_sub(1));
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
