//! Who leads, and how to ask whoever does.

use std::time::Duration;

use openraft::ServerState;
use proto::identity::NodeId;
use tokio::time::Instant;

use super::call::{self, ReplyKind, RequestKind};
use crate::raft::Raft;
use crate::raft::transport::{Link, Member, Service, TransportError};
use crate::storage::StateStore;

/// A leader that heard of no quorum for this long does not take commands: they would pile up in its log.
const QUORUM_SILENCE: Duration = Duration::from_millis(1200);

/// This node's view of the group.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) node: NodeId,
    pub(super) raft: Raft,
    pub(super) link: Link,
    pub(super) state: StateStore,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Who leads, as far as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// This node, with a quorum.
    Here,
    /// Another node.
    There(Member),
    /// Nobody that could be asked.
    Unknown,
}

/// Why the leader did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskError {
    /// Surely nothing was done; another try may succeed.
    NotAsked,
    /// It may have been done.
    NoReply,
}

impl Group {
    pub(super) fn leader(&self) -> Leader {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        if metrics.running_state.is_err() {
            return Leader::Unknown;
        }
        match metrics.current_leader {
            Some(node) if node == self.node.get() => {
                let has_quorum = metrics
                    .millis_since_quorum_ack
                    .is_none_or(|silence| u128::from(silence) < QUORUM_SILENCE.as_millis());
                if metrics.state == ServerState::Leader && has_quorum {
                    Leader::Here
                } else {
                    Leader::Unknown
                }
            }
            Some(node) => {
                let address =
                    metrics.membership_config.membership().get_node(&node).map(|node| node.addr.clone());
                match (NodeId::new(node), address) {
                    (Some(node), Some(address)) => Leader::There(Member { node, address }),
                    _ => Leader::Unknown,
                }
            }
            None => Leader::Unknown,
        }
    }

    /// Waits a moment for the view to change. `false`: `deadline` has come, or Raft has stopped.
    pub(super) async fn pause(&self, deadline: Instant) -> bool {
        /// Between two looks; the view often changes without the leader.
        const PAUSE: Duration = Duration::from_millis(20);
        if self.raft.metrics().borrow().running_state.is_err() {
            return false;
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
        Instant::now() < deadline
    }

    /// Waits until another node leads, and a moment for the last answers of the one before: who was killed
    /// gives none, and whoever asked it should not wait for as long as for a living one.
    async fn succeeded(&self, leader: &Member) {
        const LAST_ANSWERS: Duration = Duration::from_millis(200);
        let mut metrics = self.raft.server_metrics();
        let other = |leads: Option<u64>| leads.is_some_and(|node| node != leader.node.get());
        if metrics.wait_for(|metrics| other(metrics.current_leader)).await.is_err() {
            // Raft has stopped: the request's own patience ends the wait.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LAST_ANSWERS).await;
    }

    /// One request to `leader`.
    pub(super) async fn ask(
        &self,
        leader: &Member,
        kind: RequestKind,
        patience: Duration,
    ) -> Result<ReplyKind, AskError> {
        let request = self.link.call(leader, Service::Metadata, call::request(kind), patience);
        let reply = tokio::select! {
            biased;
            reply = request => reply,
            () = self.succeeded(leader) => Err(TransportError::NoReply),
        };
        match reply {
            Ok(bytes) => match call::read_reply(&bytes) {
                Some(ReplyKind::NotLeader(_) | ReplyKind::Refused(_)) => Err(AskError::NotAsked),
                Some(reply) => Ok(reply),
                None => Err(AskError::NoReply),
            },
            Err(TransportError::Unreachable) => Err(AskError::NotAsked),
            Err(TransportError::NoReply) => Err(AskError::NoReply),
        }
    }
}
