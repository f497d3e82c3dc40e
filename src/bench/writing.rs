//! Sealed noise to a target, durably, and away with it. An object's name is the SHA-1 of bytes that carry a fresh key: nobody else can
//! have an object of that name, so what is deleted is what was written here.

use super::Error;
use super::cpu::Bench;
use super::measured::{Measured, What};
use crate::blob::Sealed;
use crate::seal::{Role, Sealing, Suite};
use crate::target::{ObjectName, Stage, Target};

/// The first object is small, each later one twice as large: a slow disk is not given more than it can take in the time.
const FIRST_BYTES: u64 = 4 << 20;

pub(super) fn objects(
    target: &dyn Target,
    bench: &Bench<'_>,
    suite: Suite,
    chunk_bytes: u64,
) -> Result<Measured, Error> {
    let mut measured = Measured::new(What::Write);
    let mut payload = FIRST_BYTES;
    while bench.goes_on(measured.wall) {
        object(target, bench, suite, payload.min(chunk_bytes), &mut measured)?;
        payload = payload.saturating_mul(2);
    }
    Ok(measured)
}

/// Writes one object and removes it. If it is ended from outside, the stage goes as it came.
fn object(
    target: &dyn Target,
    bench: &Bench<'_>,
    suite: Suite,
    payload: u64,
    measured: &mut Measured,
) -> Result<(), Error> {
    let mut stage = measured.time(|| target.stage())?;
    let mut sealing = Sealing::create(suite, Role::Chunk, &bench.recipients, |sealed| write(&mut stage, sealed))?;
    let mut written = 0;
    while written < payload {
        if bench.is_stopped() {
            return Ok(());
        }
        sealing.write(&bench.piece, |sealed| measured.time(|| write(&mut stage, sealed)))?;
        written += bench.piece.len() as u64;
    }
    sealing.finish(|sealed| measured.time(|| write(&mut stage, sealed)))?;
    let finished = stage.finish();
    let (name, length) = (ObjectName::Chunk(finished.sha1()), finished.length());
    if measured.count == 0 {
        // It is not there yet. Where nothing may be removed, that is heard here and nothing is left.
        target.delete(&name)?;
    }
    let stored = measured.time(|| target.put(&name, finished));
    // Also if the put failed: it may have come as far as the name.
    let deleted = target.delete(&name);
    deleted?;
    stored?;
    measured.count += length;
    measured.bytes += length;
    Ok(())
}

fn write(stage: &mut Stage, sealed: Sealed<'_>) -> Result<(), Error> {
    stage.write(sealed).map_err(Error::Target)
}
