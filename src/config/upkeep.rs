//! `prune`, `gc`, `verify` and `restore_test` of a job: what is done at its targets when they have got their backups.

use std::path::PathBuf;

use super::error::{Error, ErrorKind};
use super::findings::Findings;
use super::surroundings::Surroundings;
use super::values::{Key, Values, choice, once, text};

pub(super) const KEYS: &[Key] = &[once("prune"), once("gc"), once("verify"), once("restore_test"), once("restore_key")];

/// What a job does besides its backups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upkeep {
    /// Removes the backups that no rule keeps, each time.
    pub prune: bool,
    /// Gives back the space of what no backup needs.
    pub gc: Option<Every>,
    /// Reads so many in a hundred of the chunks, each time.
    pub verify_percent: Option<f64>,
    /// Restores some files and compares them.
    pub restore_test: Option<Every>,
    /// The secret key for that.
    pub restore_key: PathBuf,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// With every run of a day.
    Daily,
    /// Seven days after the last time.
    Weekly,
    /// Thirty.
    Monthly,
}

impl Every {
    /// In seconds.
    pub fn seconds(self) -> i64 {
        let days = match self {
            Self::Daily => 1,
            Self::Weekly => 7,
            Self::Monthly => 30,
        };
        days * 86_400
    }
}

impl Upkeep {
    pub(super) fn read(values: &Values<'_>, around: &Surroundings, findings: &mut Findings) -> Self {
        let restore_test = values.read("restore_test", findings, every).flatten();
        let restore_key = values.path("restore_key", around, findings);
        if let Some(entry) = values.all("restore_test").next().filter(|_| restore_test.is_some()) {
            if !cfg!(feature = "restore-test") {
                let found = "restore_test is set, and this program was built without it";
                findings.wrong(entry.line, Error::new(ErrorKind::BadValue, found).expected("restore_test = no"));
            } else if !values.has("restore_key") {
                values.missing(
                    "restore_key",
                    "the file of a secret key: restore_test can't open backups without",
                    findings,
                );
            }
        }
        Self {
            prune: values.flag("prune", findings),
            gc: values.read("gc", findings, every).flatten(),
            verify_percent: values.read("verify", findings, percent).flatten(),
            restore_test,
            restore_key: restore_key.unwrap_or_default(),
        }
    }
}

fn every(value: &[u8]) -> Result<Option<Every>, String> {
    let words = [
        ("daily", Some(Every::Daily)),
        ("weekly", Some(Every::Weekly)),
        ("monthly", Some(Every::Monthly)),
        ("no", None),
    ];
    choice(value, &words)
}

fn percent(value: &[u8]) -> Result<Option<f64>, String> {
    if value == b"no" {
        return Ok(None);
    }
    let number = text(value)?.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.filter(|number| *number > 0.0 && *number <= 100.0);
    share.map(Some).ok_or_else(|| "a share like 5% or 0.5%, or no".into())
}
