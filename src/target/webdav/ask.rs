//! One request of WebDAV: to a name in the folder or to the folder, by whom the server wants to hear from.

use std::io::Read;
use std::sync::atomic::Ordering;

use super::WebDav;
use super::auth::Session;
use super::refusal::Refusal;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer};
use crate::target::retry::Failed;
use crate::target::upload::Payload;

/// From this length on the server is asked before a body is sent.
const EXPECT_BYTES_MIN: u64 = 256 * 1024;
/// Of one request, until the server knows who asks and what it is asked: it says how it wants to be told, that this is too old, that it does not
/// know `Expect`.
const ROUNDS: u32 = 4;

/// What goes with a request.
#[derive(Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Of an object; empty: the folder.
    pub(super) name: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Payload<'a>>,
}

impl WebDav {
    /// One request, once, but for what it takes that the server knows who asks. Every status but those in `good` is a refusal.
    pub(super) fn ask(&self, ask: &Ask<'_>, good: &[u16], what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        self.ask_at(&self.collection.path_of(ask.name), ask, good, what)
    }

    /// The same at another path of the server.
    pub(super) fn ask_at(
        &self,
        path: &str,
        ask: &Ask<'_>,
        good: &[u16],
        what: &str,
    ) -> Result<Result<Answer, Refusal>, Failed> {
        for _ in 0..ROUNDS {
            let (authorization, said) = self.session.authorization(ask.method, path);
            let expects = self.expects.load(Ordering::Relaxed);
            let answer = self.send(path, ask, authorization.as_ref().map(|value| value.as_str()), expects, what)?;
            match answer.status().as_u16() {
                401 if self.session.is_challenged(&answer, &said, what)? => http::drain(answer),
                417 if expects => {
                    self.expects.store(false, Ordering::Relaxed);
                    http::drain(answer);
                }
                status if good.contains(&status) => {
                    Session::came_through(&said);
                    return Ok(Ok(answer));
                }
                status => {
                    if status != 401 {
                        Session::came_through(&said);
                    }
                    return Ok(Err(Refusal::read(answer, ask.method)));
                }
            }
        }
        let why = format!("{what}: the server asks again and again who it is");
        Err(Failed::ForNow(Error::new(ErrorKind::Refused, why).advise("see `user` and `password`"), None))
    }

    fn send(
        &self,
        path: &str,
        ask: &Ask<'_>,
        authorization: Option<&str>,
        expects: bool,
        what: &str,
    ) -> Result<Answer, Failed> {
        let uri = format!("{}{path}", self.collection.endpoint);
        let mut request = ureq::http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(length) = ask.body.map(Payload::length) {
            request = request.header("content-length", length);
            // A refusal then comes before the body is on its way, and not instead of an answer.
            if length >= EXPECT_BYTES_MIN && expects {
                request = request.header("expect", "100-continue");
            }
        }
        if let Some(authorization) = authorization {
            let mut value = ureq::http::HeaderValue::from_str(authorization)
                .map_err(|_| Error::new(ErrorKind::Refused, format!("{what}: the login can't be said over HTTP")))?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let request = request.body(()).map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("{what}: {error}")).advise("is the target's address right?")
        })?;
        let mut reader = ask.body.map(Payload::reader);
        self.http.send(request, reader.as_mut().map(|reader| reader as &mut dyn Read), what)
    }
}
