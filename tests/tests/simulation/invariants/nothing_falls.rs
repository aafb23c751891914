//! I5: terms never fall, also over a crash; the applied index never falls while a node runs.

use std::collections::BTreeMap;

use cluster::Role;

use super::Seen;
use crate::world::World;

/// By node: its life, its term, what it had applied.
#[derive(Default)]
pub(crate) struct NothingFalls(BTreeMap<u64, (u64, u64, u64)>);

impl NothingFalls {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        if seen.status.role == Role::Stopped {
            return;
        }
        let now = (seen.life, seen.status.term, seen.applied.index);
        let before = self.0.insert(seen.node, now).unwrap_or((0, 0, 0));
        if now.1 < before.1 {
            world.violated(
                "I5",
                format!("the term of node {} fell from {} to {}", seen.node, before.1, now.1),
            );
        }
        if now.0 == before.0 && now.2 < before.2 {
            world.violated("I5", format!("node {} had applied {}, now {}", seen.node, before.2, now.2));
        }
    }
}
