//! Copies of what other boxes have stored, by one that knows nothing of it and has no key.

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::atomic::AtomicBool;

use brackup::copy::{self, Error, Lock, Options, Report, Which};
use brackup::monitor::{Problem, Quiet, Tally};
use brackup::target::{Filesystem, Target};

use crate::malice::{chunk, forge, metafile};
use crate::support::{Fault, How, Nas};

fn copy_all(from: &Nas, to: &dyn Target) -> (Vec<Problem>, Report) {
    let (told, report) = try_to_copy(&from.target(), to, None);
    (told, report.unwrap())
}

/// A second place, empty.
fn second(nas: &Nas) -> Filesystem {
    let to = Filesystem::at(&nas.folder.with_file_name("second"));
    to.identify(None).unwrap();
    to
}

fn try_to_copy(from: &dyn Target, to: &dyn Target, lock: Option<Lock<'_>>) -> (Vec<Problem>, Result<Report, Error>) {
    let (quiet, spool) = (Quiet::default(), tempfile::tempdir().unwrap());
    let options = Options {
        from,
        to,
        memory: None,
        which: Which::All,
        spool: spool.path(),
        connections: 1,
        force: false,
        dry_run: false,
        is_new: false,
        lock,
    };
    let report = copy::run(&options, &Tally::new(&quiet), &AtomicBool::new(false));
    (quiet.problems(), report)
}

#[test]
fn a_metafile_of_the_same_name_and_length_need_not_be_the_same() {
    let (one, other) = (Nas::new(), Nas::new());
    let name = forge(&one, metafile(&[]).as_bytes());
    assert_eq!(forge(&other, metafile(&[]).as_bytes()), name);
    let lengths = [&one, &other].map(|nas| std::fs::metadata(&nas.files(".meta")[0]).unwrap().len());
    assert_eq!(lengths[0], lengths[1]);
    let (told, report) = copy_all(&one, &other.target());
    assert_eq!((told.len(), report.backups_there), (1, 0), "{told:?}");
    assert!(told[0].subject == name && told[0].what.contains("there is another backup of this name"), "{told:?}");
    let third = Filesystem::at(&one.folder.with_file_name("third"));
    third.identify(None).unwrap();
    assert_eq!(copy_all(&one, &third).1.backups.len(), 1);
    let (told, report) = copy_all(&one, &third);
    assert_eq!((told, report.backups_there), (vec![], 1));
}

#[test]
fn a_stranger_that_is_left_for_a_chunk_hears_why() {
    let nas = Nas::new();
    let name = forge(&nas, metafile(&[]).as_bytes());
    let damaged = nas.folder.join(format!("{}.chunk", chunk(&nas, b"what is in it")));
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (told, report) = copy_all(&nas, &second(&nas));
    assert_eq!(report.backups.len(), 0);
    let why = told.iter().find(|told| told.subject == name).unwrap();
    assert!(why.what.contains("nobody can say without the secret key"), "{told:?}");
}

/// A disk that drops out has damaged nothing, and nothing is to be moved away for it.
#[test]
fn what_can_not_be_read_is_not_taken_for_damaged() {
    let nas = Nas::new();
    forge(&nas, metafile(&[]).as_bytes());
    let key = chunk(&nas, b"what is in it");
    let mut lost = 0;
    for call in 1.. {
        let to = tempfile::tempdir().unwrap();
        let to = Filesystem::at(to.path());
        to.identify(None).unwrap();
        let target = nas.target();
        let from = Fault::over(&target, call, How::Once(ErrorKind::Other));
        let (told, _) = try_to_copy(&from, &to, None);
        if from.failed().is_none() {
            break;
        }
        assert!(told.iter().all(|told| !told.what.contains("move that file away")), "{told:?}");
        lost += usize::from(told.iter().any(|told| told.subject.contains(&key)));
    }
    assert_eq!(lost, 1, "the chunk is read once");
}

#[test]
fn what_another_copy_stored_at_the_same_moment_is_there() {
    let nas = Nas::new();
    forge(&nas, metafile(&[]).as_bytes());
    let to = second(&nas);
    let (told, report) = copy_all(&nas, &Fault::over(&to, 0, How::Doubts));
    assert_eq!((told, report.backups.len(), report.backups_there, report.left_out), (vec![], 0, 1, 0));

    // And if it was another one of that name, it is not.
    let (other, third) = (Nas::new(), tempfile::tempdir().unwrap());
    let name = forge(&other, metafile(&[]).as_bytes());
    let place = Filesystem::at(third.path());
    place.identify(None).unwrap();
    let by = other.files(".meta").remove(0);
    let (told, report) = copy_all(&nas, &Fault::over(&place, 0, How::Overtaken(third.path().into(), by)));
    assert_eq!((report.backups.len(), report.backups_there, report.left_out), (0, 0, 1));
    assert!(told.len() == 1 && told[0].subject.contains(&name), "{told:?}");
}

#[test]
fn a_lock_is_given_back_before_anything_is_stored_and_kept_for_what_this_box_has_signed() {
    let nas = Nas::new();
    forge(&nas, metafile(&[]).as_bytes());
    chunk(&nas, b"what is in it");
    let own = nas.box_key().unwrap().public().to_string();
    let folder = nas.folder.with_file_name("second");
    let to = second(&nas);
    for (signers, expected) in [(vec![own], vec![]), (vec!["somebody else".into()], vec![0])] {
        let given_back = Cell::new(Vec::new());
        let stored = || std::fs::read_dir(&folder).unwrap().filter(|entry| is_object(entry.as_ref().unwrap())).count();
        let give_back = || given_back.set([given_back.take(), vec![stored()]].concat());
        let lock = Lock { signers: &signers, give_back: &give_back };
        let (told, report) = try_to_copy(&nas.target(), &to, Some(lock));
        assert_eq!((told, report.unwrap().backups.len(), stored()), (vec![], 1, 2));
        assert_eq!(given_back.take(), expected);
        to.list(&mut |name, _| to.delete(&name)).unwrap();
    }
}

fn is_object(entry: &std::fs::DirEntry) -> bool {
    let name = entry.file_name().into_string().unwrap();
    name.ends_with(".chunk") || name.ends_with(".meta")
}
