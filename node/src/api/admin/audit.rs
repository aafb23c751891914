//! `/api/v1/audit`: what was decided on the node that answers.

use std::io::ErrorKind;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use cluster_core::access::Action;
use proto::admin::audit::Page;
use serde::Deserialize;

use super::problem::Refusal;
use super::{Admin, AdminRequest};

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// Of entries no older than that.
    #[serde(default)]
    since_ms: u64,
    /// After the page that said so.
    next: Option<String>,
}

/// `GET`.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    from: Result<Query<From>, QueryRejection>,
) -> Result<Json<Page>, Refusal> {
    admin.authorize(Action::ReadAudit, &asked).await?;
    let Query(from) = from.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let audit = admin.audit.clone();
    let read = tokio::task::spawn_blocking(move || audit.read(from.since_ms, from.next.as_deref()));
    match read.await {
        Ok(Ok(page)) => Ok(Json(page)),
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => {
            Err(Refusal::Invalid("next is what an earlier page said".to_owned()))
        }
        _ => Err(Refusal::Unavailable("the audit log cannot be read")),
    }
}
