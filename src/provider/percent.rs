//! Percent-encoding (RFC 3986, section 2.1).

/// All but the unreserved characters encoded, as AWS wants it too.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The bytes that were encoded; nothing if a `%` has no two digits behind it.
pub fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        decoded.push(if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_comes_back() {
        assert_eq!(percent_encode("a b/c+d~e=ü"), "a%20b%2Fc%2Bd~e%3D%C3%BC");
        assert_eq!(percent_decode("a%20b%2Fc%2bd~e%3D%C3%BC").unwrap(), "a b/c+d~e=ü".as_bytes());
        assert_eq!(percent_decode("ü%ff").unwrap(), b"\xc3\xbc\xff");
        for wrong in ["%", "a%2", "%+1", "%g0", "%%20"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }
}
