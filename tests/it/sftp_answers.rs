//! What a server of SFTP, or ssh, might answer and should not. No answer may lose anything, stop the program, or fill its memory.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use brackup::digest::Sha1;
use brackup::target::{Error, ErrorKind, ObjectName, Pace, Sftp, Target as _, Way};
use tempfile::TempDir;

use super::conformance::{chunk_name, meta_name, object};
use crate::support::fake_ssh::{
    Asked, CLOSE, END, EXTENDED, FAILURE, FSTAT, FakeSsh, INIT, NO_SUCH_FILE, OK, OPEN, OPEN_FOLDER, READ, READ_FOLDER,
    RENAME, STAT, WRITE, attributes, data, handle, packet, range, status, text, version,
};
use crate::support::{noise, quick};

type Answer = fn(&Asked) -> Option<Vec<u8>>;

fn open(server: &FakeSsh, spool: &TempDir) -> Sftp {
    Sftp::open(server.at(), spool.path().into(), Way::default()).unwrap().at_pace(quick())
}

fn name() -> ObjectName {
    ObjectName::Chunk(Sha1::of(b"x"))
}

/// Of a server that holds an object, or nothing.
fn holding(contents: Option<&[u8]>, asked: &Asked) -> Vec<u8> {
    let id = asked.id;
    let length = contents.map(|contents| contents.len() as u64);
    match asked.kind {
        INIT => version(&[]),
        OPEN if contents.is_some() => handle(id),
        FSTAT => attributes(id, length.unwrap_or_default()),
        READ => {
            let (offset, length) = range(asked);
            let contents = contents.unwrap_or_default();
            let end = contents.len().min(offset + length);
            if offset < end { data(id, &contents[offset..end]) } else { status(id, END) }
        }
        // The folder is there.
        STAT if asked.rest == text(b"/b") => packet(105, id, &[0, 0, 0, 4, 0, 0, 0x41, 0xed]),
        STAT => length.map_or_else(|| status(id, NO_SUCH_FILE), |length| attributes(id, length)),
        CLOSE | RENAME | EXTENDED => status(id, OK),
        _ => status(id, NO_SUCH_FILE),
    }
}

#[test]
fn what_is_no_server_of_sftp_is_told_at_once() {
    let spool = TempDir::new().unwrap();
    for (answer, part) in [
        (b"Welcome!\nto this server".to_vec(), "is not SFTP: \"Welcome!\""),
        (packet(2, 2, &[]), "is not SFTP"),
        (packet(101, 3, &[0; 4]), "is not SFTP"),
        (vec![0xff; 8], "is not SFTP"),
    ] {
        let mut is_first = true;
        let server = FakeSsh::answering(move |_| std::mem::take(&mut is_first).then(|| answer.clone()));
        let error = open(&server, &spool).stat(&name()).unwrap_err();
        assert!(error.kind == ErrorKind::Unreachable && error.to_string().contains(part), "{error}");
    }
    let half = FakeSsh::running("#!/bin/bash\nprintf '\\0\\0\\0\\5\\2\\0\\0'\n");
    let error = open(&half, &spool).stat(&name()).unwrap_err();
    assert!(error.to_string().contains("ssh ended with 0 and without a word"), "{error}");
}

#[test]
fn an_answer_to_something_else_is_no_answer() {
    let spool = TempDir::new().unwrap();
    let odd: [Answer; 8] = [
        |asked| Some(status(asked.id + 7, NO_SUCH_FILE)),
        |asked| Some(handle(asked.id)),
        |asked| Some(data(asked.id, b"?")),
        // Longer than any, shorter than any, of no kind, with less in it than it says.
        |_| Some(vec![0xff; 1000]),
        |_| Some(vec![0; 4]),
        |asked| Some(packet(77, asked.id, b"")),
        |asked| Some(packet(101, asked.id, b"")),
        |asked| Some(packet(105, asked.id, &[0xff; 4])),
    ];
    for (number, answer) in odd.into_iter().enumerate() {
        let server = FakeSsh::answering(
            move |asked| if asked.kind == STAT { answer(asked) } else { Some(holding(None, asked)) },
        );
        let error = open(&server, &spool).stat(&name()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Io, "{number}: {error}");
        assert!(error.to_string().ends_with("7 times"), "{number}: {error}");
    }
    // A server that comes to its senses.
    let server = FakeSsh::answering(|asked| (asked.connection > 2 || asked.kind != STAT).then(|| holding(None, asked)));
    assert_eq!(open(&server, &spool).stat(&name()).unwrap(), None);
}

#[test]
fn only_a_folder_that_is_there_can_lack_an_object() {
    let spool = TempDir::new().unwrap();
    let stat = |folder: fn(u32) -> Vec<u8>, object: u32| {
        let server = FakeSsh::answering(move |asked| match asked.kind {
            STAT if asked.rest == text(b"/b") => Some(folder(asked.id)),
            STAT => Some(status(asked.id, object)),
            _ => Some(holding(None, asked)),
        });
        open(&server, &spool).stat(&name())
    };
    let is_there: fn(u32) -> Vec<u8> = |id| packet(105, id, &[0, 0, 0, 4, 0, 0, 0x41, 0xed]);
    assert_eq!(stat(is_there, NO_SUCH_FILE).unwrap(), None);
    assert_eq!(stat(is_there, FAILURE).unwrap_err().kind, ErrorKind::Io);
    assert_eq!(stat(is_there, 3).unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(stat(|id| status(id, NO_SUCH_FILE), NO_SUCH_FILE).unwrap_err().kind, ErrorKind::Unreachable);
    assert_eq!(stat(|id| status(id, FAILURE), NO_SUCH_FILE).unwrap_err().kind, ErrorKind::Io);
    // A file in its place.
    let a_file: fn(u32) -> Vec<u8> = |id| packet(105, id, &[0, 0, 0, 4, 0, 0, 0x81, 0xa4]);
    assert_eq!(stat(a_file, NO_SUCH_FILE).unwrap_err().kind, ErrorKind::Unreachable);
}

#[test]
fn parts_come_in_any_order_and_in_any_size() {
    let spool = TempDir::new().unwrap();
    let contents = noise(3, 700_000);
    let read = |server: &FakeSsh| {
        let mut bytes = Vec::new();
        let target = open(server, &spool);
        target.get(&name(), 10, 600_000).unwrap().read_to_end(&mut bytes).map(|_| bytes)
    };
    // Less than was asked for.
    let all = contents.clone();
    let server = FakeSsh::answering(move |asked| match asked.kind {
        READ => {
            let (offset, length) = range(asked);
            Some(data(asked.id, &all[offset..offset + length.min(5000)]))
        }
        _ => Some(holding(Some(&all), asked)),
    });
    assert!(read(&server).unwrap() == contents[10..600_010]);
    // Four at a time, the last first.
    let (all, mut held) = (contents.clone(), Vec::new());
    let server = FakeSsh::answering(move |asked| {
        let answer = holding(Some(&all), asked);
        if asked.kind != READ {
            return Some(answer);
        }
        held.push(answer);
        let (offset, length) = range(asked);
        let is_full = held.len() == 4 || offset + length == 600_010;
        Some(if is_full { held.drain(..).rev().collect::<Vec<_>>().concat() } else { Vec::new() })
    });
    assert!(read(&server).unwrap() == contents[10..600_010]);
    // More than was asked for, nothing, the end where there is more.
    let odd: [fn(&Asked) -> Vec<u8>; 3] = [
        |asked| data(asked.id, &vec![0; range(asked).1 + 1]),
        |asked| data(asked.id, b""),
        |asked| status(asked.id, END),
    ];
    for (answer, kind) in odd.into_iter().zip([ErrorKind::Io, ErrorKind::Io, ErrorKind::Corrupt]) {
        let all = contents.clone();
        let server = FakeSsh::answering(move |asked| {
            Some(if asked.kind == READ { answer(asked) } else { holding(Some(&all), asked) })
        });
        let error = read(&server).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[test]
fn what_a_server_does_not_take_is_not_stored() {
    let spool = TempDir::new().unwrap();
    let put = |extensions: &'static [&'static str], answer: Answer| {
        let server = FakeSsh::answering(move |asked| match asked.kind {
            INIT => Some(version(extensions)),
            OPEN => Some(handle(asked.id)),
            WRITE => answer(asked).or_else(|| Some(status(asked.id, OK))),
            // Without a length.
            FSTAT => answer(asked).or_else(|| Some(packet(105, asked.id, &[0; 4]))),
            _ => answer(asked).or_else(|| Some(holding(None, asked))),
        });
        let target = open(&server, &spool);
        let finished = object(&target, 100_000);
        let done = target.put(&chunk_name(&finished), finished);
        let renamed = server.asked().iter().any(|asked| asked.kind == RENAME);
        (done.unwrap_err(), renamed)
    };
    let refused: Answer = |asked| match asked.kind {
        WRITE => Some(status(asked.id, FAILURE)),
        // Of what it says of its disk the fifth number counts: so many blocks of the second are free.
        EXTENDED if asked.rest.starts_with(&text(b"statvfs@openssh.com")) => {
            Some(packet(201, asked.id, &[0u64, 512, 9, 9, 3, 0, 0, 0, 0, 0, 0].map(u64::to_be_bytes).concat()))
        }
        _ => None,
    };
    let (error, renamed) = put(&["statvfs@openssh.com"], refused);
    assert!(error.kind == ErrorKind::Full && !renamed, "{error}");
    let (error, renamed) = put(&[], refused);
    assert!(error.kind == ErrorKind::Io && error.to_string().ends_with(": so it is") && !renamed, "{error}");
    // It can't be made durable.
    let (error, renamed) =
        put(&["fsync@openssh.com"], |asked| (asked.kind == EXTENDED).then(|| status(asked.id, FAILURE)));
    assert!(error.kind == ErrorKind::Io && !renamed, "{error}");
    // It is not all there.
    let (error, renamed) = put(&[], |asked| (asked.kind == FSTAT).then(|| attributes(asked.id, 99_999)));
    assert!(error.to_string().contains("another length") && !renamed, "{error}");
    // It is gone before it has its name.
    let (error, renamed) = put(&[], |asked| (asked.kind == RENAME).then(|| status(asked.id, NO_SUCH_FILE)));
    assert!(error.to_string().ends_with("7 times") && error.kind == ErrorKind::Io && renamed, "{error}");
    // It does not get its name.
    let (error, renamed) = put(&[], |asked| (asked.kind == RENAME).then(|| status(asked.id, FAILURE)));
    assert!(error.kind == ErrorKind::Io && renamed, "{error}");
}

#[test]
fn the_rate_of_the_line_is_asked_for() {
    let spool = TempDir::new().unwrap();
    let server = FakeSsh::answering(|asked| Some(holding(None, asked)));
    let asked = Arc::new(Mutex::new(0));
    let told = asked.clone();
    let way = Way::default().at_most(move || {
        *told.lock().unwrap() += 1;
        None
    });
    let target = Sftp::open(server.at(), spool.path().into(), way).unwrap();
    assert_eq!(target.stat(&name()).unwrap(), None);
    assert!(*asked.lock().unwrap() > 0);
}

#[test]
fn a_metafile_is_asked_for_before_a_server_that_replaces_can_do_that() {
    let spool = TempDir::new().unwrap();
    let server = FakeSsh::answering(|asked| Some(holding(Some(b"another"), asked)));
    let target = open(&server, &spool);
    let error = target.put(&meta_name(0), object(&target, 10)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists);
    assert!(!server.asked().iter().any(|asked| matches!(asked.kind, WRITE | RENAME)));
}

#[test]
fn a_chunk_is_durable_before_it_has_its_name() {
    let spool = TempDir::new().unwrap();
    let length = Arc::new(Mutex::new(0));
    let written = length.clone();
    let server = FakeSsh::answering(move |asked| {
        let mut written = written.lock().unwrap();
        Some(match asked.kind {
            INIT => version(&["fsync@openssh.com", "hardlink@openssh.com"]),
            OPEN => handle(asked.id),
            WRITE => {
                *written += (asked.rest.len() - text(b"handle").len() - 12) as u64;
                status(asked.id, OK)
            }
            FSTAT => attributes(asked.id, *written),
            _ => holding(None, asked),
        })
    });
    let target = open(&server, &spool);
    let finished = object(&target, 100_000);
    target.put(&chunk_name(&finished), finished).unwrap();
    // That the folder is closed again is not waited for.
    let kinds = || {
        let mut kinds: Vec<_> = server.asked().iter().map(|asked| asked.kind).collect();
        kinds.truncate(kinds.iter().rposition(|kind| *kind != CLOSE).unwrap() + 1);
        kinds
    };
    let durable = [WRITE, EXTENDED, FSTAT, CLOSE, RENAME, OPEN, EXTENDED];
    assert!(kinds().ends_with(&durable), "the file, its name, the folder: {:?}", kinds());
    *length.lock().unwrap() = 0;
    target.put(&meta_name(0), object(&target, 100_000)).unwrap();
    let (link, remove) = (EXTENDED, 13);
    assert!(kinds().ends_with(&[WRITE, EXTENDED, FSTAT, CLOSE, link, remove, OPEN, EXTENDED]), "{:?}", kinds());
}

#[test]
fn a_listing_that_does_not_end_well_is_none() {
    let spool = TempDir::new().unwrap();
    let page = |names: &[&str]| {
        let names =
            names.iter().map(|name| [text(name.as_bytes()), text(b"-rw-"), vec![0, 0, 0, 1], vec![0; 8]].concat());
        let names: Vec<_> = names.collect();
        [&u32::try_from(names.len()).unwrap().to_be_bytes()[..], &names.concat()].concat()
    };
    let chunk = name().to_string();
    let list = |pages: Vec<Option<Vec<u8>>>| {
        let mut left = pages.clone();
        let server = FakeSsh::answering(move |asked| match asked.kind {
            OPEN_FOLDER => {
                left.clone_from(&pages);
                Some(handle(asked.id))
            }
            READ_FOLDER if left.is_empty() => Some(status(asked.id, END)),
            READ_FOLDER => left.remove(0).map(|page| packet(104, asked.id, &page)),
            _ => Some(holding(None, asked)),
        });
        let mut names = Vec::new();
        let target = open(&server, &spool);
        let done = target.list(&mut |name, _| {
            names.push(name.to_string());
            Ok(())
        });
        (done.map_err(|error| error.kind), names)
    };
    let odd = [".", "..", "README", "../evil.chunk", "a/b"];
    assert_eq!(list(vec![Some(page(&[&chunk])), Some(page(&odd))]), (Ok(()), vec![chunk.clone()]));
    let nothing = || Vec::<String>::new();
    assert_eq!(list(vec![Some(page(&[&chunk])), None]), (Err(ErrorKind::Unreachable), nothing()), "cut each time");
    assert_eq!(
        list(vec![Some(page(&[&chunk])), Some(page(&[]))]),
        (Err(ErrorKind::Io), nothing()),
        "a page of nothing"
    );
    assert_eq!(list(vec![Some(vec![0xff; 40])]), (Err(ErrorKind::Io), nothing()));
}

#[test]
fn what_ssh_says_is_cut_to_a_line() {
    let spool = TempDir::new().unwrap();
    // It is not waited for: whoever asks stays for longer than this test.
    let pace = Pace { idle: Duration::from_secs(1000), ..quick() };
    for (script, part) in [
        ("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 255", "xxxx"),
        ("echo 'Permission denied (publickey).' >&2; exit 255", "does not let us in: Permission denied (publickey)."),
        ("exit 127", "ssh ended with 127 and without a word"),
        // As dropbear's client asks, whoever is there.
        (
            "printf 'Host nas is not in the trusted hosts file.\\nDo you want to continue connecting? (y/n) ' >&2; sleep 2000",
            "is not known",
        ),
    ] {
        let server = FakeSsh::running(&format!("#!/bin/bash\n{script}\n"));
        let error = open(&server, &spool).at_pace(pace).stat(&name()).unwrap_err();
        assert!(error.to_string().contains(part) && error.to_string().len() < 500, "{error}");
    }
}

/// However often something comes.
#[test]
fn a_server_that_never_ends_its_first_word_is_given_up() {
    let spool = TempDir::new().unwrap();
    // A word of 600 bytes, one at a time.
    let server = FakeSsh::running(
        "#!/bin/bash\nprintf '\\0\\0\\2\\130\\2\\0\\0\\0\\3'\nwhile printf x; do sleep 0.05; done 2>/dev/null\n",
    );
    let pace = Pace { idle: Duration::from_millis(200), ..quick() };
    let error = open(&server, &spool).at_pace(pace).stat(&name()).unwrap_err();
    assert!(error.to_string().contains("no answer in time"), "{error}");
}
