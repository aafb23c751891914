//! Nodes tell each other again and again which start of theirs is where.
//!
//! So a node that comes back at a new address is found although no leader has written it down yet: it calls the
//! others where they were, they have a connection to it then, and one that hears of no leader is told where all
//! are. And of two processes with one identity each hears of the other from whoever both talk to, whichever of them
//! the leader sends the log to.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Metadata, StateReader};
use cluster_core::record::NodeRecord;
use cluster_core::state;
use futures::future::join_all;
use peer::{HostPort, PeerAddress, PeerKey, Peers, Protocol};
use prost::Message as _;
use proto::identity::NodeId;
use proto::wire::peer as wire;

use super::members::{Announcer, Directory, Sighting};
use crate::auth::node_key::node_of;

/// Of messages of this release.
const VERSION: u32 = 1;
/// For a node to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most nodes that one is told of, and most that one round of a lost node goes to.
const MANY: usize = 64;

/// What it takes to say hello.
pub(crate) struct Hello {
    pub(crate) peers: Peers,
    pub(crate) metadata: Metadata,
    pub(crate) directory: Directory,
    pub(crate) announcer: Announcer,
    /// Where others reach this node.
    pub(crate) here: PeerAddress,
    /// Of this start.
    pub(crate) incarnation: u64,
    /// Where others may be, beside where they are known to be.
    pub(crate) places: Vec<HostPort>,
    /// Rounds so far while lost: with very many nodes each goes to others.
    pub(crate) rounds: usize,
}

/// What a round brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// No leader is heard of.
    pub(crate) is_lost: bool,
    /// The latest incarnation of this node that a voter has in a record; 0: none.
    pub(crate) registered: u64,
    /// The latest that said hello to one of them; 0: none.
    pub(crate) said: u64,
}

impl Hello {
    /// Answers others from now on.
    pub(crate) fn serve(&self) {
        let (metadata, announcer) = (self.metadata.clone(), self.announcer.clone());
        self.peers.serve(Protocol::Hello, move |key, message| {
            let reply = answer(&metadata, &announcer, key, &message);
            async move { reply.map(|reply| reply.encode_to_vec()) }
        });
    }

    /// Says hello to the voters; to all nodes, and at the places that a person gave, while no leader is heard of.
    /// Takes a second at most. Dropping it is safe.
    pub(crate) async fn say(&mut self) -> Heard {
        let is_lost = !self.metadata.hears_leader().await;
        self.announcer.publish();
        if is_lost {
            self.find().await;
        }
        let hello = wire::Hello {
            version: VERSION,
            incarnation: self.incarnation,
            hosts: self.here.hosts().iter().map(ToString::to_string).collect(),
            is_lost,
        };
        let message = hello.encode_to_vec();
        let (voters, audience) = (self.voters(), self.audience(is_lost));
        let calls = audience.into_iter().map(|(node, address)| {
            let (peers, message) = (&self.peers, message.clone());
            async move { Some((node, peers.call(&address, Protocol::Hello, message, PATIENCE).await.ok()?)) }
        });
        let mut heard = Heard { is_lost, ..Heard::default() };
        for (node, reply) in join_all(calls).await.into_iter().flatten() {
            let Ok(reply) = wire::HelloReply::decode(reply.as_slice()) else { continue };
            // This node ends by it: who decides nothing in the cluster does not decide this either.
            if voters.contains(&node) {
                heard.registered = heard.registered.max(reply.registered);
                heard.said = heard.said.max(reply.heard);
            }
            // Nobody but a node that is lost needs another's word.
            for other in reply.others.into_iter().take(if is_lost { MANY } else { 0 }) {
                let Ok(address) = other.address.parse::<PeerAddress>() else { continue };
                if address.key() != self.here.key() {
                    self.announcer.heard(Sighting { incarnation: other.incarnation, address });
                }
            }
        }
        heard
    }

    /// Whom to say it to.
    fn audience(&mut self, is_lost: bool) -> Vec<(NodeId, PeerAddress)> {
        let mut nodes = if is_lost { self.directory.nodes() } else { self.voters() };
        nodes.remove(&self.directory.this_node());
        let turn = self.rounds.wrapping_mul(MANY).checked_rem(nodes.len()).unwrap_or(0);
        self.rounds = self.rounds.wrapping_add(usize::from(is_lost));
        let now = nodes.iter().cycle().skip(turn).take(nodes.len().min(MANY));
        now.filter_map(|node| Some((*node, self.directory.address(*node)?))).collect()
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.metadata.members().borrow().voters.clone()
    }

    /// Looks at the given places as long as some node is not connected.
    async fn find(&self) {
        let is_missing = |node: NodeId| {
            let address = self.directory.address(node);
            node != self.directory.this_node()
                && address.is_some_and(|address| !self.peers.is_connected(&address.key()))
        };
        if !self.places.is_empty() && self.directory.nodes().into_iter().any(is_missing) {
            // Names that do not resolve must not hold up the rest.
            let _ = tokio::time::timeout(PATIENCE, self.peers.find(&self.places)).await;
        }
    }
}

/// `None`: what was said makes no sense, or is of a release that says it otherwise.
fn answer(
    metadata: &Metadata,
    announcer: &Announcer,
    key: PeerKey,
    message: &[u8],
) -> Option<wire::HelloReply> {
    let hello = wire::Hello::decode(message).ok().filter(|hello| hello.version == VERSION)?;
    let hosts = hello.hosts.iter().map(|host| host.parse().ok()).collect::<Option<Vec<_>>>()?;
    let address = PeerAddress::new(key, hosts).ok()?;
    let node = node_of(key.as_bytes())?;
    announcer.heard(Sighting { incarnation: hello.incarnation, address });
    let reader = metadata.local().ok()?;
    let record = state::node::node(&reader, node).ok()?;
    let voters = metadata.members().borrow().voters.clone();
    let others = if hello.is_lost { others(&reader, announcer, &voters, node)? } else { Vec::new() };
    Some(wire::HelloReply {
        registered: record.map_or(0, |record| record.incarnation),
        heard: announcer.sighting(node).map_or(0, |sighting| sighting.incarnation),
        others,
    })
}

/// Where all nodes but `asking` are, the voters first. Only nodes with a record: what others told this node goes no
/// further.
fn others(
    reader: &StateReader,
    announcer: &Announcer,
    voters: &BTreeSet<NodeId>,
    asking: NodeId,
) -> Option<Vec<wire::Sighting>> {
    let mut records = state::node::nodes(reader).ok()?;
    records.retain(|(node, _)| *node != asking);
    records.sort_by_key(|(node, _)| !voters.contains(node));
    let sighting = |(node, record): (NodeId, NodeRecord)| {
        let registered = Sighting { incarnation: record.incarnation, address: record.address()? };
        let heard = announcer.sighting(node).filter(|heard| heard.incarnation >= registered.incarnation);
        let Sighting { incarnation, address } = heard.unwrap_or(registered);
        Some(wire::Sighting { incarnation, address: address.to_string() })
    };
    Some(records.into_iter().filter_map(sighting).take(MANY).collect())
}
