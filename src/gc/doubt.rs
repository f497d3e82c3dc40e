//! What stops a deletion (I9): a backup of which nobody knows what it needs, a listing that is too short.

use super::{Error, Options, Report};
use crate::catalog::{self, Link};
use crate::date::Utc;
use crate::db::Chain;
use crate::limits::CLOCK_SECONDS_MIN;
use crate::monitor::Tally;
use crate::target::BackupName;

/// Chunks may be missing up to one in so many.
const MISSING_ONE_IN: u64 = 10;

/// Every metafile at the target is another box's, or this box remembers it: then what it needs is known.
pub(super) fn all_backups_are_remembered(options: &Options<'_>, links: &[Link], chains: &[Chain]) -> Result<(), Error> {
    let Options { target, db, identity, .. } = *options;
    let own = options.signer.to_string();
    let is_ours = |signer: &str| signer == own || chains.iter().any(|chain| chain.signer == signer);
    let (mut forgotten, mut unreadable) = (Vec::new(), Vec::new());
    for link in links.iter().filter(|link| !link.is_removed) {
        let name = link.name.to_string();
        if db.remembers(identity, &name)? || db.is_stranger(identity, &name)? {
            continue;
        }
        let is_ours = match link.footer(target) {
            Ok((footer, _)) => is_ours(&footer.signer.to_string()),
            Err(catalog::Error::Target(error)) => return Err(error.into()),
            // Nobody can tell whose it is: of a root of this box it may be one of this box.
            Err(_) if chains.iter().any(|chain| chain.root == link.name.root()) => {
                unreadable.push(name);
                continue;
            }
            Err(_) => false,
        };
        if is_ours {
            forgotten.push(name);
        } else {
            db.remember_stranger(identity, &name)?;
        }
    }
    match (forgotten.is_empty(), unreadable.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::Unreadable(unreadable)),
        _ => Err(Error::Forgotten(forgotten)),
    }
}

/// Says which backups are remembered and not there. What they need is kept: if somebody removed them by hand, he may want to put them back.
pub(super) fn tell_backups_that_are_gone(
    options: &Options<'_>,
    links: &[Link],
    chains: &[Chain],
    tally: &Tally<'_>,
) -> Result<(), Error> {
    let Options { db, identity, .. } = *options;
    for chain in chains {
        for backup in db.remembered(identity, &chain.root, &chain.signer)? {
            let name = BackupName::parse(&backup.link.backup);
            let is_there = |name: &BackupName| links.binary_search_by(|link| link.name.cmp(name)).is_ok();
            if !name.as_ref().is_some_and(is_there) {
                let what = "is remembered and not there, and nothing says who removed it: what it needs is kept";
                tally.problem(backup.link.backup, what);
            }
        }
    }
    Ok(())
}

/// A clock that was not set would make the grace of what is marked now end when it is set.
pub(super) fn clock_is_set(now: i64) -> Result<(), Error> {
    if now >= CLOCK_SECONDS_MIN { Ok(()) } else { Err(Error::Clock(Utc::from_unix(now))) }
}

/// A listing that lacks much is no listing: a disk that is half there, a server that lags behind.
pub(super) fn listing_is_whole(options: &Options<'_>, report: &Report) -> Result<(), Error> {
    let missing = report.missing.chunks + report.odd.chunks;
    let all = missing + report.needed.chunks + report.garbage.chunks;
    if missing.saturating_mul(MISSING_ONE_IN) > all && options.force != Some(missing) {
        return Err(Error::Short { missing, all });
    }
    Ok(())
}
