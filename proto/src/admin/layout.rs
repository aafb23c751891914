//! Documents of `/api/v1/layout`: what a change of the nodes would move, and the change.

use serde::{Deserialize, Serialize};

use super::NodeState;

/// How one node's part in placement is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutChange {
    /// Its id.
    pub node: String,
    /// Draining, or active again; none leaves it.
    #[serde(default)]
    pub state: Option<NodeState>,
    /// Its capacity in bytes for placement, 0 for that of its volume; none leaves it.
    #[serde(default)]
    pub capacity_bytes: Option<u64>,
}

/// Asks what changes would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutWish {
    /// Each node once.
    pub changes: Vec<LayoutChange>,
    /// Bytes that each node is thought to fetch in a second.
    pub rate_bytes: u64,
}

/// What changes would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutPlan {
    /// Of the layout that it was planned for.
    pub version: u64,
    /// What was asked.
    pub changes: Vec<LayoutChange>,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Whether these are all; figures are of them only.
    pub is_complete: bool,
    /// Their bytes, once each.
    pub bytes: u64,
    /// Blobs of which a copy is made.
    pub moved_blobs: u64,
    /// Bytes of all copies that are made.
    pub moved_bytes: u64,
    /// How long that takes if every node fetches at the rate that was asked for.
    pub seconds: u64,
    /// What the nodes gain and lose; those with nothing to do are left out.
    pub nodes: Vec<LayoutTraffic>,
}

/// What one node gains and loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutTraffic {
    /// Its id.
    pub node: String,
    /// Copies to fetch.
    pub copies_in: u64,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Copies to let go.
    pub copies_out: u64,
    /// Bytes of these.
    pub bytes_out: u64,
}

/// Makes planned changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutApply {
    /// Of the plan: refused if the layout is another one by now.
    pub version: u64,
    /// Of the plan.
    pub changes: Vec<LayoutChange>,
}

/// The layout after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Rises with every change.
    pub version: u64,
}
