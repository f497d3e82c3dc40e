//! Sizes as people write them: `5m`, `64MB`, `20MiB`, `100b`, `4096`.
//!
//! k, m and g are powers of 1024 whatever follows them, as in the original. There are no fractions and no blanks.

const EXPECTED: &str = "a size like 512k, 64MB or 1GiB";

/// The number of bytes, never 0. The error is what was expected instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(EXPECTED.into()),
    };
    if number.is_empty() {
        return Err(EXPECTED.into());
    }
    // What is only digits and does not parse is too large.
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(0) => Err(format!("{EXPECTED}, more than 0")),
        Some(bytes) => Ok(bytes),
        None => Err(format!("{EXPECTED}, less than 16 EiB")),
    }
}

/// The number of bytes, if it is one from `min` to `max`.
pub(super) fn parse_size_within(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let bytes = parse_size(text)?;
    if (min..=max).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("a size from {} to {}", written(min), written(max)))
}

/// In the largest unit that leaves no rest.
fn written(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("100b", 100),
            ("100B", 100),
            ("1k", 1024),
            ("1kB", 1024),
            ("1KB", 1024),
            ("1KiB", 1024),
            ("5m", 5 << 20),
            ("5M", 5 << 20),
            ("64MB", 64 << 20),
            ("64mb", 64 << 20),
            ("20MiB", 20 << 20),
            ("1g", 1 << 30),
            ("2GB", 2 << 30),
            ("2gib", 2 << 30),
            ("0005m", 5 << 20),
            ("17179869183g", u64::MAX - (1 << 30) + 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn garbage_is_told_from_zero_and_overflow() {
        let plain = "a size like 512k, 64MB or 1GiB";
        let zero = "a size like 512k, 64MB or 1GiB, more than 0";
        let large = "a size like 512k, 64MB or 1GiB, less than 16 EiB";
        for (text, expected) in [
            ("", plain),
            ("m", plain),
            ("MB", plain),
            ("5x", plain),
            ("5 MB", plain),
            ("1.5g", plain),
            ("-1", plain),
            ("+1", plain),
            ("5mm", plain),
            ("5bb", plain),
            ("5t", plain),
            ("0x10", plain),
            ("\u{665}m", plain),
            ("0", zero),
            ("000k", zero),
            ("0MB", zero),
            ("17179869184g", large),
            ("18446744073709551616", large),
            ("99999999999999999999999b", large),
        ] {
            assert_eq!(parse_size(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn limits_are_inside_and_named() {
        let within = |text| parse_size_within(text, 1 << 20, 1 << 30);
        assert_eq!(within("1m"), Ok(1 << 20));
        assert_eq!(within("1g"), Ok(1 << 30));
        for text in ["1023k", "1073741825"] {
            assert_eq!(within(text), Err("a size from 1 MiB to 1 GiB".to_owned()));
        }
        assert_eq!(parse_size_within("9", 1, 1 << 10), Ok(9), "small units are told as well");
        assert_eq!(parse_size_within("9", 100, 64 << 10), Err("a size from 100 bytes to 64 KiB".to_owned()));
    }
}
