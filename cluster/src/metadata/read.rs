//! Current reads: one confirmation serves all readers that waited for it.
//!
//! A reader is answered only by a round that began after it asked (read index, promise 2); leases by clock
//! are not used. The leader confirms with a quorum; every other node asks the leader for the index and waits
//! until its own state has it.

use std::sync::Arc;
use std::time::Duration;

use cluster_core::state::StateError;
use openraft::error::{Fatal, RaftError};
use openraft::metrics::WaitError;
use proto::wire::raft as wire;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{ReplyKind, RequestKind};
use super::leader::{Group, Leader};
use super::{Cause, Unavailable};
use crate::raft::transport::Member;
use crate::storage::StorageError;

/// Most readers that wait to be seen by the next round.
const WAITING: usize = 4096;
/// How long a reader waits, and a round takes. Without a quorum readers are refused within 2 s.
const PATIENCE: Duration = Duration::from_millis(1800);
/// How long the leader may take to tell an index before it is asked again, or another one is.
const ASKING: Duration = Duration::from_millis(700);

/// Why there is no current view.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Try again, here or at another node.
    #[error("the metadata cannot be read just now: {0}")]
    Unavailable(Unavailable),
    /// This node's storage failed; it stays unusable until the process starts anew.
    #[error("the metadata storage of this node failed")]
    StorageFailed(#[source] Cause),
}

impl From<StateError<StorageError>> for ReadError {
    fn from(error: StateError<StorageError>) -> Self {
        Self::StorageFailed(Arc::new(error))
    }
}

/// The index whose state holds all that was acknowledged before the question; this node has applied it.
type Confirmed = Result<u64, ReadError>;

type Waiter = oneshot::Sender<Confirmed>;

/// Where readers wait.
#[derive(Clone, Debug)]
pub(super) struct Queue(mpsc::Sender<Waiter>);

impl Queue {
    /// Returns when this node's state holds all that was acknowledged before the call. Cancel safe.
    pub(super) async fn confirm(&self) -> Confirmed {
        let (waiter, confirmed) = oneshot::channel();
        let round = async {
            let stopping = ReadError::Unavailable(Unavailable::Stopping);
            self.0.send(waiter).await.map_err(|_| stopping.clone())?;
            confirmed.await.map_err(|_| stopping)?
        };
        let timed_out = |_| ReadError::Unavailable(Unavailable::TimedOut);
        tokio::time::timeout(PATIENCE, round).await.map_err(timed_out)?
    }
}

/// Starts the task that confirms, until `stop`.
pub(super) fn start(group: Group, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Queue {
    let (sender, mut waiting) = mpsc::channel(WAITING);
    let stop = stop.clone();
    tasks.spawn(async move {
        let _ = stop.run_until_cancelled(run(group, &mut waiting)).await;
    });
    Queue(sender)
}

async fn run(group: Group, waiting: &mut mpsc::Receiver<Waiter>) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, WAITING).await > 0 {
        let confirmed = confirm(&group).await;
        for waiter in round.drain(..) {
            // The reader may have gone, which is its right.
            let _ = waiter.send(confirmed.clone());
        }
    }
}

async fn confirm(group: &Group) -> Confirmed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let confirmed = match group.leader() {
            Leader::Here => here(group, deadline).await,
            Leader::There(leader) => there(group, &leader, deadline).await,
            Leader::Unknown => None,
        };
        if let Some(confirmed) = confirmed {
            return confirmed;
        }
        if !group.pause(deadline).await {
            let stopped = group.raft.metrics().borrow().running_state.clone().err();
            return Err(stopped.map_or(ReadError::Unavailable(Unavailable::NoLeader), failure));
        }
    }
}

/// `None`: not now.
async fn here(group: &Group, deadline: Instant) -> Option<Confirmed> {
    match tokio::time::timeout_at(deadline, group.raft.ensure_linearizable()).await {
        Ok(Ok(log_id)) => Some(Ok(log_id.map_or(0, |log_id| log_id.index))),
        Ok(Err(RaftError::Fatal(fatal))) => Some(Err(failure(fatal))),
        Ok(Err(RaftError::APIError(_))) | Err(_) => None,
    }
}

/// `None`: not now.
async fn there(group: &Group, leader: &Member, deadline: Instant) -> Option<Confirmed> {
    let patience = deadline.saturating_duration_since(Instant::now()).min(ASKING);
    let asked = group.ask(leader, RequestKind::ReadIndex(wire::ReadIndex {}), patience).await;
    let Ok(ReplyKind::ReadIndex(wire::ReadIndexReply { index })) = asked else { return None };
    let patience = deadline.saturating_duration_since(Instant::now());
    let applied = group.raft.wait(Some(patience)).applied_index_at_least(Some(index), "a read index").await;
    match applied {
        Ok(_) => Some(Ok(index)),
        Err(WaitError::Timeout(..)) => Some(Err(ReadError::Unavailable(Unavailable::TimedOut))),
        Err(WaitError::ShuttingDown) => None,
    }
}

fn failure(fatal: Fatal<u64>) -> ReadError {
    match fatal {
        Fatal::Stopped => ReadError::Unavailable(Unavailable::Stopping),
        fatal => ReadError::StorageFailed(Arc::new(fatal)),
    }
}
