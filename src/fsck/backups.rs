//! The backups that this box remembers, held against metafiles and tombstones; and metafiles that nobody here remembers.

use super::{Error, Fsck, Kind};
use crate::catalog::{self, Link, Listing, OpenBackup, Trust, Verdict};
use crate::db::{Chain, Db, Remembered};
use crate::monitor::one_line;
use crate::seal::{Fault, Footer};
use crate::target::{BackupName, ErrorKind, ObjectName};

impl Fsck<'_> {
    pub(super) fn backups(&mut self, listing: &Listing) -> Result<(), Error> {
        let chains = self.options.memory.map_or(Ok(Vec::new()), |(db, identity)| db.chains(identity))?;
        if let Some((db, identity)) = self.options.memory {
            for chain in &chains {
                for backup in db.remembered(identity, &chain.root, &chain.signer)? {
                    self.go_on()?;
                    let Some(name) = BackupName::parse(&backup.link.backup) else { continue };
                    self.remembered(db, &name, &backup, listing)?;
                }
            }
        }
        for link in listing.links.iter().filter(|link| !link.is_removed) {
            self.go_on()?;
            let known = self.options.memory.map_or(Ok(false), |(db, identity)| {
                let name = link.name.to_string();
                Ok::<_, Error>(db.remembers(identity, &name)? || db.is_stranger(identity, &name)?)
            })?;
            if !known {
                self.not_remembered(link, &chains)?;
            }
        }
        // What is forgotten in this run takes its ranges along.
        match self.options.memory.filter(|_| self.mending.is_some()) {
            Some((db, _)) => Ok(db.sweep_refs()?),
            None => Ok(()),
        }
    }

    fn remembered(&mut self, db: &Db, name: &BackupName, backup: &Remembered, listing: &Listing) -> Result<(), Error> {
        let find = |links: &[Link]| {
            links.binary_search_by(|link| link.name.cmp(name)).ok().and_then(|at| links.get(at).cloned())
        };
        let link = find(&listing.links);
        let Some(link) = link.as_ref().filter(|link| !link.is_removed) else {
            if !self.is_gone(name)? {
                return Ok(());
            }
            if let Some(stone) = &link
                && self.is_own_grave(stone, backup)?
            {
                let mends = self.mending.is_some();
                if mends {
                    db.forget_backup(backup)?;
                }
                self.found(Kind::RemovedBackup, name, mends);
                return Ok(());
            }
            return self.missing(db, name, backup);
        };
        if let Some(early) = find(&listing.early)
            && self.is_own_grave(&early, backup)?
        {
            self.found(Kind::UnfinishedRemoval, name, false);
        }
        match self.open(link)? {
            Opened::Good(..) => match link.footer(self.options.target) {
                Ok((_, digest)) if digest != backup.link.footer => self.found(Kind::ReplacedMetafile, name, false),
                _ => {}
            },
            Opened::Damaged(_) => {
                let is_mended = self.bring(name, true, |_, digest| *digest == backup.link.footer)?;
                self.found(Kind::DamagedMetafile, name, is_mended);
            }
            Opened::Unread => self.found(Kind::DamagedMetafile, name, false),
            Opened::Unsaid => {}
        }
        Ok(())
    }

    /// Whether its metafile is surely not there: a listing may be older than what is there.
    fn is_gone(&self, name: &BackupName) -> Result<bool, Error> {
        let object = ObjectName::Metafile(name.clone());
        match self.options.target.stat(&object) {
            Ok(there) => Ok(there.is_none()),
            Err(error) if error.is_of_the_way() => Err(error.into()),
            Err(error) => {
                self.tally.problem(object.to_string(), one_line(&error));
                Ok(false)
            }
        }
    }

    fn missing(&mut self, db: &Db, name: &BackupName, backup: &Remembered) -> Result<(), Error> {
        let is_incomplete = self.report.incomplete.iter().any(|(incomplete, _)| *incomplete == backup.link.backup);
        // No backup is listed before what it needs is there (I1).
        let is_known = !is_incomplete && !self.has_unsaid;
        let mut is_mended = is_known && self.bring(name, false, |_, digest| *digest == backup.link.footer)?;
        if !is_mended && self.mending.is_some_and(|mending| mending.forget_missing_backups) {
            // Its number may be given again.
            db.forget_all_of(backup)?;
            is_mended = true;
        }
        self.found(Kind::MissingBackup, name, is_mended);
        Ok(())
    }

    /// Whether this tombstone says that this backup was removed.
    fn is_own_grave(&mut self, link: &Link, backup: &Remembered) -> Result<bool, Error> {
        match catalog::tombstone(self.options.target, &link.name, link.length) {
            Ok(stone) => Ok(stone.footer_digest == backup.link.footer),
            Err(catalog::Error::Target(error)) if error.is_of_the_way() => Err(error.into()),
            Err(error) => {
                self.tally.problem(link.object().to_string(), one_line(&error));
                self.found(Kind::DamagedTombstone, &link.name, false);
                Ok(false)
            }
        }
    }

    /// A metafile of which this box knows nothing.
    fn not_remembered(&mut self, link: &Link, chains: &[Chain]) -> Result<(), Error> {
        let own = self.options.signer.map(|signer| signer.to_string());
        let is_ours = |footer: &Footer| {
            let signer = footer.signer.to_string();
            own.as_ref() == Some(&signer) || chains.iter().any(|chain| chain.signer == signer)
        };
        match self.open(link)? {
            Opened::Good(footer) if is_ours(&footer) => self.found(Kind::ForgottenBackup, &link.name, false),
            Opened::Good(_) => {
                if let Some((db, identity)) = self.options.memory.filter(|_| self.mending.is_some()) {
                    db.remember_stranger(identity, &link.name.to_string())?;
                }
            }
            Opened::Damaged(fault) => {
                let mut is_mended = self.bring(&link.name, true, |footer, _| is_ours(footer))?;
                if is_mended {
                    self.found(Kind::ForgottenBackup, &link.name, false);
                }
                // It never was one, or nothing of it is left: a power cut just when it got its name.
                let is_nothing = fault == Fault::NotBrackup && self.has_no_footer(link)?;
                if let Some(mending) = self.mending.filter(|_| !is_mended && is_nothing) {
                    is_mended = self.put_aside(&link.object(), None, mending.quarantine)?;
                }
                self.found(Kind::DamagedMetafile, &link.name, is_mended);
            }
            Opened::Unread => self.found(Kind::DamagedMetafile, &link.name, false),
            Opened::Unsaid => {}
        }
        Ok(())
    }

    /// Whether not even its end says whose it is: gc counts on what a good one says.
    fn has_no_footer(&self, link: &Link) -> Result<bool, Error> {
        match link.footer(self.options.target) {
            Ok(_) => Ok(false),
            Err(catalog::Error::Target(error)) if error.is_of_the_way() => Err(error.into()),
            Err(catalog::Error::Target(error)) => Ok(link.length == 0 && error.kind != ErrorKind::Denied),
            Err(_) => Ok(true),
        }
    }

    /// Reads a metafile to its end.
    fn open(&self, link: &Link) -> Result<Opened, Error> {
        let Fsck { options, tally, .. } = self;
        // Some servers can't be asked for nothing.
        if link.length == 0 {
            return Ok(Opened::Damaged(Fault::NotBrackup));
        }
        match OpenBackup::open(options.target, &link.name, link.length, &Trust::default(), options.spool) {
            Ok(OpenBackup { verdict: Verdict::FirstSeen(footer) | Verdict::Trusted(footer), .. }) => {
                Ok(Opened::Good(footer))
            }
            Ok(_) => Ok(Opened::Unsaid),
            Err(catalog::Error::Object { fault, .. }) => Ok(Opened::Damaged(fault)),
            Err(catalog::Error::Target(error)) if error.is_of_the_way() => Err(error.into()),
            Err(catalog::Error::Target(error)) => {
                tally.problem(link.object().to_string(), one_line(&error));
                // Who may not read it does not know what it is. What can't be read now may be whole: it is not to be replaced.
                Ok(if error.kind == ErrorKind::Denied { Opened::Unsaid } else { Opened::Unread })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Brings a metafile from another target, if it has the right one. One that is there goes to quarantine first.
    fn bring(
        &mut self,
        name: &BackupName,
        is_there: bool,
        is_right: impl Fn(&Footer, &[u8; 32]) -> bool,
    ) -> Result<bool, Error> {
        let Some(mending) = self.mending else { return Ok(false) };
        let Some(from) = mending.from else { return Ok(false) };
        let object = ObjectName::Metafile(name.clone());
        let Some(length) = from.stat(&object)? else { return Ok(false) };
        let is_right = match catalog::footer(from, name, length) {
            Ok((footer, digest)) => is_right(&footer, &digest),
            Err(catalog::Error::Target(error)) if error.is_of_the_way() => return Err(error.into()),
            Err(_) => false,
        };
        if !is_right {
            return Ok(false);
        }
        let Some(good) = self.good(&object)? else { return Ok(false) };
        if is_there && !self.put_aside(&object, None, mending.quarantine)? {
            return Ok(false);
        }
        self.options.target.put(&object, good)?;
        Ok(true)
    }
}

/// What reading a metafile shows.
enum Opened {
    Good(Footer),
    Damaged(Fault),
    Unread,
    Unsaid,
}
