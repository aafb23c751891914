//! The canonical request: the one text that stands for all requests that mean the same (ECR specification §8.1, rule
//! 1), as botocore 1.44.5 writes it for every service but S3.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::sigv4::text::push_encoded;
use crate::sigv4::{Invalid, MAX_SIGNED_HEADERS, Request, query};

/// The names of `SignedHeaders`: lower case, strictly ascending.
pub(super) struct SignedNames<'a> {
    text: &'a str,
    names: Vec<&'a str>,
}

impl<'a> SignedNames<'a> {
    /// Reads them. The credential itself is never signed.
    pub(super) fn parse(text: &'a str) -> Result<Self, Invalid> {
        let names: Vec<_> = text.split(';').take(MAX_SIGNED_HEADERS + 1).collect();
        let ascending = names.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = |name: &&str| is_name(name) && *name != "authorization";
        if names.len() > MAX_SIGNED_HEADERS || !ascending || !names.iter().all(fits) {
            return Err(Invalid::SignedHeaders);
        }
        Ok(Self { text, names })
    }

    fn has(&self, name: &str) -> bool {
        self.names.binary_search(&name).is_ok()
    }

    /// `host` is among them, and whatever the request has of AWS's headers (§8.1, rule 3).
    pub(super) fn cover(&self, request: &Request<'_>) -> Result<(), Invalid> {
        if !self.has("host") {
            return Err(Invalid::Host);
        }
        let signed = |name: &str| !is_amz(name) || self.has(&name.to_ascii_lowercase());
        if request.headers.iter().all(|(name, _)| signed(name)) { Ok(()) } else { Err(Invalid::Unsigned) }
    }
}

/// A header's name in lower case (RFC 9110, "token").
fn is_name(text: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(inner)
}

/// Whether a header is one of those that must be signed; `x-amzn-trace-id` is none.
pub(super) fn is_amz(name: &str) -> bool {
    name.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("x-amz-"))
}

/// The path that a signature speaks of: without empty and `.` segments, `..` resolved, a slash at the end kept.
///
/// Paths of one normal form have the same signature. Whoever acts on a signed path acts on this, or refuses those that
/// are not it. Percent signs stay as they are: `%2F` and `%2f` are different paths, and neither is a slash.
pub fn normal_path(path: &str) -> Cow<'_, str> {
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    let inner = path.strip_prefix('/').map(|inner| inner.strip_suffix('/').unwrap_or(inner));
    if path == "/" || inner.is_some_and(|inner| !inner.split('/').any(odd)) {
        return Cow::Borrowed(path);
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let last = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{last}", segments.join("/")))
}

/// All of the canonical request but its last line, the body's hash: in a hash that goes on with that. No line can end
/// early: names and methods are tokens, paths are encoded, queries are visible, whitespace in values is a space.
pub(super) fn canonical(request: &Request<'_>, signed: &SignedNames<'_>) -> Result<Sha256, Invalid> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    push_encoded(&mut out, &normal_path(request.path));
    out.push(b'\n');
    push_query(&mut out, request.query);
    out.push(b'\n');
    for name in &signed.names {
        push_header(&mut out, request, name)?;
    }
    out.push(b'\n');
    out.extend_from_slice(signed.text.as_bytes());
    out.push(b'\n');
    Ok(Sha256::new_with_prefix(out))
}

/// The parameters in order, without the signature. They stay encoded as they were sent; an equals sign is added where
/// there is none.
fn push_query(out: &mut Vec<u8>, text: &str) {
    let mut pairs: Vec<_> = query::pairs(text).filter(|(name, _)| *name != query::SIGNATURE).collect();
    pairs.sort_unstable();
    for (number, (name, value)) in pairs.into_iter().enumerate() {
        if number > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

/// A header's line. If it was sent more than once: its values, joined by commas.
fn push_header(out: &mut Vec<u8>, request: &Request<'_>, name: &str) -> Result<(), Invalid> {
    out.extend_from_slice(name.as_bytes());
    let mut number = 0;
    for value in request.values(name) {
        out.push(if number == 0 { b':' } else { b',' });
        push_value(out, value);
        number += 1;
    }
    out.push(b'\n');
    match number {
        0 => Err(Invalid::Absent),
        1 => Ok(()),
        // What is decided by must not depend on whether a reader takes the first or the last.
        _ if name == "host" || is_amz(name) => Err(Invalid::Repeated),
        _ => Ok(()),
    }
}

/// Without whitespace around it, and with one space for every run of whitespace inside.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let words = value.split(space).filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_a_normal_form() {
        for (path, normal) in [
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/..", "/"),
            ("/a/../", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a//b//", "/a/b/"),
            ("/a/./b/.", "/a/b"),
            ("/a/b/..", "/a"),
            ("/../../a", "/a"),
            ("/...", "/..."),
            ("/%2e%2E/a", "/%2e%2E/a"),
            ("/a%2F%2fb", "/a%2F%2fb"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
            assert_eq!(normal_path(normal), normal);
        }
    }

    #[test]
    fn queries_are_sorted_as_they_were_sent() {
        for (query, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a", "a="),
            ("a=2&a=10&a", "a=&a=10&a=2"),
            ("a==b&", "=&a==b"),
            ("a=%2f+%20", "a=%2f+%20"),
            ("b=1&X-Amz-Signature=x&a=1", "a=1&b=1"),
        ] {
            let mut out = Vec::new();
            push_query(&mut out, query);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(canonical), "{query}");
        }
    }

    #[test]
    fn names_are_sorted_and_lower_case() {
        let most: Vec<_> = (0..MAX_SIGNED_HEADERS).map(|number| format!("h{number:03}")).collect();
        assert!(SignedNames::parse(&most.join(";")).is_ok());
        assert!(SignedNames::parse(&format!("{};host", most.join(";"))).is_err());
        for bad in [
            "",
            "b;a",
            "a;a",
            "Host",
            "a;;b",
            "a;",
            ";a",
            "a b",
            "a:b",
            "a\n",
            "é",
            "authorization;host",
            "a,b",
        ] {
            assert!(SignedNames::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_have_single_spaces() {
        let mut out = Vec::new();
        push_value(&mut out, b" \ta  b\t \tc\xA0d \r\n");
        assert_eq!(out, b"a b c\xA0d");
    }
}
