//! The chains of signed backups: what is numbered must be there. Needs no key.
//!
//! A problem is what nobody does on purpose and what hides the newest state: the newest backups gone, a number twice, one that does not follow.
//! Older ones that are gone without a tombstone may have been removed by hand, so they are a note.

use std::fmt;

use super::Error;
use crate::catalog::{self, Link};
use crate::db::Chain;
use crate::monitor::Tally;
use crate::seal::Footer;
use crate::target::Target;

/// Checks the chains: numbers that are missing, one that is there twice, a backup that does not follow the one before,
/// and, where this box remembers more than the target has, backups that are gone. `remembered` is from before this call.
pub fn chain(target: &dyn Target, remembered: &[Chain], tally: &Tally<'_>) -> Result<(), Error> {
    let mut heads = Heads::default();
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
        match heads.step(&footer, digest) {
            Step::Follows => {}
            step @ Step::Gap { .. } => tally.notice(name.to_string(), step.to_string()),
            step => tally.problem(name.to_string(), step.to_string()),
        }
    }
    for chain in remembered {
        let mut footers = heads.0.iter().map(|(footer, _)| footer);
        let is_of = |footer: &&Footer| footer.root == chain.root && footer.signer.to_string() == chain.signer;
        tell_gone(chain, footers.find(is_of), tally);
    }
    Ok(())
}

/// How a backup stands to the one before it in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the next one.
    Follows,
    /// Numbers that are not here.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// It has this number, and so has, or a higher one, this other.
    Twice(u64, String),
    /// It names another one than this as the one before it.
    Astray(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follows => f.write_str("follows"),
            Self::Gap { from, to } if from == to => write!(f, "number {from} of its chain is not here"),
            Self::Gap { from, to } => write!(f, "numbers {from} to {to} of its chain are not here"),
            Self::Twice(number, other) => write!(f, "has number {number} in its chain, and so has {other}"),
            Self::Astray(other) => write!(f, "does not follow {other} as its signature says"),
        }
    }
}

/// The newest of each chain so far.
#[derive(Default)]
struct Heads(Vec<(Footer, [u8; 32])>);

impl Heads {
    /// Takes the next backup, in the order of names.
    fn step(&mut self, footer: &Footer, digest: [u8; 32]) -> Step {
        let is_of = |(head, _): &(Footer, [u8; 32])| head.root == footer.root && head.signer == footer.signer;
        let Some(at) = self.0.iter().position(is_of) else {
            self.0.push((footer.clone(), digest));
            return Step::after(0, footer);
        };
        let (before, before_digest) = std::mem::replace(&mut self.0[at], (footer.clone(), digest));
        if footer.sequence <= before.sequence {
            Step::Twice(footer.sequence, before.backup)
        } else if footer.sequence == before.sequence + 1 && footer.previous != before_digest {
            Step::Astray(before.backup)
        } else {
            Step::after(before.sequence, footer)
        }
    }
}

impl Step {
    fn after(before: u64, footer: &Footer) -> Self {
        if footer.sequence <= before + 1 {
            Self::Follows
        } else {
            Self::Gap { from: before + 1, to: footer.sequence - 1 }
        }
    }
}

/// A backup of a chain, or what is left of it.
#[derive(Debug)]
pub struct Past {
    /// The object.
    pub link: Link,
    /// What is signed, its digest, and how it stands to the one before it; or why it can't be said.
    pub signed: Result<(Footer, [u8; 32], Step), catalog::Error>,
}

/// Calls back for each backup of a root, and each tombstone, in the order of names: those of several boxes one among the other.
pub fn history(target: &dyn Target, root: &str, mut each: impl FnMut(Past)) -> Result<(), Error> {
    let mut heads = Heads::default();
    for link in catalog::links(target)?.0.into_iter().filter(|link| link.name.root() == root) {
        let signed = match link.footer(target) {
            Err(error) if error.is_unreachable() => return Err(error.into()),
            signed => signed.map(|(footer, digest)| {
                let step = heads.step(&footer, digest);
                (footer, digest, step)
            }),
        };
        each(Past { link, signed });
    }
    Ok(())
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
