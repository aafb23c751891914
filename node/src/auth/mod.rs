//! Who asks, and whether they may: credentials to [`Identity`], and the one question that every request
//! asks of `cluster_core::access`, through [`decider`].

mod claims;
pub(crate) mod decider;
pub(crate) mod keyring;
pub(crate) mod login;
pub(crate) mod node_key;
pub(crate) mod password;
mod policies;
pub(crate) mod robot;
pub(crate) mod scope;
pub(crate) mod throttle;
pub(crate) mod token;
#[cfg(test)]
mod world;

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{Metadata, ReadError, StateReader, StorageError};
use cluster_core::access::{Action, Caller, Wanted};
use cluster_core::state::StateError;
use cluster_core::state::principal::robot_token::TokenId;
use proto::credential::AccessKeyId;
use proto::identity::{AccountId, RegistryId};

use login::{Login, LoginName};
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

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They did not.
    Nothing,
    /// By their password, or what stands for it: the only one that buys refresh tokens.
    Password,
    /// By a signature with an access key.
    Key,
    /// By what was issued for a proof, and ends soon: an access or authorization token.
    Token,
    /// By a robot token, which may narrow what its owner may; or by an access token that was issued for one.
    Robot(TokenId),
}

/// Who asks, and what their token limits them to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Who.
    pub(crate) caller: Caller,
    /// How that is known.
    pub(crate) proof: Proof,
    /// With a bearer token: what it was issued for. Without: no limit beside the decision.
    pub(crate) grants: Option<Vec<Grant>>,
    /// With an authorization token: what ends with it.
    pub(crate) authorization: Option<Authorization>,
}

/// An authorization token: what is bought with it ends no later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// Its id, by which it can be revoked.
    id: TokenId,
    /// The lasting access key that it was asked for with; a role has none.
    key: Option<AccessKeyId>,
    /// When it ends, in seconds since 1970.
    ends: u64,
}

impl Identity {
    /// Nobody in particular.
    pub(crate) const ANONYMOUS: Self =
        Self { caller: Caller::Anonymous, proof: Proof::Nothing, grants: None, authorization: None };

    /// Somebody whom no scope limits.
    pub(crate) fn of(caller: Caller, proof: Proof) -> Self {
        Self { caller, proof, grants: None, authorization: None }
    }

    /// Whether the token, if there is one, was issued for that.
    fn covers(&self, wanted: &Wanted) -> bool {
        let Some(grants) = &self.grants else { return true };
        // A token of any scope connects (A2).
        wanted.action().is_some_and(|action| {
            let resource = wanted.resource();
            action == Action::Connect || grants.iter().any(|grant| grant.covers(action, resource))
        })
    }
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

fn unread(error: StateError<StorageError>) -> AuthError {
    AuthError::Unavailable(error.into())
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
    /// With nothing remembered.
    pub(crate) fn new(metadata: Metadata, tokens: Tokens) -> Arc<Self> {
        let (passwords, throttle) = (Passwords::new(), Throttle::default());
        Arc::new(Self { metadata, passwords, throttle, tokens })
    }

    /// Who sent these headers from `address` to `registry`. No `Authorization` at all is the anonymous principal.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        registry: &RegistryId,
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
            if user == AWS_USER {
                return self.tokens.verify_password(&self.local()?, password.expose(), &registry.region);
            }
            self.log_in(&user, &password, address, &registry.account).await
        } else if scheme.eq_ignore_ascii_case("bearer") {
            self.tokens.verify(&self.local()?, credentials.trim(), registry)
        } else {
            Err(AuthError::Invalid)
        }
    }

    fn local(&self) -> Result<StateReader, AuthError> {
        self.metadata.local().map_err(AuthError::Unavailable)
    }

    /// Whose `password` it is: a user's, a root's, or the secret of a robot token. Who names no account is of `account`.
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &Secret,
        address: IpAddr,
        account: &AccountId,
    ) -> Result<Identity, AuthError> {
        if let Some(id) = robot::id_of(user) {
            // Too random to be guessed: neither slow nor throttled.
            let owner = robot::owner(&self.local()?, &id, password).map_err(unread)?;
            return owner.map(|owner| Identity::of(owner, Proof::Robot(id))).ok_or(AuthError::Invalid);
        }
        let name = LoginName::parse(user, account);
        let login = name.find(&self.local()?).map_err(unread)?;
        let is_theirs = self.is_password(&name.to_string(), password, login.as_ref(), address).await?;
        let login = login.filter(|_| is_theirs).ok_or(AuthError::Invalid)?;
        Ok(Identity::of(login.caller, Proof::Password))
    }

    /// What is kept of a new password; `None`: not now.
    pub(crate) async fn hash(&self, password: Secret) -> Option<String> {
        let turn = self.passwords.turn().await?;
        let hash = move || {
            let hash = password::hash(&password);
            drop(turn);
            hash
        };
        tokio::task::spawn_blocking(hash).await.ok()?.ok()
    }

    /// Whether `password` is that of `login`; if there is none, it takes as long to say no.
    async fn is_password(
        &self,
        user: &str,
        password: &Secret,
        login: Option<&Login>,
        address: IpAddr,
    ) -> Result<bool, AuthError> {
        let stored = login.map(|login| login.password_hash.as_str());
        let is_known = || stored.is_some_and(|stored| self.passwords.is_known(user, password, stored));
        if is_known() {
            return Ok(true);
        }
        let turn = self.passwords.turn().await.ok_or(AuthError::Throttled)?;
        // Whoever waited beside us may have been the same.
        if is_known() {
            return Ok(true);
        }
        if !self.throttle.may_try(user, address) {
            return Err(AuthError::Throttled);
        }
        let fits = self.passwords.check(turn, user, password, stored).await;
        if fits {
            self.throttle.forgive(user, address);
        }
        Ok(fits)
    }
}

/// User and password of Basic credentials (RFC 7617).
fn basic(credentials: &str) -> Option<(String, Secret)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (!user.is_empty() && !password.is_empty()).then(|| (user.to_owned(), Secret::new(password.to_owned())))
}
