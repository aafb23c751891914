//! Opening: directory, Raft, leadership, tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::BasicNode;
use openraft::error::Fatal;
use proto::identity::NodeId;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Cause, Inner, Metadata, ReadError, propose, read, status};
use crate::raft::{self, NoPeers, Raft};
use crate::storage::{Directory, DirectoryError};

/// Settings of the metadata on this node.
#[derive(Clone, Debug)]
pub struct MetadataConfig {
    /// Directory of its files; created if it is not there.
    pub dir: PathBuf,
    /// This node.
    pub node: NodeId,
    /// How long to wait for a leader at start.
    pub start_timeout: Duration,
    /// Most memory for pages of the state, bytes.
    pub cache_bytes: usize,
    /// Commands that add something are refused while less than this is free on the directory's volume,
    /// bytes, so that deleting goes on. `None`: a fortieth of the volume, at most 32 MiB; blobs leave more.
    pub reserve_bytes: Option<u64>,
}

impl MetadataConfig {
    /// The defaults: 10 s, 64 MiB, the usual reserve.
    pub fn new(dir: impl Into<PathBuf>, node: NodeId) -> Self {
        Self {
            dir: dir.into(),
            node,
            start_timeout: Duration::from_secs(10),
            cache_bytes: 64 << 20,
            reserve_bytes: None,
        }
    }
}

/// Why the metadata cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory is another node's.
    #[error("{} belongs to node {found:x}: give each node a directory of its own", .dir.display())]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: u64,
    },
    /// Raft could not go on with what it found, for example an entry of a newer release.
    #[error("the metadata cannot be brought up to date")]
    Failed(#[source] Cause),
    /// No leader in time.
    #[error("no leader of the metadata within {} s", .0.as_secs())]
    NoLeader(Duration),
}

pub(super) async fn open(config: MetadataConfig) -> Result<Metadata, OpenError> {
    let MetadataConfig { dir, node, start_timeout, cache_bytes, reserve_bytes } = config;
    let directory = {
        let dir = dir.clone();
        let opening = tokio::task::spawn_blocking(move || open_directory(dir, node, cache_bytes));
        opening.await.map_err(|error| OpenError::Failed(Arc::new(error)))??
    };
    let Directory { log, state } = directory;
    let raft = Raft::new(node.get(), raft::config(), NoPeers, log.clone(), state.clone())
        .await
        .map_err(|error| OpenError::Failed(Arc::new(error)))?;
    let counters = Arc::new(status::Counters::default());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let batcher = propose::Batcher::new(raft.clone(), log.clone(), dir.clone(), reserve_bytes, &counters);
    let proposals = batcher.start(&mut tasks, &stop);
    let reads = read::start(raft.clone(), &mut tasks, &stop);
    let tasks = Mutex::new(tasks);
    let metadata = Metadata {
        inner: Arc::new(Inner { dir, raft, log, state, proposals, reads, counters, stop, tasks }),
    };
    match tokio::time::timeout(start_timeout, lead(&metadata, node)).await {
        Ok(Ok(())) => Ok(metadata),
        Ok(Err(cause)) => {
            metadata.shutdown(start_timeout).await;
            Err(OpenError::Failed(cause))
        }
        Err(_) => {
            metadata.shutdown(start_timeout).await;
            Err(OpenError::NoLeader(start_timeout))
        }
    }
}

fn open_directory(dir: PathBuf, node: NodeId, cache_bytes: usize) -> Result<Directory, OpenError> {
    let directory = Directory::open(&dir, cache_bytes)?;
    match directory.log.owner().map_err(DirectoryError::from)? {
        None => directory.log.set_owner(node).map_err(DirectoryError::from)?,
        Some(owner) if owner == node.get() => {}
        Some(found) => return Err(OpenError::OtherNode { dir, found }),
    }
    Ok(directory)
}

/// Makes the group of one at the first start; returns when the state is current.
async fn lead(metadata: &Metadata, node: NodeId) -> Result<(), Cause> {
    let raft = &metadata.inner.raft;
    if !raft.is_initialized().await.map_err(|fatal| Arc::new(fatal) as Cause)? {
        let members = BTreeMap::from([(node.get(), BasicNode::default())]);
        raft.initialize(members).await.map_err(|error| Arc::new(error) as Cause)?;
    }
    loop {
        let led = raft.wait(None).metrics(|metrics| metrics.current_leader.is_some(), "a leader").await;
        let confirmed = metadata.inner.reads.confirm().await;
        match (led, confirmed) {
            (Ok(_), Ok(())) => return Ok(()),
            (_, Err(ReadError::StorageFailed(cause))) => return Err(cause),
            (Err(_), _) => return Err(Arc::new(Fatal::<u64>::Stopped)),
            // Leadership may still come, or come back.
            (Ok(_), Err(ReadError::Unavailable(_))) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
