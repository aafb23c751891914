//! The two encodings that SigV4 uses: hexadecimal, and percent signs.

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Appends lower-case hexadecimal.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]]);
    }
}

/// A hash in lower-case hexadecimal: 64 digits.
pub(super) fn parse_hash(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 64 || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = octet(pair)?;
    }
    Some(hash)
}

/// Two digits of either case.
fn octet(pair: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// Appends `text` with all but unreserved characters and slashes encoded; so a percent sign is encoded once more.
pub(super) fn push_encoded(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
        }
    }
}

/// Undoes percent-encoding; `None` if a sign is not followed by two digits, or what comes out is not UTF-8. A plus
/// stays what it is.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (pair, behind) = rest.split_at_checked(2)?;
            out.push(octet(pair)?);
            rest = behind;
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_lower_case_and_complete() {
        let good = "0123456789abcdef".repeat(4);
        let mut again = Vec::new();
        push_hex(&mut again, &parse_hash(good.as_bytes()).unwrap());
        assert_eq!(again, good.as_bytes());
        for bad in [&good[1..], &good.to_uppercase(), &format!("{good}0"), &good.replace('0', "g"), "", "+"] {
            assert_eq!(parse_hash(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn percent_signs_are_followed_by_two_digits() {
        assert_eq!(decode("a%2Fb%2f+%C3%A9").as_deref(), Some("a/b/+é"));
        for bad in ["%", "%2", "%zz", "%2g", "%+1", "%C3", "%%20", "%é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        let mut out = Vec::new();
        push_encoded(&mut out, "/a%20b c~é+");
        assert_eq!(out, b"/a%2520b%20c~%C3%A9%2B");
    }
}
