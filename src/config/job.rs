//! `[JOB:name]`: which sources go to which targets, and when.
//!
//! What it names must be in the same file and usable: a job that can't run is found when the file is read, not at night.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::bandwidth;
use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::ini::Entry;
use super::schedule::Schedule;
use super::source::SourceOptions;
use super::surroundings::Surroundings;
use super::target::{TargetKind, TargetOptions};
use super::upkeep::{self, Upkeep};
use super::values::{Key, Values, choice, number, often, once, text};
use super::window::Window;
use crate::provider::Bandwidth;

pub(super) const KEYS: &[Key] = &[
    often("from"),
    often("copy_from"),
    often("to"),
    once("at"),
    once("window"),
    once("pre"),
    once("post"),
    once("bandwidth"),
    once("nice"),
    once("ionice"),
    once("wake"),
];

/// What a box is there for goes first.
const NICE: u32 = 10;

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOptions {
    /// Of its section.
    pub name: String,
    /// The line of its section, from 1.
    pub line: usize,
    /// Names of sources, in the order of the file, none twice.
    pub from: Vec<String>,
    /// Names of targets all of which is copied on, likewise. There is one here or a source.
    pub copy_from: Vec<String>,
    /// Names of targets, likewise, at least one.
    pub to: Vec<String>,
    /// When it begins.
    pub at: Schedule,
    /// When it may run; nothing: at any time.
    pub window: Option<Window>,
    /// A command of the shell before its backups.
    pub pre: Option<OsString>,
    /// One behind them.
    pub post: Option<OsString>,
    /// How fast it may use the way to a target, besides what that says.
    pub bandwidth: Option<Bandwidth>,
    /// How far it gives way to others, from 0 to 19.
    pub nice: u8,
    /// Whether its reads and writes wait until nobody else has any.
    pub is_idle: bool,
    /// Whether it may wake a disk that sleeps; if not it waits until somebody uses it.
    pub wakes: bool,
    /// What is done at its targets then.
    pub upkeep: Upkeep,
}

impl JobOptions {
    /// Nothing if it lacks something. `check_source` and `check_target` say what is wrong with a name.
    pub(super) fn read(
        values: &Values<'_>,
        around: &Surroundings,
        check_source: impl Fn(&str) -> Result<(), Error>,
        check_target: impl Fn(&str) -> Result<(), Error>,
        findings: &mut Findings,
    ) -> Option<Self> {
        values.check_with(KEYS, &[upkeep::KEYS], findings);
        let from = names(values, "from", check_source, findings);
        let to = names(values, "to", &check_target, findings);
        let copy_from = names(values, "copy_from", &check_target, findings);
        check_copies(values, &to, findings);
        let at = values.read("at", findings, Schedule::parse);
        let window = values.read("window", findings, Window::parse);
        let (pre, post) = (values.read("pre", findings, command), values.read("post", findings, command));
        let nice = values.read("nice", findings, |value| number(value, 0, 19)).unwrap_or(NICE);
        let wakes = values.read("wake", findings, |value| choice(value, &[("scheduled", true), ("never", false)]));
        let is_idle = values.read("ionice", findings, |value| choice(value, &[("idle", true), ("normal", false)]));
        let (nice, wakes) = (u8::try_from(nice).unwrap_or_default(), wakes.unwrap_or(true));
        let bandwidth = values.read("bandwidth", findings, bandwidth::parse);
        let upkeep = Upkeep::read(values, around, findings);
        for (key, expected) in
            [("from", "from = a source, or copy_from = a target"), ("to", "to = a target"), ("at", "at = 02:30")]
        {
            if !(values.has(key) || key == "from" && values.has("copy_from")) {
                values.missing(key, expected, findings);
            }
        }
        if upkeep.restore_test.is_some() && !values.has("from") && values.has("copy_from") {
            values.missing("from", "from = a source: restore_test restores of the backups of each", findings);
        }
        Some(Self {
            name: values.name.into(),
            line: values.lines.0,
            from,
            copy_from,
            to,
            at: at?,
            window,
            pre,
            post,
            bandwidth,
            nice,
            is_idle: is_idle.unwrap_or(true),
            wakes,
            upkeep,
        })
    }

    /// Without a rule nothing would ever be pruned, and whoever wrote that counts on it.
    pub(super) fn check_rules(&self, sources: &[SourceOptions], targets: &[TargetOptions], findings: &mut Findings) {
        let has_rules = sources.iter().any(|source| !source.policy.is_empty())
            || self.to.iter().any(|to| targets.iter().all(|target| target.name != *to || !target.policy.is_empty()));
        let of_source = sources.iter().any(|source| self.from.contains(&source.name) && !source.policy.is_empty());
        let lacks = |target: &&TargetOptions| self.to.contains(&target.name) && target.policy.is_empty() && !of_source;
        for target in targets.iter().filter(lacks).filter(|_| self.upkeep.prune && has_rules) {
            let (name, to) = (&self.name, &target.name);
            let text = format!("[JOB:{name}] has prune = yes, and no rule says which backups stay at {to}: all do");
            findings.note(self.line, &text);
        }
        // A name that is wrong is told first.
        if self.upkeep.prune && !has_rules && !findings.are_wrong() {
            let found = format!("[JOB:{}] has prune = yes, and no rule says which backups stay", self.name);
            let expected = "keep_daily = 7 or another rule in a target or a source";
            findings.wrong(self.line, Error::new(ErrorKind::MissingKey, found).expected(expected));
        }
    }

    /// Another box lets nobody delete.
    pub(super) fn check_deletes(&self, targets: &[TargetOptions], findings: &mut Findings) {
        let is_kept =
            |target: &&TargetOptions| matches!(target.kind, TargetKind::Brackup(..)) && self.to.contains(&target.name);
        for target in targets.iter().filter(is_kept).filter(|_| self.upkeep.prune || self.upkeep.gc.is_some()) {
            let (name, to) = (&self.name, &target.name);
            let text = format!("prune and gc of [JOB:{name}] do nothing at {to}: another box lets nobody delete");
            findings.note(self.line, &text);
        }
    }

    /// Folders of this machine are written as fast as it goes.
    pub(super) fn check_bandwidth(&self, targets: &[TargetOptions], findings: &mut Findings) {
        let is_folder = |target: &TargetOptions| matches!(target.kind, TargetKind::Filesystem { .. });
        let mut names = self.to.iter().chain(&self.copy_from);
        let are_folders = names.all(|name| targets.iter().any(|target| target.name == *name && is_folder(target)));
        if self.bandwidth.is_some() && are_folders {
            let text = format!(
                "bandwidth of [JOB:{}] does nothing: it is for ways to servers, and all its targets are folders",
                self.name
            );
            findings.note(self.line, &text);
            findings.promise(self.line, &text);
        }
    }

    /// Two sections may be of one place.
    pub(super) fn check_places(&self, targets: &[TargetOptions], findings: &mut Findings) {
        let kind = |name: &str| targets.iter().find(|target| target.name == name).map(|target| &target.kind);
        for (from, to) in self.copies().filter(|(from, to)| from != to && kind(from) == kind(to)) {
            let found = format!("[JOB:{}] copies {from} to {to}, and both are the same place", self.name);
            findings.wrong(self.line, Error::new(ErrorKind::BadValue, found).expected("another one"));
        }
    }

    /// What a good run of it leaves, for people.
    pub fn leaves(&self) -> &'static str {
        if self.from.is_empty() { "copy" } else { "backup" }
    }

    /// What it copies on, one after the other: each target to each.
    pub fn copies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.copy_from.iter().flat_map(|from| self.to.iter().map(move |to| (&**from, &**to)))
    }

    /// Its backups, one after the other: each source to each target.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.from.iter().flat_map(|from| self.to.iter().map(move |to| (&**from, &**to)))
    }
}

/// Nothing is copied to where it is.
fn check_copies(values: &Values<'_>, to: &[String], findings: &mut Findings) {
    let is_there = |entry: &&Entry<'_>| to.iter().any(|to| to.as_bytes() == entry.value);
    for entry in values.all("copy_from").filter(is_there) {
        let found = format!("copy_from names {}, and so does to", String::from_utf8_lossy(entry.value));
        findings.wrong(entry.line, Error::new(ErrorKind::BadValue, found).expected("another target than those of to"));
    }
}

/// For `/bin/sh -c`.
fn command(value: &[u8]) -> Result<OsString, String> {
    Ok(OsStr::from_bytes(value).into())
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
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        let job = JobOptions::read(&Values::of(&sections[0]), &around, check, check, &mut findings);
        findings.finish().map(|_| job)
    }

    #[test]
    fn each_source_goes_to_each_target() {
        let job = read("from = home\nto = raid\nat = 02:30\nfrom = etc\nto = usb").unwrap().unwrap();
        assert_eq!((&*job.name, job.line, job.window), ("nightly", 1, None));
        let pairs: Vec<_> = job.pairs().collect();
        assert_eq!(pairs, [("home", "raid"), ("home", "usb"), ("etc", "raid"), ("etc", "usb")]);
        assert_eq!(job.at.to_string(), "every day at 02:30");
    }

    #[test]
    fn a_job_may_only_copy() {
        let job = read("copy_from = laptop\nto = raid\nat = 02:30\ncopy_from = desk\nto = usb").unwrap().unwrap();
        let copies: Vec<_> = job.copies().collect();
        assert_eq!(copies, [("laptop", "raid"), ("laptop", "usb"), ("desk", "raid"), ("desk", "usb")]);
        assert_eq!(job.pairs().count(), 0);
    }

    #[cfg(feature = "restore-test")]
    #[test]
    fn wrong_jobs_are_told() {
        let good = "from = home\nto = raid\nat = 02:30\n";
        for (lines, told) in [
            (
                "to = raid\nat = 02:30",
                "f:1: [JOB:nightly] has no from, expected from = a source, or copy_from = a target",
            ),
            ("from = home\nat = 02:30", "f:1: [JOB:nightly] has no to, expected to = a target"),
            ("from = home\nto = raid", "f:1: [JOB:nightly] has no at, expected at = 02:30"),
            (&format!("{good}from = home"), "f:5: from names home already, expected each name once"),
            (&format!("{good}to = raid"), "f:5: to names raid already, expected each name once"),
            (&format!("{good}at = 03:30"), "f:5: at is in line 4 already, expected it once in a section"),
            (&format!("{good}from = wrong"), "f:5: it is wrong"),
            (&format!("{good}copy_from = wrong"), "f:5: it is wrong"),
            (&format!("{good}copy_from = a\ncopy_from = a"), "f:6: copy_from names a already, expected each name once"),
            (
                &format!("{good}copy_from = raid"),
                "f:5: copy_from names raid, and so does to, expected another target than those of to",
            ),
            (
                "copy_from = a\nto = raid\nat = 02:30\nrestore_test = monthly\nrestore_key = /k",
                "f:1: [JOB:nightly] has no from, expected from = a source: restore_test restores of the backups of each",
            ),
            ("from = home\nto = wrong\nat = 02:30", "f:3: it is wrong"),
            (
                "from = home\nto = raid\nat = 2:30",
                "f:4: at is \"2:30\", expected a time of day, such as 02:30, or the five fields of cron, such as 30 2 * * 1-5",
            ),
            (
                &format!("{good}restore_test = monthly"),
                "f:1: [JOB:nightly] has no restore_key, expected the file of a secret key: restore_test can't open backups without",
            ),
            (
                &format!("{good}bandwidth = fast"),
                "f:5: bandwidth is \"fast\", expected rates like 2MB/s, 08:00-23:00 500kB/s, 23:00-08:00 unlimited",
            ),
            (&format!("{good}nice = -5"), "f:5: nice is \"-5\", expected a number from 0 to 19"),
            (&format!("{good}wake = always"), "f:5: wake is \"always\", expected scheduled or never"),
            (&format!("{good}gc = sometimes"), "f:5: gc is \"sometimes\", expected daily, weekly, monthly or no"),
            (&format!("{good}verify = 5"), "f:5: verify is \"5\", expected a share like 5% or 0.5%, or no"),
            (&format!("{good}prune = daily"), "f:5: prune is \"daily\", expected yes or no"),
            (
                &format!("{good}windows = 01:00-06:00"),
                "f:5: unknown key \"windows\" in [JOB:nightly], expected one of from, copy_from, to, at, window, pre, post, bandwidth, nice, ionice, wake, prune, gc, verify, restore_test or restore_key",
            ),
            (&format!("{good}window = 1-6"), "f:5: window is \"1-6\", expected a part of the day, such as 01:00-06:00"),
            (
                &format!("{good}inherit = usual"),
                "f:5: unknown key \"inherit\" in [JOB:nightly], expected one of from, copy_from, to, at, window, pre, post, bandwidth, nice, ionice, wake, prune, gc, verify, restore_test or restore_key",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
