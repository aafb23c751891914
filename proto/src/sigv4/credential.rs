//! Who signs and for what: access keys, scopes, and the keys that are derived from both.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use time::Date;
use zeroize::Zeroizing;

use crate::identity::Region;
use crate::name::text_id;
use crate::sigv4::date::{Day, parse_day};
use crate::sigv4::{Invalid, SigV4Error};

/// Longest secret in bytes; AWS's have 40.
pub const MAX_SECRET: usize = 128;
/// Longest name of a service in bytes.
const MAX_SERVICE: usize = 32;
/// What every scope ends with.
const TERMINATOR: &str = "aws4_request";

text_id! {
    /// The public half of an access key: 16 to 128 letters and digits (IAM API, `accessKeyIdType`).
    AccessKeyId
}

impl FromStr for AccessKeyId {
    type Err = SigV4Error;

    fn from_str(text: &str) -> Result<Self, SigV4Error> {
        let fits = (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self(text.to_owned())) } else { Err(SigV4Error::Unrecognized) }
    }
}

text_id! {
    /// What is signed for: `ecr`, `ecr-public`. Whether it fits what is asked is the caller's to say (§8.1, rule 3).
    Service
}

impl FromStr for Service {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=MAX_SERVICE).contains(&text.len()) && text.bytes().all(inner);
        if fits { Ok(Self(text.to_owned())) } else { Err(Invalid::Scope) }
    }
}

/// What a derived key is good for. With the key's id it names that key in a cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The day of the signature, in UTC.
    pub day: Date,
    /// The region that is asked.
    pub region: Region,
    /// The service that is asked.
    pub service: Service,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", Day(self.day), self.region, self.service)
    }
}

/// Reads `keyid/date/region/service/aws4_request`. The scope is judged first: a bad one is a bad signature whoever
/// signs.
pub(super) fn parse_credential(text: &str) -> Result<(AccessKeyId, Scope), SigV4Error> {
    let (key_id, scope) = text.split_once('/').ok_or(Invalid::Scope)?;
    let mut parts = scope.split('/');
    let mut part = || parts.next().ok_or(Invalid::Scope);
    let day = parse_day(part()?).ok_or(Invalid::Scope)?;
    let region = part()?.parse().map_err(|_| Invalid::Scope)?;
    let service = part()?.parse()?;
    if part()? != TERMINATOR || parts.next().is_some() {
        return Err(Invalid::Scope.into());
    }
    Ok((key_id.parse()?, Scope { day, region, service }))
}

/// The secret half of an access key; overwritten when it is dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<String>);

impl FromStr for SecretKey {
    type Err = SigV4Error;

    /// 1 to [`MAX_SECRET`] visible characters of ASCII.
    fn from_str(text: &str) -> Result<Self, SigV4Error> {
        let fits = (1..=MAX_SECRET).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(SigV4Error::Unrecognized) }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A key that signs within one scope only. Its bytes are overwritten when it is dropped; what the computation of a
/// hash leaves on the stack is not.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    /// Four HMACs: day, region, service, terminator (§8.1, rule 2).
    pub fn derive(secret: &SecretKey, scope: &Scope) -> Self {
        let start = Zeroizing::new(format!("AWS4{}", secret.0.as_str()));
        let step =
            |key: &[u8], text: &str| Zeroizing::new(hmac(key, text.as_bytes()).finalize().into_bytes().0);
        let day = step(start.as_bytes(), &Day(scope.day).to_string());
        let region = step(day.as_slice(), scope.region.as_str());
        let service = step(region.as_slice(), scope.service.as_str());
        Self(step(service.as_slice(), TERMINATOR))
    }

    /// The signature of a text.
    pub(super) fn sign(&self, text: &[u8]) -> [u8; 32] {
        hmac(self.0.as_slice(), text).finalize().into_bytes().0
    }

    /// Whether that is the signature of a text. Takes the same time whatever differs.
    pub(super) fn verifies(&self, text: &[u8], signature: &[u8; 32]) -> bool {
        hmac(self.0.as_slice(), text).verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[expect(clippy::expect_used, reason = "the signature allows for MACs that are not HMAC")]
fn hmac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)");
    hmac.chain_update(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_letters_and_digits() {
        for good in ["AKIAIOSFODNN7EXAMPLE", &"a".repeat(16), &"9".repeat(128)] {
            assert!(good.parse::<AccessKeyId>().is_ok(), "{good}");
        }
        for bad in ["", &"a".repeat(15), &"a".repeat(129), "AKIAIOSFODNN7EXAMPL\0", "AKIAIOSFODNN7EXAMPLé"] {
            assert_eq!(bad.parse::<AccessKeyId>(), Err(SigV4Error::Unrecognized), "{bad:?}");
        }
    }

    #[test]
    fn credentials_have_five_parts() {
        let id = "AKIAIOSFODNN7EXAMPLE";
        let (key_id, scope) = parse_credential(&format!("{id}/20260102/eu-west-1/ecr/aws4_request")).unwrap();
        assert_eq!(
            (key_id.as_str(), scope.region.as_str(), scope.service.as_str()),
            (id, "eu-west-1", "ecr")
        );
        assert_eq!(scope.to_string(), "20260102/eu-west-1/ecr/aws4_request");
        for bad in [
            "20260102/eu-west-1/ecr",
            "20260102/eu-west-1/ecr/",
            "20260102/eu-west-1/ecr/aws4_request/",
            "20260102/eu-west-1/ecr//aws4_request",
            "/20260102/eu-west-1/ecr/aws4_request",
            "20260102/eu-west-1/ecr/AWS4_REQUEST",
            "20260102/eu-west-1/ECR/aws4_request",
            "20260102/eu-west-1//aws4_request",
            "20260102/EU-WEST-1/ecr/aws4_request",
            "20260102//ecr/aws4_request",
            "20260231/eu-west-1/ecr/aws4_request",
            "/eu-west-1/ecr/aws4_request",
            "2026012/eu-west-1/ecr/aws4_request",
            "",
        ] {
            let refused = parse_credential(&format!("{id}/{bad}")).unwrap_err();
            assert_eq!(refused, Invalid::Scope.into(), "{bad}");
        }
        let unknown = parse_credential("/20260102/eu-west-1/ecr/aws4_request").unwrap_err();
        assert_eq!(unknown, SigV4Error::Unrecognized);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret: SecretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".parse().unwrap();
        let (_, scope) =
            parse_credential("AKIAIOSFODNN7EXAMPLE/20260102/eu-west-1/ecr/aws4_request").unwrap();
        let key = SigningKey::derive(&secret, &scope);
        assert_eq!(format!("{secret:?} {key:?}"), "[hidden] [hidden]");
        for bad in ["", "a b", "é", &"a".repeat(MAX_SECRET + 1)] {
            assert!(bad.parse::<SecretKey>().is_err(), "{bad:?}");
        }
    }
}
