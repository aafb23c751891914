//! How the group and this node's part of it are doing, as plain numbers.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::ServerState;
use proto::identity::NodeId;
use proto::wire::raft as wire;
use tokio::task::JoinSet;

use super::Inner;
use super::call::{self, ReplyKind, RequestKind};
use super::leader::Leader;
use crate::raft::transport::Service;

/// What this node is to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes commands.
    Leader,
    /// Votes.
    Follower,
    /// Stands for election.
    Candidate,
    /// Follows without a vote, or waits to be added.
    Learner,
    /// Has stopped, or its storage failed.
    Stopped,
}

/// How far another node is, as its leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The node's id.
    pub node: u64,
    /// Index of the last entry that it surely holds; `None`: not known yet.
    pub matching_index: Option<u64>,
    /// Entries that it lacks.
    pub lag: u64,
}

/// A moment of the metadata on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether Raft runs, its storage never failed, and there is a leader; if it is this node, with a quorum.
    pub ready: bool,
    /// This node's id.
    pub node: u64,
    /// What this node is.
    pub role: Role,
    /// The leader's node id, if known.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Who votes; during a change those of before and after.
    pub voters: Vec<u64>,
    /// Who follows without a vote.
    pub learners: Vec<u64>,
    /// How many voters must agree.
    pub quorum: u64,
    /// Milliseconds since a quorum was heard of; only at the leader.
    pub quorum_silence_ms: Option<u64>,
    /// Of all other members; empty unless this node leads.
    pub followers: Vec<Progress>,
    /// Index of the last entry in this node's log.
    pub last_log_index: u64,
    /// Index of the last entry that this node has applied.
    pub applied_index: u64,
    /// Index up to which the state is surely on disk.
    pub snapshot_index: u64,
    /// Index up to which entries have gone from the log.
    pub purged_index: u64,
    /// Bytes of the entries in the log.
    pub log_bytes: u64,
    /// Bytes that the metadata files take on disk.
    pub disk_bytes: u64,
    /// Groups of commands that this node has proposed since it started, to itself or to the leader.
    pub entries_proposed: u64,
    /// Commands in these groups.
    pub commands_proposed: u64,
}

/// What another member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Raft term.
    pub term: u64,
    /// Index of the last entry in its log.
    pub last_log_index: u64,
    /// Index of the last entry that it has applied.
    pub applied_index: u64,
}

/// Asks all members at once, this node included; who does not answer within `patience` is left out.
pub(super) async fn of_members(inner: &Inner, patience: Duration) -> BTreeMap<NodeId, PeerStatus> {
    let members = inner.members.borrow().members.clone();
    let mut asked = JoinSet::new();
    for member in members.into_values().filter(|member| member.node != inner.group.node) {
        let link = inner.group.link.clone();
        let request = call::request(RequestKind::Status(wire::StatusRequest {}));
        asked.spawn(async move {
            let reply = link.call(&member, Service::Metadata, request, patience).await.ok()?;
            let Some(ReplyKind::Status(reply)) = call::read_reply(&reply) else { return None };
            let wire::StatusReply { term, last_log_index, applied_index, .. } = reply;
            (reply.node == member.node.get())
                .then_some((member.node, PeerStatus { term, last_log_index, applied_index }))
        });
    }
    let own = status(inner);
    let Status { term, last_log_index, applied_index, .. } = own;
    let mut statuses =
        BTreeMap::from([(inner.group.node, PeerStatus { term, last_log_index, applied_index })]);
    while let Some(answer) = asked.join_next().await {
        statuses.extend(answer.ok().flatten());
    }
    statuses
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    entries: AtomicU64,
    commands: AtomicU64,
}

impl Counters {
    /// One group of `commands` commands.
    pub(super) fn count(&self, commands: usize) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }
}

pub(super) fn status(inner: &Inner) -> Status {
    let metrics = inner.group.raft.metrics().borrow().clone();
    let index = |log_id: Option<openraft::LogId<u64>>| log_id.map_or(0, |log_id| log_id.index);
    let last_log_index = metrics.last_log_index.unwrap_or(0);
    let progress = |(node, matching): (&u64, &Option<openraft::LogId<u64>>)| {
        let matching_index = matching.map(|log_id| log_id.index);
        Progress { node: *node, matching_index, lag: last_log_index.saturating_sub(index(*matching)) }
    };
    let others = metrics.replication.iter().flatten().filter(|(node, _)| **node != metrics.id);
    let membership = metrics.membership_config.membership();
    let smallest = membership.get_joint_config().iter().map(|config| config.len() / 2 + 1).max();
    Status {
        ready: inner.group.leader() != Leader::Unknown && !inner.stop.is_cancelled(),
        node: metrics.id,
        role: match (&metrics.running_state, metrics.state) {
            (Err(_), _) | (_, ServerState::Shutdown) => Role::Stopped,
            (_, ServerState::Leader) => Role::Leader,
            (_, ServerState::Follower) => Role::Follower,
            (_, ServerState::Candidate) => Role::Candidate,
            (_, ServerState::Learner) => Role::Learner,
        },
        leader: metrics.current_leader,
        term: metrics.current_term,
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        quorum: smallest.unwrap_or(0) as u64,
        quorum_silence_ms: metrics.millis_since_quorum_ack,
        followers: others.map(progress).collect(),
        last_log_index,
        applied_index: index(metrics.last_applied),
        snapshot_index: index(metrics.snapshot),
        purged_index: index(metrics.purged),
        log_bytes: inner.log.bytes(),
        disk_bytes: disk_bytes(inner),
        entries_proposed: inner.counters.entries.load(Ordering::Relaxed),
        commands_proposed: inner.counters.commands.load(Ordering::Relaxed),
    }
}

fn disk_bytes(inner: &Inner) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Blocks of 512 bytes, as stat(2) counts them. A file that cannot be asked for counts as nothing.
    let allocated = |name: &str| fs::metadata(inner.dir.join(name)).map_or(0, |file| file.blocks() * 512);
    inner.log.disk_bytes() + allocated("state.db")
}
