//! What a box believes of a target, held against what is there: chunks, names, ids.

use std::fs;

use crate::failures::{comes_back, tree};
use crate::support::{Nas, Program, Tree, code, noise, settle, stderr};

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
    let latest = brackup::catalog::find(&nas.target(), "tree:latest", None).unwrap().0;
    assert_eq!(latest.to_string(), done.name());
    // The same when nothing is remembered.
    fs::remove_file(nas.state.join("brackup.db")).unwrap();
    assert!(nas.backup(&tree).name() > done.name());
    assert_eq!(nas.verify().unwrap(), []);
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
    let tree = tree();
    let program = Program::new(&tree.root);
    comes_back(&program, &tree);
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
    comes_back(&program, &tree);
}
