//! Copies of what other boxes have stored, by one that knows nothing of it and has no key.

use brackup::copy::{self, Options, Report, Which};
use brackup::monitor::{Problem, Quiet, Tally};
use brackup::target::{Filesystem, Target as _};

use crate::malice::{chunk, forge, metafile};
use crate::support::Nas;

fn copy_all(from: &Nas, to: &Filesystem) -> (Vec<Problem>, Report) {
    let (quiet, spool) = (Quiet::default(), tempfile::tempdir().unwrap());
    let options = Options {
        from: &from.target(),
        to,
        memory: None,
        which: Which::All,
        spool: spool.path(),
        connections: 1,
        force: false,
        dry_run: false,
        is_new: false,
        lock: None,
    };
    let report = copy::run(&options, &Tally::new(&quiet), &from.stop).unwrap();
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
    let to = Filesystem::at(&nas.folder.with_file_name("second"));
    to.identify(None).unwrap();
    let (told, report) = copy_all(&nas, &to);
    assert_eq!(report.backups.len(), 0);
    let why = told.iter().find(|told| told.subject == name).unwrap();
    assert!(why.what.contains("nobody can say without the secret key"), "{told:?}");
}
