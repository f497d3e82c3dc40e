//! The whole of a file.

use super::*;

/// From the original's documentation, to the letter.
const ORIGINAL: &str = r"
    [TARGET:raidbackups]
    type = Filesystem
    path = /raid/backup/brackup

    [SOURCE:proj]
    path = /raid/bradfitz/proj/
    chunk_size = 5m
    gpg_recipient = 5E1B3EC5

    [SOURCE:bradfitz]
    chunk_size = 64MB
    path = /raid/bradfitz/
    ignore = ^\.thumbnails/
    ignore = ^\.kde/share/thumbnails/
    ignore = ^build/
";

fn parse(text: &str) -> Result<Config, Error> {
    let around = Surroundings::of_test(1000);
    Config::parse_in("/home/brad/.brackup.conf".as_ref(), text.as_bytes(), &around)
}

#[test]
fn the_originals_text_works() {
    let config = parse(ORIGINAL).unwrap();
    assert_eq!(config.file, PathBuf::from("/home/brad/.brackup.conf"));
    assert_eq!(config.notes, ["~/.brackup.conf:11: [SOURCE:bradfitz] has no recipient and cannot be backed up"]);
    let raid = config.target("raidbackups").unwrap();
    let path = "/raid/backup/brackup".into();
    assert_eq!(raid.kind, TargetKind::Filesystem { path });
    let proj = config.source("proj").unwrap();
    assert_eq!(proj.path, PathBuf::from("/raid/bradfitz/proj/"));
    assert_eq!((proj.chunk_size, proj.line), (5 << 20, 6));
    assert_eq!(proj.recipients, ["5E1B3EC5"]);
    assert!(!proj.ignore.ignores(b"build", true));
    let bradfitz = &config.sources[1];
    assert_eq!(bradfitz.chunk_size, 64 << 20);
    for dir in ["build", ".thumbnails", ".kde/share/thumbnails"] {
        assert!(bradfitz.ignore.ignores(dir.as_bytes(), true), "{dir}");
    }
    assert_eq!(
        config.source("bradfitz").unwrap_err().to_string(),
        "~/.brackup.conf:11: [SOURCE:bradfitz] has no recipient, expected recipient = a public key, a file with one or a key id"
    );
}

#[test]
fn every_example_of_the_documentation_works() {
    let text = include_str!("../../docs/CONFIG.md");
    let mut blocks = text.split("```ini\n").skip(1);
    let mut count = 0;
    while let Some((block, _)) = blocks.next().and_then(|rest| rest.split_once("```")) {
        if let Err(error) = parse(block) {
            panic!("{error} in\n{block}");
        }
        count += 1;
    }
    assert_eq!(count, 11, "examples in docs/CONFIG.md");
}

#[test]
fn every_key_is_in_the_documentation() {
    let text = include_str!("../../docs/CONFIG.md");
    for (section, keys) in [
        ("BOX", own::KEYS),
        ("SOURCE", source::KEYS),
        ("SOURCE", policy::OF_SOURCE[0]),
        ("TARGET", target::KEYS),
        ("TARGET", policy::OF_TARGET[0]),
        ("TARGET", policy::OF_TARGET[1]),
        ("TARGET", another_box::KEYS),
        ("JOB", job::KEYS),
        ("JOB", upkeep::KEYS),
        ("ALERT", alert::KEYS),
        ("ALERT", alert::COMMAND),
        ("ALERT", HookSettings::WEBHOOK),
        ("ALERT", HookSettings::CHECK),
        ("ALERT", MailSettings::KEYS),
        ("SERVE", serve::KEYS),
        ("HOST", host::KEYS),
    ] {
        let begin = text.find(&format!("## [{section}")).unwrap();
        let end = text[begin + 2..].find("\n## ").unwrap();
        let rows = text[begin..begin + 2 + end].lines().filter(|line| line.starts_with("| `"));
        let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
        for key in keys {
            let name = format!("`{}`", key.name);
            assert!(cells.iter().any(|cell| cell.contains(&name)), "{name} in [{section}]");
        }
    }
}

#[test]
fn the_first_wrong_line_is_told() {
    let good = "[SOURCE:a]\npath=/a\nrecipient=A\n";
    for (wrong, line) in [
        ("chunk_size=x\n[SOURCE:b]\nnonsense", 4),
        ("nonsense\nchunk_size=x", 4),
        ("inherit=x\nchunksize=1", 4),
        ("chunksize=1\ninherit=x", 4),
        ("ignore=(\nnoatime=x", 4),
        ("noatime=x\nignore=(", 4),
        ("[SOURCE:b]\n[BOX]\nbuffers=0", 4),
        ("[BOX]\nbuffers=0\n[SOURCE:b]", 5),
        ("[TARGET:b]\ntype=Ftp\n[SOURCE:c]\nnoatime=x", 5),
        ("[SOURCE:c]\npath=c\n[TARGET:b]\ntype=Ftp", 5),
        ("[SOURCE:b]\n[WEB]\npath=/b", 4),
    ] {
        let error = parse(&format!("{good}{wrong}")).unwrap_err();
        assert_eq!(error.line(), Some(line), "{wrong}: {error}");
    }
}

#[test]
fn inheritance_makes_sources_and_targets() {
    let text = "[SOURCE:usual]\nrecipient=A\ngpg_path=x\nkeep_backups=3\nignore=~$\n[SOURCE:x]\ninherit=usual\npath=/x\n\
                [SOURCE:y]\ninherit=x\npath=/y\nrecipient=B\n[TARGET:usual]\ntype=Filesystem\n[TARGET:x]\ninherit=usual\npath=/t";
    let config = parse(text).unwrap();
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    assert_eq!(names, ["x", "y"]);
    assert_eq!(config.source("x").unwrap().recipients, ["A"]);
    assert_eq!(config.source("y").unwrap().policy.last, Some(3));
    let y = config.source("y").unwrap();
    assert_eq!((&*y.recipients, y.path.to_str()), (&["B".to_owned()][..], Some("/y")));
    assert!(y.ignore.ignores(b"y~", false));
    assert_eq!(config.targets.len(), 1);
    assert!(config.target("x").is_ok());
    assert_eq!(config.notes.len(), 1, "once, where it stands: {:?}", config.notes);
}

#[test]
fn unknown_names_are_told_with_those_there_are() {
    let config = parse(ORIGINAL).unwrap();
    for (error, told, hint) in [
        (
            config.source("bradfits").unwrap_err(),
            "~/.brackup.conf: there is no source \"bradfits\", expected proj or bradfitz",
            "did you mean \"bradfitz\"?",
        ),
        (
            config.source("photos").unwrap_err(),
            "~/.brackup.conf: there is no source \"photos\", expected proj or bradfitz",
            "add a section [SOURCE:photos]",
        ),
        (
            config.target("usb").unwrap_err(),
            "~/.brackup.conf: there is no target \"usb\", expected raidbackups",
            "add a section [TARGET:usb], or give a folder as filesystem:/path",
        ),
        (
            config.target("/raid").unwrap_err(),
            "~/.brackup.conf: there is no target \"/raid\", expected raidbackups",
            "a folder is given as filesystem:/path",
        ),
        (
            parse("").unwrap().source("x").unwrap_err(),
            "~/.brackup.conf: there is no source \"x\"",
            "add a section [SOURCE:x]",
        ),
    ] {
        assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (told, Some(hint)));
    }
    assert!(config.target("usb").unwrap_err().is_no_such_target());
    assert!(!config.source("usb").unwrap_err().is_no_such_target());
    assert_eq!(config.source("a/b").unwrap_err().hint(), None);
}

#[test]
fn a_job_names_what_there_is_and_can_be_used() {
    let text = "[JOB:nightly]\nfrom=proj\nto=raidbackups\nat=02:30\n";
    let config = parse(&format!("{text}{ORIGINAL}")).unwrap();
    assert_eq!(config.jobs[0].pairs().collect::<Vec<_>>(), [("proj", "raidbackups")]);
    let other = "[TARGET:drive]\ntype=Filesystem\npath=/x\n";
    for (line, told, hint) in [
        ("from=prj", "there is no source \"prj\", expected proj or bradfitz", "did you mean \"proj\"?"),
        ("from=music", "there is no source \"music\", expected proj or bradfitz", "add a section [SOURCE:music]"),
        ("to=usb", "there is no target \"usb\", expected drive or raidbackups", "add a section [TARGET:usb]"),
        ("copy_from=usb", "there is no target \"usb\", expected drive or raidbackups", "add a section [TARGET:usb]"),
        (
            "to=filesystem:/raid",
            "there is no target \"filesystem:/raid\", expected drive or raidbackups",
            "a folder needs a section [TARGET:name] of its own",
        ),
        (
            "from=bradfitz",
            "[SOURCE:bradfitz] has no recipient, expected recipient = a public key, a file with one or a key id",
            "`brackup keygen` makes a secret key and prints its recipient",
        ),
    ] {
        let error = parse(&format!("{text}{line}\n{other}{ORIGINAL}")).unwrap_err();
        assert_eq!(error.to_string(), format!("~/.brackup.conf:5: {told}"));
        assert_eq!(error.hint().unwrap_or_default(), hint, "{line}");
    }
    let error = parse("[JOB:x]\nfrom=a\nto=b\nat=02:30\n[SOURCE:a]\npath=a\n[TARGET:b]\ntype=Ftp").unwrap_err();
    assert_eq!(error.line(), Some(6), "the job is right: {error}");
}

#[test]
fn what_is_in_the_surroundings_counts_after_the_file() {
    let mut around = Surroundings::of_test(1000);
    around.env = |name| (name == "BRACKUP_KEY_DIR").then(|| "keys".into());
    let parse = |text: &str| Config::parse_in("f".as_ref(), text.as_bytes(), &around).unwrap_err().to_string();
    assert_eq!(parse(""), "$BRACKUP_KEY_DIR: it is \"keys\", expected an absolute path or one that begins with ~/");
    assert_eq!(parse("x"), "f:1: the line \"x\", expected key = value, [section] or # comment");
}

#[test]
fn no_bytes_make_it_panic() {
    let parts: [&[u8]; 12] =
        [b"[SOURCE:a]", b"[", b"]", b"\n", b"inherit=a", b"path=/a", b" #", b"=", b"\xff", b"ignore=", b"(", b"\0"];
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.extend_from_slice(parts[(state >> 33) as usize % parts.len()]);
        }
        let _ = Config::parse_in("f".as_ref(), &text, &Surroundings::of_test(0));
    }
}

#[test]
fn a_job_that_prunes_needs_a_rule() {
    let config = |rule: &str, to: &str| {
        let text = format!(
            "[SOURCE:s]\npath=/s\nrecipient=A\n[TARGET:t]\ntype=Filesystem\npath=/t\n{rule}\n[TARGET:u]\ntype=Filesystem\npath=/u\n[JOB:n]\nfrom=s\nto={to}\nat=02:30\nprune=yes\n"
        );
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        Config::parse_in("f".as_ref(), text.as_bytes(), &around).map_err(|error| error.to_string())
    };
    let of_name = config("", "t\nto=v").unwrap_err();
    assert!(of_name.contains("there is no target \"v\""), "{of_name}");
    let notes = config("keep_daily = 7", "t\nto=u").unwrap().notes;
    assert!(notes.iter().any(|note| note.ends_with("no rule says which backups stay at u: all do")), "{notes:?}");
    let told = "f:11: [JOB:n] has prune = yes, and no rule says which backups stay, expected keep_daily = 7 or another rule in a target or a source";
    assert_eq!(config("", "t").unwrap_err(), told);
    assert_eq!(config("keep_last=3", "u").unwrap_err(), told, "of another target");
    assert!(config("keep_last=3", "t").unwrap().jobs[0].upkeep.prune);
}

#[cfg(feature = "brackup")]
#[test]
fn a_job_that_deletes_where_nobody_may_is_noted() {
    let notes = |to: &str| {
        let text = format!(
            "[SOURCE:s]\npath=/s\nrecipient=A\nkeep_last=3\n[TARGET:t]\ntype=Filesystem\npath=/t\n[TARGET:u]\ntype=Brackup\nurl=https://nas/\ntoken={}\n[JOB:n]\nfrom=s\n{to}\nat=02:30\nprune=yes\n",
            crate::provider::Token::generate().unwrap().as_str()
        );
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        Config::parse_in("f".as_ref(), text.as_bytes(), &around).unwrap().notes
    };
    let is_told =
        |notes: &[String]| notes.iter().any(|note| note.contains("do nothing at u: another box lets nobody delete"));
    assert!(!is_told(&notes("to=t")));
    let both = notes("to=t\nto=u");
    assert!(is_told(&both), "{both:?}");
}

#[test]
fn a_job_with_a_bandwidth_for_folders_alone_is_noted() {
    let notes = |to: &str| {
        let text = format!(
            "[SOURCE:s]\npath=/s\nrecipient=A\n[TARGET:t]\ntype=Filesystem\npath=/t\n[TARGET:u]\ntype=Sftp\nsftp_host=h\npath=/u\n[JOB:n]\nfrom=s\n{to}\nat=02:30\nbandwidth=2MB/s\n"
        );
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        Config::parse_in("f".as_ref(), text.as_bytes(), &around).unwrap().promises
    };
    let told = "f:11: bandwidth of [JOB:n] does nothing: it is for ways to servers, and all its targets are folders";
    assert_eq!(notes("to=t"), [told]);
    assert_eq!(notes("to=t\nto=u"), [""; 0]);
    assert_eq!(notes("to=t\ncopy_from=u"), [""; 0]);
}

#[test]
fn nothing_is_copied_to_where_it_is() {
    let config = |path: &str| {
        let folder = |name: &str, path: &str| format!("[TARGET:{name}]\ntype=Filesystem\npath={path}\n");
        let text = format!("{}{}[JOB:n]\ncopy_from=t\nto=u\nat=02:30\n", folder("t", "/t"), folder("u", path));
        let around = Surroundings { home: None, uid: 0, env: |_| None, etc: "/etc".into() };
        Config::parse_in("f".as_ref(), text.as_bytes(), &around).map_err(|error| error.to_string())
    };
    assert_eq!(config("/u").unwrap().jobs[0].copies().collect::<Vec<_>>(), [("t", "u")]);
    assert_eq!(
        config("/t/").unwrap_err(),
        "f:7: [JOB:n] copies t to u, and both are the same place, expected another one"
    );
}
