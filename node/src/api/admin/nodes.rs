//! `/api/v1/nodes`: who belongs to the cluster, and what is asked of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use cluster::{StateReader, StorageError};
use cluster_core::access::Action;
use cluster_core::command::node::Removal;
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::record::{NodeKind, NodeState, VoterPin};
use cluster_core::state::{self, Page, StateError};
use proto::admin::{NewPin, Node, Nodes, Pin};
use proto::digest::Digest;
use proto::identity::NodeId;
use serde::Deserialize;

use super::problem::Refusal;
use super::view::View;
use super::{Admin, AdminRequest};

/// For the leader to take a removed node's vote away.
const LETTING_GO: Duration = Duration::from_secs(10);

/// `GET`: all nodes.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Nodes>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    let view = View::of(&admin).await?;
    let nodes = state::node::nodes(&view.reader)?;
    let nodes = nodes.into_iter().map(|(node, record)| view.show(node, record));
    Ok(Json(Nodes { nodes: nodes.collect::<Result<_, _>>()? }))
}

/// `GET`: one node.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ReadMetrics, &asked).await?;
    one(&admin, parse(&id)?).await.map(Json)
}

/// `POST`: takes no more copies to it.
pub(super) async fn drain(
    state: State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    set_state(&state, &asked, &id, NodeState::Draining).await
}

/// `POST`: takes copies to it again.
pub(super) async fn undrain(
    state: State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    set_state(&state, &asked, &id, NodeState::Active).await
}

/// `POST`: decides on its vote.
pub(super) async fn pin(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
    wanted: Result<Json<NewPin>, JsonRejection>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let node = parse(&id)?;
    let Json(NewPin { vote }) = wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let record = state::node::node(&admin.metadata.read().await?, node)?;
    let record = record.ok_or(Refusal::NotFound("there is no such node"))?;
    match vote {
        Pin::Always if record.kind == NodeKind::Edge => {
            Err(Refusal::Conflict("an edge never votes".to_owned()))
        }
        Pin::Never if is_last_voter(&admin, node) => {
            Err(Refusal::Conflict("it is the only voter: let another node join first".to_owned()))
        }
        Pin::Always => set_pin(&admin, node, Some(VoterPin::Always)).await,
        Pin::Never => set_pin(&admin, node, Some(VoterPin::Never)).await,
    }
}

/// `DELETE`: leaves its vote to the cluster again.
pub(super) async fn unpin(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    set_pin(&admin, parse(&id)?, None).await
}

async fn set_pin(admin: &Admin, node: NodeId, pin: Option<VoterPin>) -> Result<Json<Node>, Refusal> {
    match admin.propose(Command::Node(Box::new(NodeCommand::PinVoter { node, pin }))).await? {
        Response::NodeUpdated => one(admin, node).await.map(Json),
        Response::NotFound => Err(Refusal::NotFound("there is no such node")),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

fn is_last_voter(admin: &Admin, node: NodeId) -> bool {
    admin.metadata.status().voters == [node.get()]
}

async fn set_state(
    admin: &Admin,
    asked: &AdminRequest,
    id: &str,
    state: NodeState,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, asked).await?;
    let node = parse(id)?;
    if state == NodeState::Draining {
        may_drain(&admin.metadata.read().await?, node)?;
    }
    match admin.propose(Command::Node(Box::new(NodeCommand::SetState { node, state }))).await? {
        Response::NodeUpdated => {
            admin.metadata.read().await?;
            one(admin, node).await.map(Json)
        }
        Response::NotFound => Err(Refusal::NotFound("there is no such node")),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

/// Whether the copies of `node` could be made elsewhere at all. Also right to ask twice.
fn may_drain(reader: &StateReader, node: NodeId) -> Result<(), Refusal> {
    let record = state::node::node(reader, node)?.ok_or(Refusal::NotFound("there is no such node"))?;
    if record.kind == NodeKind::Edge {
        return Err(Refusal::Conflict("an edge keeps no copies: just remove it".to_owned()));
    }
    match state::node::homes(reader)?.iter().any(|(home, _)| *home != node) {
        true => Ok(()),
        false => Err(Refusal::Conflict("no other node could keep the blobs: let one join first".to_owned())),
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
    asked: AdminRequest,
    Path(id): Path<String>,
    Query(query): Query<RemovalQuery>,
) -> Result<Json<Node>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let node = parse(&id)?;
    let was = one(&admin, node).await?;
    if is_last_voter(&admin, node) {
        return Err(Refusal::Conflict("it is the only voter: without it nothing can be written".to_owned()));
    }
    let removal = if query.force { Removal::Forced } else { Removal::Drained };
    match admin.propose(Command::Node(Box::new(NodeCommand::Remove { node, removal }))).await? {
        Response::NodeRemoved => {
            lets_go(&admin, node).await?;
            Ok(Json(was))
        }
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

/// Waits until a removed node does not vote any more: whoever is told that it is gone may switch it off at once, and
/// with two voters that would be the end of the quorum.
async fn lets_go(admin: &Admin, node: NodeId) -> Result<(), Refusal> {
    let mut members = admin.metadata.members();
    let gone = members.wait_for(|present| !present.members.contains_key(&node));
    match tokio::time::timeout(LETTING_GO, gone).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Refusal::Unavailable("the node is removed but may still vote: do not stop it yet")),
    }
}

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

pub(super) fn parse(id: &str) -> Result<NodeId, Refusal> {
    id.parse().map_err(|_| Refusal::NotFound("there is no such node"))
}

async fn one(admin: &Admin, node: NodeId) -> Result<Node, Refusal> {
    let view = View::of(admin).await?;
    let record = state::node::node(&view.reader, node)?;
    view.show(node, record.ok_or(Refusal::NotFound("there is no such node"))?)
}
