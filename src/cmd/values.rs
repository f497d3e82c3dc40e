//! Values of options that are read by hand.

use std::str::FromStr;

use crate::term::Failure;

/// A plain number.
pub(crate) struct Number(pub(crate) u64);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "a number".into())
    }
}

/// A number of bytes: `500MB`.
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        brackup::config::parse_size(text).map(Self)
    }
}

/// So many in a hundred.
pub(crate) struct Percent(pub(crate) f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        number
            .filter(|number| *number > 0.0 && *number <= 100.0)
            .map(Self)
            .ok_or_else(|| "a share like 5% or 0.5%".into())
    }
}

/// The value of an option, if it is given.
pub(crate) fn read<T: FromStr<Err = String>>(option: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    let wrong = |text: &str, expected: String| Failure::usage(format!("{option} is {text:?}, expected {expected}"));
    text.map(|text| text.parse().map_err(|expected| wrong(text, expected))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, percent) in [("5%", 5.0), ("100%", 100.0), ("0.5%", 0.5)] {
            assert!(text.parse::<Percent>().is_ok_and(|share| (share.0 - percent).abs() < 1e-9), "{text}");
        }
        for wrong in ["", "%", "5", "0%", "101%", "-1%", "NaN%", "inf%", "5 %"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }
}
