//! Metafiles, and the tombstones of those that were removed: which are to be there too, and, behind their chunks, that they come to be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::chunks::{Lost, is_of_the_way};
use super::{Error, Memory, Options, Report, Which};
use crate::catalog::{self, Failed, Link, TRANSFER_BYTES, transfer};
use crate::db::{Chain, Remembered};
use crate::monitor::{Phase, Tally, one_line};
use crate::relpath::RelPath;
use crate::target::{ErrorKind, ObjectName};

const ANOTHER: &str = "is not copied: there is another backup of this name";

/// A link that is to be at the other target.
#[derive(Debug)]
pub(super) struct Planned {
    link: Link,
    /// Of this box, which knows what it needs.
    pub(super) remembered: Option<Remembered>,
    is_here: bool,
}

/// What is to be there, in the order of names, which is that of chains.
pub(super) fn plan(
    options: &Options<'_>,
    there: &[Link],
    here: &[Link],
    report: &mut Report,
    tally: &Tally<'_>,
) -> Result<Vec<Planned>, Error> {
    let mut remembered = remembered(options)?;
    let chains = options.memory.map_or(Ok(Vec::new()), |Memory { db, from, .. }| db.chains(from))?;
    let mut planned = Vec::new();
    for link in there {
        let name = &link.name;
        let here = here.binary_search_by(|here| here.name.cmp(name)).ok().map(|at| &here[at]);
        if link.is_removed {
            if matches!(options.which, Which::All) && here.is_none() {
                planned.push(Planned { link: link.clone(), remembered: None, is_here: false });
            }
            continue;
        }
        let remembered = remembered.remove(&name.to_string());
        if let Which::Own(is_meant) = options.which {
            if !is_meant(name) {
                continue;
            }
            if remembered.is_none() {
                let what = "is not copied: this box does not know what it needs; without naming backups all that is there is copied";
                tally.problem(name.to_string(), what);
                continue;
            }
        }
        if here.is_none() && remembered.is_none() && is_forgotten(options, link, &chains)? && !options.force {
            let what = "is not copied: this box signed it and does not know what it needs, which `brackup rebuild` finds out where the secret key is; --force copies it all the same";
            tally.problem(name.to_string(), what);
            continue;
        }
        match here {
            Some(here) if here.is_removed => report.removed_there += 1,
            Some(here) if here.length != link.length => {
                tally.problem(name.to_string(), ANOTHER);
            }
            Some(here) if remembered.is_none() && !is_same(options, link, here, tally)? => {}
            here => {
                report.backups_there += u64::from(here.is_some());
                planned.push(Planned { link: link.clone(), remembered, is_here: here.is_some() });
            }
        }
    }
    Ok(planned)
}

/// Whether two metafiles of one name and length are the same, by what is signed. What is otherwise is told.
fn is_same(options: &Options<'_>, there: &Link, here: &Link, tally: &Tally<'_>) -> Result<bool, Error> {
    let mut digests = Vec::new();
    for (link, target, place) in [(there, options.from, "where it is to be copied from"), (here, options.to, "there")] {
        match link.footer(target) {
            Ok((_, digest)) => digests.push(digest),
            Err(error) if is_of_the_way(&error) => return Err(error.into()),
            Err(error) => {
                let what = format!("is there too, and can't be compared, since {place} {}", one_line(&error));
                tally.problem(link.name.to_string(), what);
                return Ok(false);
            }
        }
    }
    let is_same = digests[0] == digests[1];
    if !is_same {
        tally.problem(there.name.to_string(), ANOTHER);
    }
    Ok(is_same)
}

/// Whether a metafile of which nothing is remembered is one that this box has signed: then chunks that it needs may be among those that are
/// known here, and that nothing else needs.
fn is_forgotten(options: &Options<'_>, link: &Link, chains: &[Chain]) -> Result<bool, Error> {
    if chains.is_empty() {
        return Ok(false);
    }
    match link.footer(options.from) {
        Ok((footer, _)) => Ok(chains.iter().any(|chain| chain.signer == footer.signer.to_string())),
        Err(error) if is_of_the_way(&error) => Err(error.into()),
        // Not to be copied anyway, which is told then.
        Err(_) => Ok(false),
    }
}

/// Whether one of those that are to be copied may be signed by one of these.
pub(super) fn has_own(options: &Options<'_>, planned: &[Planned], signers: &[String]) -> Result<bool, Error> {
    if signers.is_empty() {
        return Ok(false);
    }
    for Planned { link, .. } in planned.iter().filter(|planned| !planned.is_here && !planned.link.is_removed) {
        match link.footer(options.from) {
            Ok((footer, _)) if !signers.contains(&footer.signer.to_string()) => {}
            Err(error) if is_of_the_way(&error) => return Err(error.into()),
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// What this box knows of the backups where they come from, by name.
fn remembered(options: &Options<'_>) -> Result<BTreeMap<String, Remembered>, Error> {
    let mut remembered = BTreeMap::new();
    let Some(Memory { db, from, .. }) = options.memory else { return Ok(remembered) };
    for chain in db.chains(from)? {
        for backup in db.remembered(from, &chain.root, &chain.signer)? {
            remembered.insert(backup.link.backup.clone(), backup);
        }
    }
    Ok(remembered)
}

/// Stores what is not there yet. One of whose chunks some are lost is left.
pub(super) fn copy(
    options: &Options<'_>,
    planned: Vec<Planned>,
    lost: &Lost,
    report: &mut Report,
    tally: &Tally<'_>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut buffer = vec![0; TRANSFER_BYTES];
    for planned in planned {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let name = &planned.link.name;
        tally.at(Phase::Copy, &RelPath::parse(name.to_string().as_bytes()).unwrap_or_default());
        if !planned.is_here && !options.force && lacks(options, &planned, lost)? {
            let why = match planned.remembered {
                Some(_) => "not all of its chunks could be",
                None => {
                    "a chunk that another box has stored could not be, which is told above, and whether this one needs it nobody can say without the secret key"
                }
            };
            tally.problem(name.to_string(), format!("is not copied: {why}; --force copies it all the same"));
            report.left_out += 1;
            continue;
        }
        if options.dry_run {
            if !planned.is_here && !planned.link.is_removed {
                report.backups.push(name.clone());
            }
            continue;
        }
        one(options, planned, &mut buffer, report, tally)?;
    }
    Ok(())
}

/// Whether some of what it needs is lost, as far as is known.
fn lacks(options: &Options<'_>, planned: &Planned, lost: &Lost) -> Result<bool, Error> {
    match (&planned.remembered, options.memory) {
        _ if planned.link.is_removed => Ok(false),
        (Some(remembered), Some(Memory { db, .. })) => {
            for key in &lost.keys {
                if db.needs(remembered, key)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(lost.has_unknown),
    }
}

fn one(
    options: &Options<'_>,
    planned: Planned,
    buffer: &mut [u8],
    report: &mut Report,
    tally: &Tally<'_>,
) -> Result<(), Error> {
    let Planned { link, remembered, is_here } = planned;
    let name = link.name.clone();
    let object = if link.is_removed { ObjectName::Tombstone(name.clone()) } else { ObjectName::Metafile(name.clone()) };
    let pending = match (&remembered, options.memory) {
        // As on any other night.
        (Some(known), Some(Memory { db, to, .. })) if is_here && db.remembers_link(to, &known.link)? => return Ok(()),
        (Some(remembered), Some(memory)) => {
            // What lies there may be another metafile than this box remembers: then nothing is known of it.
            let is_same = match link.footer(if is_here { options.to } else { options.from }) {
                Ok((_, digest)) => digest == remembered.link.footer,
                Err(error) if is_of_the_way(&error) => return Err(error.into()),
                Err(_) => false,
            };
            if !is_same {
                tally.problem(name.to_string(), "is not the backup that this box remembers under its name");
                report.left_out += 1;
                return Ok(());
            }
            let pending = memory.db.expect_copy(remembered, memory.to)?;
            if pending.is_none() {
                tally.problem(name.to_string(), "is not copied: its number in the chain is another backup's there");
                report.left_out += 1;
                return Ok(());
            }
            pending
        }
        _ => None,
    };
    if !is_here {
        match transfer(options.from, options.to, &object, link.length, buffer, tally) {
            Ok(()) if link.is_removed => {}
            Ok(()) => report.backups.push(name),
            Err(Failed::Here(error)) if error.kind != ErrorKind::Exists => return Err(error.into()),
            Err(Failed::There(error)) if is_of_the_way(&error) => return Err(error.into()),
            Err(failed) => {
                if let (Some(pending), Some(Memory { db, to, .. })) = (&pending, options.memory) {
                    catalog::settle::<Error>(options.to, db, to)?;
                    // It was stored, and the answer was lost.
                    if db.remembers_link(to, &pending.link)? {
                        report.backups.push(name);
                        return Ok(());
                    }
                }
                // Another copy was as fast.
                if matches!(&failed, Failed::Here(error) if error.kind == ErrorKind::Exists)
                    && is_there_too(options, &link)?
                {
                    report.backups_there += 1;
                    return Ok(());
                }
                report.left_out += 1;
                // It may have been removed meanwhile.
                let why = match failed {
                    Failed::Here(error) => one_line(&error),
                    Failed::There(error) => one_line(&error),
                };
                tally.problem(object.to_string(), format!("is not copied: {why}"));
                return Ok(());
            }
        }
    }
    match (pending, options.memory) {
        (Some(pending), Some(Memory { db, .. })) => Ok(db.settle(&pending, true)?),
        _ => Ok(()),
    }
}

/// Whether what has its name there now is the same.
fn is_there_too(options: &Options<'_>, link: &Link) -> Result<bool, Error> {
    if link.is_removed {
        return Ok(false);
    }
    let digest = |target| match link.footer(target) {
        Ok((_, digest)) => Ok(Some(digest)),
        Err(error) if is_of_the_way(&error) => Err(Error::from(error)),
        Err(_) => Ok(None),
    };
    let here = digest(options.to)?;
    Ok(here.is_some() && here == digest(options.from)?)
}
