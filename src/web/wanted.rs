//! Which part of an object is asked for.

use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::refusal::Refusal;

/// The header `range`, of which one part may be asked for at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    From(u64, Option<u64>),
    Last(u64),
}

impl Wanted {
    pub(super) fn parse(value: &HeaderValue) -> Result<Self, Refusal> {
        let parsed = || {
            let (first, last) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
            let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
            match (first, last) {
                ("", last) => Some(Self::Last(number(last)?)),
                (first, "") => Some(Self::From(number(first)?, None)),
                (first, last) => {
                    let (first, last) = (number(first)?, number(last)?);
                    (first <= last).then_some(Self::From(first, Some(last)))
                }
            }
        };
        parsed().ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "range is to be bytes=A-B, bytes=A- or bytes=-N"))
    }

    /// From where to where; nothing if that is behind the end.
    pub(super) fn of(&self, total: u64) -> Option<(u64, u64)> {
        match *self {
            Self::From(first, last) => {
                let end = last.map_or(total, |last| last.saturating_add(1).min(total));
                (first < total).then_some((first, end))
            }
            Self::Last(count) => (count > 0 && total > 0).then(|| (total.saturating_sub(count), total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_at_a_time_is_wanted() {
        let of = |text: &str, total| {
            Wanted::parse(&HeaderValue::from_str(text).unwrap()).ok().map(|wanted| wanted.of(total))
        };
        for (text, part) in [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=3-5", Some((3, 6))),
            ("bytes=3-", Some((3, 10))),
            ("bytes=-4", Some((6, 10))),
            ("bytes=-40", Some((0, 10))),
            ("bytes=9-18446744073709551615", Some((9, 10))),
            ("bytes=10-", None),
            ("bytes=-0", None),
        ] {
            assert_eq!(of(text, 10), Some(part), "{text}");
        }
        assert_eq!(of("bytes=0-", 0), Some(None));
        for wrong in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "bytes=+1-2", "lines=0-1", "bytes=a-"]
        {
            assert_eq!(of(wrong, 10), None, "{wrong}");
        }
    }
}
