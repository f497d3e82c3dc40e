//! `[ALERT:name]`: who is told how jobs end, and that none has ended well for too long.
//!
//! Addresses of webhooks are secrets too: whoever has one may post there. None is shown.

use std::fmt;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, listed, quoted};
use super::findings::Findings;
use super::ini::{Kind, Section};
use super::job::JobOptions;
use super::mail::MailSettings;
use super::surroundings::Surroundings;
use super::values::{Key, Values, choice, once, text};
use super::web_hook::HookSettings;
use crate::policy::Grace;

pub(super) const KEYS: &[Key] = &[once("type"), once("on"), once("jobs"), once("after")];
pub(super) const COMMAND: &[Key] = &[once("command")];
const AFTER_SECONDS_MIN: i64 = 3600;

/// What can be told of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    /// It begins.
    Start,
    /// All of it was done.
    Success,
    /// It was not done.
    Failure,
    /// It was done, and something is missing from a backup.
    Problems,
    /// It has not ended well for too long.
    Overdue,
}

use AlertKind::{Failure, Overdue, Problems, Start, Success};

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertOptions {
    /// Of its section.
    pub name: String,
    /// What it is told of, in the order of the file.
    pub on: Vec<AlertKind>,
    /// Of which jobs; none: of all.
    pub jobs: Vec<String>,
    /// A job is overdue when its last good run ended so many seconds ago; nothing: as its schedule is.
    pub after: Option<i64>,
    /// How it is told.
    pub how: AlertType,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertType {
    /// JSON is posted to an address.
    Webhook(HookSettings),
    /// A check of healthchecks.io, or of a server that speaks its way.
    HealthChecks(HookSettings),
    /// What the shell is to run.
    Command(Zeroizing<String>),
    /// A letter.
    Email(Box<MailSettings>),
}

impl AlertKind {
    /// All of them.
    pub const ALL: [(&'static str, Self); 5] =
        [("start", Start), ("success", Success), ("failure", Failure), ("problems", Problems), ("overdue", Overdue)];

    /// As it stands in the configuration.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for AlertKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        choice(word.as_bytes(), &Self::ALL)
    }
}

impl AlertOptions {
    /// All of a file.
    pub(super) fn read_all(
        sections: &[Section<'_>],
        jobs: &[JobOptions],
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Vec<Self> {
        // Of a job that is wrong itself is told where it is.
        let names = || sections.iter().filter(|section| section.kind == Kind::Job).map(|section| section.name);
        let check = |name: &str| match names().any(|job| job == name) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::BadValue, format!("there is no job {}", quoted(name.as_bytes())))
                .expected(match names().collect::<Vec<_>>() {
                    names if names.is_empty() => "a section [JOB:name]".into(),
                    names => listed(&names, "or"),
                })),
        };
        let mut all: Vec<Self> = Vec::new();
        for section in sections.iter().filter(|section| section.kind == Kind::Alert) {
            all.extend(Self::read(&Values::of(section), check, around, findings));
        }
        for alert in all.iter().filter(|alert| matches!(alert.how, AlertType::HealthChecks(_))) {
            let heard = jobs.iter().filter(|job| alert.is_of(&job.name)).count();
            let section = sections.iter().find(|section| section.kind == Kind::Alert && section.name == alert.name);
            if let (2.., Some(section)) = (heard, section) {
                let title = section.title();
                let text = format!(
                    "{title} is one check and hears of {heard} jobs: one that ends well hides another that does not; `jobs = NAME` makes it one of each"
                );
                findings.note(section.line, &text);
            }
        }
        all
    }

    fn read(
        values: &Values<'_>,
        check_job: impl Fn(&str) -> Result<(), Error>,
        around: &Surroundings,
        findings: &mut Findings,
    ) -> Option<Self> {
        const TYPES: [(&str, u8); 4] = [("webhook", 0), ("healthchecks", 1), ("command", 2), ("email", 3)];
        if !values.has("type") {
            values.missing("type", "type = webhook, healthchecks, command or email", findings);
        }
        let kind = values.read("type", findings, |value| choice(value, &TYPES))?;
        let keys = [HookSettings::WEBHOOK, HookSettings::CHECK, COMMAND, MailSettings::KEYS][usize::from(kind)];
        values.check_with(KEYS, &[keys], findings);
        is_in_this_build(kind, values, findings);
        let on = values.read("on", findings, kinds);
        let jobs = jobs(values, check_job, findings);
        let after = values.read("after", findings, |value| {
            let seconds = text(value)?.parse::<Grace>()?.seconds();
            Some(seconds).filter(|after| *after >= AFTER_SECONDS_MIN).ok_or_else(|| "a time from 1h, like 3d".into())
        });
        let how = match kind {
            0 => HookSettings::read(values, around, findings).map(AlertType::Webhook),
            1 => HookSettings::read(values, around, findings).map(AlertType::HealthChecks),
            2 => command(values, findings).map(AlertType::Command),
            _ => MailSettings::read(values, around, findings).map(|mail| AlertType::Email(Box::new(mail))),
        };
        // A check is waited for: what it does not hear of is an alarm.
        let unasked =
            if kind == 1 { vec![Start, Success, Failure, Problems, Overdue] } else { vec![Failure, Problems, Overdue] };
        Some(Self { name: values.name.into(), on: on.unwrap_or(unasked), jobs, after, how: how? })
    }

    /// Whether it is told of this. A check that does not want to hear of problems must hear all the same that there is a backup.
    pub fn hears(&self, kind: AlertKind) -> bool {
        let is_check = matches!(self.how, AlertType::HealthChecks(_));
        self.on.contains(&kind) || is_check && kind == Problems && self.on.contains(&Success)
    }

    /// Whether it hears of this job.
    pub fn is_of(&self, job: &str) -> bool {
        self.jobs.is_empty() || self.jobs.iter().any(|name| name == job)
    }
}

impl fmt::Display for AlertOptions {
    /// What it is, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            AlertType::Webhook(hook) => write!(f, "posts to {hook}")?,
            AlertType::HealthChecks(hook) => write!(f, "a check at {hook}")?,
            AlertType::Command(_) => f.write_str("runs a command")?,
            AlertType::Email(mail) => write!(f, "{mail}")?,
        }
        let words: Vec<&str> = self.on.iter().map(|kind| kind.word()).collect();
        write!(f, ", on {}", listed(&words, "and"))?;
        match &self.jobs[..] {
            [] => Ok(()),
            jobs => write!(f, ", of {}", jobs.join(", ")),
        }
    }
}

/// A backup that nobody is told of is better than none: everybody is told that there is no such alert.
fn is_in_this_build(kind: u8, values: &Values<'_>, findings: &mut Findings) {
    let (is_in, feature) = match kind {
        0 | 1 => (cfg!(feature = "http"), "http"),
        3 => (cfg!(feature = "email"), "email"),
        _ => return,
    };
    if !is_in {
        let text = format!("{} tells nobody: this program was built without `{feature}`", values.title);
        findings.promise(values.lines.0, &text);
    }
}

/// Words with commas between, none twice.
fn words(value: &[u8]) -> Result<impl Iterator<Item = &str>, String> {
    Ok(text(value)?.split(',').map(str::trim))
}

fn kinds(value: &[u8]) -> Result<Vec<AlertKind>, String> {
    let mut kinds = Vec::new();
    for word in words(value)? {
        match word.parse() {
            Ok(kind) if !kinds.contains(&kind) => kinds.push(kind),
            Ok(_) => return Err(format!("{word} once")),
            Err(expected) => return Err(format!("{expected}, with commas between")),
        }
    }
    Ok(kinds)
}

fn jobs(values: &Values<'_>, check: impl Fn(&str) -> Result<(), Error>, findings: &mut Findings) -> Vec<String> {
    let mut jobs = Vec::new();
    let named = values.all("jobs").next().into_iter();
    for (entry, name) in named.flat_map(|entry| words(entry.value).into_iter().flatten().map(move |name| (entry, name)))
    {
        match check(name) {
            Ok(()) => jobs.push(name.to_owned()),
            Err(error) => findings.wrong(entry.line, error),
        }
    }
    jobs
}

/// It may have a password in it, and is not shown.
fn command(values: &Values<'_>, findings: &mut Findings) -> Option<Zeroizing<String>> {
    let Some(entry) = values.all("command").next() else {
        values.missing("command", "command = what /bin/sh runs", findings);
        return None;
    };
    match text(entry.value) {
        Ok(command) => Some(command.to_owned().into()),
        Err(expected) => {
            findings.wrong(entry.line, Error::new(ErrorKind::BadValue, "command is no text").expected(expected));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    const HOOK: &str = "type = webhook\nurl = https://hooks.example.com/services/hush-hush\n";

    #[cfg(not(feature = "http"))]
    #[test]
    fn what_this_program_can_not_do_is_promised_to_nobody() {
        let mut findings = Findings::new("f".into());
        let text = format!("[ALERT:x]\n{HOOK}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let alerts = AlertOptions::read_all(&sections, &[], &Surroundings::of_test(0), &mut findings);
        let told = "f:1: [ALERT:x] tells nobody: this program was built without `http`";
        assert_eq!((alerts.len(), findings.promises()), (1, vec![told.to_owned()]));
        assert!(findings.finish().is_ok(), "backups go on");
    }

    fn read(lines: &str) -> Result<(Vec<AlertOptions>, Vec<String>), Error> {
        let mut findings = Findings::new("f".into());
        let jobs = "[JOB:nightly]\nfrom = a\nto = b\nat = 02:30\n[JOB:weekly]\nfrom = a\nto = b\nat = 02:30\n";
        let text = format!("[ALERT:x]\n{lines}\n{jobs}");
        let sections = ini::read(text.as_bytes(), &mut findings);
        let of = |section: &Section<'_>| {
            JobOptions::read(
                &Values::of(section),
                &Surroundings::of_test(0),
                |_| Ok(()),
                |_| Ok(()),
                &mut Findings::new("f".into()),
            )
        };
        let jobs: Vec<_> = sections.iter().filter(|section| section.kind == Kind::Job).filter_map(of).collect();
        let alerts = AlertOptions::read_all(&sections, &jobs, &Surroundings::of_test(0), &mut findings);
        findings.finish().map(|notes| (alerts, notes))
    }

    fn one(lines: &str) -> AlertOptions {
        let (mut alerts, notes) = read(lines).unwrap();
        assert_eq!((alerts.len(), notes), (1, vec![]), "{lines}");
        alerts.remove(0)
    }

    #[test]
    fn what_goes_without_saying() {
        let alert = one("type = command\ncommand = mail -s \"$BRACKUP_MESSAGE\" root");
        assert_eq!((&alert.on[..], alert.after), (&[Failure, Problems, Overdue][..], None));
        assert!(alert.is_of("nightly") && alert.is_of("weekly"));
        assert_eq!(alert.how, AlertType::Command("mail -s \"$BRACKUP_MESSAGE\" root".to_owned().into()));
        assert_eq!(alert.to_string(), "runs a command, on failure, problems and overdue");
    }

    #[test]
    fn events_and_jobs_are_chosen() {
        let alert = one("type = command\ncommand = x\non = overdue ,start\njobs = weekly\nafter = 36h");
        assert_eq!((&alert.on[..], alert.after), (&[Overdue, Start][..], Some(36 * 3600)));
        assert!(!alert.is_of("nightly") && alert.is_of("weekly"));
    }

    #[test]
    fn an_address_is_shown_to_nobody() {
        let alert = one(HOOK);
        assert_eq!(alert.to_string(), "posts to https://hooks.example.com, on failure, problems and overdue");
        assert!(!format!("{alert:?}").contains("hush"), "{alert:?}");
        for wrong in ["hooks.example.com/hush", "https://me:hush@hooks/", "ftp://hush/", "https://h/hush hush"] {
            let told = read(&format!("type = webhook\nurl = {wrong}")).unwrap_err().to_string();
            assert_eq!(told, "f:3: url is no address, expected https://host/… without a user and a password");
        }
        for text in ["url: https://hooks/hush", "https://hooks/hush?token=hush"] {
            let told = read(&format!("type = webhook\n{text}")).unwrap_err().to_string();
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn one_check_of_several_jobs_is_noted() {
        let check = "type = healthchecks\nurl = https://hc-ping.com/hush";
        let (alerts, notes) = read(check).unwrap();
        assert_eq!(alerts[0].on, [Start, Success, Failure, Problems, Overdue]);
        assert!(notes[0].starts_with("f:1: [ALERT:x] is one check and hears of 2 jobs: "), "{notes:?}");
        assert!(read(&format!("{check}\njobs = nightly")).unwrap().1.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (lines, told) in [
            ("command = x", "f:1: [ALERT:x] has no type, expected type = webhook, healthchecks, command or email"),
            ("type = pager", "f:2: type is \"pager\", expected webhook, healthchecks, command or email"),
            ("type = command", "f:1: [ALERT:x] has no command, expected command = what /bin/sh runs"),
            (
                "type = command\ncommand = x\non = done",
                "f:4: on is \"done\", expected start, success, failure, problems or overdue, with commas between",
            ),
            ("type = command\ncommand = x\non = start, start", "f:4: on is \"start, start\", expected start once"),
            (
                "type = command\ncommand = x\njobs = nightly, daily",
                "f:4: there is no job \"daily\", expected nightly or weekly",
            ),
            ("type = command\ncommand = x\nafter = 3s", "f:4: after is \"3s\", expected a time from 1h, like 3d"),
            (
                "type = command\ncommand = x\nurl = https://h/",
                "f:4: unknown key \"url\" in [ALERT:x], expected one of type, on, jobs, after or command",
            ),
        ] {
            assert_eq!(read(lines).unwrap_err().to_string(), told);
        }
    }
}
