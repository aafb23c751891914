//! The composition root: opens, builds, owns and stops everything that one node is made of.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use blobs::BlobStore;
use cluster::{Metadata, MetadataConfig, NoPeers, Start};
use cluster_core::access::Facts;
use cluster_core::command::{Command, InitCluster, RegisterNodeKey};
use cluster_core::record::ClusterRecord;
use cluster_core::state;
use proto::identity::Principal;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::admin::{self, Admin};
use crate::api::oci::{self, Api};
use crate::auth::node_key::NodeKey;
use crate::auth::token::Tokens;
use crate::auth::{Authenticator, ROOT_USER, Secret, password};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::http::server;
use crate::http::tls::Certificate;
use crate::jobs::janitor::Janitor;
use crate::registry::Registry;
use crate::telemetry::metrics::{Figure, Metrics};

/// Running requests may take this long after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// Storage may take this long to come to rest.
const REST: Duration = Duration::from_secs(10);
/// 2020-01-01: a clock before that is not set, and log time would never forget it.
const OLDEST_CLOCK: Duration = Duration::from_secs(1_577_836_800);
/// Characters of a made-up password: 24 of 57 are 140 bits.
const PASSWORD_LENGTH: usize = 24;

/// Runs a node until it is told to stop.
pub(crate) fn run(config: Config) -> Result<()> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if clock < OLDEST_CLOCK {
        bail!("the clock says it is before 2020: set it (NTP), tokens and leases depend on it");
    }
    raise_open_files();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

/// Each connection and each blob that is read takes a descriptor.
fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

async fn serve(config: Config) -> Result<()> {
    let dir = config.data_dir.clone();
    let data = tokio::task::spawn_blocking(move || DataDir::open(&dir)).await??;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let key = NodeKey::open(data.path(), data.first_start())?;
    let settings = MetadataConfig::new(data.metadata(), key.node());
    let metadata = Metadata::open(settings, NoPeers, Start::Found).await?;
    // The blobs come after the cluster exists: bytes without metadata are a loss, never a first start.
    let cluster = join(&config, &data, &metadata, &key).await?;
    let blobs = BlobStore::open(&data.blobs(), blobs::Settings::new(key.node())).await?;
    let node = Node::build(&config, &metadata, &blobs, &key, &cluster)?;
    announce(&config, address)?;
    let served = node.run(listener, &config).await;
    let blobs_rested = blobs.shutdown(REST).await;
    if !metadata.shutdown(REST).await || !blobs_rested {
        bail!("storage did not come to rest in time; nothing acknowledged is lost");
    }
    served
}

/// Makes the cluster at the first start, and this node's key known at every one.
async fn join(config: &Config, data: &DataDir, metadata: &Metadata, key: &NodeKey) -> Result<ClusterRecord> {
    let known = state::cluster::cluster(&metadata.read().await?)?;
    if known.is_none() {
        if data.has_blobs()? {
            bail!(
                "{} is empty although {} is not: the metadata was lost or is not mounted; restore it",
                data.metadata().display(),
                data.blobs().display()
            );
        }
        create(config, metadata).await?;
    }
    // Log time stood still while the node was down; deadlines and leases count from it.
    metadata.tick().await?;
    let reader = metadata.read().await?;
    let cluster = state::cluster::cluster(&reader)?.context("the cluster has no record")?;
    let published = state::cluster::node_key(&reader, key.node())?;
    drop(reader);
    if published.is_none_or(|record| record.public_key != key.public()) {
        let command = RegisterNodeKey { node: key.node(), public_key: key.public() };
        metadata.propose(Command::RegisterNodeKey(command)).await?;
    }
    Ok(cluster)
}

async fn create(config: &Config, metadata: &Metadata) -> Result<()> {
    let made_up = config.root_password.is_none();
    let password = match &config.root_password {
        Some(password) => password.clone(),
        None => make_password()?,
    };
    if made_up {
        // Before the commit: a crash in between leads to another first start and another password,
        // while the other way round nobody would know the password that holds.
        let shown = password.expose();
        print(&format!("root password: {shown}\n(shown only now; the user is {ROOT_USER})\n"))?;
    }
    let hashing = tokio::task::spawn_blocking(move || password::hash(&password));
    let root_password_hash =
        hashing.await?.map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    let mut cluster_id = [0; 16];
    getrandom::fill(&mut cluster_id)?;
    let registry = config.default_registry();
    let command = InitCluster { cluster_id, registry, root_password_hash };
    metadata.propose(Command::InitCluster(command)).await?;
    Ok(())
}

/// Letters and digits that are not mistaken for each other.
fn make_password() -> Result<Secret> {
    const LETTERS: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut text = String::new();
    while text.len() < PASSWORD_LENGTH {
        let mut random = [0; 64];
        getrandom::fill(&mut random)?;
        // Bytes past a multiple of the alphabet would favour its beginning.
        let fair = random.iter().filter(|byte| usize::from(**byte) < 4 * LETTERS.len());
        text.extend(fair.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])));
    }
    text.truncate(PASSWORD_LENGTH);
    Ok(Secret::new(text))
}

/// What a person needs to go on.
fn announce(config: &Config, address: SocketAddr) -> Result<()> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let host = config.public_url.as_ref().map_or_else(|| address.to_string(), |url| url.host().to_owned());
    print(&format!(
        "listening on {scheme}://{address}\nlog in with: docker login {host} --username {ROOT_USER}\n"
    ))
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("standard output does not take what must be read")
}

/// What runs while the node serves.
struct Node {
    router: axum::Router,
    metrics: Arc<Metrics>,
    certificate: Option<Arc<Certificate>>,
    janitor: Janitor,
    draining: Arc<AtomicBool>,
}

impl Node {
    fn build(
        config: &Config,
        metadata: &Metadata,
        blobs: &BlobStore,
        key: &NodeKey,
        cluster: &ClusterRecord,
    ) -> Result<Self> {
        let root = Principal::Root(cluster.registry.account.clone());
        let tokens = Tokens::new(key, cluster.cluster_id, root.clone());
        let metrics = Arc::new(Metrics::new(figures(metadata.clone(), blobs.clone())));
        let draining = Arc::new(AtomicBool::new(false));
        let facts =
            Facts { anonymous_pull: config.anonymous_pull, default_registry: cluster.registry.clone() };
        let authenticator = Authenticator::new(metadata.clone(), root, tokens);
        let api = Arc::new(Api {
            registry: Registry { metadata: metadata.clone(), blobs: blobs.clone() },
            authenticator: authenticator.clone(),
            facts: facts.clone(),
            public_url: config.public_url.clone(),
            metrics: metrics.requests.clone(),
        });
        let admin = Arc::new(Admin {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            authenticator,
            facts,
            metrics: metrics.clone(),
            draining: draining.clone(),
        });
        let certificate =
            config.tls.as_ref().map(|files| Certificate::load(&files.cert, &files.key)).transpose()?;
        let janitor = Janitor::new(metadata.clone(), blobs.clone());
        let router = oci::router(api).merge(admin::router(admin));
        Ok(Self { router, metrics, certificate, janitor, draining })
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    async fn run(self, listener: TcpListener, config: &Config) -> Result<()> {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(self.janitor.run(stop.clone()));
        if let Some(certificate) = &self.certificate {
            tasks.spawn(certificate.clone().follow(stop.clone()));
        }
        tasks.spawn(watch_signals(stop.clone(), self.draining)?);
        tasks.close();
        tracing::info!(listen = %listener.local_addr()?, region = %config.region, zone = %config.zone, "serving");
        let connections = self.metrics.connections.clone();
        let drained =
            server::serve(listener, self.certificate, self.router, connections, stop.clone(), DRAIN).await;
        stop.cancel();
        if tokio::time::timeout(REST, tasks.wait()).await.is_err() {
            tracing::warn!("background work did not stop in time");
        }
        if !drained {
            tracing::warn!(seconds = DRAIN.as_secs(), "requests were cut at the drain deadline");
        }
        Ok(())
    }
}

/// Ends when a signal asks the node to stop, or `stop` says so.
fn watch_signals(stop: CancellationToken, draining: Arc<AtomicBool>) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        tracing::info!("draining");
        draining.store(true, Ordering::Relaxed);
        stop.cancel();
    })
}

/// What other crates count, under names of their own.
fn figures(metadata: Metadata, blobs: BlobStore) -> impl Fn() -> Vec<Figure> + Send + Sync {
    move || {
        let (disk, raft) = (blobs.metrics(), metadata.status());
        vec![
            Figure::counter("blob_written_bytes", "Upload bytes written to files", disk.written_bytes.get()),
            Figure::counter(
                "blob_verified_bytes",
                "Bytes checked before they were sent",
                disk.verified_bytes.get(),
            ),
            Figure::counter("blob_fsyncs", "Calls of fsync for blobs", disk.fsyncs.get()),
            Figure::counter(
                "blob_damaged_copies",
                "Copies found missing or damaged",
                disk.damaged_copies.get(),
            ),
            Figure::counter("uploads_started", "Upload sessions begun", disk.uploads_started.get()),
            Figure::counter("uploads_finished", "Uploads that became blobs", disk.uploads_finished.get()),
            Figure::counter("uploads_expired", "Idle upload sessions removed", disk.uploads_expired.get()),
            Figure::gauge(
                "blob_volume_failed",
                "1 after a failed fsync, until restart",
                u64::from(disk.volume_failed.load(Ordering::Relaxed)),
            ),
            Figure::gauge("raft_term", "Term", raft.term),
            Figure::gauge("raft_last_log_index", "Last entry of the log", raft.last_log_index),
            Figure::gauge("raft_applied_index", "Last entry applied", raft.applied_index),
            Figure::gauge("raft_snapshot_index", "Last entry that a snapshot covers", raft.snapshot_index),
            Figure::gauge("raft_ready", "1 while writes can be agreed on", u64::from(raft.ready)),
            Figure::counter("raft_entries", "Entries proposed", raft.entries_proposed),
            Figure::counter("raft_commands", "Commands proposed", raft.commands_proposed),
            Figure::gauge("metadata_log_bytes", "Size of the log's entries", raft.log_bytes),
            Figure::gauge("metadata_disk_bytes", "Size of the metadata on disk", raft.disk_bytes),
        ]
    }
}
