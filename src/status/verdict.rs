//! Whether the data is safe, in a plain sentence.

use super::copied::of_copy;
use super::{Pair, Report};
use crate::db::{Deed, Past};
use crate::outcome::Outcome;

/// A backup that is older than this is no good news, whatever the plan is.
pub(super) const OLD_SECONDS: i64 = 3 * 86_400;
pub(super) const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3600;
const MINUTE_SECONDS: i64 = 60;

/// What is done beside backups, in words.
pub const UPKEEP: [(Deed, &str); 6] = [
    (Deed::Verify, "verification"),
    (Deed::RestoreTest, "test to restore"),
    (Deed::Prune, "pruning"),
    (Deed::Gc, "collection of garbage"),
    (Deed::Post, "`post` command"),
    (Deed::Copy, "copy"),
];

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Safe,
    /// It is safe but for something.
    Look,
    /// It is not safe, or nobody knows.
    Danger,
}

/// A level, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it stands.
    pub level: Level,
    /// A sentence.
    pub words: String,
    /// What to do, in another.
    pub advice: Option<String>,
}

impl Verdict {
    pub(super) fn new(level: Level, words: impl Into<String>) -> Self {
        Self { level, words: words.into(), advice: None }
    }

    pub(super) fn advice(self, advice: &str) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Level {
    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Look => "look",
            Self::Danger => "danger",
        }
    }
}

/// Of all that the box backs up.
pub fn of_all(report: &Report) -> Verdict {
    if let Some(trouble) = &report.trouble {
        return Verdict::new(Level::Danger, format!("Nothing is backed up: {trouble}."));
    }
    let verdicts: Vec<_> = report.pairs.iter().map(|pair| of_pair(pair, report.now)).collect();
    let Some(worst) = verdicts.iter().map(|verdict| verdict.level).max() else {
        return Verdict::new(Level::Danger, "Nothing is backed up: there is no job.")
            .advice("Put a [JOB:nightly] into the configuration; docs/CONFIG.md has one to copy.");
    };
    let unknown = report.unknown();
    if let Some(unread) = &report.unread {
        let advice = "What the box remembers has to be readable and writable to the service's user.";
        if unknown > 0 {
            let words = format!("Nobody knows whether your data is safe: {unread}.");
            return Verdict::new(Level::Danger, words).advice(advice);
        }
        if worst < Level::Danger {
            let words = format!("Your data was safe when the box could last look at what it remembers: {unread}.");
            return Verdict::new(Level::Look, words).advice(advice);
        }
    }
    let bad = verdicts.iter().filter(|verdict| verdict.level == worst).count();
    let all = verdicts.len();
    match worst {
        Level::Safe if all == 1 => Verdict::new(worst, "Your data is safe."),
        Level::Safe => Verdict::new(worst, format!("Your data is safe: {all} of {all} are backed up.")),
        Level::Look if unknown > 0 => Verdict::new(worst, format!("Nothing is known yet of {unknown} of {all}.")),
        Level::Look => Verdict::new(worst, format!("Your data is safe, but {bad} of {all} wants a look.")),
        Level::Danger => Verdict::new(worst, format!("Not all data is safe: {bad} of {all} is not.")),
    }
}

/// Of one source at one target, or of what is copied there.
pub fn of_pair(pair: &Pair, now: i64) -> Verdict {
    if pair.is_copy {
        return of_copy(pair, now);
    }
    let last = last_ended(pair, Deed::Backup);
    // Nobody knows when it should have been: the owner does.
    let old = if pair.is_by_hand() { Level::Look } else { Level::Danger };
    let Some(good) = pair.good_at(now) else {
        return match last {
            None if !pair.is_known => Verdict::new(Level::Look, "Nothing is known of it yet.")
                .advice("What the box remembers is read as soon as that can be done."),
            Some(past) if past.is_good() => Verdict::new(
                Level::Danger,
                "The last backup is not there any more, or the clock was wrong when it was made.",
            )
            .advice("`brackup list` tells what is there."),
            None => Verdict::new(old, "No backup yet.").advice("The first one is made when its time comes, or now."),
            Some(past) => Verdict::new(old, "No backup has come to be yet.").advice(advice(past.outcome)),
        };
    };
    let age = age(now - good);
    if pair.holding.lacking > 0 {
        let lacking = pair.holding.lacking;
        let chunks = if lacking == 1 {
            "1 chunk that backups need is".into()
        } else {
            format!("{lacking} chunks that backups need are")
        };
        let words = format!("Backed up {age} ago, but {chunks} damaged or gone.");
        return Verdict::new(Level::Danger, words).advice("`brackup fsck` tells which, and what can be done.");
    }
    // What is made once a week is not old after four days.
    if now - good > OLD_SECONDS.max(pair.every.unwrap_or(0) + DAY_SECONDS) {
        let verdict = Verdict::new(old, format!("The last good backup is {age} old."));
        if pair.is_by_hand() {
            return verdict.advice("No job backs it up: it is as old as when somebody did.");
        }
        let failed = pair.last(Deed::Backup).filter(|past| !past.is_good()).map(|past| advice(past.outcome));
        return verdict.advice(failed.unwrap_or("Nothing has run since: is the service on at the time of the job?"));
    }
    let done = format!("Backed up {age} ago");
    if let Some(found) = found(pair, &done) {
        return found;
    }
    match last {
        Some(past) if !past.is_good() => {
            let words = format!("The last try failed; the last good backup is {age} old.");
            Verdict::new(Level::Look, words).advice(advice(past.outcome))
        }
        Some(past) if past.problems > 0 => {
            let words = format!("Backed up {age} ago, but for {}.", problems(past.problems));
            Verdict::new(Level::Look, words).advice("What could not be read is in the list, and not in the backup.")
        }
        _ => beside(pair, &done),
    }
}

/// What was found where it was looked.
pub(super) fn found(pair: &Pair, done: &str) -> Option<Verdict> {
    for (deed, what) in [(Deed::Verify, "a verification"), (Deed::RestoreTest, "a test to restore")] {
        // One that could not be done does not make good what one found.
        let conclusive =
            |past: &&Past| past.what == deed && matches!(past.outcome, Outcome::Done | Outcome::DoneWithProblems);
        let found = pair.past.iter().rev().find(conclusive).filter(|past| past.outcome == Outcome::DoneWithProblems);
        if let Some(past) = found {
            let words = format!("{done}, but {what} found {}.", problems(past.problems));
            let verdict = Verdict::new(Level::Danger, words);
            return Some(verdict.advice("`brackup fsck --read` tells what is damaged and what can be done."));
        }
    }
    None
}

/// What was parked says nothing of what was there before.
pub(super) fn last_ended(pair: &Pair, deed: Deed) -> Option<&Past> {
    pair.past.iter().rev().find(|past| past.what == deed && past.outcome != Outcome::Interrupted)
}

/// Where the last backup, or copy, is good: what is done beside, and whether it is going on.
pub(super) fn beside(pair: &Pair, done: &str) -> Verdict {
    let mut ended = UPKEEP.into_iter().filter_map(|(deed, what)| Some((what, last_ended(pair, deed)?)));
    if let Some((what, past)) = ended.find(|(_, past)| past.outcome != Outcome::Done) {
        return Verdict::new(Level::Look, format!("{done}, but the last {what} did not end well."))
            .advice(advice(past.outcome));
    }
    let verdict = Verdict::new(Level::Safe, format!("{done}."));
    let is_parked = pair.last(pair.deed()).is_some_and(|past| past.outcome == Outcome::Interrupted);
    if is_parked && !pair.is_by_hand() {
        verdict.advice("The last run was stopped before it was done, and goes on at its next time.")
    } else {
        verdict
    }
}

/// What to do about a run that ended so.
pub(super) fn advice(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NoSuchTarget => {
            "The disk or the server of the target is not there: is it plugged in, mounted, switched on?"
        }
        Outcome::Usage => "The configuration is wrong: `brackup config` tells where.",
        Outcome::WrongKey => "The key does not fit: see docs/RESTORE.md.",
        Outcome::Locked => "Another brackup is at work on this box, or one that hangs.",
        Outcome::Interrupted => {
            "It was stopped before it was done: leave the box on at its time, or give it a longer window."
        }
        Outcome::Done | Outcome::DoneWithProblems | Outcome::Failed => {
            "The log of the service has why: the last words are in the list below."
        }
    }
}

fn problems(number: u64) -> String {
    if number == 1 { "1 problem".into() } else { format!("{number} problems") }
}

/// `3 days`, `1 hour`.
pub fn age(seconds: i64) -> String {
    let of = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    let units = [(DAY_SECONDS, "day"), (HOUR_SECONDS, "hour"), (MINUTE_SECONDS, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or_else(|| "a moment".into(), |(unit, name)| of(seconds / unit, name))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::db::Holding;

    pub(crate) const NOW: i64 = 1_795_570_200;

    pub(crate) fn past(what: Deed, ended: i64, outcome: Outcome, problems: u64) -> Past {
        let backup = (what == Deed::Backup && matches!(outcome, Outcome::Done | Outcome::DoneWithProblems))
            .then(|| "tree".into());
        let (source, target, words) = ("tree".into(), "disk".into(), String::new());
        Past {
            what,
            source,
            target,
            began: ended - 60,
            ended,
            outcome,
            backup,
            files: 1,
            bytes: 1,
            stored: 1,
            problems,
            words,
        }
    }

    fn of_a_job() -> Pair {
        Pair { job: "nightly".into(), ..Pair::default() }
    }

    fn told(past: Vec<Past>) -> (Level, String) {
        let holding = Holding { backups: 1, ..Holding::default() };
        let verdict = of_pair(&Pair { past, holding, is_known: true, ..of_a_job() }, NOW);
        (verdict.level, verdict.words)
    }

    #[test]
    fn sentences() {
        use Deed::{Backup, Verify};
        use Outcome::{Done, DoneWithProblems, Failed, Interrupted, NoSuchTarget};
        let hour = NOW - 3600;
        for (nights, level, words) in [
            (vec![], Level::Danger, "No backup yet."),
            (vec![past(Backup, hour, Failed, 0)], Level::Danger, "No backup has come to be yet."),
            (vec![past(Backup, hour, Done, 0)], Level::Safe, "Backed up 1 hour ago."),
            (
                vec![past(Backup, hour, Done, 0), past(Backup, NOW, Interrupted, 0)],
                Level::Safe,
                "Backed up 1 hour ago.",
            ),
            (vec![past(Backup, hour, DoneWithProblems, 2)], Level::Look, "Backed up 1 hour ago, but for 2 problems."),
            (
                vec![past(Backup, NOW - 90_000, Done, 0), past(Backup, hour, NoSuchTarget, 0)],
                Level::Look,
                "The last try failed; the last good backup is 1 day old.",
            ),
            (vec![past(Backup, NOW - 300_000, Done, 0)], Level::Danger, "The last good backup is 3 days old."),
            (
                vec![past(Backup, hour, Done, 0), past(Verify, hour, DoneWithProblems, 1)],
                Level::Danger,
                "Backed up 1 hour ago, but a verification found 1 problem.",
            ),
        ] {
            assert_eq!(told(nights), (level, words.to_owned()));
        }
    }

    #[test]
    fn what_the_database_has_counts_where_no_night_is_remembered() {
        let holding = Holding { newest: Some(NOW - 120), backups: 1, ..Holding::default() };
        let pair = Pair { holding, is_known: true, ..of_a_job() };
        assert_eq!(of_pair(&pair, NOW).words, "Backed up 2 minutes ago.");
        // What is not there is no backup, whatever is remembered of nights.
        let gone = Pair { past: vec![past(Deed::Backup, NOW - 60, Outcome::Done, 0)], is_known: true, ..of_a_job() };
        assert_eq!(of_pair(&gone, NOW).level, Level::Danger);
        let lacking = Pair { holding: Holding { lacking: 2, ..pair.holding.clone() }, ..pair.clone() };
        assert_eq!(
            of_pair(&lacking, NOW).words,
            "Backed up 2 minutes ago, but 2 chunks that backups need are damaged or gone."
        );
        assert_eq!(of_pair(&Pair::default(), NOW).words, "Nothing is known of it yet.");
    }

    #[test]
    fn a_time_that_is_to_come_is_no_good_news() {
        let year = 365 * 86_400;
        let (level, words) = told(vec![past(Deed::Backup, NOW + year, Outcome::Done, 0)]);
        assert_eq!(level, Level::Danger, "{words}");
        let nights =
            vec![past(Deed::Backup, NOW + year, Outcome::Done, 0), past(Deed::Backup, NOW - 60, Outcome::Done, 0)];
        assert_eq!(told(nights), (Level::Safe, "Backed up 1 minute ago.".to_owned()));
    }

    #[test]
    fn what_comes_behind_hides_nothing() {
        use Deed::{Backup, Gc, Post, Prune, RestoreTest, Verify};
        use Outcome::{Done, DoneWithProblems, Failed, Interrupted, NoSuchTarget};
        let good = past(Backup, NOW - 60, Done, 0);
        for (behind, level) in [
            (vec![past(Verify, NOW - 50, DoneWithProblems, 1), past(Verify, NOW - 40, NoSuchTarget, 0)], Level::Danger),
            (vec![past(RestoreTest, NOW - 50, Failed, 0)], Level::Look),
            (vec![past(Gc, NOW - 50, Failed, 0), past(Prune, NOW - 40, Done, 0)], Level::Look),
            (vec![past(Post, NOW - 50, Failed, 0), past(Post, NOW - 40, Done, 0)], Level::Safe),
            (vec![past(Verify, NOW - 50, DoneWithProblems, 1), past(Verify, NOW - 40, Done, 0)], Level::Safe),
            (vec![past(Backup, NOW - 50, Failed, 0), past(Backup, NOW - 40, Interrupted, 0)], Level::Look),
            (vec![past(Backup, NOW - 50, DoneWithProblems, 3), past(Backup, NOW - 40, Interrupted, 0)], Level::Look),
        ] {
            let nights = [vec![good.clone()], behind].concat();
            assert_eq!(told(nights.clone()).0, level, "{nights:?}");
        }
        let weekly =
            Pair { past: vec![past(Backup, NOW - 4 * 86_400, Done, 0)], every: Some(7 * 86_400), ..of_a_job() };
        assert_eq!(of_pair(&weekly, NOW).level, Level::Safe);
        // By hand it is as old as its owner lets it be.
        let old = Pair { every: None, ..weekly };
        let by_hand = Pair { job: String::new(), ..old.clone() };
        assert_eq!([old, by_hand].map(|pair| of_pair(&pair, NOW).level), [Level::Danger, Level::Look]);
    }

    #[test]
    fn all_are_as_safe_as_the_worst() {
        let pair = |outcome| Pair { past: vec![past(Deed::Backup, NOW - 60, outcome, 1)], ..of_a_job() };
        let report = |pairs| Report { now: NOW, pairs, ..Report::default() };
        assert_eq!(of_all(&report(vec![])).level, Level::Danger);
        let verdict = of_all(&report(vec![pair(Outcome::DoneWithProblems), pair(Outcome::Failed)]));
        assert_eq!(verdict.words, "Not all data is safe: 1 of 2 is not.");
        let trouble = Report { trouble: Some("the clock is not set".into()), ..report(vec![pair(Outcome::Done)]) };
        assert_eq!(of_all(&trouble).words, "Nothing is backed up: the clock is not set.");
        // Of one that nobody knows of it is not said that it is safe.
        let holding = Holding { backups: 1, ..Holding::default() };
        let past = vec![past(Deed::Backup, NOW - 60, Outcome::Done, 0)];
        let mut unknown = report(vec![Pair { past, holding, is_known: true, ..of_a_job() }, of_a_job()]);
        let verdict = of_all(&unknown);
        assert_eq!((verdict.level, &*verdict.words), (Level::Look, "Nothing is known yet of 1 of 2."));
        unknown.unread = Some("can't use /s/lock: Permission denied".into());
        let verdict = of_all(&unknown);
        assert_eq!(verdict.level, Level::Danger);
        assert_eq!(verdict.words, "Nobody knows whether your data is safe: can't use /s/lock: Permission denied.");
        unknown.pairs.pop();
        let verdict = of_all(&unknown);
        assert_eq!(verdict.level, Level::Look, "what was read before holds");
        assert!(verdict.words.ends_with(" remembers: can't use /s/lock: Permission denied."), "{}", verdict.words);
    }
}
