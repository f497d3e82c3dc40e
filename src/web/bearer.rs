//! `Authorization: Bearer TOKEN` (RFC 6750), of a host or of a program of the owner, and whether a token is the one that is known.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::Digest as _;

const SCHEME: &[u8] = b"Bearer ";

/// The token, if the header is there once.
pub(super) fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let said = only(headers, &AUTHORIZATION)?.as_bytes();
    let is_bearer = said.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    said.get(SCHEME.len()..).filter(|_| is_bearer)
}

/// What a token is known by.
pub(super) fn digest(token: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(token).into()
}

/// Whether two digests are the same. It takes as long for one as for another.
pub(super) fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other));
    std::hint::black_box(differs) == 0
}

/// A header that is there once.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}
