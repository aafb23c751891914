//! Signing: what a client of ours does, and what tests check the verification with.

use std::fmt;

use time::OffsetDateTime;

use crate::digest::Digest;
use crate::identity::Region;
use crate::sigv4::canonical::{SignedNames, canonical};
use crate::sigv4::text::push_hex;
use crate::sigv4::{
    ALGORITHM, AccessKeyId, AmzDate, Incomplete, Request, Scope, SecretKey, Service, SigV4Error, SigningKey,
    header, query, string_to_sign,
};

/// An access key, and what it is used for.
#[derive(Clone)]
pub struct Signer {
    /// Its public half.
    pub key_id: AccessKeyId,
    /// Its secret half.
    pub secret: SecretKey,
    /// The token of its session, if it belongs to one.
    pub token: Option<String>,
    /// The region that is asked.
    pub region: Region,
    /// The service that is asked.
    pub service: Service,
}

impl Signer {
    /// The headers that sign a request at that time: names in lower case, and values. All headers that the request has
    /// are signed, so it is handed over with those only that nothing on the way changes, `host` (with the port, if
    /// it is not the scheme's own) among them. `body` is the SHA-256 of the body.
    ///
    /// Fails for what no signature covers: see [`Signed::parse`](crate::sigv4::Signed::parse).
    pub fn sign(
        &self,
        request: &Request<'_>,
        body: &Digest,
        now: OffsetDateTime,
    ) -> Result<Vec<(&'static str, String)>, SigV4Error> {
        request.check()?;
        if query::find(request)?.is_some() {
            return Err(Incomplete::Twice.into());
        }
        let date = AmzDate::of(now);
        let mut added = vec![(header::DATE, date.to_string())];
        added.extend(self.token.iter().map(|token| (header::TOKEN, token.clone())));

        let mut headers = request.headers.to_vec();
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let mut names: Vec<_> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join(";");

        let request = Request { headers: &headers, ..*request };
        let signed = SignedNames::parse(&names)?;
        signed.cover(&request)?;
        let scope = Scope { day: date.day(), region: self.region.clone(), service: self.service.clone() };
        let text = string_to_sign(canonical(&request, &signed)?, body, date, &scope);
        let signature = SigningKey::derive(&self.secret, &scope).sign(&text);

        let credential = format!("{}/{scope}", self.key_id);
        let value = format!("{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature=");
        let mut value = value.into_bytes();
        push_hex(&mut value, &signature);
        added.push(("authorization", String::from_utf8_lossy(&value).into_owned()));
        Ok(added)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.key_id).field(&self.region).field(&self.service).finish()
    }
}
