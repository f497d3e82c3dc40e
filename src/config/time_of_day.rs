//! `02:30`: a time of day.

use std::fmt;

use super::values::text;

/// Hour and minute of a day, on the clock of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl TimeOfDay {
    /// From 0 to 1439.
    pub fn minute_of_day(self) -> u32 {
        u32::from(self.hour) * 60 + u32::from(self.minute)
    }

    pub(super) fn parse(value: &[u8]) -> Result<Self, String> {
        let parsed = || {
            let (hour, minute) = text(value).ok()?.split_once(':')?;
            // Rust's numbers may begin with a +.
            let is_number = |text: &&str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = |text: &str| Some(text).filter(is_number)?.parse::<u8>().ok();
            Some(Self { hour: number(hour)?, minute: number(minute)? })
        };
        let is_time = |time: &Self| time.hour < 24 && time.minute < 60;
        parsed().filter(is_time).ok_or_else(|| "a time of day from 00:00 to 23:59, such as 02:30".into())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        for (text, hour, minute) in [("00:00", 0, 0), ("09:05", 9, 5), ("23:59", 23, 59)] {
            assert_eq!(TimeOfDay::parse(text.as_bytes()), Ok(TimeOfDay { hour, minute }));
        }
        for text in
            ["24:00", "02:60", "2:30", "02:3", "0230", "02:30:00", "+2:30", "02:+3", "02:", "noon", "\u{ff10}2:30"]
        {
            assert!(TimeOfDay::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
