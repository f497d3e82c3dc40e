//! How a command ends by what went wrong: the layers' errors as a failure, with the exit code (docs/CLI.md) and the hint that go with each.

use brackup::monitor::one_line;
use brackup::outcome::Outcome;
use brackup::{backup, catalog, config, db, restore, seal, target, verify};

use crate::term::Failure;

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let outcome = if error.is_no_such_target() { Outcome::NoSuchTarget } else { Outcome::Usage };
        Self { outcome, message: one_line(&error), hint: error.hint() }
    }
}

impl From<seal::Error> for Failure {
    fn from(error: seal::Error) -> Self {
        let outcome = match &error {
            seal::Error::NoSuchKeyId { .. } | seal::Error::KeyText { .. } | seal::Error::SecretRecipient(_) => {
                Outcome::Usage
            }
            _ if error.is_wrong_key() => Outcome::WrongKey,
            _ => Outcome::Failed,
        };
        Self::of(outcome, &error, error.hint())
    }
}

impl From<target::Error> for Failure {
    fn from(error: target::Error) -> Self {
        Self::of(target_outcome(&error), &error, error.hint())
    }
}

impl From<catalog::Error> for Failure {
    fn from(error: catalog::Error) -> Self {
        let outcome = match &error {
            catalog::Error::Target(error) => target_outcome(error),
            _ if error.is_wrong_key() => Outcome::WrongKey,
            _ => Outcome::Failed,
        };
        Self::of(outcome, &error, error.hint())
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        let outcome = if error.is_locked() { Outcome::Locked } else { Outcome::Failed };
        Self::of(outcome, &error, error.hint())
    }
}

impl From<backup::Error> for Failure {
    fn from(error: backup::Error) -> Self {
        let outcome = match &error {
            backup::Error::Target(error) => target_outcome(error),
            backup::Error::Database(error) if error.is_locked() => Outcome::Locked,
            _ => Outcome::Failed,
        };
        Self::of(outcome, &error, error.hint())
    }
}

impl From<restore::Error> for Failure {
    fn from(error: restore::Error) -> Self {
        let outcome = if error.is_wrong_key() { Outcome::WrongKey } else { Outcome::Failed };
        Self::of(outcome, &error, error.hint())
    }
}

impl From<verify::Error> for Failure {
    fn from(error: verify::Error) -> Self {
        match error {
            verify::Error::Catalog(error) => error.into(),
            verify::Error::Database(error) => error.into(),
            verify::Error::Target(error) => error.into(),
        }
    }
}

fn target_outcome(error: &target::Error) -> Outcome {
    use target::ErrorKind::{OtherTarget, Stopped, Unreachable};
    match error.kind {
        OtherTarget | Unreachable => Outcome::NoSuchTarget,
        Stopped => Outcome::Interrupted,
        _ => Outcome::Failed,
    }
}
