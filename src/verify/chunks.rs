//! The chunks of whatever targets lie below a folder, each held against its name. Nothing else is read, and nothing is made or changed: for the
//! box that has the disk, and no key and no configuration.

use std::fs::{self, File, ReadDir};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;
use super::objects::BUFFER_BYTES;
use crate::digest::{Key, Sha1Hasher};
use crate::fsutil;
use crate::monitor::{Counter, Phase, Tally};
use crate::relpath::RelPath;
use crate::target::{self, ErrorKind, ObjectName};

/// Each folder that is gone into is an open file.
const DEPTH_MAX: usize = 32;

/// Reads every chunk in a folder and in the folders below it, never through a link.
pub fn chunks(folder: &Path, tally: &Tally<'_>, stop: &AtomicBool) -> Result<(), Error> {
    let unusable = |error: io::Error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::Unreachable } else { ErrorKind::Io };
        Error::Target(target::Error::io(format!("can't list {}", folder.display()), error).of_kind(kind))
    };
    let mut open: Vec<(PathBuf, ReadDir)> = vec![(PathBuf::new(), fs::read_dir(folder).map_err(unusable)?)];
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some((within, entries)) = open.last_mut() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let met = entry.and_then(|entry| Ok((within.join(entry.file_name()), entry.file_type()?)));
        let (path, kind) = match met {
            Ok(met) => met,
            Err(error) => {
                tally.problem(shown(within), format!("can't be listed: {error}"));
                open.pop();
                continue;
            }
        };
        if kind.is_dir() {
            match fs::read_dir(folder.join(&path)) {
                Ok(_) if open.len() == DEPTH_MAX => {
                    tally.problem(shown(&path), "is too deep down: it was not gone into");
                }
                Ok(entries) => open.push((path, entries)),
                Err(error) => tally.problem(shown(&path), format!("can't be listed: {error}")),
            }
        } else if let Some(key) = key_of(&path).filter(|_| kind.is_file()) {
            tally.at(Phase::Verify, &RelPath::parse(shown(&path).as_bytes()).unwrap_or_default());
            match digest(&folder.join(&path), &mut buffer, tally, stop) {
                // Not read to its end: nothing is known of it.
                Ok(None) => break,
                Ok(Some(found)) if found == key => {}
                Ok(Some(_)) => tally.problem(shown(&path), "is damaged: its SHA-1 is not its name"),
                // Somebody has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => tally.problem(shown(&path), format!("can't be read: {error}")),
            }
            tally.count(Counter::Chunks, 1);
        }
    }
    Ok(())
}

fn key_of(path: &Path) -> Option<Key> {
    match ObjectName::parse(path.file_name()?.to_str()?) {
        Some(ObjectName::Chunk(key)) => Some(key),
        _ => None,
    }
}

/// Nothing if it was to stop.
fn digest(path: &Path, buffer: &mut [u8], tally: &Tally<'_>, stop: &AtomicBool) -> io::Result<Option<Key>> {
    let mut file = File::open(path)?;
    fsutil::will_read_in_order(&file);
    let mut sha1 = Sha1Hasher::default();
    while !stop.load(Ordering::Relaxed) {
        match file.read(buffer)? {
            0 => {
                fsutil::drop_cache(&file, 0, 0);
                return Ok(Some(sha1.finish()));
            }
            got => {
                sha1.update(&buffer[..got]);
                tally.count(Counter::StoredBytes, got as u64);
            }
        }
    }
    Ok(None)
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".into() } else { path.display().to_string() }
}
