//! The backups of a job: each source to all of its targets, read and sealed once.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use brackup::alert::Part;
use brackup::config::{SourceOptions, TargetKind};
use brackup::db::Past;
use brackup::monitor::Counter;
use brackup::outcome::Outcome;
use brackup::status::Progress;
use brackup::target::BackupName;

use super::super::super::copy;
use super::super::super::open::State;
use super::super::super::pair::{Done, Pair, Watcher};
use super::super::super::past::{self, Overheard, Run};
use super::super::super::provider::{self, NamedTarget};
use super::super::super::several::{self, Came, Member, Several};
use super::Task;
use super::log::Log;
use crate::term::{self, Failure};

/// What came of a source at the target of this name.
struct At {
    to: String,
    came: Result<Told, Failure>,
    past: Past,
}

enum Told {
    BackedUp(Box<Done>),
    /// The backup of another target is there too, and what that took; problems.
    Copied(BackupName, String, u64),
    /// It is not complete there.
    Parked(String),
}

impl Task {
    /// One source after the other, whatever comes of each; gives the worst that came. A failure: no target was there.
    pub(super) fn backups(&self, state: &State) -> Result<Outcome, Failure> {
        let (mut worst, mut absent, mut nights) = (Outcome::Done, None, Vec::new());
        if self.job.from.is_empty() {
            return Ok(worst);
        }
        let mut good: Vec<&str> = self.job.to.iter().map(|to| &**to).collect();
        let (mut is_all_absent, mut is_suspicious) = (true, false);
        for from in &self.job.from {
            if self.stop.load(Ordering::Relaxed) {
                worst = Outcome::Interrupted;
                break;
            }
            let mut have = Vec::new();
            let ats = self.source(from, state);
            let is_told = |to: &String| ats.iter().any(|at| at.to == *to);
            // A failure of the whole is told once, and is one of each target.
            let others = self.job.to.iter().filter(|to| !is_told(to));
            let others = others.filter_map(|to| ats.first().map(|at| Past { target: to.clone(), ..at.past.clone() }));
            nights.extend(others.collect::<Vec<_>>());
            for At { to, came, past } in ats {
                is_suspicious |= matches!(&came, Ok(Told::BackedUp(done)) if is_empty_now(done));
                nights.push(past);
                self.alerts.part(&self.config, from, part(&to, &came));
                let pair = format!("{from} to {to}: ");
                let outcome = match came {
                    Err(failure) if failure.outcome == Outcome::NoSuchTarget && is_all_absent => {
                        let message = format!("{pair}{}", failure.message);
                        absent.get_or_insert(Failure { message, ..failure });
                        Outcome::NoSuchTarget
                    }
                    Ok(told) => self.tell(&pair, &told),
                    Err(failure) => self.failed(&pair, failure),
                };
                is_all_absent &= outcome == Outcome::NoSuchTarget;
                worst = worse(worst, outcome);
                if rank(outcome) <= rank(Outcome::DoneWithProblems) {
                    have.push(to);
                }
            }
            good.retain(|good| have.iter().any(|to| to == good));
        }
        match absent {
            // It is tried again, and was no night.
            Some(failure) if is_all_absent => return Err(failure),
            Some(failure) => drop(self.failed("", failure)),
            None => {}
        }
        nights.iter().for_each(|past| past::remember(state, past));
        if is_suspicious {
            term::warning(&format!("job {}: a source may not be mounted: no target is looked after", self.job.name));
            good.clear();
        }
        Ok(self.kept_up(state, &good, worst))
    }

    /// Looks after the targets to which all backups have come, or copies.
    pub(super) fn kept_up(&self, state: &State, good: &[&str], worst: Outcome) -> Outcome {
        let is_well = worst == Outcome::Interrupted || self.upkeep(state, good);
        if is_well || rank(worst) > rank(Outcome::DoneWithProblems) { worst } else { Outcome::DoneWithProblems }
    }

    /// What came of a source at each target.
    fn source(&self, from: &str, state: &State) -> Vec<At> {
        let run = Run::begin(from);
        let failed = |to: &String, failure| At { past: run.failed(to, &failure), to: to.clone(), came: Err(failure) };
        let first = |failure| vec![failed(&self.job.to[0], failure)];
        let source = match self.config.source(from) {
            Ok(source) => source,
            Err(error) => return first(error.into()),
        };
        let log = Log::of(&self.job.name, self.is_quiet);
        let heard = Overheard::of(&log);
        let (mut targets, mut told) = (Vec::new(), Vec::new());
        for to in &self.job.to {
            match self.target(to) {
                Ok(target) => targets.push(target),
                Err(failure) => told.push(failed(to, failure)),
            }
        }
        let progress = Progress {
            job: self.job.name.clone(),
            what: format!("Backing up {from} to {}", self.job.to.join(", ")),
            began: past::now(),
            expected_bytes: self.board.last_bytes(from),
            ..Progress::default()
        };
        let came = self.board.during(progress, &heard, |monitor| {
            let watcher = Watcher { monitor, wants_totals: false };
            self.to_targets(source, &targets, state, watcher, (&run, &heard))
        });
        told.extend(came.unwrap_or_else(first));
        told
    }

    /// A failure of all is of none of them more than of another.
    fn to_targets(
        &self,
        source: &SourceOptions,
        targets: &[NamedTarget],
        state: &State,
        watcher: Watcher<'_>,
        (run, heard): (&Run<'_>, &Overheard<'_>),
    ) -> Result<Vec<At>, Failure> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        if let ([target], [to]) = (targets, &self.job.to[..]) {
            let done = Pair::new(source, target, &self.config.own)?.back_up(state, None, false, watcher, &self.stop)?;
            let (to, past) = (to.clone(), run.backed_up(to, &done, heard.words()));
            return Ok(vec![At { to, past, came: Ok(Told::BackedUp(Box::new(done))) }]);
        }
        // One backup at all of them.
        let mut members = several::members(source, targets, &self.folders(), &self.config.own)?;
        if members.iter().any(|member| member.came.is_none()) {
            Several::of(source, &self.config.own, state, watcher, &self.stop)?.run(&mut members)?;
        }
        let nights = several::nights(&members, run, &heard.words());
        let at = |(member, past): (Member<'_>, _)| At { to: member.target.name.clone(), came: told(member.came), past };
        Ok(members.into_iter().zip(nights).map(at).collect())
    }

    /// Where targets of the job are on this machine: all are left out of a backup, those too that are not there now.
    fn folders(&self) -> Vec<PathBuf> {
        let targets = self.config.targets.iter().filter(|target| self.job.to.contains(&target.name));
        let folder = |kind: &TargetKind| match kind {
            TargetKind::Filesystem { path } => Some(path.clone()),
            _ => None,
        };
        targets.filter_map(|target| folder(&target.kind)).collect()
    }

    pub(super) fn target(&self, to: &str) -> Result<NamedTarget, Failure> {
        let own = &self.config.own;
        provider::open(self.config.target(to)?.clone(), self.job.bandwidth.as_ref(), || own.into(), &self.stop)
    }

    fn tell(&self, pair: &str, told: &Told) -> Outcome {
        let (problems, name, amounts) = match told {
            Told::Parked(how) => {
                self.say(pair, how);
                return Outcome::Interrupted;
            }
            Told::BackedUp(done) => {
                let Some(name) = &done.report.backup else {
                    let how = "parked; what was stored is used by the next run";
                    self.say(pair, &format!("{how}: {}", done.amounts()));
                    return done.outcome();
                };
                (done.report.counts.problems, name, done.amounts())
            }
            Told::Copied(name, amounts, problems) => (*problems, name, amounts.clone()),
        };
        if problems == 0 {
            self.say(pair, &format!("done: {name}: {amounts}"));
        } else {
            let problems = term::plural(problems, "problem", "problems");
            term::warning(&format!("job {}: {pair}done with {problems}: {name}: {amounts}", self.job.name));
        }
        Outcome::of_problems(problems)
    }
}

/// As it is told by alerts.
fn part(to: &str, came: &Result<Told, Failure>) -> Part {
    let (outcome, backup, message, stats) = match came {
        Ok(Told::BackedUp(done)) => (done.outcome(), done.report.backup.as_ref(), done.amounts(), Some(done.stats())),
        Ok(Told::Copied(name, amounts, problems)) => {
            (Outcome::of_problems(*problems), Some(name), amounts.clone(), None)
        }
        Ok(Told::Parked(how)) => (Outcome::Interrupted, None, how.clone(), None),
        Err(failure) => (failure.outcome, None, failure.message.clone(), None),
    };
    let backup = backup.map(ToString::to_string);
    Part { source: String::new(), path: String::new(), target: to.into(), backup, outcome, message, stats }
}

fn told(came: Option<Came>) -> Result<Told, Failure> {
    match came {
        None => Ok(Told::Parked("parked before it was its turn".into())),
        Some(Came::Failed(failure)) if failure.outcome == Outcome::Interrupted => {
            Ok(Told::Parked(format!("parked: {}", failure.message)))
        }
        Some(Came::Failed(failure)) => Err(failure),
        Some(Came::BackedUp(done)) => Ok(Told::BackedUp(done)),
        Some(Came::Stored(name, failure)) => {
            Ok(Told::Copied(name, format!("stored, but then: {}", failure.message), 1))
        }
        Some(Came::Copied(name, report, problems)) => {
            let amounts = format!("copied {}", copy::amounts(&report, false));
            match name {
                Some(name) => Ok(Told::Copied(name, amounts, problems)),
                None if report.interrupted => Ok(Told::Parked(format!("parked; {amounts}"))),
                None => Err(Failure::new(Outcome::Failed, format!("{}; {amounts}", several::NOT_WHOLE))),
            }
        }
    }
}

/// A backup of nothing, and that is a problem: a disk is not mounted, or can't be read. Nights of it must push no good backup out.
fn is_empty_now(done: &Done) -> bool {
    let counts = &done.report.counts;
    counts.problems > 0 && counts.of(Counter::Files) == 0 && counts.of(Counter::OtherEntries) <= 1
}

/// The worse of two.
pub(super) fn worse(one: Outcome, other: Outcome) -> Outcome {
    if rank(other) > rank(one) { other } else { one }
}

/// How bad it is for a whole job.
pub(super) fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::DoneWithProblems => 1,
        Outcome::Interrupted => 3,
        _ => 2,
    }
}
