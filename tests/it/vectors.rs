//! The test vectors of FORMAT.md against the program: tests/vectors/README.md tells their form.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use brackup::digest::{Sha1, unhex};
use brackup::relpath::{escape, unescape};
use brackup::seal::{
    BoxKey, BoxPublic, Error, Fault, Footer, Identity, Opener, Opening, Recipient, Role, Sealing, SecretFile, Suite,
    Tombstone, padme, sealed_length, segments, split_footer,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// One file: lines `key: value`, an empty line, bytes.
struct Vector {
    name: String,
    header: Vec<(String, String)>,
    bytes: Vec<u8>,
}

impl Vector {
    fn open(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let all = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let end = all.windows(2).position(|two| two == b"\n\n").unwrap_or_else(|| panic!("{name}: no empty line"));
        let header = std::str::from_utf8(&all[..end]).unwrap();
        let pair = |line: &str| {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
            (key.to_owned(), value.to_owned())
        };
        let header = header.lines().map(pair).collect();
        Self { header, bytes: all[end + 2..].to_vec(), name }
    }

    fn all(&self, key: &'static str) -> impl Iterator<Item = &str> {
        self.header.iter().filter(move |(there, _)| there == key).map(|(_, value)| value.as_str())
    }

    fn one(&self, key: &'static str) -> &str {
        self.all(key).next().unwrap_or_else(|| panic!("{}: no `{key}`", self.name))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_else(|_| panic!("{}: not UTF-8", self.name))
    }
}

/// The vectors of a folder; their headers have only `known` keys, so that nothing goes untested by a misspelling.
fn vectors(folder: &str, known: &[&str]) -> Vec<Vector> {
    let folder = Path::new("tests/vectors").join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no vectors in {}", folder.display());
    let vectors: Vec<_> = paths.iter().map(|path| Vector::open(path)).collect();
    for vector in &vectors {
        for (key, _) in &vector.header {
            assert!(key == "comment" || known.contains(&key.as_str()), "{}: unknown key {key}", vector.name);
        }
    }
    vectors
}

/// Runs all vectors of a folder, and fails with the list of those that are not as expected.
fn all_as_expected(folder: &str, known: &[&str], found: impl Fn(&Vector) -> Result<(), String>) {
    let vectors = vectors(folder, known);
    let mut wrong = String::new();
    for vector in &vectors {
        if let Err(what) = found(vector) {
            let _ = writeln!(wrong, "{folder}/{}: {what}", vector.name);
        }
    }
    assert!(wrong.is_empty(), "of {} vectors:\n{wrong}", vectors.len());
}

fn same(what: &str, found: impl AsRef<str>, expected: impl AsRef<str>) -> Result<(), String> {
    let (found, expected) = (found.as_ref(), expected.as_ref());
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, expected {expected}")) }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The object of a vector: its own bytes, behind ranges of another's.
fn object(vector: &Vector) -> Vec<u8> {
    let Some(of) = vector.all("of").next() else { return vector.bytes.clone() };
    let other = Vector::open(&Path::new("tests/vectors/envelope").join(of)).bytes;
    let mut object = Vec::new();
    for range in vector.one("ranges").split(' ') {
        let (from, to) = range.split_once('-').unwrap();
        object.extend_from_slice(&other[from.parse().unwrap()..to.parse().unwrap()]);
    }
    object.extend_from_slice(&vector.bytes);
    object
}

/// In one go, as metafiles are read.
fn open(object: &[u8], role: Role, identities: &[Identity]) -> Result<Vec<u8>, Fault> {
    let fault = |error: std::io::Error| error.downcast::<Fault>().expect("only faults");
    let mut opener = Opener::open(object, object.len() as u64, role, identities).map_err(fault)?;
    let mut payload = Vec::new();
    opener.read_to_end(&mut payload).map_err(fault)?;
    Ok(payload)
}

/// Each segment alone, the last one first, as chunks are read.
fn open_backwards(object: &[u8], role: Role, identities: &[Identity]) -> Result<Vec<u8>, Fault> {
    let opening = Opening::open(object, object.len() as u64, role, identities)?;
    let mut parts = Vec::new();
    for index in (0..opening.segments()).rev() {
        let (offset, length) = opening.place(index);
        let mut sealed = object[offset as usize..offset as usize + length].to_vec();
        parts.push(opening.segment(index, &mut sealed)?.to_vec());
    }
    parts.reverse();
    assert_eq!(opening.payload_bytes(), parts.iter().map(|part| part.len() as u64).sum::<u64>());
    Ok(parts.concat())
}

#[test]
fn envelopes() {
    let known = ["expect", "role", "secret", "payload-length", "payload-sha256", "of", "ranges"];
    all_as_expected("envelope", &known, |vector| {
        let role = if vector.one("role") == "chunk" { Role::Chunk } else { Role::Metafile };
        let identities: Vec<_> = vector.all("secret").map(|text| Identity::parse(text).unwrap()).collect();
        let object = object(vector);
        let opened = open(&object, role, &identities);
        let backwards = open_backwards(&object, role, &identities);
        if let Ok(payload) = &opened {
            same("the expectation", "success", vector.one("expect"))?;
            same("the payload's length", payload.len().to_string(), vector.one("payload-length"))?;
            same("the payload", sha256(payload), vector.one("payload-sha256"))?;
            let recipients = usize::from(object[10]);
            assert_eq!(sealed_length(recipients, payload.len() as u64), object.len() as u64, "{}", vector.name);
            assert_eq!(backwards.as_ref(), Ok(payload), "{}: segment by segment", vector.name);
            return Ok(());
        }
        for fault in [opened.unwrap_err(), backwards.expect_err(&vector.name)] {
            same("the failure", fault.word(), vector.one("expect"))?;
        }
        Ok(())
    });
}

#[test]
fn no_flipped_bit_opens() {
    let identity = Identity::generate().unwrap();
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        let mut object = Vec::new();
        let mut take = |sealed: brackup::blob::Sealed<'_>| {
            object.extend_from_slice(sealed.as_bytes());
            Ok::<(), Error>(())
        };
        let mut sealing =
            Sealing::create(suite, Role::Chunk, std::slice::from_ref(identity.recipient()), &mut take).unwrap();
        sealing.write(b"short", &mut take).unwrap();
        sealing.finish(&mut take).unwrap();
        let identities = std::slice::from_ref(&identity);
        assert_eq!(open(&object, Role::Chunk, identities).as_deref(), Ok(&b"short"[..]));
        assert_eq!((segments(5), sealed_length(1, 5)), (1, object.len() as u64));
        for bit in 0..object.len() * 8 {
            object[bit / 8] ^= 1 << (bit % 8);
            for role in [Role::Chunk, Role::Metafile] {
                assert!(open(&object, role, identities).is_err(), "{suite:?}: bit {bit} flipped, and it opens");
            }
            object[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn escaped_text() {
    all_as_expected("escaping", &["expect", "bytes", "canonical"], |vector| {
        let Some(bytes) = unescape(vector.text()) else { return same("it", "error", vector.one("expect")) };
        same("it", "success", vector.one("expect"))?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // An empty value leaves no blank behind the colon in some editors.
        same("what it stands for", hex, vector.one("bytes").trim())?;
        let mut text = String::new();
        escape(&bytes, &mut text);
        if vector.all("canonical").next() == Some("no") {
            return if text == vector.text() { Err("it is canonical".into()) } else { Ok(()) };
        }
        same("the escaped form", text, vector.text())
    });
}

#[test]
fn keys_as_text() {
    all_as_expected("keys", &["expect", "kind", "id", "public", "passphrase"], |vector| {
        let (kind, text) = (vector.one("kind"), vector.text());
        let parsed = match kind {
            "public" => Recipient::parse(text).map(|recipient| (recipient.to_string(), Some(recipient.id()))),
            "secret" => Identity::parse(text).map(|identity| {
                let is_canonical = *identity.to_text() == *text || vector.one("expect") != "success";
                assert!(is_canonical, "{}: written otherwise", vector.name);
                (identity.recipient().to_string(), Some(identity.recipient().id()))
            }),
            "locked" => unlock(text, vector.one("passphrase"))
                .map(|identity| (identity.recipient().to_string(), Some(identity.recipient().id()))),
            "box public" => BoxPublic::parse(text).map(|public| (public.to_string(), None)),
            "box secret" => BoxKey::parse(text).map(|key| (key.public().to_string(), None)),
            other => panic!("{}: unknown kind {other}", vector.name),
        };
        match parsed {
            Ok((public, id)) => {
                same("it", "success", vector.one("expect"))?;
                vector.all("public").try_for_each(|expected| same("its public key", &public, expected))?;
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                vector.all("id").try_for_each(|expected| same("its id", &id, expected))
            }
            // The command line tells them apart by this: exit code 12, or a message about the file.
            Err(Error::Passphrase(_)) if vector.one("expect") == "wrong passphrase" => Ok(()),
            Err(_) => same("it", "error", vector.one("expect")),
        }
    });
}

fn unlock(text: &str, passphrase: &str) -> Result<Identity, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret.key");
    fs::write(&file, format!("# test key\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    SecretFile::open(&file, || Some(Zeroizing::new(passphrase.to_owned()))).map(|secret| secret.identity)
}

#[test]
fn footers() {
    let fields = ["box", "root", "backup", "sequence", "previous", "sealed-sha256", "sealed-length", "chunks"];
    let known = [&["expect", "text-sha256"][..], &fields[..]].concat();
    all_as_expected("footer", &known, |vector| {
        let (footer, digest) = match split_footer(&vector.bytes).and_then(Footer::parse) {
            Ok(parsed) => parsed,
            Err(fault) => return same("it", fault.word(), vector.one("expect")),
        };
        same("it", "success", vector.one("expect"))?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = [
            footer.signer.to_string(),
            footer.root.clone(),
            footer.backup.clone(),
            footer.sequence.to_string(),
            hex(&footer.previous),
            hex(&footer.sealed_sha256),
            footer.sealed_length.to_string(),
            footer.chunks.to_string(),
        ];
        fields.iter().zip(found).try_for_each(|(field, found)| same(field, found, vector.one(field)))?;
        same("the digest for the next one", hex(&digest), vector.one("text-sha256"))
    });
}

#[test]
fn tombstones() {
    all_as_expected("tombstone", &["expect", "backup", "box", "removed", "text-sha256"], |vector| {
        let stone = match Tombstone::parse(&vector.bytes) {
            Ok(stone) => stone,
            Err(fault) => return same("it", fault.word(), vector.one("expect")),
        };
        same("it", "success", vector.one("expect"))?;
        same("the backup", &stone.footer.backup, vector.one("backup"))?;
        same("the remover", stone.remover.to_string(), vector.one("box"))?;
        same("the time", stone.removed.to_string(), vector.one("removed"))?;
        let digest: String = stone.footer_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        same("the digest for the next one", digest, vector.one("text-sha256"))
    });
}

#[test]
fn padme_lengths() {
    all_as_expected("padme", &[], |vector| {
        for line in vector.text().lines() {
            let (length, padded) = line.split_once(' ').unwrap();
            same(length, padme(length.parse().unwrap()).to_string(), padded)?;
        }
        Ok(())
    });
}

#[test]
fn every_folder_of_vectors_is_run() {
    let mut folders: Vec<_> = fs::read_dir("tests/vectors")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, ["envelope", "escaping", "footer", "keys", "padme", "tombstone"]);
    // Digests in vectors are in the form that the program parses.
    assert!(unhex::<4>("5e1b3ec5").is_some() && Sha1::parse("5E").is_none());
}
