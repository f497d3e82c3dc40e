//! Answers, all of which say which protocol is spoken here.

use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::pieces::Pieces;
use super::refusal::Refusal;

/// What is sent.
pub(super) type Answer = Response<Pieces>;

const VERSIONS: HeaderName = HeaderName::from_static("brackup-api");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// With a body of some type.
pub(super) fn with(status: StatusCode, kind: &'static str, body: Pieces) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(VERSIONS, HeaderValue::from_static("1"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Words for people.
pub(super) fn words(status: StatusCode, words: &str) -> Answer {
    with(status, "text/plain; charset=utf-8", Pieces::words(format!("{words}\n")))
}

/// No body, but the length that one would have.
pub(super) fn head(kind: &'static str, length: Option<u64>) -> Answer {
    let mut answer = with(StatusCode::OK, kind, Pieces::Over);
    if let Some(length) = length {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    answer
}

/// What is not done, and why.
pub(super) fn refused(refusal: &Refusal, allowed: &'static str) -> Answer {
    let mut answer = words(refusal.status, &refusal.words);
    let mut add = |name, value| answer.headers_mut().insert(name, value);
    match refusal.status {
        StatusCode::UNAUTHORIZED => add(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        StatusCode::METHOD_NOT_ALLOWED => add(ALLOW, HeaderValue::from_static(allowed)),
        StatusCode::INTERNAL_SERVER_ERROR => add(RETRY_AFTER, RETRY_SECONDS),
        _ => None,
    };
    answer
}
