//! Records of nodes and of the tokens with which they join, and what follows from all nodes together.

use std::collections::BTreeSet;

use proto::identity::{HostPort, MAX_HOSTS, NodeId, PeerAddress, PeerKey, Region, Zone};
use proto::wire::record as wire;

use super::{Record, RecordError};
use crate::level::Levels;

/// Longest text of a release.
pub const MAX_RELEASE: usize = 64;

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// May vote and be a home.
    Full,
    /// Follows without a vote; its blobs are a cache, which never counts as a copy.
    Edge,
}

/// What the cluster expects of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// To do its share.
    Active,
    /// To serve on until its blobs have their copies elsewhere.
    Draining,
    /// Nothing: it was away for too long, so its copies do not count until it is active again.
    Lost,
}

/// A person's word on a node's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoterPin {
    /// A voter as long as it can be.
    Always,
    /// No voter.
    Never,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// ed25519: its identity among peers, and what its tokens are verified with.
    pub public_key: PeerKey,
    /// Where it is reached, at most [`MAX_HOSTS`]; none if it only dials out.
    pub addresses: Vec<HostPort>,
    /// The domain of policy and failure that it is in.
    pub region: Region,
    /// The part of the region that fails with it.
    pub zone: Zone,
    /// Of the volume that keeps blobs; 0 if not known.
    pub capacity_bytes: u64,
    /// Its weight in placement if a person decided on it; 0: its capacity.
    pub assigned_bytes: u64,
    /// What it is for.
    pub kind: NodeKind,
    /// What is expected of it.
    pub state: NodeState,
    /// Rises with every start of the node. Whoever numbers starts puts their count above random bits, so
    /// that two starts of one copied data directory are never equal (consistency promise 19).
    pub incarnation: u64,
    /// The first incarnation with the disk that it has now; receipts of older ones are void (R7).
    pub disk_incarnation: u64,
    /// Whether a person decided on its vote.
    pub pin: Option<VoterPin>,
    /// Log time.
    pub joined_ms: u64,
    /// What it runs.
    pub release: String,
    /// What that speaks.
    pub levels: Levels,
}

impl NodeRecord {
    /// Its key and places; only the first [`MAX_HOSTS`] of these.
    pub fn address(&self) -> Option<PeerAddress> {
        PeerAddress::new(self.public_key, self.addresses.iter().take(MAX_HOSTS).cloned().collect()).ok()
    }

    /// Its weight in placement, in bytes; 0 if not known.
    pub fn weight_bytes(&self) -> u64 {
        if self.assigned_bytes == 0 { self.capacity_bytes } else { self.assigned_bytes }
    }

    /// Whether a copy on this node can count as durable at all.
    pub fn keeps_copies(&self) -> bool {
        self.kind == NodeKind::Full && self.state != NodeState::Lost
    }
}

/// A secret that lets one node in.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinTokenRecord {
    /// SHA-256 of the secret, 32 random bytes.
    pub secret_hash: [u8; 32],
    /// Worth nothing once log time is past this.
    pub expires_ms: u64,
    /// What the node becomes.
    pub kind: NodeKind,
    /// Who came in with it.
    pub used_by: Option<NodeId>,
    /// Log time.
    pub created_ms: u64,
}

impl std::fmt::Debug for JoinTokenRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokenRecord")
            .field("expires_ms", &self.expires_ms)
            .field("kind", &self.kind)
            .field("used_by", &self.used_by)
            .finish_non_exhaustive()
    }
}

/// What follows from all nodes together, kept so that a commit need not read them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutRecord {
    /// Number of changes so far.
    pub version: u64,
    /// Nodes that may be homes.
    pub homes: u32,
    /// Zones that these are in.
    pub zones: u32,
    /// Set while blobs are counted again after a change: the key's rest to go on from.
    pub recount_from: Option<Vec<u8>>,
}

/// Copies that a blob should have when there are enough homes.
pub const REPLICAS: u32 = 3;

impl LayoutRecord {
    /// Copies that a blob should have: one even when no node may be a home, so that the last is kept.
    pub fn wanted(&self) -> u32 {
        self.homes.clamp(1, REPLICAS)
    }

    /// Zones that these copies should be in at least.
    pub fn wanted_zones(&self) -> u32 {
        self.zones.clamp(1, 2)
    }
}

impl Record for NodeRecord {
    type Wire = wire::Node;

    const VERSION: u8 = 3;

    fn to_wire(&self) -> wire::Node {
        let (oldest_level, newest_level) = self.levels.to_numbers();
        wire::Node {
            public_key: self.public_key.as_bytes().to_vec(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            region: self.region.to_string(),
            zone: self.zone.to_string(),
            capacity_bytes: self.capacity_bytes,
            kind: kind_to_wire(self.kind),
            state: match self.state {
                NodeState::Active => 1,
                NodeState::Draining => 2,
                NodeState::Lost => 3,
            },
            incarnation: self.incarnation,
            disk_incarnation: self.disk_incarnation,
            pin: match self.pin {
                None => 0,
                Some(VoterPin::Always) => 1,
                Some(VoterPin::Never) => 2,
            },
            joined_ms: self.joined_ms,
            release: self.release.clone(),
            assigned_bytes: self.assigned_bytes,
            oldest_level,
            newest_level,
        }
    }

    fn from_wire(wire: wire::Node) -> Result<Self, RecordError> {
        let public_key = wire.public_key.try_into().map_err(|_| RecordError::Field("public key"))?;
        let addresses = wire.addresses.iter().map(|text| text.parse());
        Ok(Self {
            public_key: PeerKey::new(public_key),
            addresses: addresses.collect::<Result<_, _>>().map_err(|_| RecordError::Field("address"))?,
            region: wire.region.parse().map_err(|_| RecordError::Field("region"))?,
            zone: wire.zone.parse().map_err(|_| RecordError::Field("zone"))?,
            capacity_bytes: wire.capacity_bytes,
            kind: kind_from_wire(wire.kind)?,
            state: match wire.state {
                1 => NodeState::Active,
                2 => NodeState::Draining,
                3 => NodeState::Lost,
                _ => return Err(RecordError::Field("state")),
            },
            incarnation: wire.incarnation,
            disk_incarnation: wire.disk_incarnation,
            pin: match wire.pin {
                0 => None,
                1 => Some(VoterPin::Always),
                2 => Some(VoterPin::Never),
                _ => return Err(RecordError::Field("pin")),
            },
            joined_ms: wire.joined_ms,
            release: wire.release,
            assigned_bytes: wire.assigned_bytes,
            levels: Levels::from_numbers(wire.oldest_level, wire.newest_level)
                .ok_or(RecordError::Field("level"))?,
        })
    }
}

fn kind_to_wire(kind: NodeKind) -> u32 {
    match kind {
        NodeKind::Full => 1,
        NodeKind::Edge => 2,
    }
}

fn kind_from_wire(kind: u32) -> Result<NodeKind, RecordError> {
    match kind {
        1 => Ok(NodeKind::Full),
        2 => Ok(NodeKind::Edge),
        _ => Err(RecordError::Field("kind")),
    }
}

impl Record for JoinTokenRecord {
    type Wire = wire::JoinToken;

    fn to_wire(&self) -> wire::JoinToken {
        wire::JoinToken {
            secret_hash: self.secret_hash.to_vec(),
            expires_ms: self.expires_ms,
            kind: kind_to_wire(self.kind),
            used_by: self.used_by.map_or(0, NodeId::get),
            created_ms: self.created_ms,
        }
    }

    fn from_wire(wire: wire::JoinToken) -> Result<Self, RecordError> {
        Ok(Self {
            secret_hash: wire.secret_hash.try_into().map_err(|_| RecordError::Field("secret hash"))?,
            expires_ms: wire.expires_ms,
            kind: kind_from_wire(wire.kind)?,
            used_by: NodeId::new(wire.used_by),
            created_ms: wire.created_ms,
        })
    }
}

impl Record for LayoutRecord {
    type Wire = wire::Layout;

    fn to_wire(&self) -> wire::Layout {
        wire::Layout {
            version: self.version,
            homes: self.homes,
            zones: self.zones,
            recount_from: self.recount_from.clone(),
        }
    }

    fn from_wire(wire: wire::Layout) -> Result<Self, RecordError> {
        Ok(Self {
            version: wire.version,
            homes: wire.homes,
            zones: wire.zones,
            recount_from: wire.recount_from,
        })
    }
}

/// Sorted, without duplicates.
pub(super) fn copies_from_wire(copies: &[u64]) -> Result<Vec<NodeId>, RecordError> {
    let nodes: Option<BTreeSet<NodeId>> = copies.iter().map(|node| NodeId::new(*node)).collect();
    nodes.map(|nodes| nodes.into_iter().collect()).ok_or(RecordError::Field("copy"))
}
