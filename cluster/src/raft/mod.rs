//! The Raft group: its types, its settings, its start.
//!
//! Owns what openraft is told. A group of one for now: the network of [`network`] reaches nobody.

mod network;

use std::sync::Arc;

use cluster_core::command::Response;
use openraft::{BasicNode, SnapshotPolicy};

pub(crate) use self::network::NoPeers;
use crate::storage::StateSnapshot;

openraft::declare_raft_types!(
    /// The types of our group. Members are known by the number of their `NodeId`.
    pub(crate) TypeConfig:
        D = EncodedBatch,
        R = Vec<Response>,
        NodeId = u64,
        Node = BasicNode,
        SnapshotData = StateSnapshot,
);

/// The Raft node of this process.
pub(crate) type Raft = openraft::Raft<TypeConfig>;

/// A `cluster_core::command::Batch` as it stands in the log. It is decoded at apply, so that a batch that
/// this release does not know stops the node there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedBatch(pub(crate) Vec<u8>);

impl std::fmt::Debug for EncodedBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncodedBatch({} bytes)", self.0.len())
    }
}

/// Entries after which the state is made durable and older entries may go.
const ENTRIES_PER_SNAPSHOT: u64 = 1_000;
/// Entries kept behind a snapshot, for followers that are a little late.
const ENTRIES_KEPT: u64 = 500;

/// The settings of the group.
pub(crate) fn config() -> Arc<openraft::Config> {
    Arc::new(openraft::Config {
        cluster_name: "shoal".to_owned(),
        heartbeat_interval: 150,
        election_timeout_min: 500,
        election_timeout_max: 900,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        purge_batch_size: 256,
        max_payload_entries: 64,
        ..openraft::Config::default()
    })
}
