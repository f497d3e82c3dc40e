//! Why a server of WebDAV refuses, by the status that it says. What comes with it is not for programs, and is left out.

use std::time::Duration;

use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, header};
use crate::target::retry::Failed;

/// A status that is none of the good ones.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    method: &'static str,
    location: Option<String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn read(mut answer: Answer, method: &'static str) -> Self {
        let mut status = answer.status().as_u16();
        // To what is done to one file: it was not done, and why is inside. Apache says so of a folder that is locked.
        if status == 207 {
            status = http::text(&mut answer).ok().and_then(|text| inner_status(&text)).unwrap_or(status);
        }
        let refusal = Self {
            status,
            method,
            location: header(&answer, "location").map(place),
            retry_after: http::retry_after(&answer),
        };
        http::drain(answer);
        refusal
    }

    /// That there is nothing of this name; whether the folder is there is another question.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self.status, 404 | 410)
    }

    /// What servers say, among other occasions, where the folder is not there: 409 by RFC 4918, 500 by nginx.
    pub(super) fn may_be_the_folder(&self) -> bool {
        matches!(self.status, 403 | 404 | 409 | 410 | 500)
    }

    /// As an error of what was tried.
    pub(super) fn failed(self, what: &str) -> Failed {
        use ErrorKind::{Denied, Exists, Full, Io, NotFound, Refused, Unreachable};
        let (kind, why, advice) = match (self.status, self.method) {
            (300..=399, _) => {
                let to = self.location.as_deref().unwrap_or("somewhere else");
                let why = format!("sends us to {to}, where no password is taken unasked");
                (Unreachable, why, "if that is your server, `url` is to be that address")
            }
            (401, _) => (Refused, "knows no such user or password".into(), "see `user` and `password`"),
            (403, _) => (
                Denied,
                "does not allow it".into(),
                "this user must be allowed to read, list, add, rename and delete in this folder: docs/TARGETS.md",
            ),
            (404 | 410, _) => (NotFound, "has no such thing".into(), "is the path in `url` right?"),
            (400 | 405 | 501, _) => (
                Unreachable,
                "does not do that".into(),
                "is it WebDAV that is spoken at this address? is the path in `url` right?",
            ),
            (409, _) => (Unreachable, "says that the folder is not there".into(), "is the path in `url` right?"),
            (412, _) => (Exists, "has one already".into(), ""),
            (413, _) => (
                Full,
                "takes no file of this size".into(),
                "raise its limit (nginx: client_max_body_size, Apache: LimitRequestBody), or make `chunk_size` smaller",
            ),
            (423 | 424, _) => (
                Unreachable,
                "says that somebody has locked it".into(),
                "who has it open? a lock that is left over ends by itself",
            ),
            (502, "MOVE") => (
                Io,
                "can't rename it to an address of its own".into(),
                "a proxy that ends TLS before it must pass on `Destination` with http://",
            ),
            (507, _) => (Full, "has no space left".into(), http::SPACE),
            // Of all that is there, and not of what was asked for.
            (408 | 425 | 429 | 502..=504 | 520..=530, _) => (Unreachable, "can't be asked now".into(), http::LATER),
            _ => (Io, "fails".into(), ""),
        };
        let mut error = Error::new(kind, format!("{what}: the server says {}, it {why}", self.status));
        if !advice.is_empty() {
            error = error.advise(advice);
        }
        let may_pass = matches!(self.status, 207 | 408 | 423 | 424 | 425 | 429 | 500 | 502..=504 | 520..=530);
        if may_pass { Failed::ForNow(error, http::wish(self.status, self.retry_after)) } else { Failed::ForGood(error) }
    }
}

/// The first status of an answer with several that is none of success, but for those that only follow from another (424).
fn inner_status(text: &str) -> Option<u16> {
    let codes = text.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5)?.parse().ok());
    codes.filter(|code| (400..600).contains(code)).min_by_key(|code| *code == 424)
}

/// Without what may be secret in an address, and without what a terminal would take for something else.
fn place(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let address = &location[..end];
    let shown = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => address.to_owned(),
    };
    shown.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_inside() {
        let one = |status: &str| format!("<response><href>/x</href><status>HTTP/1.1 {status}</status></response>");
        let all = |several: &[&str]| inner_status(&several.iter().map(|status| one(status)).collect::<String>());
        assert_eq!(all(&["424 Failed Dependency", "423 Locked", "200 OK"]), Some(423));
        assert_eq!(all(&["424 Failed Dependency"]), Some(424));
        assert_eq!(all(&["200 OK", "x"]), None);
        assert_eq!(inner_status("HTTP/1."), None);
    }

    #[test]
    fn no_secret_of_an_address_is_shown() {
        for (location, shown) in [
            ("https://me:word@host/a?token=x", "https://host/a"),
            ("/login?next=%2F#top", "/login"),
            ("https://host", "https://host"),
        ] {
            assert_eq!(place(location), shown);
        }
    }
}
