//! Files of an inventory: what was read and is as it was is not stored again, whatever it is like; what can't be believed is stored anew.

use std::fs;

use brackup::db::{Db, Error};
use brackup::monitor::Counter;
use brackup::seal::{Identity, SecretFile};

use crate::support::{Event, Lost, Nas, Recording, Tree, Watch, code, json, noise, settle, stderr};

/// Alternating pieces make more items than a document holds.
#[test]
fn a_file_in_parts_is_recalled() {
    let tree = Tree::new();
    let piece = 64 << 10;
    let mut contents = vec![0; piece * 2100];
    for (number, words) in contents.chunks_mut(piece).enumerate().filter(|(number, _)| number % 2 == 0) {
        words.fill(1 + (number / 2 % 7) as u8);
    }
    tree.file("in parts", contents);
    let mut lost = Lost::with(tree);
    lost.back_up();
    lost.lose();
    lost.imported(&lost.rebuilt("inventory.db"));
    let next = lost.back_up();
    assert_eq!((&next["chunks_stored"], &next["problems"]), (&0.into(), &0.into()), "{next}");
    let again = lost.back_up();
    assert_eq!(again["unchanged_files"], 1, "its parts are in the cache: {again}");
    lost.assert_all_restore();
}

/// What is sealed to an old key alone would be lost to who has the new one.
#[test]
fn what_is_sealed_to_others_is_stored_anew() {
    let mut lost = Lost::after_three_nights();
    lost.lose();
    let inventory = lost.rebuilt("inventory.db");
    let identity = Identity::generate().unwrap();
    let config = lost.program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    let (before, _) = text.rsplit_once("recipient = ").unwrap();
    fs::write(&config, format!("{before}recipient = {}\n", identity.recipient())).unwrap();
    lost.imported(&inventory);
    let next = lost.back_up();
    assert!(next["stored_bytes"].as_u64().unwrap() > 4_000_000, "{next}");
    lost.program.key = lost.file("new.key");
    SecretFile { identity, boxes: Vec::new() }.create(&lost.program.key, "for a test", None).unwrap();
    let to = Tree::absent();
    assert_eq!(code(&lost.program.restore(&to.root)), Some(0));
    lost.tree.snapshot().assert_same(&to.snapshot());
}

#[test]
fn an_empty_mount_point_does_not_cost_what_is_known() {
    let mut lost = Lost::after_three_nights();
    lost.lose();
    lost.imported(&lost.rebuilt("inventory.db"));
    let aside = lost.tree.root.with_extension("aside");
    fs::rename(&lost.tree.root, &aside).unwrap();
    fs::create_dir(&lost.tree.root).unwrap();
    let output = lost.program.backup();
    assert!(code(&output) == Some(3) && stderr(&output).contains("is it mounted?"), "{}", stderr(&output));
    fs::remove_dir(&lost.tree.root).unwrap();
    fs::rename(&aside, &lost.tree.root).unwrap();
    assert_eq!(lost.back_up()["chunks_stored"], 0);
    let db = Db::open(&lost.program.home().join("state")).unwrap();
    let recipient = SecretFile::open(&lost.program.key, || None).unwrap().identity.recipient().id();
    let identities = db.target_identities().unwrap();
    assert!(db.hints("tree", &identities[0], vec![recipient.0]).unwrap().is_none(), "once met it is known as all else");
}

/// Two boxes at one target, with one secret key for both: what one imports is not the other's.
#[test]
fn what_another_box_signed_is_left() {
    let mut lost = Lost::after_three_nights();
    let other = lost.program.home().join("other");
    let foreign = |arguments: &[&str]| {
        let mut command = lost.program.command(arguments);
        command.env("BRACKUP_STATE_DIR", other.join("state")).env("BRACKUP_KEY_DIR", other.join("keys"));
        command.output().unwrap()
    };
    let output = foreign(&["--from=tree", "--to=disk", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let theirs = json(&output)["backup"].as_str().unwrap().to_owned();
    lost.made.push((theirs.clone(), lost.tree.snapshot()));
    lost.trust_all();
    lost.lose();
    let inventory = lost.rebuilt("inventory.db");
    let output = lost.import(&inventory, &[]);
    assert!(code(&output) == Some(0) && stderr(&output).contains("1 backup by"), "{}", stderr(&output));
    assert_eq!(json(&output)["backups"], 3);
    // The newest of this root is the other's, and its files say nothing here.
    assert_eq!(lost.back_up()["chunks_stored"], 0);
    assert_eq!(code(&lost.program.run(&["prune", "disk", "--keep-last=1"])), Some(0));
    let collected = lost.gc();
    assert!(collected["deleted"]["chunks"].as_u64() >= Some(1) && collected["unknown"]["chunks"].as_u64() >= Some(3));
    lost.assert_all_restore();
}

/// At each call the disk of the state is gone; then nothing was taken in, and the next import takes in all.
#[test]
fn an_import_that_is_cut_off_anywhere_changes_nothing() {
    let lost = Lost::after_three_nights();
    lost.lose();
    let inventory = lost.rebuilt("inventory.db");
    let state = lost.program.home().join("cut");
    fs::create_dir(&state).unwrap();
    let mut calls = 0;
    loop {
        let (theirs, identity) = Db::open_inventory(&inventory).unwrap();
        let db = Db::open(&state).unwrap();
        db.begin_run().unwrap();
        db.fail_after(calls);
        let imported = db.import::<Error>(&theirs, &identity, &|_| true, &mut |_| Ok(true));
        if let Ok(imported) = imported {
            assert_eq!(imported.backups, 3);
            break;
        }
        drop(db);
        let db = Db::open(&state).unwrap();
        assert!(db.warning().is_none() && db.present(&identity).is_ok() && db.chains(&identity).unwrap().is_empty());
        db.begin_run().unwrap();
        let mut chunks = 0;
        db.each_present(&identity, |_, _, _| {
            chunks += 1;
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(chunks, 0, "after {calls} calls");
        db.end_run().unwrap();
        calls += 7;
    }
    assert!(calls > 50);
}

/// A run that was cut off, and files that change or vanish while they are compared.
#[test]
fn what_a_run_that_was_cut_off_did_not_come_to_is_recalled_by_the_next() {
    use std::sync::atomic::Ordering;
    let lost = Lost::after_three_nights();
    lost.lose();
    let mut nas = Nas::new();
    nas.folder.clone_from(&lost.program.folder);
    nas.keys = lost.program.home().join("keys");
    nas.identities = vec![SecretFile::open(&lost.program.key, || None).unwrap().identity];
    nas.recipients = vec![nas.identities[0].recipient().clone()];
    let inventory = lost.rebuilt("inventory.db");
    let db = Db::open(&nas.state).unwrap();
    let (theirs, identity) = Db::open_inventory(&inventory).unwrap();
    db.begin_run().unwrap();
    db.remember_target("disk", &identity).unwrap();
    db.import::<Error>(&theirs, &identity, &|_| true, &mut |_| Ok(true)).unwrap();
    db.end_run().unwrap();
    drop((db, theirs));
    let (target, tree) = (nas.target(), &lost.tree);
    let stopping = Watch(|event: Event<'_>| {
        if matches!(event, Event::At("large")) {
            nas.stop.store(true, Ordering::Relaxed);
        }
    });
    let recording = Recording::over(&target);
    assert!(nas.try_backup(&tree.root, &recording, &stopping).unwrap().report.interrupted);
    nas.stop.store(false, Ordering::Relaxed);
    // It grows while it is compared: it is read again, and what was read is stored.
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let growing = Watch(|event: Event<'_>| {
        if matches!(event, Event::At("text")) && is_first.swap(false, Ordering::Relaxed) {
            fs::write(tree.at("text"), noise(5, 420_000)).unwrap();
        }
    });
    let done = nas.try_backup(&tree.root, &recording, &growing).unwrap();
    assert!(recording.chunk_bytes() < 600_000, "{}", recording.chunk_bytes());
    assert!((3_000_000..4_000_000).contains(&done.of(Counter::ReadBytes)), "what the first run came to is known");
    settle();
    let last = nas.backup(tree).name();
    tree.snapshot().assert_same(&nas.restore(&last).snapshot());
    assert_eq!(nas.verify_with_key().unwrap(), []);
}
