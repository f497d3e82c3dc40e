//! What `fsck --repair` mends: the next backup and its restore are whole, what was moved aside is kept, and nothing goes on doubt (I9).

use std::fs;
use std::path::{Path, PathBuf};

use brackup::fsck::{Error, Kind};
use brackup::monitor::Quiet;
use brackup::target::{Filesystem, Target};

use crate::fsck::{all_bytes, flip, found, look, of_both, pending, two_nights};
use crate::support::{Between, Fault, How, May, Nas, Program, Recording, Tree, code, noise, settle, stderr};

const REPAIR: May<'static> = May { repair: true, read: false, from: None, force: None, forget: false };

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn kept(nas: &Nas) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(nas.quarantine()).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut kept: Vec<_> = entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect();
    kept.sort();
    kept
}

/// The next backup is whole, whatever became of older ones.
fn next_is_whole(nas: &Nas, tree: &Tree) {
    let done = nas.backup(tree);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    assert!(!look(nas).incomplete.iter().any(|(incomplete, _)| *incomplete == done.name()));
}

/// The same objects at another target.
fn twin(nas: &Nas, folder: &Path) -> Filesystem {
    fs::create_dir(folder).unwrap();
    for path in fs::read_dir(&nas.folder).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    fs::write(folder.join("brackup-target.id"), "brackup target 1\nid: 00112233445566778899aabbccddeeff\n").unwrap();
    Filesystem::at(folder)
}

#[test]
fn what_is_gone_is_forgotten_and_stored_anew() {
    let (nas, tree, made) = two_nights();
    let both = of_both(&nas, &made);
    fs::remove_file(&both).unwrap();
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!(found(&report), [(Kind::MissingChunk, 1, 1), (Kind::IncompleteBackup, 2, 0)]);
    next_is_whole(&nas, &tree);
    let report = look(&nas);
    assert_eq!(found(&report), [(Kind::MissingChunk, 1, 0), (Kind::IncompleteBackup, 2, 0)], "the older ones");
}

#[test]
fn what_is_damaged_is_stored_anew_and_stays_for_what_is_whole_in_it() {
    let (nas, tree, made) = two_nights();
    let both = of_both(&nas, &made);
    flip(&both);
    assert_eq!(nas.verify().unwrap().len(), 1);
    let short = nas.files(".chunk").into_iter().find(|path| *path != both).unwrap();
    fs::write(&short, "short").unwrap();
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    let left = [(Kind::OddChunk, 1, 0), (Kind::DamagedChunk, 1, 0), (Kind::IncompleteBackup, 2, 0)];
    assert_eq!(found(&report), left);
    assert!(both.exists() && short.exists() && kept(&nas).is_empty());
    next_is_whole(&nas, &tree);
}

#[test]
fn another_target_gives_back_every_byte() {
    let (nas, tree, made) = two_nights();
    let aside = tempfile::tempdir().unwrap();
    let other = twin(&nas, &aside.path().join("other"));
    let objects = || {
        let all = all_bytes(&nas).into_iter();
        all.filter(|(path, _)| path.starts_with(&nas.folder)).collect::<Vec<_>>()
    };
    let before = objects();
    let chunks = nas.files(".chunk");
    fs::remove_file(&chunks[1]).unwrap();
    fs::write(&chunks[3], "short").unwrap();
    flip(&chunks[5]);
    let [first, second] = [&made[0], &made[1]].map(|name| nas.folder.join(format!("{name}.meta")));
    fs::remove_file(&first).unwrap();
    flip(&second);
    // Of a repair that was killed.
    brackup::fsutil::create_private_directory(&nas.quarantine()).unwrap();
    fs::write(nas.quarantine().join(".kept-2147483646-0.partial"), "half").unwrap();
    let (_, report) =
        nas.try_fsck(&nas.target(), May { read: true, from: Some(&other), force: Some(2), ..REPAIR }).unwrap();
    assert_eq!(
        found(&report),
        [
            (Kind::MissingChunk, 1, 1),
            (Kind::OddChunk, 1, 1),
            (Kind::DamagedChunk, 1, 1),
            (Kind::DamagedMetafile, 1, 1),
            (Kind::MissingBackup, 1, 1),
        ]
    );
    assert!(objects() == before, "byte for byte");
    let kept = kept(&nas);
    assert_eq!(kept.len(), 3);
    assert!(kept.contains(&(name(&chunks[3]).replace(".chunk", ".damaged"), b"short".to_vec())));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(nas.quarantine()), mode(nas.quarantine().join(&kept[0].0))), (0o700, 0o600));
    assert_eq!((found(&look(&nas)), nas.verify().unwrap(), nas.verify_with_key().unwrap()), (vec![], vec![], vec![]));
    nas.assert_all_remembered();
    // What came back is counted on.
    let target = nas.target();
    let recording = Recording::over(&target);
    nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
    assert_eq!(recording.chunk_bytes(), 0);
}

#[test]
fn what_is_not_good_at_the_other_target_is_not_taken() {
    let (nas, tree, made) = two_nights();
    let aside = tempfile::tempdir().unwrap();
    let other = twin(&nas, &aside.path().join("other"));
    let both = of_both(&nas, &made);
    let [first, second] = [&made[0], &made[1]].map(|name| format!("{name}.meta"));
    flip(&aside.path().join("other").join(name(&both)));
    // A good one, and not the one that is remembered: that of the other night.
    fs::copy(nas.folder.join(&first), aside.path().join("other").join(&second)).unwrap();
    fs::remove_file(&both).unwrap();
    fs::remove_file(nas.folder.join(&second)).unwrap();
    let (told, report) = nas.try_fsck(&nas.target(), May { from: Some(&other), ..REPAIR }).unwrap();
    let left = [(Kind::MissingChunk, 1, 1), (Kind::IncompleteBackup, 2, 0), (Kind::MissingBackup, 1, 0)];
    assert_eq!(found(&report), left);
    assert!(told.iter().any(|problem| problem.subject.starts_with(&name(&both))), "{told:?}");
    assert!(!both.exists() && !nas.folder.join(&second).exists());
    next_is_whole(&nas, &tree);
    // No backup is listed before what it needs is there.
    fs::copy(nas.folder.join(&first), aside.path().join("other").join(&first)).unwrap();
    fs::remove_file(nas.folder.join(&first)).unwrap();
    let (_, report) = nas.try_fsck(&nas.target(), May { from: Some(&other), ..REPAIR }).unwrap();
    assert_eq!(report.findings.of(Kind::MissingBackup).mended, 0);
    assert!(!nas.folder.join(&first).exists());
}

#[test]
fn what_is_no_metafile_goes_and_one_that_may_be_somebodys_stays() {
    let (nas, _tree, made) = two_nights();
    let stem = &made[0][..made[0].len() - 2];
    let [empty, broken] = ["98", "99"].map(|number| nas.folder.join(format!("{stem}{number}.meta")));
    fs::write(&empty, "").unwrap();
    fs::copy(nas.folder.join(format!("{}.meta", made[0])), &broken).unwrap();
    flip(&broken);
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!(found(&report), [(Kind::DamagedMetafile, 2, 1)]);
    assert!(!empty.exists() && broken.exists());
    assert_eq!(kept(&nas), [(format!("{}.damaged", name(&empty)), vec![])]);
    fs::remove_file(&broken).unwrap();
    nas.try_gc(&nas.target(), 0, None).unwrap();
}

#[test]
fn a_backup_that_is_gone_is_forgotten_only_if_that_is_said() {
    let (nas, tree, made) = two_nights();
    fs::remove_file(nas.folder.join(format!("{}.meta", made[0]))).unwrap();
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!(found(&report), [(Kind::MissingBackup, 1, 0)]);
    assert_eq!(nas.try_gc(&nas.target(), 0, None).unwrap().1.garbage.chunks, 0, "what it needs is kept");
    let (_, report) = nas.try_fsck(&nas.target(), May { forget: true, ..REPAIR }).unwrap();
    assert_eq!(found(&report), [(Kind::MissingBackup, 1, 1)]);
    assert!(nas.try_gc(&nas.target(), 0, None).unwrap().1.deleted.chunks > 0);
    assert_eq!(found(&look(&nas)), []);
    next_is_whole(&nas, &tree);
}

#[test]
fn what_was_cut_off_is_brought_to_its_end() {
    let nas = pending();
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!(found(&report), [(Kind::PendingBackup, 1, 1)]);
    assert_eq!(found(&look(&nas)), []);
    nas.assert_all_remembered();
    let (nas, _tree, made) = two_nights();
    let remembered = fs::read(nas.state.join("brackup.db")).unwrap();
    nas.try_prune(&nas.target(), &brackup::policy::Policy { last: Some(1), ..Default::default() }).unwrap();
    fs::write(nas.state.join("brackup.db"), remembered).unwrap();
    let (_, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!((found(&report), made.len()), (vec![(Kind::RemovedBackup, 1, 1)], 2));
    nas.assert_all_remembered();
}

#[test]
fn what_turns_out_to_be_whole_is_counted_on_again() {
    let (nas, tree, made) = two_nights();
    let both = of_both(&nas, &made);
    flip(&both);
    assert_eq!(nas.verify().unwrap().len(), 1);
    flip(&both);
    let (told, report) = nas.try_fsck(&nas.target(), REPAIR).unwrap();
    assert_eq!((told, found(&report)), (vec![], vec![(Kind::DoubtedChunk, 1, 1)]));
    assert_eq!(found(&look(&nas)), []);
    let target = nas.target();
    let recording = Recording::over(&target);
    nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
    assert_eq!(recording.chunk_bytes(), 0);
}

/// A cable that was loose: the bytes were good all the time.
#[test]
fn what_can_be_read_after_all_is_left() {
    let (nas, _tree, made) = two_nights();
    let both = of_both(&nas, &made);
    let good = fs::read(&both).unwrap();
    let aside = tempfile::tempdir().unwrap();
    let other = twin(&nas, &aside.path().join("other"));
    flip(&both);
    nas.verify().unwrap();
    let run = |at: usize| {
        let copy = nas.copy();
        let (target, place) = (copy.target(), copy.folder.join(name(&both)));
        let put_back = || fs::write(&place, &good).unwrap();
        let between = Between::over(&target, at, &put_back);
        copy.try_fsck(&between, May { from: Some(&other), ..REPAIR }).unwrap();
        assert!(fs::read(&place).unwrap() == good, "at {at}");
        (between.calls(), kept(&copy).is_empty())
    };
    let (calls, is_left) = run(usize::MAX);
    assert!(!is_left);
    // But for the deletion itself, before which nobody can look, and what is behind it.
    let left: Vec<_> = (1..=calls).filter(|at| run(*at).1).collect();
    let second_look = left.last().copied().unwrap();
    assert!(left.len() == second_look && second_look >= 4, "{left:?} of {calls}");
}

#[test]
fn a_target_that_lets_nothing_be_deleted_and_a_quarantine_that_takes_nothing_lose_nothing() {
    let (nas, tree, made) = two_nights();
    let both = of_both(&nas, &made);
    let aside = tempfile::tempdir().unwrap();
    let other = twin(&nas, &aside.path().join("other"));
    let bytes = flip(&both);
    let full = nas.copy();
    let is_left = |nas: &Nas, target: &dyn Target, words: &str| {
        let (told, report) = nas.try_fsck(target, May { read: true, from: Some(&other), ..REPAIR }).unwrap();
        assert_eq!(report.findings.of(Kind::DamagedChunk).mended, 0);
        let subject = name(&both);
        let is_told = told.iter().any(|problem| problem.subject == subject && problem.what.contains(words));
        assert!(is_told, "{told:?}");
        assert_eq!((fs::read(nas.folder.join(subject)).unwrap(), kept(nas)), (bytes.clone(), vec![]));
    };
    let folder = nas.target();
    is_left(&nas, &Fault::over(&folder, 0, How::Denies), "may not be deleted");
    // It is not built on all the same.
    next_is_whole(&nas, &tree);
    fs::write(full.quarantine(), "no folder").unwrap();
    is_left(&full, &full.target(), "can't be kept, so it is left");
}

#[test]
fn a_listing_that_is_short_stops_it() {
    let (nas, _tree, _) = two_nights();
    let (folder, all) = (nas.target(), nas.files(".chunk").len() as u64);
    let blind = Fault::over(&folder, 0, How::ListsNoChunks);
    let before = all_bytes(&nas).keys().cloned().collect::<Vec<_>>();
    let error = nas.try_fsck(&blind, REPAIR).unwrap_err();
    assert!(matches!(error, Error::Short { missing, all: of } if missing == of && of == all), "{error}");
    assert!(error.hint().unwrap().contains(&format!("--force {all}")));
    assert!(nas.try_fsck(&blind, May { force: Some(all - 1), ..REPAIR }).is_err());
    // Whoever insists is still asked of each: they are there.
    let (told, report) = nas.try_fsck(&blind, May { force: Some(all), ..REPAIR }).unwrap();
    assert_eq!((told, found(&report)), (vec![], vec![]));
    assert_eq!(all_bytes(&nas).keys().cloned().collect::<Vec<_>>(), before);
}

/// Cut off, or told something wrong, at every call: the damaged bytes are somewhere, and the next backup is whole.
#[test]
fn cut_off_anywhere_it_loses_nothing() {
    let (nas, tree, made) = two_nights();
    let aside = tempfile::tempdir().unwrap();
    let other = twin(&nas, &aside.path().join("other"));
    let both = of_both(&nas, &made);
    let bytes = flip(&both);
    let gone = nas.files(".chunk").into_iter().find(|path| *path != both).unwrap();
    fs::remove_file(&gone).unwrap();
    nas.verify().unwrap();
    let run =
        |at: usize, how: How| {
            let copy = nas.copy();
            let target = copy.target();
            let fault = Fault::over(&target, at, how);
            let _ = copy.try_fsck(&fault, May { from: Some(&other), ..REPAIR });
            let there = fs::read(copy.folder.join(name(&both))).ok();
            let is_kept = kept(&copy).iter().any(|(_, kept)| *kept == bytes);
            assert!(is_kept || there.as_ref() == Some(&bytes), "call {at}: the damaged one is nowhere");
            assert!(there.is_none_or(
                |there| there == bytes || brackup::digest::Sha1::of(&there).to_string() == name(&both)[..40]
            ));
            let done = copy.backup(&tree);
            tree.snapshot().assert_same(&copy.restore(&done.name()).snapshot());
            // And then all of it is mended.
            copy.try_fsck(&copy.target(), May { from: Some(&other), ..REPAIR }).unwrap();
            assert_eq!((copy.verify().unwrap(), copy.verify_with_key().unwrap()), (vec![], vec![]), "call {at}");
            fault.calls()
        };
    let calls = run(0, How::Never);
    assert!(calls > 10);
    for at in 1..=calls {
        run(at, How::Stop);
        run(at, How::Once(std::io::ErrorKind::PermissionDenied));
    }
}

#[test]
fn the_program_repairs_from_another_target() {
    let tree = Tree::new();
    tree.file("a", noise(1, 12 << 20));
    settle();
    let program = Program::new(&tree.root);
    assert_eq!(code(&program.backup()), Some(0));
    let twin = format!("filesystem:{}", program.home().join("twin").display());
    let copied = program.run(&["copy", "--from-target", "disk", "--to-target", &twin]);
    assert_eq!(code(&copied), Some(0), "{}", stderr(&copied));
    let chunks = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunks.filter(|path| path.extension().is_some_and(|end| end == "chunk")).max().unwrap();
    let bytes = fs::read(&chunk).unwrap();
    let damaged = flip(&chunk);
    // From then on it is not believed to be there, but at the twin.
    assert_eq!(code(&program.run(&["verify", "disk"])), Some(3));
    let left = String::from_utf8(program.run(&["fsck", "disk", "--repair"]).stdout).unwrap();
    assert!(
        left.contains("damaged-chunk: 1, 0 mended, 1 left: ") && left.contains("to do: they stay, since"),
        "{left}"
    );
    let repaired = program.run(&["fsck", "disk", "--repair", "--from-target", &twin]);
    assert_eq!(code(&repaired), Some(0), "{}", stderr(&repaired));
    let told = String::from_utf8(repaired.stdout).unwrap();
    assert!(told.contains("damaged-chunk: 1, 1 mended, 0 left: ") && !told.contains("to do:"), "{told}");
    assert!(!told.contains("nothing is known here"), "it is this box's: {told}");
    assert_eq!(fs::read(&chunk).unwrap(), bytes);
    assert!(find(program.home(), ".damaged").is_some_and(|path| fs::read(path).unwrap() == damaged));
    assert_eq!(code(&program.run(&["verify", "disk"])), Some(0));
}

/// The first file below a folder whose name ends so.
fn find(folder: &Path, end: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).find_map(|path| {
        if path.is_dir() { find(&path, end) } else { Some(path).filter(|path| path.to_str().unwrap().ends_with(end)) }
    })
}
