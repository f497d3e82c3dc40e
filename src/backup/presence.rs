//! What this box believes to be at a target, held against the target before anything is built on it: a disk that was set back to an older
//! state, or that lost what it had called durable, has the id that it had and fewer chunks.

use super::Error;
use crate::blob::ChunkNo;
use crate::db::{Db, Puts};
use crate::digest::Key;
use crate::limits::LISTED_CHUNKS;
use crate::monitor::Tally;
use crate::target::{ObjectName, Target};

/// A chunk as it was stored, and whether a listing has it so.
struct Believed {
    key: Key,
    bytes: u64,
    chunk: ChunkNo,
    is_listed: bool,
}

/// Forgets chunks that are not there as they were stored: what lies in them is read and stored anew by this run (I1). One listing of the
/// target for all, or for each 65,536 of them.
pub(super) fn check(target: &dyn Target, db: &Db, identity: &str, tally: &Tally<'_>) -> Result<(), Error> {
    let (mut gone, mut window) = (Vec::new(), Vec::new());
    db.each_present(identity, |chunk, key, bytes| {
        window.push(Believed { key, bytes, chunk, is_listed: false });
        if window.len() == LISTED_CHUNKS { missing(target, &mut window, &mut gone) } else { Ok(()) }
    })?;
    missing(target, &mut window, &mut gone)?;
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

/// Takes in chunks that a run before this one has stored without being able to write that down: nothing is known of what lies in them, but
/// they are this box's, and go when they are collected.
pub(super) fn adopt(target: &dyn Target, db: &Db, identity: &str, puts: &Puts) -> Result<(), Error> {
    for key in puts.left() {
        if !db.knows(key)?
            && let Some(bytes) = target.stat(&ObjectName::Chunk(*key))?
        {
            db.adopt(identity, key, bytes)?;
        }
    }
    Ok(())
}

/// Empties the window into `gone`, but for what the target has.
fn missing(target: &dyn Target, window: &mut Vec<Believed>, gone: &mut Vec<ChunkNo>) -> Result<(), Error> {
    if window.is_empty() {
        return Ok(());
    }
    window.sort_unstable_by_key(|believed| believed.key.0);
    target.list(&mut |name, bytes| {
        if let ObjectName::Chunk(key) = name
            && let Ok(place) = window.binary_search_by_key(&key.0, |believed| believed.key.0)
        {
            window[place].is_listed = window[place].bytes == bytes;
        }
        Ok(())
    })?;
    for believed in window.drain(..).filter(|believed| !believed.is_listed) {
        // A listing may be older than what was stored; an answer about one object is not.
        if target.stat(&ObjectName::Chunk(believed.key))? != Some(believed.bytes) {
            gone.push(believed.chunk);
        }
    }
    Ok(())
}
