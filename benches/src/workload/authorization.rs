//! Asking Amazon ECR's API for a password: one signed request, sent again and again.
//!
//! Owns the request. It is signed once: a server checks the same bytes as anew each time, and signing is the client's cost.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::http::HeaderName;
use hyper::{Method, Request, StatusCode};
use proto::digest::{Algorithm, Digest};
use proto::sigv4::{self, Signer};
use serde::Deserialize;
use time::OffsetDateTime;

use super::Progress;
use crate::LoadError;
use crate::client::Connection;
use crate::content::Payload;

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const BODY: &[u8] = b"{}";

/// An access key as `shoal key create --output json` prints it.
#[derive(Clone, Deserialize)]
pub struct AccessKey {
    id: String,
    secret: String,
}

/// Asks for a password.
pub struct AuthorizationToken {
    headers: Vec<(HeaderName, String)>,
}

impl AuthorizationToken {
    /// Signs the request to the server at `host` for the region, now: it is good for a quarter of an hour.
    ///
    /// # Errors
    /// A key, region or host that cannot be.
    pub fn new(key: &AccessKey, region: &str, host: &str) -> anyhow::Result<Self> {
        let signer = Signer {
            key_id: key.id.parse()?,
            secret: key.secret.parse()?,
            token: None,
            region: region.parse()?,
            service: "ecr".parse()?,
        };
        let plain =
            [("host", host), ("content-type", "application/x-amz-json-1.1"), ("x-amz-target", TARGET)];
        let signed: Vec<_> = plain.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = sigv4::Request { method: "POST", path: "/", query: "", headers: &signed };
        let body = Digest::of(Algorithm::Sha256, BODY);
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let added = signer.sign(&request, &body, OffsetDateTime::from_unix_timestamp(now)?)?;
        let all = plain[1..].iter().map(|(name, value)| (*name, (*value).to_owned())).chain(added);
        let headers = all.map(|(name, value)| (HeaderName::from_static(name), value)).collect();
        Ok(Self { headers })
    }

    pub(super) async fn step(&self, connection: &mut Connection) -> Result<Progress, LoadError> {
        let request = Request::builder().method(Method::POST).uri("/");
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(name, value.as_str()));
        let payload = Payload::of(bytes::Bytes::from_static(BODY));
        let reply = connection.call(request, payload, StatusCode::OK).await?;
        Ok(Progress::of(1, reply.body().len() as u64))
    }
}
