//! One request to Google Drive, and the answer told from a refusal.

use std::io::Read;

use super::oauth::Session;
use super::refusal::Refusal;
use crate::provider::Endpoint;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer, Http};
use crate::target::retry::Failed;
use crate::target::upload::Payload;

/// From this length on the server is asked before a body is sent.
const EXPECT_BYTES_MIN: u64 = 256 * 1024;

/// Who asks which server.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) endpoint: Endpoint,
    pub(super) session: Session,
    pub(super) http: Http,
}

/// What goes with a request.
#[derive(Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Payload<'a>>,
}

impl Api {
    /// One request, once, but for a token that has ended. Every status but those in `good` is a refusal.
    pub(super) fn ask(&self, ask: &Ask<'_>, good: &[u16], what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        let mut refused = None;
        loop {
            let token = self.session.token(&self.http, refused.as_ref(), what)?;
            let answer = self.send(ask, &token, what)?;
            match answer.status().as_u16() {
                401 if refused.is_none() => {
                    http::drain(answer);
                    refused = Some(token);
                }
                status if good.contains(&status) => return Ok(Ok(answer)),
                _ => return Ok(Err(Refusal::read(answer))),
            }
        }
    }

    fn send(&self, ask: &Ask<'_>, token: &str, what: &str) -> Result<Answer, Failed> {
        let mut request =
            ureq::http::Request::builder().method(ask.method).uri(format!("{}{}", self.endpoint, ask.path));
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(length) = ask.body.map(Payload::length) {
            request = request.header("content-length", length);
            // A refusal then comes before the body is on its way, and not instead of an answer.
            if length >= EXPECT_BYTES_MIN {
                request = request.header("expect", "100-continue");
            }
        }
        let mut bearer = ureq::http::HeaderValue::from_str(&zeroize::Zeroizing::new(format!("Bearer {token}")))
            .map_err(|_| Error::new(ErrorKind::Refused, format!("{what}: the token can't be said over HTTP")))?;
        bearer.set_sensitive(true);
        let request = request.header("authorization", bearer).body(()).map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("{what}: {error}")).advise("is `api_endpoint` right?")
        })?;
        let mut reader = ask.body.map(Payload::reader);
        self.http.send(request, reader.as_mut().map(|reader| reader as &mut dyn Read), what)
    }
}
