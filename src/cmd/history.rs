//! `brackup history`: the chain of a root's backups, as it is signed. No key is needed.

use std::io::Write;
use std::str::FromStr;

use brackup::digest::hex;
use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::verify::{self, Past, Step};

use super::open;
use super::values;
use crate::cli::{Global, HistoryArgs};
use crate::term::{self, Failure};

/// Digits of a digest that are shown to people.
const DIGEST_DIGITS: usize = 16;

/// The number of a backup in its chain, and the beginning of the digest of its footer.
#[derive(Clone, Debug)]
struct ExpectedHead {
    sequence: u64,
    digest: Option<String>,
}

impl FromStr for ExpectedHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, digest) = text.split_once(':').map_or((text, None), |(number, digest)| (number, Some(digest)));
        let expected = || String::from("the number of a backup, or number:digest as `brackup history` shows it");
        let is_digest =
            |digest: &str| (8..=64).contains(&digest.len()) && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(expected());
        }
        let sequence = number.trim_start_matches('#').parse().map_err(|_| expected())?;
        Ok(Self { sequence, digest: digest.map(str::to_ascii_lowercase) })
    }
}

/// Shows the chain.
pub(crate) fn run(args: &HistoryArgs, global: &Global) -> Result<Outcome, Failure> {
    let expected_head = values::read::<ExpectedHead>("--expect-head", args.expect_head.as_deref())?;
    let target = open::target(args.from.as_deref(), global)?;
    let mut out = term::out();
    let (mut problems, mut is_any, mut is_met, mut newest) = (0, false, false, 0);
    verify::history(&*target.target, &args.root, |past| {
        is_any = true;
        problems += u64::from(!matches!(&past.signed, Ok((_, _, Step::Follows | Step::Gap { .. }))));
        if let (Ok((footer, digest, _)), Some(expected)) = (&past.signed, &expected_head) {
            is_met |= expected.is_met_by(footer.sequence, digest);
            newest = newest.max(footer.sequence);
        }
        // A broken pipe is told by the flush.
        let _ = if global.json { tell_json(&mut out, &past) } else { tell(&mut out, &past) };
    })?;
    out.flush()?;
    if !is_any {
        let what = format!("there is no backup of {} at {}", args.root, target.target.describe());
        return Err(Failure::new(Outcome::Failed, what).hint("`brackup list TARGET` shows what is there"));
    }
    if let Some(expected) = expected_head.as_ref().filter(|_| !is_met) {
        let what = format!("number {} is not here as it was seen, the newest is {newest}", expected.sequence);
        return Err(Failure::new(Outcome::DoneWithProblems, what)
            .hint("the target was set back to an older state, or another chain was put in its place"));
    }
    Ok(Outcome::of_problems(problems))
}

impl ExpectedHead {
    /// A head that was seen once is in the chain for ever, as a backup or as a tombstone.
    fn is_met_by(&self, sequence: u64, digest: &[u8; 32]) -> bool {
        sequence == self.sequence
            && self.digest.as_ref().is_none_or(|expected| hex(digest).starts_with(expected.as_str()))
    }
}

fn tell(out: &mut impl Write, past: &Past) -> std::io::Result<()> {
    let name = &past.link.name;
    let (footer, digest, step) = match &past.signed {
        Ok(signed) => signed,
        Err(error) => return writeln!(out, "{name}  {}", term::safe(&one_line(error))),
    };
    let kind = if past.link.is_removed { "removed" } else { "backup " };
    let digest = &hex(digest)[..DIGEST_DIGITS];
    let (number, chunks) = (format!("#{}", footer.sequence), term::plural(footer.chunks, "chunk", "chunks"));
    let step = if *step == Step::Follows { "ok".into() } else { term::safe(&step.to_string()) };
    writeln!(
        out,
        "{name}  {number:>6}  {kind}  {chunks:>14}  head {}:{digest}  {}  {step}",
        footer.sequence, footer.signer
    )
}

fn tell_json(out: &mut impl Write, past: &Past) -> std::io::Result<()> {
    let name = &past.link.name;
    let mut value = serde_json::json!({
        "backup": name.to_string(), "root": name.root(), "day": name.day(), "removed": past.link.is_removed,
    });
    let more = match &past.signed {
        Ok((footer, digest, step)) => {
            let word = match step {
                Step::Follows => "ok",
                Step::Gap { .. } => "gap",
                Step::Twice(..) => "fork",
                Step::Astray(_) => "astray",
            };
            let what = (*step != Step::Follows).then(|| step.to_string());
            serde_json::json!({
                "sequence": footer.sequence, "signer": footer.signer.to_string(), "chunks": footer.chunks, "digest": hex(digest), "step": word, "what": what,
            })
        }
        Err(error) => serde_json::json!({ "step": "unsigned", "what": one_line(error) }),
    };
    if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    writeln!(out, "{value}")
}
