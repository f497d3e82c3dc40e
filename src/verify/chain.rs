//! The chains of signed backups: what is numbered must be there. Needs no key.
//!
//! A problem is what nobody does on purpose and what hides the newest state: the newest backups gone, a number twice, one that does not follow.
//! Older ones that are gone without a tombstone may have been removed by hand, so they are a note.

use super::Error;
use crate::catalog;
use crate::db::Chain;
use crate::monitor::Tally;
use crate::seal::Footer;
use crate::target::Target;

/// Checks the chains: numbers that are missing, one that is there twice, a backup that does not follow the one before,
/// and, where this box remembers more than the target has, backups that are gone. `remembered` is from before this call.
pub fn chain(target: &dyn Target, remembered: &[Chain], tally: &Tally<'_>) -> Result<(), Error> {
    let mut heads: Vec<(Footer, [u8; 32])> = Vec::new();
    let (links, chunks) = catalog::links(target)?;
    for link in links {
        let name = &link.name;
        // One whose footer is not good was told when it was read.
        let (footer, digest) = match link.footer(target) {
            Ok(found) => found,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(_) => continue,
        };
        if footer.chunks > chunks && !link.is_removed {
            let what = format!("needs {} chunks, and there are only {chunks} of any backup here", footer.chunks);
            tally.problem(name.to_string(), what);
        }
        let same = heads.iter().position(|(head, _)| head.root == footer.root && head.signer == footer.signer);
        let Some(at) = same else {
            tell_gap(1, &footer, tally);
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
            tell_gap(before.sequence + 1, &footer, tally);
        } else if footer.previous != *before_digest {
            tally.problem(name.to_string(), format!("does not follow {} as its signature says", before.backup));
        }
        heads[at] = (footer, digest);
    }
    for chain in remembered {
        let mut footers = heads.iter().map(|(footer, _)| footer);
        let is_of = |footer: &&Footer| footer.root == chain.root && footer.signer.to_string() == chain.signer;
        tell_gone(chain, footers.find(is_of), tally);
    }
    Ok(())
}

/// Numbers before this one that are not here.
fn tell_gap(expected: u64, footer: &Footer, tally: &Tally<'_>) {
    match footer.sequence.saturating_sub(expected) {
        0 => {}
        1 => tally.notice(footer.backup.clone(), format!("number {expected} of its chain is not here")),
        _ => {
            let what = format!("numbers {expected} to {} of its chain are not here", footer.sequence - 1);
            tally.notice(footer.backup.clone(), what);
        }
    }
}

/// What this box remembers to have made, and what is the newest of it here.
fn tell_gone(chain: &Chain, newest: Option<&Footer>, tally: &Tally<'_>) {
    let (number, name) = (chain.head.sequence, &chain.head.backup);
    let (subject, what) = match newest {
        Some(newest) if newest.sequence >= number => return,
        Some(newest) => {
            (&newest.backup, format!("is the newest here, but this box has made number {number} since, {name}"))
        }
        None => (&chain.root, format!("no good backup of it is here, but this box has made number {number}, {name}")),
    };
    if chain.is_current {
        let to_do = "if you did not remove it, somebody did or the target was set back: back up again, and see who can write there";
        tally.problem(subject.clone(), format!("{what}; {to_do}"));
    } else {
        tally.notice(subject.clone(), format!("{what}, with the key that it had before"));
    }
}
