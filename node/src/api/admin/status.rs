//! `/api/v1/status`: whether writes work, how much may fail, what is missing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cluster_core::access::Action;
use cluster_core::state;
use proto::admin::Status;
use proto::identity::NodeId;

use super::problem::Refusal;
use super::view::View;
use super::{Admin, AdminRequest};
use crate::registry::COPIES_AT_PUSH;

/// `GET`. Answers without a quorum too, from what this node knows.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Status>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    // The read index is a round with a quorum: the proof that there is one.
    let quorum = admin.metadata.read().await.is_ok();
    let view = View::of(&admin).await?;
    let (status, reader) = (&view.status, &view.reader);
    let layout = state::node::layout(reader)?.unwrap_or_default();
    let nodes = state::node::nodes(reader)?;
    let damaged = state::copies::without_copy(reader, None, super::blobs::MOST)?;
    let voters = status.voters.len() as u64;
    let well: Vec<_> = nodes
        .iter()
        .filter(|(node, _)| status.voters.contains(&node.get()) && view.is_well(*node))
        .map(|(_, record)| (&record.region, &record.zone))
        .collect();
    let without = |lost: &(_, _)| well.iter().filter(|zone| *zone != lost).count() as u64;
    let zone_spare = !well.is_empty() && well.iter().all(|zone| without(zone) >= status.quorum);
    Ok(Json(Status {
        cluster_id: format!("{:032x}", u128::from_be_bytes(admin.cluster_id)),
        node: NodeId::new(status.node).map_or_else(String::new, |node| node.to_string()),
        quorum,
        leader: status.leader.and_then(NodeId::new).map(|leader| leader.to_string()),
        term: status.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        voters,
        voters_spare: voters.saturating_sub(status.quorum),
        zones: u64::from(layout.zones),
        copies_at_push: u64::from(COPIES_AT_PUSH.min(layout.homes)),
        copies_wanted: u64::from(layout.wanted()),
        blobs_under_copied: super::nodes::count(|after| state::copies::under_copied(reader, after, 1024))?,
        is_recounting: state::copies::is_recounting(reader)?,
        voters_well: well.len() as u64,
        zone_spare,
        contact_age_seconds: admin.edge.as_ref().map(|edge| edge.age().as_secs()),
        level: state::node::level(reader)?,
        nodes: nodes.iter().map(|(node, record)| view.health(*node, record)).collect(),
        blobs_damaged: damaged.items.len() as u64,
    }))
}
