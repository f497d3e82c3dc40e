//! `brackup status`: whether the data is safe, from the service if it runs on this box, else from what the box remembers.

use std::io::{Read as _, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use brackup::config::Config;
use brackup::db::Db;
use brackup::outcome::Outcome;
use brackup::status::{self, Report};
use serde_json::Value;

use super::alert::hostname;
use super::serve::{peek, shown};
use super::{open, past};
use crate::cli::Global;
use crate::term::{self, Failure};

/// Of an answer of the service.
const BYTES_MAX: u64 = 4 << 20;

/// Prints it. Not safe is exit code 3.
pub(crate) fn run(global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(global)?;
    let (status, is_live) = match asked(&config) {
        Some(status) => (status, true),
        None => (remembered(&config)?, false),
    };
    let mut out = term::out();
    if global.json {
        writeln!(out, "{status}")?;
    } else {
        say(&mut out, &status, is_live)?;
    }
    out.flush()?;
    let is_danger = text(&status, "level") == "danger";
    Ok(if is_danger { Outcome::DoneWithProblems } else { Outcome::Done })
}

/// What the service says, if it is there.
fn asked(config: &Config) -> Option<Value> {
    // Without a page nobody keeps up what it would say.
    let stream = config.page.as_ref().and_then(|_| peek::ask(&config.own))?;
    stream.set_read_timeout(Some(peek::PATIENCE)).ok()?;
    let mut answer = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut answer).ok()?;
    let status: Value = serde_json::from_slice(&answer).ok()?;
    // Containers of one network share such names.
    (status["version"] == 1 && text(&status, "host") == hostname()).then_some(status)
}

/// What the database says.
fn remembered(config: &Config) -> Result<Value, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let pairs = match open::has_database(&config.own) {
        true => {
            let opened = Db::open_as_it_is(&config.own.state_dir);
            let read = opened.map_err(Failure::from).and_then(|db| shown::pairs(config, &db, &stop, &|_| true));
            read.map_err(|failure| {
                let is_busy = failure.outcome == Outcome::Locked;
                let hint = "a backup may be under way; the page of `brackup serve` shows it";
                if is_busy { failure.hint(hint) } else { failure }
            })?
        }
        false => shown::unknown(config),
    };
    let (now, without_job) = (past::now(), shown::without_job(config));
    let report = Report { now, since: now, host: hostname(), pairs, without_job, ..Report::default() };
    Ok(status::json(&report, true))
}

fn say(out: &mut impl Write, status: &Value, is_live: bool) -> std::io::Result<()> {
    writeln!(out, "{}", safe(status, "words"))?;
    if !is_live {
        writeln!(out, "(From what the box remembers: no service was there to be asked.)")?;
    }
    if let Some(running) = status["running"].as_object().map(|_| &status["running"]) {
        let percent = running["percent"].as_u64().map(|percent| format!("{percent} %, ")).unwrap_or_default();
        let number = |key: &str| running[key].as_u64().unwrap_or(0);
        let far = match (number("files"), number("bytes"), number("stored_bytes")) {
            // Of what is verified or copied.
            (0, 0, 1..) => amount(running, "stored_bytes"),
            (files, ..) => format!("{files} files, {}", amount(running, "bytes")),
        };
        writeln!(out, "now: {}: {percent}{far}", safe(running, "what"))?;
    }
    if let Some(until) = status["paused_until"].as_str() {
        writeln!(out, "paused until {until}")?;
    }
    if status["waiting"].is_string() {
        writeln!(out, "{}", safe(status, "waiting"))?;
    }
    for name in status["sources_without_job"].as_array().into_iter().flatten() {
        writeln!(out, "no job backs up {}", term::safe(name.as_str().unwrap_or_default()))?;
    }
    for pair in status["pairs"].as_array().into_iter().flatten() {
        let (source, target) = (safe(pair, "source"), safe(pair, "target"));
        let said = [safe(pair, "words"), safe(pair, "advice")].join(" ");
        writeln!(out, "\n{source} to {target}: {}", said.trim_end())?;
        let time = |key: &str| pair[key].as_str().map_or_else(|| "never".to_owned(), term::safe);
        let is_copy = pair["is_copy"] == true;
        let last_good = if is_copy { "last good copy    " } else { "last good backup  " };
        writeln!(out, "  {last_good} {}", time("last_good"))?;
        if let Some(next) = pair["next"].as_str() {
            writeln!(out, "  next               {next}")?;
        }
        let (stored, unpacked) = (amount(pair, "stored_bytes"), amount(pair, "unpacked_bytes"));
        if is_copy {
            writeln!(out, "  backups there      {}; {stored}", pair["backups"])?;
        } else {
            writeln!(out, "  versions kept      {}", pair["backups"])?;
            writeln!(out, "  stored             {stored}; unpacked it would be {unpacked}")?;
        }
        if pair["free_bytes"].is_u64() {
            writeln!(out, "  free there         {}", amount(pair, "free_bytes"))?;
        }
        let checks = [("last_verify", "last verified     "), ("last_restore_test", "last restore test ")];
        for (key, name) in checks.into_iter().take(if is_copy { 1 } else { 2 }) {
            let when = pair[key]["ended"].as_str().unwrap_or("never");
            let problems = pair[key]["problems"].as_u64().filter(|problems| *problems > 0);
            let found = problems.map(|problems| format!(", {}", term::plural(problems, "problem", "problems")));
            writeln!(out, "  {name} {when}{}", found.unwrap_or_default())?;
        }
        if let Some(sequence) = pair["head"]["sequence"].as_u64() {
            writeln!(out, "  head of the chain  {sequence}: {}", safe(&pair["head"], "backup"))?;
        }
        let last = pair["nights"].as_array().and_then(|nights| nights.last());
        for line in last.map(|last| text(last, "words")).unwrap_or_default().lines() {
            writeln!(out, "  problem: {}", term::safe(line))?;
        }
    }
    Ok(())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn safe(value: &Value, key: &str) -> String {
    term::safe(text(value, key))
}

fn amount(value: &Value, key: &str) -> String {
    term::bytes(value[key].as_u64().unwrap_or(0))
}
