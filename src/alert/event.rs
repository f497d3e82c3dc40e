//! What is told: of which job, what became of it, and of each of its backups.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::AlertKind;
use crate::date::Utc;
use crate::monitor::{Counter, Counts};
use crate::outcome::Outcome;

/// The form of the JSON. Keys may come; one that goes or means another thing makes it another number.
const VERSION: u32 = 1;

/// Something that became of a job.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub kind: AlertKind,
    /// Of which job.
    pub job: String,
    /// On which box.
    pub hostname: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// In words, in one line.
    pub message: String,
    /// How the run ended, if it is the end of one.
    pub outcome: Option<Outcome>,
    /// When its last good run ended, if it has no good one now and had one before.
    pub last_good: Option<i64>,
    /// Its backups.
    pub parts: Vec<Part>,
    /// Nothing has happened: somebody tries the alert.
    pub is_test: bool,
}

/// One source to one target.
#[derive(Clone, Debug)]
pub struct Part {
    /// By its name.
    pub source: String,
    /// The folder.
    pub path: String,
    /// By its name.
    pub target: String,
    /// The backup that was made, if one was.
    pub backup: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was done, or why it was not, in words.
    pub message: String,
    /// What was counted, if it came so far.
    pub stats: Option<Stats>,
}

/// What was counted in a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// By counter.
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
}

impl Event {
    /// As it is posted: docs/JSON.md.
    pub fn to_json(&self) -> Value {
        let day = |at: i64| Utc::from_unix(at).to_string();
        let mut value = json!({
            "version": VERSION,
            "event": self.kind.word(),
            "job": self.job,
            "hostname": self.hostname,
            "date": day(self.at),
            "message": self.message,
            "outcome": self.outcome.map(Outcome::word),
            "last_good": self.last_good.map(day),
            "backups": self.parts.iter().map(Part::to_json).collect::<Vec<_>>(),
        });
        if self.is_test {
            value["test"] = true.into();
        }
        value
    }

    /// For people: one line, and one of each backup.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.hostname, self.message);
        for part in &self.parts {
            let name = part.backup.as_deref().map_or_else(String::new, |name| format!("{name}: "));
            // A String takes everything.
            let _ =
                writeln!(text, "{} to {}: {}: {name}{}", part.source, part.target, part.outcome.word(), part.message);
        }
        text
    }
}

impl Part {
    fn to_json(&self) -> Value {
        json!({
            "source": self.source,
            "root": self.path,
            "target": self.target,
            "backup": self.backup,
            "outcome": self.outcome.word(),
            "message": self.message,
            "stats": self.stats.map(|stats| stats.to_json()),
        })
    }
}

impl Stats {
    /// As at the end of `brackup backup --json`.
    pub fn to_json(self) -> Value {
        let of = |counter| self.counts.of(counter);
        json!({
            "files": of(Counter::Files),
            "unchanged_files": of(Counter::UnchangedFiles),
            "other_entries": of(Counter::OtherEntries),
            "bytes": of(Counter::FileBytes),
            "read_bytes": of(Counter::ReadBytes),
            "chunks_stored": of(Counter::Chunks),
            "stored_bytes": of(Counter::StoredBytes),
            "problems": self.counts.problems,
            "notices": self.counts.notices,
            "seconds": self.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_to_programs_and_to_people() {
        let part = Part {
            source: "home".into(),
            path: "/raid/home".into(),
            target: "usb".into(),
            backup: None,
            outcome: Outcome::NoSuchTarget,
            message: "is not mounted".into(),
            stats: None,
        };
        let event = Event {
            kind: AlertKind::Failure,
            job: "nightly".into(),
            hostname: "nas".into(),
            at: 1_795_570_200,
            message: "job nightly: failed".into(),
            outcome: Some(Outcome::NoSuchTarget),
            last_good: None,
            parts: vec![
                part.clone(),
                Part {
                    backup: Some("home-2026112501".into()),
                    outcome: Outcome::Done,
                    stats: Some(Stats::default()),
                    ..part
                },
            ],
            is_test: false,
        };
        let json = event.to_json();
        assert_eq!(
            (&json["event"], &json["date"], &json["outcome"]),
            (&"failure".into(), &"2026-11-25T01:30:00Z".into(), &"no such target".into())
        );
        assert_eq!((&json["backups"][0]["stats"], &json["backups"][1]["stats"]["files"]), (&Value::Null, &0.into()));
        assert_eq!(json.get("test"), None);
        assert_eq!(
            event.text(),
            "nas: job nightly: failed\nhome to usb: no such target: is not mounted\nhome to usb: done: home-2026112501: is not mounted\n"
        );
    }
}
