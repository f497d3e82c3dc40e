//! What stops a deletion (I9): a backup of which nobody knows what it needs, a listing that is too short.

use std::collections::BTreeSet;

use super::{Error, Options, Report};
use crate::catalog::{self, Link};
use crate::date::Utc;
use crate::limits::CLOCK_SECONDS_MIN;
use crate::monitor::Tally;

/// Chunks may be missing up to one in so many.
const MISSING_ONE_IN: u64 = 10;

/// Every metafile at the target is another box's, or this box remembers it: then what it needs is known.
pub(super) fn all_backups_are_remembered(options: &Options<'_>, links: &[Link]) -> Result<(), Error> {
    let Options { target, db, identity, .. } = *options;
    let known = known(options)?;
    let mut ours: BTreeSet<String> = known.signers;
    ours.insert(options.signer.to_string());
    let mut forgotten = Vec::new();
    for link in links.iter().filter(|link| !link.is_removed) {
        let name = link.name.to_string();
        if known.backups.contains(&name) || db.is_stranger(identity, &name)? {
            continue;
        }
        let is_ours = match link.footer(target) {
            Ok((footer, _)) => ours.contains(&footer.signer.to_string()),
            Err(catalog::Error::Target(error)) => return Err(error.into()),
            // Nobody can tell whose it is: of a root of this box it may be one of this box.
            Err(_) => known.roots.contains(link.name.root()),
        };
        if is_ours {
            forgotten.push(name);
        } else {
            db.remember_stranger(identity, &name)?;
        }
    }
    if forgotten.is_empty() { Ok(()) } else { Err(Error::Forgotten(forgotten)) }
}

/// Says which backups are remembered and not there. What they need is kept: if somebody removed them by hand, he may want to put them back.
pub(super) fn tell_backups_that_are_gone(
    options: &Options<'_>,
    links: &[Link],
    tally: &Tally<'_>,
) -> Result<(), Error> {
    let there: BTreeSet<String> = links.iter().map(|link| link.name.to_string()).collect();
    for name in known(options)?.backups.iter().filter(|name| !there.contains(*name)) {
        tally.problem(
            name.clone(),
            "is remembered and not there, and nothing says who removed it: what it needs is kept",
        );
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

struct Known {
    backups: BTreeSet<String>,
    roots: BTreeSet<String>,
    signers: BTreeSet<String>,
}

fn known(options: &Options<'_>) -> Result<Known, Error> {
    let Options { db, identity, .. } = *options;
    let mut known = Known { backups: BTreeSet::new(), roots: BTreeSet::new(), signers: BTreeSet::new() };
    for chain in db.chains(identity)? {
        let remembered = db.remembered(identity, &chain.root, &chain.signer)?;
        known.backups.extend(remembered.into_iter().map(|backup| backup.link.backup));
        known.roots.insert(chain.root);
        known.signers.insert(chain.signer);
    }
    Ok(known)
}
