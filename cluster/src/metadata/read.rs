//! Current reads: one confirmation of leadership serves all readers that waited for it.
//!
//! A reader is answered only by a round that began after it asked (read index, promise 2); leases by clock
//! are not used.

use std::sync::Arc;
use std::time::Duration;

use cluster_core::state::StateError;
use openraft::error::{Fatal, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Cause, Unavailable};
use crate::raft::Raft;
use crate::storage::StorageError;

/// Most readers that wait to be seen by the next round.
const WAITING: usize = 4096;
/// How long a reader waits. Writers without a quorum are refused after 2 s, so are readers.
const PATIENCE: Duration = Duration::from_secs(2);

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

type Waiter = oneshot::Sender<Result<(), ReadError>>;

/// Where readers wait.
#[derive(Clone, Debug)]
pub(super) struct Queue(mpsc::Sender<Waiter>);

impl Queue {
    /// Returns when this node's state holds all that was acknowledged before the call. Cancel safe.
    pub(super) async fn confirm(&self) -> Result<(), ReadError> {
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
pub(super) fn start(raft: Raft, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Queue {
    let (sender, mut waiting) = mpsc::channel(WAITING);
    let stop = stop.clone();
    tasks.spawn(async move {
        let _ = stop.run_until_cancelled(run(raft, &mut waiting)).await;
    });
    Queue(sender)
}

async fn run(raft: Raft, waiting: &mut mpsc::Receiver<Waiter>) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, WAITING).await > 0 {
        let confirmed = raft.ensure_linearizable().await.map(drop).map_err(|error| match error {
            RaftError::APIError(_) => ReadError::Unavailable(Unavailable::NoLeader),
            RaftError::Fatal(Fatal::Stopped) => ReadError::Unavailable(Unavailable::Stopping),
            RaftError::Fatal(fatal) => ReadError::StorageFailed(Arc::new(fatal)),
        });
        for waiter in round.drain(..) {
            // The reader may have gone, which is its right.
            let _ = waiter.send(confirmed.clone());
        }
    }
}
