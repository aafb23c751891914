//! I1: one leader per term (Raft, election safety). A term of openraft is the pair of number and node: a node
//! with a higher id may win an election of the same number, one with a lower id never (`LeaderId` 0.9).

use std::collections::BTreeMap;

use cluster::Role;

use super::Seen;
use crate::world::World;

/// Who led last, by the number of the term.
#[derive(Default)]
pub(crate) struct OneLeaderPerTerm(BTreeMap<u64, Vec<u64>>);

impl OneLeaderPerTerm {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        if seen.status.role != Role::Leader {
            return;
        }
        let leaders = self.0.entry(seen.status.term).or_default();
        if leaders.contains(&seen.node) {
            return;
        }
        if leaders.iter().any(|before| *before > seen.node) {
            world.violated("I1", format!("{} leads term {} after {leaders:?}", seen.node, seen.status.term));
        }
        leaders.push(seen.node);
        world.count("terms with a leader", 1);
    }
}
