//! Credentials in the query of a presigned request.

use std::borrow::Cow;

use crate::sigv4::canonical::is_amz;
use crate::sigv4::text::decode;
use crate::sigv4::{ALGORITHM, Claim, Incomplete, Invalid, MAX_EXPIRES, Request, SigV4Error};

/// The one parameter that is not signed.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
/// All that there are. The last may be absent.
const NAMES: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    SIGNATURE,
    "X-Amz-Security-Token",
];

/// The parameters as they were sent; an empty query has none.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = (!query.is_empty()).then(|| query.split('&'));
    parts.into_iter().flatten().map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// What the query says; `None` if none of its parameters is AWS's.
pub(super) fn find<'a>(request: &Request<'a>) -> Result<Option<Claim<'a>>, SigV4Error> {
    let mut found = [None; 7];
    for (name, value) in pairs(request.query).filter(|(name, _)| is_ours(name)) {
        let place = NAMES.iter().position(|known| *known == name).ok_or(Invalid::Parameter)?;
        if found[place].replace(value).is_some() {
            return Err(Invalid::Parameter.into());
        }
    }
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let get = |place: usize| {
        let value = found[place].and_then(decoded);
        value.ok_or(Incomplete::Parameter(NAMES[place]))
    };
    if get(0)? != ALGORITHM {
        return Err(Incomplete::Algorithm.into());
    }
    Ok(Some(Claim {
        credential: get(1)?,
        date: get(2)?,
        expires: Some(seconds(&get(3)?)?),
        signed_headers: get(4)?,
        signature: get(5)?,
        token: found[6].is_some().then(|| get(6)).transpose()?,
    }))
}

/// Whether somebody who decodes and ignores case would take the parameter for AWS's.
fn is_ours(name: &str) -> bool {
    if name.contains('%') { decode(name).is_some_and(|name| is_amz(&name)) } else { is_amz(name) }
}

fn decoded(value: &str) -> Option<Cow<'_, str>> {
    if value.contains('%') { decode(value).map(Cow::Owned) } else { Some(Cow::Borrowed(value)) }
}

/// 1 to [`MAX_EXPIRES`], in digits, as short as can be.
fn seconds(text: &str) -> Result<u32, Invalid> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let seconds = Some(text).filter(|_| plain).and_then(|text| text.parse().ok());
    seconds.filter(|seconds| (1..=MAX_EXPIRES).contains(seconds)).ok_or(Invalid::Expires)
}
