//! AWS Signature Version 4: whether a request was made by whoever has a secret.
//!
//! Owns how a signature is found, read and checked (ECR specification §8.1; hostile inputs XS1 to XS14), and how one is
//! made. Pure: the time is an argument, keys are looked up by the caller. In the order of one request:
//!
//! 1. [`Signed::parse`] reads the credential, from the `Authorization` header or from a presigned query, and builds the
//!    canonical request. It needs no body.
//! 2. The caller looks up [`Signed::key_id`] and [`Signed::token`] and checks that [`Scope::service`] fits what is asked;
//!    [`Signed::check_time`] refuses early. Only then it reads the body and hashes it.
//! 3. [`Signed::verify`] with a [`SigningKey`], which may be kept by key id and [`Scope`].
//!
//! Differences from AWS, all on the strict side: bodies are always signed (no `UNSIGNED-PAYLOAD`, no `STREAMING-*`); the
//! time is `X-Amz-Date`, never `Date`; a presigned query has AWS's seven parameters only; `host` and `x-amz-*` headers are
//! sent once. Where SDKs differ (tabs in values, odd encodings in queries, paths), botocore 1.44.5 is followed.
//!
//! Bounds, all checked before anything is copied: [`MAX_AUTHORIZATION`], [`MAX_PATH`], [`MAX_QUERY`], [`MAX_HEADERS`],
//! [`MAX_HEADER_BYTES`], [`MAX_SIGNED_HEADERS`], [`MAX_TOKEN`].

mod canonical;
mod credential;
mod date;
mod error;
mod header;
mod query;
mod sign;
mod text;

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

pub use canonical::normal_path;
pub use credential::{AccessKeyId, MAX_SECRET, Scope, SecretKey, Service, SigningKey};
pub use date::AmzDate;
pub use error::{Incomplete, Invalid, SigV4Error};
pub use sign::Signer;

use crate::digest::Digest;
use crate::sigv4::canonical::{SignedNames, canonical};
use crate::sigv4::text::{parse_hash, push_hex};

/// The one algorithm; its name is case sensitive.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Longest `Authorization` header in bytes.
pub const MAX_AUTHORIZATION: usize = 4096;
/// Longest path in bytes.
pub const MAX_PATH: usize = 8 << 10;
/// Longest query in bytes.
pub const MAX_QUERY: usize = 32 << 10;
/// Most headers, repeated ones counted each time.
pub const MAX_HEADERS: usize = 128;
/// Most bytes in the names and values of all headers.
pub const MAX_HEADER_BYTES: usize = 64 << 10;
/// Most names in `SignedHeaders`.
pub const MAX_SIGNED_HEADERS: usize = 64;
/// Longest token of a session in bytes.
pub const MAX_TOKEN: usize = 8 << 10;
/// Longest that a presigned request holds, in seconds: a week.
pub const MAX_EXPIRES: u32 = 604_800;
/// Longest method in bytes.
const MAX_METHOD: usize = 32;

/// A request as it came, before anything was decoded.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, in the case that it has.
    pub method: &'a str,
    /// The path of the request line; it begins with a slash. [`normal_path`] says what is signed of it.
    pub path: &'a str,
    /// What follows the first question mark; empty if there is none.
    pub query: &'a str,
    /// All headers, names in any case. With HTTP/2, `host` is the `:authority`.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Request<'a> {
    /// Whether it can be signed at all.
    fn check(&self) -> Result<(), Incomplete> {
        let method = (1..=MAX_METHOD).contains(&self.method.len())
            && self.method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let path = self.path.len() <= MAX_PATH && self.path.starts_with('/');
        let query =
            self.query.len() <= MAX_QUERY && self.query.bytes().all(|byte| byte > b' ' && byte != 0x7F);
        let bytes = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let headers = self.headers.len() <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES;
        if method && path && query && headers { Ok(()) } else { Err(Incomplete::Request) }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |header: &&(&str, _)| header.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| *value)
    }

    /// A header that must not be repeated.
    fn once(&self, name: &str) -> Result<Option<&'a [u8]>, Invalid> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() { Err(Invalid::Repeated) } else { Ok(value) }
    }
}

/// What a request says of its signature, wherever it says so.
struct Claim<'a> {
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    date: Cow<'a, str>,
    token: Option<Cow<'a, str>>,
    /// Seconds; of a presigned request.
    expires: Option<u32>,
}

/// A request that claims to be signed. Nothing about it is believed before [`Signed::verify`] returned.
#[derive(Clone)]
pub struct Signed {
    key_id: AccessKeyId,
    scope: Scope,
    token: Option<String>,
    date: AmzDate,
    expires: Option<u32>,
    signature: [u8; 32],
    /// What `x-amz-content-sha256` says.
    body: Option<[u8; 32]>,
    /// Over the canonical request up to the body's hash.
    canonical: Sha256,
}

impl Signed {
    /// Reads the signature of a request: all rules that need neither key nor body nor time.
    ///
    /// [`SigV4Error::Missing`] if there is none; a request with another kind of `Authorization` has none either.
    pub fn parse(request: &Request<'_>) -> Result<Self, SigV4Error> {
        request.check()?;
        let claim = match query::find(request)? {
            None => header::find(request)?.ok_or(SigV4Error::Missing)?,
            // Not in the header too, nor any part of it.
            Some(claim) => {
                match ["authorization", header::DATE, header::TOKEN].map(|name| request.values(name).next()) {
                    [None, None, None] => claim,
                    _ => return Err(Incomplete::Twice.into()),
                }
            }
        };
        let (key_id, scope) = credential::parse_credential(&claim.credential)?;
        let signature = parse_hash(claim.signature.as_bytes()).ok_or(Incomplete::Signature)?;
        let date = AmzDate::parse(&claim.date)?;
        if scope.day != date.day() {
            return Err(Invalid::ScopeDate.into());
        }
        let token = claim.token.map(|token| {
            let fits =
                (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
            if fits { Ok(token.into_owned()) } else { Err(SigV4Error::Unrecognized) }
        });
        let names = SignedNames::parse(&claim.signed_headers)?;
        names.cover(request)?;
        let canonical = canonical(request, &names)?;
        let body = request.once(header::CONTENT)?.map(|hash| parse_hash(hash).ok_or(Invalid::Body));
        Ok(Self {
            key_id,
            scope,
            token: token.transpose()?,
            date,
            expires: claim.expires,
            signature,
            body: body.transpose()?,
            canonical,
        })
    }

    /// Whose key it should be.
    pub fn key_id(&self) -> &AccessKeyId {
        &self.key_id
    }

    /// What the signature is good for.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The token of the session that the key should belong to.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// When it was signed.
    pub fn date(&self) -> AmzDate {
        self.date
    }

    /// How many seconds after [`Signed::date`] a presigned request ends; `None` if the header signs.
    pub fn expires(&self) -> Option<u32> {
        self.expires
    }

    /// Whether it holds now. Clocks may differ by `skew` (§8.1, rule 4: 15 minutes): it was signed at most that long
    /// ago, and is at most that far ahead. A presigned request says itself when it ends; that is not stretched.
    pub fn check_time(&self, now: OffsetDateTime, skew: std::time::Duration) -> Result<(), SigV4Error> {
        let now = AmzDate::of(now);
        let skew = Duration::seconds(i64::try_from(skew.as_secs()).unwrap_or(i64::MAX));
        let minutes = |span: Duration| span.whole_minutes().unsigned_abs();
        let limit = now.plus(skew);
        if self.date > limit {
            let minutes = minutes(skew);
            return Err(Invalid::NotYetCurrent { signed: self.date, limit, now, minutes }.into());
        }
        let (signed, past) = match self.expires {
            Some(seconds) => (self.date.plus(Duration::seconds(seconds.into())), Duration::ZERO),
            None => (self.date, skew),
        };
        let limit = now.minus(past);
        if signed < limit {
            return Err(Invalid::Expired { signed, limit, now, minutes: minutes(past) }.into());
        }
        Ok(())
    }

    /// Whether it is the signature of this request, made with that key, and holds now. `body` is the SHA-256 of the
    /// body as it was received. Takes the same time wherever the signature differs.
    pub fn verify(
        &self,
        key: &SigningKey,
        body: &Digest,
        now: OffsetDateTime,
        skew: std::time::Duration,
    ) -> Result<(), SigV4Error> {
        self.check_time(now, skew)?;
        if self.body.is_some_and(|claimed| claimed != body.hash()) {
            return Err(Invalid::Body.into());
        }
        let text = string_to_sign(self.canonical.clone(), body, self.date, &self.scope);
        if key.verifies(&text, &self.signature) { Ok(()) } else { Err(Invalid::Mismatch.into()) }
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, scope, date, .. } = self;
        write!(f, "Signed({key_id}/{scope} at {date})")
    }
}

/// What the key signs (§8.1, rule 2). `canonical` goes on with the body's hash.
fn string_to_sign(mut canonical: Sha256, body: &Digest, date: AmzDate, scope: &Scope) -> Vec<u8> {
    canonical.update(body.hex());
    let mut text = format!("{ALGORITHM}\n{date}\n{scope}\n").into_bytes();
    push_hex(&mut text, &canonical.finalize());
    text
}

#[cfg(test)]
#[path = "sigv4_test.rs"]
mod tests;
