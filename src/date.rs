//! Days and times in UTC, without a time zone database: names of backups and `created`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A second in UTC as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc {
    /// Such as 2026.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// Seconds since midnight.
    pub second_of_day: u32,
}

impl Utc {
    /// What the clock of this machine shows.
    pub fn now() -> Self {
        Self::from_system(SystemTime::now())
    }

    /// The time of `SystemTime`; what is before 1970 counts as 1970.
    pub fn from_system(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self::from_unix(i64::try_from(seconds).unwrap_or(0))
    }

    /// Days to a date by the algorithm of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(day_of_year - (153 * shifted_month + 2) / 5 + 1).unwrap_or(1),
            second_of_day: u32::try_from(seconds.rem_euclid(86_400)).unwrap_or(0),
        }
    }

    /// Seconds since 1970.
    pub fn to_unix(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = i64::from((self.month + 9) % 12);
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        (era * 146_097 + day_of_era - 719_468) * 86_400 + i64::from(self.second_of_day)
    }

    /// Parses `2026-11-23`, `20261123`, or either with `T22:51:00Z`, `T22:51` or a space in place of the T.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let shape: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        if !matches!(shape.as_str(), "" | "--" | "--T:" | "--T::" | "--T:Z" | "--T::Z" | "-- :" | "-- ::") {
            return None;
        }
        let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u32>().ok());
        let (hour, minute, second) = match digits.len() {
            8 => (0, 0, 0),
            12 => (number(8, 10)?, number(10, 12)?, 0),
            14 => (number(8, 10)?, number(10, 12)?, number(12, 14)?),
            _ => return None,
        };
        let date = Self {
            year: i64::from(number(0, 4)?),
            month: number(4, 6)?,
            day: number(6, 8)?,
            second_of_day: hour * 3600 + minute * 60 + second,
        };
        let valid = hour < 24 && minute < 60 && second < 60 && (1..=12).contains(&date.month);
        // A 31st of February comes back as another day.
        (valid && Self::from_unix(date.to_unix()) == date).then_some(date)
    }

    /// Parses `Thu, 26 Nov 2026 02:49:18 GMT`, as HTTP has it (RFC 9110, IMF-fixdate). The name of the day is not looked at.
    pub fn parse_http(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_, rest) = text.split_once(", ")?;
        let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        Self::parse(&format!("{year}-{month:02}-{day}T{time}"))
    }

    /// `20261123`, as in the name of a backup.
    pub fn yyyymmdd(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// `20261123T225100Z`, the basic format of ISO 8601.
    pub fn basic(self) -> String {
        let (hour, minute, second) = (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        format!("{}T{hour:02}{minute:02}{second:02}Z", self.yyyymmdd())
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        write!(f, "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_474_260, "2026-11-23T22:51:00Z"),
            (5_000_000_000, "2128-06-11T08:53:20Z"),
        ] {
            assert_eq!(Utc::from_unix(unix).to_string(), text);
            assert_eq!(Utc::parse(text).map(Utc::to_unix), Some(unix));
        }
    }

    #[test]
    fn days_of_http() {
        let text = "Thu, 26 Nov 2026 02:49:18 GMT";
        assert_eq!(Utc::parse_http(text).map(|utc| utc.to_string()).as_deref(), Some("2026-11-26T02:49:18Z"));
        for wrong in ["", "26 Nov 2026 02:49:18 GMT", "Thu, 26 Nov 2026 02:49:18 CET", "Thu, 26-Nov-26 02:49:18 GMT"] {
            assert_eq!(Utc::parse_http(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2026-02-31", "2026-13-01", "20261123T1", "tomorrow", "2026-11-23T25:00"] {
            assert_eq!(Utc::parse(text), None, "{text}");
        }
        assert_eq!(Utc::parse("20261123").map(Utc::yyyymmdd).as_deref(), Some("20261123"));
    }
}
