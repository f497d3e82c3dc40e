//! What a server does and not what it says: found out before the first object is stored, with two small files.
//!
//! Servers exist that overwrite what they are asked not to, that say yes and do nothing, that send the whole of a file in place of a part, and that
//! find everything, with a page to log in on. What is stored there would be lost later; so nothing is.

use super::WebDav;
use super::ask::Ask;
use super::store::{MOVED, STORED, temporary_name};
use crate::target::body;
use crate::target::error::{Error, ErrorKind};
use crate::target::http;
use crate::target::upload::Payload;

/// An error if this is no server to count on. Leaves nothing behind if it may delete.
pub(super) fn run(dav: &WebDav) -> Result<(), Error> {
    let names = [temporary_name("probe")?, temporary_name("probe")?, temporary_name("probe")?];
    let found = judge(dav, &names);
    names.iter().for_each(|name| dav.remove(name));
    found
}

fn judge(dav: &WebDav, [one, two, new]: &[String; 3]) -> Result<(), Error> {
    let bad = |habit| Err(bad(dav, habit));
    store(dav, one, "1")?;
    store(dav, two, "22")?;
    let (first, second) = (dav.length(one)?, dav.length(two)?);
    if (first, second) != (Some(1), Some(2)) {
        return bad("what is stored is not what is there");
    }
    let is_moved = rename(dav, one, two)?;
    if (dav.length(one)?, dav.length(two)?) != (first, second) {
        return bad("it overwrites a file although it is asked not to (MOVE with `Overwrite: F`)");
    }
    if is_moved {
        return bad("it says that it renamed a file, and did not");
    }
    if part(dav, two)?.as_deref() != Some("2") {
        return bad("it does not send parts of files (GET with `Range`)");
    }
    if !rename(dav, one, new)? || (dav.length(one)?, dav.length(new)?) != (None, first) {
        return bad("it does not rename files (MOVE)");
    }
    Ok(())
}

/// That a server does what loses objects later.
pub(super) fn bad(dav: &WebDav, habit: &str) -> Error {
    let why = format!("{} can't be counted on: {habit}", dav.place());
    Error::new(ErrorKind::Unreachable, why).advise("docs/TARGETS.md says what a server of WebDAV must do")
}

fn store(dav: &WebDav, name: &str, text: &str) -> Result<(), Error> {
    let what = dav.what_of("write", &name);
    dav.retry.run(|_| {
        let ask = Ask { method: "PUT", name, body: Some(Payload::Text(text)), ..Ask::default() };
        http::drain(dav.ask(&ask, STORED, &what)?.map_err(|refusal| dav.refused(refusal, &what))?);
        Ok(())
    })
}

/// Whether it says that it did.
fn rename(dav: &WebDav, from: &str, to: &str) -> Result<bool, Error> {
    let what = dav.what_of("rename", &from);
    dav.retry.run(|tried| match dav.ask(&dav.renaming(from, to), MOVED, &what)? {
        Ok(answer) => {
            http::drain(answer);
            Ok(true)
        }
        // The first try may have been done and its answer lost.
        Err(refusal) if tried > 0 && refusal.status < 500 => {
            Ok(dav.length(from)?.is_none() && dav.length(to)? == Some(1))
        }
        Err(refusal) if refusal.status == 412 => Ok(false),
        Err(refusal) => Err(dav.refused(refusal, &what)),
    })
}

/// The second byte of a file, if that is what comes.
fn part(dav: &WebDav, name: &str) -> Result<Option<String>, Error> {
    let what = dav.what_of("read", &name);
    dav.retry.run(|_| {
        let ask = Ask { method: "GET", name, headers: vec![("range", body::range(1, 1))], ..Ask::default() };
        match dav.ask(&ask, &[200, 206], &what)? {
            Ok(mut answer) if body::begins_at(&answer, 1) => {
                let bytes = http::short(&mut answer, 16).map_err(http::cut(&what))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Ok(_) => Ok(None),
            Err(refusal) => Err(refusal.failed(&what)),
        }
    })
}
