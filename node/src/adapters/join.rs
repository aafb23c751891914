//! Answers nodes that ask to become members. Strangers speak here: everything they say is bounded by the
//! transport, parsed once, and judged by apply.

use cluster::{Metadata, ProposeError, Unavailable};
use cluster_core::command::node::{AddNode, Admission, NodePlace};
use cluster_core::command::{Command, NodeCommand, Response, TokenRefusal};
use cluster_core::level::Levels;
use cluster_core::state;
use peer::{PeerKey, Peers, Protocol};
use prost::Message as _;
use proto::digest::{Algorithm, Digest};
use proto::identity::MAX_HOSTS;
use proto::join::MAX_MEMBERS;
use proto::wire::peer::{JoinReply, JoinRequest, Refused, Taken, join_reply::Outcome};

use crate::auth::node_key::node_of;

/// The only version of the request so far.
const VERSION: u32 = 1;

/// Answers from now on.
pub(crate) fn serve(peers: &Peers, metadata: &Metadata) {
    let metadata = metadata.clone();
    peers.serve(Protocol::Join, move |key, message| {
        let metadata = metadata.clone();
        async move {
            let outcome = match take_in(&metadata, key, &message).await {
                Ok(taken) => Outcome::Taken(taken),
                Err(refused) => {
                    tracing::warn!(peer = %key, reason = refused.reason, "node not taken in");
                    Outcome::Refused(refused)
                }
            };
            Some(JoinReply { outcome: Some(outcome) }.encode_to_vec())
        }
    });
}

fn never(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), again: false }
}

fn later(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), again: true }
}

async fn take_in(metadata: &Metadata, key: PeerKey, message: &[u8]) -> Result<Taken, Refused> {
    let request = JoinRequest::decode(message).map_err(|_| never("the request cannot be read"))?;
    if request.version != VERSION {
        return Err(never(format!("this node knows version {VERSION} of joining, not {}", request.version)));
    }
    let reader = metadata.local().map_err(|_| later("the metadata cannot be read"))?;
    let cluster = state::cluster::cluster(&reader).map_err(|_| later("the metadata cannot be read"))?;
    drop(reader);
    let cluster = cluster.ok_or_else(|| later("this node is joining itself"))?;
    if request.cluster_id != cluster.cluster_id {
        return Err(never("the token is of another cluster"));
    }
    let node = node_of(key.as_bytes()).ok_or_else(|| never("the key cannot be a node's"))?;
    let add = add_node(node, key, &request).ok_or_else(|| never("the request makes no sense"))?;
    let theirs = format!("release {} ({})", add.place.release, add.place.levels);
    match metadata.propose(Command::Node(Box::new(NodeCommand::Add(add)))).await {
        Ok(Response::NodeAdded { node }) => {
            tracing::info!(node.id = %node, peer = %key, zone = request.zone, region = request.region, "node taken in");
            let members = metadata.members().borrow().clone();
            let members =
                members.voters_first().take(MAX_MEMBERS).map(|member| member.address.clone()).collect();
            Ok(Taken { node: node.get(), members })
        }
        Ok(Response::TokenRefused(TokenRefusal::Expired)) => {
            Err(never("the token has expired: make a new one"))
        }
        Ok(Response::TokenRefused(TokenRefusal::Used)) => {
            Err(never("another node has joined with this token: make a new one"))
        }
        Ok(Response::TokenRefused(TokenRefusal::Unknown)) => Err(never("there is no such token")),
        Ok(Response::NodeExists { .. }) => Err(never("the cluster has another node with this key")),
        Ok(Response::StaleIncarnation { .. }) => {
            Err(never("a newer start of this node is known: its data directory was copied"))
        }
        Ok(Response::LevelRefused { level }) => Err(never(format!(
            "{theirs} does not go with a cluster of level {level}, of which this node has release {} ({}): give all \
             nodes the same release",
            env!("CARGO_PKG_VERSION"),
            Levels::OWN,
        ))),
        Ok(_) => Err(never("unexpected answer of the state machine")),
        Err(ProposeError::Unavailable(Unavailable::NoLeader)) => {
            Err(later("the cluster has no leader just now"))
        }
        Err(error) => Err(later(error.to_string())),
    }
}

/// What the joining node's release speaks; one that does not say is of the first level.
fn levels(request: &JoinRequest) -> Option<Levels> {
    Levels::from_numbers(request.oldest_level, request.newest_level)
}

fn add_node(node: proto::identity::NodeId, key: PeerKey, request: &JoinRequest) -> Option<AddNode> {
    let JoinRequest { hosts, zone, region, capacity_bytes, release, incarnation, .. } = request;
    let token = request.token_id.as_slice().try_into().ok()?;
    let secret: [u8; 32] = request.secret.as_slice().try_into().ok()?;
    let secret_hash = Digest::of(Algorithm::Sha256, &secret).hash().try_into().ok()?;
    if hosts.len() > MAX_HOSTS {
        return None;
    }
    Some(AddNode {
        node,
        public_key: key,
        place: NodePlace {
            addresses: hosts.iter().map(|host| host.parse().ok()).collect::<Option<_>>()?,
            zone: zone.parse().ok()?,
            capacity_bytes: *capacity_bytes,
            release: release.clone(),
            levels: levels(request)?,
        },
        region: region.parse().ok()?,
        incarnation: *incarnation,
        admission: Admission::Token { token, secret_hash },
    })
}
