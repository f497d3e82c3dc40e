//! What a form sends: names and values as a URL has them, few and short.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::web::objects;
use crate::web::refusal::Refusal;

const BYTES_MAX: usize = 4096;

/// The names and values of a body.
pub(super) async fn read(body: &mut Incoming, within: Duration) -> Result<Vec<(String, String)>, Refusal> {
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(frame) = objects::frame(body).await {
            let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, "the form did not come whole");
            bytes.extend_from_slice(&frame.map_err(broken)?);
            if bytes.len() > BYTES_MAX {
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "no form here is that long"));
            }
        }
        Ok(parse(&bytes))
    };
    let slow = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "that took too long");
    timeout(within, reading).await.map_err(|_| slow())?
}

/// The first value of a name.
pub(super) fn field(form: &[(String, String)], name: &str) -> Option<String> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn parse(bytes: &[u8]) -> Vec<(String, String)> {
    let pairs = bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let cut = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(&pair[..at]), decoded(pair.get(at + 1..).unwrap_or_default()))
    };
    pairs.map(cut).collect()
}

fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (byte, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(value)) => {
                bytes.push(value);
                at += 2;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = parse(b"job=my+photos&proof=a%2Bb%&&x&job=other&%C3%A4=%zz%");
        let field = |name| field(&form, name);
        assert_eq!(field("job").as_deref(), Some("my photos"));
        assert_eq!(field("proof").as_deref(), Some("a+b%"));
        assert_eq!((field("x").as_deref(), field("\u{e4}").as_deref()), (Some(""), Some("%zz%")));
        assert_eq!(field("y"), None);
    }
}
