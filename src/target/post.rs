//! One short message to an address that is no target: what alerts over HTTP are sent with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ureq::http::{Request, header};

use super::error::{Error, ErrorKind};
use super::http::{Http, drain};
use super::retry::Failed;
use super::way::Way;
use crate::provider::{Hook, Trust};

/// What is posted.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Of which kind `body` is: `application/json`.
    pub content_type: &'a str,
    /// The whole of it.
    pub body: &'a [u8],
    /// What lets it in (RFC 6750), if something must.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} bytes)", self.body.len())
    }
}

/// Posts it once, in so much time. The error says nothing of the address but its host; [`ErrorKind::Unreachable`]: another try may do better.
pub fn post(
    hook: &Hook,
    trust: &Trust,
    message: Message<'_>,
    within: Duration,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let place = hook.endpoint.to_string();
    let http = Http::new(hook.endpoint.is_tls(), trust, Way::until(stop.clone()).within(within))?;
    let mut request = Request::post(format!("{place}{}", hook.path()))
        .header(header::CONTENT_TYPE, message.content_type)
        .header(header::CONTENT_LENGTH, message.body.len());
    if let Some(token) = message.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    // The reason may repeat the address.
    let request = request.body(()).map_err(|_| Error::new(ErrorKind::Io, format!("{place}: its address is none")))?;
    let answer = match http.send_within(request, &mut &message.body[..], &place, within) {
        Ok(answer) => answer,
        Err(Failed::ForGood(error) | Failed::ForNow(error, _)) => {
            return Err(Error { advice: None, ..error });
        }
    };
    let status = answer.status();
    drain(answer);
    let refused = |kind, why: &str| Err(Error::new(kind, format!("{place}: it answers {status}{why}")));
    match status.as_u16() {
        200..=299 => Ok(()),
        300..=399 => refused(ErrorKind::Denied, ": it points elsewhere, and what is secret is told to no other"),
        408 | 429 | 500..=599 => refused(ErrorKind::Unreachable, ""),
        _ => refused(ErrorKind::Denied, ""),
    }
}
