//! What must be there before a box removes anything.

use brackup::config::BoxOptions;
use brackup::db::Db;
use brackup::outcome::Outcome;
use brackup::seal::{BoxKey, Keyring};

use super::open::{self, State};
use super::provider::NamedTarget;
use crate::term::Failure;

/// What this box remembers of a target that it is about to remove something from. Without memory, without its key, or at a target that is not
/// the one that it was, nothing is removed (I9).
pub(crate) struct Memory {
    pub(crate) db: Db,
    pub(crate) identity: String,
    pub(crate) box_key: BoxKey,
    _state: Option<State>,
}

impl Memory {
    pub(crate) fn open(own: &BoxOptions, target: &NamedTarget) -> Result<Self, Failure> {
        Self::recalled(None, own, target)
    }

    /// The same for who has locked it.
    pub(crate) fn of(state: &State, own: &BoxOptions, target: &NamedTarget) -> Result<Self, Failure> {
        Self::recalled(Some(state), own, target)
    }

    pub(crate) fn forgotten(target: &NamedTarget) -> Failure {
        let what = format!("this box does not remember to have stored anything at {}", target.target.describe());
        Failure::new(Outcome::Failed, what)
    }

    fn recalled(locked: Option<&State>, own: &BoxOptions, target: &NamedTarget) -> Result<Self, Failure> {
        let forgotten =
            || Self::forgotten(target).hint("nothing is removed by a box that does not know what is needed");
        if !open::has_database(own) || !own.key_dir.join("box.key").exists() {
            return Err(forgotten());
        }
        let state = if locked.is_some() { None } else { Some(State::lock(own)?) };
        let db = locked.or(state.as_ref()).map(State::database).transpose()?.ok_or_else(forgotten)?;
        let identity = db.target_identity(&target.remembered_as())?.ok_or_else(forgotten)?;
        target.target.identify(Some(&identity))?;
        let box_key = Keyring::at(&own.key_dir).box_key()?;
        Ok(Self { db, identity, box_key, _state: state })
    }
}

/// The identity that the target must have, by its name; or that it has, if this box knows it under another name.
pub(crate) fn expected_identity(db: &Db, target: &NamedTarget) -> Result<Option<String>, Failure> {
    if let Some(identity) = db.target_identity(&target.remembered_as())? {
        target.target.identify(Some(&identity))?;
        return Ok(Some(identity));
    }
    for identity in db.target_identities()? {
        match target.target.identify(Some(&identity)) {
            Ok(_) => return Ok(Some(identity)),
            Err(error) if error.kind == brackup::target::ErrorKind::OtherTarget => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
