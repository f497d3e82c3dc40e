//! The promise of [`Target`], written down once for all of them.

use std::fs;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use brackup::date::Utc;
use brackup::monitor::Quiet;
use brackup::restore::Conflict;
use brackup::seal::{Identity, Role};
use brackup::target::{BackupName, DryRun, ErrorKind, Filesystem, Finished, ObjectName, Target, read_ahead};
use tempfile::TempDir;

use crate::support::{Fault, How, Memory, Nas, Place, Tree, noise, seal_into};

/// An object with a payload of `length` bytes, as it lies in a stage.
pub(crate) fn object(target: &dyn Target, length: usize) -> Finished {
    let recipients = [Identity::generate().unwrap().recipient().clone()];
    let mut stage = target.stage().unwrap();
    seal_into(&mut stage, Role::Chunk, &recipients, &noise(1, length));
    stage.finish()
}

pub(crate) fn chunk_name(finished: &Finished) -> ObjectName {
    ObjectName::Chunk(finished.sha1())
}

pub(crate) fn meta_name(number: u32) -> ObjectName {
    ObjectName::Metafile(BackupName::new("tree", Utc::parse("2026-11-24").unwrap(), number).unwrap())
}

pub(crate) fn read(target: &dyn Target, name: &ObjectName, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    target.get(name, offset, length).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn listed(target: &dyn Target) -> Vec<(ObjectName, u64)> {
    let mut all = Vec::new();
    target
        .list(&mut |name, length| {
            all.push((name, length));
            Ok(())
        })
        .unwrap();
    all.sort();
    all
}

/// Everything a target must do. `place` is where it keeps its objects.
pub(crate) fn conforms(target: &dyn Target, place: &(impl Place + ?Sized)) {
    keeps(target, place);
    deletes(target);
    vanishes(target, place);
}

/// The same of one that stores a chunk over another of its name: the same bytes, but in a test.
#[cfg(feature = "s3")]
pub(crate) fn conforms_without_conditions(target: &dyn Target, place: &(impl Place + ?Sized)) {
    keeps_metafiles(target, place);
    deletes(target);
    vanishes(target, place);
}

/// The same of one that lets nobody delete.
#[cfg(all(feature = "brackup", feature = "web"))]
pub(crate) fn conforms_and_keeps_all(target: &dyn Target, place: &(impl Place + ?Sized)) {
    keeps(target, place);
    let before = listed(target);
    let error = target.delete(&before[0].0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert_eq!(listed(target), before);
    vanishes(target, place);
}

fn keeps(target: &dyn Target, place: &(impl Place + ?Sized)) {
    keeps_metafiles(target, place);
    takes_no_chunk_for_another(target);
}

fn keeps_metafiles(target: &dyn Target, place: &(impl Place + ?Sized)) {
    identifies(target, place);
    puts_and_gets(target);
    never_overwrites_a_metafile(target);
    lists_its_own(target, place);
    lists_all_of_a_root(target);
}

fn vanishes(target: &dyn Target, place: &(impl Place + ?Sized)) {
    let temporary = TempDir::new().unwrap();
    place.vanish();
    let gone = chunk_name(&object(&Filesystem::at(temporary.path()), 1));
    assert!(target.stat(&gone).is_err(), "a target that is gone does not say that an object is not there");
    let kind = target.get(&gone, 0, 1).err().map(|error| error.kind);
    assert_eq!(kind, Some(ErrorKind::Unreachable), "nor when it is read");
    let kind = target.beginning(&gone, 1).err().map(|error| error.kind);
    assert_eq!(kind, Some(ErrorKind::Unreachable), "nor when its beginning is");
    assert!(target.list(&mut |_, _| Ok(())).is_err());
    let kind = target.identify(Some(&"0".repeat(32))).unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::OtherTarget | ErrorKind::Unreachable), "{kind:?}");
}

fn identifies(target: &dyn Target, place: &(impl Place + ?Sized)) {
    let id = target.identify(None).unwrap();
    assert_eq!(target.identify(None).unwrap(), id, "an id stays");
    assert_eq!(target.identify(Some(&id)).unwrap(), id);
    // Its clock, which is that of this machine.
    let (now, there) = (SystemTime::now(), target.clock().unwrap());
    let apart = now.duration_since(there).or_else(|_| there.duration_since(now)).unwrap();
    assert!(apart < Duration::from_secs(60), "{there:?}");
    assert_eq!(target.identify(Some(&"0".repeat(32))).unwrap_err().kind, ErrorKind::OtherTarget);
    let file = "brackup-target.id";
    let text = place.read(file).unwrap();
    assert_eq!(text, format!("brackup target 1\nid: {id}\n").into_bytes(), "FORMAT.md section 2");
    place.remove(file);
    assert_eq!(target.identify(Some(&id)).unwrap_err().kind, ErrorKind::OtherTarget, "an unmounted disk");
    assert!(place.read(file).is_none(), "a target that is not there is not made anew");
    place.write(file, b"brackup target 1\nid: 00");
    assert_eq!(target.identify(Some(&id)).unwrap_err().kind, ErrorKind::Corrupt);
    place.write(file, &text);
}

fn puts_and_gets(target: &dyn Target) {
    for length in [0, 1, 65_536, 3_000_000] {
        let finished = object(target, length);
        let (name, bytes) = (chunk_name(&finished), finished.length());
        assert_eq!(target.stat(&name).unwrap(), None);
        assert_eq!(target.get(&name, 0, 1).err().map(|error| error.kind), Some(ErrorKind::NotFound));
        assert_eq!(target.beginning(&name, 1).err().map(|error| error.kind), Some(ErrorKind::NotFound));
        target.put(&name, finished).unwrap();
        assert_eq!(target.stat(&name).unwrap(), Some(bytes));
        let all = read(target, &name, 0, bytes);
        assert_eq!(name, ObjectName::Chunk(brackup::digest::Sha1::of(&all)), "what was put is what is got");
        let middle = all.len() / 2;
        assert_eq!(read(target, &name, middle as u64, 7), all[middle..middle + 7]);
        assert_eq!(read(target, &name, bytes - 1, 100), all[all.len() - 1..], "fewer at the end");
        assert_eq!(read(target, &name, bytes, 100), b"");
        assert_eq!(read(target, &name, 5, 0), b"");
        for wanted in [1, 100, bytes, 3 * bytes] {
            let (mut reader, whole) = target.beginning(&name, wanted).unwrap();
            let mut beginning = Vec::new();
            reader.read_to_end(&mut beginning).unwrap();
            assert!(
                whole == bytes && beginning[..] == all[..bytes.min(wanted) as usize],
                "{wanted} of {bytes}: {whole}"
            );
        }
    }
}

fn never_overwrites_a_metafile(target: &dyn Target) {
    let (first, second) = (object(target, 10), object(target, 10));
    let name = meta_name(0);
    target.put(&name, first).unwrap();
    let before = read(target, &name, 0, 10_000);
    assert_eq!(target.put(&name, second).unwrap_err().kind, ErrorKind::Exists, "even of the same length");
    assert_eq!(read(target, &name, 0, 10_000), before);
}

fn takes_no_chunk_for_another(target: &dyn Target) {
    let same = object(target, 20);
    let chunk = chunk_name(&same);
    target.put(&chunk, same).unwrap();
    target.put(&chunk, object(target, 20)).unwrap();
    assert_eq!(target.put(&chunk, object(target, 21)).unwrap_err().kind, ErrorKind::Exists);
}

fn lists_its_own(target: &dyn Target, place: &(impl Place + ?Sized)) {
    let before = listed(target);
    let foreign = [
        "README",
        ".stage-1-2.partial",
        "tree-2026112401.meta.partial",
        "A9993E364706816ABA3E25717850C26C9CD0D89D.chunk",
        "a9993e364706816aba3e25717850c26c9cd0d89d.chunk.partial",
    ];
    foreign.iter().for_each(|name| place.write(name, b"foreign"));
    let _open = target.stage().unwrap();
    assert_eq!(listed(target), before);
    let finished = object(target, 100);
    let (name, length) = (chunk_name(&finished), finished.length());
    target.put(&name, finished).unwrap();
    let mut after = before;
    after.push((name, length));
    after.sort();
    assert_eq!(listed(target), after);
    foreign.iter().for_each(|name| assert!(place.read(name).is_some(), "{name} is not ours to remove"));
}

/// With others or without them.
fn lists_all_of_a_root(target: &dyn Target) {
    let day = Utc::parse("2026-11-25").unwrap();
    for (root, of) in [("tree-2", 10), ("trees", 11)] {
        let name = BackupName::new(root, day, 0).unwrap();
        target.put(&ObjectName::Metafile(name.clone()), object(target, of)).unwrap();
        target.put(&ObjectName::Tombstone(name), object(target, of)).unwrap();
    }
    let is_of = |name: &ObjectName, root| match name {
        ObjectName::Metafile(name) | ObjectName::Tombstone(name) => name.root() == root,
        ObjectName::Chunk(_) => false,
    };
    for (root, count) in [("tree", 1), ("tree-2", 2), ("nobody", 0)] {
        let mut found = Vec::new();
        let mut each = |name, length| {
            found.extend(is_of(&name, root).then_some((name, length)));
            Ok(())
        };
        target.list_of(root, &mut each).unwrap();
        found.sort();
        let mut all = listed(target);
        all.retain(|(name, _)| is_of(name, root));
        assert_eq!((found.len(), found), (count, all), "{root}");
    }
}

fn deletes(target: &dyn Target) {
    let finished = object(target, 10);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    let others = listed(target).len() - 1;
    target.delete(&name).unwrap();
    target.delete(&name).unwrap();
    assert_eq!((target.stat(&name).unwrap(), listed(target).len()), (None, others));
}

#[test]
fn a_folder_conforms() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("target");
    conforms(&Filesystem::at(&folder), folder.as_path());
}

#[test]
fn a_folder_that_is_read_ahead_conforms() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("target");
    let target = Filesystem::at(&folder);
    read_ahead(&target, |target| conforms(target, folder.as_path()));
}

#[test]
fn memory_conforms() {
    let memory = Memory::new();
    conforms(&memory, &memory);
}

#[test]
fn a_tree_comes_back_from_memory() {
    let (nas, tree, memory) = (Nas::new(), Tree::new(), Memory::new());
    tree.file("large", noise(1, 3_000_000));
    tree.file("dir/small", b"contents");
    nas.try_backup(&tree.root, &memory, &Quiet::default()).unwrap();
    tree.file("new", b"of the second night");
    let before = tree.snapshot();
    let name = nas.try_backup(&tree.root, &memory, &Quiet::default()).unwrap().name();
    assert_eq!(nas.verify_at(&memory).unwrap(), []);
    let back = Tree::absent();
    assert_eq!(nas.restore_from(&memory, &name, &back.root, Conflict::Abort, &Quiet::default()).unwrap(), []);
    before.assert_same(&back.snapshot());
    assert!(!nas.folder.exists(), "nothing went to a disk");
}

#[test]
fn a_folder_behind_a_fault_that_does_not_happen_conforms() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("target");
    conforms(&Fault::over(&Filesystem::at(&folder), 0, How::Never), folder.as_path());
}

#[test]
fn an_unused_stage_leaves_nothing() {
    let temporary = TempDir::new().unwrap();
    let target = Filesystem::at(temporary.path());
    drop(object(&target, 100_000));
    drop(target.stage().unwrap());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_new_target_is_made_only_in_a_folder_that_is_there() {
    let temporary = TempDir::new().unwrap();
    let nested = temporary.path().join("disk/target");
    let error = Filesystem::at(&nested).identify(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(!temporary.path().join("disk").exists());
}

#[test]
fn a_stage_that_nobody_wrote_to_for_a_day_is_swept_and_a_younger_one_is_not() {
    let temporary = TempDir::new().unwrap();
    let target = Filesystem::at(temporary.path());
    target.identify(None).unwrap();
    let [old, young] = [".stage-1-1.partial", ".stage-1-2.partial"].map(|name| temporary.path().join(name));
    fs::write(&old, b"old").unwrap();
    fs::write(&young, b"young").unwrap();
    crate::support::set_mtime(&old, 1_000_000_000, 0);
    target.identify(None).unwrap();
    target.list(&mut |_, _| Ok(())).unwrap();
    assert!(old.exists(), "a look changes nothing");
    drop(target.stage().unwrap());
    assert_eq!((old.exists(), young.exists()), (false, true));
}

#[test]
fn a_dry_run_reads_and_writes_nothing() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("target");
    let target = Filesystem::at(&folder);
    let dry = DryRun::over(&target);
    dry.identify(None).unwrap();
    assert!(!folder.exists(), "nor does it make the target");
    let id = target.identify(None).unwrap();
    let finished = object(&target, 10);
    let name = chunk_name(&finished);
    target.put(&name, finished).unwrap();
    assert_eq!(dry.identify(Some(&id)).unwrap(), id);
    assert_eq!(dry.identify(Some(&"0".repeat(32))).unwrap_err().kind, ErrorKind::OtherTarget);
    dry.delete(&name).unwrap();
    let other = object(&dry, 5000);
    dry.put(&chunk_name(&other), other).unwrap();
    assert_eq!(listed(&target), listed(&dry));
    assert_eq!(listed(&target).len(), 1);
    assert_eq!(read(&dry, &name, 0, 1000), read(&target, &name, 0, 1000));
}
