//! The status for programs, as docs/JSON.md "status" has it.

use serde_json::{Map, Value};

use super::{Pair, Progress, Report, of_all, of_pair};
use crate::date::Utc;
use crate::db::{Deed, Past};
use crate::monitor::Counter;

/// Of this form of it.
const VERSION: u64 = 1;
/// Nights that are told.
const NIGHTS: usize = 30;

/// All of it; names of files only for who may see them.
pub fn json(report: &Report, with_names: bool) -> Value {
    let verdict = of_all(report);
    object([
        ("version", VERSION.into()),
        ("host", report.host.as_str().into()),
        ("program", env!("CARGO_PKG_VERSION").into()),
        ("now", time(report.now)),
        ("since", time(report.since)),
        ("level", verdict.level.word().into()),
        ("words", verdict.words.into()),
        ("waiting", report.waiting.as_deref().into()),
        ("sources_without_job", report.without_job.iter().map(String::as_str).collect()),
        ("paused_until", report.paused_until.map_or(Value::Null, time)),
        ("running", report.running.as_ref().map_or(Value::Null, |running| progress(running, report.now, with_names))),
        ("pairs", report.pairs.iter().map(|shown| pair(shown, report.now, with_names)).collect()),
    ])
}

fn pair(pair: &Pair, now: i64, with_names: bool) -> Value {
    let verdict = of_pair(pair, now);
    let head = pair.head.as_ref().map_or(Value::Null, |(sequence, name, sha256)| {
        object([
            ("sequence", (*sequence).into()),
            ("backup", name.as_str().into()),
            ("footer_sha256", sha256.as_str().into()),
        ])
    });
    let last = |what| pair.last(what).map_or(Value::Null, |past| past_one(past, with_names));
    object([
        ("job", pair.job.as_str().into()),
        ("source", pair.source.as_str().into()),
        ("is_copy", pair.is_copy.into()),
        ("target", pair.target.as_str().into()),
        ("level", verdict.level.word().into()),
        ("words", verdict.words.into()),
        ("advice", verdict.advice.into()),
        ("last_good", pair.good_at(now).map_or(Value::Null, time)),
        ("next", pair.next.map_or(Value::Null, time)),
        ("backups", pair.holding.backups.into()),
        ("stored_bytes", pair.holding.stored.into()),
        ("unpacked_bytes", pair.holding.unpacked.into()),
        ("lacking_chunks", pair.holding.lacking.into()),
        ("free_bytes", pair.free.map(|(bytes, _)| bytes).into()),
        ("free_seen", pair.free.map_or(Value::Null, |(_, at)| time(at))),
        ("head", head),
        ("last_verify", last(Deed::Verify)),
        ("last_restore_test", last(Deed::RestoreTest)),
        ("last_prune", last(Deed::Prune)),
        ("last_gc", last(Deed::Gc)),
        ("last_post", last(Deed::Post)),
        ("last_copy", last(Deed::Copy)),
        ("nights", pair.nights(NIGHTS).map(|past| past_one(past, with_names)).collect()),
    ])
}

fn past_one(past: &Past, with_names: bool) -> Value {
    let words = if with_names { past.words.as_str().into() } else { Value::Null };
    object([
        ("began", time(past.began)),
        ("ended", time(past.ended)),
        ("outcome", past.outcome.code().into()),
        ("backup", past.backup.as_deref().into()),
        ("files", past.files.into()),
        ("bytes", past.bytes.into()),
        ("stored_bytes", past.stored.into()),
        ("problems", past.problems.into()),
        ("words", words),
    ])
}

fn progress(running: &Progress, now: i64, with_names: bool) -> Value {
    let named = |value: Value| if with_names { value } else { Value::Null };
    object([
        ("job", running.job.as_str().into()),
        ("what", running.what.as_str().into()),
        ("began", time(running.began)),
        ("files", running.of(Counter::Files).into()),
        ("bytes", running.of(Counter::FileBytes).into()),
        ("stored_bytes", running.of(Counter::StoredBytes).into()),
        ("expected_bytes", running.expected_bytes.into()),
        ("percent", running.percent().into()),
        ("bytes_per_second", running.rate(now).into()),
        ("seconds_left", running.left(now).into()),
        ("problems", running.problems_told.into()),
        ("path", named(running.path.as_str().into())),
        ("problem_words", named(running.problems.clone().into())),
    ])
}

fn time(unix: i64) -> Value {
    Utc::from_unix(unix).to_string().into()
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
