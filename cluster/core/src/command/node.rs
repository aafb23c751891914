//! Commands about nodes, their tokens and the copies of blobs that they keep.

use proto::digest::Digest;
use proto::identity::{HostPort, NodeId, PeerKey, Region, Zone};
use proto::upload::UploadId;

use crate::level::Levels;
use crate::record::{NodeKind, NodeState, VoterPin};

/// A node's word that file and directory of a copy are synced (consistency rule R7); the command that
/// carries it names digest and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// Who has the copy.
    pub node: NodeId,
    /// Of that node when it wrote the copy.
    pub incarnation: u64,
}

/// Lets one node in until it expires. Tokens that have expired are removed with it.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateJoinToken {
    /// Random.
    pub token: [u8; 16],
    /// SHA-256 of the secret, 32 random bytes: the log never has the secret itself.
    pub secret_hash: [u8; 32],
    /// Log time.
    pub expires_ms: u64,
    /// What the node becomes.
    pub kind: NodeKind,
}

impl std::fmt::Debug for CreateJoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateJoinToken").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// By what right a node comes in.
#[derive(Clone, PartialEq, Eq)]
pub enum Admission {
    /// A person gave it a token.
    Token {
        /// Which.
        token: [u8; 16],
        /// SHA-256 of the secret that it showed.
        secret_hash: [u8; 32],
    },
    /// It is the first one.
    Founder,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token",
            Self::Founder => "Founder",
        })
    }
}

/// What a node says of itself at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Where it is reached; see `NodeRecord::addresses`.
    pub addresses: Vec<HostPort>,
    /// Its zone.
    pub zone: Zone,
    /// Of the volume that keeps blobs; 0 if not known.
    pub capacity_bytes: u64,
    /// What it runs.
    pub release: String,
    /// What that speaks.
    pub levels: Levels,
}

/// Makes a node part of the cluster, and its key one that tokens are verified with. Safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddNode {
    /// Its id; one key has one.
    pub node: NodeId,
    /// ed25519.
    pub public_key: PeerKey,
    /// Never changes.
    pub region: Region,
    /// The rest.
    pub place: NodePlace,
    /// See `NodeRecord::incarnation`.
    pub incarnation: u64,
    /// By what right.
    pub admission: Admission,
}

/// What a node found at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// What it left there.
    Kept,
    /// Nothing: its confirmed copies are gone.
    Empty,
}

/// A node has started, or moved. Refused when a later start of the same node is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateNode {
    /// Who.
    pub node: NodeId,
    /// Where and what it is now.
    pub place: NodePlace,
    /// See `NodeRecord::incarnation`.
    pub incarnation: u64,
    /// What became of its copies.
    pub disk: Disk,
}

/// Under what condition a node goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// No blob counts on it any more.
    Drained,
    /// In any case; blobs that counted on it are under-copied then.
    Forced,
}

/// How one node's part in placement changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementChange {
    /// Who.
    pub node: NodeId,
    /// From now on; `None` leaves it.
    pub state: Option<NodeState>,
    /// See `NodeRecord::assigned_bytes`; `None` leaves it.
    pub assigned_bytes: Option<u64>,
}

/// Changes where blobs are placed, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeLayout {
    /// Refused for any other version of the layout: the plan was made for this one.
    pub version: u64,
    /// Each node once.
    pub changes: Vec<PlacementChange>,
}

/// Keeps the copies that a blob's record names true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmCopies {
    /// The blob.
    pub digest: Digest,
    /// Refused for any other.
    pub generation: UploadId,
    /// Copies that are there now.
    pub added: Vec<Receipt>,
    /// Nodes whose copy is gone already: always believed.
    pub lost: Vec<NodeId>,
    /// Nodes that would like to let a good copy go. Judged at apply, one after the other: who is still named
    /// in the answer must keep its copy.
    pub released: Vec<NodeId>,
}

/// Commands of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeCommand {
    /// See [`CreateJoinToken`].
    CreateToken(CreateJoinToken),
    /// Makes a token worthless; who came in with it stays.
    RevokeToken {
        /// Which.
        token: [u8; 16],
    },
    /// See [`AddNode`].
    Add(AddNode),
    /// See [`UpdateNode`].
    Update(UpdateNode),
    /// Says what is expected of a node.
    SetState {
        /// Who.
        node: NodeId,
        /// From now on.
        state: NodeState,
    },
    /// Decides on a node's vote.
    PinVoter {
        /// Who.
        node: NodeId,
        /// `None` leaves it to the cluster again.
        pin: Option<VoterPin>,
    },
    /// See [`ChangeLayout`].
    ChangeLayout(ChangeLayout),
    /// Takes a node out of the cluster, and its key with it.
    Remove {
        /// Who.
        node: NodeId,
        /// On what condition.
        removal: Removal,
    },
}
