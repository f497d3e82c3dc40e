//! One of several targets that are backed up to together, and what came of it.

use brackup::copy::Report;
use brackup::db::{ChainHead, Past};
use brackup::outcome::Outcome;
use brackup::target::BackupName;

use super::super::pair::{Done, Pair};
use super::super::past::{self, Run};
use super::super::provider::NamedTarget;
use crate::term::{self, Failure};

/// A target, and what came of it.
pub(crate) struct Member<'a> {
    pub(crate) target: &'a NamedTarget,
    pub(super) pair: Pair<'a>,
    /// As it is remembered, and the newest of this box's backups of the source there.
    pub(super) identity: Option<String>,
    pub(super) head: Option<ChainHead>,
    /// Nothing: it was not its turn.
    pub(crate) came: Option<Came>,
}

pub(crate) enum Came {
    BackedUp(Box<Done>),
    /// It was backed up to, but the run ended with an error when the backup had been stored.
    Stored(BackupName, Failure),
    /// The backup, if it came to be there; what was copied; and problems.
    Copied(Option<BackupName>, Report, u64),
    Failed(Failure),
}

impl Member<'_> {
    /// The backup that came to be there.
    pub(super) fn backup(&self) -> Option<&BackupName> {
        match &self.came {
            Some(Came::BackedUp(done)) => done.report.backup.as_ref(),
            Some(Came::Copied(name, ..)) => name.as_ref(),
            Some(Came::Stored(name, _)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn problems(&self) -> u64 {
        match &self.came {
            Some(Came::BackedUp(done)) => done.report.counts.problems,
            Some(Came::Copied(_, _, problems)) => *problems,
            // How many there were before is not known any more.
            Some(Came::Stored(..)) => 1,
            _ => 0,
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        match &self.came {
            None => true,
            Some(Came::BackedUp(done)) => done.report.interrupted,
            Some(Came::Copied(_, report, _)) => report.interrupted,
            Some(Came::Stored(..)) => false,
            Some(Came::Failed(failure)) => failure.outcome == Outcome::Interrupted,
        }
    }
}

/// As they are remembered. What could not be read is in no copy either: `words` are of all.
pub(crate) fn nights(members: &[Member<'_>], run: &Run<'_>, words: &str) -> Vec<Past> {
    let of_one = |member: &Member<'_>| {
        let to = &member.target.name;
        match &member.came {
            Some(Came::BackedUp(done)) => run.backed_up(to, done, words.to_owned()),
            Some(Came::Stored(name, failure)) => {
                Past { words: past::shortened(&failure.message), ..run.copied(to, name, 0, 1) }
            }
            Some(Came::Copied(Some(name), report, problems)) => run.copied(to, name, report.copied.bytes, *problems),
            Some(Came::Copied(None, report, _)) if !report.interrupted => {
                run.failed(to, &Failure::new(Outcome::Failed, NOT_WHOLE))
            }
            Some(Came::Failed(failure)) if failure.outcome != Outcome::Interrupted => run.failed(to, failure),
            _ => run.parked(to),
        }
    };
    let mut nights: Vec<_> = members.iter().map(of_one).collect();
    let lead = members.iter().position(|member| matches!(member.came, Some(Came::BackedUp(_))));
    let Some(lead) = lead.map(|lead| nights[lead].clone()) else { return nights };
    for (night, member) in nights.iter_mut().zip(members) {
        if let Some(Came::Copied(Some(_), ..)) = member.came {
            night.problems += lead.problems;
            night.outcome = Outcome::of_problems(night.problems);
            (night.files, night.bytes, night.words) = (lead.files, lead.bytes, lead.words.clone());
        }
    }
    nights
}

/// Of a copy that ended without its backup.
pub(crate) const NOT_WHOLE: &str = "the backup is not complete there";

/// What went wrong at which, when the whole ends otherwise.
pub(super) fn tell_failures(members: &[Member<'_>]) {
    for member in members {
        if let Some(Came::Failed(failure)) = &member.came {
            tell_failure(&member.target.name, failure);
        }
    }
}

pub(super) fn tell_failure(name: &str, failure: &Failure) {
    let message = format!("{name}: {}", failure.message);
    term::error(&Failure { message, outcome: failure.outcome, hint: failure.hint.clone() });
}
