//! What this box believes to be at a target, held against the target before anything is built on it: a disk that was set back to an older
//! state, or that lost what it had called durable, has the id that it had and fewer chunks.

use super::Error;
use crate::db::Db;
use crate::monitor::Tally;
use crate::target::{ObjectName, Target};

/// Forgets chunks that are not there as they were stored: what lies in them is read and stored anew by this run (I1). One question a
/// chunk, which is one for each `chunk_size` of what is stored.
pub(super) fn check(target: &dyn Target, db: &Db, identity: &str, tally: &Tally<'_>) -> Result<(), Error> {
    let mut gone = Vec::new();
    db.each_present(identity, |chunk, key, bytes| {
        if target.stat(&ObjectName::Chunk(key))? != Some(bytes) {
            gone.push(chunk);
        }
        Ok::<_, Error>(())
    })?;
    for chunk in &gone {
        db.forget_presence(identity, *chunk)?;
    }
    if !gone.is_empty() {
        let what = format!(
            "{} of the chunks that this box has stored are gone or have another length: what was in them is stored anew, and \
             older backups that need them are not whole",
            gone.len()
        );
        tally.problem(target.describe(), what);
    }
    Ok(())
}
