//! A box that has lost its memory (I6): the backup works, and what it costs is said before it begins.

use super::{Error, Options};
use crate::catalog::{self, Link};
use crate::db::Db;
use crate::monitor::Tally;
use crate::seal::BoxPublic;
use crate::target::{ErrorKind, ObjectName, Target};

/// Says so if backups of the root are there, nothing of it is remembered, and all of it is to be stored once more. A first backup finds none,
/// and one as any other does not look.
pub(super) fn tell(
    options: &Options<'_>,
    target: &dyn Target,
    db: &Db,
    identity: &str,
    signer: &BoxPublic,
    tally: &Tally<'_>,
) -> Result<(), Error> {
    if db.remembers_root(options.root, identity)? {
        return Ok(());
    }
    let (mut backups, mut newest, mut chunks, mut bytes) = (0_u64, None, 0_u64, 0_u64);
    let listed = target.list(&mut |name, length| {
        match name {
            ObjectName::Chunk(_) => (chunks, bytes) = (chunks + 1, bytes + length),
            ObjectName::Metafile(name) if name.root() == options.root => {
                backups += 1;
                newest = newest.take().max(Some((name, length)));
            }
            _ => {}
        }
        Ok(())
    });
    match listed {
        // A dry run makes no target: there is none yet.
        Err(error) if options.dry_run && error.kind == ErrorKind::Unreachable => return Ok(()),
        listed => listed?,
    }
    let Some((name, length)) = newest else { return Ok(()) };
    let link = Link { name, is_removed: false, length };
    // One that can't be read says nothing of how much it needs, and stops nobody.
    let footer = link.footer(target).map(|(footer, _)| footer);
    match footer {
        Err(catalog::Error::Target(error)) if error.is_of_the_way() => {
            return Err(error.into());
        }
        _ => {}
    }
    let needs = footer.as_ref().map_or(chunks, |footer| footer.chunks.min(chunks));
    let about = (bytes / chunks.max(1)).saturating_mul(needs).div_ceil(1 << 20);
    let whose = match footer {
        Ok(footer) if footer.signer == *signer => "",
        _ => ", signed by another box, or by this one with another key",
    };
    let what = format!(
        "{backups} of its backups are there, the newest {}{whose}, and this box remembers nothing of them: all of it is read, and \
         about {about} MiB may be stored again; `brackup rebuild` where the secret key is, and `brackup import` here before this \
         backup, avoid that",
        link.name
    );
    tally.notice(options.root, what);
    Ok(())
}
