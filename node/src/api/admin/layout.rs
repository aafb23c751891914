//! `/api/v1/layout`: what a change of the nodes would move, and making exactly that change.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use cluster::StateReader;
use cluster_core::access::Action;
use cluster_core::command::node::{ChangeLayout, PlacementChange};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::plan::layout::Diff;
use cluster_core::plan::placement;
use cluster_core::record::{NodeKind, NodeState};
use cluster_core::state;
use proto::admin::{self, Layout, LayoutApply, LayoutChange, LayoutPlan, LayoutTraffic, LayoutWish};

use super::nodes::parse;
use super::problem::Refusal;
use super::{Admin, AdminRequest};

/// Most changes of one plan.
const MAX_CHANGES: usize = 256;
/// Blobs that are read in one page.
const PAGE: usize = 1024;
/// Blobs that are looked at; the rest of a larger cluster is like them, since digests are random.
const MAX_BLOBS: u64 = 1_000_000;

/// `POST`: what it would move. Changes nothing.
pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    wanted: Result<Json<LayoutWish>, JsonRejection>,
) -> Result<Json<LayoutPlan>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    let Json(LayoutWish { changes, rate_bytes }) =
        wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    if rate_bytes == 0 {
        return Err(Refusal::Invalid("at a rate of 0 nothing moves".to_owned()));
    }
    let reader = admin.metadata.read().await?;
    let checked = check(&reader, &changes)?;
    let walk = move || estimate(&reader, &checked, changes, rate_bytes);
    let walked = tokio::task::spawn_blocking(walk).await;
    walked.map_err(|_| Refusal::Unavailable("the node is stopping"))?.map(Json)
}

/// `POST`: makes the changes, if the layout is still the one that they were planned for.
pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    wanted: Result<Json<LayoutApply>, JsonRejection>,
) -> Result<Json<Layout>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let Json(LayoutApply { version, changes }) =
        wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let changes = check(&admin.metadata.read().await?, &changes)?;
    let command = NodeCommand::ChangeLayout(ChangeLayout { version, changes });
    match admin.propose(Command::Node(Box::new(command))).await? {
        Response::NodeUpdated => {
            let layout = state::node::layout(&admin.metadata.read().await?)?.unwrap_or_default();
            Ok(Json(Layout { version: layout.version }))
        }
        Response::LayoutChanged { version: now } => Err(Refusal::Conflict(format!(
            "the plan is for version {version} of the layout, which is at {now} by now: plan again"
        ))),
        Response::NotYet { needed, level } => Err(Refusal::Conflict(format!(
            "changes of the layout need level {needed}, and the cluster has {level}: `shoal status` names the nodes \
             that run an older release"
        ))),
        Response::NotFound => Err(Refusal::NotFound("there is no such node")),
        Response::StillNeeded { .. } => Err(nobody_left()),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

fn nobody_left() -> Refusal {
    Refusal::Conflict("no node would be left to keep the blobs".to_owned())
}

/// The changes, typed; refused if they make no sense together or for their nodes.
fn check(reader: &StateReader, changes: &[LayoutChange]) -> Result<Vec<PlacementChange>, Refusal> {
    if changes.is_empty() || changes.len() > MAX_CHANGES {
        return Err(Refusal::Invalid(format!("1 to {MAX_CHANGES} changes are needed")));
    }
    let mut seen = BTreeSet::new();
    let check = |change: &LayoutChange| {
        let node = parse(&change.node)?;
        if !seen.insert(node) {
            return Err(Refusal::Invalid(format!("{node} is there twice")));
        }
        let record = state::node::node(reader, node)?.ok_or(Refusal::NotFound("there is no such node"))?;
        if record.kind == NodeKind::Edge {
            return Err(Refusal::Conflict(format!("{node} is an edge, which keeps no copies")));
        }
        let state = match change.state {
            None => None,
            Some(admin::NodeState::Active) => Some(NodeState::Active),
            Some(admin::NodeState::Draining) => Some(NodeState::Draining),
            Some(admin::NodeState::Lost) => {
                return Err(Refusal::Invalid("a node is lost when it is away, not by a plan".to_owned()));
            }
        };
        Ok(PlacementChange { node, state, assigned_bytes: change.capacity_bytes })
    };
    changes.iter().map(check).collect()
}

/// Looks through the blobs. Blocks.
fn estimate(
    reader: &StateReader,
    checked: &[PlacementChange],
    changes: Vec<LayoutChange>,
    rate_bytes: u64,
) -> Result<LayoutPlan, Refusal> {
    let after = state::node::homes_after(reader, checked)?;
    let after = after.ok_or(Refusal::NotFound("there is no such node"))?;
    if after.is_empty() {
        return Err(nobody_left());
    }
    let before = placement::candidates(&state::node::homes(reader)?);
    let mut diff = Diff::new(before, placement::candidates(&after));
    let (mut from, mut looked_at, mut is_complete) = (None, 0_u64, true);
    loop {
        let page = state::blob::blobs(reader, from.as_ref(), PAGE)?;
        page.items.iter().for_each(|(digest, record)| diff.look_at(digest, record.size));
        looked_at += page.items.len() as u64;
        match page.items.last() {
            Some(_) if page.more && looked_at >= MAX_BLOBS => {
                is_complete = false;
                break;
            }
            Some((last, _)) if page.more => from = Some(*last),
            _ => break,
        }
    }
    let estimate = diff.result();
    let traffic = |(node, traffic): (&_, &cluster_core::plan::layout::Traffic)| LayoutTraffic {
        node: ToString::to_string(node),
        copies_in: traffic.copies_in,
        bytes_in: traffic.bytes_in,
        copies_out: traffic.copies_out,
        bytes_out: traffic.bytes_out,
    };
    Ok(LayoutPlan {
        version: state::node::layout(reader)?.unwrap_or_default().version,
        changes,
        blobs: estimate.blobs,
        is_complete,
        bytes: estimate.bytes,
        moved_blobs: estimate.moved_blobs,
        moved_bytes: estimate.moved_bytes,
        seconds: estimate.duration(rate_bytes).map_or(u64::MAX, |time| time.as_secs()),
        nodes: estimate.nodes.iter().map(traffic).collect::<Vec<_>>(),
    })
}
