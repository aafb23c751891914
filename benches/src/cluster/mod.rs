//! Figures of several nodes: the parts of the `cluster` tool, one file per section of its table.
//!
//! Owns every process, directory and network namespace that it makes; all are gone when their values are
//! dropped. Speaks to nodes as clients and operators do. Never judges: a target stands beside its figure.

pub mod etcd;
pub mod failover;
pub mod grpc;
pub mod network;
pub mod process;
pub mod shoal;
pub mod swarm;
pub mod table;
pub mod transfer;
pub mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// How much is measured: the full figures, or small sizes that show that all works.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Seconds of one timed run of writes.
    pub seconds: u64,
    /// Rounds of what is repeated to see its spread.
    pub rounds: u64,
    /// How often a leader is killed.
    pub kills: u64,
    /// How often a leader is stopped gracefully, and how often etcd's is killed and stopped.
    pub stops: u64,
    /// Bytes of a large blob.
    pub blob: u64,
    /// Bytes of the blob that a swarm pulls.
    pub swarm_blob: u64,
    /// Nodes of the swarm, its seed among them.
    pub swarm_nodes: usize,
    /// Bytes of the blob that regions pull.
    pub region_blob: u64,
}

impl Scale {
    /// What the targets are stated for.
    pub const FULL: Self = Self {
        seconds: 3,
        rounds: 3,
        kills: 50,
        stops: 20,
        blob: 1 << 30,
        swarm_blob: 200 << 20,
        swarm_nodes: 20,
        region_blob: 32 << 20,
    };
    /// Too small to judge by.
    pub const QUICK: Self = Self {
        seconds: 1,
        rounds: 1,
        kills: 3,
        stops: 2,
        blob: 64 << 20,
        swarm_blob: 20 << 20,
        swarm_nodes: 5,
        region_blob: 4 << 20,
    };
}

/// What every section needs.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The binary under test.
    pub shoal: PathBuf,
    /// Data of nodes whose disk is measured: a real file system.
    pub disk: PathBuf,
    /// Data of nodes that share one machine although each would have a disk of its own: memory.
    pub memory: PathBuf,
    /// Sizes and counts.
    pub scale: Scale,
}

/// Asks `probe` every 20 ms until it gives something.
///
/// # Errors
/// When it has not after `limit`; the message names `what`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if begin.elapsed() > limit {
            bail!("{what}: not after {limit:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
