//! Credentials in the `Authorization` header.

use std::borrow::Cow;

use crate::sigv4::{ALGORITHM, Claim, Incomplete, Invalid, MAX_AUTHORIZATION, Request, SigV4Error};

/// The time of the signature. `Date` is not read: botocore and the SDKs send this one always.
pub(super) const DATE: &str = "x-amz-date";
/// The token of a session.
pub(super) const TOKEN: &str = "x-amz-security-token";
/// What the client says that the body's hash is.
pub(super) const CONTENT: &str = "x-amz-content-sha256";

/// What the header says; `None` if it has no scheme of AWS.
pub(super) fn find<'a>(request: &Request<'a>) -> Result<Option<Claim<'a>>, SigV4Error> {
    let Some(value) = request.once("authorization").map_err(|_| Incomplete::Twice)? else { return Ok(None) };
    // Beside V4 there are `AWS` (V2), `AWS3-HTTPS`, `AWS4-ECDSA-P256-SHA256`: refused, not taken for absent.
    if !value.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"AWS")) {
        return Ok(None);
    }
    let visible = |byte: &u8| matches!(byte, b' '..=b'~');
    let text = Some(value).filter(|value| value.len() <= MAX_AUTHORIZATION && value.iter().all(visible));
    let text = text.and_then(|text| str::from_utf8(text).ok()).ok_or(Incomplete::Header)?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme != ALGORITHM {
        return Err(Incomplete::Algorithm.into());
    }
    let [credential, signed_headers, signature] = parts(rest)?;
    Ok(Some(Claim {
        credential: Cow::Borrowed(credential),
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        date: Cow::Borrowed(once(request, DATE)?.ok_or(Invalid::Date)?),
        token: once(request, TOKEN)?.map(Cow::Borrowed),
        expires: None,
    }))
}

/// A header of AWS, which is text and sent once.
fn once<'a>(request: &Request<'a>, name: &'static str) -> Result<Option<&'a str>, Invalid> {
    let fault = if name == DATE { Invalid::Date } else { Invalid::Repeated };
    let value = request.once(name).map_err(|_| fault)?;
    value.map(|value| str::from_utf8(value).map_err(|_| fault)).transpose()
}

/// `Credential=…, SignedHeaders=…, Signature=…` in any order, separated by a comma and at most one space.
fn parts(text: &str) -> Result<[&str; 3], Incomplete> {
    const NAMES: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];
    let mut found = [None; 3];
    for (number, part) in text.split(',').enumerate() {
        let part = part.strip_prefix(' ').filter(|_| number > 0).unwrap_or(part);
        let (name, value) = part.split_once('=').ok_or(Incomplete::Header)?;
        let place = NAMES.iter().position(|known| *known == name).ok_or(Incomplete::Header)?;
        if value.contains(' ') || found[place].replace(value).is_some() {
            return Err(Incomplete::Header);
        }
    }
    let [credential, signed_headers, signature] = found;
    let part = |place: usize, value: Option<_>| value.ok_or(Incomplete::Part(NAMES[place]));
    Ok([part(0, credential)?, part(1, signed_headers)?, part(2, signature)?])
}
