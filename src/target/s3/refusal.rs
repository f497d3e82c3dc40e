//! Why a server of S3 refuses, by its status and by the code and the message in its answer.

use std::time::Duration;

use super::answer::elements;
use crate::target::error::{Error, ErrorKind};
use crate::target::http;
use crate::target::retry::Failed;

/// By so much of a secret it is known.
const SECRET_CHARS: usize = 16;
const CLOCK: &str = "the clock of this box is wrong: set it, or let NTP do so";

/// The name of a region, if that is what a server says.
fn name_of_region(text: &str) -> Option<String> {
    let is_name =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| text.to_owned())
}

/// Why S3 refuses: its status, and the code and the message in its answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    region: Option<String>,
    retry_after: Option<Duration>,
    /// An object was to be stored and locked: then a request that is not valid is one that the bucket is not made for.
    pub(super) is_of_a_lock: bool,
}

impl Refusal {
    /// Of an answer that is none of the good ones.
    pub(super) fn read(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let retry_after = http::retry_after(&response);
        let region = http::header(&response, "x-amz-bucket-region").and_then(name_of_region);
        let xml = http::text(&mut response).unwrap_or_default();
        let mut refusal = Self { region, retry_after, ..Self::of(response.status().as_u16()) };
        let _ = elements(&xml, |path, text| {
            refusal.element(path, text);
            Ok(())
        });
        refusal
    }

    pub(super) fn of(status: u16) -> Self {
        Self {
            status,
            code: String::new(),
            message: String::new(),
            region: None,
            retry_after: None,
            is_of_a_lock: false,
        }
    }

    /// Has no words that repeat a secret, or the beginning of it: some servers tell what they were sent.
    pub(super) fn keep_from(&mut self, secret: &str) {
        let beginning: String = secret.chars().take(SECRET_CHARS).collect();
        for words in [&mut self.code, &mut self.message] {
            if !beginning.is_empty() && words.contains(&beginning) {
                words.clear();
            }
        }
    }

    pub(super) fn element(&mut self, path: &[&str], text: &str) {
        match path {
            ["Error", "Code"] => text.clone_into(&mut self.code),
            ["Error", "Message"] => text.clone_into(&mut self.message),
            ["Error", "Region"] => self.region = name_of_region(text),
            _ => {}
        }
    }

    /// That the object is not there, in so many words. A 404 of anything else, such as a proxy, is none.
    pub(super) fn is_no_such_object(&self) -> bool {
        self.status == 404 && self.code == "NoSuchKey"
    }

    /// Asked for the lock of a bucket that is there: each kind of server has its own words.
    pub(super) fn says_that_there_is_no_lock(&self) -> bool {
        match self.status {
            400 => self.code == "InvalidRequest",
            404 => !matches!(self.code.as_str(), "" | "NoSuchBucket"),
            _ => false,
        }
    }

    /// As an error of what was tried.
    pub(super) fn failed(self, what: &str) -> Failed {
        use ErrorKind::{Denied, Full, Io, NotFound, Refused, Unreachable};
        let says = |words: &[&str]| words.iter().any(|words| self.message.contains(words));
        let (kind, advice) = match (self.status, self.code.as_str()) {
            (_, "NoSuchKey") => (NotFound, None),
            (_, "NoSuchBucket") => {
                (Unreachable, Some("make the bucket first; brackup never does. See `bucket`".into()))
            }
            (_, "RequestTimeTooSkewed" | "RequestExpired") => (Refused, Some(CLOCK.into())),
            (_, "InvalidAccessKeyId" | "NotSignedUp") => (Refused, Some("see `aws_access_key_id`".into())),
            (_, "SignatureDoesNotMatch") => (Refused, Some("see `aws_secret_access_key`".into())),
            (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                (Refused, Some("the session token is not valid any more: get new credentials".into()))
            }
            (301 | 307, _)
            | (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                let advice = match &self.region {
                    Some(region) => format!("the bucket is in another region: region = {region}"),
                    None => "see `region` and `endpoint`: the bucket may be in another region".into(),
                };
                (Unreachable, Some(advice))
            }
            // The words of Garage, which has one code for much.
            (403, "AccessDenied") if says(&["No such key", "Invalid signature"]) => {
                (Refused, Some("see `aws_access_key_id` and `aws_secret_access_key`".into()))
            }
            (403, "AccessDenied") if says(&["quota is reached"]) => (Full, Some(http::SPACE.into())),
            (400, "InvalidRequest") if says(&["Date is too old"]) => (Refused, Some(CLOCK.into())),
            (400, "InvalidRequest") if self.is_of_a_lock => (Denied, Some(super::lock::ADVICE.into())),
            (501, _) => (
                Io,
                Some(
                    "see `storage_class`, `server_side_encryption` and `object_lock`: the server may not know them"
                        .into(),
                ),
            ),
            (507, _) | (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "StorageFull") => {
                (Full, Some(http::SPACE.into()))
            }
            (401 | 403, _) => (
                Denied,
                Some("these credentials may not do that: docs/TARGETS.md has what a box must be allowed".into()),
            ),
            // Of all that is there, and not of what was asked for.
            (408 | 429 | 502..=504 | 520..=530, _) | (_, "SlowDown" | "RequestTimeout") => {
                (Unreachable, Some(http::LATER.into()))
            }
            (400 | 404, "") => (Unreachable, Some("is it S3 that is spoken at this address? see `endpoint`".into())),
            _ => (Io, None),
        };
        let mut why = format!("{what}: the server says {}", self.status);
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            why.push_str(if part == &self.code { " " } else { ", " });
            why.extend(part.chars().filter(|c| !c.is_control()).take(300));
        }
        let mut error = Error::new(kind, why);
        if let Some(advice) = advice {
            error = error.advise(advice);
        }
        // 409: two requests at one name at a time. 408: the connection was too slow.
        let may_pass = matches!(self.status, 408 | 409 | 429 | 500 | 502..=504 | 520..=530)
            // Of something in between, which took another's bytes for the beginning of this.
            || (matches!(self.status, 400 | 404) && self.code.is_empty())
            // Garage's word for a body that is not what was signed, or has another checksum; AWS's for what is none.
            || (self.code == "InvalidDigest" && says(&["verification failed", "Failed to validate checksum"]))
            || matches!(self.code.as_str(), "SlowDown" | "RequestTimeout" | "InternalError" | "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody");
        if may_pass && kind != Full {
            Failed::ForNow(error, http::wish(self.status, self.retry_after))
        } else {
            Failed::ForGood(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reason why a first request fails has its own advice.
    #[test]
    fn what_is_wrong_is_told_apart() {
        for (status, code, kind, advice) in [
            (403, "RequestTimeTooSkewed", ErrorKind::Refused, "clock"),
            (403, "InvalidAccessKeyId", ErrorKind::Refused, "`aws_access_key_id`"),
            (403, "SignatureDoesNotMatch", ErrorKind::Refused, "`aws_secret_access_key`"),
            (400, "ExpiredToken", ErrorKind::Refused, "new credentials"),
            (403, "AccessDenied", ErrorKind::Denied, "docs/TARGETS.md"),
            (404, "NoSuchBucket", ErrorKind::Unreachable, "make the bucket first"),
            (301, "PermanentRedirect", ErrorKind::Unreachable, "`region`"),
            (507, "", ErrorKind::Full, "space"),
            (403, "QuotaExceeded", ErrorKind::Full, "space"),
            (503, "SlowDown", ErrorKind::Unreachable, http::LATER),
            (404, "", ErrorKind::Unreachable, "`endpoint`"),
            (501, "NotImplemented", ErrorKind::Io, "`storage_class`"),
        ] {
            let mut refusal = Refusal::of(status);
            refusal.element(&["Error", "Code"], code);
            let (Failed::ForNow(error, _) | Failed::ForGood(error)) = refusal.failed("x");
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.hint().unwrap().contains(advice), "{error}: {:?}", error.hint());
        }
    }

    #[test]
    fn a_secret_that_is_repeated_is_not_said() {
        let mut refusal = Refusal { message: "no AQoDYXdzEJr1K9d0ToKeN here".into(), ..Refusal::of(403) };
        refusal.keep_from("");
        refusal.keep_from("another secret that it does not have");
        assert!(!refusal.message.is_empty());
        refusal.keep_from("AQoDYXdzEJr1K9d0ToKeNAndMore");
        let (Failed::ForNow(error, _) | Failed::ForGood(error)) = refusal.failed("x");
        assert!(!error.to_string().contains("AQoD"), "{error}");
    }

    #[test]
    fn a_body_that_came_garbled_is_sent_again_and_a_digest_that_is_none_is_not() {
        for (message, may_pass) in [
            ("Invalid digest: SHA256 checksum verification failed (from x-amz-content-sha256)", true),
            ("Invalid digest: Failed to validate checksum for algorithm Sha1: calculated", true),
            ("The Content-MD5 you specified was an invalid.", false),
        ] {
            let mut refusal = Refusal::of(400);
            refusal.element(&["Error", "Code"], "InvalidDigest");
            refusal.element(&["Error", "Message"], message);
            assert_eq!(matches!(refusal.failed("x"), Failed::ForNow(..)), may_pass, "{message}");
        }
    }

    #[test]
    fn what_garage_says_with_one_code_is_told_apart() {
        let told = |status: u16, code: &str, message: &str| {
            let mut refusal = Refusal { is_of_a_lock: true, ..Refusal::of(status) };
            refusal.element(&["Error", "Code"], code);
            refusal.element(&["Error", "Message"], message);
            refusal.element(&["Error", "Region"], "a\nforged line");
            let (Failed::ForNow(error, _) | Failed::ForGood(error)) = refusal.failed("x");
            error
        };
        for (status, code, message, kind) in [
            (403, "AccessDenied", "Forbidden: No such key: GK1", ErrorKind::Refused),
            (403, "AccessDenied", "Forbidden: Invalid signature", ErrorKind::Refused),
            (403, "AccessDenied", "Forbidden: Bucket size quota is reached, maximum total size", ErrorKind::Full),
            (403, "AccessDenied", "Forbidden: Operation is not allowed for this key.", ErrorKind::Denied),
            (400, "InvalidRequest", "Bad request: Date is too old", ErrorKind::Refused),
        ] {
            assert_eq!(told(status, code, message).kind, kind, "{message}");
        }
        assert_eq!(
            told(301, "PermanentRedirect", "").hint(),
            Some("see `region` and `endpoint`: the bucket may be in another region")
        );
    }
}
