//! The chain of a box's backups of a root: footers, what is left of those that were removed, and where the chain stands.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::Error;
use crate::db::{self, ChainHead, Db};
use crate::limits::TOMBSTONE_BYTES_MAX;
use crate::seal::{BoxPublic, Fault, Footer, Tombstone, split_footer};
use crate::target::{self, BackupName, ObjectName, Target};

/// Backups whose signatures are looked at between two listings.
const BACKUPS_AT_A_TIME: usize = 64;

/// A link of a chain as the target has it: a backup, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The name of the backup.
    pub name: BackupName,
    /// Whether there is a tombstone only.
    pub is_removed: bool,
    /// The length of the object.
    pub length: u64,
}

impl Link {
    /// Nothing for a chunk.
    pub(super) fn of(object: ObjectName, length: u64) -> Option<Self> {
        match object {
            ObjectName::Metafile(name) => Some(Self { name, is_removed: false, length }),
            ObjectName::Tombstone(name) => Some(Self { name, is_removed: true, length }),
            ObjectName::Chunk(_) => None,
        }
    }

    /// By name. Of a backup that is being removed there is both: then it is still there. Gives the tombstones of those.
    pub(super) fn sort(links: &mut Vec<Self>) -> Vec<Self> {
        let mut early = Vec::new();
        links.sort_unstable();
        links.dedup_by(|later, link| {
            let is_same = later.name == link.name;
            if is_same && later.is_removed && !link.is_removed {
                early.push(later.clone());
            }
            is_same
        });
        early
    }

    /// The object.
    pub fn object(&self) -> ObjectName {
        let name = self.name.clone();
        if self.is_removed { ObjectName::Tombstone(name) } else { ObjectName::Metafile(name) }
    }

    /// The footer, its signature checked, and the digest that the next one names.
    pub fn footer(&self, target: &dyn Target) -> Result<(Footer, [u8; 32]), Error> {
        if self.is_removed {
            let stone = tombstone(target, &self.name, self.length)?;
            return Ok((stone.footer, stone.footer_digest));
        }
        footer(target, &self.name, self.length)
    }
}

/// All links of all chains, sorted by name, and how many chunks there are.
pub fn links(target: &dyn Target) -> Result<(Vec<Link>, u64), target::Error> {
    let (mut links, mut chunks) = (Vec::new(), 0);
    target.list(&mut |object, length| {
        match Link::of(object, length) {
            Some(link) => links.push(link),
            None => chunks += 1,
        }
        Ok(())
    })?;
    Link::sort(&mut links);
    Ok((links, chunks))
}

/// The footer of a backup, its signature checked, and the digest that the next one names.
pub fn footer(target: &dyn Target, name: &BackupName, length: u64) -> Result<(Footer, [u8; 32]), Error> {
    let parsed = Footer::parse(&footer_text(target, name, length)?);
    // A copy under another name is no other backup.
    let is_its_own = |(footer, _): &(Footer, [u8; 32])| footer.backup == name.to_string();
    let parsed = parsed.and_then(|parsed| if is_its_own(&parsed) { Ok(parsed) } else { Err(Fault::Signature) });
    parsed.map_err(|fault| Error::Object { name: ObjectName::Metafile(name.clone()).to_string(), fault })
}

/// The text of a footer as it is there. Nothing of it is checked.
pub fn footer_text(target: &dyn Target, name: &BackupName, length: u64) -> Result<Vec<u8>, Error> {
    let object = ObjectName::Metafile(name.clone());
    let tail_bytes = length.min(Footer::TAIL_BYTES_MAX as u64);
    let tail = read(target, &object, length - tail_bytes, tail_bytes)?;
    let text = split_footer(&tail).map(<[u8]>::to_vec);
    text.map_err(|fault| Error::Object { name: object.to_string(), fault })
}

/// What is left of a backup that was removed, both signatures checked. Only who signed the backup may remove it.
pub fn tombstone(target: &dyn Target, name: &BackupName, length: u64) -> Result<Tombstone, Error> {
    let object = ObjectName::Tombstone(name.clone());
    let parsed = match length {
        0..=TOMBSTONE_BYTES_MAX => Tombstone::parse(&read(target, &object, 0, length)?),
        _ => Err(Fault::Signature),
    };
    let is_its_own =
        |stone: &Tombstone| stone.footer.backup == name.to_string() && stone.remover == stone.footer.signer;
    let parsed = parsed.and_then(|stone| if is_its_own(&stone) { Ok(stone) } else { Err(Fault::Signature) });
    parsed.map_err(|fault| Error::Object { name: object.to_string(), fault })
}

fn read(target: &dyn Target, object: &ObjectName, offset: u64, length: u64) -> Result<Vec<u8>, target::Error> {
    let mut bytes = Vec::new();
    let read = target.get(object, offset, length)?.read_to_end(&mut bytes);
    read.map_err(|error| target::Error::io(format!("can't read {object}"), error))?;
    Ok(bytes)
}

/// The newest link of a box's chain for a root at a target: the one that it remembers, or one on the target if that is newer or all there is.
pub fn chain_head(
    target: &dyn Target,
    remembered: Option<ChainHead>,
    root: &str,
    signer: &BoxPublic,
) -> Result<Option<ChainHead>, target::Error> {
    let mut below = None;
    loop {
        let newest = newest_backups(target, root, below.as_ref(), remembered.is_none())?;
        // From the newest name backwards, to the first that this box has signed.
        for link in newest.values().rev() {
            let (footer, digest) = match link.footer(target) {
                Ok(found) => found,
                // Nobody knows what it is, and an older one would make a fork of the chain.
                Err(Error::Target(error)) if remembered.is_none() && error.kind != target::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(_) => continue,
            };
            if footer.signer == *signer && footer.root == root {
                let found = ChainHead { backup: footer.backup, sequence: footer.sequence, footer: digest };
                let is_newer = remembered.as_ref().is_none_or(|remembered| remembered.sequence < found.sequence);
                return Ok(if is_newer { Some(found) } else { remembered });
            }
        }
        match newest.into_iter().next() {
            Some((oldest, _)) => below = Some(oldest),
            None => return Ok(remembered),
        }
    }
}

/// Finds out what became of backups whose metafiles were being stored when a run was cut off.
pub fn settle<E: From<db::Error> + From<target::Error>>(target: &dyn Target, db: &Db, identity: &str) -> Result<(), E> {
    for pending in db.pending(identity)? {
        let is_stored = match BackupName::parse(&pending.link.backup) {
            Some(name) => is_stored(target, &name, &pending.link.footer)?,
            None => false,
        };
        db.settle(&pending, is_stored)?;
    }
    Ok(())
}

/// Whether the metafile of this name is the one whose footer has this digest.
fn is_stored(target: &dyn Target, name: &BackupName, digest: &[u8; 32]) -> Result<bool, target::Error> {
    let Some(length) = target.stat(&ObjectName::Metafile(name.clone()))? else { return Ok(false) };
    match footer(target, name, length) {
        Ok((_, there)) => Ok(there == *digest),
        // Who may only add: the name was free, so it is ours.
        Err(Error::Target(error)) if error.kind == target::ErrorKind::Denied => Ok(true),
        Err(Error::Target(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// The newest backups of a root, before one of them if it is given: a few at a time, since over the years there may be very many. To whom one that a
/// server leaves out of a part of its listing would matter, all is listed.
fn newest_backups(
    target: &dyn Target,
    root: &str,
    below: Option<&BackupName>,
    is_all_listed: bool,
) -> Result<BTreeMap<BackupName, Link>, target::Error> {
    let mut newest = BTreeMap::new();
    let mut each = |name, length| {
        if let Some(link) = Link::of(name, length)
            && link.name.root() == root
            && below.is_none_or(|below| link.name < *below)
        {
            if !link.is_removed || !newest.contains_key(&link.name) {
                newest.insert(link.name.clone(), link);
            }
            if newest.len() > BACKUPS_AT_A_TIME {
                newest.pop_first();
            }
        }
        Ok(())
    };
    if is_all_listed {
        target.list(&mut each)?;
    } else {
        target.list_of(root, &mut each)?;
    }
    Ok(newest)
}
