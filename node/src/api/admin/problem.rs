//! The table of what can go wrong in the admin API: status code and a document that a person can act on.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster::{ProposeError, ReadError, StorageError};
use cluster_core::state::StateError;
use proto::admin::Problem;

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
