//! Who should vote: one change of the voters at a time, or none.
//!
//! Sizes: one node votes alone. Of two, both vote: either one's failure then stops writes, but with a single
//! voter the loss of that one disk would lose what was acknowledged, and no loss of one disk may (consistency
//! promise 17). Three or four nodes have 3 voters, more have 5; a fourth or sixth voter would only make
//! majorities larger. Of 5 of which only 3 are well, 3 are left: they then survive one more failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::identity::{NodeId, Region, Zone};

use crate::record::{NodeKind, NodeRecord, NodeState, VoterPin};

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub node: NodeId,
    /// Where it fails with others.
    pub place: (Region, Zone),
    /// Edges never vote.
    pub kind: NodeKind,
    /// Only active nodes become voters.
    pub state: NodeState,
    /// A person's word.
    pub pin: Option<VoterPin>,
    /// Whether it votes now.
    pub vote: Vote,
    /// For how long the leader has not heard from it, milliseconds; 0 for a node that is well.
    pub away_ms: u64,
}

/// Part of a node in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vote {
    /// It votes.
    Voter,
    /// It follows closely enough to vote at once.
    CaughtUp,
    /// It follows from far behind.
    Behind,
}

impl Standing {
    /// From the node's record and what the leader saw.
    pub fn new(node: NodeId, record: &NodeRecord, vote: Vote, away_ms: u64) -> Self {
        let place = (record.region.clone(), record.zone.clone());
        Self { node, place, kind: record.kind, state: record.state, pin: record.pin, vote, away_ms }
    }

    /// A member of the group that has no record any more.
    pub fn removed(node: NodeId, place: (Region, Zone), vote: Vote) -> Self {
        Self { node, place, kind: NodeKind::Full, state: NodeState::Lost, pin: None, vote, away_ms: 0 }
    }

    fn may_vote(&self) -> bool {
        self.kind == NodeKind::Full
            && self.state == NodeState::Active
            && self.pin != Some(VoterPin::Never)
            && self.vote != Vote::Behind
    }

    /// A voter that is away only for a moment is well; whoever is not a voter yet must be here.
    fn is_well(&self, grace_ms: u64) -> bool {
        self.away_ms <= if self.vote == Vote::Voter { grace_ms } else { 0 }
    }
}

/// The next change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The voters are as they should be, or as good as they can be now.
    Keep,
    /// One voter more.
    Promote {
        /// Who.
        node: NodeId,
        /// Why.
        reason: Reason,
    },
    /// One voter less; it follows on.
    Demote {
        /// Who.
        node: NodeId,
        /// Why.
        reason: Reason,
    },
    /// One voter for another in one change, so that the group is never smaller in between.
    Replace {
        /// Who votes no longer.
        demote: NodeId,
        /// Who votes instead.
        promote: NodeId,
        /// Why.
        reason: Reason,
    },
}

/// Why voters change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The cluster is large enough for more.
    MoreNodes,
    /// The cluster is too small for so many, or too many of them are away.
    FewerNodes,
    /// A person pinned a node.
    Pinned,
    /// The voter is drained, lost, an edge, or not known.
    NotToVote,
    /// The voter was away for longer than the grace.
    Away,
    /// Another zone has no voter yet.
    Zones,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoreNodes => "the cluster has nodes for more voters",
            Self::FewerNodes => "the cluster has too few nodes that are well for so many voters",
            Self::Pinned => "a person decided on it",
            Self::NotToVote => "the voter is drained, lost or removed",
            Self::Away => "the voter was away for too long",
            Self::Zones => "the voters should be in more zones",
        })
    }
}

/// The next change of the voters. `grace_ms`: for how long a voter may be away before another takes its
/// place.
pub fn choose(nodes: &[Standing], grace_ms: u64) -> Plan {
    let nodes: BTreeMap<NodeId, &Standing> = nodes.iter().map(|standing| (standing.node, standing)).collect();
    let target = target(&nodes, grace_ms);
    // With nobody to vote there is nothing to do that would help.
    if target.is_empty() {
        return Plan::Keep;
    }
    let voters: BTreeSet<NodeId> =
        nodes.values().filter(|node| node.vote == Vote::Voter).map(|node| node.node).collect();
    let joining = target.difference(&voters).find_map(|node| nodes.get(node));
    // The worst goes first: who must not vote, then who is away.
    let leaving = voters
        .difference(&target)
        .filter_map(|node| nodes.get(node))
        .min_by_key(|node| (node.may_vote(), node.is_well(grace_ms), node.node));
    match (joining, leaving) {
        (None, None) => Plan::Keep,
        (Some(joining), None) => Plan::Promote { node: joining.node, reason: why_promote(joining) },
        (None, Some(leaving)) => Plan::Demote { node: leaving.node, reason: why_demote(leaving, grace_ms) },
        (Some(joining), Some(leaving)) => {
            let reason = match why_demote(leaving, grace_ms) {
                Reason::FewerNodes if joining.pin == Some(VoterPin::Always) => Reason::Pinned,
                Reason::FewerNodes => Reason::Zones,
                reason => reason,
            };
            Plan::Replace { demote: leaving.node, promote: joining.node, reason }
        }
    }
}

fn why_promote(joining: &Standing) -> Reason {
    if joining.pin == Some(VoterPin::Always) { Reason::Pinned } else { Reason::MoreNodes }
}

fn why_demote(leaving: &Standing, grace_ms: u64) -> Reason {
    if leaving.pin == Some(VoterPin::Never) {
        Reason::Pinned
    } else if !leaving.may_vote() {
        Reason::NotToVote
    } else if !leaving.is_well(grace_ms) {
        Reason::Away
    } else {
        Reason::FewerNodes
    }
}

/// Who should vote in the end.
fn target(nodes: &BTreeMap<NodeId, &Standing>, grace_ms: u64) -> BTreeSet<NodeId> {
    // Who is away does not become a voter, and does not make the group look larger.
    let is_usable =
        |node: &&Standing| node.may_vote() && (node.vote == Vote::Voter || node.is_well(grace_ms));
    let mut rest: Vec<&Standing> = nodes.values().copied().filter(is_usable).collect();
    let well = rest.iter().filter(|node| node.is_well(grace_ms)).count();
    let size = match rest.len() {
        few @ 0..=2 => few,
        3 | 4 => 3,
        _ if well == 3 => 3,
        _ => 5,
    };
    let mut target = BTreeSet::new();
    let mut places = Vec::new();
    while target.len() < size {
        let crowd = |node: &Standing| places.iter().filter(|place| **place == &node.place).count();
        let best = rest.iter().enumerate().min_by_key(|(_, node)| {
            let is_pinned = node.pin == Some(VoterPin::Always);
            let votes = node.vote == Vote::Voter;
            (!node.is_well(grace_ms), !is_pinned, crowd(node), !votes, node.node)
        });
        let Some((at, _)) = best else { break };
        let chosen = rest.remove(at);
        places.push(&chosen.place);
        target.insert(chosen.node);
    }
    target
}

#[cfg(test)]
#[path = "voters_test.rs"]
mod tests;
