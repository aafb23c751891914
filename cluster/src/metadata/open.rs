//! Opening: directory, Raft, leadership, tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster_core::level::Levels;
use openraft::BasicNode;
use openraft::error::Fatal;
use proto::identity::NodeId;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::leader::Group;
use super::membership::{Changes, Members};
use super::{Cause, Inner, Metadata, ReadError, membership, propose, read, status};
use crate::environment;
use crate::raft::transport::Link;
use crate::raft::{Answers, Elections, HandOver, Incoming, LogLimits, Network, Raft};
use crate::storage::{Directory, DirectoryError, Outgoing, Release};

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Makes a group of one, unless the directory already belongs to a group.
    Found,
    /// Waits to be added to a group, unless the directory already belongs to one.
    Join,
    /// Goes on in the group that the directory belongs to.
    Resume,
}

/// Settings of the metadata on this node.
#[derive(Clone, Debug)]
pub struct MetadataConfig {
    /// Directory of its files; created if it is not there.
    pub dir: PathBuf,
    /// This node.
    pub node: NodeId,
    /// Where others reach it; what a group of one writes down for its founder.
    pub address: String,
    /// How long to wait for a leader at start.
    pub start_timeout: Duration,
    /// Most memory for pages of the state, bytes.
    pub cache_bytes: usize,
    /// Commands that add something are refused while less than this is free on the directory's volume,
    /// bytes, so that deleting goes on. `None`: a fortieth of the volume, at most 32 MiB; blobs leave more.
    pub reserve_bytes: Option<u64>,
    /// Entries after which the state is made durable and older entries may go.
    pub entries_per_snapshot: u64,
    /// What this release speaks, beyond which it takes no entry.
    pub levels: Levels,
    /// Entries that stay behind that, for nodes that were away shortly.
    pub entries_kept: u64,
}

impl MetadataConfig {
    /// The defaults: this release, no address, 10 s, 64 MiB, the usual reserve, 1000 and 4000 entries.
    pub fn new(dir: impl Into<PathBuf>, node: NodeId) -> Self {
        Self {
            dir: dir.into(),
            node,
            address: String::new(),
            start_timeout: Duration::from_secs(10),
            cache_bytes: 64 << 20,
            reserve_bytes: None,
            entries_per_snapshot: 1000,
            entries_kept: 4000,
            levels: Levels::OWN,
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

pub(super) async fn open(config: MetadataConfig, link: Link, start: Start) -> Result<Metadata, OpenError> {
    let MetadataConfig { dir, node, cache_bytes, start_timeout, .. } = config.clone();
    let directory = {
        let dir = dir.clone();
        let opening = environment::blocking(move || open_directory(dir, node, cache_bytes));
        opening.await.map_err(|error| OpenError::Failed(Arc::new(error)))??
    };
    let metadata = assemble(&config, directory, link).await?;
    let outcome = tokio::time::timeout(start_timeout, begin(&metadata, &config, start)).await;
    match outcome {
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

/// Starts Raft and all that runs beside it.
async fn assemble(config: &MetadataConfig, directory: Directory, link: Link) -> Result<Metadata, OpenError> {
    let Directory { log, mut state } = directory;
    state.release = Release::new(config.levels);
    let MetadataConfig { dir, node, reserve_bytes, entries_per_snapshot, entries_kept, .. } = config.clone();
    let (outgoing, hand_over) = (state.outgoing(), HandOver::default());
    let network = Network {
        link: link.clone(),
        log: log.clone(),
        outgoing: outgoing.clone(),
        hand_over: hand_over.clone(),
    };
    let settings = crate::raft::config(LogLimits { entries_per_snapshot, entries_kept });
    let raft = Raft::new(node.get(), settings, network, log.clone(), state.clone())
        .await
        .map_err(|error| OpenError::Failed(Arc::new(error)))?;
    let group = Group { node, raft: raft.clone(), link: link.clone(), state: state.clone() };
    let incoming = Incoming::new(dir.clone());
    let answers = Answers { node: node.get(), state: state.clone(), incoming: incoming.clone(), hand_over };
    let mut beats = JoinSet::new();
    let elections = Elections { node: node.get(), raft: raft.clone(), link, log: log.clone() };
    beats.spawn(elections.run());
    let (sender, members) = watch::channel(Members::default());
    beats.spawn(membership::follow(group.clone(), sender));
    let counters = Arc::new(status::Counters::default());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(expire(outgoing.clone(), incoming, stop.clone()));
    let batcher =
        propose::Batcher::new(group.clone(), log.clone(), outgoing, dir.clone(), reserve_bytes, &counters);
    let proposals = batcher.start(&mut tasks, &stop);
    let reads = read::start(group.clone(), &mut tasks, &stop);
    let changes = Changes::new(group.clone());
    let (tasks, beats) = (Mutex::new(tasks), Mutex::new(beats));
    let inner = Inner {
        dir,
        group,
        log,
        state,
        answers,
        proposals,
        reads,
        changes,
        members,
        counters,
        stop,
        tasks,
        beats,
    };
    Ok(Metadata { inner: Arc::new(inner) })
}

/// Lets go of snapshots that stand still.
async fn expire(outgoing: Outgoing, incoming: Incoming, stop: CancellationToken) {
    /// How often that is looked at.
    const PERIOD: Duration = Duration::from_secs(15);
    let expiring = async {
        loop {
            tokio::time::sleep(PERIOD).await;
            outgoing.expire();
            incoming.expire();
        }
    };
    let _ = stop.run_until_cancelled(expiring).await;
}

fn open_directory(dir: PathBuf, node: NodeId, cache_bytes: usize) -> Result<Directory, OpenError> {
    let directory = Directory::open(&dir, cache_bytes)?;
    match directory.log.owner() {
        None => directory.log.set_owner(node).map_err(DirectoryError::from)?,
        Some(owner) if owner == node.get() => {}
        Some(found) => return Err(OpenError::OtherNode { dir, found }),
    }
    directory.log.step_down(node).map_err(DirectoryError::from)?;
    Ok(directory)
}

/// Makes the group of one if this is its first start. In a group of one it returns when the state is current.
async fn begin(metadata: &Metadata, config: &MetadataConfig, start: Start) -> Result<(), Cause> {
    let raft = &metadata.inner.group.raft;
    let is_member = raft.is_initialized().await.map_err(|fatal| Arc::new(fatal) as Cause)?;
    if !is_member {
        if start != Start::Found {
            return Ok(());
        }
        let founder = BasicNode { addr: config.address.clone() };
        let members = BTreeMap::from([(config.node.get(), founder)]);
        raft.initialize(members).await.map_err(|error| Arc::new(error) as Cause)?;
    }
    let voters: Vec<_> = raft.metrics().borrow().membership_config.voter_ids().collect();
    if voters == [config.node.get()] || !is_member { lead(metadata).await } else { Ok(()) }
}

async fn lead(metadata: &Metadata) -> Result<(), Cause> {
    let raft = &metadata.inner.group.raft;
    loop {
        let led = raft.wait(None).metrics(|metrics| metrics.current_leader.is_some(), "a leader").await;
        let confirmed = metadata.inner.reads.confirm().await;
        match (led, confirmed) {
            (Ok(_), Ok(_)) => return Ok(()),
            (_, Err(ReadError::StorageFailed(cause))) => return Err(cause),
            (Err(_), _) => return Err(Arc::new(Fatal::<u64>::Stopped)),
            // Leadership may still come, or come back.
            (Ok(_), Err(ReadError::Unavailable(_))) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
