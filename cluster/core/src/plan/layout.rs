//! What a change of the nodes would move, before it is made.
//!
//! Looks at blobs one after the other, all of them or a sample, and compares their homes under the two
//! lists of nodes; whoever asks feeds the records page by page, so nothing is held.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::digest::Digest;
use proto::identity::NodeId;

use super::placement::{self, Candidate};
use crate::record::REPLICAS;

/// How a node's part in placement changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes a home.
    Added,
    /// It is a home no longer.
    Removed,
    /// It has another weight or zone.
    Altered,
}

/// What one node gains and loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Copies to fetch.
    pub copies_in: u64,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Copies to let go.
    pub copies_out: u64,
    /// Bytes of these.
    pub bytes_out: u64,
}

/// What moves between two lists of nodes.
#[derive(Clone, Debug)]
pub struct Diff {
    before: Vec<Candidate>,
    after: Vec<Candidate>,
    /// Blobs looked at.
    blobs: u64,
    /// Their bytes, once each.
    bytes: u64,
    moved_blobs: u64,
    nodes: BTreeMap<NodeId, Traffic>,
}

impl Diff {
    /// Starts with no blobs looked at.
    pub fn new(before: Vec<Candidate>, after: Vec<Candidate>) -> Self {
        Self { before, after, blobs: 0, bytes: 0, moved_blobs: 0, nodes: BTreeMap::new() }
    }

    /// Nodes whose part in placement changes, ordered by id.
    pub fn changes(&self) -> Vec<(NodeId, Change)> {
        let by_node = |list: &[Candidate]| -> BTreeMap<NodeId, Candidate> {
            list.iter().map(|candidate| (candidate.node, candidate.clone())).collect()
        };
        let (before, after) = (by_node(&self.before), by_node(&self.after));
        let mut changes: BTreeMap<NodeId, Change> = BTreeMap::new();
        for (node, candidate) in &before {
            match after.get(node) {
                None => drop(changes.insert(*node, Change::Removed)),
                Some(now) if now != candidate => drop(changes.insert(*node, Change::Altered)),
                Some(_) => {}
            }
        }
        let added = after.keys().filter(|node| !before.contains_key(node));
        changes.extend(added.map(|node| (*node, Change::Added)));
        changes.into_iter().collect()
    }

    /// Looks at one blob.
    pub fn look_at(&mut self, digest: &Digest, size: u64) {
        let before = placement::homes(digest, &self.before, REPLICAS as usize);
        let after = placement::homes(digest, &self.after, REPLICAS as usize);
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(size);
        let mut moved = 0;
        for node in after.iter().filter(|node| !before.contains(node)) {
            let traffic = self.nodes.entry(*node).or_default();
            traffic.copies_in += 1;
            traffic.bytes_in = traffic.bytes_in.saturating_add(size);
            moved = 1;
        }
        for node in before.iter().filter(|node| !after.contains(node)) {
            let traffic = self.nodes.entry(*node).or_default();
            traffic.copies_out += 1;
            traffic.bytes_out = traffic.bytes_out.saturating_add(size);
        }
        self.moved_blobs += moved;
    }

    /// What the blobs seen so far make of it; if they were a sample, of that sample only.
    pub fn result(&self) -> Estimate {
        Estimate {
            blobs: self.blobs,
            bytes: self.bytes,
            moved_blobs: self.moved_blobs,
            moved_bytes: self.nodes.values().fold(0, |sum, node| sum.saturating_add(node.bytes_in)),
            nodes: self.nodes.clone(),
        }
    }
}

/// How much moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Blobs looked at.
    pub blobs: u64,
    /// Their bytes, once each.
    pub bytes: u64,
    /// Blobs of which at least one copy is made.
    pub moved_blobs: u64,
    /// Bytes of all copies that are made.
    pub moved_bytes: u64,
    /// By node; those with nothing to do are left out.
    pub nodes: BTreeMap<NodeId, Traffic>,
}

impl Estimate {
    /// How long it takes if every node fetches at `bytes_per_second` at the same time: as long as the node
    /// with the most to fetch. `None` for a rate of 0.
    pub fn duration(&self, bytes_per_second: u64) -> Option<Duration> {
        let most = self.nodes.values().map(|node| node.bytes_in).max().unwrap_or(0);
        Some(Duration::from_secs(most.checked_add(bytes_per_second.checked_sub(1)?)? / bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::digest::Algorithm;

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn candidate(id: u64, zone: &str) -> Candidate {
        Candidate { node: node(id), zone: zone.parse().unwrap(), weight: 100 }
    }

    fn diff(before: Vec<Candidate>, after: Vec<Candidate>) -> Diff {
        let mut diff = Diff::new(before, after);
        for number in 0..3000u32 {
            diff.look_at(&Digest::of(Algorithm::Sha256, &number.to_be_bytes()), 10);
        }
        diff
    }

    #[test]
    fn equal_lists_move_nothing() {
        let nodes = vec![candidate(1, "a"), candidate(2, "b"), candidate(3, "c"), candidate(4, "a")];
        let diff = diff(nodes.clone(), nodes);
        assert_eq!(diff.changes(), []);
        let result = diff.result();
        assert_eq!(
            (result.blobs, result.bytes, result.moved_blobs, result.moved_bytes),
            (3000, 30_000, 0, 0)
        );
        assert_eq!(result.duration(1), Some(Duration::ZERO));
        assert_eq!(result.duration(0), None);
    }

    #[test]
    fn a_new_node_gets_its_share_and_nothing_else_moves() {
        let before = vec![candidate(1, "a"), candidate(2, "b"), candidate(3, "c")];
        let after = [before.clone(), vec![candidate(4, "a")]].concat();
        let diff = diff(before, after);
        assert_eq!(diff.changes(), [(node(4), Change::Added)]);
        let result = diff.result();
        let new = result.nodes[&node(4)];
        assert_eq!(result.nodes.keys().copied().collect::<Vec<_>>(), [node(1), node(4)]);
        assert_eq!((new.copies_in, new.copies_out), (result.moved_blobs, 0));
        assert_eq!(result.nodes[&node(1)].copies_out, new.copies_in);
        assert!((1350..1650).contains(&new.copies_in), "half of zone a: {new:?}");
        assert_eq!(result.duration(100), Some(Duration::from_secs(new.bytes_in.div_ceil(100))));
    }

    #[test]
    fn changes_are_named() {
        let heavier = Candidate { weight: 200, ..candidate(2, "b") };
        let diff = Diff::new(vec![candidate(1, "a"), candidate(2, "b")], vec![heavier, candidate(3, "c")]);
        let expected = [(node(1), Change::Removed), (node(2), Change::Altered), (node(3), Change::Added)];
        assert_eq!(diff.changes(), expected);
    }
}
