//! I1: one leader per term (Raft, election safety).

use std::collections::BTreeMap;

use cluster::Role;

use super::Seen;
use crate::world::World;

#[derive(Default)]
pub(crate) struct OneLeaderPerTerm(BTreeMap<u64, u64>);

impl OneLeaderPerTerm {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        if seen.status.role != Role::Leader {
            return;
        }
        let leader = *self.0.entry(seen.status.term).or_insert_with(|| {
            world.count("terms with a leader", 1);
            seen.node
        });
        if leader != seen.node {
            world.violated("I1", format!("{leader} and {} lead term {}", seen.node, seen.status.term));
        }
    }
}
