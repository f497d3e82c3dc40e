//! Looks at targets, and logs in at them.

use std::io::Write as _;

use brackup::outcome::Outcome;
use brackup::probe::{self, Answer};

use super::known_targets::KnownTargets;
use super::{open, provider};
use crate::cli::Global;
use crate::term::{self, Failure};

/// Whether a target does what a backup relies on.
pub(crate) fn check(text: Option<&str>, global: &Global) -> Result<Outcome, Failure> {
    let named = open::target(text, global)?;
    // Without a configuration nothing is remembered.
    let known = open::own(global).ok().map(|own| KnownTargets::of(&own.key_dir));
    let expected = known.map_or(Ok(None), |known| known.expected(&named.remembered_as()))?;
    let (mut problems, mut asked) = (0, Vec::new());
    let mut out = term::out();
    probe::run(&*named.target, expected.as_deref(), &mut |question, answer| {
        problems += u64::from(matches!(answer, Answer::Wrong(_)));
        let (word, what) = match answer {
            Answer::Fine => ("ok", String::new()),
            Answer::Note(what) => ("note", what),
            Answer::Wrong(what) => ("wrong", what),
        };
        if global.json {
            asked.push(serde_json::json!({ "question": question, "answer": word, "what": what }));
            return;
        }
        let what = if what.is_empty() { what } else { format!(": {what}") };
        // A broken pipe is told by the flush.
        let _ = writeln!(out, "{word:6} {question}{what}");
        let _ = out.flush();
    })?;
    if global.json {
        let place = named.target.describe();
        let value =
            serde_json::json!({ "command": "target check", "target": place, "asked": asked, "problems": problems });
        writeln!(out, "{value}")?;
    }
    out.flush()?;
    Ok(Outcome::of_problems(problems))
}

/// Logs in at a target whose login is no word of the configuration.
#[cfg(feature = "gdrive")]
pub(crate) fn log_in(name: &str, global: &Global) -> Result<Outcome, Failure> {
    let config = open::config(global)?;
    let options = config.target(name)?.clone();
    let mut out = term::out();
    let mut show = |code: &brackup::target::DeviceCode| {
        let (address, word) = (&code.address, &code.code);
        // A broken pipe is told by the flush.
        let _ = if global.json {
            let value = serde_json::json!({ "command": "target login", "address": address, "code": word, "seconds": code.seconds });
            writeln!(out, "{value}")
        } else {
            writeln!(out, "open {address} in any browser and enter the code {word}")
        };
        let _ = out.flush();
        if !global.quiet {
            term::say(format_args!("brackup: waiting until that is done, {} minutes at most", code.seconds / 60));
        }
    };
    let path = provider::log_in(options, &config.own, &global.stop, &mut show)?;
    if global.json {
        writeln!(out, "{}", serde_json::json!({ "command": "target login", "target": name, "login": path }))?;
    } else if !global.quiet {
        term::say(format_args!("brackup: logged in; the login is in {}", path.display()));
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// There is no such target in this program.
#[cfg(not(feature = "gdrive"))]
pub(crate) fn log_in(name: &str, global: &Global) -> Result<Outcome, Failure> {
    let options = open::config(global)?.target(name)?.clone();
    Err(provider::no_login(&options.name))
}

impl From<probe::Error> for Failure {
    fn from(error: probe::Error) -> Self {
        match error {
            probe::Error::Seal(error) => error.into(),
            probe::Error::Target(error) => error.into(),
        }
    }
}
