//! Why Google refuses: the status, and the reason in its answer. What it says to people is left out, since nobody knows what is in it.

use std::time::Duration;

use serde_json::Value;

use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, Answer};
use crate::target::retry::Failed;

const REASON_CHARS_MAX: usize = 64;
/// What is asked too often is counted by the minute: seven tries, so far apart, are longer than one. Google says nothing of it in `Retry-After`.
const TOO_FAST: Duration = Duration::from_secs(10);
const QUOTA: &str =
    "free some space there (the trash counts, too), or buy some; what was stored is used by the next run";

/// An answer that is none of the good ones.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// `rateLimitExceeded` and the like; of OAuth `invalid_grant` and the like.
    pub(super) reason: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn read(mut answer: Answer) -> Self {
        let (status, retry_after) = (answer.status().as_u16(), http::retry_after(&answer));
        let text = http::text(&mut answer).unwrap_or_default();
        let said = serde_json::from_str::<Value>(&text).unwrap_or_default();
        Self { status, reason: reason(&said), retry_after }
    }

    /// That there is no such file, in so many words. A 404 of anything else, such as a proxy, is none.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == 404 && self.reason == "notFound"
    }

    /// As an error of what was tried. `log_in`: what to do where it is the login.
    pub(super) fn failed(self, what: &str, log_in: &str) -> Failed {
        use ErrorKind::{Denied, Full, Io, NotFound, Refused, Unreachable};
        let client = "see `client_id` and `client_secret`: they are of one OAuth client of the kind \"TVs and Limited Input devices\"";
        let (kind, advice) = match (self.status, self.reason.as_str()) {
            (300..=399, _) => (Unreachable, "no redirect is followed: is something in between?"),
            (_, "rateLimitExceeded" | "userRateLimitExceeded" | "sharingRateLimitExceeded" | "rate_limit_exceeded") => {
                (Unreachable, http::LATER)
            }
            (_, "storageQuotaExceeded" | "quotaExceeded" | "teamDriveFileLimitExceeded") => (Full, QUOTA),
            (_, "numChildrenInNonRootLimitExceeded") => {
                (Full, "a folder of Google Drive holds 500,000 files: a larger `chunk_size`, or another `path`, helps")
            }
            (_, "dailyLimitExceeded" | "dailyLimitExceededUnreg" | "uploadLimitExceeded") => (
                Refused,
                "it is a limit of a day: what was stored is used by the run after its end, at midnight in California",
            ),
            (_, "accessNotConfigured" | "SERVICE_DISABLED") => {
                (Refused, "turn the Google Drive API on in the project that `client_id` is of")
            }
            (_, "invalid_grant" | "insufficientPermissions" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
            | (401, "authError") => (Refused, log_in),
            (_, "invalid_client" | "unauthorized_client" | "deleted_client" | "disabled_client" | "org_internal") => {
                (Refused, client)
            }
            (401, _) => (Refused, log_in),
            (403, _) => (Denied, "docs/TARGETS.md says what a login may do"),
            (404, "notFound") => (NotFound, ""),
            (507, _) => (Full, QUOTA),
            (408 | 425 | 429 | 502..=504 | 520..=530, _) => (Unreachable, http::LATER),
            (400 | 404, "") => (Unreachable, "is something in between?"),
            _ => (Io, ""),
        };
        let mut why = format!("{what}: Google says {}", self.status);
        if !self.reason.is_empty() {
            why.push_str(&format!(", {}", self.reason));
        }
        let mut error = Error::new(kind, why);
        if !advice.is_empty() {
            error = error.advise(advice);
        }
        let is_too_fast = kind == Unreachable && matches!(self.status, 403 | 429);
        let may_pass = is_too_fast
            || matches!(self.status, 408 | 425 | 429 | 500..=504 | 520..=530)
            // Of something in between.
            || (matches!(self.status, 400 | 404) && self.reason.is_empty());
        let wish = self.retry_after.or_else(|| is_too_fast.then_some(TOO_FAST));
        if may_pass && kind != Full { Failed::ForNow(error, wish) } else { Failed::ForGood(error) }
    }
}

/// Of an answer of the API, with the reason in a list of errors, or of OAuth, with a word (RFC 6749, section 5.2).
fn reason(said: &Value) -> String {
    let error = &said["error"];
    let listed = ["errors", "details"].iter().filter_map(|list| error[*list].as_array());
    let listed = listed.flatten().find_map(|one| one["reason"].as_str());
    // The last is that of Google's server of device codes.
    let words = [listed, error["status"].as_str(), error.as_str(), said["error_code"].as_str()];
    let word = words.into_iter().flatten().next().unwrap_or_default();
    word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RETRY_TRIES;

    fn refused(status: u16, reason: &str) -> (bool, Error) {
        let refusal = Refusal { status, reason: reason.into(), retry_after: None };
        match refusal.failed("can't", "log in again") {
            Failed::ForNow(error, _) => (true, error),
            Failed::ForGood(error) => (false, error),
        }
    }

    #[test]
    fn what_passes_and_what_does_not() {
        for (status, reason, may_pass, kind, advice) in [
            (403, "rateLimitExceeded", true, ErrorKind::Unreachable, ""),
            (403, "userRateLimitExceeded", true, ErrorKind::Unreachable, ""),
            (403, "rate_limit_exceeded", true, ErrorKind::Unreachable, ""),
            (429, "RESOURCE_EXHAUSTED", true, ErrorKind::Unreachable, ""),
            (500, "backendError", true, ErrorKind::Io, ""),
            (503, "", true, ErrorKind::Unreachable, ""),
            (404, "", true, ErrorKind::Unreachable, ""),
            (404, "notFound", false, ErrorKind::NotFound, ""),
            (403, "storageQuotaExceeded", false, ErrorKind::Full, "free some space"),
            (403, "dailyLimitExceeded", false, ErrorKind::Refused, "a limit of a day"),
            (403, "insufficientFilePermissions", false, ErrorKind::Denied, "docs/TARGETS.md"),
            (403, "accessNotConfigured", false, ErrorKind::Refused, "turn the Google Drive API on"),
            (401, "authError", false, ErrorKind::Refused, "log in again"),
            (400, "invalid_grant", false, ErrorKind::Refused, "log in again"),
            (401, "invalid_client", false, ErrorKind::Refused, "`client_secret`"),
            (302, "", false, ErrorKind::Unreachable, "no redirect"),
            (400, "invalid", false, ErrorKind::Io, ""),
        ] {
            let (passes, error) = refused(status, reason);
            assert_eq!((passes, error.kind), (may_pass, kind), "{error}");
            assert!(error.hint().unwrap_or_default().contains(advice), "{error}: {:?}", error.hint());
        }
    }

    #[test]
    fn who_is_too_fast_outlasts_a_minute() {
        let wish = |status, reason: &str, retry_after| match (Refusal { status, reason: reason.into(), retry_after })
            .failed("can't", "")
        {
            Failed::ForNow(_, wish) => wish,
            Failed::ForGood(error) => panic!("{error}"),
        };
        for (status, reason) in [(403, "rateLimitExceeded"), (429, "RESOURCE_EXHAUSTED")] {
            let wait = wish(status, reason, None).unwrap();
            assert!(wait * (RETRY_TRIES - 1) >= Duration::from_secs(60), "{wait:?}");
            assert_eq!(wish(status, reason, Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        }
        assert_eq!(wish(503, "", None), None);
    }

    #[test]
    fn the_reason_is_a_word_wherever_it_stands() {
        for (said, word) in [
            (
                r#"{"error":{"errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}],"code":403}}"#,
                "rateLimitExceeded",
            ),
            (r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#, "RESOURCE_EXHAUSTED"),
            (r#"{"error":{"status":"X","details":[{"@type":"x"},{"reason":"SERVICE_DISABLED"}]}}"#, "SERVICE_DISABLED"),
            (r#"{"error":"invalid_grant","error_description":"x"}"#, "invalid_grant"),
            (r#"{"error_code":"rate_limit_exceeded"}"#, "rate_limit_exceeded"),
            (r#"{"error":"a b/c\u001b[1m"}"#, "abc1m"),
            (r#"[1]"#, ""),
        ] {
            assert_eq!(reason(&serde_json::from_str(said).unwrap()), word);
        }
    }
}
