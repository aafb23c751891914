//! I1: one leader per term (Raft, election safety). A term of openraft is the pair of number and node: a node
//! with a higher id may win an election of the same number, one with a lower id never (`LeaderId` 0.9). But the
//! lower one may have won first and hear of it later: it stood in that term already when the higher one led.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Role;

use super::Seen;
use crate::world::World;

/// By the number of the term.
#[derive(Default)]
pub(crate) struct OneLeaderPerTerm {
    terms: BTreeMap<u64, Term>,
    /// The term that each node was seen in last.
    of_nodes: BTreeMap<u64, u64>,
}

#[derive(Default)]
struct Term {
    leaders: Vec<u64>,
    /// Who was in it when its first leader was seen.
    was_in_it: BTreeSet<u64>,
}

impl OneLeaderPerTerm {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        let (node, number) = (seen.node, seen.status.term);
        self.of_nodes.insert(node, number);
        if seen.status.role != Role::Leader {
            return;
        }
        let in_it = self.of_nodes.iter().filter(|(_, term)| **term == number).map(|(node, _)| *node);
        let first = || Term { leaders: Vec::new(), was_in_it: in_it.collect() };
        let term = self.terms.entry(number).or_insert_with(first);
        if term.leaders.contains(&node) {
            return;
        }
        if term.leaders.iter().any(|before| *before > node) && !term.was_in_it.contains(&node) {
            world.violated("I1", format!("{node} leads term {number} after {:?}", term.leaders));
        }
        term.leaders.push(node);
        world.count("terms with a leader", 1);
    }
}
