//! Who asks, and whether they may: credentials to [`Identity`], and the one question that every request
//! asks of `cluster_core::access`.

pub(crate) mod keyring;
pub(crate) mod node_key;
pub(crate) mod password;
pub(crate) mod scope;
pub(crate) mod throttle;
pub(crate) mod token;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{Metadata, ReadError};
use cluster_core::access::{self, Action, Caller, Decision, DenyReason, Facts, Request, Resource};
use cluster_core::state;

use password::Passwords;
use scope::Grant;
use throttle::Throttle;
use token::Tokens;

/// The name of the root user.
pub(crate) const ROOT_USER: &str = "root";
/// The name that goes with passwords of GetAuthorizationToken.
pub(crate) const AWS_USER: &str = "AWS";
/// Longest `Authorization` header that is looked at, in bytes.
const MAX_CREDENTIALS: usize = 16 << 10;

/// A text that is never shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Who asks, and what their token limits them to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Who.
    pub(crate) caller: Caller,
    /// With a bearer token: what it was issued for. Without: no limit beside the decision.
    pub(crate) grants: Option<Vec<Grant>>,
}

impl Identity {
    /// Nobody in particular.
    pub(crate) const ANONYMOUS: Self = Self { caller: Caller::Anonymous, grants: None };

    /// The decision on `action`, narrowed by the token. A token never leaves less than nobody has.
    pub(crate) fn may(&self, action: Action, resource: &Resource, facts: &Facts) -> Verdict {
        let decision = |caller: &Caller| {
            let request = Request { caller: caller.clone(), action, resource: resource.clone() };
            access::decide(&request, facts)
        };
        match decision(&self.caller) {
            Decision::Allow(_) if action == Action::Connect || self.granted(action, resource) => {
                Verdict::Allowed
            }
            Decision::Allow(_) if decision(&Caller::Anonymous).is_allowed() => Verdict::Allowed,
            Decision::Allow(_) => Verdict::InsufficientScope,
            Decision::Deny(DenyReason::NotAuthenticated) => Verdict::LoginNeeded,
            Decision::Deny(DenyReason::OtherAccount) => Verdict::Denied,
        }
    }

    fn granted(&self, action: Action, resource: &Resource) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(|grant| grant.covers(action, resource)))
    }
}

/// Whether somebody may do something, as HTTP tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes.
    Allowed,
    /// Not without a login: 401.
    LoginNeeded,
    /// Not with this token, but another one would do: 401.
    InsufficientScope,
    /// No: 403.
    Denied,
}

/// Why credentials were not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// Wrong, expired, malformed, of nobody: all the same to the client.
    #[error("the credentials are not valid")]
    Invalid,
    /// Too many wrong ones from this address for this user.
    #[error("too many wrong passwords")]
    Throttled,
    /// They cannot be checked now.
    #[error("credentials cannot be checked now")]
    Unavailable(#[source] ReadError),
}

/// Checks credentials against the replicated state.
pub(crate) struct Authenticator {
    metadata: Metadata,
    passwords: Passwords,
    throttle: Throttle,
    /// Issues and verifies bearer tokens.
    pub(crate) tokens: Tokens,
}

impl Authenticator {
    /// For the registry whose root is `root`.
    pub(crate) fn new(metadata: Metadata, root: Caller, tokens: Tokens) -> Arc<Self> {
        let passwords = Passwords::new(root);
        Arc::new(Self { metadata, passwords, throttle: Throttle::default(), tokens })
    }

    /// Who sent these headers from `address`. No `Authorization` at all is the anonymous principal.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Identity, AuthError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Ok(Identity::ANONYMOUS);
        };
        let value = value.to_str().map_err(|_| AuthError::Invalid)?;
        if values.next().is_some() || value.len() > MAX_CREDENTIALS {
            return Err(AuthError::Invalid);
        }
        let (scheme, credentials) = value.split_once(' ').ok_or(AuthError::Invalid)?;
        if scheme.eq_ignore_ascii_case("basic") {
            let (user, password) = basic(credentials).ok_or(AuthError::Invalid)?;
            let caller = if user == AWS_USER {
                let reader = self.metadata.local().map_err(AuthError::Unavailable)?;
                self.tokens.verify_password(&reader, password.expose())?
            } else {
                self.log_in(&user, &password, address).await?
            };
            Ok(Identity { caller, grants: None })
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let reader = self.metadata.local().map_err(AuthError::Unavailable)?;
            self.tokens.verify(&reader, credentials.trim())
        } else {
            Err(AuthError::Invalid)
        }
    }

    /// Whose `password` it is.
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &Secret,
        address: IpAddr,
    ) -> Result<Caller, AuthError> {
        let stored = {
            let reader = self.metadata.local().map_err(AuthError::Unavailable)?;
            match (&self.passwords.root, user) {
                (Caller::Root(account), ROOT_USER) => state::cluster::root(&reader, account)
                    .map_err(|error| AuthError::Unavailable(error.into()))?,
                _ => None,
            }
        };
        let stored = stored.map(|record| record.password_hash);
        if let Some(caller) = self.passwords.known(user, password, stored.as_deref()) {
            return Ok(caller);
        }
        let turn = self.passwords.turn().await.ok_or(AuthError::Throttled)?;
        // Whoever waited beside us may have been the same.
        if let Some(caller) = self.passwords.known(user, password, stored.as_deref()) {
            return Ok(caller);
        }
        if !self.throttle.may_try(user, address) {
            return Err(AuthError::Throttled);
        }
        let result = self.passwords.check(turn, user, password, stored).await;
        if result.is_some() {
            self.throttle.forgive(user, address);
        }
        result.ok_or(AuthError::Invalid)
    }
}

/// User and password of Basic credentials (RFC 7617).
fn basic(credentials: &str) -> Option<(String, Secret)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (!user.is_empty() && !password.is_empty()).then(|| (user.to_owned(), Secret::new(password.to_owned())))
}
