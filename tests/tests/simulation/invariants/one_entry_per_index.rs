//! I2 and I3: what is applied at an index is the same entry on all nodes, and stays it.

use std::collections::BTreeMap;

use super::Seen;
use crate::world::World;

#[derive(Default)]
pub(crate) struct OneEntryPerIndex(BTreeMap<u64, (u64, u64)>);

impl OneEntryPerIndex {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        let found = (seen.applied.term, seen.applied.node);
        let known = *self.0.entry(seen.applied.index).or_insert(found);
        if known != found {
            let (node, index) = (seen.node, seen.applied.index);
            world.violated("I2/I3", format!("node {node} applied {found:?} at {index}, not {known:?}"));
        }
        // Terms rise along the log.
        let before = self.0.range(..seen.applied.index).next_back().map(|(_, entry)| entry.0);
        let after = self.0.range(seen.applied.index + 1..).next().map(|(_, entry)| entry.0);
        if before.is_some_and(|before| before > found.0) || after.is_some_and(|after| after < found.0) {
            world.violated("I2/I3", format!("the term at {} does not fit", seen.applied.index));
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(index, _)| *index)
    }
}
