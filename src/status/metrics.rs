//! The status for Prometheus, in its text format, version 0.0.4.

use std::fmt::Write as _;

use super::{Pair, Report};
use crate::db::{Deed, Past};
use crate::monitor::Counter;

type Value<'r> = Box<dyn Fn(&Pair) -> Option<u64> + 'r>;

/// Names and help are part of the interface (docs/JSON.md "metrics"): one is never given another meaning.
pub fn metrics(report: &Report) -> String {
    let mut text = String::new();
    let last = |of: fn(&Past) -> u64| -> Value<'_> { Box::new(move |pair| pair.last(pair.deed()).map(of)) };
    let seconds = |at: Option<i64>| at.and_then(|at| u64::try_from(at).ok());
    let ended = |what| -> Value<'_> { Box::new(move |pair| seconds(pair.last(what).map(|past| past.ended))) };
    let pairs: [(&str, &str, Value<'_>); 16] = [
        (
            "last_success_timestamp_seconds",
            "End of the last good backup, or copy.",
            Box::new(|pair| seconds(pair.good_at(report.now))),
        ),
        (
            "last_run_timestamp_seconds",
            "End of the last run, whatever came of it.",
            Box::new(|pair| seconds(pair.last(pair.deed()).map(|past| past.ended))),
        ),
        ("last_run_outcome", "Its outcome, as an exit code: 0 is good.", last(|past| past.outcome.code().into())),
        ("last_run_duration_seconds", "How long it took.", last(|past| (past.ended - past.began).unsigned_abs())),
        ("last_run_files", "Files that it met.", last(|past| past.files)),
        ("last_run_bytes", "Their bytes.", last(|past| past.bytes)),
        ("last_run_stored_bytes", "Sealed bytes that it stored.", last(|past| past.stored)),
        ("last_run_problems", "What it could not do.", last(|past| past.problems)),
        ("next_run_timestamp_seconds", "When it runs next.", Box::new(|pair| seconds(pair.next))),
        ("backups", "Backups that are kept.", Box::new(|pair| Some(pair.holding.backups))),
        ("stored_bytes", "Sealed bytes that they need.", Box::new(|pair| Some(pair.holding.stored))),
        (
            "lacking_chunks",
            "Chunks that they need and that are damaged or gone.",
            Box::new(|pair| Some(pair.holding.lacking)),
        ),
        (
            "chain_head",
            "Number of the newest backup in its signed chain.",
            Box::new(|pair| pair.head.as_ref().map(|head| head.0)),
        ),
        ("free_bytes", "Free at the target when it was last seen.", Box::new(|pair| pair.free.map(|(bytes, _)| bytes))),
        ("last_verify_timestamp_seconds", "End of the last verification.", ended(Deed::Verify)),
        ("last_restore_test_timestamp_seconds", "End of the last test to restore.", ended(Deed::RestoreTest)),
    ];
    for (name, help, value) in pairs {
        head(&mut text, name, help);
        for pair in &report.pairs {
            let Some(value) = value(pair) else { continue };
            let [job, source, target] = [&pair.job, &pair.source, &pair.target].map(|name| escaped(name));
            // A source and a target may have one name.
            let label = if pair.is_copy { "copy_from" } else { "source" };
            let _ = writeln!(text, "brackup_{name}{{job=\"{job}\",{label}=\"{source}\",target=\"{target}\"}} {value}");
        }
    }
    let running = report.running.as_ref();
    for (name, help, value) in [
        ("running", "1 while a job runs.", u64::from(running.is_some())),
        ("running_bytes", "Bytes of files that it has done with.", running.map_or(0, |run| run.of(Counter::FileBytes))),
        ("paused", "1 while nothing is begun because somebody said so.", u64::from(report.paused_until.is_some())),
        (
            "trouble",
            "1 while nothing can be run: the clock, the database.",
            u64::from(report.trouble.is_some() || report.unread.is_some()),
        ),
    ] {
        head(&mut text, name, help);
        let _ = writeln!(text, "brackup_{name} {value}");
    }
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP brackup_{name} {help}\n# TYPE brackup_{name} gauge");
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{NOW, past};
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn a_copy_has_its_last_good_one() {
        let past = vec![past(Deed::Copy, NOW - 90, Outcome::Done, 0), past(Deed::Copy, NOW - 60, Outcome::Failed, 0)];
        let names = |is_copy| {
            let (job, source, target) = ("onward".to_owned(), "laptop".to_owned(), "far".to_owned());
            Pair { job, source, target, is_copy, past: past.clone(), ..Pair::default() }
        };
        let text = metrics(&Report { now: NOW, pairs: vec![names(false), names(true)], ..Report::default() });
        for (name, value) in
            [("success_timestamp_seconds", NOW - 90), ("run_timestamp_seconds", NOW - 60), ("run_outcome", 1)]
        {
            let line = format!("brackup_last_{name}{{job=\"onward\",copy_from=\"laptop\",target=\"far\"}} {value}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("brackup_last_success_timestamp_seconds{job=\"onward\",source"), "no backup: {text}");
    }
}
