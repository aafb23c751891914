//! Health and metrics for operators and their machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use blobs::BlobStore;
use cluster::Metadata;

use crate::telemetry::metrics::Metrics;

/// What these pages tell about.
pub(crate) struct Admin {
    /// Ready only with a leader and working storage.
    pub(crate) metadata: Metadata,
    /// Ready only with a volume that takes writes.
    pub(crate) blobs: BlobStore,
    /// For `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// Set once the node drains.
    pub(crate) draining: Arc<AtomicBool>,
}

/// `/healthz`, `/readyz`, `/metrics`. They say that something is wrong and not what: anybody may ask.
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

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], admin.metrics.encode()).into_response()
}
