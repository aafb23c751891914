//! The state, the group and how far its members are, at about one moment; and nodes as documents.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{PeerStatus, StateReader, Status};
use cluster_core::record::{NodeKind, NodeRecord, NodeState, VoterPin};
use cluster_core::state;
use proto::admin::{self, Node, NodeHealth, Pin, Role};
use proto::identity::NodeId;

use super::Admin;
use super::nodes::count;
use super::problem::Refusal;

/// For a member to say how far it is.
const PATIENCE: Duration = Duration::from_millis(700);
/// Blobs in one page of a count.
const PAGE: usize = 1024;

/// See the module.
pub(super) struct View {
    pub(super) reader: StateReader,
    pub(super) status: Status,
    roles: BTreeMap<u64, Role>,
    answers: BTreeMap<NodeId, PeerStatus>,
}

impl View {
    /// Asks all members at once.
    pub(super) async fn of(admin: &Admin) -> Result<Self, Refusal> {
        let answers = admin.metadata.statuses(PATIENCE).await;
        let status = admin.metadata.status();
        let mut roles: BTreeMap<u64, Role> =
            status.learners.iter().map(|node| (*node, Role::Learner)).collect();
        roles.extend(status.voters.iter().map(|node| (*node, Role::Voter)));
        roles.extend(status.leader.map(|node| (node, Role::Leader)));
        Ok(Self { reader: admin.metadata.local()?, status, roles, answers })
    }

    /// Whether it answered.
    pub(super) fn is_well(&self, node: NodeId) -> bool {
        self.answers.contains_key(&node)
    }

    fn role(&self, node: NodeId) -> Role {
        self.roles.get(&node.get()).copied().unwrap_or(Role::Outside)
    }

    /// Behind the longest log that is known, which is the leader's if it answers.
    fn lag(&self, node: NodeId) -> Option<u64> {
        let newest = self.answers.values().map(|answer| answer.last_log_index).max()?;
        self.answers.get(&node).map(|answer| newest.saturating_sub(answer.applied_index))
    }

    pub(super) fn health(&self, node: NodeId, record: &NodeRecord) -> NodeHealth {
        let answer = self.answers.get(&node);
        NodeHealth {
            id: node.to_string(),
            kind: kind(record.kind),
            role: self.role(node),
            state: state_of(record.state),
            region: record.region.to_string(),
            zone: record.zone.to_string(),
            release: record.release.clone(),
            newest_level: record.levels.newest,
            term: answer.map(|answer| answer.term),
            last_log_index: answer.map(|answer| answer.last_log_index),
            applied_index: answer.map(|answer| answer.applied_index),
            lag_entries: self.lag(node),
        }
    }

    /// Counts its copies.
    pub(super) fn show(&self, node: NodeId, record: NodeRecord) -> Result<Node, Refusal> {
        Ok(Node {
            id: node.to_string(),
            addresses: record.addresses.iter().map(ToString::to_string).collect(),
            region: record.region.to_string(),
            zone: record.zone.to_string(),
            capacity_bytes: record.capacity_bytes,
            assigned_bytes: record.assigned_bytes,
            kind: kind(record.kind),
            state: state_of(record.state),
            role: self.role(node),
            pin: record.pin.map(|pin| match pin {
                VoterPin::Always => Pin::Always,
                VoterPin::Never => Pin::Never,
            }),
            lag_entries: self.lag(node),
            copies: count(|after| state::copies::of_node(&self.reader, node, after, PAGE))?,
            release: record.release,
            newest_level: record.levels.newest,
            joined_ms: record.joined_ms,
        })
    }
}

pub(super) fn kind(kind: NodeKind) -> admin::NodeKind {
    match kind {
        NodeKind::Full => admin::NodeKind::Full,
        NodeKind::Edge => admin::NodeKind::Edge,
    }
}

fn state_of(state: NodeState) -> admin::NodeState {
    match state {
        NodeState::Active => admin::NodeState::Active,
        NodeState::Draining => admin::NodeState::Draining,
        NodeState::Lost => admin::NodeState::Lost,
    }
}
