//! `webhook_url` of a source, as the original had it: what it posted when a backup was made (lib/Brackup/Webhook.pm, BackupStats.pm).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[cfg(feature = "http")]
use serde_json::{Value, json};

use super::{Error, Stats};
use crate::config::HookSettings;
#[cfg(feature = "http")]
use crate::monitor::Counter;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Original {
    /// On which box.
    pub hostname: String,
    /// On which day of the place, as the original wrote it: `20261126`.
    pub day: String,
    /// When it ended, in seconds since 1970.
    pub at: i64,
    /// Names of source and target.
    pub source: String,
    /// See there.
    pub target: String,
    /// What was counted.
    pub stats: Stats,
}

/// Posts what the original posted.
#[cfg(feature = "http")]
pub fn tell_original(
    settings: &HookSettings,
    original: &Original,
    within: Duration,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let until = super::Until { end: std::time::Instant::now() + within, stop };
    let json = value(original).to_string();
    let (hook, _) = settings.find()?;
    let message = crate::target::Message { content_type: "application/json", body: json.as_bytes(), token: None };
    until.tries(|within| Ok(crate::target::post(&hook, &settings.trust, message, within, stop)?))
}

/// That it is not posted was said when the configuration was read.
#[cfg(not(feature = "http"))]
pub fn tell_original(_: &HookSettings, _: &Original, _: Duration, _: &Arc<AtomicBool>) -> Result<(), Error> {
    Ok(())
}

/// What it counted as uploaded were files and chunks that it stored. It had times of steps too, and memory where GTop was there: neither is
/// known here.
#[cfg(feature = "http")]
fn value(original: &Original) -> Value {
    let Stats { counts, seconds } = original.stats;
    let of = |counter| counts.of(counter);
    let total = seconds.round() as i64;
    json!({
        "hostname": original.hostname,
        "date": original.day,
        "root": original.source,
        "target": original.target,
        "stats": {
            "start_time": original.at - total,
            "end_time": original.at,
            "run_time_seconds": ["total", total],
            "memory_usage_bytes": [],
            "files": {
                "files_checked_count": of(Counter::Files) + of(Counter::OtherEntries),
                "files_checked_size_bytes": of(Counter::FileBytes),
                "files_uploaded_count": of(Counter::Files).saturating_sub(of(Counter::UnchangedFiles)),
                "files_uploaded_size_bytes": of(Counter::StoredBytes),
            },
        },
    })
}
