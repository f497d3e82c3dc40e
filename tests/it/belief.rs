//! What a box believes of a target, held against what is there: chunks, names, ids.

use std::fs;

use brackup::catalog;
use brackup::monitor::Quiet;
use brackup::restore::Conflict;
use brackup::target::{ObjectName, Target};

use crate::support::{Between, Call, Fault, How, Nas, Program, Recording, Tree, code, noise, settle, stderr};

/// A disk that was set back to an older state has the id that it had: what is gone from it is noticed, and stored anew (I1).
#[test]
fn a_target_that_was_set_back_gets_anew_what_it_lacks() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 2 << 20));
    settle();
    nas.backup(&tree);
    let older = nas.copy();
    tree.file("b", noise(2, 2 << 20));
    settle();
    nas.backup(&tree);
    fs::remove_dir_all(&nas.folder).unwrap();
    fs::rename(&older.folder, &nas.folder).unwrap();
    tree.file("c", "c");
    settle();
    let done = nas.backup(&tree);
    assert!(done.told.iter().any(|told| told.what.contains("are gone")), "{:?}", done.told);
    tree.snapshot().assert_same(&nas.restore(&done.name()).snapshot());
    assert_eq!(nas.backup(&tree).told, [], "once");
}

/// A night at a provider that is paid by the request.
#[test]
fn what_is_there_is_asked_by_one_listing_and_what_a_listing_lacks_is_asked_once_more() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", noise(1, 8 << 20));
    settle();
    nas.backup(&tree);
    let night = |target: &dyn Target| {
        let recording = Recording::over(target);
        let done = nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
        assert_eq!((done.told, recording.chunk_bytes()), (vec![], 0), "nothing is gone, nothing is stored again");
        let calls = recording.calls();
        let all = calls.iter().filter(|call| **call == Call::List).count();
        let of_root = calls.iter().filter(|call| **call == Call::ListOf("tree".into())).count();
        assert_eq!((all, of_root), (1, 2), "what is there; the newest backup, and the next name");
        calls.iter().filter(|call| matches!(call, Call::Stat(ObjectName::Chunk(_)))).count()
    };
    let target = nas.target();
    assert_eq!(night(&target), 0);
    assert!(night(&Fault::over(&target, 0, How::ListsNoChunks)) >= 8);
    let recording = Recording::over(&target);
    let (newest, _) = catalog::find(&recording, "tree:latest", None).unwrap();
    assert_eq!(catalog::find(&recording, &newest.to_string(), None).unwrap().0, newest);
    assert_eq!(recording.calls(), vec![Call::ListOf("tree".into()); 2]);
    for text in ["other:latest", ":latest", "../x:latest", "tree"] {
        let error = catalog::find(&target, text, None).unwrap_err();
        assert!(error.to_string().contains("there are backups of tree"), "{error}");
    }
}

#[test]
fn names_follow_the_chain_whatever_the_clock_says() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", "first");
    // A backup that was made with the clock at a day to come.
    let name = nas.backup(&tree).name();
    let ahead = format!("tree-2999{}", &name[9..]);
    rename_backup(&nas, &name, &ahead);
    tree.file("a", "second");
    let done = nas.backup(&tree);
    assert!(done.name() > ahead && done.name().starts_with("tree-2999"), "{}", done.name());
    assert!(done.told.iter().any(|told| told.what.contains("clock")), "{:?}", done.told);
    let latest = catalog::find(&nas.target(), "tree:latest", None).unwrap().0;
    assert_eq!(latest.to_string(), done.name());
    // The same when nothing is remembered.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    let target = nas.target();
    let recording = Recording::over(&target);
    assert!(nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap().name() > done.name());
    assert_eq!(nas.verify().unwrap(), []);
    // What a server leaves out of a part of its listing would make a fork of the chain.
    let calls = recording.calls();
    let of_root = calls.iter().filter(|call| matches!(call, Call::ListOf(_))).count();
    assert_eq!(of_root, 1, "for the next name alone");
}

/// An empty folder where a disk was mounted is no reason to be silent.
#[test]
fn a_source_that_is_empty_all_of_a_sudden_is_told() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", "a");
    settle();
    assert_eq!(nas.backup(&tree).told, []);
    fs::remove_file(tree.at("a")).unwrap();
    let told = nas.backup(&tree).told;
    assert!(told.iter().any(|told| told.what.contains("is it mounted?")), "{told:?}");
}

/// Makes a stored backup one of another name, as this box would have made it.
fn rename_backup(nas: &Nas, from: &str, to: &str) {
    let [old, new] = [from, to].map(|name| nas.folder.join(format!("{name}.meta")));
    let bytes = fs::read(&old).unwrap();
    let text = brackup::seal::split_footer(&bytes).unwrap();
    let envelope = &bytes[..bytes.len() - text.len() - brackup::seal::Footer::MARK_BYTES];
    let (mut footer, _) = brackup::seal::Footer::parse(text).unwrap();
    footer.backup = to.into();
    let mut renamed = envelope.to_vec();
    let key = nas.box_key().unwrap();
    let append = |sealed: brackup::blob::Sealed<'_>| {
        renamed.extend_from_slice(sealed.as_bytes());
        Ok::<_, brackup::seal::Error>(())
    };
    brackup::seal::append_footer(&footer, &key, append).unwrap();
    fs::write(new, renamed).unwrap();
    fs::remove_file(old).unwrap();
    // The database remembers the old name.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
}

#[test]
fn a_target_is_known_by_its_id_under_any_name() {
    let tree = Tree::of_eleven_files();
    let program = Program::new(&tree.root);
    program.comes_back(&tree);
    for chunk in fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path()) {
        if chunk.extension().is_some_and(|end| end == "chunk") {
            fs::remove_file(chunk).unwrap();
        }
    }
    let url = format!("filesystem:{}/", program.folder.display());
    for target in ["disk", &url] {
        let verified = program.run(&["verify", target]);
        assert_eq!(code(&verified), Some(3), "{target}: {}", stderr(&verified));
        assert!(stderr(&verified).contains("is missing, and backups of this box need it"), "{}", stderr(&verified));
    }
    // Without any memory: that there are fewer chunks than one backup needs.
    fs::remove_file(program.home().join("state/brackup.db")).unwrap();
    let verified = program.run(&["verify", "disk"]);
    assert_eq!(code(&verified), Some(3), "{}", stderr(&verified));
    assert!(stderr(&verified).contains("does not remember"), "{}", stderr(&verified));
    // The next backup stores all of it again.
    program.comes_back(&tree);
}

/// What another box prunes and collects while this one reads is no damage; what this one has stored is.
#[test]
fn what_goes_while_it_is_verified_is_asked_for_again() {
    let (nas, tree) = (Nas::new(), Tree::new());
    let mut other = Nas::new();
    other.folder.clone_from(&nas.folder);
    tree.file("file", noise(1, 2_000_000));
    for night in 2..4 {
        tree.file("changing", noise(night, 1_500_000));
        settle();
        nas.backup(&tree);
        other.backup(&tree);
    }
    let target = nas.target();
    let collects = || {
        let policy = brackup::policy::Policy { last: Some(1), ..Default::default() };
        other.try_prune(&other.target(), &policy).unwrap();
        assert!(other.try_gc(&other.target(), 0, None).unwrap().1.deleted.chunks > 0);
    };
    // Identified, and listed.
    assert_eq!(nas.verify_at(&Between::over(&target, 3, &collects)).unwrap(), []);
    let victim = nas.files(".chunk").into_iter().find(|path| {
        nas.chunks_of(&nas.backups()[0].to_string()).contains(path.file_name().unwrap().to_str().unwrap())
    });
    let removes = || fs::remove_file(victim.as_ref().unwrap()).unwrap();
    assert!(!nas.verify_at(&Between::over(&target, 3, &removes)).unwrap().is_empty());
}

/// Whoever removes metafiles leaves chunks that are whole: that their backups are gone only the box knows that made them.
#[test]
fn backups_that_are_gone_are_a_problem_if_they_were_the_newest() {
    let tree = Tree::of_eleven_files();
    let program = Program::new(&tree.root);
    let conf = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}[SOURCE:other]\ninherit = SOURCE:tree\n")).unwrap();
    for source in ["tree", "tree", "tree", "other"] {
        assert_eq!(code(&program.run(&[&format!("--from={source}"), "--to=disk"])), Some(0));
    }
    let metafiles = |root: &str| {
        let all = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().path());
        let is_of = |name: &str| name.starts_with(root) && name.ends_with(".meta");
        let mut of: Vec<_> = all.filter(|path| is_of(path.file_name().unwrap().to_str().unwrap())).collect();
        of.sort();
        of
    };
    let all = metafiles("tree-");
    let key = program.key.to_str().unwrap();
    let told = |expected: i32, text: &str| {
        for arguments in [vec!["verify", "disk", "-v", "--no-key"], vec!["verify", "disk", "-v", "--key", key]] {
            let verified = program.run(&arguments);
            assert_eq!(code(&verified), Some(expected), "{arguments:?}: {}", stderr(&verified));
            assert!(stderr(&verified).contains(text), "{arguments:?}: {}", stderr(&verified));
        }
    };
    fs::remove_file(&all[0]).unwrap();
    told(0, "number 1 of its chain is not here");
    fs::remove_file(&all[1]).unwrap();
    told(0, "numbers 1 to 2 of its chain are not here");
    fs::remove_file(&all[2]).unwrap();
    told(3, "tree: no good backup of it is here, but this box has made number 3, tree-");
    fs::remove_file(&metafiles("other-")[0]).unwrap();
    told(3, "other: no good backup of it is here, but this box has made number 1, other-");
    // The next backup of each goes on, and then only older ones are gone.
    for source in ["tree", "other"] {
        assert_eq!(code(&program.run(&[&format!("--from={source}"), "--to=disk"])), Some(0));
    }
    told(0, "numbers 1 to 3 of its chain are not here");
    // Under a new key of the box a chain of its own begins; the one before may be removed.
    fs::remove_file(program.home().join("keys/box.key")).unwrap();
    fs::remove_file(program.home().join("keys/known_boxes")).unwrap();
    let before = metafiles("tree-");
    assert_eq!(code(&program.backup()), Some(0));
    fs::remove_file(&before[0]).unwrap();
    told(0, "this box has made number 4, tree-");
    told(0, ", with the key that it had before");
}

/// A box that has lost its memory signs on what it finds at the target: what it can't read there it must not pass over.
#[test]
fn a_box_without_memory_makes_no_fork_of_its_chain() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("a", "a");
    settle();
    for text in ["b", "c"] {
        nas.backup(&tree);
        tree.file("a", text);
    }
    let night = |at: usize, how: How| {
        let copy = nas.copy();
        fs::remove_file(copy.state.join("brackup.db")).unwrap();
        let target = copy.target();
        let fault = Fault::over(&target, at, how);
        let done = copy.try_backup(&tree.root, &fault, &Quiet::default());
        assert_eq!(copy.verify_with_key().unwrap(), [], "call {at}: {done:?}");
        (fault.calls(), done.is_ok())
    };
    let (calls, is_done) = night(0, How::Never);
    assert!(is_done && calls > 5);
    for at in 1..=calls {
        night(at, How::Once(std::io::ErrorKind::PermissionDenied));
    }
}

/// A network that goes away in the middle is the network's failure and none of what is stored.
#[test]
fn a_server_that_goes_away_ends_a_verification_and_a_restore_and_is_no_damage() {
    let (nas, tree) = (Nas::new(), Tree::new());
    (0..6).for_each(|number| {
        tree.file(format!("f{number}"), noise(number, 700_000));
    });
    settle();
    let name = nas.backup(&tree).name();
    let target = nas.target();
    let calls = |run: &dyn Fn(&dyn Target)| {
        let through = Fault::over(&target, 0, How::Never);
        run(&through);
        through.calls()
    };
    let unreachable = |text: String| assert!(text.contains("nothing comes any more"), "{text}");
    let chain = |error: &dyn std::error::Error| brackup::monitor::one_line(error);
    for at in 1..=calls(&|target| drop(nas.verify_at(target).unwrap())) {
        let verified = nas.verify_at(&Fault::over(&target, at, How::Away));
        unreachable(verified.map_or_else(|error| chain(&error), |told| format!("call {at}: {told:?}")));
    }
    for at in 1..=calls(&|target| drop(nas.verify_with_key_at(target).unwrap())) {
        let verified = nas.verify_with_key_at(&Fault::over(&target, at, How::Away));
        unreachable(verified.map_or_else(|error| chain(&error), |told| format!("call {at}: {told:?}")));
    }
    let restore = |target: &dyn Target| {
        let to = Tree::absent();
        nas.restore_from(target, &name, &to.root, Conflict::Abort, &Quiet::default())
    };
    for at in 1..=calls(&|target| drop(restore(target).unwrap())) {
        let restored = restore(&Fault::over(&target, at, How::Away));
        unreachable(restored.map_or_else(|error| chain(&error), |told| format!("call {at}: {told:?}")));
    }
    let recording = Recording::over(&target);
    nas.try_backup(&tree.root, &recording, &Quiet::default()).unwrap();
    assert_eq!(recording.chunk_bytes(), 0, "nothing was taken for damaged and stored anew");
}
