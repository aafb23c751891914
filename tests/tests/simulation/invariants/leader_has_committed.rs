//! I4: later leaders hold all committed entries: the log of a leader reaches what was applied anywhere in
//! earlier terms.

use cluster::Role;

use super::Seen;
use crate::world::World;

/// The latest entry applied anywhere: term and index.
#[derive(Default)]
pub(crate) struct LeaderHasCommitted(u64, u64);

impl LeaderHasCommitted {
    pub(crate) fn check(&mut self, world: &World, seen: &Seen) {
        if seen.applied.index > self.1 {
            (self.0, self.1) = (seen.applied.term, seen.applied.index);
        }
        let status = &seen.status;
        if status.role == Role::Leader && status.term > self.0 && status.last_log_index < self.1 {
            let (term, last) = (status.term, status.last_log_index);
            world.violated(
                "I4",
                format!("leader {} of term {term} ends at {last}, not {}", seen.node, self.1),
            );
        }
    }
}
