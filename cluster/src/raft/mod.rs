//! The Raft group: its types, its settings, its traffic.
//!
//! Owns what openraft is told and what it says to others: [`network`] sends, [`answer`] receives,
//! [`election`] decides when to stand, [`hearing`] when a leader is better silent. How bytes travel is behind [`transport`].

mod answer;
mod election;
mod hearing;
mod incoming;
mod message;
mod network;
mod outgoing;
pub(crate) mod transport;

use std::sync::Arc;
use std::time::Duration;

use cluster_core::command::Response;
use openraft::{BasicNode, SnapshotPolicy};

pub(crate) use self::answer::Answers;
pub(crate) use self::election::{Elections, HandOver, hand_over, has_leader};
pub(crate) use self::incoming::Incoming;
pub(crate) use self::network::Network;
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

/// How often a leader says that it is there.
pub(crate) const BEAT: Duration = Duration::from_millis(100);
/// Who heard of a leader within this time votes for nobody else. Six beats: a busy machine or a slow disk
/// may swallow some; and a new leader must be there well within 2 s.
pub(crate) const LEASE: Duration = Duration::from_millis(600);
/// How long a request of Raft may take: a round trip between continents, and a sync of a slow disk.
const REQUEST: Duration = Duration::from_millis(500);

/// Least entries that leave the log at once.
const PURGED_AT_ONCE: u64 = 256;

/// How many entries are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// After which the state is made durable and older entries may go.
    pub(crate) entries_per_snapshot: u64,
    /// Behind that, for followers that are a little late.
    pub(crate) entries_kept: u64,
}

/// The settings of the group.
pub(crate) fn config(limits: LogLimits) -> Arc<openraft::Config> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Arc::new(openraft::Config {
        cluster_name: "shoal".to_owned(),
        // To openraft this is also how long a request may take; the beats come from `election`.
        heartbeat_interval: millis(REQUEST),
        // Only the larger one matters, as the lease: `election` decides when to stand.
        election_timeout_min: millis(LEASE) - 1,
        election_timeout_max: millis(LEASE),
        enable_elect: false,
        enable_heartbeat: false,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(limits.entries_per_snapshot),
        max_in_snapshot_log_to_keep: limits.entries_kept,
        // Whoever keeps few entries lets them go in smaller steps.
        purge_batch_size: PURGED_AT_ONCE.min(limits.entries_per_snapshot),
        max_payload_entries: 64,
        ..openraft::Config::default()
    })
}
