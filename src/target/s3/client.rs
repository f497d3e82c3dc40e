//! One request to a bucket: signed, sent, and the answer told from a refusal.

use std::fmt::Write as _;
use std::io::Read;

use super::refusal::Refusal;
use super::sign::{Parts, UNSIGNED_PAYLOAD, authorization, query};
use crate::date::Utc;
use crate::digest::hex;
use crate::provider::{AccessKey, Bucket, percent_encode};
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{Answer, Http};
use crate::target::retry::Failed;
use crate::target::upload::Payload;
use crate::target::way::Way;

/// From this length on the server is asked before a body is sent.
const EXPECT_BYTES_MIN: u64 = 256 * 1024;

/// Who asks which bucket.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) bucket: Bucket,
    access_key: AccessKey,
    pub(super) http: Http,
    host: String,
    base: String,
}

/// What goes with a request.
#[derive(Default)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// Of an object; empty: the bucket.
    pub(super) name: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Option<Payload<'a>>,
}

impl Client {
    /// Nothing is asked yet.
    pub(super) fn new(bucket: Bucket, access_key: AccessKey, way: Way) -> Result<Self, Error> {
        let not_usable = |why: String, advice: &str| Error::new(ErrorKind::Unreachable, why).advise(advice);
        if !Bucket::is_name(&bucket.name) {
            let why = format!("{:?} is no name of a bucket", bucket.name);
            return Err(not_usable(why, "a bucket's name has letters, digits, dots and hyphens"));
        }
        if !bucket.endpoint.is_tls() && access_key.session_token.is_some() {
            let why = format!("the endpoint {} has no TLS, and a session token is sent as it is", bucket.endpoint);
            return Err(not_usable(why, "write it like endpoint = https://s3.example.com"));
        }
        let http = Http::new(bucket.endpoint.is_tls(), &bucket.trust, way)?;
        let authority = bucket.endpoint.authority();
        let (host, base) = if bucket.path_style {
            (authority.to_owned(), format!("/{}", percent_encode(&bucket.name)))
        } else {
            (format!("{}.{authority}", bucket.name), String::new())
        };
        Ok(Self { bucket, access_key, http, host, base })
    }

    /// Without words that repeat what is secret in a request.
    pub(super) fn hushed(&self, mut refusal: Refusal) -> Refusal {
        if let Some(token) = &self.access_key.session_token {
            refusal.keep_from(token);
        }
        refusal
    }

    /// One request, once. Every status but those in `good` is a refusal.
    pub(super) fn ask(&self, ask: &Ask<'_>, good: &[u16], what: &str) -> Result<Result<Answer, Refusal>, Failed> {
        let now = Utc::now();
        // TLS protects a body, and the file need not be read twice.
        let is_tls = self.bucket.endpoint.is_tls();
        let payload = match ask.body {
            _ if is_tls => UNSIGNED_PAYLOAD.into(),
            body => hex(&body.unwrap_or(Payload::Text("")).digest::<sha2::Sha256>(what)?),
        };
        let mut path = format!("{}/", self.base);
        if !ask.name.is_empty() {
            for segment in self.bucket.prefix.split_inclusive('/') {
                let name = segment.trim_end_matches('/');
                path.push_str(&percent_encode(name));
                path.push_str(&segment[name.len()..]);
            }
            path.push_str(&percent_encode(ask.name));
        }
        let date = now.basic();
        let token = self.access_key.session_token.as_ref().map(|token| token.as_str());
        let mut headers = vec![("host", self.host.as_str()), ("x-amz-date", &date), ("x-amz-content-sha256", &payload)];
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers.extend(ask.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let parts = Parts { method: ask.method, path: &path, query: ask.query, headers: &headers, payload: &payload };
        let authorization = authorization(&self.access_key, &self.bucket.region, now, &parts);

        let scheme = if is_tls { "https" } else { "http" };
        let mut uri = format!("{scheme}://{}{path}", self.host);
        if !ask.query.is_empty() {
            let _ = write!(uri, "?{}", query(ask.query));
        }
        let mut request = ureq::http::Request::builder().method(ask.method).uri(uri);
        for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request.header("content-length", body.length());
            // A refusal then comes before the body is on its way, and not instead of an answer.
            if body.length() >= EXPECT_BYTES_MIN {
                request = request.header("expect", "100-continue");
            }
        }
        let request = request.header("authorization", authorization).body(());
        let request = request.map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("{what}: {error}")).advise("is the target's address right?")
        })?;
        let mut reader = ask.body.map(Payload::reader);
        let body = reader.as_mut().map(|reader| &mut **reader as &mut dyn Read);
        let answer = self.http.send(request, body, what)?;
        if good.contains(&answer.status().as_u16()) {
            return Ok(Ok(answer));
        }
        Ok(Err(self.hushed(Refusal::read(answer))))
    }
}
