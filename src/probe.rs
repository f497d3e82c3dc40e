//! What a target must keep, asked of the real thing: the questions of the conformance suite that can be asked without leaving anything
//! behind. Never of a metafile, because one that could not be removed would stay as a backup that does not open.

use crate::digest::Sha1;
use crate::seal::{self, Identity, Recipient, Role, Sealing, Suite};
use crate::target::{self, ErrorKind, Finished, ObjectName, Target};

const PAYLOAD_BYTES: usize = 100_000;
/// Of an object that will stay: enough to be read in parts.
const STAYING_BYTES: usize = 2_000;

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As it must be.
    Fine,
    /// Brackup lives with it; its owner should know.
    Note(String),
    /// Nothing can be relied on here.
    Wrong(String),
}

/// Why the questions could not be asked.
#[derive(Debug)]
pub enum Error {
    /// The object could not be made.
    Seal(seal::Error),
    /// The target.
    Target(target::Error),
}

impl From<seal::Error> for Error {
    fn from(error: seal::Error) -> Self {
        Self::Seal(error)
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

/// Asks, and calls back with each question and its answer. `expected`: the id that the target must have; one that has none yet gets one
/// if nothing is expected.
pub fn run(target: &dyn Target, expected: Option<&str>, each: &mut dyn FnMut(&str, Answer)) -> Result<(), Error> {
    target.identify(expected)?;
    each("it is there, and it is the one that it was", Answer::Fine);
    let recipients = [Identity::generate()?.recipient().clone()];
    let mut first = object(target, &recipients, PAYLOAD_BYTES)?;
    // Where nothing may be removed, little is left.
    let unstored = ObjectName::Chunk(first.sha1());
    if matches!(target.delete(&unstored), Err(error) if error.kind == ErrorKind::Denied) {
        first = object(target, &recipients, STAYING_BYTES)?;
    }
    let (name, length) = (ObjectName::Chunk(first.sha1()), first.length());
    let asked = questions(target, &name, first, each);
    // Whatever went wrong: what was stored must not stay.
    match target.delete(&name) {
        Err(error) if error.kind == ErrorKind::Denied => {
            // What was never stored stays nowhere; of what can't be told it is said.
            if !matches!(target.stat(&name), Ok(None)) {
                each("an object can be removed", stays(&name, length));
            }
            // What would be written over would stay, too.
            return asked;
        }
        deleted => asked.and_then(|()| deleted.map_err(Error::from))?,
    }
    let is_gone = target.stat(&name)?.is_none();
    each("an object can be removed", wrong_unless(is_gone, "it is said to be removed, and is there"));
    if is_gone { is_kept(target, &recipients, each) } else { Ok(()) }
}

fn stays(name: &ObjectName, length: u64) -> Answer {
    Answer::Note(format!(
        "it may not: nor may a thief of this box, but old backups can't be removed from here. The {length} bytes of {name} stay"
    ))
}

fn questions(
    target: &dyn Target,
    name: &ObjectName,
    first: Finished,
    each: &mut dyn FnMut(&str, Answer),
) -> Result<(), Error> {
    let (length, sha1) = (first.length(), first.sha1());
    let is_absent = target.stat(name)?.is_none() && not_found(target, name)?;
    each(
        "what is not there is said not to be there",
        wrong_unless(is_absent, "an object that nobody has is said to be there"),
    );
    target.put(name, first)?;
    each("an object is stored", wrong_unless(target.stat(name)? == Some(length), "it has another length there"));
    let whole = read(target, name, 0, length)?;
    let middle = read(target, name, length / 2, 1000)?;
    let end = read(target, name, length - 10, 1000)?;
    let is_same = Sha1::of(&whole) == sha1 && middle.len() == 1000 && end.len() == 10;
    each("what is read is what was stored, whole and in parts", wrong_unless(is_same, "other bytes come back"));
    let mut listed = None;
    target.list(&mut |found, bytes| {
        if found == *name {
            listed = Some(bytes);
        }
        Ok(())
    })?;
    // Brackup asks once more before it takes an object for gone.
    let late =
        || Answer::Note("not yet, or with another length: each object that is missed is asked for by itself".into());
    each("it is listed", if listed == Some(length) { Answer::Fine } else { late() });
    Ok(())
}

fn wrong_unless(holds: bool, what: &str) -> Answer {
    if holds { Answer::Fine } else { Answer::Wrong(what.into()) }
}

/// Whether another object under the same name leaves the one that is there.
fn is_kept(target: &dyn Target, recipients: &[Recipient], each: &mut dyn FnMut(&str, Answer)) -> Result<(), Error> {
    let first = object(target, recipients, PAYLOAD_BYTES)?;
    let (name, length) = (ObjectName::Chunk(first.sha1()), first.length());
    let asked = || {
        target.put(&name, first)?;
        let before = read(target, &name, 0, length)?;
        target.put(&name, object(target, recipients, PAYLOAD_BYTES)?)?;
        Ok::<_, Error>(read(target, &name, 0, length)? == before)
    };
    let asked = asked();
    target.delete(&name)?;
    let overwritten = || {
        Answer::Note(
            "it is: before a backup is stored Brackup asks whether its name is taken, but whoever has this box can write over what is there; keep versions on the server, if it can".into(),
        )
    };
    each("what is there is not written over", if asked? { Answer::Fine } else { overwritten() });
    Ok(())
}

fn not_found(target: &dyn Target, name: &ObjectName) -> Result<bool, Error> {
    match target.get(name, 0, 1) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(false),
    }
}

/// A chunk of noise for nobody.
fn object(target: &dyn Target, recipients: &[Recipient], payload: usize) -> Result<Finished, Error> {
    let mut stage = target.stage()?;
    let mut write = |sealed: crate::blob::Sealed<'_>| stage.write(sealed).map_err(Error::Target);
    let mut sealing = Sealing::create(Suite::ChaCha20Poly1305, Role::Chunk, recipients, &mut write)?;
    sealing.write(&vec![0; payload], &mut write)?;
    sealing.finish(&mut write)?;
    Ok(stage.finish())
}

fn read(target: &dyn Target, name: &ObjectName, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let failed = |error| target::Error::io(format!("can't read {name}"), error);
    std::io::Read::read_to_end(&mut target.get(name, offset, length)?, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::target::{Filesystem, Stage};

    /// A folder with one habit that no folder has.
    struct Odd {
        folder: Filesystem,
        path: std::path::PathBuf,
        habit: Habit,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Habit {
        None,
        Overwrites,
        MayNotDelete,
        KeepsWhatIsDeleted,
        Garbles,
        ListsNothing,
        TakesNothing,
        /// And is asked in vain what it has.
        GoesAway,
    }

    impl Target for Odd {
        fn stage(&self) -> Result<Stage, target::Error> {
            self.folder.stage()
        }

        fn put(&self, name: &ObjectName, finished: Finished) -> Result<(), target::Error> {
            if self.habit == Habit::GoesAway {
                std::fs::remove_dir_all(&self.path).unwrap();
            }
            if matches!(self.habit, Habit::TakesNothing | Habit::GoesAway) {
                return Err(target::Error::new(ErrorKind::Denied, "nothing is taken"));
            }
            let there = self.path.join(name.to_string());
            if self.habit == Habit::Overwrites && there.exists() {
                std::fs::write(there, vec![0; 100_000]).unwrap();
                return Ok(());
            }
            self.folder.put(name, finished)
        }

        fn get(&self, name: &ObjectName, offset: u64, length: u64) -> Result<Box<dyn Read + '_>, target::Error> {
            let reader = self.folder.get(name, offset, length)?;
            Ok(if self.habit == Habit::Garbles { Box::new(reader.chain(&b"x"[..])) } else { reader })
        }

        fn stat(&self, name: &ObjectName) -> Result<Option<u64>, target::Error> {
            self.folder.stat(name)
        }

        fn list(
            &self,
            each: &mut dyn FnMut(ObjectName, u64) -> Result<(), target::Error>,
        ) -> Result<(), target::Error> {
            if self.habit == Habit::ListsNothing { Ok(()) } else { self.folder.list(each) }
        }

        fn delete(&self, name: &ObjectName) -> Result<(), target::Error> {
            match self.habit {
                Habit::MayNotDelete | Habit::TakesNothing | Habit::GoesAway => {
                    Err(target::Error::new(ErrorKind::Denied, "no"))
                }
                Habit::KeepsWhatIsDeleted => Ok(()),
                _ => self.folder.delete(name),
            }
        }

        fn identify(&self, expected: Option<&str>) -> Result<String, target::Error> {
            self.folder.identify(expected)
        }

        fn clock(&self) -> Result<std::time::SystemTime, target::Error> {
            self.folder.clock()
        }

        fn describe(&self) -> String {
            self.folder.describe()
        }
    }

    #[test]
    fn each_habit_is_found_and_what_can_be_removed_is() {
        for (habit, question, is_wrong, stays) in [
            (Habit::None, "", false, 0),
            (Habit::Overwrites, "what is there is not written over", false, 0),
            (Habit::MayNotDelete, "an object can be removed", false, 1),
            (Habit::KeepsWhatIsDeleted, "an object can be removed", true, 1),
            (Habit::Garbles, "what is read is what was stored, whole and in parts", true, 0),
            (Habit::ListsNothing, "it is listed", false, 0),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_owned();
            let target = Odd { folder: Filesystem::at(&path), path: path.clone(), habit };
            let mut told = Vec::new();
            run(&target, None, &mut |question, answer| told.push((question.to_owned(), answer))).unwrap();
            let remarkable: Vec<_> = told.iter().filter(|(_, answer)| *answer != Answer::Fine).collect();
            if question.is_empty() {
                assert_eq!((remarkable.len(), told.len()), (0, 7), "{told:?}");
            } else {
                let [(asked, answer)] = remarkable[..] else { panic!("{question}: {told:?}") };
                assert_eq!((asked.as_str(), matches!(answer, Answer::Wrong(_))), (question, is_wrong), "{answer:?}");
            }
            let left = std::fs::read_dir(&path)
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name() != "brackup-target.id");
            let left: Vec<_> = left.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
            assert_eq!(left.len(), stays, "{question}");
            assert!(habit != Habit::MayNotDelete || left[0] < 3_000, "as little as can be: {left:?}");
        }
    }

    /// Why nothing was stored is what the owner must hear, and of what was not stored nothing stays.
    #[test]
    fn what_is_not_taken_is_said_and_not_what_comes_of_it() {
        for (habit, questions) in [(Habit::TakesNothing, 0), (Habit::GoesAway, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_owned();
            let target = Odd { folder: Filesystem::at(&path), path, habit };
            let mut told = Vec::new();
            let done = run(&target, None, &mut |question, _| told.push(question.to_owned()));
            let Error::Target(error) = done.unwrap_err() else { panic!("{told:?}") };
            assert_eq!(error.kind, ErrorKind::Denied, "{error}: {told:?}");
            let of_removing = told.iter().filter(|question| *question == "an object can be removed").count();
            assert_eq!(of_removing, questions, "{told:?}");
        }
    }
}
