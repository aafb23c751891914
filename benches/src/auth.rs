//! Logging in: learns from `/v2/` what a registry wants and gets the header for it.
//!
//! Owns the three cases that registries differ in: nothing, Basic, and a Bearer token from the token
//! endpoint. The realm is asked on the server that named it. Never prints a secret.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode, Uri};
use serde::Deserialize;

use crate::LoadError;
use crate::client::{Connection, Target};
use crate::content::Payload;

/// A name and a password; `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials(HeaderValue);

impl Credentials {
    /// Reads `name:password`.
    ///
    /// # Errors
    /// A text for the user when there is no colon.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains(':') {
            return Err("expected name:password".into());
        }
        let value = format!("Basic {}", STANDARD.encode(text));
        HeaderValue::from_str(&value).map(Self).map_err(|_| "not usable in a header".into())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// What a login is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Pull and push in one repository, and the catalog: one token serves the whole run.
    Repository(String),
    /// More repositories than a token can name: Basic is sent with every request.
    ManyRepositories,
}

/// The target with whatever `Authorization` it wants for `purpose`.
///
/// # Errors
/// [`LoadError::Refused`] when the credentials are wrong, [`LoadError::BadReply`] when the challenge
/// or the token cannot be read, and what [`Connection::call`] gives.
pub async fn login(
    target: Target,
    credentials: Option<&Credentials>,
    purpose: &Purpose,
) -> Result<Target, LoadError> {
    let mut connection = Connection::open(Arc::new(target.clone())).await?;
    let ping = connection.send(Request::get("/v2/"), Payload::empty()).await?;
    if ping.status() != StatusCode::UNAUTHORIZED {
        return Ok(target);
    }
    let challenge = ping.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let challenge = challenge.ok_or(LoadError::BadReply("WWW-Authenticate"))?;
    let bearer = challenge.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    match (purpose, credentials) {
        (Purpose::Repository(repository), _) if bearer => {
            let token = token(&target, credentials, challenge, repository).await?;
            Ok(target.with_authorization(token))
        }
        (_, Some(credentials)) => Ok(target.with_authorization(credentials.0.clone())),
        (_, None) => Ok(target),
    }
}

#[derive(Deserialize)]
struct TokenReply {
    token: String,
}

async fn token(
    target: &Target,
    credentials: Option<&Credentials>,
    challenge: &str,
    repository: &str,
) -> Result<HeaderValue, LoadError> {
    let realm = parameter(challenge, "realm").ok_or(LoadError::BadReply("realm"))?;
    let realm: Uri = realm.parse().map_err(|_| LoadError::BadReply("realm"))?;
    let service = parameter(challenge, "service").unwrap_or_default();
    let path = format!(
        "{}?service={service}&scope=repository:{repository}:pull,push&scope=registry:catalog:*",
        realm.path()
    );
    let mut request = Request::get(path);
    if let Some(Credentials(basic)) = credentials {
        request = request.header(AUTHORIZATION, basic.clone());
    }
    let mut connection = Connection::open(Arc::new(target.clone())).await?;
    let reply = connection.call(request, Payload::empty(), StatusCode::OK).await?;
    let reply: TokenReply = serde_json::from_slice(reply.body()).map_err(|_| LoadError::BadReply("token"))?;
    HeaderValue::from_str(&format!("Bearer {}", reply.token)).map_err(|_| LoadError::BadReply("token"))
}

/// The quoted value of `name` in a challenge.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let start = challenge.find(&format!("{name}=\""))? + name.len() + 2;
    challenge[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_challenge_are_found() {
        let challenge = r#"Bearer realm="http://127.0.0.1:5000/token",service="shoal""#;
        assert_eq!(parameter(challenge, "realm"), Some("http://127.0.0.1:5000/token"));
        assert_eq!(parameter(challenge, "service"), Some("shoal"));
        assert_eq!(parameter(challenge, "scope"), None);
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = Credentials::parse("root:secret").unwrap();
        assert!(!format!("{credentials:?}").contains("c2VjcmV0"));
        assert!(Credentials::parse("root").is_err());
    }
}
