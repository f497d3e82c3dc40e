//! The chains of signed backups: what is numbered must be there. Needs no key.

use super::Error;
use crate::catalog;
use crate::db::Db;
use crate::monitor::Tally;
use crate::seal;
use crate::target::{ObjectName, Target};

/// Checks the chains of signed backups: a number that is missing, one that is there twice, a backup that does not follow the one before,
/// and, where this box remembers more than the target has, a target that was set back.
pub fn chain(target: &dyn Target, known: Option<(&Db, &str)>, tally: &Tally<'_>) -> Result<(), Error> {
    let mut heads: Vec<(seal::Footer, [u8; 32])> = Vec::new();
    let mut chunks = 0;
    target.list(&mut |name, _| {
        chunks += u64::from(matches!(name, ObjectName::Chunk(_)));
        Ok(())
    })?;
    for (name, length) in catalog::backups(target)? {
        // One whose footer is not good was told when it was read.
        let Ok((footer, digest)) = catalog::footer(target, &name, length) else { continue };
        if footer.chunks > chunks {
            let what = format!("needs {} chunks, and there are only {chunks} of any backup here", footer.chunks);
            tally.problem(name.to_string(), what);
        }
        let same = heads.iter().position(|(head, _)| head.root == footer.root && head.signer == footer.signer);
        let Some(at) = same else {
            heads.push((footer, digest));
            continue;
        };
        let (before, before_digest) = &heads[at];
        if footer.sequence <= before.sequence {
            tally.problem(
                name.to_string(),
                format!("has number {} in its chain, and so has {}", footer.sequence, before.backup),
            );
        } else if footer.sequence > before.sequence + 1 {
            tally.notice(
                name.to_string(),
                format!("numbers {} to {} of its chain are not here", before.sequence + 1, footer.sequence - 1),
            );
        } else if footer.previous != *before_digest {
            tally.problem(name.to_string(), format!("does not follow {} as its signature says", before.backup));
        }
        heads[at] = (footer, digest);
    }
    let Some((db, identity)) = known else { return Ok(()) };
    for (head, _) in &heads {
        let remembered = db.chain_head(identity, &head.root, &head.signer.to_string())?;
        if let Some(remembered) = remembered.filter(|remembered| remembered.sequence > head.sequence) {
            tally.problem(
                head.backup.clone(),
                format!("is the newest here, but this box has made number {} since", remembered.sequence),
            );
        }
    }
    Ok(())
}
