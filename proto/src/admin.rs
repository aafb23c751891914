//! The documents of the admin API, `/api/v1/`: what operators read and send as JSON.
//!
//! Shared by the node that answers and the command that asks, so that the two cannot part. Times are
//! milliseconds since 1970, sizes bytes. Fields are only ever added; readers ignore those they do not know.

pub mod audit;
pub mod iam;
mod layout;
pub mod secrets;

use serde::{Deserialize, Serialize};

pub use layout::{Layout, LayoutApply, LayoutChange, LayoutPlan, LayoutTraffic, LayoutWish};

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

/// A person's word on a node's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// A voter as long as it can be.
    Always,
    /// No voter.
    Never,
}

/// Asks to pin a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPin {
    /// Whether it votes.
    pub vote: Pin,
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
    /// Bytes of the volume that it keeps blobs on.
    pub capacity_bytes: u64,
    /// Bytes that a person gave in place of these for placement; 0: nobody did.
    #[serde(default)]
    pub assigned_bytes: u64,
    /// What it may be.
    pub kind: NodeKind,
    /// Whether it takes new copies.
    pub state: NodeState,
    /// What it does for the group.
    pub role: Role,
    /// Whether a person decided on its vote.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// Entries that it has to apply yet; none if it does not answer.
    pub lag_entries: Option<u64>,
    /// Blobs that count on it.
    pub copies: u64,
    /// Release it runs.
    pub release: String,
    /// The newest level that this release speaks.
    #[serde(default)]
    pub newest_level: u32,
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
    /// Whether blobs are being counted again since nodes changed: more may turn out to have too few copies.
    #[serde(default)]
    pub is_recounting: bool,
    /// Voters that answer now.
    #[serde(default)]
    pub voters_well: u64,
    /// Whether writes go on when any one zone is lost, with the voters that answer now.
    #[serde(default)]
    pub zone_spare: bool,
    /// Of an edge: seconds since it last knew that it is current.
    #[serde(default)]
    pub contact_age_seconds: Option<u64>,
    /// The newest level that all nodes speak: commands of a later one wait until every node has a newer release.
    #[serde(default)]
    pub level: u32,
    /// Every node, by id.
    #[serde(default)]
    pub nodes: Vec<NodeHealth>,
}

/// How one node is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// Its id, hexadecimal.
    pub id: String,
    /// What it may be.
    pub kind: NodeKind,
    /// What it does for the group.
    pub role: Role,
    /// Whether it takes new copies.
    pub state: NodeState,
    /// Domain of policy and failure.
    pub region: String,
    /// Part of the region that fails on its own.
    pub zone: String,
    /// Release it runs.
    #[serde(default)]
    pub release: String,
    /// The newest level that this release speaks.
    #[serde(default)]
    pub newest_level: u32,
    /// Its Raft term; none if it does not answer, as the next three.
    pub term: Option<u64>,
    /// Last entry of its log.
    pub last_log_index: Option<u64>,
    /// Last entry that it has applied.
    pub applied_index: Option<u64>,
    /// Entries that it has to apply yet.
    pub lag_entries: Option<u64>,
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

/// A join token as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Names it.
    pub id: String,
    /// What whoever joins with it will be.
    pub kind: NodeKind,
    /// When it was made.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: u64,
    /// Whether its time is over.
    pub is_expired: bool,
    /// The node that joined with it.
    pub used_by: Option<String>,
}

/// All join tokens that are kept, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// The tokens.
    pub tokens: Vec<TokenInfo>,
}

/// A join token that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Which.
    pub id: String,
}
