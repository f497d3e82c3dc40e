//! `keep_last` and the rest, of a target or of a source: which backups stay.

use std::str::FromStr;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::size::parse_size;
use super::values::{Key, Values, number, once, text};
use crate::policy::{Compaction, Grace, Policy};

/// More would be none.
const COUNT_MAX: u32 = 1_000_000;

/// What a target and a source have beside their own keys.
pub(super) const OF_TARGET: &[&[Key]] = &[KEYS, GARBAGE];
pub(super) const OF_SOURCE: &[&[Key]] = &[KEYS];

const GARBAGE: &[Key] = &[once("grace"), once("compact_under"), once("compact_max")];
const KEYS: &[Key] = &[
    once("keep_last"),
    once("keep_backups"),
    once("keep_daily"),
    once("keep_weekly"),
    once("keep_monthly"),
    once("keep_yearly"),
    once("keep_within"),
    once("thinning"),
];

/// How long a target keeps what no backup needs.
pub(super) fn grace(values: &Values<'_>, findings: &mut Findings) -> Option<Grace> {
    values.read("grace", findings, parsed)
}

/// Which chunks it gives up.
pub(super) fn compaction(values: &Values<'_>, findings: &mut Findings) -> Compaction {
    let max_bytes = values.read("compact_max", findings, |value| parse_size(text(value)?));
    Compaction { under: values.read("compact_under", findings, parsed), max_bytes }
}

/// What the section says, if anything.
pub(super) fn read(values: &Values<'_>, findings: &mut Findings) -> Policy {
    let of_last: Vec<_> = values.all("keep_last").collect();
    if let [first, second, ..] = &of_last[..] {
        let found =
            format!("keep_backups is another word for keep_last, and one of them is in line {} already", first.line);
        findings.wrong(second.line, Error::new(ErrorKind::RepeatedKey, found).expected("one of them"));
    }
    let mut count = |key| values.read(key, findings, |value| number(value, 1, COUNT_MAX));
    Policy {
        last: count("keep_last"),
        daily: count("keep_daily"),
        weekly: count("keep_weekly"),
        monthly: count("keep_monthly"),
        yearly: count("keep_yearly"),
        within: values.read("keep_within", findings, parsed),
        thinning: values.read("thinning", findings, parsed),
    }
}

fn parsed<T: FromStr<Err = String>>(value: &[u8]) -> Result<T, String> {
    text(value)?.parse()
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn told(lines: &str) -> Result<String, Error> {
        let mut findings = Findings::new("f".into());
        let text = format!("[TARGET:x]\n{lines}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let values = Values::of(&sections[0]);
        values.check(KEYS, &mut findings);
        let policy = read(&values, &mut findings);
        findings.finish().map(|_| policy.to_string())
    }

    #[test]
    fn rules_are_read() {
        let lines = "keep_last=3\nkeep_daily = 7\nkeep_weekly=4\nkeep_monthly=12\nkeep_yearly=10\nkeep_within=2y5m7d3h\nthinning = 7:2,14:4,31:delete";
        let expected = "keep_last = 3, keep_daily = 7, keep_weekly = 4, keep_monthly = 12, keep_yearly = 10, keep_within = 2y5m7d3h, thinning = 7:2,14:4,31:delete";
        assert_eq!(told(lines).unwrap(), expected);
        assert_eq!(told("keep_backups = 5").unwrap(), "keep_last = 5");
        assert_eq!(told("").unwrap(), "");
    }

    #[test]
    fn wrong_rules_are_told() {
        for (lines, expected) in [
            ("keep_last = 0", "f:2: keep_last is \"0\", expected a number from 1 to 1000000"),
            ("keep_daily = all", "f:2: keep_daily is \"all\", expected a number from 1 to 1000000"),
            (
                "keep_within = 30",
                "f:2: keep_within is \"30\", expected a time like 2y5m7d3h, 30d or 12h: years, months, days, hours in this order",
            ),
            (
                "thinning = 14:4,7:2",
                "f:2: thinning is \"14:4,7:2\", expected pairs of age and gap in days, the ages from 1 and rising, like 7:2,14:4,31:delete; only the last may delete",
            ),
            (
                "keep_last = 3\nkeep_backups = 3",
                "f:3: keep_backups is another word for keep_last, and one of them is in line 2 already, expected one of them",
            ),
        ] {
            assert_eq!(told(lines).unwrap_err().to_string(), expected);
        }
    }
}
