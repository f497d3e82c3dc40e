//! What is remembered, what backups need and what is there are held against each other: each way in which they may differ is made, and named, and
//! nothing is changed for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brackup::db::Db;
use brackup::fsck::{KINDS, Kind, Report};
use brackup::monitor::{Problem, Quiet};
use brackup::policy::Policy;
use brackup::target::Target;

use crate::support::{Fault, How, May, Nas, Program, Tree, code, noise, settle, stderr};

/// Two nights: most chunks are of both, one at least of each alone.
pub(crate) fn two_nights() -> (Nas, Tree, Vec<String>) {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("always", noise(1, 24 << 20));
    let night = |number| {
        tree.file("changing", noise(number, 1_500_000));
        settle();
        nas.backup(&tree).name()
    };
    let made = (10..12).map(night).collect();
    (nas, tree, made)
}

/// A chunk that both nights need.
pub(crate) fn of_both(nas: &Nas, made: &[String]) -> PathBuf {
    let [one, other] = [&made[0], &made[1]].map(|name| nas.chunks_of(name));
    nas.folder.join(one.intersection(&other).next().unwrap())
}

pub(crate) fn flip(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

/// Everything at the target and what is remembered, with the names of all that lies beside it.
pub(crate) fn all_bytes(nas: &Nas) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = [&nas.folder, &nas.state].map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A look that changes nothing.
pub(crate) fn look_at(nas: &Nas, target: &dyn Target, may: May<'_>) -> (Vec<Problem>, Report) {
    let before = all_bytes(nas);
    let looked = nas.try_fsck(target, may).unwrap();
    let after = all_bytes(nas);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "a look changed something");
    looked
}

pub(crate) fn look(nas: &Nas) -> Report {
    look_at(nas, &nas.target(), May::default()).1
}

/// What was found, by kind: how many, how many mended.
pub(crate) fn found(report: &Report) -> Vec<(Kind, u64, u64)> {
    let of = |kind: Kind| (kind, report.findings.of(kind).count, report.findings.of(kind).mended);
    KINDS.into_iter().map(of).filter(|(_, count, _)| *count > 0).collect()
}

#[test]
fn where_all_agrees_nothing_is_found() {
    let (nas, _tree, _) = two_nights();
    let (told, report) = look_at(&nas, &nas.target(), May { read: true, ..May::default() });
    assert_eq!((told, found(&report)), (vec![], vec![]));
    assert_eq!((report.chunks, report.unknown), (nas.files(".chunk").len() as u64, 0));
    // A listing that lags behind is no loss: each that it lacks is asked for.
    let blind = nas.target();
    let (told, report) = look_at(&nas, &Fault::over(&blind, 0, How::ListsNoChunks), May::default());
    assert_eq!((told, found(&report)), (vec![], vec![]));
    // What others have there is counted.
    fs::write(nas.folder.join("0123456789abcdef0123456789abcdef01234567.chunk"), "of nobody").unwrap();
    let report = look(&nas);
    assert_eq!((found(&report), report.unknown, report.unknown_bytes), (vec![], 1, 9));
}

#[test]
fn chunks_that_are_gone_cut_or_damaged_are_named_and_so_are_the_backups_that_need_them() {
    let (nas, _tree, made) = two_nights();
    let (both, first) = (of_both(&nas, &made), nas.chunks_of(&made[0]));
    let only_first = first.difference(&nas.chunks_of(&made[1])).next().cloned().unwrap();
    let both_lack = vec![(made[0].clone(), 1), (made[1].clone(), 1)];
    let incomplete = (Kind::IncompleteBackup, 2, 0);

    let gone = nas.copy();
    fs::remove_file(gone.folder.join(both.file_name().unwrap())).unwrap();
    let report = look(&gone);
    assert_eq!(found(&report), [(Kind::MissingChunk, 1, 0), incomplete]);
    assert_eq!(report.incomplete, both_lack);
    assert_eq!(report.findings.of(Kind::MissingChunk).examples, [both.file_name().unwrap().to_str().unwrap()]);
    fs::remove_file(gone.folder.join(only_first)).unwrap();
    assert_eq!(look(&gone).incomplete, [(made[0].clone(), 2), (made[1].clone(), 1)]);

    let cut = nas.copy();
    fs::write(cut.folder.join(both.file_name().unwrap()), "short").unwrap();
    let report = look(&cut);
    assert_eq!((found(&report), report.incomplete), (vec![(Kind::OddChunk, 1, 0), incomplete], both_lack.clone()));

    // Damage shows when it is read: by this look, or by a verification before.
    flip(&both);
    assert_eq!(found(&look(&nas)), []);
    let (_, report) = look_at(&nas, &nas.target(), May { read: true, ..May::default() });
    let damaged = vec![(Kind::DamagedChunk, 1, 0), incomplete];
    assert_eq!((found(&report), &report.incomplete), (damaged.clone(), &both_lack));
    assert_eq!(nas.verify().unwrap().len(), 1);
    let report = look(&nas);
    assert_eq!((found(&report), &report.incomplete), (damaged, &both_lack));
    // It was the disk's mistake: now it can be read. The box does not count on it yet.
    flip(&both);
    assert_eq!(found(&look(&nas)), [(Kind::DoubtedChunk, 1, 0)]);
}

#[test]
fn an_error_is_never_taken_for_not_there() {
    let (nas, _tree, made) = two_nights();
    fs::remove_file(of_both(&nas, &made)).unwrap();
    let (target, baseline) = (nas.target(), found(&look(&nas)));
    let through = Fault::over(&target, 0, How::Never);
    look_at(&nas, &through, May::default());
    let mut unsaid = 0;
    for at in 1..=through.calls() {
        let fault = Fault::over(&target, at, How::Once(std::io::ErrorKind::PermissionDenied));
        let Ok((told, report)) = nas.try_fsck(&fault, May::default()) else { continue };
        assert!(found(&report).iter().all(|found| baseline.contains(found)), "call {at}: {report:?}");
        // The one question whether it is there was not answered.
        unsaid += usize::from(!told.is_empty() && found(&report).is_empty());
    }
    assert_eq!(unsaid, 1);
}

#[test]
fn metafiles_that_are_gone_damaged_or_forgotten_are_named() {
    let (nas, _tree, made) = two_nights();
    let meta = |nas: &Nas, name: &str| nas.folder.join(format!("{name}.meta"));

    let gone = nas.copy();
    fs::remove_file(meta(&gone, &made[0])).unwrap();
    assert_eq!(found(&look(&gone)), [(Kind::MissingBackup, 1, 0)]);

    let damaged = nas.copy();
    flip(&meta(&damaged, &made[0]));
    fs::write(meta(&damaged, &made[1]), "").unwrap();
    let report = look(&damaged);
    assert_eq!(found(&report), [(Kind::DamagedMetafile, 2, 0)]);
    assert_eq!(report.findings.of(Kind::DamagedMetafile).examples, made);

    // A power cut just when a name was taken. It stops gc, which can't know what that backup needs.
    let planted = nas.copy();
    let name = format!("{}99", &made[0][..made[0].len() - 2]);
    fs::write(meta(&planted, &name), "").unwrap();
    assert!(planted.try_gc(&planted.target(), 0, None).is_err());
    assert_eq!(found(&look(&planted)), [(Kind::DamagedMetafile, 1, 0)]);

    // What was signed by this box, and is not what it stored under this name.
    let replaced = nas.copy();
    fs::remove_file(replaced.state.join("brackup.db")).unwrap();
    fs::remove_file(meta(&replaced, &made[0])).unwrap();
    fs::remove_file(meta(&replaced, &made[1])).unwrap();
    let tree = Tree::new();
    tree.file("a", "a");
    settle();
    assert_eq!(replaced.backup(&tree).name(), made[0]);
    let other = fs::read(meta(&replaced, &made[0])).unwrap();
    let replaced = nas.copy();
    fs::write(meta(&replaced, &made[0]), other).unwrap();
    assert_eq!(found(&look(&replaced)), [(Kind::ReplacedMetafile, 1, 0)]);

    // A new memory.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    nas.backup(&tree);
    let report = look(&nas);
    assert_eq!(found(&report), [(Kind::ForgottenBackup, 2, 0)]);
    assert!(report.unknown >= 12 && report.chunks == 1, "{report:?}");
}

#[test]
fn removals_that_were_cut_off_are_named() {
    let (nas, _tree, made) = two_nights();
    let (database, meta) = (nas.state.join("brackup.db"), nas.folder.join(format!("{}.meta", made[0])));
    let (remembered, metafile) = (fs::read(&database).unwrap(), fs::read(&meta).unwrap());
    nas.try_prune(&nas.target(), &Policy { last: Some(1), ..Policy::default() }).unwrap();
    assert_eq!(found(&look(&nas)), []);
    fs::write(&database, &remembered).unwrap();
    assert_eq!(found(&look(&nas)), [(Kind::RemovedBackup, 1, 0)]);
    fs::write(&meta, &metafile).unwrap();
    assert_eq!(found(&look(&nas)), [(Kind::UnfinishedRemoval, 1, 0)]);
    fs::remove_file(&meta).unwrap();
    fs::write(nas.folder.join(format!("{}.tombstone", made[0])), "broken").unwrap();
    assert_eq!(found(&look(&nas)), [(Kind::MissingBackup, 1, 0), (Kind::DamagedTombstone, 1, 0)]);
}

/// A backup whose run was cut off when its metafile was being stored.
pub(crate) fn pending() -> Nas {
    let (nas, tree, _) = two_nights();
    for at in 1.. {
        let copy = nas.copy();
        let target = copy.target();
        let fault = Fault::over(&target, at, How::Stop);
        assert!(copy.try_backup(&tree.root, &fault, &Quiet::default()).is_err(), "it is never pending");
        let db = Db::open(&copy.state).unwrap();
        let identity = db.target_identity("disk").unwrap().unwrap();
        if !db.pending(&identity).unwrap().is_empty() {
            drop(db);
            return copy;
        }
    }
    unreachable!()
}

#[test]
fn a_backup_that_may_have_been_stored_is_named() {
    assert_eq!(found(&look(&pending())), [(Kind::PendingBackup, 1, 0)]);
}

#[test]
fn a_memory_that_has_rotted_is_named_and_left() {
    let (nas, _tree, made) = two_nights();
    fs::remove_file(of_both(&nas, &made)).unwrap();
    let changed = |sql: &str| {
        let copy = nas.copy();
        rusqlite::Connection::open(copy.state.join("brackup.db")).unwrap().execute(sql, []).unwrap();
        copy
    };
    for sql in ["UPDATE backups SET sum = sum + 1", "DELETE FROM refs WHERE chunk = 3"] {
        let copy = changed(sql);
        let report = look(&copy);
        assert_eq!(report.findings.of(Kind::Refs).count, 1, "{sql}");
        // And nothing is repaired with it.
        let before = fs::read_dir(&copy.folder).unwrap().count();
        let (_, report) =
            copy.try_fsck(&copy.target(), May { repair: true, force: Some(1), ..May::default() }).unwrap();
        assert_eq!((report.findings.of(Kind::Refs).count, report.findings.of(Kind::MissingChunk).mended), (1, 0));
        assert_eq!(fs::read_dir(&copy.folder).unwrap().count(), before);
    }
    let copy = changed("UPDATE chunks SET bytes = bytes + 1 WHERE id = 3");
    assert_eq!(look(&copy).findings.of(Kind::Database).count, 1);
}

#[test]
fn the_program_says_what_does_not_agree() {
    let tree = Tree::new();
    tree.file("a", noise(1, 4 << 20));
    settle();
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let well = program.run(&["fsck"]);
    assert_eq!(code(&well), Some(0), "{}", stderr(&well));
    let told = String::from_utf8(well.stdout).unwrap();
    assert!(told.ends_with("chunks of this box compared: no inconsistency\n"), "{told}");
    let chunk = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk.filter(|path| path.extension().is_some_and(|end| end == "chunk")).max().unwrap();
    fs::remove_file(&chunk).unwrap();
    let lacking = program.run(&["fsck", "disk", "--json"]);
    assert_eq!(code(&lacking), Some(3), "{}", stderr(&lacking));
    assert!(stderr(&lacking).contains("is not whole: it lacks 1 of its chunks"), "{}", stderr(&lacking));
    let lines: Vec<serde_json::Value> =
        String::from_utf8(lacking.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [missing, incomplete, backup, sum] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&missing["kind"], &missing["count"]), (&"missing-chunk".into(), &1.into()));
    assert_eq!(missing["examples"][0], chunk.file_name().unwrap().to_str().unwrap());
    assert_eq!((&incomplete["kind"], &backup["lacks"]), (&"incomplete-backup".into(), &1.into()));
    assert_eq!((&sum["inconsistencies"], &sum["mended"]), (&2.into(), &0.into()));
    let told = String::from_utf8(program.run(&["fsck", "disk"]).stdout).unwrap();
    assert!(told.contains("    to do: --repair forgets them"), "{told}");
    for wrong in [&["--from-target=disk"][..], &["--force=1"], &["--repair", "--from-target=disk"], &["--force", "x"]] {
        assert_eq!(code(&program.run(&[&["fsck", "disk"], wrong].concat())), Some(2), "{wrong:?}");
    }
    // A database that can't be read is named, and stays where it is.
    let database = program.home().join("state/brackup.db");
    fs::write(&database, vec![0x5a; 8192]).unwrap();
    let damaged = program.run(&["fsck", "disk"]);
    assert_eq!((code(&damaged), fs::read(&database).unwrap()), (Some(3), vec![0x5a; 8192]));
    assert!(String::from_utf8(damaged.stdout).unwrap().contains("the local database is damaged"));
    fs::remove_file(&database).unwrap();
    let forgotten = program.run(&["fsck", "disk"]);
    assert_eq!(code(&forgotten), Some(3));
    assert!(String::from_utf8(forgotten.stdout).unwrap().contains("forgotten-backup: 1"));
    assert_eq!(code(&program.run(&["fsck", "disk", "--repair"])), Some(1), "without any memory");
}
