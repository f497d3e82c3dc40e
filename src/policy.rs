//! Which backups stay, as people write it: plain data. What the rules mean is in src/retention and docs/RETENTION.md.

use std::fmt;
use std::str::FromStr;

use crate::date::Utc;

/// Rules of a target or a source. A backup stays if any of them keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones, so many.
    pub last: Option<u32>,
    /// The newest of each of so many days that have one.
    pub daily: Option<u32>,
    /// Of weeks, which begin on Mondays.
    pub weekly: Option<u32>,
    /// Of months.
    pub monthly: Option<u32>,
    /// Of years.
    pub yearly: Option<u32>,
    /// All that are not older than the newest by more.
    pub within: Option<Within>,
    /// Fewer the older they are.
    pub thinning: Option<Thinning>,
}

impl Policy {
    /// Whether it has no rule, and so would keep nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules of this one, and of the other where this one has none.
    pub fn or(self, other: &Self) -> Self {
        Self {
            last: self.last.or(other.last),
            daily: self.daily.or(other.daily),
            weekly: self.weekly.or(other.weekly),
            monthly: self.monthly.or(other.monthly),
            yearly: self.yearly.or(other.yearly),
            within: self.within.or(other.within),
            thinning: self.thinning.or_else(|| other.thinning.clone()),
        }
    }
}

/// A time as `2y5m7d3h`: years, months, days, hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

impl Within {
    /// That much before a time, both in seconds since 1970. A day that the month does not have is its last.
    pub fn before(self, time: i64) -> i64 {
        let end = Utc::from_unix(time);
        let months = end.year * 12 + i64::from(end.month) - 1 - i64::from(self.years) * 12 - i64::from(self.months);
        let (year, month) = (months.div_euclid(12), u32::try_from(months.rem_euclid(12)).unwrap_or(0) + 1);
        let of_day = |day| Utc { year, month, day, second_of_day: end.second_of_day };
        let is_a_day = |utc: &Utc| Utc::from_unix(utc.to_unix()) == *utc;
        let start = (1..=end.day).rev().map(of_day).find(is_a_day).map_or(time, Utc::to_unix);
        start - i64::from(self.days) * 86_400 - i64::from(self.hours) * 3600
    }
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || String::from("a time like 2y5m7d3h, 30d or 12h: years, months, days, hours in this order");
        let (mut within, mut rest, mut units) = (Self::default(), text, "ymdh");
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, unit) = rest.split_at_checked(digits).ok_or_else(expected)?;
            let number: u32 = number.parse().ok().filter(|number| *number <= 9999).ok_or_else(expected)?;
            let unit = unit.chars().next().ok_or_else(expected)?;
            let at = units.find(unit).ok_or_else(expected)?;
            match unit {
                'y' => within.years = number,
                'm' => within.months = number,
                'd' => within.days = number,
                _ => within.hours = number,
            }
            units = &units[at + 1..];
            rest = &rest[digits + 1..];
        }
        if within == Self::default() { Err(expected()) } else { Ok(within) }
    }
}

/// `7:2,14:4,31:delete`: from 7 days on one in 2 days, from 14 on one in 4, from 31 on none. Younger ones all stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thinning(Vec<Band>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Band {
    from_days: u32,
    /// Nothing: none is kept.
    gap_days: Option<u32>,
}

/// What a [`Thinning`] says of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Density {
    /// All stay.
    All,
    /// None does.
    None,
    /// The newest of each span of so many days.
    OneIn {
        /// How many.
        days: u32,
    },
}

impl Thinning {
    /// What holds for backups of this age.
    pub fn at(&self, age_days: i64) -> Density {
        let band = self.0.iter().rev().find(|band| i64::from(band.from_days) <= age_days);
        band.map_or(Density::All, |band| band.gap_days.map_or(Density::None, |days| Density::OneIn { days }))
    }
}

impl FromStr for Thinning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            String::from(
                "pairs of age and gap in days, the ages from 1 and rising, like 7:2,14:4,31:delete; only the last may delete",
            )
        };
        let mut bands = Vec::<Band>::new();
        for pair in text.split(',') {
            let number = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=36_500).contains(number));
            let (age, gap) = pair.trim().split_once(':').ok_or_else(expected)?;
            let from_days = number(age.trim()).ok_or_else(expected)?;
            let gap_days = match gap.trim() {
                "delete" => None,
                gap => Some(number(gap).ok_or_else(expected)?),
            };
            let follows = bands.last().is_none_or(|last| last.from_days < from_days && last.gap_days.is_some());
            if !follows {
                return Err(expected());
            }
            bands.push(Band { from_days, gap_days });
        }
        Ok(Self(bands))
    }
}

/// How long a chunk stays that no backup needs: `7d`, `36h`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(i64);

impl Grace {
    /// How many seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl Default for Grace {
    /// A week: time to notice that something was removed that should not have been.
    fn default() -> Self {
        Self(7 * 86_400)
    }
}

impl FromStr for Grace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('h', 3600), ('d', 86_400)];
        let number = |(unit, seconds): &(char, i64)| {
            let number = text.strip_suffix(*unit)?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            number
                .parse::<i64>()
                .ok()
                .filter(|number| is_number && *number <= 1_000_000_000 / seconds)
                .map(|number| number * seconds)
        };
        let seconds = units.iter().find_map(number);
        seconds.map(Self).ok_or_else(|| String::from("a time like 7d, 36h or 0s: days, hours or seconds"))
    }
}

/// When a chunk of which little is used is to be stored anew in part, so that it can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// If less of it is used by the newest backups.
    pub under: Option<Share>,
    /// At most so many bytes a night.
    pub max_bytes: Option<u64>,
}

impl Compaction {
    /// What holds where retention has rules and nothing else is said.
    pub const UNDER: Share = Share(30);
    /// Likewise.
    pub const MAX_BYTES: u64 = 500 << 20;
}

/// So many in a hundred: `30%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// In a hundred.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').filter(|number| !number.starts_with('+'));
        let percent = number.and_then(|number| number.parse().ok()).filter(|percent| *percent <= 100);
        percent.map(Self).ok_or_else(|| String::from("a share from 0% to 100%, such as 30%"))
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Thinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, band) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match band.gap_days {
                Some(gap) => write!(f, "{comma}{}:{gap}", band.from_days)?,
                None => write!(f, "{comma}{}:delete", band.from_days)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("keep_last", self.last),
            ("keep_daily", self.daily),
            ("keep_weekly", self.weekly),
            ("keep_monthly", self.monthly),
            ("keep_yearly", self.yearly),
        ];
        let counts = counts.into_iter().filter_map(|(key, count)| Some(format!("{key} = {}", count?)));
        let within = self.within.map(|within| format!("keep_within = {within}"));
        let thinning = self.thinning.as_ref().map(|thinning| format!("thinning = {thinning}"));
        let rules: Vec<_> = counts.chain(within).chain(thinning).collect();
        f.write_str(&rules.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(within: &str, time: &str) -> String {
        let time = Utc::parse(time).unwrap().to_unix();
        Utc::from_unix(within.parse::<Within>().unwrap().before(time)).to_string()
    }

    #[test]
    fn times_as_people_write_them() {
        for text in ["2y5m7d3h", "30d", "12h", "1y3h"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
        for wrong in ["", "0d", "7", "d", "3h2d", "1y1y", "1.5d", "10000d", "1w", "-1d", "1d ", "\u{661}d", "1\u{e4}"] {
            assert!(wrong.parse::<Within>().is_err(), "{wrong}");
        }
        assert_eq!(before("1m", "2026-03-31T10:00:00Z"), "2026-02-28T10:00:00Z");
        assert_eq!(before("1y", "2028-02-29T10:00:00Z"), "2027-02-28T10:00:00Z");
        assert_eq!(before("2y5m7d3h", "2026-11-26T02:00:00Z"), "2024-06-18T23:00:00Z");
        assert_eq!(before("14m", "2026-01-15T00:00:00Z"), "2024-11-15T00:00:00Z");
    }

    #[test]
    fn graces() {
        for (text, seconds) in [("7d", 604_800), ("36h", 129_600), ("0s", 0), ("90s", 90)] {
            assert_eq!(text.parse::<Grace>().map(Grace::seconds), Ok(seconds));
        }
        for wrong in ["", "7", "d", "-1d", "+1d", "1w", "7 d", "99999999999d"] {
            assert!(wrong.parse::<Grace>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares() {
        for (text, percent) in [("0%", 0), ("30%", 30), ("100%", 100)] {
            assert_eq!(text.parse::<Share>().map(Share::percent), Ok(percent));
        }
        for wrong in ["", "%", "30", "101%", "-1%", "+1%", "30 %", "0.5%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn thinning_says_what_holds_for_an_age() {
        let thinning: Thinning = "7:2, 14:4,31:delete".parse().unwrap();
        assert_eq!(thinning.to_string(), "7:2,14:4,31:delete");
        let at = |age| thinning.at(age);
        assert_eq!([at(-1), at(0), at(6)], [Density::All; 3]);
        assert_eq!([at(7), at(13)], [Density::OneIn { days: 2 }; 2]);
        assert_eq!([at(14), at(30)], [Density::OneIn { days: 4 }; 2]);
        assert_eq!([at(31), at(10_000)], [Density::None; 2]);
        for wrong in ["", "7", "7:", ":2", "0:2", "7:0", "7:2,7:3", "14:2,7:3", "7:delete,14:4", "7:2,", "7:Delete"] {
            assert!(wrong.parse::<Thinning>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_one_go_before_those_of_another() {
        let one = Policy { last: Some(1), ..Policy::default() };
        let other = Policy { last: Some(2), within: "3d".parse().ok(), ..Policy::default() };
        assert_eq!(one.clone().or(&other).to_string(), "keep_last = 1, keep_within = 3d");
        assert!(!one.is_empty() && Policy::default().is_empty());
    }
}
