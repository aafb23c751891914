//! The table of what can go wrong in the admin API: status code and a document that a person can act on.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster::{ProposeError, ReadError, StorageError};
use cluster_core::command::{Bound, Noun, PrincipalRefusal};
use cluster_core::state::StateError;
use proto::admin::Problem;

use crate::adapters::secrets::SecretsError;
use crate::auth::keyring::KeyringError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 401.
    LoginNeeded,
    /// 403.
    Denied,
    /// 429.
    Throttled,
    /// 404, with what is not there.
    NotFound(&'static str),
    /// 400, with what would be right.
    Invalid(String),
    /// 409, with what stands in the way.
    Conflict(String),
    /// 503: the same request may succeed later.
    Unavailable(&'static str),
}

impl Refusal {
    /// What was given is not what was asked for.
    pub(super) fn invalid(error: impl std::fmt::Display) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<PrincipalRefusal> for Refusal {
    fn from(refusal: PrincipalRefusal) -> Self {
        match refusal {
            PrincipalRefusal::NotFound(noun) => Self::NotFound(missing(noun)),
            PrincipalRefusal::Exists(noun) => {
                Self::Conflict(format!("there is one already: {}, and it is not the same", name(noun)))
            }
            PrincipalRefusal::InUse(noun) => {
                Self::Conflict(format!("not while there is this: {}", name(noun)))
            }
            PrincipalRefusal::Limit(bound) => Self::Conflict(limit(bound)),
            PrincipalRefusal::Changed => Self::Conflict("it was changed meanwhile".to_owned()),
        }
    }
}

fn name(noun: Noun) -> &'static str {
    match noun {
        Noun::Account => "account",
        Noun::User => "user",
        Noun::Group => "group",
        Noun::Role => "role",
        Noun::Policy => "policy",
        Noun::AccessKey => "access key",
        Noun::RobotToken => "robot token",
        Noun::Password => "password",
    }
}

fn missing(noun: Noun) -> &'static str {
    match noun {
        Noun::Account => "there is no such account",
        Noun::User => "there is no such user",
        Noun::Group => "there is no such group",
        Noun::Role => "there is no such role",
        Noun::Policy => "there is no such policy",
        Noun::AccessKey => "there is no such access key",
        Noun::RobotToken => "there is no such robot token",
        Noun::Password => "there is no password",
    }
}

fn limit(bound: Bound) -> String {
    let what = match bound {
        Bound::Text => "a text is too long, bytes",
        Bound::Users => "users of an account",
        Bound::Groups => "groups of an account",
        Bound::Roles => "roles of an account",
        Bound::GroupsOfUser => "groups of a user",
        Bound::Policies => "policies of one principal",
        Bound::PolicyBytes => "bytes of the policies of one principal",
        Bound::TrustPolicyBytes => "bytes of a trust policy",
        Bound::SessionSeconds => "seconds of a session, of which the longest is at least 900 and",
        Bound::AccessKeys => "access keys of one principal: delete one first",
        Bound::RobotTokens => "robot tokens of an account",
        Bound::RobotTokensOfOwner => "robot tokens of one principal",
        Bound::TokenPolicyBytes => "bytes of a robot token's policy",
        Bound::Revoked => "revoked authorization tokens",
    };
    format!("{what}: at most {}", bound.most())
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "admin request failed");
        Self::Unavailable("the metadata cannot be read just now: is a majority of the voters up?")
    }
}

impl From<ProposeError> for Refusal {
    fn from(error: ProposeError) -> Self {
        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "admin request failed");
        Self::Unavailable("the change was not agreed on for sure: is a majority of the voters up?")
    }
}

impl From<SecretsError> for Refusal {
    fn from(error: SecretsError) -> Self {
        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "admin request failed");
        match error {
            SecretsError::Edge => Self::Conflict("this node is an edge: ask one that is not".to_owned()),
            SecretsError::Keyring(KeyringError::Full) => {
                Self::Conflict("there are as many keys of secrets as a node keeps".to_owned())
            }
            _ => Self::Unavailable("secrets cannot be encrypted just now: is a majority of the voters up?"),
        }
    }
}

impl From<StateError<StorageError>> for Refusal {
    fn from(error: StateError<StorageError>) -> Self {
        ReadError::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::LoginNeeded => (StatusCode::UNAUTHORIZED, "user or password is wrong or missing".into()),
            Self::Denied => (StatusCode::FORBIDDEN, "not allowed".into()),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords: wait".into()),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what.into()),
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, message),
            Self::Conflict(message) => (StatusCode::CONFLICT, message),
            Self::Unavailable(message) => (StatusCode::SERVICE_UNAVAILABLE, message.into()),
        };
        let mut response = (status, Json(Problem { message })).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Basic realm=\"shoal\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
        }
        response
    }
}
