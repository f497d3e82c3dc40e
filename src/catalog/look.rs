//! One chunk, read to its end: whether its SHA-1 is its name.

use std::io::Read as _;

use crate::digest::{Key, Sha1, Sha1Hasher};
use crate::monitor::one_line;
use crate::target::{Error, ErrorKind, ObjectName, Target};

/// What reading a chunk shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is what its name says.
    Whole,
    /// It is not, or can't be read: in words, and the SHA-1 that it has if it could be read to its end.
    Damaged(String, Option<Sha1>),
    /// It is surely not there any more: in words.
    Gone(String),
    /// It may not be read, so nothing is known of it: in words.
    Unknown(String),
}

/// Reads a chunk of `length` bytes. `count` is told how many bytes came. An error says nothing of what was to be read.
pub fn look(
    target: &dyn Target,
    key: &Key,
    length: u64,
    buffer: &mut [u8],
    count: &mut dyn FnMut(u64),
) -> Result<Look, Error> {
    let name = ObjectName::Chunk(*key);
    let mut sha1 = Sha1Hasher::default();
    let mut source = match target.get(&name, 0, length) {
        Ok(source) => source,
        Err(error) => return judge(error),
    };
    loop {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(got) => {
                sha1.update(&buffer[..got]);
                count(got as u64);
            }
            // Damage in one object is told; that nothing comes any more says nothing of what is there.
            Err(error) => return judge(Error::io("can't be read", error)),
        }
    }
    let found = sha1.finish();
    let damaged = || Look::Damaged("is damaged: its SHA-1 is not its name".into(), Some(found));
    Ok(if found == *key { Look::Whole } else { damaged() })
}

fn judge(error: Error) -> Result<Look, Error> {
    let what = one_line(&error);
    match error.kind {
        _ if error.is_of_the_way() => Err(error),
        ErrorKind::NotFound => Ok(Look::Gone(what)),
        ErrorKind::Denied => Ok(Look::Unknown(what)),
        _ => Ok(Look::Damaged(what, None)),
    }
}
