//! Health and metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster::Role;
use cluster_core::access::Action;

use super::problem::Refusal;
use super::{Admin, AdminRequest};

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let draining = admin.draining.load(Ordering::Relaxed);
    let fenced = admin.blobs.metrics().volume_failed.load(Ordering::Relaxed);
    let metadata = admin.metadata.status();
    // An edge serves what it has without anybody.
    let follows = admin.edge.is_some() && metadata.role != Role::Stopped;
    if draining || fenced || !(metadata.ready || follows) {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

pub(super) async fn metrics(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Response, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], admin.metrics.encode()).into_response())
}
