//! A bucket that several boxes share, on a server that nobody here wrote.

use brackup::date::Utc;
use brackup::digest::Sha1;
use brackup::target::{BackupName, ObjectName, Target as _};
use tempfile::TempDir;

use super::conformance::{chunk_name, listed, object};
use super::s3::{bucket, open};
use crate::support::{Place as _, Weed};

/// They are not asked for: not every server has the names in them in order, and they may be many.
#[test]
fn the_folders_of_others_do_not_matter() {
    let Some(weed) = Weed::start() else { return };
    let (spool, _house) = (TempDir::new().unwrap(), weed.bucket("house", ""));
    let (mut names, day) = (Vec::new(), Utc::parse("2026-11-28").unwrap());
    for prefix in ["", "laptop/", "laptop-2/", "laptop/old/"] {
        let target = open(bucket(&weed.endpoint(), "house", prefix), &spool);
        target.identify(None).unwrap();
        let finished = object(&target, 1000 + prefix.len());
        names.push(chunk_name(&finished));
        target.put(names.last().unwrap(), finished).unwrap();
    }
    // Names of ours before, between and behind theirs, over two pages.
    for (name, prefix) in [("many", "pages/"), ("more", "pages-")] {
        let (many, target) = (weed.bucket(name, prefix), open(bucket(&weed.endpoint(), name, prefix), &spool));
        let mut ours: Vec<_> = (0..502_u32).map(|number| ObjectName::Chunk(Sha1::of(&number.to_be_bytes()))).collect();
        for name in &ours {
            many.write(&name.to_string(), b"x");
        }
        for folder in ["1", "7f-", "ffff"] {
            many.write(&format!("{folder}/{}", ours[0]), b"x");
        }
        // And more backups than a page has, beside folders that begin as they do.
        let backup = |number| ObjectName::Metafile(BackupName::new("tree", day, number).unwrap());
        for name in (0..503).map(backup) {
            many.write(&name.to_string(), b"x");
            ours.push(name);
        }
        for folder in ["tree", "tree-", "tree-20261127", "tree-20261128050.meta", "tree-x"] {
            many.write(&format!("{folder}/{}", ours[0]), b"x");
        }
        let mut of_tree = Vec::new();
        let mut each = |name: ObjectName, _| {
            of_tree.push(name);
            Ok(())
        };
        target.list_of("tree", &mut each).unwrap();
        of_tree.sort();
        assert!(of_tree.into_iter().eq((0..503).map(backup)), "{prefix}");
        ours.sort_by_key(ToString::to_string);
        let mut found: Vec<_> = listed(&target).into_iter().map(|(name, _)| name).collect();
        found.sort_by_key(ToString::to_string);
        assert!(found == ours, "{prefix}: {} of {}", found.len(), ours.len());
    }
    for (prefix, name) in [("", &names[0]), ("laptop/", &names[1])] {
        let found = listed(&open(bucket(&weed.endpoint(), "house", prefix), &spool));
        assert_eq!(found.iter().map(|(name, _)| name).collect::<Vec<_>>(), [name]);
    }
}
