//! I6: equal applied index, equal state.

use std::collections::BTreeMap;

use super::Seen;
use crate::world::World;

#[derive(Default)]
pub(crate) struct EqualStates(BTreeMap<u64, [u8; 32]>);

impl EqualStates {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        let known = self.0.entry(seen.applied.index).or_insert(seen.hash);
        if *known != seen.hash {
            world.violated("I6", format!("node {} differs at index {}", seen.node, seen.applied.index));
        }
        world.count("states compared", u64::from(seen.is_new));
    }
}
