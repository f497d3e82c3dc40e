//! What Google Drive says of files: names are no keys there, so several may have one. Those in the trash are not there.

use serde::Deserialize;

use super::GoogleDrive;
use super::api::Ask;
use super::oauth::json;
use crate::limits::LISTED_NAMES_MAX;
use crate::provider::percent_encode;
use crate::target::ObjectName;
use crate::target::error::{Error, ErrorKind};
use crate::target::retry::Failed;

/// As many as there can be in a page.
const PAGE_FILES: &str = "1000";
/// Pages without a file, one after the other: a search may have some.
const EMPTY_PAGES_MAX: u32 = 1000;
/// Several of one name that are looked at, or deleted, at once.
const SAME_NAME_MAX: usize = 1000;
/// What is asked of each file of a page.
const LISTED: &str = "id,name,size,sha1Checksum,createdTime,trashed";
/// What is asked of one file.
pub(super) const FIELDS: &str = "id,name,size,md5Checksum,sha1Checksum,createdTime,parents,trashed";
pub(super) const FOLDER_TYPE: &str = "application/vnd.google-apps.folder";

/// A file, as far as it was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct File {
    pub(super) id: String,
    pub(super) name: String,
    size: Option<String>,
    pub(super) md5_checksum: Option<String>,
    pub(super) sha1_checksum: Option<String>,
    created_time: String,
    parents: Vec<String>,
    pub(super) trashed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    files: Vec<File>,
    #[serde(default)]
    next_page_token: Option<String>,
    #[serde(default)]
    incomplete_search: bool,
}

impl File {
    /// Nothing for what has no bytes of its own.
    pub(super) fn length(&self) -> Option<u64> {
        self.size.as_ref()?.parse().ok()
    }

    /// Whether its bytes can be those of this name.
    pub(super) fn fits(&self, name: &str) -> bool {
        match (ObjectName::parse(name), &self.sha1_checksum) {
            (Some(ObjectName::Chunk(key)), Some(sha1)) => sha1.eq_ignore_ascii_case(&key.to_string()),
            _ => true,
        }
    }

    /// Which of several of one name is the one: what fits, then the oldest.
    fn is_before(&self, other: &Self) -> bool {
        let order = |file: &Self| (!file.fits(&file.name), file.created_time.clone(), file.id.clone());
        order(self) < order(other)
    }
}

/// The one of those of a name, see [`File::is_before`].
pub(super) fn the_one(best: Option<File>, next: File) -> File {
    match best {
        Some(best) if !next.is_before(&best) => best,
        _ => next,
    }
}

/// A text in a search (Drive API, "Search query terms and operators").
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl GoogleDrive {
    /// Calls back for every file that a search finds. Half a page counts for nothing, and half a listing is an error.
    fn search(&self, q: &str, what: &str, each: &mut dyn FnMut(File) -> Result<(), Error>) -> Result<(), Error> {
        let wrong = |why: &str| Error::new(ErrorKind::Io, format!("{what}: {why}"));
        let query = format!(
            "/drive/v3/files?q={}&orderBy=name&pageSize={PAGE_FILES}&spaces=drive&fields={}&prettyPrint=false",
            percent_encode(q),
            percent_encode(&format!("nextPageToken,incompleteSearch,files({LISTED})"))
        );
        let (mut next, mut first, mut empty, mut count) = (None::<String>, String::new(), 0, 0);
        loop {
            let token = next.as_deref().map_or_else(String::new, |next| format!("&pageToken={}", percent_encode(next)));
            let page = self.retry.run(|_| {
                let ask = Ask { method: "GET", path: &format!("{query}{token}"), ..Ask::default() };
                let answer = match self.api.ask(&ask, &[200], what)? {
                    Ok(answer) => answer,
                    // What is not found is what is searched in.
                    Err(refusal) if refusal.is_not_found() => return Err(self.folder_is_gone().into()),
                    Err(refusal) => return Err(self.refused(refusal, what)),
                };
                let page: Page = json(answer, what)?;
                let is_whole = !page.incomplete_search && page.files.iter().all(|file| !file.id.is_empty());
                // What is missing would be taken for gone.
                if is_whole { Ok(page) } else { Err(Failed::ForNow(wrong("the answer is not complete"), None)) }
            })?;
            count += page.files.len();
            empty = if page.files.is_empty() { empty + 1 } else { 0 };
            if let Some(file) = page.files.first() {
                if file.id == first {
                    return Err(wrong("the server sends the same page again"));
                }
                first.clone_from(&file.id);
            }
            for file in page.files {
                each(file)?;
            }
            let token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_some() && token == next {
                return Err(wrong("the server sends the same page again"));
            }
            if empty > EMPTY_PAGES_MAX || count > LISTED_NAMES_MAX {
                return Err(wrong("the server sends pages and no end"));
            }
            next = match token {
                Some(token) => Some(token),
                None => return Ok(()),
            };
        }
    }

    /// All files of a name in the folder.
    pub(super) fn named(&self, name: &str, what: &str) -> Result<Vec<File>, Error> {
        let folder = self.folder()?;
        let q = format!(
            "name={} and {} in parents and trashed=false and mimeType!='{FOLDER_TYPE}'",
            quoted(name),
            quoted(&folder)
        );
        let mut found = Vec::new();
        self.search(&q, what, &mut |file| {
            // A search for names may know no difference between upper and lower case.
            if file.name == name && !file.trashed {
                if found.len() == SAME_NAME_MAX {
                    return Err(Error::new(ErrorKind::Corrupt, format!("{what}: too many files have this name")));
                }
                found.push(file);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls back for every object, in the order of names, so that several files of one come together.
    pub(super) fn objects(
        &self,
        what: &str,
        each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let folder = self.folder()?;
        let q = format!("{} in parents and trashed=false and mimeType!='{FOLDER_TYPE}'", quoted(&folder));
        let mut last: Option<(ObjectName, File)> = None;
        let mut tell = |object: Option<(ObjectName, File)>| {
            let Some((name, file)) = object else { return Ok(()) };
            let no_length = || Error::new(ErrorKind::Io, format!("{what}: the length of {name} is not told"));
            let length = file.length().ok_or_else(no_length)?;
            // Nobody is to rely on what is not what its name says. What of it is whole can be read all the same.
            let length = if file.fits(&file.name) { length } else { 0 };
            self.known.hear_of(&file.name, &file.id);
            each(name, length)
        };
        self.search(&q, what, &mut |file| {
            let Some(name) = ObjectName::parse(&file.name).filter(|_| !file.trashed) else { return Ok(()) };
            let before = last.take();
            let (same, other): (Option<_>, Option<_>) = match before {
                Some((before, file)) if before == name => (Some(file), None),
                before => (None, before),
            };
            last = Some((name, the_one(same, file)));
            tell(other)
        })?;
        tell(last)?;
        // A folder that goes away, or to the trash, shows nothing.
        self.surely_there()
    }

    /// The folder of this name in another, if there is one: the oldest.
    pub(super) fn folder_in(&self, parent: &str, name: &str, what: &str) -> Result<Option<String>, Error> {
        let q = format!(
            "name={} and {} in parents and trashed=false and mimeType='{FOLDER_TYPE}'",
            quoted(name),
            quoted(parent)
        );
        let mut found = None;
        self.search(&q, what, &mut |file| {
            if file.name == name && !file.trashed {
                found = Some(the_one(found.take(), file));
            }
            Ok(())
        })?;
        Ok(found.map(|folder| folder.id))
    }

    /// What is said of a file, by its id. Nothing: it is not there, or in the trash.
    pub(super) fn file(&self, id: &str, what: &str) -> Result<Option<File>, Error> {
        let path =
            format!("/drive/v3/files/{}?fields={}&prettyPrint=false", percent_encode(id), percent_encode(FIELDS));
        let file = self.retry.run(|_| {
            let ask = Ask { method: "GET", path: &path, ..Ask::default() };
            match self.api.ask(&ask, &[200], what)? {
                Ok(answer) => json::<File>(answer, what).map(Some),
                Err(refusal) if refusal.is_not_found() => Ok(None),
                Err(refusal) => Err(self.refused(refusal, what)),
            }
        })?;
        Ok(file.filter(|file| file.id == id && !file.trashed))
    }

    /// The file of a name, if it is one of ours: by what is remembered, if that is so still.
    pub(super) fn look(&self, name: &str, what: &str) -> Result<Option<File>, Error> {
        if let Some(id) = self.known.id(name) {
            let folder = self.folder()?;
            let is_so = |file: &File| file.name == name && file.parents.contains(&folder) && file.fits(name);
            if let Some(file) = self.file(&id, what)?.filter(is_so) {
                return Ok(Some(file));
            }
            self.known.forget(name);
        }
        let found = self.named(name, what)?.into_iter().fold(None, |best, next| Some(the_one(best, next)));
        if let Some(file) = &found {
            self.known.learn(name, &file.id);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_a_search_is_only_a_text() {
        assert_eq!(quoted("nas"), "'nas'");
        assert_eq!(quoted(r"it's a \ or 'x' or '"), r"'it\'s a \\ or \'x\' or \''");
    }

    #[test]
    fn what_fits_comes_before_what_is_older() {
        let file = |id: &str, sha1: Option<&str>, created: &str| File {
            id: id.into(),
            name: "a9993e364706816aba3e25717850c26c9cd0d89d.chunk".into(),
            sha1_checksum: sha1.map(str::to_owned),
            created_time: created.into(),
            ..File::default()
        };
        let right = Some("A9993E364706816ABA3E25717850C26C9CD0D89D");
        let (old, new) = ("2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z");
        for (one, other) in [
            (file("b", right, new), file("a", Some("00"), old)),
            (file("b", right, old), file("a", right, new)),
            (file("a", None, old), file("b", right, old)),
        ] {
            let id = |best, next| the_one(Some(best), next).id;
            assert_eq!((id(one.clone(), other.clone()), id(other, one.clone())), (one.id.clone(), one.id));
        }
    }
}
