//! AWS Signature Version 4, "Authenticating Requests: Using the Authorization Header" of the S3 API reference, whole payload in one piece.

use hkdf::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::date::Utc;
use crate::digest::hex;
use crate::provider::{AccessKey, percent_encode};

/// Where the body is not part of the signature: TLS protects it.
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What of a request is signed.
pub(super) struct Parts<'a> {
    pub(super) method: &'a str,
    /// As [`percent_encode`] makes it, segment by segment.
    pub(super) path: &'a str,
    /// Names and values, not encoded yet.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// All of them, with `host`; names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The digest of the body in hexadecimal digits, or [`UNSIGNED_PAYLOAD`].
    pub(super) payload: &'a str,
}

/// The value of the header `authorization`.
pub(super) fn authorization(access_key: &AccessKey, region: &str, now: Utc, parts: &Parts<'_>) -> String {
    let mut headers = parts.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let (method, path, query) = (parts.method, parts.path, query(parts.query));
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", parts.payload);
    let day = now.yyyymmdd();
    let scope = format!("{day}/{region}/s3/aws4_request");
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{digest}", now.basic());
    let first = Zeroizing::new(format!("AWS4{}", *access_key.secret));
    let key = [day.as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(Zeroizing::new(first.as_bytes().to_vec()), |key, part| hmac(&key, part));
    let signature = hex(&hmac(&key, &to_sign));
    let id = &access_key.id;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}")
}

/// The query as it is signed and sent: sorted and encoded.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect();
    encoded.sort_unstable();
    encoded.join("&")
}

fn hmac(key: &[u8], text: &str) -> Zeroizing<Vec<u8>> {
    // Keys of any length do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(method: &str, path: &str, query: &[(&str, &str)], more: &[(&str, &str)], payload: &str) -> String {
        // The example key of AWS's documentation.
        let credentials = AccessKey {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned().into(),
            session_token: None,
        };
        let headers: Vec<_> =
            [HOST, DATE, ("x-amz-content-sha256", payload)].into_iter().chain(more.iter().copied()).collect();
        let parts = Parts { method, path, query, headers: &headers, payload };
        let now = Utc::parse("20130524").unwrap();
        let value = authorization(&credentials, "us-east-1", now, &parts);
        assert!(value.contains("Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"), "{value}");
        value.rsplit_once("Signature=").unwrap().1.into()
    }

    /// "Examples: Signature Calculations" of the S3 API reference.
    #[test]
    fn the_examples_of_aws() {
        let range = ("range", "bytes=0-9");
        assert_eq!(
            signature("GET", "/test.txt", &[], &[range], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let more = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let payload = hex(&Sha256::digest(b"Welcome to Amazon S3."));
        let path = format!("/{}", percent_encode("test$file.text"));
        assert_eq!(
            signature("PUT", &path, &[], &more, &payload),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature("GET", "/", &[("lifecycle", "")], &[], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature("GET", "/", &[("max-keys", "2"), ("prefix", "J")], &[], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    /// Requests that botocore signed, digests of bodies among them, which no server of the tests looks at: tests/sigv4/make.py.
    #[test]
    fn requests_are_signed_as_aws_signs_them() {
        let all = include_str!("../../../tests/sigv4/vectors.txt");
        let mut count = 0;
        for vector in all.split("\n\n").skip(1) {
            let lines: Vec<_> = vector
                .lines()
                .map(|line| line.split_once(": ").unwrap_or_else(|| (line.trim_end_matches(':'), "")))
                .collect();
            let all = |key: &'static str| lines.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value);
            let one = |key| all(key).next().unwrap_or_default();
            let pairs = |key| all(key).map(|pair: &str| pair.split_once('=').unwrap()).collect::<Vec<_>>();
            let body: Vec<u8> = (0..one("body").len() / 2)
                .map(|at| u8::from_str_radix(&one("body")[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            let payload = hex(&Sha256::digest(&body));
            let digits: String = one("date").chars().filter(char::is_ascii_digit).collect();
            let (day, time) = digits.split_at(8);
            let now = Utc::parse(&format!(
                "{}-{}-{}T{}:{}:{}",
                &day[..4],
                &day[4..6],
                &day[6..],
                &time[..2],
                &time[2..4],
                &time[4..]
            ))
            .unwrap();
            let mut headers =
                vec![("host", one("host")), ("x-amz-date", one("date")), ("x-amz-content-sha256", &payload)];
            headers.extend(all("token").map(|token| ("x-amz-security-token", token)));
            headers.extend(pairs("header"));
            let query = pairs("query");
            let parts =
                Parts { method: one("method"), path: one("path"), query: &query, headers: &headers, payload: &payload };
            let access_key =
                AccessKey { id: one("id").into(), secret: one("secret").to_owned().into(), session_token: None };
            let value = authorization(&access_key, one("region"), now, &parts);
            let expected = format!("SignedHeaders={},Signature={}", one("signed"), one("signature"));
            assert!(value.ends_with(&expected), "{vector}\n{value}");
            count += 1;
        }
        assert_eq!(count, 60);
    }

    #[test]
    fn names_are_encoded_as_aws_does() {
        assert_eq!(query(&[("prefix", "a/b"), ("list-type", "2")]), "list-type=2&prefix=a%2Fb");
    }
}
