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

/// The value of an option, if it is given.
pub(crate) fn read<T: FromStr<Err = String>>(option: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    let wrong = |text: &str, expected: String| Failure::usage(format!("{option} is {text:?}, expected {expected}"));
    text.map(|text| text.parse().map_err(|expected| wrong(text, expected))).transpose()
}
