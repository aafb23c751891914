//! Who belongs to the group: what is known of it, and how the leader changes it.
//!
//! Which nodes *should* vote is decided elsewhere; this carries it out, one change at a time. A change that
//! another leader left half done is completed first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, Membership};
use proto::identity::NodeId;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::leader::{Group, Leader};
use super::{Cause, Unavailable};
use crate::raft;
use crate::raft::transport::Member;

/// How long a change may take; afterwards it may still come into force.
const PATIENCE: Duration = Duration::from_secs(10);
/// A learner that lacks more entries does not become voter: a quorum would wait for it.
const MAX_LAG: u64 = 256;

/// The members of the group as this node knows them: the latest in its log, committed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// All of them, voters and learners, by node.
    pub members: BTreeMap<NodeId, Member>,
    /// Who votes; during a change those of before and after.
    pub voters: BTreeSet<NodeId>,
}

impl Members {
    fn of(membership: &Membership<u64, BasicNode>) -> Self {
        let member = |(node, basic): (&u64, &BasicNode)| {
            let node = NodeId::new(*node)?;
            Some((node, Member { node, address: basic.addr.clone() }))
        };
        Self {
            members: membership.nodes().filter_map(member).collect(),
            voters: membership.voter_ids().filter_map(NodeId::new).collect(),
        }
    }

    /// All of them, voters first. Whoever is told of a few only must know every node that may lead: it answers
    /// nobody else, also not a leader.
    pub fn voters_first(&self) -> impl Iterator<Item = &Member> {
        let voting =
            |votes| self.members.values().filter(move |member| self.voters.contains(&member.node) == votes);
        voting(true).chain(voting(false))
    }
}

/// Why a change of the membership did not come about, or not for sure.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader changes it.
    #[error("this node does not lead the group")]
    NotLeader,
    /// One at a time.
    #[error("another change of the members is under way")]
    InProgress,
    /// A node that is to vote is no member.
    #[error("node {0} is no member: add it first")]
    NotAMember(NodeId),
    /// A node that is to vote is too far behind.
    #[error("node {node} still lacks {lag} entries")]
    Behind {
        /// Which.
        node: NodeId,
        /// How many.
        lag: u64,
    },
    /// Somebody has to vote.
    #[error("the group would have no voter")]
    NoVoter,
    /// Try again; a change may come into force all the same.
    #[error("the members cannot be changed just now: {0}")]
    Unavailable(Unavailable),
    /// This node's storage failed.
    #[error("the metadata storage of this node failed")]
    StorageFailed(#[source] Cause),
}

/// Changes the membership, one change at a time.
#[derive(Debug)]
pub(super) struct Changes {
    group: Group,
    turn: Semaphore,
}

impl Changes {
    pub(super) fn new(group: Group) -> Self {
        Self { group, turn: Semaphore::new(1) }
    }

    fn turn(&self) -> Result<SemaphorePermit<'_>, MembershipError> {
        if self.group.leader() != Leader::Here {
            return Err(MembershipError::NotLeader);
        }
        self.turn.try_acquire().map_err(|_| MembershipError::InProgress)
    }

    fn membership(&self) -> Membership<u64, BasicNode> {
        self.group.raft.metrics().borrow().membership_config.membership().clone()
    }

    pub(super) async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        let _turn = self.turn()?;
        self.complete().await?;
        let node = BasicNode { addr: member.address };
        let known = self.membership().get_node(&member.node.get()).cloned();
        if known.as_ref() == Some(&node) {
            return Ok(());
        }
        let nodes = BTreeMap::from([(member.node.get(), node)]);
        // Setting is only dangerous with the address of another member, where two would vote as one; here
        // the transport knows a member by its key.
        self.change(if known.is_some() {
            ChangeMembers::SetNodes(nodes)
        } else {
            ChangeMembers::AddNodes(nodes)
        })
        .await
    }

    pub(super) async fn apply_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        let _turn = self.turn()?;
        self.complete().await?;
        let (own, present) = (self.group.node, Members::of(&self.membership()).voters);
        if !present.contains(&own) || voters.contains(&own) {
            return self.set_voters(voters).await;
        }
        // A leader without a vote would lead on, and count no majority that it is part of: another one takes over first,
        // and makes the change.
        if present.len() == 1 {
            return self.set_voters(voters.into_iter().chain([own]).collect()).await;
        }
        raft::hand_over(&self.group.raft, own.get(), &self.group.link).await;
        Err(MembershipError::NotLeader)
    }

    pub(super) async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        let _turn = self.turn()?;
        if node == self.group.node {
            // Whoever leads then removes this one.
            raft::hand_over(&self.group.raft, node.get(), &self.group.link).await;
            return Err(MembershipError::NotLeader);
        }
        self.complete().await?;
        let Members { members, mut voters } = Members::of(&self.membership());
        if voters.remove(&node) {
            self.set_voters(voters).await?;
        }
        if !members.contains_key(&node) {
            return Ok(());
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node.get()]))).await
    }

    async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        if voters.is_empty() {
            return Err(MembershipError::NoVoter);
        }
        let present = Members::of(&self.membership());
        if present.voters == voters {
            return Ok(());
        }
        for node in &voters {
            if !present.members.contains_key(node) {
                return Err(MembershipError::NotAMember(*node));
            }
            let lag = self.lag(*node);
            if !present.voters.contains(node) && lag > MAX_LAG {
                return Err(MembershipError::Behind { node: *node, lag });
            }
        }
        tracing::info!(?voters, "changing the voters");
        self.change(ChangeMembers::ReplaceAllVoters(voters.iter().map(|node| node.get()).collect())).await
    }

    fn lag(&self, node: NodeId) -> u64 {
        if node == self.group.node {
            return 0;
        }
        let metrics = self.group.raft.metrics();
        let metrics = metrics.borrow();
        let replication = metrics.replication.as_ref();
        let matching = replication.and_then(|all| all.get(&node.get()).copied().flatten());
        let last = metrics.last_log_index.unwrap_or(0);
        matching.map_or(last.saturating_add(MAX_LAG), |log_id| last.saturating_sub(log_id.index))
    }

    /// Ends a joint configuration that a leader left behind.
    async fn complete(&self) -> Result<(), MembershipError> {
        let membership = self.membership();
        match membership.get_joint_config().as_slice() {
            [_, after] => self.change(ChangeMembers::ReplaceAllVoters(after.clone())).await,
            _ => Ok(()),
        }
    }

    async fn change(&self, change: ChangeMembers<u64, BasicNode>) -> Result<(), MembershipError> {
        let changed = self.group.raft.change_membership(change, openraft_retain());
        match tokio::time::timeout(PATIENCE, changed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(match error {
                ClientWriteError::ForwardToLeader(_) => MembershipError::NotLeader,
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                    MembershipError::InProgress
                }
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::EmptyMembership(_)) => {
                    MembershipError::NoVoter
                }
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(missing)) => {
                    NodeId::new(missing.node_id).map_or(MembershipError::NoVoter, MembershipError::NotAMember)
                }
            }),
            Ok(Err(RaftError::Fatal(fatal))) => Err(MembershipError::StorageFailed(Arc::new(fatal))),
            Err(_) => Err(MembershipError::Unavailable(Unavailable::TimedOut)),
        }
    }
}

/// Who no longer votes stays as a learner, until it is removed.
const fn openraft_retain() -> bool {
    true
}

/// Follows the membership until Raft stops.
pub(super) async fn follow(group: Group, members: watch::Sender<Members>) {
    let mut metrics = group.raft.server_metrics();
    loop {
        let present = Members::of(metrics.borrow_and_update().membership_config.membership());
        members.send_if_modified(|known| {
            let is_new = *known != present;
            *known = present;
            is_new
        });
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_members_a_few_are_told_with_all_voters_among_them() {
        let node = |number| NodeId::new(number).expect("a node");
        let members =
            (1..=20).map(|number| (node(number), Member { node: node(number), address: String::new() }));
        let members = Members { members: members.collect(), voters: BTreeSet::from([node(19), node(20)]) };
        let told: Vec<_> = members.voters_first().map(|member| member.node.get()).collect();
        assert_eq!(told[..3], [19, 20, 1]);
        assert_eq!(told.len(), 20);
    }
}
