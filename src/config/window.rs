//! `window = 01:00-06:00`: the part of the day that a job may run in.

use std::fmt;

use super::TimeOfDay;
use super::values::text;

/// A part of the day, on the clock of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// It begins with this.
    pub opens: TimeOfDay,
    /// It ends before this, on the next day if that is earlier.
    pub closes: TimeOfDay,
}

impl Window {
    pub(super) fn parse(value: &[u8]) -> Result<Self, String> {
        let parsed = || {
            let (opens, closes) = text(value).ok()?.split_once('-')?;
            let time = |text: &str| TimeOfDay::parse(text.trim().as_bytes()).ok();
            Some(Self { opens: time(opens)?, closes: time(closes)? })
        };
        // One without an end, or without a beginning, is none.
        let is_part = |window: &Self| window.opens != window.closes;
        parsed().filter(is_part).ok_or_else(|| "a part of the day, such as 01:00-06:00".into())
    }

    /// Whether it is open in this minute of the day.
    pub fn has(&self, minute: u32) -> bool {
        let (opens, closes) = (self.opens.minute_of_day(), self.closes.minute_of_day());
        if opens < closes { (opens..closes).contains(&minute) } else { minute >= opens || minute < closes }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.opens, self.closes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_day_also_over_midnight() {
        let window = Window::parse(b"01:00-06:00").unwrap();
        assert_eq!(window.to_string(), "01:00-06:00");
        assert_eq!([59, 60, 359, 360].map(|minute| window.has(minute)), [false, true, true, false]);
        let night = Window::parse(b"22:30 - 06:00").unwrap();
        assert_eq!(
            [1349, 1350, 1439, 0, 359, 360].map(|minute| night.has(minute)),
            [false, true, true, true, true, false]
        );
        for wrong in ["", "01:00", "1-6", "01:00-24:00", "01:00-01:00", "01:00-06:00-07:00", "01:00-06:00, 08:00-09:00"]
        {
            assert!(Window::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
