//! What an inventory says of the files of a root's newest backup. Rows like those of the stat cache, but their identity lacks the inode, so
//! none is believed unread: they say which items to use if a file still has the SHA-1 that it had.
//!
//! They lie in `files` under a source of their own, whose tag are the recipients: what is sealed to others is of no use.

use rusqlite::params;

use super::{Db, Error, StatCache};
use crate::digest::Sha1;

/// The tag of hints whose chunks are sealed to the keys with these ids.
pub fn recipients_tag(mut ids: Vec<[u8; 4]>) -> [u8; 16] {
    ids.sort_unstable();
    ids.dedup();
    let mut tag = [0; 16];
    tag.copy_from_slice(&Sha1::of(ids.as_flattened()).0[..16]);
    tag
}

impl Db {
    /// The hints of a root, as they lie beside a walk, if there are any and they are of use for these recipients.
    pub fn hints(
        &self,
        root: &str,
        target_identity: &str,
        recipients: Vec<[u8; 4]>,
    ) -> Result<Option<StatCache<'_>>, Error> {
        let sql = "SELECT id FROM sources WHERE name = ?1 AND target = ?2 AND tag = ?3";
        let tag = recipients_tag(recipients);
        let id = self.prepare(sql)?.row(params![root, place(target_identity), &tag[..]], |row| row.get(0))?;
        Ok(id.map(|id| StatCache::open(self, id)))
    }

    /// The number of the source that a root's hints lie under, without any.
    pub(super) fn hint_source(&self, root: &str, target_identity: &str, tag: &[u8; 16]) -> Result<i64, Error> {
        self.forget_hints(root, target_identity)?;
        self.source(root, &place(target_identity), tag)
    }

    /// They have done what they were for.
    pub fn forget_hints(&self, root: &str, target_identity: &str) -> Result<(), Error> {
        let source = [root, &place(target_identity)];
        let sql = "DELETE FROM files WHERE source IN (SELECT id FROM sources WHERE name = ?1 AND target = ?2)";
        self.execute(sql, source)?;
        self.execute("DELETE FROM sources WHERE name = ?1 AND target = ?2", source)
    }

    /// Whether anything is remembered of a root at a target: a backup, or files of one that was not finished or was imported.
    pub fn remembers_root(&self, root: &str, target_identity: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM chains JOIN backups ON chain = chains.id WHERE root = ?1 AND target = ?2)
                   OR EXISTS (SELECT 1 FROM sources JOIN files ON source = sources.id WHERE name = ?1 AND target IN (?2, ?3))";
        let known = self.prepare(sql)?.row([root, target_identity, &place(target_identity)], |row| row.get(0))?;
        Ok(known.unwrap_or(false))
    }
}

/// No target has such an id.
fn place(target_identity: &str) -> String {
    format!("{target_identity} hints")
}
