//! Prints how many commands a second three nodes of one process commit, by the number of proposers at the
//! leader: `cargo run --release -p cluster --example group_commit [directory]`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that a person reads")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::{Member, Metadata, MetadataConfig, Service, Start, Transport, TransportError};
use cluster_core::command::{Command, CommitBlob, Receipt};
use cluster_core::key::RepositoryId;
use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;

const MEASURED: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
struct Memory {
    nodes: Arc<Mutex<BTreeMap<u64, Metadata>>>,
    from: u64,
}

impl Transport for Memory {
    async fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        _patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        let target = self.nodes.lock().unwrap().get(&to.node.get()).cloned();
        let target = target.ok_or(TransportError::Unreachable)?;
        Ok(target.answer(service, NodeId::new(self.from).unwrap(), &request).await)
    }
}

fn command(n: u64) -> Command {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    let node = NodeId::new(1).unwrap();
    Command::CommitBlob(CommitBlob {
        repository: RepositoryId { registry, name: "team/app".parse().unwrap() },
        digest: Digest::of(Algorithm::Sha256, &n.to_be_bytes()),
        size: 8,
        generation: UploadId::new(node, u128::from(n)),
        pieces_root: [3; 32],
        staging_deadline_ms: u64::MAX,
        copies: vec![Receipt { node, incarnation: 1 }],
        required_copies: 1,
        required_zones: 1,
    })
}

async fn group(dir: &std::path::Path, count: u64) -> Vec<Metadata> {
    let memory = Memory::default();
    let mut nodes: Vec<Metadata> = Vec::new();
    for id in 1..=count {
        let node = NodeId::new(id).unwrap();
        let config = MetadataConfig::new(dir.join(id.to_string()), node);
        let start = if id == 1 { Start::Found } else { Start::Join };
        let metadata = Metadata::open(config, Memory { from: id, ..memory.clone() }, start).await.unwrap();
        memory.nodes.lock().unwrap().insert(id, metadata.clone());
        if id > 1 {
            nodes[0].add_learner(Member { node, address: String::new() }).await.unwrap();
        }
        nodes.push(metadata);
    }
    let voters: std::collections::BTreeSet<_> = (1..=count).filter_map(NodeId::new).collect();
    while nodes[0].apply_voters(voters.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nodes
}

async fn measure(metadata: &Metadata, proposers: u64, base: u64) -> (u64, Vec<Duration>) {
    let before = metadata.status().entries_proposed;
    let started = Instant::now();
    let tasks: Vec<_> = (0..proposers)
        .map(|proposer| {
            let metadata = metadata.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < MEASURED {
                    let n = base + (proposer << 32) + latencies.len() as u64;
                    let asked = Instant::now();
                    metadata.propose(command(n)).await.unwrap();
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies.sort();
    (metadata.status().entries_proposed - before, latencies)
}

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    println!(
        "| voters | through | proposers | commands/s | entries/s | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|"
    );
    for count in [1, 3] {
        let dir = tempfile::TempDir::new_in(&dir).unwrap();
        let nodes = group(dir.path(), count).await;
        for (through, metadata) in [("leader", nodes.first()), ("follower", nodes.get(1))] {
            let Some(metadata) = metadata else { continue };
            for (round, proposers) in [1, 16, 64, 256].into_iter().enumerate() {
                let base = (round as u64 + if through == "leader" { 10 } else { 20 }) << 48;
                let (entries, latencies) = measure(metadata, proposers, base).await;
                let at = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e3;
                let seconds = MEASURED.as_secs_f64();
                let (commands, entries) = (latencies.len() as f64 / seconds, entries as f64 / seconds);
                println!(
                    "| {count} | {through} | {proposers} | {commands:.0} | {entries:.0} | {:.2} | {:.2} |",
                    at(50),
                    at(99)
                );
            }
        }
        for metadata in &nodes {
            metadata.shutdown(Duration::from_secs(10)).await;
        }
    }
}
