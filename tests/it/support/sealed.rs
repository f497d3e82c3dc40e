//! Objects made by hand.

use brackup::seal::{self, Recipient, Role, Sealing, Suite};
use brackup::target::{self, Stage};

/// Why sealing or staging failed.
#[derive(Debug)]
struct Fail;

impl From<target::Error> for Fail {
    fn from(_: target::Error) -> Self {
        Self
    }
}

impl From<seal::Error> for Fail {
    fn from(_: seal::Error) -> Self {
        Self
    }
}

/// Writes an envelope with this payload into a stage.
pub(crate) fn seal_into(stage: &mut Stage, role: Role, recipients: &[Recipient], payload: &[u8]) {
    let suite = Suite::ChaCha20Poly1305;
    let sealing = Sealing::create::<Fail>(suite, role, recipients, |sealed| Ok(stage.write(sealed)?));
    let mut sealing = sealing.unwrap();
    sealing.write::<Fail>(payload, |sealed| Ok(stage.write(sealed)?)).unwrap();
    sealing.finish::<Fail>(|sealed| Ok(stage.write(sealed)?)).unwrap();
}
