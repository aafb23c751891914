//! What a leader that starts again does first.

use openraft::Vote;
use proto::identity::NodeId;

use super::super::StorageError;
use super::super::encoding::Stored;
use super::super::engine::Durability;
use super::{LogStore, VOTE, read};

impl LogStore {
    /// Gives up the leadership that `node` had when it stopped, so that it has to be elected anew. openraft
    /// would go on as leader of the same term, with reads that do not wait for entries which were acknowledged
    /// before the stop and whose commit it does not know of yet (0.9.25, `Engine::startup`). Safe: the term
    /// stays, nothing is written under it any more, and an election raises it. Blocks.
    pub(crate) fn step_down(&self, node: NodeId) -> Result<(), StorageError> {
        match read::<Vote<u64>>(&self.log.reader()?, VOTE)? {
            Some(vote) if vote.committed && vote.leader_id.node_id == node.get() => {
                let vote = Vote { committed: false, ..vote };
                self.log.write([(VOTE.to_vec(), Some(vote.encode()))], Durability::Now)
            }
            _ => Ok(()),
        }
    }
}
