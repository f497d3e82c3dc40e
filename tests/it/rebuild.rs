//! A box that has lost its memory: the next backup works, says what it costs, and nothing is deleted that nobody knows (I6, I9). With an
//! inventory from where the secret key is, nothing is stored twice, and everything can be collected again.

use std::fs;
use std::process::Output;

use brackup::db::Db;
use brackup::monitor::{Quiet, Tally};
use brackup::rebuild;

use crate::malice::{forge_needing, metafile};
use crate::support::{Lost, Nas, Program, Tree, code, json, noise, set_mtime, settle, stderr};

#[test]
fn without_an_inventory_a_backup_works_and_says_what_it_costs() {
    let tree = Tree::new();
    tree.file("large", noise(1, 2_000_000));
    let program = Program::new(&tree.root);
    settle();
    let first = program.run(&["--from=tree", "--to=disk"]);
    assert_eq!((code(&first), stderr(&first).as_str()), (Some(0), ""), "a first backup has lost nothing");
    assert_eq!(stderr(&program.backup()), "");
    fs::remove_dir_all(program.home().join("state")).unwrap();
    let told = |output: Output| {
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        stderr(&output).matches("remembers nothing of them: all of it is read, and about 2 MiB may").count()
    };
    assert_eq!(told(program.run(&["--from=tree", "--to=disk", "-n", "-v"])), 1);
    assert_eq!(told(program.run(&["--from=tree", "--to=disk", "-v"])), 1);
    assert_eq!(told(program.run(&["--from=tree", "--to=disk", "-v"])), 0, "it remembers one now");
    let (state, keys) = (program.home().join("state"), program.home().join("keys"));
    [state, keys].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    let output = program.run(&["--from=tree", "--to=disk", "-v"]);
    assert!(stderr(&output).contains("signed by another box, or by this one with another key"), "{}", stderr(&output));
}

#[test]
fn with_an_inventory_nothing_is_stored_twice_and_everything_can_be_collected() {
    let mut lost = Lost::after_three_nights();
    let chunks = lost.chunks();
    lost.lose();
    lost.gc_refuses("does not remember to have stored anything");
    // Of one that was killed.
    let left = lost.program.home().join(".rebuild-2147483646-0.partial");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("brackup.db"), "").unwrap();
    let inventory = lost.rebuilt("inventory.db");
    assert!(!left.exists());
    // It has backed up elsewhere since: its chunks have other numbers than those of the inventory.
    let elsewhere = format!("--to=filesystem:{}", lost.file("elsewhere").display());
    assert_eq!(code(&lost.program.run(&["--from=tree", &elsewhere])), Some(0));
    let imported = lost.imported(&inventory);
    assert_eq!((&imported["backups"], &imported["chunks"]), (&3.into(), &chunks.into()), "{imported}");
    let next = lost.back_up();
    assert_eq!((&next["chunks_stored"], lost.chunks()), (&0.into(), chunks), "only the metafile: {next}");
    assert!(next["read_bytes"].as_u64().unwrap() >= 4_000_000 && next["unchanged_files"] == 0, "{next}");
    let again = lost.back_up();
    assert_eq!((&again["read_bytes"], &again["unchanged_files"]), (&0.into(), &again["files"]), "{again}");
    assert_eq!(lost.gc()["garbage"]["chunks"], 0);
    lost.assert_all_restore();
    let pruned = lost.program.run(&["prune", "disk", "--keep-last=2"]);
    assert_eq!(code(&pruned), Some(0), "{}", stderr(&pruned));
    let collected = lost.gc();
    assert!(collected["deleted"]["chunks"].as_u64() >= Some(2) && collected["unknown"]["chunks"] == 0, "{collected}");
    lost.assert_all_restore();
    assert_eq!(lost.back_up()["chunks_stored"], 0);
}

#[test]
fn what_has_changed_is_stored_and_nothing_else() {
    let mut lost = Lost::after_three_nights();
    lost.lose();
    lost.imported(&lost.rebuilt("inventory.db"));
    // Of the same size and the same time: nothing but its bytes tells.
    let path = lost.tree.at("changing");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, noise(99, 1_500_000)).unwrap();
    let time = std::os::unix::fs::MetadataExt::mtime(&before);
    set_mtime(&path, time, 0);
    lost.tree.file("new", "new");
    let next = lost.back_up();
    let stored = next["stored_bytes"].as_u64().unwrap();
    assert!((1_500_000..1_900_000).contains(&stored), "{next}");
    // A file that was recalled is known piece by piece.
    let mut large = noise(1, 2_700_000);
    large[1_000_000..1_000_010].copy_from_slice(b"0123456789");
    lost.tree.file("large", large);
    let after = lost.back_up();
    assert!(after["stored_bytes"].as_u64().unwrap() < 200_000, "{after}");
    lost.assert_all_restore();
}

#[test]
fn an_inventory_is_taken_in_behind_backups_that_were_made_since() {
    let mut lost = Lost::after_three_nights();
    let inventory = {
        lost.lose();
        lost.back_up();
        lost.tree.file("changing", noise(20, 1_500_000));
        lost.back_up();
        lost.gc_refuses("3 of this box's backups are there that it does not remember");
        lost.rebuilt("inventory.db")
    };
    let imported = lost.imported(&inventory);
    assert_eq!((&imported["backups"], &imported["known"]), (&3.into(), &2.into()), "{imported}");
    let twice = lost.imported(&inventory);
    assert_eq!((&twice["backups"], &twice["known"], &twice["chunks"]), (&0.into(), &5.into(), &0.into()), "{twice}");
    lost.tree.file("d/small", "other words");
    lost.back_up();
    assert_eq!(lost.gc()["garbage"]["chunks"], 0);
    let pruned = lost.program.run(&["prune", "disk", "--keep-last=1"]);
    assert_eq!(code(&pruned), Some(0), "{}", stderr(&pruned));
    assert!(lost.gc()["deleted"]["chunks"].as_u64() >= Some(5));
    // What was pruned since stays pruned.
    let stale = lost.imported(&inventory);
    assert_eq!(stale["backups"], 0);
    lost.gc();
    lost.assert_all_restore();
}

/// An old copy of the database: what the box remembers lies on both sides of what it does not.
#[test]
fn an_inventory_fills_a_gap_in_what_is_remembered() {
    let mut lost = Lost::after_three_nights();
    let (state, copy) = (lost.program.home().join("state"), lost.file("copy.db"));
    fs::copy(state.join("brackup.db"), &copy).unwrap();
    fs::remove_file(lost.tree.at("text")).unwrap();
    lost.back_up();
    lost.tree.file("text", "all work and no play\n".repeat(20_000));
    lost.tree.file("changing", noise(12, 1_500_000));
    lost.back_up();
    fs::copy(&copy, state.join("brackup.db")).unwrap();
    lost.back_up();
    lost.gc_refuses("2 of this box's backups");
    let imported = lost.imported(&lost.rebuilt("inventory.db"));
    assert_eq!((&imported["backups"], &imported["known"]), (&2.into(), &4.into()), "{imported}");
    lost.gc();
    let pruned = lost.program.run(&["prune", "disk", "--keep-last=3"]);
    assert_eq!(code(&pruned), Some(0), "{}", stderr(&pruned));
    lost.gc();
    lost.assert_sound();
    lost.assert_all_restore();
}

#[test]
fn an_inventory_of_another_target_is_refused() {
    let (lost, other) = (Lost::after_three_nights(), Lost::after_three_nights());
    let inventory = other.rebuilt("inventory.db");
    lost.lose();
    let output = lost.import(&inventory, &[]);
    assert_eq!(code(&output), Some(10), "{}", stderr(&output));
    assert!(!lost.program.home().join("state").exists());
    let output = lost.import(&lost.program.home().join("none"), &[]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
}

#[test]
fn a_damaged_inventory_is_refused_and_nothing_changes() {
    let lost = Lost::after_three_nights();
    lost.lose();
    let inventory = lost.rebuilt("inventory.db");
    let whole = fs::read(&inventory).unwrap();
    let damaged = lost.file("damaged.db");
    let mut tries: Vec<Vec<u8>> = vec![Vec::new(), whole[..whole.len() / 2].to_vec(), b"no database".to_vec()];
    for at in (0..whole.len()).step_by(whole.len() / 40).chain([24, 68, 71]) {
        let mut one = whole.clone();
        one[at] ^= 0x10;
        tries.push(one);
    }
    for bytes in tries {
        fs::write(&damaged, bytes).unwrap();
        let output = lost.import(&damaged, &[]);
        assert!(
            code(&output) == Some(1) && stderr(&output).contains("is damaged, or no inventory"),
            "{}",
            stderr(&output)
        );
        assert!(!lost.program.home().join("state").exists());
    }
    let absent = stderr(&lost.import(&lost.file("absent.db"), &[]));
    assert!(absent.contains("can't read ") && absent.contains("hint: is the path right?"), "{absent}");
    // What is whole, and no inventory, says nothing of this box's database.
    fs::write(&damaged, noise(4, 8192)).unwrap();
    Db::seal_inventory(&damaged).unwrap();
    let output = lost.import(&damaged, &[]);
    assert!(stderr(&output).contains("is damaged, or no inventory"), "{}", stderr(&output));
    assert!(!lost.file("brackup.db.is-damaged").exists());
    // Neither is a box's own database.
    lost.imported(&inventory);
    let own = lost.program.home().join("state/brackup.db");
    let before = fs::read(&own).unwrap();
    assert_eq!(code(&lost.import(&damaged, &[])), Some(1));
    assert_eq!(code(&lost.import(&own, &[])), Some(1));
    assert!(fs::read(&own).unwrap() == before);
    assert!(!lost.program.home().join("state/brackup.db.is-damaged").exists());
}

#[test]
fn a_box_with_a_new_key_says_which_it_had() {
    let mut lost = Lost::after_three_nights();
    lost.lose();
    let old = &lost.signers()[0];
    lost.lose_key();
    let inventory = lost.rebuilt("inventory.db");
    let refused = lost.import(&inventory, &[]);
    assert!(code(&refused) == Some(1) && stderr(&refused).contains(&format!("--signer {old}")), "{}", stderr(&refused));
    let output = lost.import(&inventory, &["--signer", old]);
    assert_eq!((code(&output), &json(&output)["backups"]), (Some(0), &3.into()), "{}", stderr(&output));
    let next = lost.back_up();
    assert_eq!(next["chunks_stored"], 0, "{next}");
    lost.gc();
    lost.trust_all();
    lost.assert_all_restore();
    // Its owner removes by hand what nobody can sign for, and says so with another inventory.
    for (name, _) in lost.made.drain(..2) {
        fs::remove_file(lost.program.folder.join(format!("{name}.meta"))).unwrap();
    }
    assert_eq!(code(&lost.program.run(&["gc", "disk", "--grace=0s"])), Some(3), "what they need is kept");
    let second = lost.rebuilt("second.db");
    let output = lost.import(&second, &["--signer", old]);
    assert_eq!((code(&output), &json(&output)["forgotten"]), (Some(0), &2.into()), "{}", stderr(&output));
    assert!(lost.gc()["deleted"]["chunks"].as_u64() >= Some(2));
    lost.assert_all_restore();
}

#[test]
fn chunks_that_are_gone_are_told_and_what_was_in_them_is_stored_anew() {
    let mut lost = Lost::after_three_nights();
    lost.lose();
    let large =
        lost.program.run(&["cat", "tree:latest", "large", "--from=disk", "--key", lost.program.key.to_str().unwrap()]);
    assert_eq!(large.stdout.len(), 2_700_000);
    let mut chunks: Vec<_> = fs::read_dir(&lost.program.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "chunk"))
        .collect();
    chunks.sort();
    fs::remove_file(&chunks[0]).unwrap();
    fs::File::options().write(true).open(&chunks[1]).unwrap().set_len(1000).unwrap();
    let output = lost.rebuild("inventory.db");
    assert_eq!((code(&output), &json(&output)["missing_chunks"]), (Some(3), &2.into()), "{}", stderr(&output));
    lost.imported(&lost.file("inventory.db"));
    lost.back_up();
    let newest = &lost.made.last().unwrap().0;
    let to = Tree::absent();
    let (key, root) = (lost.program.key.to_str().unwrap(), to.root.to_str().unwrap());
    let restored = lost.program.run(&["restore", newest, "--from=disk", "--key", key, "--to", root]);
    assert_eq!(code(&restored), Some(0), "{}", stderr(&restored));
    lost.tree.snapshot().assert_same(&to.snapshot());
}

/// In a target that boxes share anybody can sign a backup that says what it likes of chunks.
#[test]
fn a_stranger_can_not_make_a_chunk_look_cut_short() {
    let (nas, tree) = (Nas::new(), Tree::new());
    tree.file("file", noise(1, 3_000_000));
    settle();
    let own = nas.backup(&tree).name();
    let mut stranger = Nas::new();
    (stranger.folder, stranger.recipients) = (nas.folder.clone(), nas.recipients.clone());
    let chunks = nas.files(".chunk");
    let [whole, cut] = [0, 1].map(|at| chunks[at].file_stem().unwrap().to_str().unwrap());
    let bytes = fs::read(&chunks[1]).unwrap();
    fs::write(&chunks[1], &bytes[..bytes.len() / 2]).unwrap();
    let sha1 = brackup::digest::Sha1::of(b"").to_string();
    let items = format!("- [{whole}, 1099511627776, 5]\n- [{cut}, 1099511627776, 5]\n");
    let entry = format!("path: 'far'\ntype: file\nsize: 10\nsha1: '{sha1}'\nchunks:\n{items}");
    let forged = forge_needing(&stranger, metafile(&[entry]).as_bytes(), 2);
    let (quiet, folder, target) = (Quiet::default(), tempfile::tempdir().unwrap(), nas.target());
    let tally = Tally::new(&quiet);
    let planned = rebuild::plan(&target, &tally).unwrap();
    assert_eq!(planned.len(), 2);
    let db = Db::open(folder.path()).unwrap();
    let mut rebuild = rebuild::Rebuild::create(&db, "t", &nas.identities).unwrap();
    for one in &planned {
        let name = one.link.name.to_string();
        assert!(name == own || name == forged);
        rebuild.add(one, &nas.open(&target, &name).unwrap(), &tally, &nas.stop).unwrap();
    }
    let report = rebuild.finish(&target, folder.path(), &tally).unwrap();
    assert_eq!((report.backups, report.chunks, report.missing), (2, chunks.len() as u64, 1), "{:?}", quiet.problems());
    let told = |what: &str, key: &str| {
        quiet.problems().iter().any(|told| told.subject.starts_with(key) && told.what.contains(what))
    };
    assert!(
        told("is cut short", cut) && told("is whole", whole) && !told("is cut short", whole),
        "{:?}",
        quiet.problems()
    );
}

#[test]
fn a_chunk_that_was_away_when_an_inventory_was_written_has_any_length() {
    let lost = Lost::after_three_nights();
    lost.lose();
    let chunks = fs::read_dir(&lost.program.folder).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunks.filter(|path| path.extension().is_some_and(|end| end == "chunk")).max().unwrap();
    let away = lost.file("away");
    fs::rename(&chunk, &away).unwrap();
    assert_eq!(code(&lost.rebuild("inventory.db")), Some(3));
    fs::rename(&away, &chunk).unwrap();
    lost.imported(&lost.file("inventory.db"));
    let verified = lost.program.run(&["verify", "disk"]);
    assert_eq!((code(&verified), stderr(&verified).as_str()), (Some(0), ""));
    let collected = lost.gc();
    assert_eq!((&collected["odd"]["chunks"], &collected["missing"]["chunks"]), (&0.into(), &0.into()), "{collected}");
    let mended = lost.program.run(&["fsck", "disk", "--repair"]);
    let told = String::from_utf8_lossy(&mended.stdout).into_owned();
    assert!(code(&mended) == Some(0) && told.contains("doubted-chunk: 1, 1 mended, 0 left"), "{told}");
    assert_eq!(code(&lost.program.run(&["fsck", "disk"])), Some(0));
}
