//! `/api/v1/scrub`: the scrub of the node that answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cluster_core::access::Action;
use proto::admin::Scrub;

use super::problem::Refusal;
use super::{Admin, AdminRequest};
use crate::jobs::scrub::Place;

/// `GET`: where it stands.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Scrub>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    Ok(Json(document(admin.scrub.now())))
}

/// `POST`: begins a pass at once and without a rate, unless such a one runs.
pub(super) async fn start(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Scrub>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    Ok(Json(document(admin.scrub.ask())))
}

fn document(place: Place) -> Scrub {
    Scrub {
        running: place.is_running,
        unlimited: place.is_urgent,
        began_ms: (place.began_ms > 0).then_some(place.began_ms),
        checked_bytes: place.checked_bytes,
        found: place.found,
        passes: place.passes,
        ended_ms: place.ended_ms,
    }
}
