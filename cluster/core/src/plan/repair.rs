//! What one node should do so that the blobs have their copies: fetch, confirm, report, let go.
//!
//! A node looks at the records page by page and beside each page at its own files. It fetches what it should
//! have by placement, tells the cluster what its disk really has, and offers what it no longer owes once all
//! homes have theirs. Nothing here removes a file: a node unlinks only after the entry that let the copy go
//! was applied, and never when the answer still names it (consistency rules R1 and R5).

use std::collections::BTreeSet;
use std::fmt;

use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;

use super::placement::{self, Candidate};
use crate::record::{BlobRecord, REPLICAS};

/// What the plan is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The node that will act.
    pub node: NodeId,
    /// Nodes that blobs are placed on now.
    pub candidates: &'a [Candidate],
    /// Nodes that answer, from which a blob could be fetched.
    pub reachable: &'a BTreeSet<NodeId>,
    /// Log time.
    pub now_ms: u64,
    /// A page of the records (`state::blob::blobs`).
    pub blobs: &'a [(Digest, BlobRecord)],
    /// This node's whole, synced files whose digests are in the range of the page.
    pub files: &'a BTreeSet<(Digest, UploadId)>,
}

/// Bounds of a plan; what does not fit comes in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most blobs to fetch.
    pub fetches: usize,
    /// Most bytes to fetch; a single larger blob is fetched alone.
    pub bytes: u64,
    /// Most commands to propose.
    pub commands: usize,
}

/// Something to do with one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The blob.
    pub digest: Digest,
    /// Its recorded generation.
    pub generation: UploadId,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch the blob from one of these, keep it, and confirm it (`ConfirmCopies::added`).
    Fetch {
        /// Bytes.
        size: u64,
        /// Of its piece list.
        pieces_root: [u8; 32],
        /// Reachable nodes with a confirmed copy.
        from: Vec<NodeId>,
    },
    /// Check the file that is there, and confirm it (`ConfirmCopies::added`).
    Confirm,
    /// Tell that the copy is gone (`ConfirmCopies::lost`).
    ReportLost,
    /// Ask these homes once more whether they have the blob, since a record cannot know of a disk that lost
    /// it; if all have, ask to let the copy go (`ConfirmCopies::released`). The file stays until the answer.
    Release {
        /// Every home.
        to: Vec<NodeId>,
    },
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// This node is a home of the blob and has no copy.
    HomeWithoutCopy,
    /// This node has a copy that the record does not name, and is a home.
    HomeNotNamed,
    /// This node has a copy that the record does not name, and the blob has fewer than it wants.
    TooFewCopies,
    /// The record names a copy that is not on the disk.
    FileMissing,
    /// Every home has its copy, and this node is none.
    NotAHome,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HomeWithoutCopy => "this node is a home of the blob and has no copy",
            Self::HomeNotNamed => "this node is a home of the blob and its copy is not confirmed",
            Self::TooFewCopies => "the blob has too few copies and there is one here",
            Self::FileMissing => "the copy that is recorded is not on the disk",
            Self::NotAHome => "all homes of the blob have their copies, and this node is none",
        })
    }
}

/// What to do, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order: reports and confirmations first, then fetches of the blobs with the fewest copies.
    pub steps: Vec<Step>,
    /// Blobs that this node should have and that no reachable node has.
    pub without_source: Vec<Digest>,
    /// Whether the limits left something out.
    pub is_cut: bool,
}

/// The plan for one page.
pub fn next(facts: &Facts<'_>, limits: Limits) -> Plan {
    let mut plan = Plan::default();
    let mut fetches: Vec<(usize, Step)> = Vec::new();
    for (digest, record) in facts.blobs {
        // Nobody links it and its lease is over: it will be dropped.
        if record.links == 0 && record.lease_until_ms < facts.now_ms {
            continue;
        }
        let homes = placement::homes(digest, facts.candidates, REPLICAS as usize);
        let Some((action, reason)) = judge(facts, digest, record, &homes) else { continue };
        let counted = homes.iter().filter(|home| record.copies.contains(home)).count();
        let step = Step { digest: *digest, generation: record.generation, action, reason };
        match &step.action {
            Action::Fetch { from, .. } if from.is_empty() => plan.without_source.push(*digest),
            Action::Fetch { .. } => fetches.push((counted, step)),
            _ if plan.steps.len() < limits.commands => plan.steps.push(step),
            _ => plan.is_cut = true,
        }
    }
    // Stable, so the order of the digests decides between equals.
    fetches.sort_by_key(|(counted, _)| *counted);
    take_fetches(&mut plan, fetches, limits);
    plan
}

fn take_fetches(plan: &mut Plan, fetches: Vec<(usize, Step)>, limits: Limits) {
    let mut bytes = 0u64;
    for (taken, (_, step)) in fetches.into_iter().enumerate() {
        let Action::Fetch { size, .. } = step.action else { continue };
        bytes = bytes.saturating_add(size);
        if taken >= limits.fetches || (taken > 0 && bytes > limits.bytes) {
            plan.is_cut = true;
            return;
        }
        plan.steps.push(step);
    }
}

/// What this node should do about one blob.
fn judge(
    facts: &Facts<'_>,
    digest: &Digest,
    record: &BlobRecord,
    homes: &[NodeId],
) -> Option<(Action, Reason)> {
    let is_home = homes.contains(&facts.node);
    let is_named = record.copies.contains(&facts.node);
    let is_here = facts.files.contains(&(*digest, record.generation));
    let counts = |node: &&NodeId| facts.candidates.iter().any(|candidate| candidate.node == **node);
    let counted = record.copies.iter().filter(counts).count();
    let wanted = homes.len().max(1);
    match (is_named, is_here) {
        // Told before anything is fetched: others count on it.
        (true, false) => Some((Action::ReportLost, Reason::FileMissing)),
        (true, true) if !is_home && homes.iter().all(|home| record.copies.contains(home)) => {
            // Without a home there is nobody to leave it to.
            (!homes.is_empty()).then(|| (Action::Release { to: homes.to_vec() }, Reason::NotAHome))
        }
        (true, true) => None,
        (false, true) if is_home => Some((Action::Confirm, Reason::HomeNotNamed)),
        (false, true) if counted < wanted => Some((Action::Confirm, Reason::TooFewCopies)),
        (false, true) => None,
        (false, false) if is_home => {
            let has_it = |node: &NodeId| *node != facts.node && facts.reachable.contains(node);
            let from = record.copies.iter().copied().filter(has_it).collect();
            let action = Action::Fetch { size: record.size, pieces_root: record.pieces_root, from };
            Some((action, Reason::HomeWithoutCopy))
        }
        (false, false) => None,
    }
}

#[cfg(test)]
#[path = "repair_test.rs"]
mod tests;
