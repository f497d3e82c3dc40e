//! `brackup alert test NAME`, and what alerts say of a backup.

use std::io::Write as _;

use brackup::alert::{self, Event, Original, Stats};
use brackup::config::{AlertKind, SourceOptions};
use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::scheduler::Zone;

use super::past;
use super::{open, values};
use crate::cli::Global;
use crate::term::{self, Failure};

/// Sends an event that is marked as a test, and says whether it went through.
pub(crate) fn test(name: &str, kind: Option<&str>, global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(global)?;
    let kind = values::read("--event", kind)?.unwrap_or(AlertKind::Success);
    let Some(alert) = config.alerts.iter().find(|alert| alert.name == name) else {
        let names: Vec<_> = config.alerts.iter().map(|alert| &*alert.name).collect();
        let hint =
            if names.is_empty() { "docs/CONFIG.md has some".into() } else { format!("there are {}", names.join(", ")) };
        return Err(Failure::usage(format!("there is no section [ALERT:{name}]")).hint(hint));
    };
    let job = alert.jobs.first().or_else(|| config.jobs.first().map(|job| &job.name)).cloned();
    let event = Event {
        kind,
        job: job.unwrap_or_else(|| "none".into()),
        hostname: hostname(),
        at: past::now(),
        message: format!("a test of the alert {name}: {kind}; nothing has happened"),
        outcome: None,
        last_good: None,
        parts: Vec::new(),
        is_test: true,
    };
    alert::send(alert, &event, alert::WITHIN, &global.stop).map_err(|error| {
        Failure::of(Outcome::Failed, &error, None).named(&format!("alert {name} did not go through"))
    })?;
    let mut out = term::out();
    if global.json {
        writeln!(out, "{}", serde_json::json!({ "command": "alert test", "alert": name, "event": kind.word() }))?;
    } else if !global.quiet {
        writeln!(out, "{kind} went through: {alert}")?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// What this box is called.
pub(super) fn hostname() -> String {
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

/// A backup, as the original told it, now that it has ended.
pub(super) fn original(source: &str, target: &str, stats: Stats) -> Original {
    let at = past::now();
    // `2026-11-25 02:30 CET`.
    let day = Zone::of_process().shown(at).chars().take(10).filter(char::is_ascii_digit).collect();
    Original { hostname: hostname(), day, at, source: source.into(), target: target.into(), stats }
}

/// Tells who `webhook_url` names of a backup that was made. It made no less of a backup if that fails.
pub(super) fn tell_original(source: &SourceOptions, target: &str, stats: Stats, global: &Global) {
    let Some(hook) = &source.webhook else { return };
    let told = alert::tell_original(hook, &original(&source.name, target, stats), alert::WITHIN, &global.stop);
    if let Err(error) = told {
        term::warning(&format!("webhook_url of {}: {}", source.name, one_line(&error)));
    }
}
