//! How a command ended, as an exit code. The table is part of the interface (docs/CLI.md).

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// It was done, but some entries or objects are missing from the result and were listed.
    DoneWithProblems,
    /// It was not done.
    Failed,
    /// It was ended by SIGINT or SIGTERM; what was stored is used by the next run.
    Interrupted,
    /// Another run holds the lock.
    Locked,
    /// The target is not there, or is not the one that it was.
    NoSuchTarget,
    /// The command line or the configuration is wrong.
    Usage,
    /// No key that was given opens it.
    WrongKey,
}

impl Outcome {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::DoneWithProblems => 3,
            Self::NoSuchTarget => 10,
            Self::Locked => 11,
            Self::WrongKey => 12,
            Self::Interrupted => 130,
        }
    }

    /// The outcome of an exit code, if it is one of ours.
    pub fn of_code(code: u8) -> Option<Self> {
        use Outcome::{Done, DoneWithProblems, Failed, Interrupted, Locked, NoSuchTarget, Usage, WrongKey};
        let all = [Done, DoneWithProblems, Failed, Interrupted, Locked, NoSuchTarget, Usage, WrongKey];
        all.into_iter().find(|outcome| outcome.code() == code)
    }

    /// In words, as docs/CLI.md names the codes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::DoneWithProblems => "done with problems",
            Self::NoSuchTarget => "no such target",
            Self::Locked => "locked",
            Self::WrongKey => "wrong key",
            Self::Interrupted => "interrupted",
        }
    }

    /// Done, with or without problems.
    pub fn of_problems(problems: u64) -> Self {
        if problems == 0 { Self::Done } else { Self::DoneWithProblems }
    }
}
