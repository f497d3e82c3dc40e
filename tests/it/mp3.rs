//! `smart_mp3_chunking`: a new tag of an MP3 file stores the tag, and what is no tag does no harm.

use std::fs;

use brackup::monitor::Counter;

use crate::round_trip::comes_back;
use crate::support::{Nas, Program, Tree, code, noise, settle, stderr};

/// Audio of several pieces that does not end with one.
const AUDIO: usize = 3_000_017;

/// An ID3v2 tag whose frames have that many bytes.
fn id3v2(seed: u64, length: usize) -> Vec<u8> {
    let digit = |shift: usize| (length >> shift & 0x7f) as u8;
    let header = [b'I', b'D', b'3', 4, 0, 0, digit(21), digit(14), digit(7), digit(0)];
    [&header[..], &noise(seed, length)].concat()
}

fn id3v1(title: &str) -> Vec<u8> {
    let mut tag = [b"TAG", title.as_bytes()].concat();
    tag.resize(128, 0);
    tag
}

fn nas() -> Nas {
    let mut nas = Nas::new();
    nas.smart_mp3 = true;
    nas
}

/// Bytes stored by a backup of the song that has this now; it must come back.
fn stored(nas: &Nas, tree: &Tree, song: &[&[u8]]) -> u64 {
    tree.file("a song.Mp3", song.concat());
    settle();
    let done = comes_back(nas, tree);
    assert_eq!(done.of(Counter::ReadBytes), song.concat().len() as u64, "read once");
    done.of(Counter::StoredBytes)
}

#[test]
fn a_new_tag_stores_the_tag() {
    let (nas, tree, audio) = (nas(), Tree::new(), noise(1, AUDIO));
    let first = stored(&nas, &tree, &[&id3v2(2, 4000), &audio, &id3v1("Aida")]);
    assert!(first > AUDIO as u64, "{first}");
    for (what, head, tail, most) in [
        ("a longer head", id3v2(3, 5000), id3v1("Aida"), 8_000),
        ("a shorter head", id3v2(4, 333), id3v1("Aida"), 3_000),
        ("a head of the same length", id3v2(5, 333), id3v1("Aida"), 3_000),
        ("a head with a picture", id3v2(6, 300_000), id3v1("Aida"), 340_000),
        ("another tail", id3v2(6, 300_000), id3v1("Nabucco"), 2_000),
        ("no tail", id3v2(6, 300_000), Vec::new(), 2_000),
        ("a longer tail", id3v2(6, 300_000), [&b"TAG+"[..], &noise(7, 223), &id3v1("Otello")].concat(), 3_000),
        ("both", id3v2(8, 999), id3v1("Falstaff"), 4_000),
        ("no head", Vec::new(), id3v1("Falstaff"), 2_000),
        ("none", Vec::new(), Vec::new(), 2_000),
        ("new ones", id3v2(9, 1234), id3v1("Ernani"), 4_000),
    ] {
        let stored = stored(&nas, &tree, &[&head, &audio, &tail]);
        assert!(stored < most, "{what}: {stored} bytes");
    }
}

#[test]
fn without_it_a_longer_tag_stores_all_behind_it() {
    let (nas, tree, audio) = (Nas::new(), Tree::new(), noise(1, AUDIO));
    stored(&nas, &tree, &[&id3v2(2, 4000), &audio]);
    assert!(stored(&nas, &tree, &[&id3v2(3, 5000), &audio]) > AUDIO as u64);
}

#[test]
fn a_file_of_another_name_is_cut_as_ever() {
    for name in ["song.mp4", "mp3", "song.mp3.part"] {
        let (nas, tree, audio) = (nas(), Tree::new(), noise(1, AUDIO));
        for (seed, length) in [(2, 4000), (3, 5000)] {
            tree.file(name, [id3v2(seed, length), audio.clone()].concat());
            settle();
            let stored = comes_back(&nas, &tree).of(Counter::StoredBytes);
            assert!(stored > AUDIO as u64, "{name}: {stored}");
        }
    }
}

#[test]
fn a_tag_that_lies_is_stored_as_it_is() {
    let (nas, tree) = (nas(), Tree::new());
    let head = id3v2(2, 100_000);
    let with_size = |size: [u8; 4], length: usize| [&b"ID3\x04\0\0"[..], &size, &noise(3, length)].concat();
    for (name, contents) in [
        ("empty", Vec::new()),
        ("tiny", b"T".to_vec()),
        ("three", b"ID3".to_vec()),
        ("ten", head[..10].to_vec()),
        ("cut off", head[..70_000].to_vec()),
        ("head alone", head.clone()),
        ("tail alone", id3v1("x")),
        ("tail in the head", [&head[..99_990], &id3v1("x")].concat()),
        ("too long", with_size([0x7f; 4], 200_000)),
        ("no size", with_size([0x80, 0, 0, 0], 200_000)),
        ("nothing in it", with_size([0; 4], 200_000)),
        ("zeros", vec![0; 200_000]),
        ("tags of zeros", [&with_size([0, 8, 0, 0], 0)[..], &[0; 400_000], &id3v1("x")].concat()),
    ] {
        tree.file(format!("{name}.mp3"), contents);
    }
    tree.sparse("sparse.mp3", 3 << 20, &[(0, &id3v2(4, 5000)), ((3 << 20) - 128, &id3v1("x"))]);
    tree.link("sparse.mp3", "a link.mp3");
    tree.directory("folder.mp3");
    settle();
    let done = comes_back(&nas, &tree);
    assert_eq!(done.told, []);
    let again = comes_back(&nas, &tree);
    assert_eq!(again.of(Counter::ReadBytes), 0, "known again");
    assert_eq!(nas.verify_with_key().unwrap(), []);
}

#[test]
fn the_program_does_it_if_the_source_says_so() {
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    let config = program.home().join(".brackup.conf");
    let text = fs::read_to_string(&config).unwrap();
    let mut stored = Vec::new();
    for (night, value) in ["no", "no", "yes", "yes"].into_iter().enumerate() {
        fs::write(&config, format!("{text}smart_mp3_chunking = {value}\n")).unwrap();
        tree.file("song.mp3", [id3v2(night as u64, 1000 + night), noise(9, 500_000)].concat());
        let told = program.run(&["--from=tree", "--to=disk", "--json"]);
        assert_eq!(code(&told), Some(0), "{}", stderr(&told));
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        stored.push(told["stored_bytes"].as_u64().unwrap() > 400_000);
    }
    assert_eq!(stored, [true, true, true, false]);
}
