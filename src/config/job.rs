//! `[JOB:name]`: which sources go to which targets every day, and when.
//!
//! What it names must be in the same file and usable: a job that can't run is found when the file is read, not at night.

use std::fmt;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::ini::Entry;
use super::values::{Key, Values, often, once, text};

pub(super) const KEYS: &[Key] = &[often("from"), often("to"), once("at")];

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOptions {
    /// Of its section.
    pub name: String,
    /// The line of its section, from 1.
    pub line: usize,
    /// Names of sources, in the order of the file, none twice, at least one.
    pub from: Vec<String>,
    /// Names of targets, likewise.
    pub to: Vec<String>,
    /// When it begins, every day.
    pub at: TimeOfDay,
}

/// Hour and minute of a day, on the clock of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl JobOptions {
    /// Nothing if it lacks something. `check_source` and `check_target` say what is wrong with a name.
    pub(super) fn read(
        values: &Values<'_>,
        check_source: impl Fn(&str) -> Result<(), Error>,
        check_target: impl Fn(&str) -> Result<(), Error>,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check(KEYS, findings);
        let from = names(values, "from", check_source, findings);
        let to = names(values, "to", check_target, findings);
        let at = values.read("at", findings, TimeOfDay::parse);
        for (key, expected) in [("from", "from = a source"), ("to", "to = a target"), ("at", "at = 02:30")] {
            if !values.has(key) {
                values.missing(key, expected, findings);
            }
        }
        Some(Self { name: values.name.into(), line: values.lines.0, from, to, at: at? })
    }

    /// Its backups, one after the other: each source to each target.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.from.iter().flat_map(|from| self.to.iter().map(move |to| (&**from, &**to)))
    }
}

impl TimeOfDay {
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

/// The names of all lines of a key, without those that are wrong.
fn names(
    values: &Values<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), Error>,
    findings: &mut Findings,
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for entry in values.all(key) {
        match name(entry, &all).and_then(|name| check(&name).map(|()| name)) {
            Ok(name) => all.push(name),
            Err(error) => findings.wrong(entry.line, error),
        }
    }
    all
}

fn name(entry: &Entry<'_>, before: &[String]) -> Result<String, Error> {
    let name = text(entry.value).map_err(|expected| Error::value(entry.key, entry.value, expected))?;
    if before.iter().any(|before| before == name) {
        let found = format!("{} names {name} already", entry.key);
        return Err(Error::new(ErrorKind::RepeatedKey, found).expected("each name once"));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn read(lines: &str) -> Result<Option<JobOptions>, Error> {
        let mut findings = Findings::new("f".into());
        let text = format!("[JOB:nightly]\n{lines}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let check = |name: &str| match name {
            "wrong" => Err(Error::new(ErrorKind::NoSuchSource, "it is wrong")),
            _ => Ok(()),
        };
        let job = JobOptions::read(&Values::of(&sections[0]), check, check, &mut findings);
        findings.finish().map(|_| job)
    }

    #[test]
    fn each_source_goes_to_each_target() {
        let job = read("from = home\nto = raid\nat = 02:30\nfrom = etc\nto = usb").unwrap().unwrap();
        assert_eq!((&*job.name, job.line, job.at), ("nightly", 1, TimeOfDay { hour: 2, minute: 30 }));
        let pairs: Vec<_> = job.pairs().collect();
        assert_eq!(pairs, [("home", "raid"), ("home", "usb"), ("etc", "raid"), ("etc", "usb")]);
        assert_eq!(job.at.to_string(), "02:30");
    }

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

    #[test]
    fn wrong_jobs_are_told() {
        let good = "from = home\nto = raid\nat = 02:30\n";
        for (lines, told) in [
            ("to = raid\nat = 02:30", "f:1: [JOB:nightly] has no from, expected from = a source"),
            ("from = home\nat = 02:30", "f:1: [JOB:nightly] has no to, expected to = a target"),
            ("from = home\nto = raid", "f:1: [JOB:nightly] has no at, expected at = 02:30"),
            (&format!("{good}from = home"), "f:5: from names home already, expected each name once"),
            (&format!("{good}to = raid"), "f:5: to names raid already, expected each name once"),
            (&format!("{good}at = 03:30"), "f:5: at is in line 4 already, expected it once in a section"),
            (&format!("{good}from = wrong"), "f:5: it is wrong"),
            ("from = home\nto = wrong\nat = 02:30", "f:3: it is wrong"),
            (
                "from = home\nto = raid\nat = 2:30",
                "f:4: at is \"2:30\", expected a time of day from 00:00 to 23:59, such as 02:30",
            ),
            (
                &format!("{good}window = 01:00-06:00"),
                "f:5: unknown key \"window\" in [JOB:nightly], expected one of from, to or at",
            ),
            (
                &format!("{good}inherit = usual"),
                "f:5: unknown key \"inherit\" in [JOB:nightly], expected one of from, to or at",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
