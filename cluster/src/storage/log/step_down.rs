//! What a leader that starts again does first.

use openraft::Vote;
use proto::identity::NodeId;

use super::super::StorageError;
use super::{LogStore, Record, Sync};

impl LogStore {
    /// Gives up the leadership that `node` had when it stopped, so that it has to be elected anew. openraft
    /// would go on as leader of the same term, with reads that do not wait for entries which were acknowledged
    /// before the stop and whose commit it does not know of yet (0.9.25, `Engine::startup`), and would write
    /// other entries under the indices of those that it had sent before they reached its own disk. Safe: the
    /// term stays, nothing is written under it any more, and an election raises it. Blocks.
    pub(crate) fn step_down(&self, node: NodeId) -> Result<(), StorageError> {
        match self.head().vote {
            Some(vote) if vote.committed && vote.leader_id.node_id == node.get() => {
                let vote = Vote { committed: false, ..vote };
                self.write_blocking(&[Record::Vote(vote)], Sync::Now)
            }
            _ => Ok(()),
        }
    }
}
