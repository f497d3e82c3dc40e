//! One request to another box, and why it may refuse.

use std::io::Read;
use std::time::Duration;

use super::Brackup;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, header};
use crate::target::retry::Failed;
use crate::target::upload::Payload;

/// From this length on the box is asked before a body is sent: a refusal then comes before it is on its way, and not instead of an answer.
const EXPECT_BYTES_MIN: u64 = 256 * 1024;
/// What every answer of a box has: the versions of the protocol that it speaks.
const VERSIONS: &str = "brackup-api";
const VERSION: &str = "1";

/// What goes with a request.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Of an object; empty: all of them.
    pub(super) name: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Payload<'a>>,
}

impl<'a> Ask<'a> {
    pub(super) fn of(method: &'static str, name: &'a str) -> Self {
        Self { method, name, headers: Vec::new(), body: None }
    }
}

/// A status that is none of the good ones.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    retry_after: Option<Duration>,
}

impl Brackup {
    /// One request, once. Every status but those in `good` is a refusal. What is no box that speaks as this one is an error.
    pub(super) fn ask(&self, ask: &Ask<'_>, good: &[u16], what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        let slash = if ask.name.is_empty() { "" } else { "/" };
        let uri = format!("{}/v1/objects{slash}{}", self.server.endpoint, ask.name);
        let mut request = ureq::http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(length) = ask.body.map(Payload::length) {
            request = request.header("content-length", length);
            if length >= EXPECT_BYTES_MIN {
                request = request.header("expect", "100-continue");
            }
        }
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", self.token.as_str()));
        let mut bearer = ureq::http::HeaderValue::from_str(&bearer)
            .map_err(|_| Error::new(ErrorKind::Refused, format!("{what}: the token can't be said over HTTP")))?;
        bearer.set_sensitive(true);
        let request = request.header("authorization", bearer).body(()).map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("{what}: {error}")).advise("is the target's address right?")
        })?;
        let mut reader = ask.body.map(Payload::reader);
        let answer = self.http.send(request, reader.as_mut().map(|reader| reader as &mut dyn Read), what)?;
        let status = answer.status().as_u16();
        speaks_as_this_one(&answer, what)?;
        if good.contains(&status) {
            return Ok(Ok(answer));
        }
        let refusal = Refusal { status, retry_after: http::retry_after(&answer) };
        http::drain(answer);
        Ok(Err(refusal))
    }
}

fn speaks_as_this_one(answer: &Answer, what: &str) -> Result<(), Failed> {
    let told = |why: &str| Error::new(ErrorKind::Unreachable, format!("{what}: {why}"));
    match header(answer, VERSIONS) {
        Some(versions) if versions.split(',').any(|version| version.trim() == VERSION) => Ok(()),
        Some(_) => Err(told("the other box speaks another version of the protocol")
            .advise("one of both is to be updated")
            .into()),
        // A proxy before it, or a line in between, may have words of its own for a while.
        None if matches!(answer.status().as_u16(), 408 | 429 | 502..=504) => {
            let why = format!("what answers says {}, and is no box", answer.status().as_u16());
            Err(Failed::ForNow(told(&why), http::retry_after(answer)))
        }
        None => {
            let advice = "is the address right, with its port? `brackup serve` runs there if [SERVE] has `listen`";
            Err(told("what answers is no box that runs `brackup serve`").advise(advice).into())
        }
    }
}

impl Refusal {
    /// As an error of what was tried.
    pub(super) fn failed(self, what: &str) -> Failed {
        use ErrorKind::{Corrupt, Denied, Exists, Full, Io, NotFound, Refused, Unreachable};
        let (kind, why, advice) = match (self.status, self.retry_after) {
            (401, _) => (
                Refused,
                "knows no such token",
                "`token` must be the one whose digest is in [HOST:…] there; `brackup host add` there makes a new one",
            ),
            (404, _) => (NotFound, "has no such thing", ""),
            (405, _) => (Denied, "lets nobody do that", ""),
            (409 | 412, _) => (Exists, "has one already", ""),
            (413, _) => (Full, "takes no object of this size", "make `chunk_size` smaller"),
            (422, _) => (Corrupt, "got other bytes than those that were sent", "a line or a memory that garbles them?"),
            (503, None) => (
                Unreachable,
                "has not the folder of this host",
                "is the disk mounted there? is `path` in [HOST:…] right?",
            ),
            (507, _) => (
                Full,
                "has no space left for this host",
                "its log says what is full: raise `quota` in [HOST:…] there, free some space on its disk, or remove old backups (docs/TARGETS.md); what was stored is used by the next run",
            ),
            (408 | 429 | 502..=504, _) => (Unreachable, "can't be asked now", http::LATER),
            _ => (Io, "fails", ""),
        };
        let mut error = Error::new(kind, format!("{what}: the other box says {}, it {why}", self.status));
        if !advice.is_empty() {
            error = error.advise(advice);
        }
        let may_pass =
            matches!((self.status, self.retry_after), (408 | 422 | 429 | 500 | 502 | 504, _) | (503, Some(_)));
        if may_pass { Failed::ForNow(error, http::wish(self.status, self.retry_after)) } else { Failed::ForGood(error) }
    }
}
