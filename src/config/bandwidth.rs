//! `bandwidth = 2MB/s, 08:00-23:00 500kB/s`: how fast a line may be used, and when.

use super::TimeOfDay;
use super::size::parse_size;
use super::values::text;
use crate::provider::{Bandwidth, Span};

const EXPECTED: &str = "rates like 2MB/s, 08:00-23:00 500kB/s, 23:00-08:00 unlimited";

/// Rates with commas between them: one for the rest of the day at most, each other behind its part of the day.
pub(super) fn parse(value: &[u8]) -> Result<Bandwidth, String> {
    let (mut usual, mut spans) = (None, Vec::new());
    for part in text(value)?.split(',').map(str::trim) {
        match part.split_once(char::is_whitespace) {
            None if usual.is_none() => usual = Some(rate(part)?),
            None => return Err(EXPECTED.into()),
            Some((hours, of_them)) => {
                let (from, to) = hours.split_once('-').ok_or(EXPECTED)?;
                spans.push(Span { from: minute(from)?, to: minute(to)?, rate: rate(of_them.trim())? });
            }
        }
    }
    Ok(Bandwidth { usual: usual.flatten(), spans })
}

/// Nothing: as fast as it goes.
fn rate(text: &str) -> Result<Option<u64>, String> {
    if text.eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    let size = text.strip_suffix("/s").ok_or(EXPECTED)?;
    parse_size(size).map(Some).map_err(|_| EXPECTED.into())
}

/// Of the day; 24:00 is its end.
fn minute(text: &str) -> Result<u32, String> {
    if text == "24:00" {
        return Ok(24 * 60);
    }
    Ok(TimeOfDay::parse(text.as_bytes()).map_err(|_| EXPECTED)?.minute_of_day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_hours() {
        let bandwidth = parse(b"2MB/s, 08:00-23:00 500kB/s,23:30-24:00  unlimited").unwrap();
        let span = |from, to, rate| Span { from, to, rate };
        let spans = vec![span(8 * 60, 23 * 60, Some(500 << 10)), span(23 * 60 + 30, 24 * 60, None)];
        assert_eq!(bandwidth, Bandwidth { usual: Some(2 << 20), spans });
        assert_eq!(parse(b"08:00-23:00 1k/s").unwrap().usual, None);
        for wrong in ["", "2MB", "fast", "1k/s, 2k/s", "8-23 1k/s", "08:00 1k/s", "25:00-26:00 1k/s", "0/s", "1k/s,"] {
            assert_eq!(parse(wrong.as_bytes()), Err(EXPECTED.into()), "{wrong}");
        }
    }
}
