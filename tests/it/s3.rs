//! S3, on a server that nobody here wrote.

use std::fs;
use std::path::Path;
use std::time::Duration;

use brackup::digest::Sha1;
use brackup::provider::{AccessKey, Bucket, Endpoint, Lock, LockMode, Trust};
use brackup::target::{ErrorKind, ObjectName, S3, Target as _, Way};
use tempfile::TempDir;

use super::conformance::{chunk_name, conforms, listed, meta_name, object, read};
use crate::support::{
    ACCESS_KEY, Backblaze, Cut, Cutter, Place as _, Program, SECRET_KEY, Snapshot, Tree, Weed, aws, code, noise,
    stderr, when_root,
};

fn place(weed: &Weed, name: &str, prefix: &str) -> Bucket {
    bucket(&weed.endpoint(), name, prefix)
}

pub(crate) fn bucket(endpoint: &str, name: &str, prefix: &str) -> Bucket {
    Bucket {
        endpoint: Endpoint::parse(endpoint).unwrap(),
        region: "us-east-1".into(),
        name: name.into(),
        path_style: true,
        prefix: prefix.into(),
        storage_class: None,
        encryption: None,
        lock: None,
        part_bytes: Bucket::PART_BYTES_MIN,
        trust: Trust::System,
    }
}

pub(crate) fn access_key(id: &str, secret: &str) -> AccessKey {
    AccessKey { id: id.into(), secret: secret.to_owned().into(), session_token: None }
}

pub(crate) fn open(bucket: Bucket, spool: &TempDir) -> S3 {
    open_by(bucket, (ACCESS_KEY, SECRET_KEY), spool)
}

pub(crate) fn open_by(bucket: Bucket, (id, secret): (&str, &str), spool: &TempDir) -> S3 {
    S3::open(bucket, access_key(id, secret), spool.path().into(), Way::default()).unwrap()
}

/// One server for all of it: it takes seconds to start.
#[test]
fn seaweedfs_keeps_backups() {
    let Some(weed) = Weed::start() else { return };
    conforms_there(&weed);
    what_is_wrong_is_told(&weed);
    a_wire_that_is_cut_costs_time_only(&weed);
    a_wire_that_stands_still_is_cut(&weed);
    a_large_object_goes_in_parts(&weed);
    what_backblaze_does_not_know_is_said_otherwise(&weed);
    what_is_locked_stays(&weed);
    prune_and_gc_take_nothing_from_a_bucket_that_locks(&weed);
    the_program_backs_up_and_restores(&weed);
    a_bucket_may_be_a_host(&weed);
}

fn conforms_there(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let bucket = weed.bucket("plain", "");
    conforms(&open(place(weed, "plain", ""), &spool), &bucket);
    let below = weed.bucket("shared", "nas/one/");
    conforms(&open(place(weed, "shared", "nas/one/"), &spool), &below);
    // Over TLS a body is not signed.
    let (endpoint, certificate) = weed.tls_endpoint();
    let sealed = weed.bucket("sealed", "");
    let over_tls = Bucket { trust: Trust::File(certificate), ..super::s3::bucket(&endpoint, "sealed", "") };
    let target = open(over_tls, &spool);
    conforms(&target, &sealed);
    let finished = object(&target, 11_000_000);
    let (name, digest) = (chunk_name(&finished), finished.sha1());
    target.put(&name, finished).unwrap();
    assert_eq!(Sha1::of(&sealed.read(&name.to_string()).unwrap()), digest, "in parts");
    assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0, "nothing stays in the spool");
}

fn what_is_wrong_is_told(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    weed.bucket("there", "");
    let told = |name: &str, id: &str, secret: &str| {
        let s3 = S3::open(place(weed, name, ""), access_key(id, secret), spool.path().into(), Way::default());
        let error = s3.unwrap().identify(None).unwrap_err();
        assert!(!error.to_string().contains(SECRET_KEY), "{error}");
        (error.kind, error.hint().unwrap_or_default().to_owned())
    };
    let (kind, hint) = told("elsewhere", ACCESS_KEY, SECRET_KEY);
    assert!(kind == ErrorKind::Unreachable && hint.contains("make the bucket"), "{hint}");
    let (kind, hint) = told("there", ACCESS_KEY, "wrong");
    assert!(kind == ErrorKind::Refused && hint.contains("aws_secret_access_key"), "{hint}");
    let (kind, hint) = told("there", "AKUNKNOWN", SECRET_KEY);
    assert!(kind == ErrorKind::Refused && hint.contains("aws_access_key_id"), "{hint}");
}

fn a_wire_that_is_cut_costs_time_only(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let far_bucket = weed.bucket("far", "");
    let cutter = Cutter::before(weed.port());
    let far = || open(bucket(&cutter.endpoint(), "far", ""), &spool);
    let setup = far();
    setup.identify(None).unwrap();
    for (number, cuts) in [
        &[Cut::Request(100)][..],
        &[Cut::Request(1_000_000), Cut::Request(2_500_000)],
        // Stored, and nobody heard of it: the second try finds it there.
        &[Cut::AnswerTo("PUT ")],
        &[Cut::Answer(20), Cut::Answer(20)],
        &[Cut::AnswerTo("PUT /")],
    ]
    .iter()
    .enumerate()
    {
        // A connection of its own, which is the one that is cut.
        let target = far();
        let finished = object(&target, 3_000_000);
        let name = chunk_name(&finished);
        cutter.cut(cuts);
        target.put(&name, finished).unwrap();
        let metafile = object(&target, 10_000);
        let (meta, sha1) = (meta_name(u32::try_from(number).unwrap()), metafile.sha1());
        target.put(&meta, metafile).unwrap();
        assert_eq!(cutter.left(), 0, "{cuts:?}");
        assert_eq!(Sha1::of(&far_bucket.read(&meta.to_string()).unwrap()), sha1);
        let stored = far_bucket.read(&name.to_string()).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&stored)), name, "{cuts:?}");

        let target = far();
        cutter.cut(&[Cut::Answer(1000), Cut::Answer(1_500_000), Cut::Request(10)]);
        assert!(read(&target, &name, 5, u64::MAX) == stored[5..], "{cuts:?}");
        assert_eq!(cutter.left(), 0);
    }
    let other = far();
    assert_eq!(other.put(&meta_name(0), object(&other, 10_000)).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(listed(&other).len(), 10);
}

fn a_wire_that_stands_still_is_cut(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let folder = weed.bucket("still", "");
    let cutter = Cutter::before(weed.port());
    let way = || Way::default().within(Duration::from_secs(2));
    let far = || {
        let bucket = bucket(&cutter.endpoint(), "still", "");
        S3::open(bucket, access_key(ACCESS_KEY, SECRET_KEY), spool.path().into(), way()).unwrap()
    };
    far().identify(None).unwrap();
    for cut in [Cut::Hold(1_000_000), Cut::HoldAnswer(0)] {
        let target = far();
        let finished = object(&target, 3_000_000);
        let name = chunk_name(&finished);
        cutter.cut(&[cut]);
        target.put(&name, finished).unwrap();
        assert_eq!(cutter.left(), 0, "{cut:?}");
        let stored = folder.read(&name.to_string()).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&stored)), name, "{cut:?}");
        let target = far();
        cutter.cut(&[Cut::HoldAnswer(1_000_000), Cut::HoldAnswer(100)]);
        assert!(read(&target, &name, 0, u64::MAX) == stored, "{cut:?}");
        assert_eq!(cutter.left(), 0, "{cut:?}");
    }
}

fn a_large_object_goes_in_parts(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let folder = weed.bucket("large", "nas/");
    let cutter = Cutter::before(weed.port());
    let far = || open(bucket(&cutter.endpoint(), "large", "nas/"), &spool);
    far().identify(None).unwrap();
    for (number, cuts) in [
        &[][..],
        // In the second part, and again; only that part is sent again.
        &[Cut::Request(6_000_000), Cut::Request(1_000_000)],
        // Behind a part's answer, in the last one's.
        &[Cut::Answer(1900)],
        &[Cut::Answer(2200)],
        &[Cut::Answer(2500)],
        &[Cut::Answer(2800)],
    ]
    .iter()
    .enumerate()
    {
        let target = far();
        let finished = object(&target, 11_000_000);
        let (name, length) = (chunk_name(&finished), finished.length());
        cutter.cut(cuts);
        target.put(&name, finished).unwrap();
        assert_eq!(cutter.left(), 0, "{cuts:?}");
        assert_eq!(target.stat(&name).unwrap(), Some(length));
        let stored = folder.read(&name.to_string()).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&stored)), name, "{cuts:?}");
        // Nothing is written over, and what is there is enough.
        let (meta, other) = (meta_name(u32::try_from(number).unwrap()), object(&target, 11_000_000));
        let sha1 = other.sha1();
        target.put(&meta, other).unwrap();
        assert_eq!(target.put(&meta, object(&target, 11_000_000)).unwrap_err().kind, ErrorKind::Exists);
        assert_eq!(Sha1::of(&folder.read(&meta.to_string()).unwrap()), sha1);
        target.put(&name, object(&target, 11_000_000)).unwrap();
        assert_eq!(Sha1::of(&folder.read(&name.to_string()).unwrap()), Sha1::of(&stored));
    }
    assert_eq!(weed.uploads("large"), 0, "what was refused leaves no parts behind");
    // Nobody knows of an upload whose first answer was lost, until it is a week old.
    let target = far();
    let finished = object(&target, 11_000_000);
    // The first is the listing of such uploads.
    cutter.cut(&[Cut::Answer(1), Cut::Answer(1)]);
    target.put(&chunk_name(&finished), finished).unwrap();
    assert_eq!(weed.uploads("large"), 1);
}

fn what_backblaze_does_not_know_is_said_otherwise(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let backblaze = Backblaze::before(weed.port());
    let first = weed.bucket("conforms", "nas/");
    conforms(&open(bucket(&backblaze.endpoint(), "conforms", "nas/"), &spool), &first);
    let folder = weed.bucket("backblaze", "nas/");
    let far = || open(bucket(&backblaze.endpoint(), "backblaze", "nas/"), &spool);
    far().identify(None).unwrap();
    let target = far();
    let before = backblaze.refused().len();
    for bytes in [100_000, 11_000_000] {
        let finished = object(&target, bytes);
        let name = chunk_name(&finished);
        target.put(&name, finished).unwrap();
        assert_eq!(ObjectName::Chunk(Sha1::of(&folder.read(&name.to_string()).unwrap())), name);
    }
    assert_eq!(backblaze.refused()[before..], ["x-amz-checksum-sha1", "if-none-match"], "it is asked once");
    // Several learn it at the same time.
    let together = far();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let together = &together;
            scope.spawn(move || {
                let finished = object(together, 50_000);
                together.put(&chunk_name(&finished), finished).unwrap();
            });
        }
    });
    let before = backblaze.refused().len() - 2;
    let large = far();
    large.put(&meta_name(90), object(&large, 11_000_000)).unwrap();
    let refused = backblaze.refused();
    assert_eq!(refused[before + 2..], ["x-amz-checksum-algorithm", "if-none-match"]);
    assert_eq!(large.put(&meta_name(90), object(&large, 11_000_000)).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(weed.uploads("backblaze"), 0);
}

fn what_is_locked_stays(weed: &Weed) {
    let spool = TempDir::new().unwrap();
    let asks = |words: &[&str]| aws(&weed.endpoint(), ACCESS_KEY, SECRET_KEY, words);
    asks(&["locked-bucket", "locked"]);
    for mode in [LockMode::Governance, LockMode::Compliance] {
        let target = open(Bucket { lock: Some(Lock { days: 30, mode }), ..place(weed, "locked", "nas/") }, &spool);
        target.identify(None).unwrap();
        for bytes in [1000, 11_000_000] {
            let finished = object(&target, bytes);
            let name = chunk_name(&finished);
            target.put(&name, finished).unwrap();
            let told = asks(&["locked", "locked", &format!("nas/{name}")]);
            assert_eq!(told, format!("{} 29 403", mode.name()), "{bytes}");
        }
    }
    weed.bucket("open", "");
    let lock = Some(Lock { days: 1, mode: LockMode::Governance });
    let error = open(Bucket { lock, ..place(weed, "open", "") }, &spool).identify(None).unwrap_err();
    assert!(error.hint().unwrap_or_default().contains("`object_lock`"), "{error}");
}

/// What they delete is hidden by a mark, and stays until its lock ends; what is needed again is stored again.
fn prune_and_gc_take_nothing_from_a_bucket_that_locks(weed: &Weed) {
    let asks = |words: &[&str]| aws(&weed.endpoint(), ACCESS_KEY, SECRET_KEY, words);
    asks(&["locked-bucket", "years"]);
    let tree = Tree::new();
    let program = Program::new(&tree.root);
    program.set_target(&format!(
        "type = S3\nbucket = years\nobject_lock = 30d\nendpoint = {}\naws_access_key_id = {ACCESS_KEY}\n\
         aws_secret_access_key = {SECRET_KEY}\n",
        weed.endpoint()
    ));
    let run = |arguments: &[&str]| {
        let output = program.run(arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for seed in [1, 2] {
        tree.file("noise", noise(seed, 100_000));
        run(&["--from=tree", "--to=disk"]);
    }
    assert_eq!(asks(&["versions", "years"]), "4 0");
    run(&["prune", "disk", "--keep-last=1"]);
    // The first marks what is garbage, the second deletes it.
    run(&["gc", "disk", "--grace=0s"]);
    run(&["gc", "disk", "--grace=0s"]);
    assert_eq!(asks(&["versions", "years"]), "4 2");
    assert_eq!(run(&["list", "disk"]).lines().filter(|line| line.contains("tree-2")).count(), 1);

    tree.file("noise", noise(1, 100_000));
    run(&["--from=tree", "--to=disk"]);
    run(&["verify", "disk", "--no-key"]);
    let to = program.home().join("back");
    let output = program.restore(&to);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&Snapshot::of(&to));
}

fn the_program_backs_up_and_restores(weed: &Weed) {
    let bucket = weed.bucket("nas", "home/");
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    tree.file("noise", noise(9, 3_000_000));
    let program = Program::new(&tree.root);
    let (endpoint, certificate) = weed.tls_endpoint();
    let certificate = certificate.to_str().unwrap();
    program.set_target(&format!(
        "type = Amazon\nbucket = nas\nbackup_prefix = home/\nendpoint = {endpoint}\ntls_ca = {certificate}\n\
         aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    ));
    for _ in 0..2 {
        let output = program.backup();
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
    let before = bucket.count();
    let output = program.run(&["target", "check", "disk"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(before > 3 && bucket.count() == before, "it leaves nothing: {before}, {}", bucket.count());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 7, "{said}");
    let output = program.run(&["verify", "disk", "--no-key"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));

    // A new machine: the address, the keys of the bucket, the secret key.
    fs::remove_file(program.home().join(".brackup.conf")).unwrap();
    let to = program.home().join("back");
    let from = format!("s3:{endpoint}/nas/home/");
    let key = program.key.to_str().unwrap();
    let arguments =
        ["restore", "tree:latest", "--from", &from, "--to", to.to_str().unwrap(), "--key", key, "--accept-unsigned"];
    let mut command = program.command(&arguments);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let output = command.output().unwrap();
    assert!(stderr(&output).contains("`tls_ca`"), "who trusts no such certificate is told: {}", stderr(&output));
    let output = command.env("SSL_CERT_FILE", certificate).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    tree.snapshot().assert_same(&Snapshot::of(&to));
}

/// As AWS itself is addressed: the bucket's name is a part of the host's, and of what is signed.
fn a_bucket_may_be_a_host(weed: &Weed) {
    if !when_root("a name space in which a bucket is a host") {
        return;
    }
    let bucket = weed.bucket("hosted", "");
    let tree = Tree::new();
    tree.file("text", "some text\n".repeat(1000));
    let program = Program::new(&tree.root);
    program.set_target(&format!(
        "type = Amazon\nbucket = hosted\nendpoint = http://{}:{}\npath_style = no\n\
         aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n",
        Weed::DOMAIN,
        weed.port()
    ));
    // Who is who is said in a name space of its own.
    fs::write(program.home().join("hosts"), format!("127.0.0.1 hosted.{}\n", Weed::DOMAIN)).unwrap();
    let script = "mount --bind hosts /etc/hosts && exec \"$0\" \"$@\"";
    let to = program.home().join("back");
    let to = to.to_str().unwrap();
    let key = program.key.to_str().unwrap();
    for arguments in [
        &["--from=tree", "--to=disk"][..],
        &["target", "check", "disk"],
        &["restore", "tree:latest", "--to", to, "--key", key],
    ] {
        let output = program.command_under(&["unshare", "--mount", "sh", "-c", script], arguments).output().unwrap();
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", stderr(&output));
    }
    tree.snapshot().assert_same(&Snapshot::of(Path::new(to)));
    assert!(bucket.read("brackup-target.id").is_some(), "and it is the bucket of that name");
}
