//! `at = 02:30` or `at = 30 2 * * 1-5`: on which days, and at which times of them, a job begins.
//!
//! The five fields are those of cron, without `@daily` and its kind: minute, hour, day of the month, month, day of the week. What never
//! comes, such as the 31st of April, is refused.

use std::fmt;

use super::TimeOfDay;
use super::values::text;

const EXPECTED: &str = "a time of day, such as 02:30, or the five fields of cron, such as 30 2 * * 1-5";
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Of each month, in a leap year.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// When a job begins, on the clock of the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    /// A bit for each number.
    minutes: u64,
    hours: u64,
    days_of_month: u64,
    months: u64,
    /// Sunday is 0.
    days_of_week: u64,
    /// Both fields of days say something: either is enough.
    is_either_day: bool,
}

impl Schedule {
    /// Every day at this time.
    pub fn daily(at: TimeOfDay) -> Self {
        Self {
            text: at.to_string(),
            minutes: 1 << at.minute,
            hours: 1 << at.hour,
            days_of_month: all(1, 31),
            months: all(1, 12),
            days_of_week: all(0, 6),
            is_either_day: false,
        }
    }

    pub(super) fn parse(value: &[u8]) -> Result<Self, String> {
        let text = text(value)?;
        if let Ok(at) = TimeOfDay::parse(value) {
            return Ok(Self::daily(at));
        }
        Self::of_fields(text).filter(Self::comes).ok_or_else(|| EXPECTED.into())
    }

    fn of_fields(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else { return None };
        let mut days_of_week = field(day_of_week, 0, 7, &DAYS, 0)?;
        // Sunday has two numbers.
        days_of_week = (days_of_week | days_of_week >> 7) & all(0, 6);
        Some(Self {
            text: fields.join(" "),
            minutes: field(minute, 0, 59, &[], 0)?,
            hours: field(hour, 0, 23, &[], 0)?,
            days_of_month: field(day_of_month, 1, 31, &[], 0)?,
            months: field(month, 1, 12, &MONTHS, 1)?,
            days_of_week,
            is_either_day: !day_of_month.starts_with('*') && !day_of_week.starts_with('*'),
        })
    }

    /// Whether there is a day of it in any year.
    fn comes(&self) -> bool {
        let has_day = |month: u32| self.days_of_month & all(1, LENGTHS[month as usize - 1]) != 0;
        self.is_either_day || (1..=12).any(|month| is_in(self.months, month) && has_day(month))
    }

    /// Whether it has times on this day. Months and days count from 1, Sunday is 0.
    pub fn has_day(&self, month: u32, day_of_month: u32, day_of_week: u32) -> bool {
        let (by_month, by_week) = (is_in(self.days_of_month, day_of_month), is_in(self.days_of_week, day_of_week));
        let is_day = if self.is_either_day { by_month || by_week } else { by_month && by_week };
        self.has_month(month) && is_day
    }

    /// Whether it has a day in this month.
    pub fn has_month(&self, month: u32) -> bool {
        is_in(self.months, month)
    }

    /// Its hours, in their order, at least one.
    pub fn hours(&self) -> impl Iterator<Item = u8> {
        numbers(self.hours)
    }

    /// The minutes of each hour, likewise.
    pub fn minutes(&self) -> impl Iterator<Item = u8> {
        numbers(self.minutes)
    }
}

/// As it stands in the configuration.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.contains(' ') { write!(f, "at {}", self.text) } else { write!(f, "every day at {}", self.text) }
    }
}

/// `*`, `5`, `1-5`, `*/15`, `8-18/2`, and lists of them with commas. Words stand for numbers from `first`.
fn field(text: &str, min: u32, max: u32, words: &[&str], first: u32) -> Option<u64> {
    let number = |text: &str| {
        let word = words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let number = word.and_then(|at| u32::try_from(at).ok()).map(|at| at + first).or_else(|| plain(text))?;
        (min..=max).contains(&number).then_some(number)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, plain(step).filter(|step| (1..=max).contains(step))?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (number(from)?, number(to)?),
            // A step from one number has no end.
            None if part != range => return None,
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return None;
        }
        bits |= (from..=to).step_by(step as usize).fold(0, |bits, number| bits | 1 << number);
    }
    Some(bits)
}

/// Digits and nothing else.
fn plain(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn all(from: u32, to: u32) -> u64 {
    (from..=to).fold(0, |bits, number| bits | 1 << number)
}

fn is_in(bits: u64, number: u32) -> bool {
    bits >> number & 1 == 1
}

fn numbers(bits: u64) -> impl Iterator<Item = u8> {
    (0..60).filter(move |number| is_in(bits, u32::from(*number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_time_of_day_is_every_day() {
        let daily = schedule("02:30");
        assert_eq!(daily.to_string(), "every day at 02:30");
        assert!((0..7).all(|day| daily.has_day(12, 31, day)));
        assert_eq!((daily.hours().collect::<Vec<_>>(), daily.minutes().collect::<Vec<_>>()), (vec![2], vec![30]));
        assert!(
            Schedule { text: String::new(), ..schedule("30 2 * * *") } == Schedule { text: String::new(), ..daily }
        );
    }

    #[test]
    fn fields_of_cron() {
        let workdays = schedule("30  2 * * 1-5");
        assert_eq!(workdays.to_string(), "at 30 2 * * 1-5");
        let days = |text: &str| (0..7).filter(|day| schedule(text).has_day(6, 15, *day)).collect::<Vec<_>>();
        assert_eq!(days("30 2 * * 1-5"), [1, 2, 3, 4, 5]);
        assert_eq!(days("30 2 * * Mon,Wed-Fri"), [1, 3, 4, 5]);
        assert_eq!(days("30 2 * * 7"), [0]);
        assert_eq!(days("30 2 * * 5-7"), [0, 5, 6]);
        assert_eq!(days("30 2 * * */2"), [0, 2, 4, 6]);
        let minutes = |text: &str| schedule(text).minutes().collect::<Vec<_>>();
        assert_eq!(minutes("*/20 2 * * *"), [0, 20, 40]);
        assert_eq!(minutes("5,1-3,10-20/5 * * * *"), [1, 2, 3, 5, 10, 15, 20]);
        assert_eq!(schedule("0 * * * *").hours().count(), 24);
        let month = schedule("0 2 1 jan,7-9/2 *");
        let months = (1..=12).filter(|number| month.has_day(*number, 1, 3)).collect::<Vec<_>>();
        assert_eq!(months, [1, 7, 9]);
        assert!(!month.has_day(1, 2, 3));
    }

    #[test]
    fn of_two_fields_of_days_either_is_enough() {
        let either = schedule("0 2 13 * 5");
        let on = |day, of_week| either.has_day(6, day, of_week);
        assert_eq!((on(13, 1), on(14, 5), on(13, 5), on(14, 1)), (true, true, true, false));
        let first_sunday = schedule("0 2 1-7 * *");
        assert!(first_sunday.has_day(6, 7, 2) && !first_sunday.has_day(6, 8, 2));
    }

    #[test]
    fn what_is_no_schedule_or_never_comes_is_refused() {
        for wrong in [
            "",
            "2:30",
            "30 2 * *",
            "30 2 * * * *",
            "60 2 * * *",
            "30 24 * * *",
            "30 2 0 * *",
            "30 2 32 * *",
            "30 2 * 13 *",
            "30 2 * 0 *",
            "30 2 * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "1/5 * * * *",
            ", * * * *",
            "+1 * * * *",
            "@daily",
            "30 2 * * someday",
            "30 2 30 2 *",
            "30 2 31 4,6,9,11 *",
            "*/60 * * * *",
            "1- * * * *",
            "** * * * *",
        ] {
            assert_eq!(Schedule::parse(wrong.as_bytes()), Err(EXPECTED.into()), "{wrong}");
        }
        schedule("30 2 29 2 *");
        schedule("30 2 31 4 1");
    }
}
