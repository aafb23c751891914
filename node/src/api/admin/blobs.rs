//! `/api/v1/blobs/damaged`: blobs that no node can give any more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cluster_core::access::Action;
use cluster_core::state;
use proto::admin::{DamagedBlob, DamagedBlobs};

use super::problem::Refusal;
use super::{Admin, AdminRequest};

/// Blobs in one answer.
pub(super) const MOST: usize = 1000;
/// Repositories that are named for each.
const REPOSITORIES: usize = 100;

/// `GET`. From what this node knows; a copy that nobody read or scrubbed since it was damaged is not known.
pub(super) async fn damaged(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<DamagedBlobs>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    let reader = admin.metadata.local()?;
    let found = state::copies::without_copy(&reader, None, MOST)?;
    let registry = &admin.facts.default_registry;
    let mut blobs = Vec::with_capacity(found.items.len());
    for (digest, record) in found.items {
        let names = state::blob::repositories_with_blob(&reader, registry, &digest, REPOSITORIES)?;
        blobs.push(DamagedBlob {
            digest: digest.to_string(),
            size_bytes: record.size,
            repositories: names.iter().map(ToString::to_string).collect(),
        });
    }
    Ok(Json(DamagedBlobs { blobs, more: found.more }))
}
