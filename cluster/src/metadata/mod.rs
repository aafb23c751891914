//! The handle to the metadata that the rest of the node holds: propose, read, status.
//!
//! Owns the start and the end of the Raft node and the two tasks beside it: `propose` groups commands into
//! entries, `read` lets many readers share one confirmation that this node's state is current.

mod open;
mod propose;
mod read;
mod status;

use std::sync::Arc;
use std::time::Duration;

use cluster_core::command::{Command, Response};
use cluster_core::state;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::open::{MetadataConfig, OpenError};
pub use self::propose::ProposeError;
pub use self::read::ReadError;
pub use self::status::Status;
use crate::raft::Raft;
use crate::storage::{LogStore, StateReader, StateStore};

/// The metadata of the cluster, as this node takes part in it. Clones share it.
#[derive(Clone, Debug)]
pub struct Metadata {
    inner: Arc<Inner>,
}

struct Inner {
    dir: std::path::PathBuf,
    raft: Raft,
    log: LogStore,
    state: StateStore,
    proposals: propose::Queue,
    reads: read::Queue,
    counters: Arc<status::Counters>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Why the metadata cannot be used just now; another try may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No leader is known, or it is not this node.
    #[error("no leader")]
    NoLeader,
    /// This node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Too much waits already.
    #[error("too many requests wait")]
    Overloaded,
    /// Nothing came of it in time; a command may still take effect.
    #[error("no answer in time")]
    TimedOut,
}

/// Why the storage failed, shared by all who waited for it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

impl Metadata {
    /// Opens the directory, or creates it, and takes part in the group; the first start makes a group of
    /// one. Returns once commands and current reads are possible and all that was acknowledged is applied.
    ///
    /// # Errors
    /// The directory cannot be used, or there was no leader within `start_timeout`.
    pub async fn open(config: MetadataConfig) -> Result<Self, OpenError> {
        open::open(config).await
    }

    /// Commits one command and applies it; the answer says what became of it.
    ///
    /// Dropping the future is safe, but the command may take effect all the same; so it may after
    /// [`Unavailable::TimedOut`].
    ///
    /// # Errors
    /// See [`ProposeError`]. A refusal by the state is a [`Response`], not an error.
    pub async fn propose(&self, command: Command) -> Result<Response, ProposeError> {
        let answer = self.inner.proposals.propose(Some(command)).await?;
        // A command always has an answer of its own; only a tick has none.
        answer.ok_or(ProposeError::Unavailable(Unavailable::Stopping))
    }

    /// Moves log time on to this node's clock without changing anything else. Cancel safe.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn tick(&self) -> Result<(), ProposeError> {
        self.inner.proposals.propose(None).await.map(drop)
    }

    /// A view that holds every write acknowledged, by any node, before the call. Cancel safe.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self) -> Result<StateReader, ReadError> {
        self.inner.reads.confirm().await?;
        self.local()
    }

    /// A view of what this node has applied, which may be behind.
    ///
    /// # Errors
    /// [`ReadError::StorageFailed`].
    pub fn local(&self) -> Result<StateReader, ReadError> {
        self.inner.state.reader().map_err(|error| ReadError::StorageFailed(Arc::new(error)))
    }

    /// Log time of the state that this node has applied, milliseconds since 1970; 0 before the first entry.
    ///
    /// # Errors
    /// [`ReadError::StorageFailed`].
    pub fn applied_log_time(&self) -> Result<u64, ReadError> {
        state::log_time(&self.local()?).map_err(|error| ReadError::StorageFailed(Arc::new(error)))
    }

    /// How the group and this node's part of it are doing. Makes a few system calls.
    pub fn status(&self) -> Status {
        status::status(&self.inner)
    }

    /// Stops taking part: commands and reads fail from now on, what was acknowledged stays. The files are
    /// closed when the last clone and the last reader are gone. Not cancel safe.
    ///
    /// Returns whether everything stopped within `deadline`; if not, the rest is abandoned, which loses
    /// nothing acknowledged either.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.inner.stop.cancel();
        let stopping = async {
            let mut tasks = self.inner.tasks.lock().await;
            while tasks.join_next().await.is_some() {}
            let raft = self.inner.raft.shutdown().await;
            let state = self.inner.state.clone();
            // What is not on disk yet is in the log; this only makes the next start quicker.
            let synced = tokio::task::spawn_blocking(move || state.sync()).await;
            raft.is_ok() && matches!(synced, Ok(Ok(())))
        };
        tokio::time::timeout(deadline, stopping).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod metadata_test;
