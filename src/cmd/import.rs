//! `brackup import`: a box that has lost its memory takes in what `brackup rebuild` wrote.

use std::io::Write as _;

use brackup::catalog::{self, Link};
use brackup::config::BoxOptions;
use brackup::db::{Db, Imported, NewBackup};
use brackup::outcome::Outcome;
use brackup::seal::{BoxPublic, Keyring};
use brackup::target::{BackupName, ObjectName};

use super::known_targets::KnownTargets;
use super::open::{self, State};
use super::provider::NamedTarget;
use crate::cli::{Global, ImportArgs};
use crate::term::{self, Failure};

/// Whose chains are taken in.
struct Signers {
    /// The key that this box has now, if it has one.
    own: Option<String>,
    /// Keys that it had.
    before: Vec<String>,
}

impl Signers {
    fn new(args: &ImportArgs, own: &BoxOptions) -> Result<Self, Failure> {
        let before = args.signer.iter().map(|text| BoxPublic::parse(text).map(|signer| signer.to_string()));
        let before = before.collect::<Result<_, _>>()?;
        let has_key = own.key_dir.join("box.key").exists();
        let key = if has_key { Some(Keyring::at(&own.key_dir).box_key()?) } else { None };
        Ok(Self { own: key.map(|key| key.public().to_string()), before })
    }

    fn are(&self, signer: &str) -> bool {
        self.own.as_deref() == Some(signer) || self.had(signer)
    }

    fn had(&self, signer: &str) -> bool {
        self.own.as_deref() != Some(signer) && self.before.iter().any(|before| before == signer)
    }
}

/// Takes an inventory in, all of it or nothing.
pub(crate) fn run(args: &ImportArgs, global: &Global) -> Result<Outcome, Failure> {
    let target = open::target(args.target.as_deref(), global)?;
    let own = open::own(global)?;
    let signers = Signers::new(args, &own)?;
    let (inventory, identity) = Db::open_inventory(&args.file)?;
    target.target.identify(Some(&identity))?;
    let (taken, left): (Vec<_>, Vec<_>) = inventory.signers()?.into_iter().partition(|(signer, _)| signers.are(signer));
    for (signer, count) in &left {
        let whose = "are left, as another box's: if this box signed them with a key that it had, import with --signer";
        term::warning(&format!("{} by {signer} {whose} {signer}", term::plural(*count, "backup", "backups")));
    }
    if taken.is_empty() {
        return Err(Failure::new(Outcome::Failed, "no backup in it is signed by this box: nothing was changed")
            .hint("bring back key_dir with the box's key, or name the key that it had with --signer"));
    }
    let state = State::lock(&own)?;
    let db = state.database()?;
    let remembered_as = target.remembered_as();
    if db.target_identity(&remembered_as)?.is_some_and(|known| known != identity) {
        return Err(Failure::new(Outcome::NoSuchTarget, "this box remembers another target under this name"));
    }
    db.begin_run()?;
    let done = take_in(&db, &inventory, &target, &identity, &signers);
    let (imported, forgotten) = match done {
        Ok(done) => done,
        Err(failure) => {
            db.abandon_run()?;
            return Err(failure);
        }
    };
    db.end_run()?;
    KnownTargets::of(&own.key_dir).note(&remembered_as, &identity);
    say(&imported, forgotten, global)
}

fn take_in(
    db: &Db,
    inventory: &Db,
    target: &NamedTarget,
    identity: &str,
    signers: &Signers,
) -> Result<(Imported, u64), Failure> {
    db.remember_target(&target.remembered_as(), identity)?;
    catalog::settle::<Failure>(&*target.target, db, identity)?;
    let (links, _) = catalog::links(&*target.target)?;
    let is_there = &mut |backup: &NewBackup| Ok::<_, Failure>(is_listed(&links, &backup.link.backup));
    let imported = db.import(inventory, identity, &|signer| signers.are(signer), is_there)?;
    Ok((imported, forget_gone(db, inventory, target, identity, signers, &links)?))
}

/// What a key signed that this box does not have any more, prune can't remove: its owner does, by hand. That it was on purpose he says with
/// `--signer`, and with an inventory that does not have it either; then gc may collect what it needed.
fn forget_gone(
    db: &Db,
    inventory: &Db,
    target: &NamedTarget,
    identity: &str,
    signers: &Signers,
    links: &[Link],
) -> Result<u64, Failure> {
    let mut forgotten = 0;
    for chain in db.chains(identity)?.iter().filter(|chain| signers.had(&chain.signer)) {
        for backup in db.remembered(identity, &chain.root, &chain.signer)? {
            let name = &backup.link.backup;
            if is_listed(links, name) || inventory.remembers(identity, name)? {
                continue;
            }
            let object = BackupName::parse(name).map(ObjectName::Metafile);
            if object.map_or(Ok(None), |object| target.target.stat(&object))?.is_none() {
                db.forget_backup(&backup)?;
                forgotten += 1;
            }
        }
    }
    Ok(forgotten)
}

fn is_listed(links: &[Link], name: &str) -> bool {
    let place = BackupName::parse(name).map(|name| links.binary_search_by(|link| link.name.cmp(&name)));
    place.is_some_and(|place| place.is_ok_and(|at| !links[at].is_removed))
}

fn say(imported: &Imported, forgotten: u64, global: &Global) -> Result<Outcome, Failure> {
    let Imported { backups, known, chunks, files } = *imported;
    if global.json {
        let value = serde_json::json!({
            "command": "import", "backups": backups, "known": known, "chunks": chunks, "files": files, "forgotten": forgotten,
        });
        writeln!(std::io::stdout(), "{value}")?;
    } else if !global.quiet {
        writeln!(
            std::io::stdout(),
            "imported {}, {} and what is known of {}; {known} remembered already, {forgotten} forgotten",
            term::plural(backups, "backup", "backups"),
            term::plural(chunks, "chunk", "chunks"),
            term::plural(files, "file", "files")
        )?;
    }
    Ok(Outcome::Done)
}
