//! One object from one target to another: the same bytes under the same name, and only if they are what the name, or the signature, says.
//! No key is needed.

use std::io::Read as _;

use super::Error;
use super::chain::{footer, tombstone};
use crate::monitor::{Counter, Tally};
use crate::seal::Fault;
use crate::target::{self, Finished, ObjectName, Stage, Target};

/// What is read and written at a time.
pub const TRANSFER_BYTES: usize = 64 * 1024;

/// Why an object was not transferred.
#[derive(Debug)]
pub enum Failed {
    /// It can't be read where it is, or is not whole there: others may be.
    There(Error),
    /// It can't be stored.
    Here(target::Error),
}

/// Stores an object of so many bytes at another target too. `buffer` has [`TRANSFER_BYTES`].
pub fn transfer(
    from: &dyn Target,
    to: &dyn Target,
    name: &ObjectName,
    length: u64,
    buffer: &mut [u8],
    tally: &Tally<'_>,
) -> Result<(), Failed> {
    to.put(name, bring(from, to, name, length, buffer, tally)?).map_err(Failed::Here)
}

/// An object as another target has it, staged to be stored: whole, and what its name or its signature says.
pub fn bring(
    from: &dyn Target,
    to: &dyn Target,
    name: &ObjectName,
    length: u64,
    buffer: &mut [u8],
    tally: &Tally<'_>,
) -> Result<Finished, Failed> {
    let finished = match name {
        ObjectName::Chunk(key) => {
            let finished = fetch(from, to.stage().map_err(Failed::Here)?, name, (0, length), buffer, tally)?.finish();
            if finished.sha1() == *key { Ok(finished) } else { Err(Fault::Damaged) }
        }
        ObjectName::Metafile(backup) => {
            let (footer, _) = footer(from, backup, length).map_err(Failed::There)?;
            let stage = to.stage().map_err(Failed::Here)?.with_sha256();
            let sealed = footer.sealed_length.min(length);
            let stage = fetch(from, stage, name, (0, sealed), buffer, tally)?;
            let is_whole = stage.sha256() == Some(footer.sealed_sha256) && sealed == footer.sealed_length;
            let finished = fetch(from, stage, name, (sealed, length - sealed), buffer, tally)?.finish();
            if is_whole { Ok(finished) } else { Err(Fault::Signature) }
        }
        ObjectName::Tombstone(backup) => {
            tombstone(from, backup, length).map_err(Failed::There)?;
            Ok(fetch(from, to.stage().map_err(Failed::Here)?, name, (0, length), buffer, tally)?.finish())
        }
    };
    let finished = finished.and_then(|finished: Finished| {
        // Shorter than it was listed: it is being written there, or was cut.
        if finished.length() == length { Ok(finished) } else { Err(Fault::Damaged) }
    });
    finished.map_err(|fault| Failed::There(Error::Object { name: name.to_string(), fault }))
}

/// Bytes of an object, so many from there, into a stage.
fn fetch(
    from: &dyn Target,
    mut stage: Stage,
    name: &ObjectName,
    (offset, length): (u64, u64),
    buffer: &mut [u8],
    tally: &Tally<'_>,
) -> Result<Stage, Failed> {
    let failed = |error| Failed::There(target::Error::io(format!("can't read {name}"), error).into());
    if length == 0 {
        return Ok(stage);
    }
    let mut source = from.get(name, offset, length).map_err(|error| Failed::There(error.into()))?;
    loop {
        match source.read(buffer).map_err(failed)? {
            0 => return Ok(stage),
            got => {
                stage.write_received(&buffer[..got]).map_err(Failed::Here)?;
                tally.count(Counter::StoredBytes, got as u64);
            }
        }
    }
}
