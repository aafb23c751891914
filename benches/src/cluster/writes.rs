//! Metadata writes on three nodes: tags moved through HTTP beside keys put into etcd, all fsynced.
//!
//! Owns the two writers and the closed loop. A tag moves between two manifests that exist, so every put is
//! a change; etcd's value is as long as the manifest that a put carries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::digest::{Algorithm, Digest};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Bench;
use super::etcd::{self, Etcds};
use super::grpc::Etcd;
use super::shoal::{Cluster, REPOSITORY};
use super::table::{Row, Target, median, percentile};
use crate::LoadError;
use crate::client::{self, Connection};
use crate::content::{BlobSource, MANIFEST_TYPE};
use crate::workload::fresh_base;
use crate::workload::image_push::{push_image, put_manifest};

const CLIENTS: [usize; 4] = [1, 16, 64, 256];
const WARM_UP: Duration = Duration::from_secs(1);

/// Two manifests that a repository has, to move tags between.
#[derive(Clone, Debug)]
pub struct Manifests([Bytes; 2]);

impl Manifests {
    /// Pushes them.
    ///
    /// # Errors
    /// What the push gives.
    pub async fn push(connection: &mut Connection) -> Result<Self, LoadError> {
        let (layers, base) = (BlobSource::new(1024), fresh_base());
        let mut both = [Bytes::new(), Bytes::new()];
        for (manifest, unique) in both.iter_mut().zip(base..) {
            *manifest = push_image(connection, REPOSITORY, &layers, unique, 0).await?;
            let path = format!("/v2/{REPOSITORY}/manifests/{}", Digest::of(Algorithm::Sha256, manifest));
            put_manifest(connection, &path, MANIFEST_TYPE, manifest.clone()).await?;
        }
        Ok(Self(both))
    }

    /// Length of one, in bytes.
    pub fn size(&self) -> usize {
        self.0[0].len()
    }
}

/// Who repeats one write.
pub enum Writer {
    /// Moves a tag of its own.
    Tag {
        /// To one node.
        connection: Connection,
        /// The request's path.
        path: String,
        /// What it moves between.
        manifests: Manifests,
    },
    /// Puts a key of its own.
    Key {
        /// To one member.
        connection: Etcd,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
}

impl Writer {
    /// The writer of the tag numbered `number`.
    ///
    /// # Errors
    /// What [`Connection::open`] gives.
    pub async fn tag(
        target: &Arc<client::Target>,
        number: usize,
        manifests: &Manifests,
    ) -> Result<Self, LoadError> {
        let connection = Connection::open(Arc::clone(target)).await?;
        let path = format!("/v2/{REPOSITORY}/manifests/w{number}");
        Ok(Self::Tag { connection, path, manifests: manifests.clone() })
    }

    /// The writer of the key numbered `number`, with `size` bytes a value.
    ///
    /// # Errors
    /// What [`Etcd::connect`] gives.
    pub async fn key(authority: &str, number: usize, size: usize) -> Result<Self, LoadError> {
        let connection = Etcd::connect(authority).await?;
        Ok(Self::Key { connection, key: format!("{REPOSITORY}/w{number}"), value: vec![b'v'; size] })
    }

    /// Writes once; returns when it is acknowledged.
    ///
    /// # Errors
    /// What the server or the connection did wrong.
    pub async fn write(&mut self, turn: usize) -> Result<(), LoadError> {
        match self {
            Self::Tag { connection, path, manifests } => {
                let manifest = manifests.0[turn % 2].clone();
                put_manifest(connection, path, MANIFEST_TYPE, manifest).await.map(|_| ())
            }
            Self::Key { connection, key, value } => connection.put(key.as_bytes(), value).await,
        }
    }
}

/// What one timed run gave.
#[derive(Clone, Copy, Debug)]
struct Run {
    per_second: f64,
    p99_ms: f64,
}

/// Lets all writers write as fast as they are answered; the first second is not counted.
async fn run(writers: Vec<Writer>, time: Duration) -> anyhow::Result<Run> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        tasks.spawn(async move {
            let mut delays = Vec::new();
            for turn in 0.. {
                let start = Instant::now();
                if start >= end {
                    break;
                }
                writer.write(turn).await?;
                if start >= begin && Instant::now() < end {
                    delays.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            Ok::<_, LoadError>(delays)
        });
    }
    let mut delays = Vec::new();
    while let Some(done) = tasks.join_next().await {
        delays.extend(done??);
    }
    Ok(Run { per_second: delays.len() as f64 / time.as_secs_f64(), p99_ms: percentile(&delays, 99.0) })
}

struct Peers {
    targets: Vec<Arc<client::Target>>,
    leader: usize,
    manifests: Manifests,
    etcd: Option<(Etcds, usize)>,
}

/// The section: clients at all nodes and at the leader alone, Shoal and etcd in turn.
///
/// # Errors
/// When a server does not come up or refuses a write.
pub async fn measure(bench: &Bench) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let cluster = Cluster::on_loopback(bench, &bench.disk.join("writes"), 3).await?;
    let leader = cluster.leader(0).await?;
    let mut targets = Vec::new();
    for node in &cluster.nodes {
        targets.push(node.login().await?);
    }
    let manifests = Manifests::push(&mut Connection::open(Arc::clone(&targets[leader])).await?).await?;
    let etcd = match etcd::is_installed() {
        true => {
            let etcds = Etcds::start(&bench.disk.join("writes-etcd")).await?;
            let leader = etcds.leader().await?;
            Some((etcds, leader))
        }
        false => None,
    };
    let note = format!(
        "Writes: a tag moved by PUT of a manifest of {} bytes that exists, HTTP/1.1, beside etcd's put of a \
         value of that size, gRPC; a connection per client, kept; median of {} runs of {} s in turn.",
        manifests.size(),
        bench.scale.rounds,
        bench.scale.seconds
    );
    let peers = Peers { targets, leader, manifests, etcd };
    let mut rows = Vec::new();
    for at_leader in [false, true] {
        for clients in CLIENTS {
            rows.extend(peers.compare(bench, clients, at_leader).await?);
        }
    }
    Ok((rows, vec![note]))
}

impl Peers {
    async fn compare(&self, bench: &Bench, clients: usize, at_leader: bool) -> anyhow::Result<Vec<Row>> {
        let time = Duration::from_secs(bench.scale.seconds);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.scale.rounds {
            let mut writers = Vec::new();
            for number in 0..clients {
                let node = if at_leader { self.leader } else { number % self.targets.len() };
                writers.push(Writer::tag(&self.targets[node], number, &self.manifests).await?);
            }
            ours.push(run(writers, time).await?);
            let Some((etcds, leader)) = &self.etcd else { continue };
            let mut writers = Vec::new();
            for number in 0..clients {
                let member = if at_leader { *leader } else { number % etcds.authorities.len() };
                let authority = &etcds.authorities[member];
                writers.push(Writer::key(authority, number, self.manifests.size()).await?);
            }
            theirs.push(run(writers, time).await?);
        }
        let place = if at_leader { "at the leader" } else { "over three nodes" };
        let what = format!("writes, {clients} clients {place}");
        let rate = |runs: &[Run]| median(&runs.iter().map(|run| run.per_second).collect::<Vec<_>>());
        let p99 = |runs: &[Run]| median(&runs.iter().map(|run| run.p99_ms).collect::<Vec<_>>());
        let mut rate_row = Row::new(&what, "per s", rate(&ours)).target(Target::OfPeer(1.0));
        let mut p99_row = Row::new(&what, "p99 ms", p99(&ours));
        if !theirs.is_empty() {
            rate_row = rate_row.beside("etcd", rate(&theirs));
            p99_row = p99_row.beside("etcd", p99(&theirs));
        }
        Ok(vec![rate_row, p99_row])
    }
}
