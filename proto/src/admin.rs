//! The documents of the admin API, `/api/v1/`: what operators read and send as JSON.
//!
//! Shared by the node that answers and the command that asks, so that the two cannot part. Times are
//! milliseconds since 1970, sizes bytes. Fields are only ever added; readers ignore those they do not know.

use serde::{Deserialize, Serialize};

/// The answer to a request that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong and what to do about it.
    pub message: String,
}

/// What a node may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Keeps copies, may vote.
    Full,
    /// Follows without a vote, keeps a cache.
    Edge,
}

/// What a node does for the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Votes, and leads now.
    Leader,
    /// Votes.
    Voter,
    /// Follows without a vote.
    Learner,
    /// Known, but not in the group now.
    Outside,
}

/// Whether a node takes new copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Yes.
    Active,
    /// No: its copies are being made elsewhere, so that it can be removed.
    Draining,
    /// It was away for too long: its copies do not count until it is back.
    Lost,
}

/// One node, as the node that answers sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, hexadecimal.
    pub id: String,
    /// Where other nodes reach it, `host:port`.
    pub addresses: Vec<String>,
    /// Domain of policy and failure.
    pub region: String,
    /// Part of the region that fails on its own.
    pub zone: String,
    /// Bytes it offers for blobs.
    pub capacity_bytes: u64,
    /// What it may be.
    pub kind: NodeKind,
    /// Whether it takes new copies.
    pub state: NodeState,
    /// What it does for the group.
    pub role: Role,
    /// Entries that it is behind the leader; only the leader knows.
    pub lag_entries: Option<u64>,
    /// Blobs that count on it.
    pub copies: u64,
    /// Release it runs.
    pub release: String,
    /// When it joined.
    pub joined_ms: u64,
}

/// All nodes, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// How the cluster is doing, as the node that answers sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id, hexadecimal.
    pub cluster_id: String,
    /// The node that answers.
    pub node: String,
    /// Whether a majority of voters is reached: writes and reads by tag work.
    pub quorum: bool,
    /// The leader's id.
    pub leader: Option<String>,
    /// Raft term.
    pub term: u64,
    /// Last entry of the answering node's log.
    pub last_log_index: u64,
    /// Last entry that the answering node has applied.
    pub applied_index: u64,
    /// Nodes that vote.
    pub voters: u64,
    /// Voters that may fail before writes stop.
    pub voters_spare: u64,
    /// Zones with an active full node.
    pub zones: u64,
    /// Fsynced copies, in distinct zones, before a blob is acknowledged.
    pub copies_at_push: u64,
    /// Copies that each blob gets in the end.
    pub copies_wanted: u64,
    /// Blobs that have fewer copies than wanted.
    pub blobs_under_copied: u64,
    /// Blobs of which no good copy is left; counted up to 1000.
    #[serde(default)]
    pub blobs_damaged: u64,
}

/// Blobs that cannot be read anywhere, by digest: at most as many as one answer takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedBlobs {
    /// The blobs.
    pub blobs: Vec<DamagedBlob>,
    /// Whether there are more.
    pub more: bool,
}

/// A blob of which every copy was found missing or damaged. Pushing it again heals it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedBlob {
    /// Its name.
    pub digest: String,
    /// Its length.
    pub size_bytes: u64,
    /// Repositories of the default registry that need it; at most 100.
    pub repositories: Vec<String>,
}

/// How far the scrub of the answering node is: it reads its stored copies again to find damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Whether a pass runs.
    pub running: bool,
    /// Whether it goes as fast as the disk.
    pub unlimited: bool,
    /// When the running or last pass began.
    pub began_ms: Option<u64>,
    /// Bytes that it has checked.
    pub checked_bytes: u64,
    /// Damaged copies that it found.
    pub found: u64,
    /// Passes that ended.
    pub passes: u64,
    /// When the last one ended.
    pub ended_ms: Option<u64>,
}

/// Asks for a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// How long it is good for, seconds.
    pub ttl_seconds: u64,
    /// What whoever joins with it will be.
    pub kind: NodeKind,
}

/// A join token; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// Names it, for revoking; no secret.
    pub id: String,
    /// What `shoal serve --join` takes.
    pub token: String,
    /// When it ends.
    pub expires_ms: u64,
}
