//! `/api/v1/nodes`: who belongs to the cluster, and what is asked of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use cluster::{StateReader, StorageError};
use cluster_core::access::Action;
use cluster_core::command::node::Removal;
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::record::{NodeKind, NodeRecord, NodeState};
use cluster_core::state::{self, Page, StateError};
use proto::admin::{self, Node, Nodes, Role};
use proto::digest::Digest;
use proto::identity::NodeId;
use serde::Deserialize;

use super::Admin;
use super::problem::Refusal;
use crate::http::server::Connection;

/// `GET`: all nodes.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Result<Json<Nodes>, Refusal> {
    admin.authorize(Action::ReadMetrics, &headers, &connection).await?;
    let view = View::of(&admin)?;
    let nodes = state::node::nodes(&view.reader)?;
    let nodes = nodes.into_iter().map(|(node, record)| view.show(node, record));
    Ok(Json(Nodes { nodes: nodes.collect::<Result<_, _>>()? }))
}

/// `GET`: one node.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ReadMetrics, &headers, &connection).await?;
    one(&admin, parse(&id)?).map(Json)
}

/// `POST`: takes no more copies to it.
pub(super) async fn drain(
    state: State<Arc<Admin>>,
    connection: Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    set_state(&state, &connection, &headers, &id, NodeState::Draining).await
}

/// `POST`: takes copies to it again.
pub(super) async fn undrain(
    state: State<Arc<Admin>>,
    connection: Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    set_state(&state, &connection, &headers, &id, NodeState::Active).await
}

async fn set_state(
    admin: &Admin,
    connection: &Connection,
    headers: &HeaderMap,
    id: &str,
    state: NodeState,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, headers, connection).await?;
    let node = parse(id)?;
    match admin.metadata.propose(Command::Node(Box::new(NodeCommand::SetState { node, state }))).await? {
        Response::NodeUpdated => {
            admin.metadata.read().await?;
            one(admin, node).map(Json)
        }
        Response::NotFound => Err(Refusal::NotFound("there is no such node")),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

/// What a removal may say.
#[derive(Debug, Deserialize)]
pub(super) struct RemovalQuery {
    #[serde(default)]
    force: bool,
}

/// `DELETE`: takes it out of the cluster.
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<RemovalQuery>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, &headers, &connection).await?;
    let node = parse(&id)?;
    let was = one(&admin, node)?;
    let removal = if query.force { Removal::Forced } else { Removal::Drained };
    match admin.metadata.propose(Command::Node(Box::new(NodeCommand::Remove { node, removal }))).await? {
        Response::NodeRemoved => Ok(Json(was)),
        Response::NotFound => Err(Refusal::NotFound("there is no such node")),
        Response::StillNeeded { example: Some(blob) } => Err(Refusal::Conflict(format!(
            "blobs would have too few copies without it, for example {blob}: drain it and wait, or force it"
        ))),
        Response::StillNeeded { example: None } => {
            Err(Refusal::Conflict("no other node could keep the blobs: let one join first".to_owned()))
        }
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

/// Digests in one page of a count.
const PAGE: usize = 1024;

/// Goes through all pages of a listing of ordered keys.
pub(super) fn count(
    page: impl Fn(Option<&Digest>) -> Result<Page<Digest>, StateError<StorageError>>,
) -> Result<u64, Refusal> {
    let (mut after, mut count) = (None, 0);
    loop {
        let next = page(after.as_ref())?;
        count += next.items.len() as u64;
        match next.items.last() {
            Some(last) if next.more => after = Some(*last),
            _ => return Ok(count),
        }
    }
}

fn parse(id: &str) -> Result<NodeId, Refusal> {
    id.parse().map_err(|_| Refusal::NotFound("there is no such node"))
}

fn one(admin: &Admin, node: NodeId) -> Result<Node, Refusal> {
    let view = View::of(admin)?;
    let record = state::node::node(&view.reader, node)?;
    view.show(node, record.ok_or(Refusal::NotFound("there is no such node"))?)
}

/// The state and the group at about one moment.
struct View {
    reader: StateReader,
    roles: BTreeMap<u64, Role>,
    lags: BTreeMap<u64, u64>,
}

impl View {
    fn of(admin: &Admin) -> Result<Self, Refusal> {
        let status = admin.metadata.status();
        let mut roles: BTreeMap<u64, Role> =
            status.learners.iter().map(|node| (*node, Role::Learner)).collect();
        roles.extend(status.voters.iter().map(|node| (*node, Role::Voter)));
        roles.extend(status.leader.map(|node| (node, Role::Leader)));
        let lags = status.followers.iter().map(|follower| (follower.node, follower.lag)).collect();
        Ok(Self { reader: admin.metadata.local()?, roles, lags })
    }

    fn show(&self, node: NodeId, record: NodeRecord) -> Result<Node, Refusal> {
        Ok(Node {
            id: node.to_string(),
            addresses: record.addresses.iter().map(ToString::to_string).collect(),
            region: record.region.to_string(),
            zone: record.zone.to_string(),
            capacity_bytes: record.capacity_bytes,
            kind: match record.kind {
                NodeKind::Full => admin::NodeKind::Full,
                NodeKind::Edge => admin::NodeKind::Edge,
            },
            state: match record.state {
                NodeState::Active => admin::NodeState::Active,
                NodeState::Draining => admin::NodeState::Draining,
                NodeState::Lost => admin::NodeState::Lost,
            },
            role: self.roles.get(&node.get()).copied().unwrap_or(Role::Outside),
            lag_entries: self.lags.get(&node.get()).copied(),
            copies: count(|after| state::copies::of_node(&self.reader, node, after, PAGE))?,
            release: record.release,
            joined_ms: record.joined_ms,
        })
    }
}
