//! Conditional requests (RFC 9110 §13). The entity tag of content is its digest in quotes.

use axum::http::{HeaderMap, header};
use cluster_core::command::Condition;
use proto::digest::Digest;

use super::error::{Code, OciError};

/// Most entity tags of one header that are looked at.
const MAX_TAGS: usize = 256;

/// The entity tag of content.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has `digest` already: `If-None-Match`, compared weakly, quoted or not.
pub(super) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let same = |tag: &str| tag == "*" || opaque(tag).parse() == Ok(*digest);
    tags(headers, header::IF_NONE_MATCH).any(|tag| same(tag.strip_prefix("W/").unwrap_or(tag)))
}

/// Whether a `Range` holds under `If-Range`: none, or exactly this content.
pub(super) fn range_applies(headers: &HeaderMap, digest: &Digest) -> bool {
    match headers.get(header::IF_RANGE) {
        None => true,
        Some(value) => value.to_str().is_ok_and(|value| value.trim() == etag(digest)),
    }
}

/// The condition of a write.
pub(super) fn write_condition(headers: &HeaderMap) -> Result<Option<Condition>, OciError> {
    let malformed = |message: &'static str| OciError::new(Code::ManifestInvalid, message);
    let has = |name| headers.contains_key(name);
    match (has(header::IF_MATCH), has(header::IF_NONE_MATCH)) {
        (false, false) => Ok(None),
        (true, true) => Err(malformed("If-Match and If-None-Match exclude each other")),
        (true, false) => {
            if tags(headers, header::IF_MATCH).count() > MAX_TAGS {
                return Err(malformed("too many entity tags"));
            }
            if tags(headers, header::IF_MATCH).any(|tag| tag == "*") {
                return Ok(Some(Condition::IfMatchAny));
            }
            // A tag that is weak or no digest matches nothing; with none left the condition cannot hold.
            let digests =
                tags(headers, header::IF_MATCH).filter_map(|tag| opaque(tag).parse().ok()).collect();
            Ok(Some(Condition::IfMatch(digests)))
        }
        (false, true) => {
            if tags(headers, header::IF_NONE_MATCH).eq(["*"]) {
                Ok(Some(Condition::IfNoneMatchAny))
            } else {
                Err(malformed("If-None-Match must be * on a write"))
            }
        }
    }
}

/// The entity tags of a header, as they stand there.
fn tags(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// What a tag says, with its quotes or, as some clients send it, without.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proto::digest::Algorithm;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn clients_that_have_it_are_told_so() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        for value in [
            format!("\"{digest}\""),
            format!("W/\"{digest}\""),
            digest.to_string(),
            "*".into(),
            format!("\"a\", \"{digest}\""),
        ] {
            assert!(not_modified(&headers(header::IF_NONE_MATCH, &value), &digest), "{value}");
        }
        assert!(!not_modified(&headers(header::IF_NONE_MATCH, "\"a\""), &digest));
        assert!(!not_modified(&HeaderMap::new(), &digest));
    }

    #[test]
    fn conditions_of_writes_are_read() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let read = |name, value: &str| write_condition(&headers(name, value)).ok().flatten();
        assert_eq!(read(header::IF_MATCH, "*"), Some(Condition::IfMatchAny));
        assert_eq!(read(header::IF_MATCH, &etag(&digest)), Some(Condition::IfMatch(vec![digest])));
        assert_eq!(read(header::IF_MATCH, "\"garbage\""), Some(Condition::IfMatch(Vec::new())));
        let weak = format!("W/{}", etag(&digest));
        assert_eq!(read(header::IF_MATCH, &weak), Some(Condition::IfMatch(Vec::new())));
        assert_eq!(read(header::IF_NONE_MATCH, "*"), Some(Condition::IfNoneMatchAny));
        assert!(write_condition(&headers(header::IF_NONE_MATCH, "\"a\"")).is_err());
        assert!(write_condition(&headers(header::IF_MATCH, &"\"a\",".repeat(300))).is_err());
    }
}
