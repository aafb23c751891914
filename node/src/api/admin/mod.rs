//! Health and metrics for operators and their machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use blobs::BlobStore;
use cluster::Metadata;
use cluster_core::access::{Action, Facts, Resource};

use crate::auth::{AuthError, Authenticator, Verdict};
use crate::http::server::Connection;
use crate::telemetry::metrics::Metrics;

/// What these pages tell about.
pub(crate) struct Admin {
    /// Ready only with a leader and working storage.
    pub(crate) metadata: Metadata,
    /// Ready only with a volume that takes writes.
    pub(crate) blobs: BlobStore,
    /// Who asks for metrics.
    pub(crate) authenticator: Arc<Authenticator>,
    /// What that decision depends on.
    pub(crate) facts: Facts,
    /// For `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// Set once the node drains.
    pub(crate) draining: Arc<AtomicBool>,
}

/// `/healthz` and `/readyz` say that something is wrong and not what, so anybody may ask; `/metrics` is for
/// those who may read them (XP11).
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let draining = admin.draining.load(Ordering::Relaxed);
    let fenced = admin.blobs.metrics().volume_failed.load(Ordering::Relaxed);
    if draining || fenced || !admin.metadata.status().ready {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

async fn metrics(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    let verdict = match admin.authenticator.authenticate(&headers, connection.remote.ip()).await {
        Ok(identity) => {
            let registry = Resource::Registry(admin.facts.default_registry.clone());
            identity.may(Action::ReadMetrics, &registry, &admin.facts)
        }
        Err(AuthError::Unavailable(_)) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(AuthError::Throttled) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Err(AuthError::Invalid) => Verdict::LoginNeeded,
    };
    match verdict {
        Verdict::Allowed => {}
        Verdict::LoginNeeded => {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"shoal\"")];
            return (StatusCode::UNAUTHORIZED, challenge).into_response();
        }
        Verdict::InsufficientScope | Verdict::Denied => return StatusCode::FORBIDDEN.into_response(),
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], admin.metrics.encode()).into_response()
}
