//! One backup, opened: fetched once to a file without a name, digested and its signature checked before a word of it is believed,
//! then read document by document.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::Error;
use crate::fsutil;
use crate::limits::{HEADER_BYTES_MAX, ZSTD_WINDOW_LOG_MAX};
use crate::metafile::Reader;
use crate::seal::{BoxPublic, Fault, Footer, Header, Identity, KeyId, Role, split_footer};
use crate::target::{BackupName, ObjectName, Target};

/// Enough to tell an object from what is none.
const HEAD_BYTES: u64 = 16;

/// Reads the documents of a metafile.
pub type Documents = Reader<zstd::stream::read::Decoder<'static, BufReader<crate::seal::Opener<Fetched>>>>;

/// Whose signature is believed.
#[derive(Debug, Default)]
pub struct Trust {
    /// Boxes that are pinned, for this root or by the secret key file. Empty: the first is trusted.
    pub pinned: Vec<BoxPublic>,
    /// Go on without a good signature, or with a signer that is not pinned.
    pub accept_unsigned: bool,
}

/// What became of the check of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By a box that is pinned.
    Trusted(Footer),
    /// Nothing is pinned: by a box that is seen for the first time.
    FirstSeen(Footer),
    /// It was accepted all the same. Why it should not have been.
    Accepted(String),
}

/// A backup whose documents can be read.
#[derive(Debug)]
pub struct OpenBackup {
    /// Its name.
    pub name: BackupName,
    /// Who wrote it.
    pub verdict: Verdict,
    file: File,
    sealed_length: u64,
}

impl OpenBackup {
    /// Fetches a metafile of `length` bytes and checks who wrote it.
    pub fn open(
        target: &dyn Target,
        name: &BackupName,
        length: u64,
        trust: &Trust,
        spool: &Path,
    ) -> Result<Self, Error> {
        let mut source = target.get(&ObjectName::Metafile(name.clone()), 0, length)?;
        Self::read(&mut *source, name, length, trust, spool)
    }

    /// The same by its name alone, if it is there: without a listing, which may be of many chunks.
    pub fn by_name(target: &dyn Target, name: &BackupName, trust: &Trust, spool: &Path) -> Result<Self, Error> {
        let (mut source, length) = target.beginning(&ObjectName::Metafile(name.clone()), i64::MAX as u64)?;
        Self::read(&mut *source, name, length, trust, spool)
    }

    /// The same, from wherever its bytes come.
    pub(super) fn read(
        source: &mut dyn Read,
        name: &BackupName,
        length: u64,
        trust: &Trust,
        spool: &Path,
    ) -> Result<Self, Error> {
        let object = ObjectName::Metafile(name.clone());
        let mut file = fsutil::unnamed_file(spool).map_err(Error::Spool)?;
        let tail = fetch(source, &object, length, &mut file)?;
        let footer = split_footer(&tail).and_then(Footer::parse).map(|(footer, _)| footer);
        let checked = match footer {
            Ok(footer) => check(footer, name, length, &tail, &mut file, trust)?,
            Err(fault) => Err(fault),
        };
        let (verdict, sealed_length) = match checked {
            Ok((verdict, sealed_length)) => (verdict, sealed_length),
            Err(fault) if trust.accept_unsigned => {
                // The length of the footer is still the best word on where the envelope ends.
                let text = split_footer(&tail).map_or(0, |text| text.len() + Footer::MARK_BYTES);
                (Verdict::Accepted(fault.to_string()), length - text as u64)
            }
            Err(fault) => {
                // To go on without a signature helps only where there is something to go on with.
                let fault = if is_no_object(&file)? { Fault::NotBrackup } else { fault };
                return Err(Error::Object { name: object.to_string(), fault });
            }
        };
        if let Verdict::Accepted(_) = &verdict
            && !trust.accept_unsigned
        {
            return Err(Error::Object { name: object.to_string(), fault: Fault::Signature });
        }
        Ok(Self { name: name.clone(), verdict, file, sealed_length })
    }

    /// The ids of the keys that it is sealed to, and with it every chunk that it names: to others they would be others.
    pub fn recipients(&self) -> Result<Vec<KeyId>, Error> {
        let mut head = Vec::new();
        let file = self.file.try_clone().map_err(Error::Spool)?;
        let sealed = Fetched { file, at: 0, end: self.sealed_length };
        sealed.take(HEADER_BYTES_MAX as u64).read_to_end(&mut head).map_err(Error::Spool)?;
        let header = Header::parse(&head);
        let recipients = header.map(|header| header.recipients().collect());
        recipients.map_err(|fault| Error::Object { name: format!("{}.meta", self.name), fault })
    }

    /// Reads its documents from the first; may be called again.
    pub fn documents(&self, identities: &[Identity]) -> Result<Documents, Error> {
        let file = self.file.try_clone().map_err(Error::Spool)?;
        let sealed = Fetched { file, at: 0, end: self.sealed_length };
        let opener = crate::seal::Opener::open(sealed, self.sealed_length, Role::Metafile, identities);
        let opener = opener.map_err(|error| match error.downcast::<Fault>() {
            Ok(fault) => Error::Object { name: format!("{}.meta", self.name), fault },
            Err(error) => Error::Spool(error),
        })?;
        let mut zstd = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(16 * 1024, opener))
            .map_err(Error::Spool)?;
        zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(Error::Spool)?;
        let documents = Reader::open(zstd)?;
        if documents.header().root != self.name.root() {
            return Err(Error::Contents("the metafile is of another root than its name says"));
        }
        Ok(documents)
    }
}

/// The envelope of a metafile that was fetched. By offset, so that two who read it do not move each other.
#[derive(Debug)]
pub struct Fetched {
    file: File,
    at: u64,
    end: u64,
}

impl Read for Fetched {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let got = self.file.read_at(&mut into[..most], self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Fetches the whole object into `file`; gives its last bytes.
fn fetch(source: &mut dyn Read, object: &ObjectName, length: u64, file: &mut File) -> Result<Vec<u8>, Error> {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut fetched = 0;
    loop {
        let got = source
            .read(&mut buffer)
            .map_err(|error| crate::target::Error::io(format!("can't read {object}"), error))?;
        if got == 0 {
            break;
        }
        file.write_all(&buffer[..got]).map_err(Error::Spool)?;
        tail.extend_from_slice(&buffer[..got]);
        let excess = tail.len().saturating_sub(Footer::TAIL_BYTES_MAX);
        tail.drain(..excess);
        fetched += got as u64;
    }
    if fetched == length { Ok(tail) } else { Err(Error::Object { name: object.to_string(), fault: Fault::Damaged }) }
}

/// Checks what a footer with a good signature says against what is there. The outer error ends it, the inner one may be accepted.
fn check(
    footer: Footer,
    name: &BackupName,
    length: u64,
    tail: &[u8],
    file: &mut File,
    trust: &Trust,
) -> Result<Result<(Verdict, u64), Fault>, Error> {
    let behind = split_footer(tail).map_or(0, <[u8]>::len) + Footer::MARK_BYTES;
    let sealed_length = length - behind as u64;
    let is_its_own =
        footer.backup == name.to_string() && footer.root == name.root() && footer.sealed_length == sealed_length;
    if !is_its_own || sha256(file, sealed_length)? != footer.sealed_sha256 {
        return Ok(Err(Fault::Signature));
    }
    if trust.pinned.contains(&footer.signer) {
        return Ok(Ok((Verdict::Trusted(footer), sealed_length)));
    }
    if trust.pinned.is_empty() {
        return Ok(Ok((Verdict::FirstSeen(footer), sealed_length)));
    }
    let foreign = Error::ForeignSigner { name: name.to_string(), signer: footer.signer.to_string() };
    if trust.accept_unsigned { Ok(Ok((Verdict::Accepted(foreign.to_string()), sealed_length))) } else { Err(foreign) }
}

/// Whether it does not even begin as one: empty, or something else.
fn is_no_object(file: &File) -> Result<bool, Error> {
    let mut head = Vec::new();
    Fetched { file: file.try_clone().map_err(Error::Spool)?, at: 0, end: HEAD_BYTES }
        .read_to_end(&mut head)
        .map_err(Error::Spool)?;
    Ok(matches!(Header::parse(&head), Err(Fault::NotBrackup)))
}

fn sha256(file: &mut File, length: u64) -> Result<[u8; 32], Error> {
    file.seek(SeekFrom::Start(0)).map_err(Error::Spool)?;
    let mut source = file.take(length);
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buffer).map_err(Error::Spool)? {
            0 => return Ok(sha256.finalize().into()),
            got => sha256.update(&buffer[..got]),
        }
    }
}
